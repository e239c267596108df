"""Every op for many examples at once, against the same op on one example after another: the same
bits."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from ambos.autodiff import batched
from ambos.core.dtype import DType, float32
from ambos.graph.node import Node
from ambos.ops import registry
from ambos.ops.kinds import Op
from ambos.ops.sources import argument, data
from ambos.testing.samples import Sample, accepted, samples
from tests.ops.evaluators import EVALUATORS
from tests.ops.test_registry import same_bits

OPS = [op for op in registry.values() if op.kind not in ("source", "control")]
SIZE = 3


def subsets(count: int) -> list[tuple[bool, ...]]:
    """Which of `count` operands are batched: every choice of a few; of many, all or one."""
    sizes = range(1, count + 1) if count <= 3 else (1, count)
    chosen = [c for n in sizes for c in combinations(range(count), n)]
    return [tuple(i in c for i in range(count)) for c in chosen]


def stacked(leaves: list[Node]) -> Node:
    values = np.stack([leaf.value for leaf in leaves])
    return data.leaf(values, values.shape, leaves[0].dtype, leaves[0].tracked)


def pairs(sample: Sample, dtype: DType) -> list[tuple[Node, list[Node]]]:
    """The node of all examples and that of each, for every choice of batched operands."""
    rows = [sample.leaves(dtype, seed) for seed in range(SIZE)]
    columns = [list(column) for column in zip(*rows, strict=True)]
    arguments = [argument.leaf(x.shape, x.dtype, x.tracked) for x in rows[0]]
    found = []
    for choice in subsets(len(columns)):
        one = [a if c else x for a, c, x in zip(arguments, choice, rows[0], strict=True)]
        given = {a: stacked(column) for a, column in zip(arguments, columns, strict=True)}
        ((together, depends),) = batched([sample.build(one)], given, SIZE)
        assert depends
        alone = [
            sample.build([x if c else y for x, c, y in zip(row, choice, rows[0], strict=True)])
            for row in rows
        ]
        assert (together.shape, together.dtype) == ((SIZE, *alone[0].shape), alone[0].dtype)
        assert together.tracked == alone[0].tracked
        found.append((together, alone))
    return found


def dtype_of(op: Op) -> DType:
    kinds = accepted(op)
    return float32 if float32 in kinds else kinds[0]


SAMPLED = [op for op in OPS if samples(op) and accepted(op)]


@pytest.mark.parametrize("op", SAMPLED, ids=lambda op: op.name)
def test_like_a_loop(op: Op) -> None:
    cases = [(sample, *pair) for sample in samples(op) for pair in pairs(sample, dtype_of(op))]
    nodes = [node for _, together, alone in cases for node in (together, *alone)]
    values = iter(EVALUATORS["compiled"](nodes))
    for sample, together, alone in cases:
        found, expected = next(values), np.stack([next(values) for _ in alone])
        assert same_bits(found, expected).all(), (str(sample), sample.attrs, together)
