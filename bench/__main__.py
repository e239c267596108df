"""`python -m bench`: race ambos against its peers and report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import race, report, workload

RESULTS = Path(__file__).parent / "results"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=workload.names(), metavar="NAME",
        help=f"this workload (repeatable): {', '.join(workload.names())}",
    )  # fmt: skip
    parser.add_argument("--peers", default="", help="for example torch,jax (default: all)")
    parser.add_argument("--threads", type=int, help="instead of what each workload is defined for")
    parser.add_argument("--rounds", type=int, default=15, help="bursts per twin (default: 15)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the reports")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or (options.threads is not None and options.threads < 1):
        parser.error("--rounds and --threads need a number of at least 1")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Race, print each table as it is known, write the reports; 1 when one of ours failed."""
    options = parse(arguments)
    peers = [peer for peer in options.peers.split(",") if peer]
    outcomes = []
    for name in options.only or workload.names():
        outcomes.append(race.run(name, peers, options.threads, options.rounds))
        print(report.table(outcomes[-1]), end="\n\n", flush=True)
    for path in report.write(outcomes, options.out):
        print(f"wrote {path}")
    lanes = [lane for outcome in outcomes for lane in outcome.lanes]
    return int(any(lane.trouble and not lane.missing for lane in lanes))


if __name__ == "__main__":
    sys.exit(main())
