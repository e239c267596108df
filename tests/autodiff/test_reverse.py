"""Reverse mode: which paths carry gradients, sums over paths, and torch's numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ambos.autodiff import gradients, ones_like
from ambos.core.dtype import bfloat16, float16, float32, float64, int64
from ambos.core.errors import GradientError
from ambos.graph import toposort, verify
from ambos.graph.node import Node
from ambos.ops.arithmetic import add, cast, less, maximum, multiply, subtract, where
from ambos.ops.contraction import contract, make_spec, plain
from ambos.ops.functions import erf, exp, floor, log, power, sqrt, tanh
from ambos.ops.indexing import take
from ambos.ops.kinds import constant, constant_like
from ambos.ops.movement import detach, expand, reshape
from ambos.ops.reductions import argmax, max_, sum_
from ambos.ops.sources import data
from ambos.testing.reference import evaluate


def leaf(values: object, tracked: bool = True) -> Node:
    array = np.asarray(values, np.float64)
    return data.leaf(array, array.shape, float64, tracked)


def total(node: Node) -> Node:
    return sum_(node, attrs=(tuple(range(node.rank)),))


def gradient(output: Node, wanted: Node) -> np.ndarray:
    (node,) = gradients([output], [ones_like(output)], [wanted])
    assert node is not None
    verify([node])
    assert (node.shape, node.dtype) == (wanted.shape, wanted.dtype)
    return evaluate([node])[0]


def test_paths_add_up() -> None:
    x = leaf([1.0, 2.0, 3.0])
    assert gradient(add(multiply(x, x), x), x).tolist() == [3.0, 5.0, 7.0]


def test_no_path_is_none_not_zero() -> None:
    x, y = leaf([1.0]), leaf([2.0])
    assert gradients([multiply(x, x)], [leaf([1.0])], [y]) == [None]


def test_untracked_nodes_block() -> None:
    x, still = leaf([3.0]), leaf([2.0], tracked=False)
    out = multiply(x, still)
    assert gradients([out], [ones_like(out)], [still]) == [None]
    assert gradient(out, x).tolist() == [2.0]
    assert gradients([still], [ones_like(still)], [x]) == [None]


def test_detach_blocks() -> None:
    x = leaf([3.0])
    out = multiply(x, detach(x))
    assert gradient(out, x).tolist() == [3.0]
    assert gradients([detach(x)], [ones_like(x)], [x]) == [None]


def test_steps_and_comparisons_carry_nothing() -> None:
    x = leaf([1.5, 2.5])
    assert gradients([floor(x)], [ones_like(x)], [x]) == [None]
    out = where(less(x, constant_like(x, 2)), multiply(x, x), x)
    assert gradient(out, x).tolist() == [3.0, 1.0]
    position = argmax(x, attrs=((0,),))
    assert not position.tracked
    assert gradient(take(x, reshape(position, attrs=((1,),)), attrs=(0,)), x).tolist() == [0, 1]


def test_an_output_is_its_own_gradient() -> None:
    x = leaf([1.0, 2.0])
    assert gradients([x], [ones_like(x)], [x]) == [ones_like(x)]


def test_intermediate_nodes_can_be_wanted() -> None:
    x = leaf([2.0])
    middle = multiply(x, x)
    out = multiply(middle, middle)
    first, second = gradients([out], [ones_like(out)], [middle, x])
    assert first is not None
    assert second is not None
    assert [float(v[0]) for v in evaluate([first, second])] == [8.0, 32.0]


def test_several_outputs_weigh_in() -> None:
    x = leaf([2.0])
    a, b = multiply(x, x), add(x, x)
    (node,) = gradients([a, b, a], [leaf([1.0]), leaf([10.0]), leaf([100.0])], [x])
    assert node is not None
    assert evaluate([node])[0].tolist() == [4.0 + 20.0 + 400.0]


def test_only_what_leads_there_is_visited() -> None:
    """The gradient of the last layer does not differentiate the first."""
    w1, w2, x = leaf([2.0]), leaf([3.0]), leaf([1.0], tracked=False)
    hidden = exp(multiply(x, w1))
    out = multiply(hidden, w2)
    (node,) = gradients([out], [ones_like(out)], [w2])
    assert node is not None
    assert w2 not in toposort([node])


def test_a_seed_must_fit() -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(GradientError, match=r"backward: .* float64\[3\]; need float64\[2\]"):
        gradients([x], [leaf([1.0, 1.0, 1.0])], [x])
    with pytest.raises(GradientError, match=r"float32\[2\]; need float64\[2\]"):
        gradients([x], [constant(1, float32, (2,))], [x])


def test_gradients_keep_the_dtype_of_their_input() -> None:
    for dtype in (float16, bfloat16, float32):
        x = data.leaf(np.ones(2, "float16" if dtype is float16 else "float32"), (2,), dtype, True)
        out = total(cast(multiply(x, x), attrs=(float64,)))
        assert gradient(out, x).tolist() == [2.0, 2.0]


def test_depth_is_no_limit() -> None:
    x = leaf([1.0])
    node = x
    for _ in range(20_000):
        node = add(node, x)
    (found,) = gradients([node], [ones_like(node)], [x])
    assert found is not None
    assert float(evaluate([found])[0][0]) == 20_001.0


def test_ties_share_or_go_to_the_first() -> None:
    x, y = leaf([1.0, 2.0]), leaf([1.0, 3.0])
    assert gradient(maximum(x, y), x).tolist() == [0.5, 0.0]
    row = leaf([2.0, 5.0, 5.0])
    assert gradient(max_(row, attrs=((0,),)), row).tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(("base", "exponent"), [(0.0, 0.0), (0.0, 2.0), (0.0, 1.0), (2.0, 0.0),
                                                (-2.0, 3.0), (0.0, 0.5)])  # fmt: skip
def test_power_at_its_corners_is_torchs(base: float, exponent: float) -> None:
    x, y = leaf([base]), leaf([exponent])
    tx, ty = (torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in (base, exponent))
    torch.pow(tx, ty).backward()
    np.testing.assert_array_equal(gradient(power(x, y), x), tx.grad.numpy())
    if base >= 0:
        np.testing.assert_allclose(gradient(power(x, y), y), ty.grad.numpy(), rtol=1e-15)


def _matmul(a: Node, b: Node) -> Node:
    sizes = {"i": a.shape[0], "k": a.shape[1], "j": b.shape[1]}
    return contract(a, b, attrs=(make_spec(plain("ik"), "kj", "ij", "k", sizes),))


def test_a_transformer_block_is_torchs() -> None:
    """Attention with softmax, gelu, layer norm and a cross entropy, in primitives."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) * 0.5 for s in ((5, 8), (8, 8), (8, 8), (8, 8), (8, 8))]
    labels = np.array([1, 0, 7, 3, 3])

    def rows(node: Node, value: Node) -> Node:
        return expand(reshape(value, attrs=((node.shape[0], 1),)), attrs=(node.shape,))

    def softmax(s: Node) -> Node:
        e = exp(subtract(s, rows(s, detach(max_(s, attrs=((1,),))))))
        return multiply(e, power(rows(e, sum_(e, attrs=((1,),))), constant_like(e, -1)))

    def transpose(x: Node) -> Node:
        from ambos.ops.movement import permute

        return permute(x, attrs=((1, 0),))

    x, wq, wk, wv, wo = leaves = [leaf(a) for a in arrays]
    scores = _matmul(_matmul(x, wq), transpose(_matmul(x, wk)))
    mixed = add(x, _matmul(softmax(multiply(scores, constant_like(scores, 8**-0.5))),
                           _matmul(x, wv)))  # fmt: skip
    mean = rows(mixed, multiply(sum_(mixed, attrs=((1,),)), constant(1 / 8, float64, (5,))))
    centred = subtract(mixed, mean)
    variance = sum_(multiply(centred, centred), attrs=((1,),))
    spread = sqrt(add(multiply(variance, constant(1 / 8, float64, (5,))),
                      constant(1e-5, float64, (5,))))  # fmt: skip
    normed = multiply(centred, power(rows(mixed, spread), constant_like(mixed, -1)))
    half = constant_like(normed, 0.5)
    bell = add(erf(multiply(normed, constant_like(normed, 2**-0.5))), constant_like(normed, 1))
    logits = _matmul(multiply(multiply(normed, half), bell), wo)
    logs = log(softmax(logits))
    flat = reshape(logs, attrs=((40,),))
    places = data.leaf(np.arange(5) * 8 + labels, (5,), int64)
    loss = multiply(total(take(flat, places, attrs=(0,))), constant(-0.2, float64))
    found = gradients([loss], [ones_like(loss)], leaves)

    tx, tq, tk, tv, to = theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    attention = torch.softmax((tx @ tq) @ (tx @ tk).T * 8**-0.5, 1) @ (tx @ tv)
    hidden = torch.nn.functional.layer_norm(tx + attention, (8,))
    out = torch.nn.functional.gelu(hidden) @ to
    expected = torch.nn.functional.cross_entropy(out, torch.tensor(labels))
    expected.backward()

    np.testing.assert_allclose(evaluate([loss])[0], expected.item(), rtol=1e-12)
    values = evaluate([node for node in found if node is not None])
    for ours, t in zip(values, theirs, strict=True):
        np.testing.assert_allclose(ours, t.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_third_derivatives_are_torchs() -> None:
    values = np.array([0.3, -0.7, 1.2])
    node = x = leaf(values)
    node = tanh(multiply(x, exp(x)))
    theirs = t = torch.tensor(values, requires_grad=True)
    theirs = torch.tanh(t * torch.exp(t))
    for _ in range(3):
        (grad,) = gradients([node], [ones_like(node)], [x])
        assert grad is not None
        node = grad
        (theirs,) = torch.autograd.grad(theirs.sum(), t, create_graph=True)
        np.testing.assert_allclose(evaluate([node])[0], theirs.detach().numpy(), rtol=1e-11)
