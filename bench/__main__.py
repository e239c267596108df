"""`python -m bench`: race ambos against its peers and report."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from bench import growth, race, report, workload
from bench.crew import Crew
from bench.outcome import Outcome
from bench.process import cores
from bench.workload import Case

RESULTS = Path(__file__).parent / "results"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME",
        help="a family (gemm), a case (gemm/512-nt, gpt_step) or its beginning; repeatable",
    )  # fmt: skip
    parser.add_argument("--peers", default="", help="for example torch,jax (default: all)")
    parser.add_argument("--threads", type=int, help="this number only (default: 1 and 2)")
    parser.add_argument("--budget", type=float, default=1.0, help="times the usual time of a case")
    parser.add_argument(
        "--best", action="store_true",
        help="compare fastest rounds, not medians: for a machine that others use as well",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="only list the cases")
    parser.add_argument("--growth", action="store_true", help="time against batch, width, depth")
    parser.add_argument("--out", type=Path, help="folder of the reports (default: bench/results)")
    options = parser.parse_args(arguments)
    if options.budget <= 0 or (options.threads is not None and options.threads < 1):
        parser.error("--budget must be positive and --threads at least 1")
    options.peers = [peer for peer in options.peers.split(",") if peer]
    if options.growth:
        options.cases = growth.cases()
        options.threads = options.threads or max(growth.cases()[0][1].threads)
        return options
    try:
        options.cases = workload.select(options.only)
    except LookupError as error:
        parser.error(str(error.args[0]))
    return options


def tasks(options: argparse.Namespace) -> list[tuple[str, int, Case]]:
    """What to run: all cases of a family on one number of threads, then on the next."""
    available = len(cores(1 << 16))
    found: dict[tuple[str, int], list[Case]] = {}
    for family, case in options.cases:
        wanted = (options.threads,) if options.threads else case.threads
        for threads in sorted({min(count, available) for count in wanted}):
            found.setdefault((family, threads), []).append(case)
    return [(*place, case) for place, cases in found.items() for case in cases]


def chosen_twins(case: Case, peers: list[str]) -> list[str]:
    """Ours and those of the peers that were asked for: a framework, or one twin of it."""
    return [
        twin
        for twin in workload.twins(case)
        if workload.is_ours(twin)
        or not peers
        or workload.framework(twin) in peers
        or twin.replace(" ", "_") in peers
    ]


def main(arguments: list[str] | None = None) -> int:
    """Race, print each line as it is known, write the reports; 1 when one of ours failed."""
    options = parse(arguments)
    if options.list:
        for family, case in options.cases:
            print(f"{family}/{case.name}: {case.title} [{', '.join(workload.twins(case))}]")
        return 0
    whole = not (options.only or options.peers or options.threads) or options.growth
    folder = options.out or (RESULTS if whole else RESULTS / "partial")
    outcomes = run(options)
    found = growth if options.growth else report
    print(found.summary(outcomes))
    for path in found.write(outcomes, folder):
        print(f"wrote {path}")
    ours = [lane for outcome in outcomes for lane in outcome.lanes if workload.is_ours(lane.twin)]
    return int(any(lane.trouble for lane in ours))


def run(options: argparse.Namespace) -> list[Outcome]:
    """Race every case; what is known when the user interrupts is kept."""
    outcomes: list[Outcome] = []
    place: tuple[str, int] | None = None
    begin = time.perf_counter()
    todo = tasks(options)
    most = {(family, case.name): threads for family, threads, case in todo}  # threads ascend
    with Crew() as crew:
        try:
            for family, threads, case in todo:
                if (family, threads) != place:
                    place = (family, threads)
                    since = time.perf_counter() - begin
                    print(report.heading(family, threads, since), flush=True)
                twins = chosen_twins(case, options.peers)
                starts = threads == most[family, case.name]  # first calls cost; once is enough
                outcomes.append(
                    race.run(family, case, threads, twins, crew, options.budget, starts)
                )
                outcomes[-1].fastest = options.best
                print(report.lines(outcomes[-1]), flush=True)
        except KeyboardInterrupt:
            print("interrupted; reporting what is known", flush=True)
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
