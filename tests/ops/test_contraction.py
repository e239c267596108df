"""Contractions against torch: convolutions of every shape and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ambos.autodiff import gradients
from ambos.core.dtype import as_dtype, float32, float64, int64
from ambos.core.errors import DTypeError, ShapeError
from ambos.graph.node import Node
from ambos.ops.contraction import contract, conv, make_spec, plain
from ambos.ops.sources import data
from ambos.testing.reference import evaluate

TORCH = {
    1: torch.nn.functional.conv1d,
    2: torch.nn.functional.conv2d,
    3: torch.nn.functional.conv3d,
}


def leaf(values: np.ndarray) -> Node:
    dtype = as_dtype(values.dtype)
    return data.leaf(values, values.shape, dtype, tracked=dtype.is_floating)


#       space       window   stride   padding  dilation groups
CONVOLUTIONS = [
    ((9,), (3,), (1,), (1,), (1,), 1),
    ((9,), (3,), (2,), (1,), (1,), 1),
    ((10,), (3,), (2,), (0,), (1,), 2),
    ((12,), (4,), (3,), (2,), (2,), 1),
    ((12,), (3,), (4,), (0,), (1,), 1),  # pixels that no window touches
    ((15,), (3,), (4,), (3,), (2,), 1),
    ((7,), (1,), (3,), (0,), (1,), 1),
    ((5,), (2,), (1,), (4,), (1,), 1),  # windows that see nothing but padding
    ((8, 7), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((8, 7), (3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((8, 9), (2, 3), (2, 3), (0, 1), (1, 2), 2),
    ((6, 6), (3, 2), (3, 2), (1, 0), (2, 3), 4),
    ((7, 7), (7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((4, 5, 6), (2, 3, 2), (1, 2, 2), (1, 0, 1), (2, 1, 1), 2),
]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolution_and_both_gradients_are_torchs(case: tuple) -> None:
    space, taps, stride, padding, dilation, groups = case
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, *space))
    w = rng.normal(size=(8, 4 // groups, *taps))
    tx, tw = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    theirs = TORCH[len(space)](tx, tw, None, stride, padding, dilation, groups)
    g = rng.normal(size=theirs.shape)
    theirs.backward(torch.tensor(g))

    a, b = leaf(x), leaf(w)
    out = conv(a, b, stride, padding, dilation, groups)
    grads = gradients([out], [leaf(g)], [a, b])
    found = evaluate([out, *[node for node in grads if node is not None]])
    for ours, wanted in zip(found, (theirs.detach(), tx.grad, tw.grad), strict=True):
        np.testing.assert_allclose(ours, wanted.numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_the_input_gradient_multiplies_no_zeros_but_padding(case: tuple) -> None:
    """One dense contraction for each residue of the stride, none dilated by zeros: together they
    do about as many products as the forward pass."""
    space, taps, stride, padding, dilation, groups = case
    a = leaf(np.zeros((2, 4, *space)))
    b = leaf(np.zeros((8, 4 // groups, *taps)))
    out = conv(a, b, stride, padding, dilation, groups)
    (grad,) = gradients([out], [leaf(np.zeros(out.shape))], [a])
    assert grad is not None
    products = sum(_products(node) for node in _below(grad) if node.op is contract)
    # Each input pixel (padding included) meets each tap of its residue once.
    pixels = np.prod([n + 2 * p for n, p in zip(space, padding, strict=True)])
    limit = 2 * 4 * 8 // groups * 1.0
    for n, p, r, s in zip(space, padding, taps, stride, strict=True):
        limit *= -(-(n + 2 * p) // s) * r
    assert pixels
    assert products <= limit


def _below(node: Node) -> list[Node]:
    from ambos.graph.node import toposort

    return toposort([node])


def _products(node: Node) -> int:
    return int(np.prod([extent for _, extent in node.attrs[0].extents]))


def test_einsum_with_many_labels_is_numpys() -> None:
    rng = np.random.default_rng(3)
    sizes = {"b": 2, "h": 3, "q": 4, "k": 5, "d": 6}
    a, b = rng.normal(size=(2, 3, 4, 6)), rng.normal(size=(2, 5, 3, 6))
    spec = make_spec(plain("bhqd"), "bkhd", "bhqk", "d", sizes)
    (found,) = evaluate([contract(leaf(a), leaf(b), attrs=(spec,))])
    np.testing.assert_allclose(found, np.einsum("bhqd,bkhd->bhqk", a, b), rtol=1e-12)


def test_errors_say_what_does_not_fit() -> None:
    spec = make_spec(plain("ik"), "kj", "ij", "k", {"i": 2, "j": 3, "k": 4})
    a, b = leaf(np.zeros((2, 4))), leaf(np.zeros((4, 3)))
    with pytest.raises(DTypeError, match="contract: got float64 and int64"):
        contract(a, data.leaf(np.zeros((4, 3), np.int64), (4, 3), int64), attrs=(spec,))
    with pytest.raises(ShapeError, match=r"contract: b \(5, 3\)"):
        contract(a, leaf(np.zeros((5, 3))), attrs=(spec,))
    with pytest.raises(ShapeError, match=r"contract: a \(2, 5\)"):
        contract(leaf(np.zeros((2, 5))), b, attrs=(spec,))
    assert a.dtype is float64
    assert float32 is not float64
