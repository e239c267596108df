"""Gradients of values used in pieces or again and again: joined, and equal to PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.config import config
from ambos.graph.node import pending

WEIGHT = np.random.RandomState(1).randn(5, 5).astype(np.float32) * 0.4
INPUT = np.random.RandomState(0).randn(6, 3, 5).astype(np.float32)


def recurrent(x: Any, w: Any) -> Any:
    """Six steps with one weight, over slices of x."""
    state = x[0]
    for step in range(1, 6):
        state = (state @ w + x[step] * step).tanh()
    return (state * state).sum()


def pieces(x: Any, w: Any) -> Any:
    """Three pieces along the last axis, one of them unused, and an overlap."""
    return (x[..., :2] * 2).sum() + (x[..., 3:] @ w[:2]).square().sum() + x[0].sum()


def shared(x: Any, w: Any) -> Any:
    """One weight in contractions of several shapes."""
    return (x @ w).sum() + (x[0] @ w).square().sum() + (w @ w @ w).sum() + (x[1] @ w).sum()


@pytest.mark.parametrize("function", [recurrent, pieces, shared])
@pytest.mark.parametrize("fuse", [True, False])
def test_gradients_equal_those_of_torch(function: Any, fuse: bool) -> None:
    before, config.fuse = config.fuse, fuse
    try:
        ours = [am.tensor(v, requires_grad=True) for v in (INPUT, WEIGHT)]
        function(*ours).backward()
        theirs = [torch.tensor(v, requires_grad=True) for v in (INPUT, WEIGHT)]
        function(*theirs).backward()
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=2e-5, atol=2e-5)
    finally:
        config.fuse = before


def test_a_recurrent_weight_gets_one_contraction() -> None:
    x, w = (am.tensor(v, requires_grad=True) for v in (INPUT, WEIGHT))
    recurrent(x, w).backward()
    names = [node.op.name for node in pending([w.grad._node])]
    # Five forward, four back to earlier states, one for the weight.
    assert names.count("contract") == 10
    assert "pad" not in [node.op.name for node in pending([x.grad._node])]


def test_second_derivatives_pass_through() -> None:
    def slope(x: am.Tensor) -> am.Tensor:
        return am.grad(lambda v: recurrent(v, am.tensor(WEIGHT)))(x).sum()

    ours = am.grad(slope)(am.tensor(INPUT)).numpy()
    x = torch.tensor(INPUT, requires_grad=True)
    (g,) = torch.autograd.grad(recurrent(x, torch.tensor(WEIGHT)), x, create_graph=True)
    (expected,) = torch.autograd.grad(g.sum(), x)
    np.testing.assert_allclose(ours, expected.numpy(), rtol=2e-4, atol=2e-4)
