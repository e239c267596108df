"""Gradients cut to a size, against PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
from ambos.nn import utils


def pairs(scale: float) -> tuple[list[am.Tensor], list[torch.Tensor]]:
    stream = np.random.RandomState(0)
    ours, theirs = [], []
    for shape in ((3, 4), (5,), (2,)):
        grad = (stream.randn(*shape) * scale).astype(np.float32)
        ours.append(am.ones(*shape, requires_grad=True))
        theirs.append(torch.ones(*shape, requires_grad=True))
        if shape != (2,):  # one has no gradient
            ours[-1].grad, theirs[-1].grad = am.tensor(grad), torch.tensor(grad)
    return ours, theirs


def equal(ours: list[am.Tensor], theirs: list[torch.Tensor]) -> None:
    for p, q in zip(ours, theirs, strict=True):
        if q.grad is None:
            assert p.grad is None
        else:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("order", [2.0, 1.0, math.inf, 3])
def test_norms_are_cut_as_pytorch_cuts_them(order: float) -> None:
    for scale in (0.01, 5.0):
        ours, theirs = pairs(scale)
        a = utils.clip_grad_norm_(ours, 1.5, order)
        b = torch.nn.utils.clip_grad_norm_(theirs, 1.5, order)
        assert a.item() == pytest.approx(b.item(), rel=1e-6)
        equal(ours, theirs)


def test_values_are_cut_as_pytorch_cuts_them() -> None:
    ours, theirs = pairs(3.0)
    utils.clip_grad_value_(iter(ours), 0.7)
    torch.nn.utils.clip_grad_value_(theirs, 0.7)
    equal(ours, theirs)
    utils.clip_grads_with_norm_(ours, 0.5, am.tensor(2.0))
    torch.nn.utils.clip_grads_with_norm_(theirs, 0.5, torch.tensor(2.0))
    equal(ours, theirs)


def test_a_jitted_step_clips_with_the_same_bits() -> None:
    found = []
    for wrap in (am.jit, lambda f: f):
        weights = [am.tensor([3.0, -4.0], requires_grad=True), am.ones(3, requires_grad=True)]
        rule = am.optim.SGD(weights, lr=0.1, momentum=0.9)

        @wrap
        def step(weights: Any = weights, rule: Any = rule) -> am.Tensor:
            rule.zero_grad()
            ((weights[0] ** 2).sum() * weights[1].sum()).backward()
            norm = utils.clip_grad_norm_(weights, 1.0)
            rule.step()
            return norm

        norms = [step().item() for _ in range(3)]
        found.append((norms, [w.tolist() for w in weights]))
    assert found[0] == found[1]


def test_half_precision_keeps_its_dtype_and_nothing_is_nothing() -> None:
    weight = am.ones(2, dtype="float16", requires_grad=True)
    weight.grad = am.tensor([3.0, 4.0], dtype="float16")
    utils.clip_grad_norm_([weight, am.ones(2)], 1.0)
    assert weight.grad.dtype is am.float16
    assert utils.clip_grad_norm_([am.ones(2, requires_grad=True)], 1.0).item() == 0.0


def test_mistakes_are_named() -> None:
    weight = am.ones(2, requires_grad=True)
    weight.grad = am.tensor([1.0, math.inf])
    for call, message in (
        (lambda: utils.clip_grad_norm_([weight], 1.0, error_if_nonfinite=True), "norm is inf"),
        (lambda: utils.clip_grad_norm_([weight], -1.0), "max_norm is -1.0; need a number >= 0"),
        (lambda: utils.clip_grad_value_([weight], None), "clip_value is None"),
        (lambda: utils.clip_grad_norm_(am.nn.Linear(1, 1), 1.0), r"pass module\.parameters\(\)"),
        (lambda: utils.clip_grad_norm_([weight, 3], 1.0), "got int; need tensors"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            call()
