"""Numbers that are looked at when they are read, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any


def shown(value: float) -> str:
    """A number as people read it.

    Example:
        >>> shown(0.98765), shown(3e-5)
        ('0.9877', '3.000e-05')
    """
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3e}"


class LazyLogs(MutableMapping[str, Any]):
    """A dict that `read` fills at the first look: until then nothing waits for a computation.

    Example:
        >>> logs = LazyLogs(lambda: {"loss": 0.5})
        >>> logs["loss"]
        0.5
    """

    __slots__ = ("_found", "_read")

    def __init__(self, read: Callable[[], dict[str, Any]]) -> None:
        self._read = read
        self._found: dict[str, Any] | None = None

    def settled(self) -> dict[str, Any]:
        """The numbers, read now unless they have been."""
        if self._found is None:
            self._found = self._read()
        return self._found

    def __getitem__(self, name: str) -> Any:
        return self.settled()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.settled()[name] = value

    def __delitem__(self, name: str) -> None:
        del self.settled()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.settled())

    def __len__(self) -> int:
        return len(self.settled())

    def __repr__(self) -> str:
        return repr(self.settled())
