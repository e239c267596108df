"""Wholes made of parts: what is computed in place, what is copied, and the zeros around it."""

from __future__ import annotations

import numpy as np
import pytest

from ambos.autodiff import gradients
from ambos.compiler.layout import Memory, strides_in_order
from ambos.compiler.parts import borders
from ambos.compiler.pipeline import lower_graph
from ambos.core.dtype import float32
from ambos.core.features import AVX512
from ambos.core.shape import Shape, row_major
from ambos.graph import Node
from ambos.ops.arithmetic import relu
from ambos.ops.contraction import conv
from ambos.ops.movement import pad
from ambos.ops.reductions import sum_
from ambos.ops.sources import input_
from tests.workloads import normalized


def leaf(number: int, *shape: int) -> Node:
    return input_.leaf(number, row_major(shape), shape, float32)


def padded_conv(x: Node, number: int) -> Node:
    return conv(x, leaf(number, 16, x.shape[1], 3, 3), (1, 1), (1, 1), (1, 1), 1)


def copies(roots: list[Node]) -> int:
    """Launches that copy a whole image."""
    _, steps, _ = lower_graph(roots, AVX512, 1)
    return sum(s.label.startswith("copy [2, 16, 8, 8]") for s in steps)


def test_a_padded_result_is_computed_in_place() -> None:
    hidden = relu(padded_conv(leaf(0, 2, 16, 8, 8), 1))
    assert copies([padded_conv(hidden, 2)]) == 1  # the program's input


def test_a_result_that_is_asked_for_has_its_own_block() -> None:
    hidden = relu(padded_conv(leaf(0, 2, 16, 8, 8), 1))
    assert copies([padded_conv(hidden, 2), hidden]) == 2


def test_what_sums_walk_has_no_gaps() -> None:
    hidden = relu(padded_conv(leaf(0, 2, 16, 8, 8), 1))
    total = sum_(hidden, attrs=((0, 2, 3),))
    assert copies([padded_conv(hidden, 2), total]) == 2


def test_a_second_whole_takes_a_copy() -> None:
    hidden = relu(padded_conv(leaf(0, 2, 16, 8, 8), 1))
    wide = conv(hidden, leaf(3, 4, 16, 5, 5), (1, 1), (2, 2), (1, 1), 1)
    assert copies([padded_conv(hidden, 2), wide]) == 2


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0)])
def test_borders_cover_what_lies_outside_once(order: Shape) -> None:
    whole = pad(leaf(0, 2, 3, 4, 5), attrs=((0, 1, 2, 0), (3, 0, 1, 2)))
    memory = Memory(float32, whole.shape, strides_in_order(whole.shape, order))
    seen = np.zeros(whole.shape, int)
    seen[0:2, 1:4, 2:6, 0:5] += 1
    for start, shape in borders(whole, memory):
        seen[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))] += 1
    assert (seen == 1).all()


def test_a_part_addresses_its_place_in_the_whole() -> None:
    memory = Memory(float32, (6, 8), (8, 1))
    part = memory.part((1, 2), (2, 3), (2, 2)).part((1, 0), (1, 1), (1, 2))
    assert (part.whole, part.start, part.strides) == (memory, 3 * 8 + 2, (16, 3))
    assert not part.is_row_major


def test_strided_gradients_are_woven_in_place() -> None:
    x = leaf(0, 2, 16, 8, 8)
    x.tracked = True
    y = conv(x, leaf(1, 16, 16, 3, 3), (2, 2), (1, 1), (1, 1), 1)
    (gradient,) = gradients([y], [leaf(2, *y.shape)], [x])
    assert gradient is not None
    _, steps, _ = lower_graph([gradient], AVX512, 1)
    assert sum(s.label.startswith("contract") for s in steps) == 4
    assert not any(s.label.startswith("interleave") for s in steps)


def test_a_network_with_normalisation_settles() -> None:
    hidden = relu(normalized(padded_conv(leaf(0, 2, 16, 8, 8), 1), (0, 2, 3)))
    assert copies([padded_conv(hidden, 2)]) >= 1
