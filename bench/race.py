"""Time the twins of one workload in alternating bursts.

Machines are noisy for seconds at a time. So nobody is timed alone: in every round each twin runs
one burst and the machine's own limits are measured, and ratios are formed within the round.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from bench import workload
from bench.process import Worker, WorkerError, cores
from bench.worker import MACHINE

BURST = 0.2  # seconds that a burst should take
SETTLE = 0.05  # seconds of running before calls are counted


@dataclass(slots=True)
class Lane:
    """What was found out about one twin. `seconds` has one entry per round, for one step."""

    twin: str
    seconds: list[float] = field(default_factory=list)
    import_seconds: float = 0.0
    first_cold: float = 0.0
    first_warm: float = 0.0
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

    name: str
    facts: workload.Workload
    threads: int
    lanes: list[Lane]
    peaks: list[float] = field(default_factory=list)  # FLOP/s
    bandwidths: list[float] = field(default_factory=list)  # bytes/s
    note: str = ""

    @property
    def timed(self) -> list[Lane]:
        return [lane for lane in self.lanes if lane.seconds]

    @property
    def best_peer(self) -> Lane | None:
        peers = [lane for lane in self.timed if not workload.is_ours(lane.twin)]
        return min(peers, key=lambda lane: lane.median, default=None)

    def ratio(self, lane: Lane) -> float | None:
        """Median over the rounds of this lane's time over the best peer's in the same round."""
        peer = self.best_peer
        if peer is None:
            return None
        return median(a / b for a, b in zip(lane.seconds, peer.seconds, strict=True))

    def share(self, lane: Lane) -> float | None:
        """Share of the floor that is reached (1.0: nothing could be faster)."""
        floors = self.floors()
        if not floors or not any(floors):
            return None
        return median(f / s for f, s in zip(floors, lane.seconds, strict=True))

    def floors(self) -> list[float]:
        """Seconds that the machine needs at least, by round."""
        facts = self.facts
        limits = zip(self.peaks, self.bandwidths, strict=True)
        return [max(facts.flops / peak, facts.bytes / bandwidth) for peak, bandwidth in limits]


def disagreement(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference over the largest magnitude; infinite for another shape or a NaN."""
    if found.shape != expected.shape:
        return float("inf")
    if found.size == 0:
        return 0.0
    scale = float(np.abs(expected).max()) or 1.0
    difference = float(np.abs(found - expected).max()) / scale
    return difference if np.isfinite(difference) else float("inf")


def calls_per_burst(worker: Worker) -> int:
    """How many calls fill a burst; also brings the twin to its steady state."""
    calls = 1
    while (seconds := worker.ask("run", calls=calls)["seconds"]) < SETTLE:
        calls *= 2
    return max(1, round(BURST * calls / seconds))


def run(name: str, peers: list[str], threads: int | None, rounds: int) -> Outcome:
    """Race ambos against `peers` (an empty list: all there are) on the workload `name`."""
    module = workload.load(name)
    facts: workload.Workload = module.WORKLOAD
    count = len(cores(threads or facts.threads or 1 << 16))
    chosen = [
        twin
        for twin in workload.twins(module)
        if workload.is_ours(twin) or not peers or workload.framework(twin) in peers
    ]
    outcome = Outcome(name, facts, count, [Lane(twin) for twin in chosen])
    with ExitStack() as stack:
        workers = _start(outcome, stack)
        gauge = _gauge(outcome, stack)
        bursts = {twin: calls_per_burst(worker) for twin, worker in workers.items()}
        for turn in range(rounds):
            _round(outcome, workers, bursts, turn)
            if gauge is not None:
                limits = gauge.ask("run", calls=1)
                outcome.peaks.append(limits["peak"])
                outcome.bandwidths.append(limits["bandwidth"])
    return outcome


def _start(outcome: Outcome, stack: ExitStack) -> dict[str, Worker]:
    """The workers that work and agree, each after a cold start and a warm one."""
    workers: dict[str, Worker] = {}
    reference: np.ndarray | None = None
    for lane in sorted(outcome.lanes, key=lambda lane: workload.is_ours(lane.twin)):
        cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="ambos-bench-"))
        try:
            with Worker(outcome.name, lane.twin, outcome.threads, cache) as cold:
                lane.first_cold = cold.build()[0]["first"]
            warm = stack.enter_context(Worker(outcome.name, lane.twin, outcome.threads, cache))
            seconds, output = warm.build()
        except WorkerError as error:
            lane.trouble, lane.missing = str(error), error.missing
            continue
        lane.import_seconds, lane.first_warm = seconds["import"], seconds["first"]
        reference = output if reference is None else reference
        lane.difference = disagreement(output, reference)
        if lane.difference > outcome.facts.tolerance:
            lane.trouble = f"its output differs by {lane.difference:.1e}; it was not timed"
            continue
        workers[lane.twin] = warm
    return workers


def _gauge(outcome: Outcome, stack: ExitStack) -> Worker | None:
    """The worker that measures the machine, where a floor is claimed."""
    if not outcome.facts.flops and not outcome.facts.bytes:
        return None
    cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="ambos-bench-"))
    gauge = stack.enter_context(Worker(outcome.name, MACHINE, outcome.threads, cache))
    try:
        gauge.ask("build", output="")
    except WorkerError as error:
        outcome.note = f"no floor: {error}"
        return None
    return gauge


def _round(outcome: Outcome, workers: dict[str, Worker], bursts: dict[str, int], turn: int) -> None:
    """One burst of each twin; who begins changes, so that nobody always follows the same one."""
    lanes = [lane for lane in outcome.lanes if lane.twin in workers]
    for place in range(len(lanes)):
        lane = lanes[(place + turn) % len(lanes)]
        calls = bursts[lane.twin]
        seconds = workers[lane.twin].ask("run", calls=calls)["seconds"]
        lane.seconds.append(seconds / calls / outcome.facts.steps)
