"""What a race found out, and what follows from it: ratios, floors, agreement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from bench import workload

OURS = "ambos"  # the twin whose ratio the table shows; "ambos eager" is a line of its own


@dataclass(slots=True)
class Lane:
    """What was found out about one twin. `seconds` has one entry per round, for one step."""

    twin: str
    seconds: list[float] = field(default_factory=list)
    first_cold: float | None = None  # seconds of building and the first call, import excluded
    first_warm: float | None = None
    memory: float | None = None  # bytes
    difference: float = 0.0
    trouble: str = ""
    missing: bool = False

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        low, high = np.percentile(self.seconds, [25, 75])
        return float((high - low) / 2 / self.median)


@dataclass(slots=True)
class Outcome:
    """A race: its lanes, and the machine's limits in each round."""

    family: str
    case: str
    title: str
    threads: int
    flops: float
    bytes: float
    lanes: list[Lane]
    peaks: list[float] = field(default_factory=list)  # FLOP/s
    bandwidths: list[float] = field(default_factory=list)  # bytes/s
    seconds: float = 0.0  # what it cost
    fastest: bool = False  # compare fastest rounds instead of medians

    @property
    def name(self) -> str:
        return f"{self.family}/{self.case}"

    @property
    def timed(self) -> list[Lane]:
        return [lane for lane in self.lanes if lane.seconds]

    @property
    def ours(self) -> Lane | None:
        """The lane that stands for us: "ambos", or the first of ours that was timed."""
        ours = [lane for lane in self.timed if workload.is_ours(lane.twin)]
        return min(ours, key=lambda lane: lane.twin != OURS, default=None)

    def typical(self, lane: Lane) -> float:
        """The lane's time: its median, or its fastest round."""
        return min(lane.seconds) if self.fastest else lane.median

    @property
    def best_peer(self) -> Lane | None:
        peers = [lane for lane in self.timed if not workload.is_ours(lane.twin)]
        return min(peers, key=self.typical, default=None)

    def ratio(self, lane: Lane | None) -> float | None:
        """Median over the rounds of this lane's time over the best peer's in the same round.

        Twins that are far behind run fewer rounds: the last ones are left out for both. Fastest
        rounds are compared whenever they were: the noise of others cannot touch them.
        """
        peer = self.best_peer
        if peer is None or lane is None:
            return None
        if self.fastest:
            return min(lane.seconds) / min(peer.seconds)
        return median(a / b for a, b in zip(lane.seconds, peer.seconds, strict=False))

    def share(self, lane: Lane | None) -> float | None:
        """Share of the floor that is reached (1.0: nothing could be faster)."""
        floors = self.floors()
        if not floors or not any(floors) or lane is None:
            return None
        if self.fastest:
            return min(floors) / min(lane.seconds)
        return median(f / s for f, s in zip(floors, lane.seconds, strict=False))

    def floors(self) -> list[float]:
        """Seconds that the machine needs at least, by round."""
        limits = zip(self.peaks, self.bandwidths, strict=True)
        return [max(self.flops / peak, self.bytes / bandwidth) for peak, bandwidth in limits]


def disagreement(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """The largest difference over the largest magnitude of its array.

    Infinite for another number of arrays, another shape, or a NaN.
    """
    if len(found) != len(expected):
        return float("inf")
    return max((_differ(a, b) for a, b in zip(found, expected, strict=True)), default=0.0)


def _differ(found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape:
        return float("inf")
    if found.size == 0 or np.array_equal(found, expected):
        return 0.0
    wide = np.float32 if found.dtype == expected.dtype == np.float32 else np.float64
    a: Any
    b: Any
    a, b = found.astype(wide, copy=False), expected.astype(wide, copy=False)
    scale = float(np.abs(b).max()) or 1.0
    difference = float(np.abs(a - b).max()) / scale
    return difference if np.isfinite(difference) else float("inf")
