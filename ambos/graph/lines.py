"""The user's line that recorded a node, noted only while a profile or an explanation wants it.

Noting costs about 1 us a node, a fifth of what recording one may cost at all; otherwise it costs
a look at `noting.wanted`. What backward records is noted at the line it differentiates.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from ambos.core.errors import user_call, user_frame
from ambos.graph.constants import is_constant


class Line(NamedTuple):
    """A line of the user's source; `backward` where the gradient of that line was recorded;
    `layer`, the path of the module whose forward recorded it; `call`, the function that the line
    called, for nodes that may fail when they are computed."""

    path: str
    number: int
    backward: bool = False
    layer: str = ""
    call: str = ""

    def __str__(self) -> str:
        return f"{os.path.basename(self.path)}:{self.number}" + "'" * self.backward

    @property
    def place(self) -> str:
        """Line and layer, as a message says them."""
        return f"{self}, in layer {self.layer!r}" if self.layer else str(self)

    def forward(self) -> Line:
        """The same without the mark of a gradient: its forward made the same mistake."""
        return self._replace(backward=False)


class Noting:
    """`wanted`: how many contexts want lines now."""

    wanted = 0


class Layer(Protocol):
    """What is asked of a module."""

    def named_modules(self) -> Iterable[tuple[str, Any]]: ...


class Behind(threading.local):
    """What this thread is recording: the gradient of a line, the forward of modules within modules
    (the outermost first), whose paths are found out when one is asked for."""

    def __init__(self) -> None:
        self.line: Line | None = None
        self.layers: list[Layer] = []
        self.paths: dict[int, str] | None = None
        self.made: set[Any] | None = None


noting = Noting()
_behind = Behind()


@contextmanager
def noted() -> Iterator[None]:
    """Nodes recorded meanwhile, in every thread, know their line."""
    noting.wanted += 1
    try:
        yield
    finally:
        noting.wanted -= 1


@contextmanager
def collected() -> Iterator[set[Any]]:
    """The nodes that this thread records meanwhile."""
    outer = _behind.made
    made: set[Any] = set()
    _behind.made = made
    try:
        with noted():
            yield made
    finally:
        _behind.made = outer
        if outer is not None:
            outer |= made


def note(node: Any, may_fail: bool = False) -> None:
    """Give `node` its line: the first that recorded it while somebody wanted to know."""
    if _behind.made is not None:
        _behind.made.add(node)
    known = line_of(node)
    if is_constant(node) or (known is not None and (known.call or not may_fail)):
        return
    if _behind.line is not None:
        node.line = known or _behind.line
        return
    frame = user_frame()
    if frame is not None:
        call = user_call() if may_fail else ""
        node.line = Line(frame.f_code.co_filename, frame.f_lineno, layer=layer_path(), call=call)


def enter(layer: Layer) -> None:
    """What this thread records until it leaves belongs to `layer`."""
    _behind.layers.append(layer)


def leave() -> None:
    """The innermost layer's forward has ended."""
    _behind.layers.pop()
    if not _behind.layers:
        _behind.paths = None


def layer_path() -> str:
    """The path of the innermost layer within the outermost."""
    if not _behind.layers:
        return ""
    if _behind.paths is None:
        _behind.paths = {id(layer): path for path, layer in _behind.layers[0].named_modules()}
    return _behind.paths.get(id(_behind.layers[-1]), "")


def line_of(node: Any) -> Line | None:
    """Where `node` was recorded, if that was noted."""
    found: Line | None = getattr(node, "line", None)
    return found


def repeat(node: Any) -> None:
    """What this thread records from now on is `node` for many examples (None: it no longer is)."""
    _behind.line = line_of(node)


def differentiate(node: Any) -> None:
    """What this thread records from now on is the gradient of `node` (None: it no longer is)."""
    line = line_of(node)
    _behind.line = None if line is None else line._replace(backward=True)
