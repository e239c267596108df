"""What the layers for columns share: how they read what they learn from, and their files.

A model takes the numbers that a lookup made of words, so the lookup is kept beside it."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterable, Iterator
from operator import methodcaller
from pathlib import Path
from typing import Any, Self

import numpy as np

from ambos.core.arguments import Checked
from ambos.core.errors import AmbosError, ArgumentError, FormatError
from ambos.data.cardinality import INFINITE_CARDINALITY, cardinality_of
from ambos.tensor.files.placed import placed
from ambos.tensor.handle import Tensor

FORMAT = "ambos-column-1"


class Column(metaclass=Checked):
    """Base of layers for columns: with attributes called as the constructor's arguments."""

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments that make this layer, with what it has learnt."""
        return {name: vars(self).get(name) for name in inspect.signature(type(self)).parameters}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file, JSON, from which `load` makes the layer again.

        Errors: ArgumentError where settings are functions; OSError where there is no room.

        Example:
            >>> import os, tempfile
            >>> from ambos.data import StringLookup
            >>> path = os.path.join(tempfile.mkdtemp(), "colors.json")
            >>> StringLookup(vocabulary=["red", "blue"]).save(path)
            >>> StringLookup.load(path)(["blue"]).tolist()
            [2]
        """
        kind, settings = type(self).__name__, self.settings()
        for name, value in settings.items():
            if callable(value):
                raise ArgumentError(f"{kind}.save: {name} is a function, which no file "
                                    "holds; need pickle.dumps(layer)")  # fmt: skip
        written = {"format": FORMAT, "class": kind, "settings": settings}
        text = json.dumps(written, default=methodcaller("item"))  # of NumPy's numbers
        with placed(Path(path)) as new:
            new.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The layer that `save` has written.

        Errors: FormatError for a file that is missing, damaged, or of another layer.
        """
        try:
            written = json.loads(Path(path).read_text(encoding="utf-8"))
            if not isinstance(written, dict) or written.get("format") != FORMAT:
                raise ValueError(f"no {FORMAT}")
            if written["class"] != cls.__name__:
                raise ValueError(f"it has a {written['class']}")
            return cls(**written["settings"])
        except (OSError, ValueError, LookupError, TypeError, AmbosError) as error:
            reason = getattr(error, "message", str(error))
            raise FormatError(f"{cls.__name__}.load: {os.fspath(path)} cannot be read ({reason}); "
                              f"need what {cls.__name__}.save wrote") from error  # fmt: skip


def batches_of(op: str, data: Any, steps: int | None = None) -> Iterator[Any]:
    """An array, a list or a column as one batch; the batches of what is iterated.

    Errors: ArgumentError for what is neither.
    """
    if isinstance(data, (np.ndarray, Tensor, list, tuple, str, bytes, int, float)) or hasattr(
        data, "to_numpy"
    ):
        yield data
        return
    if steps is None and cardinality_of(data) == INFINITE_CARDINALITY:
        raise ArgumentError(f"{op}: the data go on without end; need steps, the number of batches")
    if not isinstance(data, Iterable):
        raise ArgumentError(f"{op}: got {type(data).__name__}; need values, or batches of them")
    for number, batch in enumerate(data):
        if steps is not None and number >= steps:
            return
        yield batch
