"""Where the time of a long run went: a table of files after it, a plugin of pytest.

Nothing fails for being slow: machines differ, and so do their days. The table shows what to look at
before a run takes too long. The kernels that a file compiled are the same on every machine, and
each takes some 15 ms: where they are many, cases that share shapes or one evaluation of many
results help.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

from ambos.runtime.loader import statistics

LONG_SECONDS = 60.0  # a shorter run gets no table
MOST_FILES = 15
MOST_TESTS = 5
KERNELS = "kernels compiled"


@dataclass(slots=True)
class Cost:
    """What a file, or a test, came to."""

    seconds: float = 0.0
    tests: int = 0
    kernels: int = 0

    def add(self, report: pytest.TestReport) -> None:
        self.seconds += report.duration
        if report.when == "call":
            self.tests += 1
            self.kernels += int(str(dict(report.user_properties).get(KERNELS, 0)))


def lines(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """The table of the files, and of the tests, that took longest; nothing for a short run."""
    files: defaultdict[str, Cost] = defaultdict(Cost)
    tests: defaultdict[str, Cost] = defaultdict(Cost)
    for report in reports:
        files[report.nodeid.partition("::")[0]].add(report)
        tests[report.nodeid].add(report)
    total = sum(cost.seconds for cost in files.values())
    if total < LONG_SECONDS:
        return
    yield f"{'seconds':>8} {'share':>6} {'tests':>6} {'kernels':>8}"
    for found, most in (files, MOST_FILES), (tests, MOST_TESTS):
        for name, cost in sorted(found.items(), key=lambda item: -item[1].seconds)[:most]:
            share = cost.seconds / total
            yield f"{cost.seconds:8.1f} {share:6.1%} {cost.tests:6} {cost.kernels:8}  {name}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    before = statistics.compiled
    try:
        return (yield)
    finally:
        item.user_properties.append((KERNELS, statistics.compiled - before))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    every = [report for reports in terminalreporter.stats.values() for report in reports]
    table = [*lines(report for report in every if isinstance(report, pytest.TestReport))]
    if table:
        terminalreporter.section("what took longest")
        for line in table:
            terminalreporter.write_line(line)
