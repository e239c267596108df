"""What loops and branches lose when nobody needs it, and that results stay what they were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ambos.compiler.trim import trim
from ambos.core.dtype import int32
from ambos.graph.node import Node
from ambos.graph.rewrite import rewrite
from ambos.ops.kinds import constant
from ambos.ops.simplify import SIMPLIFICATIONS
from ambos.testing import reference
from tests.compiler.control import chosen, looped, numbers, op, scanned, whole


def trimmed(*nodes: Node) -> list[Node]:
    """What the compiler makes of `nodes`, which have the same values."""
    found = trim(rewrite(nodes, SIMPLIFICATIONS))
    before, after = reference.evaluate(nodes), reference.evaluate(found)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    return found


def body(k: Node, unused: Node, a: Node, b: Node, fixed: Node, x: Node, z: Node) -> list[Node]:
    new = op("add", op("multiply", a, fixed), x)
    return [new, op("add", b, z), fixed, op("multiply", new, k), op("negative", z)]


def parts() -> tuple[Node, ...]:
    return scanned(
        body, (numbers(3), numbers(3)), (numbers(3), numbers(3), numbers(3)),
        (numbers(4, 3), numbers(4, 3)),
    )  # fmt: skip


def test_a_scan_keeps_what_a_result_needs() -> None:
    last, b, fixed, ys, negated = parts()
    for node, shapes, counts in (
        (last, [(3,), (3,), (4, 3)], (1, 1)),  # `fixed` is a constant now
        (b, [(3,), (4, 3)], (0, 1)),
        (ys, [(3,), (3,), (3,), (4, 3)], (2, 1)),
        (negated, [(4, 3)], (0, 0)),
    ):
        (found,) = trimmed(node)
        spec = found.attrs[1]
        assert [source.shape for source in found.inputs] == shapes
        assert (spec.num_constants, spec.num_carry) == counts
        assert found.attrs[0] == 0 if node is not ys else found.attrs[0] == 1
    assert trimmed(fixed) == [fixed.inputs[4]]
    assert len({node.attrs[1] for node in trimmed(last, ys)}) == 1  # still one loop


def test_what_fed_only_that_goes_as_well() -> None:
    """A loop that only gave what another one does not need is gone; one part of it may be left."""
    first = parts()
    second = scanned(
        lambda a, b, x: [op("add", a, x), op("exp", b)], carry=(numbers(3), first[1]),
        xs=(first[3],),
    )  # fmt: skip
    (found,) = trimmed(second[0])
    _, xs = found.inputs
    assert xs.op.name == "scan"
    assert len(xs.inputs) == 4
    assert trimmed(found) == [found]


def test_a_while_keeps_what_its_condition_reads() -> None:
    def step(k: Node, n: Node, x: Node, y: Node, z: Node) -> list[Node]:
        return [op("add", n, constant(1, int32)), op("add", x, z), op("multiply", y, k), z]

    results = looped(
        lambda most, n, x, y, z: op("less", n, most), step,
        (whole(0), numbers(3), numbers(3), numbers(3)), (whole(3),), (numbers(3),),
    )  # fmt: skip
    (count,) = trimmed(results[0])
    assert [source.shape for source in count.inputs] == [(), ()]
    (x,) = trimmed(results[1])
    assert [source.shape for source in x.inputs] == [(), (3,), (), (3,)]
    assert (x.attrs[1].num_condition, x.attrs[1].num_body) == (1, 1)
    assert trimmed(results[3]) == [results[3].inputs[-1]]


def test_a_branch_keeps_the_operands_of_any() -> None:
    a, b, c = (numbers(3) for _ in range(3))

    def calls(*which: int) -> Sequence:
        return [lambda *x, i=i: [op("negative", x[i]), op("exp", x[2]), x[0]] for i in which]

    first, _, same = chosen(whole(1), calls(0, 1), (a, b, c))
    (found,) = trimmed(first)
    assert found.inputs == (first.inputs[0], a, b)
    assert trimmed(same) == [a]


def test_bodies_inside_bodies() -> None:
    """What is not needed inside is not needed outside."""

    def outer(c: Node, d: Node, x: Node) -> list[Node]:
        found = scanned(
            lambda a, b, y: [op("add", a, y), op("multiply", b, y)], carry=(c, d), xs=(x,)
        )
        return [found[0], found[1]]

    results = scanned(outer, carry=(numbers(3), numbers(3)), xs=(numbers(2, 4, 3),))
    (found,) = trimmed(results[0])
    assert len(found.inputs) == 2
