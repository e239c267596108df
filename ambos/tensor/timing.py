"""The runs of a region and the seconds of their launches, held against the machine's limits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ambos.core.config import config
from ambos.core.program import Launch, Program
from ambos.graph.lines import Line
from ambos.runtime.roofline import Roofline, roofline
from ambos.tensor.watch import Run, Watcher


@dataclass(slots=True)
class Row:
    """Launches of one kernel with the same sizes, from the same lines of the user's source.

    `flops` and `nbytes` are those of all calls: a product and its addition are two operations, an
    elementwise op counts as the additions it is worth; each byte counts once a launch.
    """

    kernel: str
    lines: tuple[Line, ...]
    threads: int
    calls: int = 0
    seconds: float = 0.0
    flops: int = 0
    nbytes: int = 0
    least_compute: float = 0.0  # seconds at the measured peak
    least_memory: float = 0.0  # seconds at the measured bandwidth

    @property
    def limit(self) -> float:
        """Seconds at the machine's limit over seconds taken: 1.0 is as fast as it can be."""
        return max(self.least_compute, self.least_memory) / self.seconds

    @property
    def is_compute_bound(self) -> bool:
        """Is the limit the arithmetic, and not the memory?"""
        return self.least_compute >= self.least_memory


class Timing(Watcher):
    """What ran while it was watching.

    `seconds` is the time of the whole region, `kernel_seconds` of its launches, `plan_seconds` of
    making programs for graphs not met before (machine code included); the rest is Python.
    """

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.plans: list[tuple[Program, float, float]] = []
        self.start = self.end = 0.0

    def planned(self, program: Program, start: float, end: float) -> None:
        self.plans.append((program, start, end))

    def ran(self, run: Run) -> None:
        self.runs.append(run)

    @property
    def seconds(self) -> float:
        return (self.end or time.perf_counter()) - self.start

    @property
    def kernel_seconds(self) -> float:
        return sum(seconds for run in self.runs for _, seconds in run.spans)

    @property
    def plan_seconds(self) -> float:
        return sum(end - start for _, start, end in self.plans)

    @property
    def rows(self) -> list[Row]:
        """Kernels by the time they took, the longest first."""
        found: dict[Any, Row] = {}
        for run in self.runs:
            for launch, (_, seconds) in zip(run.program.launches, run.spans, strict=True):
                work, lines = launch.work, lines_of(launch, run.lines)
                key = (launch.kernel.name, launch.kernel.label, work.flops, work.nbytes, lines)
                limits = limits_of(launch)
                row = found.setdefault(key, Row(launch.kernel.label, lines, limits.threads))
                row.calls += 1
                row.seconds += seconds
                row.flops += work.flops
                row.nbytes += work.nbytes
                row.least_compute += limits.compute_seconds(work.flops)
                row.least_memory += limits.memory_seconds(work.read, work.written)
        return sorted(found.values(), key=lambda row: -row.seconds)


def lines_of(launch: Launch, lines: Sequence[Line | None]) -> tuple[Line, ...]:
    """The distinct lines that a launch computes, forward ones first."""
    found = {lines[place] for place in launch.work.sources if place < len(lines)}
    whole = {line._replace(call="") for line in found if line}
    return tuple(sorted(whole, key=lambda line: (line.backward, line.path, line.number)))


def limits_of(launch: Launch) -> Roofline:
    """The limits for as many threads as share the launch."""
    return roofline(1 if launch.serial or launch.items == 1 else config.threads)
