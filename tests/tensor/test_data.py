"""`x.data` and the tensors of a state write through to their owner, as PyTorch's do."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
from ambos import nn


def pair(lib: Any) -> Any:
    """A parameter with a gradient, and another parameter."""
    w = lib.nn.Parameter(lib.tensor([[1.0, -2.0], [3.0, 4.0]]))
    other = lib.nn.Parameter(lib.tensor([[0.5, 0.25], [2.0, 8.0]]))
    (w * w).sum().backward()
    return w, other


def put(w: Any, p: Any) -> None:
    w.data[0, 0] = 5


def double(w: Any, p: Any) -> None:
    w.data *= 2


def twice(w: Any, p: Any) -> None:
    held = w.data
    held.mul_(2)
    with torch.no_grad(), am.no_grad():
        w.add_(1)
    held.mul_(3)


IDIOMS: list[Callable[[Any, Any], Any]] = [
    lambda w, p: w.data.fill_(3.0),
    lambda w, p: w.data.zero_(),
    lambda w, p: w.data.mul_(0.75).add_(p.data, alpha=0.25),
    lambda w, p: w.data.copy_(p.data * 0.5 + w.data * 0.5),
    lambda w, p: w.data.copy_(p),
    lambda w, p: w.data.add_(1).data.mul_(2),
    lambda w, p: w.grad.data.clamp_(-1, 1),
    put,
    double,
    twice,
]


@pytest.mark.parametrize("idiom", IDIOMS)
@pytest.mark.parametrize("graph", [True, False])
def test_data_writes_through(idiom: Callable[[Any, Any], Any], graph: bool) -> None:
    found = []
    for lib in (am, torch):
        w, p = pair(lib)
        with lib.enable_grad() if graph else lib.no_grad():
            idiom(w, p)
        assert w.requires_grad
        assert w.is_leaf
        assert not w.data.requires_grad
        found.append([np.asarray(x.detach()) for x in (w, w.grad, p)])
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("idiom", IDIOMS)
def test_in_a_jitted_function(idiom: Callable[[Any, Any], Any]) -> None:
    w, p = pair(am)
    v, q = pair(torch)

    @am.jit
    def step(x: am.Tensor) -> am.Tensor:
        idiom(w, p)
        return (w * x).sum()

    for number in (1.0, 2.0, 3.0):
        found = step(am.tensor(number))
        idiom(v, q)
        np.testing.assert_allclose(found.numpy(), (v * number).sum().detach().numpy())
        np.testing.assert_array_equal(w.numpy(), v.detach().numpy())
        w.data.add_(1)  # a recording notices
        v.data.add_(1)
    assert w.requires_grad


def test_as_an_argument_of_a_jitted_function() -> None:
    @am.jit
    def soft(target: am.Tensor, source: am.Tensor) -> None:
        target.mul_(0.5).add_(source, alpha=0.5)

    for _ in range(3):
        w, p = pair(am)
        v, q = pair(torch)
        soft(w.data, p.data)
        v.data.mul_(0.5).add_(q.data, alpha=0.5)
        np.testing.assert_array_equal(w.numpy(), v.detach().numpy())


@pytest.mark.parametrize("jitted", [False, True])
def test_a_state_writes_through(jitted: bool) -> None:
    mean, net = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    net.weight.data.normal_()
    net.running_mean.data.fill_(4.0)
    expected = {k: v.numpy() * 0.5 + net.state_dict()[k].numpy() * 0.5
                for k, v in mean.state_dict().items() if v.dtype.is_inexact}  # fmt: skip

    def average() -> None:
        state = net.state_dict()
        for k, v in mean.state_dict().items():
            if v.dtype.is_inexact:
                v *= 0.5
                v += 0.5 * state[k]
            else:
                v.copy_(state[k])

    (am.jit(average) if jitted else average)()
    for k, v in expected.items():
        np.testing.assert_allclose(mean.state_dict()[k].numpy(), v)
    assert mean.weight.requires_grad


def test_a_state_from_outside_of_a_jitted_function() -> None:
    net = nn.Linear(2, 2)
    state, expected = net.state_dict(), net.weight.numpy()

    @am.jit
    def halve() -> None:
        state["weight"].mul_(0.5)

    for _ in range(4):
        halve()
        expected = expected * 0.5
        np.testing.assert_array_equal(net.weight.numpy(), expected)


def test_init_takes_data() -> None:
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight.data, 4.0)
    assert layer.weight.tolist() == [[4.0, 4.0], [4.0, 4.0]]
    before = layer.weight.numpy()
    layer.weight.data.normal_()
    assert (layer.weight.numpy() != before).all()
    nn.init.xavier_uniform_(layer.weight.data)
    assert layer.weight.abs().max().item() <= 1.5**0.5


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, copy.copy, lambda x: pickle.loads(pickle.dumps(x)), am.Tensor]
)
def test_a_copy_writes_nothing_through(copied: Callable[[am.Tensor], am.Tensor]) -> None:
    w, _ = pair(am)
    copied(w.data).fill_(7.0)
    assert w.tolist() == [[1.0, -2.0], [3.0, 4.0]]


def test_a_held_handle_reads_as_a_snapshot() -> None:
    w, _ = pair(am)
    held = w.data
    w.data.fill_(7.0)
    assert held.tolist() == [[1.0, -2.0], [3.0, 4.0]]


def test_another_shape_or_dtype_lets_go() -> None:
    w, _ = pair(am)
    held = w.data
    w.data = am.zeros(3)
    held.fill_(1.0)
    assert w.tolist() == [0.0, 0.0, 0.0]
    assert held.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_a_computed_tensor_says_that_it_cannot() -> None:
    w, _ = pair(am)
    with pytest.raises(am.errors.GradientError, match="need a leaf"):
        (y := w * 2).data.fill_(1.0)
    assert y.requires_grad
