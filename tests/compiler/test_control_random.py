"""Loops and branches drawn at random, in each other and of every kind: the reference's values, and
the same bits on one thread and two, fused and not."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from ambos.core.dtype import float32, int32, int64
from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.ops.kinds import constant
from ambos.ops.sources import data
from tests.compiler.control import chosen, looped, op, scanned
from tests.ops.evaluators import EVALUATORS, configured

SHAPES: list[Shape] = [(), (3,), (4, 3), (3, 3), (2, 4, 3)]


class Draw:
    """Graphs of float32, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def some(self, pool: Sequence[Node], shape: Shape) -> Node:
        """A node of this shape: of the pool, a scalar of it spread out, or a number."""
        alike = [node for node in pool if node.shape == shape]
        scalars = [node for node in pool if node.shape == ()]
        if alike and self.rng.random() < 0.85:
            return self.rng.choice(alike)
        if not scalars or not shape:
            return constant(self.rng.choice([0.5, 1.0, -0.25]), float32, shape)
        single = op("reshape", self.rng.choice(scalars), attrs=((1,) * len(shape),))
        return op("expand", single, attrs=(shape,))

    def step(self, pool: Sequence[Node], shape: Shape) -> Node:
        """One more node."""
        x, kind = self.some(pool, shape), self.rng.randrange(6)
        if kind == 0 and shape:
            return op("sum", x, attrs=((self.rng.randrange(len(shape)),),))
        if kind == 1 and len(shape) == 2:
            return op("flip", x, attrs=((0,),))
        if kind == 2 and shape:
            place = constant(self.rng.randrange(shape[0]), int64, (1,))
            row = self.some(pool, (1, *shape[1:]))
            return op(self.rng.choice(["put", "scatter_add"]), x, place, row, attrs=(0,))
        if kind == 3:
            return op(self.rng.choice(["tanh", "negative", "sin"]), x)
        return op(self.rng.choice(["add", "multiply", "maximum"]), x, self.some(pool, shape))

    def results(self, given: Sequence[Node], shapes: Sequence[Shape], depth: int) -> list[Node]:
        """What a body makes of what it is given."""
        pool = list(given)
        for _ in range(self.rng.randint(1, 6)):
            if depth and self.rng.random() < 0.2:
                pool += self.control(pool, depth - 1)
            else:
                pool.append(self.step(pool, self.rng.choice([*shapes, *(n.shape for n in pool)])))
        found = [self.some(pool[-5:], shape) for shape in shapes]
        return [op("tanh", x) if self.rng.random() < 0.5 else x for x in found]

    def control(self, pool: Sequence[Node], depth: int) -> list[Node]:
        """Some results of a loop or branch over nodes of the pool."""
        rng = self.rng
        carry = [rng.choice(pool) for _ in range(rng.randint(1, 3))]
        constants = [rng.choice(pool) for _ in range(rng.randint(0, 2))]
        shapes, kind = [node.shape for node in carry], rng.random()
        if kind < 0.6:
            parts = self.scan(pool, constants, carry, depth)
        elif kind < 0.8:
            limit, place = constant(rng.randint(0, 3), int32), len(constants)

            def body(*given: Node) -> list[Node]:
                count, others = given[place], (*given[:place], *given[place + 1 :])
                return [op("add", count, constant(1, int32)), *self.results(others, shapes, depth)]

            parts = looped(
                lambda n, *_: op("less", n, limit),
                body,
                (constant(0, int32), *carry),
                (),
                constants,
            )[1:]
        else:
            calls = [lambda *x: self.results(x, shapes, depth) for _ in range(rng.randint(1, 3))]
            total = rng.choice(pool)
            total = op("sum", total, attrs=(tuple(range(total.rank)),)) if total.rank else total
            number = op("cast", op("greater", total, constant(0.0, float32)), attrs=(int32,))
            number = op("minimum", number, constant(len(calls) - 1, int32))
            parts = chosen(number, calls, [*carry, *constants])
        return [part for part in parts if rng.random() < 0.8] or list(parts[:1])

    def scan(
        self, pool: Sequence[Node], constants: Sequence[Node], carry: Sequence[Node], depth: int
    ) -> tuple[Node, ...]:
        rng, length, xs = self.rng, self.rng.randint(1, 4), list[Node]()
        long = [node for node in pool if node.shape]
        if long and rng.random() < 0.7:
            xs = [rng.choice(long)]
            length = xs[0].shape[0]
        shapes = [node.shape for node in carry]
        shapes += [rng.choice(pool).shape for _ in range(rng.randint(0, 2))]
        return scanned(
            lambda *given: self.results(given, shapes, depth), constants, carry, xs, length,
            rng.random() < 0.4,
        )  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_random_loops(seed: int) -> None:
    values = np.random.default_rng(seed)
    given = [values.uniform(-1, 1, shape) for shape in SHAPES]
    leaves = [
        data.leaf(np.asarray(x, np.float32), shape, float32)
        for x, shape in zip(given, SHAPES, strict=True)
    ]
    roots = Draw(seed).control(leaves, 2)
    found = EVALUATORS["compiled"](roots)
    for a, b in zip(found, EVALUATORS["reference"](roots), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
    with configured(threads=2):
        for a, b in zip(found, EVALUATORS["compiled"](roots), strict=True):
            assert a.tobytes() == b.tobytes()
    for a, b in zip(found, EVALUATORS["unfused"](roots), strict=True):
        assert a.tobytes() == b.tobytes()
