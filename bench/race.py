"""Time the twins of one case in alternating bursts.

Machines are noisy for seconds at a time. So nobody is timed alone: in every round each twin runs
one burst and the machine's own limits are measured, and ratios are formed within the round.
A case has a budget of seconds. It decides how long the bursts are and, where a single call is
long, how many rounds there are. Twins far behind the fastest do not take part in every round.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from bench import workload
from bench.crew import Crew
from bench.outcome import Lane, Outcome, disagreement
from bench.process import Worker, WorkerError
from bench.workload import Case

BUDGET = 1.0  # seconds for the bursts of a case
SLOW_BUDGET = 8.0  # where a call is so long that the rounds below need more
LEAST_ROUNDS, MOST_ROUNDS = 5, 15
SHORTEST = 2e-3  # seconds of a burst: the clock and the pipe must not count
SETTLE = 0.02  # seconds of running before calls are counted
PATIENT = 1.0  # seconds of a call after which no second one is asked for
BEHIND = 3.0  # times the fastest twin's time: such a twin runs a round or two only
LONG = 0.1  # seconds of a call that a twin far behind does not repeat for the record


@dataclass(slots=True)
class Entry:
    """A twin at the start: who runs it and how long a call takes."""

    lane: Lane
    worker: Worker
    call: float = 0.0  # seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rounds there are, and by twin how many calls make a burst."""

    rounds: int
    calls: dict[str, int]
    brief: dict[str, int]  # twins that run fewer rounds, and how many


def run(
    family: str, case: Case, threads: int, twins: list[str], crew: Crew,
    budget: float = 1.0, starts: bool = True,
) -> Outcome:  # fmt: skip
    """Race the `twins` of a case; `budget` multiplies the time that a case may take.

    `starts` allows the processes of its own that a case may ask for.
    """
    start = time.perf_counter()
    lanes = [Lane(twin) for twin in twins]
    outcome = Outcome(family, case.name, case.title, threads, case.flops, case.bytes, lanes)
    with ExitStack() as stack:
        entries = _start(outcome, case, crew, stack if starts and case.starts else None)
        entries = [entry for entry in entries if _settle(entry, case)]
        if entries:
            plan = make_plan({entry.lane.twin: entry.call for entry in entries}, case, budget)
            for entry in entries:
                if plan.brief.get(entry.lane.twin) == 0:
                    entry.lane.seconds.append(entry.call / case.steps)
            gauge = crew.gauge(threads) if case.flops or case.bytes else None
            for turn in range(plan.rounds):
                _round(outcome, case, entries, plan, turn)
                if gauge is not None:
                    limits = gauge.ask("run", nbytes=int(case.bytes))
                    outcome.peaks.append(limits["peak"])
                    outcome.bandwidths.append(limits["bandwidth"])
        crew.drop()
    outcome.seconds = time.perf_counter() - start
    return outcome


def make_plan(seconds: dict[str, float], case: Case, budget: float = 1.0) -> Plan:
    """Rounds and bursts for twins whose calls take so many `seconds`.

    Example:
        >>> make_plan({"ambos": 0.1, "torch": 0.1, "mlx": 9.0}, Case()).rounds
        5
    """
    fastest = min(seconds.values())
    brief = {
        twin: 2 if call < LONG else 0 for twin, call in seconds.items() if call > BEHIND * fastest
    }
    contenders = [call for twin, call in seconds.items() if twin not in brief]
    turn = sum(max(call, SHORTEST) for call in contenders)
    rounds = round(min(MOST_ROUNDS, BUDGET * budget / turn))
    if rounds < LEAST_ROUNDS:
        rounds = max(3, min(LEAST_ROUNDS, round(SLOW_BUDGET * budget / turn)))
    rounds = case.rounds or rounds
    burst = max(SHORTEST, BUDGET * budget / rounds / len(contenders))
    calls = {
        twin: max(1, round((SHORTEST if twin in brief else burst) / call))
        for twin, call in seconds.items()
    }
    if case.calls:
        calls = dict.fromkeys(seconds, case.calls)
    return Plan(rounds, calls, brief)


def _start(outcome: Outcome, case: Case, crew: Crew, own: ExitStack | None) -> list[Entry]:
    """The twins that work and agree with the first of them; ours come last.

    With `own`, which then ends them, every twin gets processes of its own.
    """
    entries: list[Entry] = []
    reference: list[np.ndarray] | None = None
    for lane in sorted(outcome.lanes, key=lambda lane: workload.is_ours(lane.twin)):
        try:
            if own is not None:
                worker, output = _own_process(outcome, case, lane, own)
            else:
                worker = crew.worker(outcome.family, workload.framework(lane.twin), outcome.threads)
                output = worker.build(case.name, lane.twin, case.patience)[1]
        except WorkerError as error:
            lane.trouble, lane.missing = str(error), error.missing
            crew.failed(workload.framework(lane.twin), error)
            continue
        reference = output if reference is None else reference
        lane.difference = disagreement(output, reference)
        if lane.difference > case.tolerance:
            lane.trouble = f"its output differs by {lane.difference:.1e}; it was not timed"
            continue
        entries.append(Entry(lane, worker))
    return entries


def _own_process(
    outcome: Outcome, case: Case, lane: Lane, stack: ExitStack
) -> tuple[Worker, list[np.ndarray]]:
    """A worker that began with a warm cache; another one has begun with a cold one before it."""
    cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="ambos-bench-"))
    task = (outcome.family, workload.framework(lane.twin), outcome.threads, cache)
    with Worker(*task) as cold:
        lane.first_cold = cold.build(case.name, lane.twin, case.patience)[0]["first"]
    warm = stack.enter_context(Worker(*task))
    seconds, output = warm.build(case.name, lane.twin, case.patience)
    lane.first_warm = seconds["first"]
    warm.ask("run", case.patience, twin=lane.twin, calls=case.calls or case.calls_for_memory)
    lane.memory = warm.ask("memory")["bytes"]
    return warm, output


def _settle(entry: Entry, case: Case) -> bool:
    """Find how long a call takes and bring the twin to its steady state; False if it fails."""
    calls, total, bursts = case.calls or 1, 0.0, 0
    # A second call may be one that records, which tells nothing of those after it.
    while total < SETTLE or (bursts < 2 and total < PATIENT and not case.calls):
        bursts += 1
        seconds = _burst(entry, case, calls)
        if seconds is None:
            return False
        entry.call = max(seconds, 1e-9) / calls
        total += SETTLE if case.calls else seconds
        calls *= 2
    return True


def _burst(entry: Entry, case: Case, calls: int) -> float | None:
    """Seconds of `calls` calls; None, and a note in the lane, where that went wrong."""
    try:
        answer = entry.worker.ask("run", case.patience, twin=entry.lane.twin, calls=calls)
    except WorkerError as error:
        entry.lane.trouble = str(error)
        return None
    return float(answer["seconds"])


def _round(outcome: Outcome, case: Case, entries: list[Entry], plan: Plan, turn: int) -> None:
    """One burst of each twin; who begins changes, so that nobody always follows the same one."""
    for place in range(len(entries)):
        entry = entries[(place + turn) % len(entries)]
        lane = entry.lane
        if lane.trouble or turn >= plan.brief.get(lane.twin, plan.rounds):
            continue
        calls = plan.calls[lane.twin]
        seconds = _burst(entry, case, calls)
        if seconds is not None:
            lane.seconds.append(seconds / calls / case.steps)
