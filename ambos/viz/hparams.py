"""Settings of a run and the numbers it is judged by, for TensorBoard's table of runs.

Source: tensorboard/plugins/hparams: api.proto, hparams_util/plugin_data.proto.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.viz.messages import floats, metadata, tensor
from ambos.viz.values import as_array, as_number
from ambos.viz.wire import blob, double, integer, many, message, table, text

PREFIX = "_hparams_/"
STRING, BOOL, NUMBER = 1, 2, 3  # DataType
SUCCESS = 1

Setting = str | bool | float


def plain(name: str, value: Any) -> Setting:
    """A setting as a string, a truth or a number.

    Errors: ArgumentError for anything else.
    """
    if isinstance(value, (bool, str)):
        return value
    if value is None or isinstance(value, (list, tuple, dict)):
        return str(value)
    try:
        array = as_array(value)
        if array.dtype.kind == "b" and array.size == 1:
            return bool(array)
        return as_number(f"add_hparams: {name!r}", value)
    except ArgumentError:
        if callable(value) or hasattr(value, "name"):
            return str(getattr(value, "__name__", None) or value.name)
        raise


def summaries(
    settings: Mapping[str, Setting],
    metrics: Sequence[str],
    domains: Mapping[str, Sequence[Setting]],
) -> list[bytes]:
    """What the experiment is, what this run's settings are, and that it ended."""
    now = time.time()
    infos = [
        message(
            text(1, name), integer(4, _kind(value)),
            blob(5, many(1, map(_value, domains[name]))) if name in domains else b"",
        )
        for name, value in settings.items()
    ]  # fmt: skip
    judged = [blob(1, text(2, name)) for name in metrics]
    experiment = message(double(3, now), many(4, infos), many(5, judged))
    start = message(table(1, [(n, _value(v)) for n, v in settings.items()]), double(5, now))
    end = message(integer(1, SUCCESS), double(2, now))
    parts = (2, "experiment", experiment), (3, "session_start_info", start), (
        4, "session_end_info", end,
    )  # fmt: skip
    return [
        tensor(PREFIX + name, floats([]), metadata("hparams", blob(field, content)))
        for field, name, content in parts
    ]


def _kind(value: Setting) -> int:
    return BOOL if isinstance(value, bool) else STRING if isinstance(value, str) else NUMBER


def _value(value: Setting) -> bytes:
    """google.protobuf.Value."""
    if isinstance(value, bool):
        return integer(4, value)
    return text(3, value) if isinstance(value, str) else double(2, value)
