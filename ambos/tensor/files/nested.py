"""Plain data around tensors, for a format that holds tensors by name and texts: a description in
JSON tells the way back.

Containers and tensors stand there as an object with one key: {"dict": [[key, value], ...]},
{"list": [...]}, {"tuple": [...]}, {"tensor": its name}. All else is what JSON has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError, FormatError
from ambos.tensor.handle import Tensor

NESTED = "ambos.nested"  # in the metadata: how the tensors were put together
TIED = "ambos.tied"  # in the metadata: which of its entries are names of tensors
RESERVED = ("__metadata__", NESTED, TIED)  # no names of tensors, which may stand there as well
DEEPEST = 100  # containers in containers
PLAIN = (bool, int, float, str, type(None))


def described(value: Any) -> tuple[dict[str, Tensor], str]:
    """The tensors of plain data, under their paths, and a description of the rest.

    Errors: ArgumentError for what is neither a tensor nor plain.

    Example:
        >>> import ambos as am
        >>> described({"state": {0: am.tensor([1.0])}, "epoch": 3})[0]
        {'state.0': tensor([1.])}
    """
    tensors: dict[str, Tensor] = {}

    def told(value: Any, path: str, depth: int) -> Any:
        if isinstance(value, Tensor):
            name = path or "tensor"
            while name in tensors or name in RESERVED:
                name += "_"
            tensors[name] = value
            return {"tensor": name}
        if depth > DEEPEST:
            raise ArgumentError(f"save: containers {DEEPEST} deep; need less")
        start = f"{path}." if path else ""
        if isinstance(value, Mapping):
            return {"dict": [[plain(key, f"the key {key!r}"),
                              told(entry, f"{start}{key}", depth + 1)]
                             for key, entry in value.items()]}  # fmt: skip
        if isinstance(value, (list, tuple)):
            kind = "tuple" if isinstance(value, tuple) else "list"
            return {kind: [told(e, f"{start}{n}", depth + 1) for n, e in enumerate(value)]}
        return plain(value, repr(path))

    return tensors, json.dumps(told(value, "", 0))


def plain(value: Any, said: str) -> Any:
    """`value`, if it is None, a number (NumPy's become Python's) or a text; `said` is how a message
    calls it."""
    value = value.item() if isinstance(value, np.generic) else value
    if type(value) not in PLAIN:
        raise ArgumentError(f"save: {said} is {type(value).__name__}; need tensors, numbers, "
                            "texts, and dictionaries and lists of them")  # fmt: skip
    return value


def restored(text: Any, tensors: Mapping[str, Tensor], title: str) -> Any:
    """What was described.

    Errors: FormatError for what is no such description.

    Example:
        >>> restored('{"list": [{"tensor": "a"}, 2.5]}', {"a": 1}, "x")
        [1, 2.5]
    """

    def read(part: Any) -> Any:
        if not isinstance(part, dict):
            if type(part) not in PLAIN:
                raise ValueError("a list that is no container's")
            return part
        ((kind, entry),) = part.items()
        if kind == "tensor":
            return tensors[entry]
        if not isinstance(entry, list):
            raise ValueError(f"a {kind} that is no list")
        if kind == "dict":
            if not all(isinstance(pair, list) and type(pair[0]) in PLAIN for pair in entry if pair):
                raise ValueError("an entry that is no pair, or has no plain key")
            return {key: read(value) for key, value in entry}
        return {"list": list, "tuple": tuple}[kind](map(read, entry))

    try:
        return read(json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FormatError(f"{title}: what it says of its contents is damaged ({error!r}); nothing "
                          "was changed") from error  # fmt: skip
