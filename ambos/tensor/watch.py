"""Who is told what runs: profiles and explanations. While nobody is, a run costs a look at a list.

Whoever runs an Executable asks `watchers` first and, where there are any, runs it by `run`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ambos.core.program import Program
from ambos.graph.lines import Line, noted
from ambos.graph.node import Node
from ambos.runtime.executor import Executable

if TYPE_CHECKING:  # it belongs to the compiler, which importing ambos should not load
    from ambos.compiler.compiled import Renewal


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a Program: when each launch began and the seconds it took. `lines[i]` is where
    number i of the launches' `work.sources` was recorded."""

    program: Program
    spans: Sequence[tuple[float, float]]
    lines: Sequence[Line | None]
    start: float
    end: float
    thread: int = field(default_factory=threading.get_native_id)


class Watcher:
    """What can be heard. All times are those of `time.perf_counter`."""

    def pending(
        self, wanted: Sequence[Node], leaves: Sequence[Node], renewal: Renewal,
        budget: int | None,
    ) -> None:  # fmt: skip
        """The graph from `leaves` (with data) to `wanted` is about to be computed,
        with at most `budget` bytes for temporaries and results."""

    def computed(self, node: Node) -> None:
        """One node has its value: only where each is computed alone (`config.fuse` is off)."""

    def planned(self, program: Program, start: float, end: float) -> None:
        """A Program was made for a graph not met before: planning, and machine code."""

    def ran(self, run: Run) -> None:
        """A Program ran, launch by launch."""


watchers: list[Watcher] = []


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """`watcher` hears of what all threads of this process run meanwhile, with its lines."""
    with noted():
        watchers.append(watcher)
        try:
            yield
        finally:
            watchers.remove(watcher)


def run(
    executable: Executable, inputs: Sequence[int], outputs: Sequence[int],
    lines: Sequence[Line | None],
) -> None:  # fmt: skip
    """`executable.run`, launch by launch, and everybody hears of it."""
    start = time.perf_counter()
    spans = executable.profile(inputs, outputs)
    report = Run(executable.program, spans, lines, start, time.perf_counter())
    for watcher in list(watchers):
        watcher.ran(report)
