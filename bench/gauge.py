"""What the machine can do at best, measured again in every round of a race."""

from __future__ import annotations

import os
from functools import cached_property

from ambos.runtime.measure import Yardstick, bandwidth_yardstick, peak_yardstick

LEAST, MOST = 1 << 20, 256 << 20  # bytes that a copy reads and writes


class Gauge:
    """The measured limits of this machine, on as many threads as the workload has.

    Bandwidth is that of a copy which moves as many bytes as the workload must: what fits a large
    shared cache is moved faster than what does not, and a floor has to know which it is.
    """

    def __init__(self) -> None:
        self._copies: dict[int, Yardstick] = {}

    @cached_property
    def _peak(self) -> Yardstick:
        return peak_yardstick(int(os.environ["AMBOS_THREADS"]))

    def _copy(self, nbytes: int) -> Yardstick:
        moved = max(LEAST, min(MOST, nbytes))
        if moved not in self._copies:
            self._copies.clear()  # one at a time: they are large
            self._copies[moved] = bandwidth_yardstick(moved // 2)
        return self._copies[moved]

    def run(self, nbytes: int) -> dict[str, float]:
        """FLOP/s, and the bytes/s at which `nbytes` can be moved (0: not asked, infinite)."""
        found = {"peak": self._peak.best(0.002), "bandwidth": float("inf")}
        if nbytes:
            found["bandwidth"] = self._copy(nbytes).best(0.004)
        return found
