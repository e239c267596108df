"""What the machine can do at best, measured again in every round of a race."""

from __future__ import annotations

import os
from functools import cached_property

from ambos.runtime.measure import Yardstick, bandwidth_yardstick, peak_yardstick

LEAST, MOST = 1 << 20, 256 << 20  # bytes that a copy reads and writes


class Gauge:
    """The measured limits of this machine, on as many threads as the workload has.

    Bandwidth is that of the faster of two copies (with and without caches between them and memory)
    which move as many bytes as the workload must: what fits a large
    shared cache is moved faster than what does not, and a floor has to know which it is.
    """

    def __init__(self) -> None:
        self._copies: dict[int, list[Yardstick]] = {}

    @cached_property
    def _peak(self) -> Yardstick:
        return peak_yardstick(int(os.environ["AMBOS_THREADS"]))

    def _copy(self, nbytes: int) -> list[Yardstick]:
        moved = max(LEAST, min(MOST, nbytes))
        if moved not in self._copies:
            self._copies.clear()  # one at a time: they are large
            self._copies[moved] = [
                bandwidth_yardstick(moved // 2, past_caches) for past_caches in (False, True)
            ]
        return self._copies[moved]

    def run(self, nbytes: int) -> dict[str, float]:
        """FLOP/s, and the bytes/s at which `nbytes` can be moved (0: not asked, infinite)."""
        found = {"peak": self._peak.best(0.002), "bandwidth": float("inf")}
        if nbytes:
            found["bandwidth"] = max(copy.best(0.004) for copy in self._copy(nbytes))
        return found
