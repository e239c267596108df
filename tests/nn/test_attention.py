"""Attention against torch: shapes, masks, causality, groups, dtypes, gradients, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as T

import ambos as am
import ambos.nn.functional as F
from ambos.compiler.pipeline import lower_graph
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.graph import Node, substitute
from ambos.graph.node import pending
from ambos.ops.sources import data, input_
from ambos.runtime.machine import host_features
from ambos.tensor.handle import wrap
from ambos.tensor.realize import sign
from ambos.testing.gradcheck import gradcheck
from tests.ops.evaluators import compiled

RNG = np.random.default_rng(5)


def compare(*shapes: tuple[int, ...], mask: Any = None, tolerance: float = 2e-6, **options: Any):
    """The function of both: results, and gradients under random weights."""
    arrays = [RNG.standard_normal(shape).astype("f4") for shape in shapes]
    ours = [am.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    masks = (None, None) if mask is None else (am.tensor(mask), torch.tensor(mask))
    a = F.scaled_dot_product_attention(*ours, attn_mask=masks[0], **options)
    b = T.scaled_dot_product_attention(*theirs, attn_mask=masks[1], **options)
    assert a.shape == tuple(b.shape)
    np.testing.assert_allclose(a.numpy(), b.detach(), atol=tolerance)
    weights = RNG.standard_normal(a.shape).astype("f4")
    (a * weights).sum().backward()
    (b * torch.tensor(weights)).sum().backward()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad, atol=10 * tolerance)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("width", [16, 32, 40, 64, 80, 128])
def test_head_widths(width: int, causal: bool) -> None:
    compare((2, 3, 37, width), (2, 3, 37, width), (2, 3, 37, width), is_causal=causal)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("sizes", [(1, 1), (1, 33), (33, 1), (150, 40), (40, 300), (129, 257)])
def test_lengths_may_differ(sizes: tuple[int, int], causal: bool) -> None:
    """Causal means: query i sees keys 0 to i, counted from the first ones, as in PyTorch."""
    queries, keys = sizes
    compare((1, 2, queries, 24), (1, 2, keys, 24), (1, 2, keys, 9), is_causal=causal)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (2, 2, 3)])
def test_leading_dimensions(lead: tuple[int, ...]) -> None:
    compare((*lead, 17, 8), (*lead, 29, 8), (*lead, 29, 11))


def test_leading_dimensions_broadcast() -> None:
    compare((2, 3, 17, 8), (1, 3, 29, 8), (2, 1, 29, 11))


@pytest.mark.parametrize("causal", [False, True])
def test_heads_of_queries_share_heads_of_keys(causal: bool) -> None:
    shapes = (2, 6, 45, 16), (2, 2, 70, 16), (2, 2, 70, 20)
    compare(*shapes, is_causal=causal, enable_gqa=True)


@pytest.mark.parametrize("scale", [0.3, 2.0, -0.5, 0.0])
def test_scales(scale: float) -> None:
    compare((2, 3, 17, 8), (2, 3, 29, 8), (2, 3, 29, 11), scale=scale, tolerance=4e-6)


@pytest.mark.parametrize("shape", [(17, 29), (1, 29), (17, 1), (2, 1, 1, 29), (3, 17, 29)])
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_masks(shape: tuple[int, ...], kind: str) -> None:
    mask = RNG.random(shape) > 0.3
    if shape[-1] > 1:
        mask[..., 0] = True
    if kind == "float":
        mask = np.where(mask, RNG.standard_normal(shape), -np.inf).astype("f4")
        if shape[-1] == 1:
            mask = np.where(np.isfinite(mask), mask, 1).astype("f4")
    elif shape[-1] == 1:
        mask[:] = True
    compare((2, 3, 17, 8), (2, 3, 29, 8), (2, 3, 29, 11), mask=mask)


def test_a_mask_over_several_blocks_of_keys() -> None:
    mask = RNG.random((40, 300)) > 0.5
    mask[:, 299] = True
    mask[:20, :290] = False  # whole blocks without a key that takes part
    compare((1, 2, 40, 16), (1, 2, 300, 16), (1, 2, 300, 16), mask=mask)


def test_a_query_without_keys_gives_zeros() -> None:
    mask = np.ones((5, 7), bool)
    mask[2] = False
    x = am.tensor(RNG.standard_normal((5, 4)).astype("f4"))
    y = am.tensor(RNG.standard_normal((7, 4)).astype("f4"))
    found = F.scaled_dot_product_attention(x, y, y, attn_mask=am.tensor(mask)).numpy()
    assert (found[2] == 0).all()
    assert (found[[0, 1, 3, 4]] != 0).all()


def exact(q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float, mask: Any = 0) -> np.ndarray:
    """In float64, by the definition."""
    z = np.einsum("bhqw,bhkw->bhqk", q.astype("f8"), k.astype("f8")) * scale + mask
    p = np.exp(z - z.max(-1, keepdims=True))
    return np.einsum("bhqk,bhkw->bhqw", p / p.sum(-1, keepdims=True), v.astype("f8"))


@pytest.mark.parametrize("queries", [1, 9])
def test_an_unchanged_maximum_rescales_by_one(queries: int) -> None:
    """The error does not grow with the number of blocks of keys."""
    keys = 131072
    q = np.linspace(17, 23, queries, dtype="f4").reshape(1, 1, queries, 1)
    v = np.zeros((1, 1, keys, 1), "f4")
    v[:, :, :128] = 1
    found = F.scaled_dot_product_attention(*map(am.tensor, (q, np.ones_like(v), v)), scale=1.0)
    np.testing.assert_allclose(found.numpy(), 128 / keys, rtol=1e-6)


@pytest.mark.parametrize("queries", [1, 2])
def test_scores_beyond_what_a_float_counts(queries: int) -> None:
    q = np.array([7.7e12, 3e12][:queries], "f4").reshape(1, 1, queries, 1)
    k, v = (np.array(x, "f4").reshape(1, 1, 2, 1) for x in ([1, 0.5], [1, 2]))
    inputs = [am.tensor(x, requires_grad=True) for x in (q, k, v)]
    found = F.scaled_dot_product_attention(*inputs, scale=1.0)
    assert found.numpy().tolist() == np.ones_like(q).tolist()
    found.sum().backward()
    assert [x.grad.numpy().ravel().tolist() for x in inputs] == [
        [0.0] * queries, [0.0, 0.0], [float(queries), 0.0]
    ]  # fmt: skip


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("queries", [1, 40])
def test_large_scores_cost_no_accuracy(queries: int, masked: bool) -> None:
    """Whole numbers make scores exact, so what is left is the error of the softmax."""
    random = np.random.default_rng(0)
    q, k = (random.integers(-1000, 1000, (1, 2, n, 2)).astype("f4") for n in (queries, 500))
    q[..., 1], k[..., 1] = 2000, 2000 + random.integers(-8, 9, (1, 2, 500))
    k[..., 0] = np.round(k[..., 0] / 300)
    v, g = (random.standard_normal((1, 2, n, 5)).astype("f4") for n in (500, queries))
    mask = random.integers(-3, 4, (queries, 500)).astype("f4") if masked else None
    inputs = [am.tensor(x, requires_grad=True) for x in (q, k, v)]
    shown = None if mask is None else am.tensor(mask)
    found = F.scaled_dot_product_attention(*inputs, shown, scale=2.0**-10)
    expected = exact(q, k, v, 2.0**-10, 0 if mask is None else mask)
    np.testing.assert_allclose(found.numpy(), expected, atol=4e-7)
    theirs = [torch.tensor(x.astype("f8"), requires_grad=True) for x in (q, k, v)]
    other = None if mask is None else torch.tensor(mask.astype("f8"))
    result = T.scaled_dot_product_attention(*theirs, other, scale=2.0**-10)
    (found * am.tensor(g)).sum().backward()
    (result * torch.tensor(g)).sum().backward()
    for ours, their in zip(inputs, theirs, strict=True):
        # Numbers of about 2000, scaled, cancel in the gradients of Q and K.
        size = 2.0 if ours is not inputs[2] else their.grad.abs().max().item()
        np.testing.assert_allclose(ours.grad.numpy(), their.grad, atol=1e-6 * size)


def test_a_scale_that_vanishes() -> None:
    x = am.tensor(RNG.standard_normal((1, 1, 40, 8)).astype("f4"))
    found = F.scaled_dot_product_attention(x, x, x, is_causal=True, scale=1e-60).numpy()
    means = np.cumsum(x.numpy(), 2) / np.arange(1, 41)[:, None]
    np.testing.assert_allclose(found, means, atol=1e-6)


EMPTY = {  # batch, heads, key heads, queries, keys
    "batch": (0, 2, 2, 4, 4),
    "heads of queries": (1, 0, 2, 4, 4),
    "heads": (1, 0, 0, 4, 4),
    "queries": (1, 2, 2, 0, 4),
    "keys": (1, 2, 1, 4, 0),
    "keys of one query": (1, 2, 2, 1, 0),
}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("what", EMPTY)
def test_without_pairs_everything_is_zero(what: str, dtype: str) -> None:
    batch, heads, shared, queries, keys = EMPTY[what]
    shapes = (batch, heads, queries, 8), (batch, shared, keys, 8), (batch, shared, keys, 3)
    inputs = [am.ones(*s, dtype=getattr(am, dtype)).requires_grad_() for s in shapes]
    grouped = shared != 0
    found = F.scaled_dot_product_attention(*inputs, enable_gqa=grouped)
    assert found.shape == (batch, heads, queries, 3)
    assert not found.numpy().any()
    found.sum().backward()
    for x in inputs:
        assert x.grad.shape == x.shape
        assert not x.grad.numpy().any()


@pytest.mark.parametrize("sizes", [(0, 5, 8, 8), (5, 0, 8, 8), (1, 0, 8, 8), (5, 4, 0, 8)])
def test_nothing_to_attend_to(sizes: tuple[int, int, int, int]) -> None:
    queries, keys, width, wide = sizes
    compare((2, 3, queries, width), (2, 3, keys, width), (2, 3, keys, wide))


def test_a_nan_stays_in_its_row() -> None:
    q, k = (RNG.standard_normal((1, 1, n, 8)).astype("f4") for n in (40, 200))
    q[0, 0, 3, 2] = np.nan
    x, y = am.tensor(q), am.tensor(k)
    found = F.scaled_dot_product_attention(x, y, y).numpy()[0, 0]
    assert np.isnan(found[3]).all()
    assert np.isfinite(np.delete(found, 3, 0)).all()


def test_scores_may_be_huge() -> None:
    q, k = (RNG.standard_normal((1, 1, n, 8)).astype("f4") * 1e4 for n in (40, 200))
    x, y = am.tensor(q), am.tensor(k)
    found = F.scaled_dot_product_attention(x, y, y).numpy()
    expected = T.scaled_dot_product_attention(*(torch.tensor(a) for a in (q, k, k)))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_mask_has_a_gradient() -> None:
    q, k, mask = (RNG.standard_normal(s).astype("f4") for s in ((5, 4), (7, 4), (5, 7)))
    ours = am.tensor(mask, requires_grad=True)
    theirs = torch.tensor(mask, requires_grad=True)
    a = F.scaled_dot_product_attention(am.tensor(q), am.tensor(k), am.tensor(k), ours)
    b = T.scaled_dot_product_attention(*(torch.tensor(x) for x in (q, k, k)), theirs)
    (a**2).sum().backward()
    (b**2).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad, atol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 4e-3), ("bfloat16", 4e-2)])
def test_half_precisions(dtype: str, tolerance: float) -> None:
    arrays = [RNG.standard_normal((2, 3, 19, 8)).astype("f4") for _ in range(3)]
    ours = [am.tensor(a).to(dtype) for a in arrays]
    theirs = [torch.tensor(a).to(getattr(torch, dtype)) for a in arrays]
    a = F.scaled_dot_product_attention(*ours, is_causal=True)
    b = T.scaled_dot_product_attention(*theirs, is_causal=True)
    assert a.dtype is ours[0].dtype
    np.testing.assert_allclose(a.float().numpy(), b.float(), atol=tolerance)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_by_differences(causal: bool) -> None:
    shapes = (2, 5, 3), (2, 6, 3), (2, 6, 2)
    leaves = [data.leaf(RNG.standard_normal(s), s, am.float64, True) for s in shapes]

    def function(*given: Node) -> Node:
        tensors = [wrap(node) for node in given]
        return F.scaled_dot_product_attention(*tensors, is_causal=causal)._node

    gradcheck(function, leaves, evaluate=lambda nodes, memo: compiled(nodes))


def test_gradients_of_gradients() -> None:
    def twice(function: Any, grad: Any, arrays: list[Any]) -> Any:
        (g,) = grad((function(*arrays) ** 2).sum(), arrays[0], create_graph=True)
        return grad((g**2).sum(), arrays[1])[0]

    given = [RNG.standard_normal((1, 2, 5, 4)) for _ in range(3)]
    ours = [am.tensor(a, dtype=am.float64, requires_grad=True) for a in given]
    theirs = [torch.tensor(a, requires_grad=True) for a in given]
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        expected = twice(T.scaled_dot_product_attention, torch.autograd.grad, theirs)
    found = twice(F.scaled_dot_product_attention, am.autograd.grad, ours)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("width", [7, 64])
def test_a_query_alone_equals_itself_among_others(width: int) -> None:
    """Decoding against a cache gives the bits that the whole sequence gave."""
    q, k, v = (
        am.tensor(RNG.standard_normal((2, 3, n, width)).astype("f4")) for n in (40, 300, 300)
    )
    together = F.scaled_dot_product_attention(q, k, v).numpy()
    for i in (0, 31, 39):
        alone = F.scaled_dot_product_attention(q[:, :, i : i + 1], k, v).numpy()
        assert alone[:, :, 0].tobytes() == together[:, :, i].tobytes()
    causal = F.scaled_dot_product_attention(q, k, v, is_causal=True).numpy()
    for i in (0, 31, 39):
        seen = k[:, :, : i + 1], v[:, :, : i + 1]
        alone = F.scaled_dot_product_attention(q[:, :, i : i + 1], *seen).numpy()
        assert alone[:, :, 0].tobytes() == causal[:, :, i].tobytes()


def test_dropout_keeps_the_mean() -> None:
    am.manual_seed(0)
    q = am.zeros(1, 1, 200, 8)
    v = am.ones(1, 1, 300, 4)
    k = am.zeros(1, 1, 300, 8)
    found = F.scaled_dot_product_attention(q, k, v, dropout_p=0.4).numpy()
    assert abs(found.mean() - 1) < 0.01
    assert found.std() > 0.01


def test_views_of_one_projection_are_not_copied() -> None:
    """Queries, keys and values where a fused projection left them; the heads come out joined."""
    qkv = am.tensor(RNG.standard_normal((2, 50, 3, 4, 16)).astype("f4"))
    q, k, v = (qkv[:, :, i].transpose(1, 2) for i in range(3))
    weight = am.tensor(RNG.standard_normal((64, 30)).astype("f4"))
    heads = F.scaled_dot_product_attention(q, k, v)
    found = heads.transpose(1, 2).reshape(2, 50, 64) @ weight
    _, steps, _ = lower_graph([_numbered(found._node)], host_features(), 1)
    kinds = [type(s.kernel).__name__ for s in steps if s.label != "pack 64x30"]
    assert kinds == ["AttentionKernel", "ContractKernel"]
    copies = [x.contiguous() for x in (q, k, v)]
    same = F.scaled_dot_product_attention(*copies).transpose(1, 2).reshape(2, 50, 64) @ weight
    assert found.numpy().tobytes() == same.numpy().tobytes()


def _numbered(root: Node) -> Node:
    leaves, _ = sign(pending([root]))
    given = {n: input_.leaf(i, n.value.strides, n.shape, n.dtype) for i, n in enumerate(leaves)}
    return substitute([root], given)[0]


def test_errors_name_a_fix() -> None:
    x, y = am.zeros(2, 6, 5, 4), am.zeros(2, 2, 7, 4)
    with pytest.raises(ShapeError, match="use enable_gqa=True"):
        F.scaled_dot_product_attention(x, y, y)
    with pytest.raises(ShapeError, match="multiple"):
        F.scaled_dot_product_attention(am.zeros(2, 5, 5, 4), y, y, enable_gqa=True)
    with pytest.raises(ShapeError, match=r"need \(..., L, E\)"):
        F.scaled_dot_product_attention(x, am.zeros(2, 6, 7, 5), x)
    with pytest.raises(ShapeError, match="as many keys as values"):
        F.scaled_dot_product_attention(x, x, am.zeros(2, 6, 7, 4))
    with pytest.raises(ShapeError, match="attn_mask is"):
        F.scaled_dot_product_attention(x, x, x, attn_mask=am.zeros(4, 5))
    with pytest.raises(DTypeError, match="attn_mask is int64"):
        F.scaled_dot_product_attention(x, x, x, attn_mask=am.zeros(5, 5, dtype=am.int64))
    with pytest.raises(DTypeError, match="need one dtype"):
        F.scaled_dot_product_attention(x, x.double(), x)
    with pytest.raises(ArgumentError, match="put the causal part into the mask"):
        F.scaled_dot_product_attention(x, x, x, attn_mask=am.zeros(5, 5), is_causal=True)
