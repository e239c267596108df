"""Verification catches nodes that are not what their op infers."""

from __future__ import annotations

import numpy as np
import pytest

from ambos.core.dtype import DType, float32, float64
from ambos.core.errors import AmbosError, CompilerError
from ambos.graph import verify
from ambos.graph.node import Node
from ambos.ops.arithmetic import add, negative
from ambos.ops.sources import data


def leaf(size: int) -> Node:
    return data.leaf(np.ones(size), (size,), float64)


def broken(inputs: tuple[Node, ...], shape: tuple[int, ...], dtype: DType) -> Node:
    """A sum whose maker did not ask the op."""
    node = Node.__new__(Node)
    node.op, node.inputs, node.attrs = add, inputs, ()
    node.shape, node.dtype, node.tracked, node.value = shape, dtype, False, None
    return node


def test_a_sound_graph_passes() -> None:
    x = leaf(2)
    verify([negative(add(x, x)), x])


def test_a_wrong_shape_or_dtype_is_caught_wherever_it_is() -> None:
    x = leaf(2)
    with pytest.raises(CompilerError, match=r"fuse: add holds float64\[3\] but infers float64\[2"):
        verify([negative(broken((x, x), (3,), float64))], "fuse")
    with pytest.raises(CompilerError, match=r"graph: add holds float32\[2\]"):
        verify([x, broken((x, x), (2,), float32)])


def test_inputs_that_do_not_fit_are_caught() -> None:
    with pytest.raises(AmbosError, match="add"):
        verify([broken((leaf(2), leaf(3)), (2,), float64)])
    with pytest.raises(AmbosError, match="add"):
        verify([broken((leaf(2),), (2,), float64)])
