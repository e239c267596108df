"""Gradients, tangents and examples of a branch: branches again."""

from __future__ import annotations

from collections.abc import Sequence

from ambos.core.dtype import bool_, int32
from ambos.graph.body import Body
from ambos.graph.node import Node
from ambos.ops.arithmetic import equal, where
from ambos.ops.bodies import argument_like, filled, guarded, pruned
from ambos.ops.control_specs import Batched, BranchSpec, Gradients, Tangents
from ambos.ops.kinds import Grads, constant, constant_like, op, repeated
from ambos.ops.movement import expand, reshape
from ambos.ops.sources import argument


def branched(number: Node, operands: Sequence[Node], bodies: Sequence[Body]) -> tuple[Node, ...]:
    """The results of one of `bodies`, which all take `operands`."""
    kept, bodies = pruned(operands, bodies)
    found: tuple[Node, ...] = op("branch").parts(number, *kept, spec=BranchSpec(tuple(bodies)))
    return found


def branch_gradients(
    inputs: tuple[Node, ...], spec: BranchSpec, given: Sequence[Node | None],
    needed: Sequence[bool], gradients: Gradients,
) -> Grads:  # fmt: skip
    """The branch that was taken is computed again, as far as its gradient needs it."""
    number, *operands = inputs
    places = [place for place, wanted in enumerate(needed[1:]) if wanted]
    ends = [place for place, g in enumerate(given) if g is not None]
    seeds = [argument_like(g) for g in given if g is not None]
    shares = [
        gradients([body.results[end] for end in ends], seeds,
                  [body.arguments[place] for place in places])
        for body in spec.branches
    ]  # fmt: skip
    places, rows = _without_none(places, shares)
    bodies = [
        Body((*body.arguments, *seeds), filled(row, (body.arguments[place] for place in places)))
        for body, row in zip(spec.branches, rows, strict=True)
    ]
    result: list[Node | None] = [None] * len(inputs)
    if places:
        parts = branched(number, [*operands, *(g for g in given if g is not None)], bodies)
        for place, part in zip(places, parts, strict=True):
            result[1 + place] = part
    return tuple(result)


def branch_tangents(
    inputs: tuple[Node, ...], spec: BranchSpec, given: Sequence[Node | None], tangents: Tangents
) -> list[Node | None]:
    """The tangents of all results, from those `given` of the inputs."""
    number, *operands = inputs
    moving = [place for place, tangent in enumerate(given[1:]) if tangent is not None]
    seeds = [argument_like(operands[place]) for place in moving]
    found = [
        tangents(body.results, [body.arguments[place] for place in moving], seeds)
        for body in spec.branches
    ]
    ends, rows = _without_none(list(range(len(found[0]))), found)
    bodies = [
        Body((*body.arguments, *seeds), filled(row, (body.results[end] for end in ends)))
        for body, row in zip(spec.branches, rows, strict=True)
    ]
    result: list[Node | None] = [None] * len(found[0])
    if ends:
        values = [tangent for tangent in given[1:] if tangent is not None]
        for end, part in zip(ends, branched(number, [*operands, *values], bodies), strict=True):
            result[end] = part
    return result


def _without_none(
    names: Sequence[int], rows: Sequence[Sequence[Node | None]]
) -> tuple[list[int], list[list[Node | None]]]:
    """Without the columns, named by `names`, in which no row has a node."""
    kept = [i for i in range(len(names)) if any(row[i] is not None for row in rows)]
    return [names[i] for i in kept], [[row[i] for i in kept] for row in rows]


def branch_examples(
    inputs: tuple[Node, ...], spec: BranchSpec, which: Sequence[bool], size: int, batched: Batched
) -> list[tuple[Node, bool]]:
    """All results for `size` examples. If they take different branches, all are computed and each
    example gets what its own gives."""
    number, *operands = inputs
    places = [place for place, has in enumerate(which[1:]) if has]
    bodies, flags = [], []
    for body in spec.branches:
        examples = {
            body.arguments[place]: argument_like(body.arguments[place], operands[place].shape)
            for place in places
        }
        taken, by_whom = argument.leaf((), bool_), argument.leaf((size,), bool_)
        results = guarded(body.results, taken) if which[0] else body.results
        found = batched(results, examples | {taken: by_whom}, size)
        arguments = [examples.get(node, node) for node in body.arguments]
        arguments += [by_whom] if which[0] else []
        bodies.append((arguments, [end for end, _ in found]))
        flags.append([has for _, has in found])
    has_any = [which[0] or any(column) for column in zip(*flags, strict=True)]
    closed = [
        Body(arguments, [
            repeated(end, size) if wanted and not has else end
            for end, has, wanted in zip(ends, row, has_any, strict=True)
        ])
        for (arguments, ends), row in zip(bodies, flags, strict=True)
    ]  # fmt: skip
    if not which[0]:
        return list(zip(branched(number, operands, closed), has_any, strict=True))
    rows = [body.on([*operands, equal(number, constant_like(number, branch))])
            for branch, body in enumerate(closed)]  # fmt: skip
    return [(_chosen(number, column), True) for column in zip(*rows, strict=True)]


def _chosen(number: Node, results: Sequence[Node]) -> Node:
    """For each example the result that `number` says."""
    shape = results[0].shape
    spread = expand(reshape(number, attrs=((shape[0], *(1,) * (len(shape) - 1)),)), attrs=(shape,))
    found = results[-1]
    for place in range(len(results) - 2, -1, -1):
        found = where(equal(spread, constant(place, int32, shape)), results[place], found)
    return found
