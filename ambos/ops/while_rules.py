"""Tangents and examples of loops without a known length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ambos.core.dtype import bool_
from ambos.graph.node import Node
from ambos.graph.rewrite import substitute
from ambos.ops.arithmetic import bitwise_and, where
from ambos.ops.bodies import argument_like, depending, enclose, filled, guarded
from ambos.ops.control_specs import Batched, LoopSpec, Tangents
from ambos.ops.kinds import op, repeated
from ambos.ops.movement import expand, reshape
from ambos.ops.reductions import any_
from ambos.ops.sources import argument
from ambos.ops.steps import Carried, step_tangents

Values = Mapping[Node, Node]


def looped(
    carry: Sequence[Carried], conditions: Sequence[Node], condition: Node,
    outside: Values, outside_condition: Values,
) -> tuple[Node, ...]:  # fmt: skip
    """The last carry of a loop that goes on while `condition`, a function of the arguments
    `conditions` (one for each of the carry), holds. What depends on neither is computed outside;
    `outside` and `outside_condition` hold values of arguments of another loop's."""
    arguments, ends = [c.argument for c in carry], [c.end for c in carry]
    test, question = enclose(
        conditions, [condition], depending(conditions, [condition]).__contains__
    )
    operands, body = enclose(arguments, ends, depending(arguments, ends).__contains__)
    spec = LoopSpec(question, body, len(test), len(operands))
    values = [*substitute(test, outside_condition), *substitute(operands, outside)]
    found: tuple[Node, ...] = op("while_loop").parts(*values, *(c.start for c in carry), spec=spec)
    return found


def while_tangents(
    inputs: tuple[Node, ...], spec: LoopSpec, given: Sequence[Node | None], tangents: Tangents
) -> list[Node | None]:
    """The tangents of the last carry, from those `given` of the inputs: one loop over both."""
    body = spec.body
    test, constants, starts = spec.split(inputs)
    _, _, changes = spec.split(filled(given, inputs))
    own, carry = body.arguments[: spec.num_body], body.arguments[spec.num_body :]
    moving, found = step_tangents(body, carry, given[spec.num_condition :], tangents)
    ends = filled(found, body.results)
    change = dict(zip(body.arguments, filled(given, inputs)[spec.num_condition :], strict=True))
    also = [place for place, node in enumerate(carry) if node in moving]
    if not also:
        return [None] * len(carry)
    asked = spec.condition.arguments[spec.num_condition :]
    lasts = looped(
        [*map(Carried, carry, starts, body.results)]
        + [Carried(moving[carry[n]], changes[n], ends[n]) for n in also],
        [*asked, *(argument_like(asked[n]) for n in also)], spec.condition.results[0],
        dict(zip(own, constants, strict=True))
        | {moving[node]: change[node] for node in own if node in moving},
        dict(zip(spec.condition.arguments, test, strict=False)),
    )  # fmt: skip
    last = dict(zip(also, lasts[len(carry) :], strict=True))
    return [last.get(place) for place in range(len(carry))]


def while_examples(
    inputs: tuple[Node, ...], spec: LoopSpec, which: Sequence[bool], size: int, batched: Batched
) -> list[tuple[Node, bool]]:
    """The last carry of `size` examples. If the condition differs between them, the loop goes on
    until it holds for none, and leaves alone those for which it does not hold any more."""
    condition, body = spec.condition, spec.body
    of_test, of_body, of_carry = (list(flags) for flags in spec.split(which))

    active, each_active = argument.leaf((), bool_), argument.leaf((size,), bool_)

    def run(
        flags: Sequence[bool], arguments: Sequence[Node], results: Sequence[Node]
    ) -> tuple[list[Node], list[tuple[Node, bool]]]:
        examples = {
            node: argument_like(node, (size, *node.shape))
            for node, has in zip(arguments, flags, strict=True)
            if has
        } | {active: each_active}
        return [examples.get(node, node) for node in arguments], batched(results, examples, size)

    while True:
        asked, [(goes_on, differs)] = run([*of_test, *of_carry], condition.arguments,
                                          condition.results)  # fmt: skip
        results = guarded(body.results, active) if differs else body.results
        arguments, found = run([*of_body, *of_carry], body.arguments, results)
        wider = [has or differs or more for has, (_, more) in zip(of_carry, found, strict=True)]
        if wider == of_carry:
            break
        of_carry = wider
    test, constants, starts = spec.split(inputs)
    _, _, had = spec.split(which)
    starts = [
        repeated(start, size) if wanted and not has else start
        for start, has, wanted in zip(starts, had, of_carry, strict=True)
    ]
    ends = [
        repeated(end, size) if wanted and not has else end
        for (end, has), wanted in zip(found, of_carry, strict=True)
    ]
    carried = [*map(Carried, arguments[spec.num_body :], starts, ends)]
    outside = dict(zip(arguments, constants, strict=False))
    outside_test = dict(zip(asked, test, strict=False))
    asked = asked[spec.num_condition :]
    if differs:
        return _until_all(carried, asked, goes_on, outside, outside_test, each_active)
    lasts = looped(carried, asked, goes_on, outside, outside_test)
    return list(zip(lasts, of_carry, strict=True))


def _until_all(
    carried: Sequence[Carried], asked: Sequence[Node], goes_on: Node, outside: Values,
    outside_test: Values, active: Node,
) -> list[tuple[Node, bool]]:  # fmt: skip
    """The loop over examples with a condition each, which becomes part of the carry, as
    `active`."""

    def condition(values: Sequence[Node]) -> Node:
        (found,) = substitute([goes_on], dict(zip(asked, values, strict=True)) | dict(outside_test))
        return found

    first = condition([carry.start for carry in carried])
    ends = [where(_spread(active, c.end), c.end, c.argument) for c in carried]
    still = bitwise_and(active, condition(ends))
    questions = [argument_like(carry.argument) for carry in carried]
    ask = argument_like(first)
    # Values of the condition's own constants are put in by `condition` already.
    lasts = looped(
        [c._replace(end=end) for c, end in zip(carried, ends, strict=True)]
        + [Carried(active, first, still)],
        [*questions, ask], any_(ask, attrs=((0,),)), outside, {},
    )  # fmt: skip
    return [(last, True) for last in lasts[:-1]]


def _spread(active: Node, like: Node) -> Node:
    """A flag for each example in the shape of `like`."""
    shape = (active.shape[0], *(1,) * (like.rank - 1))
    return expand(reshape(active, attrs=(shape,)), attrs=(like.shape,))
