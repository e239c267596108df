"""Dimension orders and strides: one is made of the other, and made again is the same."""

from itertools import permutations

import numpy as np
import pytest

from ambos.compiler.layout import order_of, strides_in_order
from ambos.core.shape import row_major

SHAPES = [(2, 3, 4), (2, 1, 4), (1, 3, 1), (2, 3, 1), (1, 1, 1), (2, 1, 1, 5), (1, 3, 4, 1), ()]


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_that_lie_alike_have_equal_strides(shape):
    assert strides_in_order(shape, range(len(shape))) == row_major(shape)
    known = {}
    for order in permutations(range(len(shape))):
        strides = strides_in_order(shape, order)
        assert strides_in_order(shape, order_of(strides)) == strides
        lies = tuple(dim for dim in order if shape[dim] != 1)
        assert known.setdefault(lies, strides) == strides
        block = np.lib.stride_tricks.as_strided(
            np.arange(max(1, np.prod(shape)), dtype=np.int8), shape, strides
        )
        assert sorted(block.ravel().tolist()) == [*range(max(1, int(np.prod(shape))))]
