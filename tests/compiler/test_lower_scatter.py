"""Writes at computed positions are shared out over every axis but the one they are along."""

from __future__ import annotations

import numpy as np
import pytest

import ambos as am
from ambos.compiler.loops import LoopKernel
from ambos.compiler.pipeline import lower_graph
from ambos.core.config import config
from ambos.core.dtype import DType, float32, int64
from ambos.core.shape import Shape, row_major
from ambos.graph.node import Node
from ambos.ops.indexing import gather, last_writer, scatter_elements
from ambos.ops.kinds import constant
from ambos.ops.sources import input_
from ambos.runtime.machine import host_features


def leaf(number: int, shape: Shape, dtype: DType = float32) -> Node:
    return input_.leaf(number, row_major(shape), shape, dtype)


def scattering(node: Node) -> tuple[LoopKernel, int]:
    steps = lower_graph([node], host_features(), threads=2)[1]
    (step,) = [s for s in steps if s.label.startswith(node.op.name)]
    assert isinstance(step.kernel, LoopKernel)
    return step.kernel, step.items


@pytest.mark.parametrize("shape", [(20000, 512), (512, 20000), (9, 2000, 70)], ids=str)
@pytest.mark.parametrize("axis", [0, 1])
def test_the_other_axes_are_shared_out(shape: Shape, axis: int) -> None:
    index = leaf(1, shape, int64)
    target = tuple(50 if a == axis else n for a, n in enumerate(shape))
    added = scatter_elements(leaf(0, target), index, leaf(2, shape), attrs=(axis,))
    for node in (added, last_writer(index, attrs=(axis, 50))):
        kernel, items = scattering(node)
        assert items > 1
        assert (kernel.lane is None) == (axis == len(shape) - 1)  # vectors lie along memory


def test_the_gradient_of_gather_keeps_its_axes() -> None:
    x, g = leaf(0, (3000, 400)), leaf(2, (3000, 30))
    node = gather(x, leaf(1, (3000, 30), int64), attrs=(1,))
    found, _ = gather.vjp(node, g)
    assert scattering(found)[1] > 1
    assert found.inputs[0] is constant(0, float32, (3000, 400))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "bool"])
def test_the_last_of_equal_targets_wins(axis: int, dtype: str) -> None:
    rng = np.random.default_rng(axis)
    x = (9 * rng.standard_normal((5, 37, 20))).astype(dtype)
    index = rng.integers(0, 5, tuple(60 if a == axis else n - 1 for a, n in enumerate(x.shape)))
    new = (9 * rng.standard_normal(index.shape)).astype(dtype)
    expected = x.copy()
    for place in np.ndindex(index.shape):
        target = list(place)
        target[axis] = index[place]
        expected[tuple(target)] = new[place]
    before = config.threads
    for threads in (1, 3):
        config.threads = threads
        found = am.scatter(am.tensor(x), axis, am.tensor(index), am.tensor(new))
        np.testing.assert_array_equal(found.numpy(), expected)
    config.threads = before
