"""Graphs by number: `chunk` draws a thousand and checks them, several in one Program.

Small graphs share a Program because most of what a graph costs is compiling, and a tenth of that
is the same for one as for twenty. What differs there is looked at graph by graph."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ambos.graph import toposort
from tests.fuzz.check import differences, report
from tests.fuzz.graphs import Graph, graph
from tests.fuzz.operands import EXTENTS, Draw

GRAPHS, TOGETHER = 1000, 25  # in a chunk, in a Program


@dataclass(slots=True)
class Result:
    """What a chunk came to."""

    seed: int
    number: int
    graphs: int = 0
    seconds: float = 0.0
    nodes: int = 0
    ops: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[int, str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"ops": dict(self.ops)}


def numbered(seed: int, number: int) -> Graph:
    """Graph `number` of a seed. Graphs of one Program have the same sizes of axes: so their
    operands fit more often, and single ops share plans."""
    some = Random(f"{seed}/sizes/{number // TOGETHER}")
    extents = (1, *some.choices(EXTENTS, k=4))
    return graph(Draw(Random(f"{seed}/{number}"), extents))


def chunk(seed: int, number: int, size: int = GRAPHS) -> Iterator[Result]:
    """Graphs `number * size` and on; the result so far after each Program."""
    result, start = Result(seed, number), time.perf_counter()
    for first in range(number * size, (number + 1) * size, TOGETHER):
        drawn = {}
        for n in range(first, min(first + TOGETHER, (number + 1) * size)):
            try:
                drawn[n] = numbered(seed, n)
            except Exception as problem:
                result.findings.append((n, f"while drawing: {type(problem).__name__}: {problem}"))
        result.findings += check(drawn)
        for one in drawn.values():
            ops = [node.op.name for node in toposort(one.roots)]
            result.ops.update(ops)
            result.nodes += len(ops)
        result.graphs += len(drawn)
        result.seconds = time.perf_counter() - start
        yield result


def check(drawn: dict[int, Graph]) -> list[tuple[int, str]]:
    """What is wrong with which graph."""
    roots = list(dict.fromkeys(root for one in drawn.values() for root in one.roots))
    try:
        if not differences(roots):
            return []
    except Exception:
        pass  # which graph raises, and what, is found out below
    found = [(n, wrong) for n, one in drawn.items() if (wrong := finding(one))]
    return found or [(min(drawn), "only together with its neighbours")]


def finding(one: Graph) -> str:
    """What is wrong with a graph; empty if nothing is."""
    try:
        wrong = differences(one.roots)
        return report(one.roots, wrong) if wrong else ""
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}"
