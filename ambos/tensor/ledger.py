"""The ledger: every graph that was recorded, planned or compiled, why, where and how long it took.

Entries are written on the slow path only; a call that is served by what is known costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, overload

from ambos.core.arguments import checked
from ambos.runtime.loader import statistics

MOST_ENTRIES = 1000
MOST_FORMS = 512  # graphs whose sizes are remembered, to tell what a new one differs in


@dataclass(slots=True)
class Compilation:
    """One entry. `function` is a jitted function's name, or "" for a graph that was computed as it
    was met. `cause` says which part of the signature was new. Of `kernels`, LLVM compiled
    `compiled`, `from_disk` came from the cache on disk, the others were in memory. `plan` says
    whether the schedule was "made", "fitted" from one for other sizes, read from "disk", or in
    "memory". `planning` includes `llvm`, seconds for machine code; `seconds` is all of it."""

    function: str
    cause: str
    line: str
    seconds: float = 0.0
    recording: float = 0.0
    planning: float = 0.0
    llvm: float = 0.0
    kernels: int = 0
    compiled: int = 0
    from_disk: int = 0
    plan: str = "memory"
    when: float = field(default_factory=time.time)

    @property
    def from_memory(self) -> int:
        """Kernels that this process had already."""
        return self.kernels - self.compiled - self.from_disk


class Compilations(Sequence[Compilation]):
    """Entries, the oldest first; `str` is a table of them."""

    def __init__(self, entries: Sequence[Compilation]) -> None:
        self.entries = list(entries)

    @overload
    def __getitem__(self, place: int) -> Compilation: ...
    @overload
    def __getitem__(self, place: slice) -> Compilations: ...
    def __getitem__(self, place: int | slice) -> Compilation | Compilations:
        if isinstance(place, slice):
            return Compilations(self.entries[place])
        return self.entries[place]

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"<{len(self)} compilations, {sum(e.seconds for e in self):.2f} s>"

    def __str__(self) -> str:
        head = f"{'seconds':>8} {'llvm':>6}  {'plan':<6} {'kernels':<22}  function and line"
        rows = [head, *(row for entry in self for row in _rows(entry))]
        total = sum(entry.compiled for entry in self)
        return "\n".join([*rows, f"{sum(e.seconds for e in self):8.3f} in {len(self)} entries; "
                                 f"{total} kernels compiled"])  # fmt: skip


def _rows(entry: Compilation) -> list[str]:
    kernels = f"{entry.kernels}"
    if entry.compiled or entry.from_disk:
        kernels += f" ({entry.compiled} new, {entry.from_disk} disk)"
    name = entry.function or "(as it was met)"
    first = f"{entry.seconds:8.3f} {entry.llvm:6.3f}  {entry.plan:<6} {kernels:<22}  {name}"
    return [f"{first}  {entry.line}".rstrip(), f"{'':>25}{entry.cause}"]


class Ledger:
    """`count` goes on where old entries are dropped."""

    def __init__(self) -> None:
        self.entries: deque[Compilation] = deque(maxlen=MOST_ENTRIES)
        self.count = 0
        self._lock = threading.Lock()
        self._open = threading.local()
        self._forms: OrderedDict[int, tuple[Any, ...]] = OrderedDict()

    def add(self, entry: Compilation) -> None:
        """Write an entry down."""
        with self._lock:
            self.entries.append(entry)
            self.count += 1

    def since(self, count: int) -> list[Compilation]:
        """Entries that were written after `count` of them had been."""
        with self._lock:
            found = list(self.entries)
            return found[len(found) - min(len(found), self.count - count) :]

    @contextmanager
    def recording(self, function: str, cause: str, line: str) -> Iterator[Compilation]:
        """An entry for what is recorded, planned and compiled inside, if it does not fail."""
        entry = Compilation(function, cause, line)
        outer, self._open.entry = getattr(self._open, "entry", None), entry
        start = time.perf_counter()
        try:
            yield entry
        finally:
            self._open.entry = outer
        entry.seconds = time.perf_counter() - start
        entry.recording = max(0.0, entry.seconds - entry.planning)
        self.add(entry)

    @contextmanager
    def planning(self, signature: Sequence[Any], line: str) -> Iterator[Compilation]:
        """Notes on a graph that is planned and loaded inside: in the entry of the recording that
        it belongs to, else in one of its own."""
        entry = getattr(self._open, "entry", None)
        is_own = entry is None
        cause = self._cause(signature)
        if entry is None:
            entry = Compilation("", cause, line)
        compiled, loaded, llvm = _counts()
        start = time.perf_counter()
        yield entry
        seconds = time.perf_counter() - start
        now = _counts()
        entry.planning += seconds
        entry.compiled += int(now[0] - compiled)
        entry.from_disk += int(now[1] - loaded)
        entry.llvm += now[2] - llvm
        if is_own:
            entry.seconds = seconds
            self.add(entry)

    def _cause(self, signature: Sequence[Any]) -> str:
        """What tells a graph from those met before: sizes, where the operations are the same."""
        operations = hash(tuple(line[0] for line in signature))
        data = tuple(line for line in signature if _is_data(line))
        with self._lock:
            before = self._forms.pop(operations, None)
            self._forms[operations] = data
            if len(self._forms) > MOST_FORMS:
                self._forms.popitem(last=False)
        for now, was in zip(data, before or (), strict=False):
            if now != was:
                return f"new sizes: {_shown(now)} was {_shown(was)}"
        return "a graph not met before" if before is None else "other attributes or connections"


def _is_data(line: tuple[Any, ...]) -> bool:
    """Dtype, shape and strides, where an operation has its name, attributes and operands."""
    return len(line) == 3 and isinstance(line[2], tuple) and line[2][:1] != (int,)


def _shown(line: tuple[Any, ...]) -> str:
    dtype, shape, strides = line
    return f"{dtype}{list(shape)} with strides {strides}" if shape else f"{dtype}[]"


def _counts() -> tuple[int, int, float]:
    return statistics.compiled, statistics.loaded_from_cache, statistics.seconds


ledger = Ledger()


@checked
def compilations() -> Compilations:
    """Print what was recorded, planned and compiled so far, and return the entries: function,
    cause, line, seconds, and where plan and kernels came from. The last 1000 are kept.

    Example:
        >>> import ambos as am
        >>> double = am.jit(lambda x: 2 * x)
        >>> _ = double(am.ones(3)), double(am.ones(4))
        >>> am.compilations()[-1].cause  # doctest: +ELLIPSIS
         seconds ...
        'argument x: shape (4,) was (3,)'
    """
    found = Compilations(ledger.since(0))
    print(found)
    return found


__all__ = ["Compilation", "Compilations", "compilations"]
