"""Loops and branches without what nobody needs: results, values that go around, operands.

Gradients and batches of loops are made whole, because who makes them cannot know what of it will be
asked for. Here that is known. What every step hands on as it is becomes a constant of the loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ambos.graph.body import Body
from ambos.graph.node import Node, make, toposort
from ambos.graph.rewrite import Trail, carry, rebuild
from ambos.ops.control import BranchSpec, LoopSpec, ScanSpec, same_parts


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What is left of a loop or branch: its operands and results, by their former numbers."""

    spec: Any
    inputs: tuple[int, ...]
    results: tuple[int, ...]


def trim(roots: Sequence[Node], trail: Trail | None = None) -> list[Node]:
    """The same values by loops and branches that compute nothing else."""
    while True:
        order = toposort(roots)
        wanted: dict[Any, set[int]] = {}
        for node in order:
            if _is_control(node):
                wanted.setdefault(same_parts(node), set()).add(node.attrs[0])
        found = {whole: trimmed(whole[2], numbers) for whole, numbers in wanted.items()}
        if all(after is None for after in found.values()):
            return list(roots)
        new: dict[Node, Node] = {}
        for node in order:
            after = found[same_parts(node)] if _is_control(node) else None
            if after is None:
                new[node] = rebuild(node, tuple(new[source] for source in node.inputs))
            else:
                inputs = tuple(new[node.inputs[number]] for number in after.inputs)
                attrs = after.results.index(node.attrs[0]), after.spec
                new[node] = make(node.op, inputs, attrs, node.tracked)
        carry(trail, new)
        roots = [new[root] for root in roots]  # what fed them may not be needed either


def _is_control(node: Node) -> bool:
    """Has the node insides? (One with derivatives of its own, in a body, is only what it shows.)"""
    return bool(getattr(node.op, "kind", "") == "control" and node.attrs[1].bodies)


def trimmed(spec: Any, wanted: set[int]) -> Trimmed | None:
    """What results `wanted` need; None for everything."""
    if isinstance(spec, ScanSpec):
        return _scan(spec, wanted)
    if isinstance(spec, LoopSpec):
        return _loop(spec, wanted)
    assert isinstance(spec, BranchSpec)
    return _branch(spec, wanted)


def _scan(spec: ScanSpec, wanted: set[int]) -> Trimmed | None:
    body, first, last = spec.body, spec.num_constants, spec.num_constants + spec.num_carry
    around = carried(body, first, spec.num_carry, wanted, set())
    still = _still(body, first, around, wanted)
    moving = sorted(around - still)
    results = [*moving, *sorted(number for number in wanted if number >= spec.num_carry)]
    used = used_by(body, results)
    constants = [n for n in used if n < first or n - first in still]
    xs = [n for n in used if n >= last]
    inputs = [*constants, *(first + n for n in moving), *xs]
    if not still and (len(inputs), len(results)) == (len(body.arguments), len(body.results)):
        return None
    new = replace(spec, body=_part(body, inputs, results), num_constants=len(constants),
                  num_carry=len(moving))  # fmt: skip
    return Trimmed(new, tuple(inputs), tuple(results))


def _loop(spec: LoopSpec, wanted: set[int]) -> Trimmed | None:
    condition, body = spec.condition, spec.body
    asked, first = spec.num_condition, spec.num_body
    shift = asked + first  # of the carry among the inputs
    count = len(body.arguments) - first
    read = used_by(condition, (0,))
    around = carried(body, first, count, wanted, {n - asked for n in read if n >= asked})
    still = _still(body, first, around, wanted)
    moving = sorted(around - still)
    below = used_by(body, moving)
    of_condition = [n for n in read if n < asked or n - asked in still]
    of_body = [n for n in below if n < first or n - first in still]
    if len(moving) == count and (len(of_condition), len(of_body)) == (asked, first):
        return None
    new = LoopSpec(
        _part(condition, [*of_condition, *(asked + n for n in moving)], (0,)),
        _part(body, [*of_body, *(first + n for n in moving)], moving),
        len(of_condition), len(of_body),
    )  # fmt: skip
    inputs = (
        *(n if n < asked else n - asked + shift for n in of_condition),
        *(n + asked for n in of_body),
        *(n + shift for n in moving),
    )
    return Trimmed(new, inputs, tuple(moving))


def _branch(spec: BranchSpec, wanted: set[int]) -> Trimmed | None:
    results = sorted(wanted)
    used = sorted({place for body in spec.branches for place in used_by(body, results)})
    first = spec.branches[0]
    if len(used) == len(first.arguments) and len(results) == len(first.results):
        return None
    new = BranchSpec(tuple(_part(body, used, results) for body in spec.branches))
    return Trimmed(new, (0, *(1 + n for n in used)), tuple(results))


# --- bodies --------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def needs(body: Body) -> tuple[frozenset[int], ...]:
    """For each result the arguments (by number) that it depends on, loops inside being trimmed."""
    number = {node: n for n, node in enumerate(body.arguments)}
    return tuple(
        frozenset(number[node] for node in toposort(trim([root])) if node in number)
        for root in body.results
    )


def used_by(body: Body, results: Iterable[int]) -> list[int]:
    """The arguments that these results depend on, in order."""
    below = needs(body)
    return sorted(frozenset().union(*(below[number] for number in results)))


def carried(body: Body, first: int, count: int, wanted: Iterable[int], read: set[int]) -> set[int]:
    """Which of the `count` values that go around, from argument `first` on, have to: those wanted
    (results of `body`), what computing these takes, and what is `read` besides."""
    needed = set(read)
    todo = set(wanted) | needed
    while todo:
        needed |= {number for number in todo if number < count}
        below = used_by(body, todo)
        todo = {n - first for n in below if first <= n < first + count} - needed
    return needed


def _still(body: Body, first: int, numbers: Iterable[int], wanted: set[int]) -> set[int]:
    """Those of the carried values that a step hands on as they are."""
    return {
        n for n in numbers
        if body.results[n] is body.arguments[first + n] and n not in wanted
    }  # fmt: skip


def _part(body: Body, arguments: Sequence[int], results: Sequence[int]) -> Body:
    return Body([body.arguments[n] for n in arguments], trim([body.results[n] for n in results]))
