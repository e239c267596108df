"""What the layers for columns share: files of what they are made with and have learnt.

A model takes the numbers that a lookup made of words, so the lookup is kept beside it."""

from __future__ import annotations

import inspect
import json
import os
from operator import methodcaller
from pathlib import Path
from typing import Any, Self

from ambos.core.arguments import Checked
from ambos.core.errors import AmbosError, ArgumentError, FormatError
from ambos.tensor.files.placed import placed

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
