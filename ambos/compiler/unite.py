"""Loops that are parts of others: a loop whose steps another one takes as well is not run.

The gradient of a scan reads what its forward loop computed, more than that gave by itself: it is
made of a larger forward loop. Tangents go around with the values that they belong to. Where both
the value and the gradient are asked for, the larger loop gives everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.graph.body import work
from ambos.graph.node import Node, make, toposort
from ambos.graph.rewrite import Trail, carry, rebuild
from ambos.ops.bodies import depending
from ambos.ops.control import ScanSpec, same_parts

Places = list[int]  # for each result of the smaller loop the number that it has in the larger


def unite(roots: Sequence[Node], trail: Trail | None = None) -> list[Node]:
    """The same values by as few scans as do."""
    while True:
        order = toposort(roots)
        groups: dict[Any, list[Node]] = {}
        for node in order:
            if node.op.name == "scan":
                groups.setdefault(same_parts(node), []).append(node)
        found = _first_pair(list(groups.values())) if len(groups) > 1 else None
        if found is None:
            return list(roots)
        smaller, larger, places = found
        inputs, spec = larger[0].inputs, larger[0].attrs[1]
        new: dict[Node, Node] = {}
        # The larger loop goes where the smaller one was, or stays where it is: whatever is first.
        for node in toposort([*inputs, *order]):
            if node in smaller:
                operands = tuple(new[source] for source in inputs)
                new[node] = make(node.op, operands, (places[node.attrs[0]], spec), node.tracked)
            else:
                new[node] = rebuild(node, tuple(new[source] for source in node.inputs))
        carry(trail, new)
        roots = [new[root] for root in roots]


def _first_pair(
    groups: Sequence[list[Node]],
) -> tuple[list[Node], list[Node], Places] | None:
    for larger in groups:
        for smaller in groups:
            if smaller is larger:
                continue
            places = _places(smaller[0], larger[0])
            if places is None:
                continue
            behind = depending(smaller, larger[0].inputs)
            if behind.isdisjoint(larger[0].inputs):
                return smaller, larger, places
    return None


def _places(smaller: Node, larger: Node) -> Places | None:
    """Where the results of one scan are among those of another that takes the same steps, if it
    does."""
    one, other = smaller.attrs[1], larger.attrs[1]
    assert isinstance(one, ScanSpec)
    assert isinstance(other, ScanSpec)
    if (one.length, one.reverse) != (other.length, other.reverse):
        return None
    constants, starts, xs = one.split(smaller.inputs)
    more_constants, more_starts, more_xs = other.split(larger.inputs)
    own_constants, own_carry, own_xs = other.split(other.body.arguments)
    ys = len(one.body.results) - one.num_carry
    if tuple(more_starts[: one.num_carry]) != tuple(starts) or ys > (
        len(other.body.results) - other.num_carry
    ):
        return None
    where = [_matched(constants, more_constants), _matched(xs, more_xs)]
    if None in where:
        return None
    arguments = [
        *(own_constants[n] for n in where[0] or ()), *own_carry[: one.num_carry],
        *(own_xs[n] for n in where[1] or ()),
    ]  # fmt: skip
    numbers = [*range(one.num_carry), *range(other.num_carry, other.num_carry + ys)]
    same = work(arguments, [other.body.results[n] for n in numbers])
    return numbers if same == work(one.body.arguments, one.body.results) else None


def _matched(nodes: Sequence[Node], among: Sequence[Node]) -> list[int] | None:
    """For each of `nodes` a place of its own among others where it is too."""
    found: list[int] = []
    for node in nodes:
        place = next((n for n, other in enumerate(among) if other is node and n not in found), None)
        if place is None:
            return None
        found.append(place)
    return found
