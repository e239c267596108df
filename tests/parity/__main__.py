"""The whole comparison, or some entries of it, with a table of counts.

python -m tests.parity                       every sample of every entry (`make parity`)
python -m tests.parity add 'linalg.*' -n 5   five samples of these, failures in full
python -m tests.parity 'nn.*Pool2d'          functions and modules whose names fit
python -m tests.parity --missing             entries that have no function of ours yet
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

from tests.parity import database, mapping, modules, more_modules, optimizers
from tests.parity.check import ASPECTS, Outcome
from tests.parity.modules import outcome_of_either


def outcomes(names: Sequence[str], limit: int | None, workers: int) -> Iterator[Outcome]:
    """The outcomes in order; each worker is a process of its own."""
    tasks = [(name, limit) for name in names]
    if workers == 1:
        yield from map(outcome_of_either, tasks)
        return
    # (ProcessPoolExecutor with max_tasks_per_child hangs in Python 3.11.)
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=60) as pool:
        yield from pool.imap(outcome_of_either, tasks)


class Database(NamedTuple):
    """What is compared: entries, those that we have, those that we leave out and why."""

    title: str
    entries: Collection[str]
    mapped: list[str]
    out: Mapping[str, str]
    aspects: Sequence[str]
    missing: str

    def unmapped(self) -> list[str]:
        return sorted(set(self.entries) - set(self.mapped) - set(self.out))


DATABASES = (
    Database("Operators", database.ENTRIES, mapping.mapped(), mapping.OUT, ASPECTS, "function"),
    Database(
        "Modules",
        modules.DATABASE,
        modules.mapped(modules.DATABASE),
        modules.OUT,
        modules.ASPECTS,
        "class",
    ),
    Database(
        "Modules that the database lacks",
        more_modules.ENTRIES,
        modules.mapped(more_modules.ENTRIES),
        {},
        modules.ASPECTS,
        "class",
    ),
)


def table(found: Sequence[Outcome]) -> str:
    """Of each database counts by aspect, then the failures by name with their reasons, as
    Markdown."""
    parts = []
    for one in DATABASES:
        of_it = [outcome for outcome in found if outcome.name in one.entries]
        if of_it:
            parts.append(_table(one, of_it))
    return "\n".join([*parts, optimizers.table()])


def _table(one: Database, found: Sequence[Outcome]) -> str:
    lines = [
        f"## {one.title}",
        "",
        "| aspect | samples | agree | differ, with a reason | differ |",
        "|---|--:|--:|--:|--:|",
    ]
    for aspect in one.aspects:
        passed = sum(o.passed[aspect] for o in found)
        bad = [(o, f) for o in found for f in o.failures if f.aspect == aspect]
        explained = sum(mapping.reason(o.name, aspect, f.reason) is not None for o, f in bad)
        total = passed + len(bad)
        lines.append(f"| {aspect} | {total} | {passed} | {explained} | {len(bad) - explained} |")
    whole = sum(not outcome.failures for outcome in found)
    lines += [
        "",
        f"{len(one.entries)} entries: {len(one.mapped)} mapped ({len(found)} of them looked at, "
        f"{whole} agree in every sample), {len(one.out)} out of scope, "
        f"{len(one.unmapped())} without a {one.missing} of ours.",
    ]
    lines += _listed("Differences with a reason", _explained(found))
    lines += _listed("Differences without one", _unexplained(found, one.aspects))
    lines += _listed("Out of scope", [f"`{name}`: {why}" for name, why in one.out.items()])
    lines += _listed(f"Without a {one.missing} of ours", [f"`{name}`" for name in one.unmapped()])
    return "\n".join(lines) + "\n"


def _explained(found: Sequence[Outcome]) -> list[str]:
    lines = []
    for outcome in found:
        for aspect, reason in mapping.known(outcome.name).items():
            bad = sum(
                f.aspect == aspect and mapping.reason(outcome.name, aspect, f.reason) is not None
                for f in outcome.failures
            )
            total = bad + outcome.passed[aspect]
            lines.append(f"`{outcome.name}`, {aspect} ({bad} of {total}): {reason}")
    return lines


def _unexplained(found: Sequence[Outcome], aspects: Sequence[str]) -> list[str]:
    lines = []
    for outcome in found:
        bad = outcome.unexplained()
        for aspect in aspects:
            of_this = [failure for failure in bad if failure.aspect == aspect]
            if of_this:
                total = len(of_this) + outcome.passed[aspect]
                lines.append(f"`{outcome.name}`, {aspect} ({len(of_this)} of {total}): "
                             f"{of_this[0].reason.splitlines()[0][:160]}")  # fmt: skip
    return lines


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"### {title} ({len(lines)})", "", *(f"* {line}" for line in lines)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("names", nargs="*", help="entries, or patterns of names")
    parser.add_argument("-n", "--samples", type=int, help="samples of each dtype (default: all)")
    parser.add_argument("-j", "--workers", type=int, default=1)
    parser.add_argument("-v", "--verbose", action="store_true", help="every failure in full")
    parser.add_argument("--write", type=Path, help="where the table goes")
    parser.add_argument("--missing", action="store_true")
    given = parser.parse_args()
    wanted = given.names or ["*"]
    every = [name for one in DATABASES for name in one.mapped]
    names = [n for n in every if any(fnmatchcase(n, pattern) for pattern in wanted)]
    if given.missing:
        print(*(name for one in DATABASES for name in one.unmapped()), sep="\n")
        return 0
    found = []
    for outcome in outcomes(names, given.samples, given.workers):
        found.append(outcome)
        bad = outcome.unexplained()
        print(f"{outcome.name}: {sum(outcome.passed.values())} agree"
              f"{f', {len(bad)} differ' if bad else ''}", flush=True)  # fmt: skip
        for failure in bad if given.verbose else bad[:3]:
            print(f"    {failure}", flush=True)
    if given.write:
        given.write.parent.mkdir(parents=True, exist_ok=True)
        given.write.write_text(table(found))
    elif not given.names:
        print(table(found))
    return int(any(outcome.unexplained() for outcome in found))


if __name__ == "__main__":
    sys.exit(main())
