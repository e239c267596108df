"""`am.vmap` against loops, bit for bit, and NumPy. (JAX: tests/parity.)"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
import ambos.nn.functional as F
from ambos import nn
from ambos.core import tree
from ambos.core.errors import (
    ArgumentError,
    ArgumentTypeError,
    IndexingError,
    ShapeError,
    TracingError,
)


def numbers(*shape: int) -> am.Tensor:
    return am.tensor(np.random.default_rng(sum(shape)).normal(size=shape).astype("float32"))


def same(found: Any, expected: Any) -> bool:
    """The same trees, and the same bits."""
    a, b = (tree.flatten(x) for x in (found, expected))
    assert a[1] == b[1]
    pairs = zip(a[0], b[0], strict=True)
    return all(x.shape == y.shape and x.numpy().tobytes() == y.numpy().tobytes() for x, y in pairs)


def looped(fn: Callable[..., Any], *columns: Any) -> Any:
    """`fn` of one row after the other, stacked."""
    rows = [fn(*row) for row in zip(*columns, strict=True)]
    return tree.map(lambda *parts: am.stack(parts), rows[0], *rows[1:])


# --- axes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_axis", [0, 1, 2, -1])
@pytest.mark.parametrize("out_axis", [0, 1, 2, -1, -3])
def test_axes(in_axis: int, out_axis: int) -> None:
    x = numbers(2, 3, 4)
    found = am.vmap(lambda row: row.T * 2 - 1, in_axis, out_axis)(x)
    rows = [row.T * 2 - 1 for row in np.moveaxis(x.numpy(), in_axis, 0)]
    np.testing.assert_array_equal(found.numpy(), np.stack(rows, out_axis))


def test_torch_spelling() -> None:
    x = numbers(3, 4)
    found = am.vmap(lambda a, b: a * b, in_dims=(0, None), out_dims=1)(x, am.ones(4) * 2)
    assert same(found, (x * 2).T)


def test_axes_are_prefixes_of_trees() -> None:
    params = {"w": numbers(3, 4), "b": [numbers(3), numbers(4)]}
    x = numbers(5, 3)

    def fn(params: Any, x: Any) -> Any:
        return {"y": x @ params["w"] + params["b"][1], "s": (params["b"][0].sum(), x.sum())}

    found = am.vmap(fn, (None, 0), {"y": 1, "s": (0, 0)})(params, x)
    alone = looped(lambda row: fn(params, row), x)
    assert same(found, {"y": alone["y"].T, "s": alone["s"]})
    many = {"w": numbers(3, 4, 5), "b": [numbers(5, 3), numbers(4)]}
    found = am.vmap(fn, ({"w": 2, "b": [0, None]}, 0))(many, x)
    rows = ({"w": many["w"][:, :, i], "b": [many["b"][0][i], many["b"][1]]} for i in range(5))
    assert same(found, looped(fn, list(rows), x))


def test_keywords_are_mapped_over_their_first_axis() -> None:
    x, y = numbers(3, 2), numbers(3, 2)
    found = am.vmap(lambda x, *, y, mode=None: x - y)(x, y=y, mode="any")
    assert same(found, x - y)


def test_what_does_not_depend_is_repeated_or_stays() -> None:
    x, y = numbers(3, 2), numbers(4)
    repeated, kept, number = am.vmap(lambda a: (y + 1, y * 2, 5.0), out_axes=(1, None, 0))(x)
    assert same((repeated, kept), (am.stack([y + 1] * 3, 1), y * 2))
    assert number.tolist() == [5.0] * 3


def test_arrays_of_numpy() -> None:
    assert am.vmap(lambda a: a.sum())(np.ones((2, 3), np.float32)).tolist() == [3.0, 3.0]


def test_axis_size_alone() -> None:
    assert am.vmap(lambda: am.ones(2), axis_size=3)().shape == (3, 2)
    assert am.vmap(lambda a: a + 1, None, axis_size=3)(am.ones(2)).shape == (3, 2)


@pytest.mark.parametrize("size", [0, 1])
def test_few_examples(size: int) -> None:
    x = am.zeros(size, 3)
    assert am.vmap(lambda a: (a @ am.ones(3, 2)).sum())(x).shape == (size,)


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 8])
def test_chunks(chunk: int) -> None:
    x = numbers(5, 3)
    fn = lambda a: {"sum": a.sum(), "all": am.softmax(a, 0)}
    assert same(am.vmap(fn, chunk_size=chunk)(x), am.vmap(fn)(x))


def test_chunks_and_gradients() -> None:
    x, y = numbers(7, 5), am.tensor([0, 2, 1, 2, 1, 0, 0])
    per = lambda chunk: am.vmap(am.grad(loss), (None, 0, 0), chunk_size=chunk)
    assert same(per(3)(PARAMS, x, y), per(None)(PARAMS, x, y))
    assert same(am.jit(per(3))(PARAMS, x, y), per(None)(PARAMS, x, y))
    total = lambda chunk: am.grad(
        lambda params: am.vmap(loss, (None, 0, 0), chunk_size=chunk)(params, x, y).sum()
    )(PARAMS)
    for a, b in zip(tree.leaves(total(2)), tree.leaves(total(None)), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
    kept, number = am.vmap(lambda a: (PARAMS["b"], a.sum()), 0, (None, 0), chunk_size=2)(x)
    assert kept.shape == (6,)
    assert same(number, am.vmap(lambda a: a.sum())(x))


# --- nests ---------------------------------------------------------------------------------------


def test_nested() -> None:
    x, y = numbers(3, 4), numbers(5, 4)
    fn = lambda a, b: (a * b).sum() + a.max()
    found = am.vmap(am.vmap(fn, (None, 0)), (0, None))(x, y)
    assert same(found, am.stack([am.stack([fn(a, b) for b in y]) for a in x]))
    cube = numbers(2, 3, 4, 5)
    deep = am.vmap(am.vmap(am.vmap(lambda a: a.flip(0), 1), 0), 2)(cube)  # axes 2, 0, 3; 1 is left
    np.testing.assert_array_equal(deep.numpy(), cube.numpy().transpose(2, 0, 3, 1)[..., ::-1])


def loss(params: Any, x: Any, y: Any) -> Any:
    hidden = F.relu(F.linear(x, params["w"], params["b"]))
    return F.cross_entropy(F.linear(hidden, params["v"]), y)


PARAMS = {"w": numbers(6, 5), "b": numbers(6), "v": numbers(3, 6)}


def test_gradients_of_each_example() -> None:
    x, y = numbers(4, 5), am.tensor([0, 2, 1, 2])
    found = am.vmap(am.grad(loss), (None, 0, 0))(PARAMS, x, y)
    assert same(found, looped(lambda a, b: am.grad(loss)(PARAMS, a, b), x, y))
    values, _ = am.vmap(am.value_and_grad(loss), (None, 0, 0))(PARAMS, x, y)
    assert same(values, looped(lambda a, b: loss(PARAMS, a, b), x, y))

    for i in range(4):
        theirs = {k: torch.tensor(v.numpy(), requires_grad=True) for k, v in PARAMS.items()}
        hidden = torch.relu(torch.tensor(x[i].numpy()) @ theirs["w"].T + theirs["b"])
        scores, target = theirs["v"] @ hidden, torch.tensor(y[i].numpy())
        torch.nn.functional.cross_entropy(scores, target).backward()
        for name, value in theirs.items():
            np.testing.assert_allclose(found[name][i].numpy(), value.grad, rtol=1e-4, atol=1e-6)


def test_gradient_of_many_examples() -> None:
    x, y = numbers(4, 5), am.tensor([0, 2, 1, 2])
    total = lambda params: am.vmap(loss, (None, 0, 0))(params, x, y).mean()
    found, expected = am.grad(total)(PARAMS), am.grad(loss)(PARAMS, x, y)
    for name in PARAMS:
        np.testing.assert_allclose(found[name].numpy(), expected[name].numpy(), atol=1e-6)


def test_gradients_within_gradients() -> None:
    """grad of vmap of grad, and the rows of a Hessian, by hand: the value is sin(w x).sum()."""
    x, w = numbers(4, 3), numbers(3)
    value = lambda w, x: am.sin(w * x).sum()
    penalty = lambda w: (am.vmap(am.grad(value), (None, 0))(w, x) ** 2).sum()
    a, b = x.numpy().astype("float64"), w.numpy().astype("float64")
    expected = -2 * (a**3 * np.sin(a * b) * np.cos(a * b)).sum(0)
    np.testing.assert_allclose(am.grad(penalty)(w).numpy(), expected, rtol=1e-4, atol=1e-5)
    slope = lambda w, v: (am.grad(value)(w, x[0]) * v).sum()
    hessian = am.vmap(lambda v: am.grad(slope)(w, v))(am.eye(3))
    expected = np.diag(-(a[0] ** 2) * np.sin(a[0] * b))
    np.testing.assert_allclose(hessian.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_gradients_reach_leaves_outside() -> None:
    w = am.ones(3, requires_grad=True)
    x = am.tensor(np.eye(3, dtype="float32"), requires_grad=True)
    am.vmap(lambda a: (a * w).sum() + a.detach().sum())(x).sum().backward()
    assert w.grad.tolist() == [1.0, 1.0, 1.0]
    assert x.grad.tolist() == [[1.0] * 3] * 3
    assert not am.vmap(lambda a: a.detach() * 2)(x).requires_grad
    with am.no_grad():
        assert not am.vmap(lambda a: a * w)(x).requires_grad


def test_under_jit() -> None:
    fn = am.vmap(am.grad(loss), (None, 0, 0))
    jitted = am.jit(fn)
    for count in (4, 7, 4):
        x, y = numbers(count, 5), am.tensor([0, 2, 1, 2, 1, 1, 0][:count])
        assert same(jitted(PARAMS, x, y), fn(PARAMS, x, y))


# --- modules -------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(3 * 8 * 8, 4)

    def forward(self, x: Any) -> Any:
        return self.head(F.relu(self.norm(self.conv(x))).flatten())


def test_modules() -> None:
    am.manual_seed(0)
    net, x = Net(), numbers(5, 2, 8, 8)
    assert same(am.vmap(net)(x), looped(net, x))
    am.vmap(net)(x).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_gradients_of_a_convolution() -> None:
    w, x = numbers(3, 2, 3, 3), numbers(4, 1, 2, 6, 5)
    value = lambda w, x: (F.conv2d(x, w, padding=1, stride=2) ** 2).sum()
    found = am.vmap(am.grad(value, (0, 1)), (None, 0))(w, x)
    assert same(found, looped(lambda a: am.grad(value, (0, 1))(w, a), x))
    filters = numbers(4, 3, 2, 3, 3)
    found = am.vmap(am.grad(value, (0, 1)))(filters, x)
    assert same(found, looped(am.grad(value, (0, 1)), filters, x))


def test_statistics_of_a_batch_norm_are_refused() -> None:
    norm = nn.BatchNorm1d(3)
    before = norm.running_mean.tolist()
    with pytest.raises(TracingError, match="changes a tensor from outside"):
        am.vmap(norm)(numbers(4, 5, 3))
    assert norm.running_mean.tolist() == before
    norm.eval()
    assert am.vmap(norm)(numbers(4, 5, 3)).shape == (4, 5, 3)


# --- random numbers ------------------------------------------------------------------------------


def test_keys_as_arguments() -> None:
    keys = am.random.split(am.random.key(3), 5)
    draw = lambda key: (am.random.normal(key, (2, 3)), am.random.permutation(key, 4))
    assert same(am.vmap(draw)(keys), looped(draw, keys))
    shared = am.vmap(lambda x: x + am.random.uniform(keys[0], (2,)))(am.zeros(3, 2))
    assert same(shared, am.stack([am.random.uniform(keys[0], (2,))] * 3))


def test_randomness_of_the_stream() -> None:
    x = am.zeros(4, 3)
    noisy = lambda a: a + am.rand(3)
    am.manual_seed(5)
    alike = am.vmap(noisy, randomness="same")(x)
    am.manual_seed(5)
    assert same(alike, am.stack([am.rand(3)] * 4))
    am.manual_seed(5)
    different = am.vmap(noisy, randomness="different")(x)
    assert len({tuple(row) for row in different.tolist()}) == 4
    key = key_of_stream(5)
    folded = [am.random.uniform(am.random.fold_in(key, i), (3,)) for i in range(4)]
    assert same(different, am.stack(folded))
    am.manual_seed(5)
    assert same(am.vmap(noisy, randomness="different", chunk_size=3)(x), different)


def key_of_stream(seed: int) -> am.Tensor:
    from ambos.tensor.random.generator import Generator

    return Generator(seed).next_key()


def test_dropout() -> None:
    am.manual_seed(0)
    x = am.ones(6, 50)
    drop = functools.partial(F.dropout, p=0.5, training=True)
    rows = am.vmap(drop, randomness="different")(x).tolist()
    assert len({tuple(row) for row in rows}) == 6
    rows = am.vmap(drop, randomness="same")(x).tolist()
    assert len({tuple(row) for row in rows}) == 1


def test_a_refused_draw_takes_no_key() -> None:
    am.manual_seed(1)
    expected = am.rand(2)
    am.manual_seed(1)
    with pytest.raises(TracingError, match="randomness='different'"):
        am.vmap(lambda a: a + am.rand(3))(am.zeros(2, 3))
    assert same(am.rand(2), expected)


def test_a_call_that_fails_takes_no_key() -> None:
    am.manual_seed(1)
    expected = am.rand(2)
    am.manual_seed(1)
    with pytest.raises(ArgumentError, match="out_axes"):
        am.vmap(lambda a: a + am.rand(3), 0, (0, 0), randomness="same")(am.zeros(2, 3))
    assert same(am.rand(2), expected)


def test_jitted_draws_go_on() -> None:
    fn = am.vmap(lambda a: a + am.rand(3), randomness="different")
    jitted, x = am.jit(fn), am.zeros(2, 3)
    am.manual_seed(2)
    expected = [fn(x) for _ in range(3)]
    am.manual_seed(2)
    assert all(same(jitted(x), e) for e in expected)


# --- mistakes ------------------------------------------------------------------------------------


@dataclass
class Unknown:
    x: Any


X = am.ones(3, 4)
MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: am.vmap(3), ArgumentTypeError, "got int; need a function"),
    (lambda: am.vmap(abs, randomness="no"), ArgumentError, "randomness is 'no'; need one of"),
    (lambda: am.vmap(abs, chunk_size=0), ArgumentError, "chunk_size is 0; need an integer >= 1"),
    (lambda: am.vmap(abs, in_axes=2)(X), ShapeError, r"axis 2 for args\[0\] of shape \(3, 4\)"),
    (lambda: am.vmap(abs, in_axes="a")(X), ArgumentError, "in_axes holds 'a'"),
    (lambda: am.vmap(abs, in_axes=(0, 0))(X), ArgumentError, "in_axes has a tuple of 2"),
    (lambda: am.vmap(abs, in_axes=None)(X), ArgumentError, "no argument is mapped"),
    (lambda: am.vmap(abs)(2.0), ShapeError, r"args\[0\] is a scalar"),
    (lambda: am.vmap(abs)(Unknown(X)), ArgumentError, r"args\[0\] is Unknown, a dataclass that"),
    (lambda: am.vmap(Unknown)(X), ArgumentError, "result is Unknown, a dataclass that"),
    (lambda: am.vmap(abs)("text"), ArgumentTypeError, r"args\[0\] is a str; need a tensor"),
    (
        lambda: am.vmap(lambda p, q: 0)({"a": X}, am.ones(4)),
        ShapeError,
        r"args\[0\]\['a'\] of shape \(3, 4\) has 3 along axis 0, args\[1\] of shape \(4,\) has 4",
    ),
    (lambda: am.vmap(abs, axis_size=2)(X), ShapeError, r"axis_size is 2, args\[0\]"),
    (
        lambda: am.vmap(lambda p: 0, ({"a": 0},))({"b": X}),
        ArgumentError,
        r"at \[0\] in_axes has a dict with the keys 'a'",
    ),
    (lambda: am.vmap(lambda *, y: y)(y=1.0), ShapeError, r"kwargs\['y'\] is a scalar"),
    (lambda: am.vmap(lambda a: {"s": "no"})(X), ArgumentTypeError, r"result\['s'\] is a str"),
    (lambda: am.vmap(lambda a: (a, a), 0, (0,))(X), ArgumentError, "out_axes has a tuple of 1"),
    (lambda: am.vmap(lambda a: [a], 0, 2)(X), ShapeError, r"axis 2 in out_axes for result\[0\]"),
    (lambda: am.vmap(abs, 0, None)(X), ArgumentError, "out_axes is None for result, which differs"),
    (lambda: am.vmap(lambda a: a if a.sum() > 0 else -a)(X), TracingError, "looked at inside"),
    (lambda: am.vmap(lambda a: a @ am.ones(3))(X), ShapeError, r"\(4,\)"),
]


@pytest.mark.parametrize(("call", "error", "text"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
    assert am.vmap(lambda a: a.sum())(X).tolist() == [4.0] * 3


def test_a_tensor_that_stays_is_refused() -> None:
    kept: list[Any] = []
    with pytest.raises(TracingError, match="keeps a tensor"):
        am.vmap(lambda a: kept.append(a * 2) or a)(X)
    kept.clear()
    gc.collect()


def test_positions_out_of_range_are_found() -> None:
    table, index = numbers(3, 4), am.tensor([0, 2, 7])
    with pytest.raises(IndexingError):
        am.vmap(lambda row, i: am.take(row, i))(table, index).tolist()
    with pytest.raises(IndexingError):
        am.vmap(lambda row, i: row.scatter_add(0, i, am.ones(1)))(table, index[:, None]).tolist()


def test_values_that_an_op_refuses() -> None:
    """A check of values inside looks at every example."""
    weights = am.tensor([[1.0, 2.0, 1.0], [2.0, -1.0, 3.0]])
    weighted = lambda w: am.cov(numbers(3), aweights=w)
    found = am.vmap(weighted)(weights.abs())
    assert same(found, looped(weighted, weights.abs()))
    with pytest.raises(ArgumentError, match="negative"):
        am.vmap(weighted)(weights)
    jitted = am.jit(am.vmap(weighted))
    assert same(jitted(weights.abs()), found)
    with pytest.raises(ArgumentError, match="negative"):
        jitted(weights)


def test_backward_inside() -> None:
    """In PyTorch's way, on a leaf that the function makes."""

    def slope(a: am.Tensor) -> am.Tensor:
        leaf = a.detach().requires_grad_()
        (leaf**3).sum().backward()
        return leaf.grad

    assert same(am.vmap(slope)(X), looped(slope, X))
    outside = am.ones(4, requires_grad=True)
    with pytest.raises(TracingError, match=r"sets \.grad of a tensor from outside"):
        am.vmap(lambda a: (a * outside).sum().backward() or a)(X)
    assert outside.grad is None


def test_a_jitted_function_inside() -> None:
    jitted = am.jit(lambda a: (a * 2).sum())
    assert same(am.vmap(jitted)(X), looped(jitted, X))
