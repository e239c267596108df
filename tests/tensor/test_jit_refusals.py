"""`jit`: what it refuses, and that nothing has changed then."""

from __future__ import annotations

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import optim
from ambos.core.errors import IndexingError, ShapeError, TracingError
from tests.tensor.test_jit import batches, build, state_of


def test_looking_inside_is_an_error_that_changes_nothing() -> None:
    weight = am.ones(2)

    def step(x: am.Tensor) -> am.Tensor:
        weight.add_(x)
        if weight.sum() > 1:
            return x
        return -x

    with pytest.raises(TracingError, match=r"looked at inside.*am.where.*test_jit_refusals.py:\d+"):
        am.jit(step)(am.ones(2))
    assert weight.tolist() == [1, 1]


def test_errors_inside_leave_the_state() -> None:
    net, optimizer, step = build("adam")
    jitted = am.jit(step)
    x, y = batches(1)[0]
    jitted(x, y)
    before = state_of(net, optimizer)
    with pytest.raises(ShapeError):
        jitted(am.ones(3, 5), y)
    assert state_of(net, optimizer) == before


def test_an_index_out_of_range_is_found_before_anything_is_overwritten() -> None:
    table = am.zeros(5, 3, requires_grad=True)
    optimizer = optim.SGD([table], lr=1.0)

    @am.jit
    def step(rows: am.Tensor) -> am.Tensor:
        loss = F.embedding(rows, table).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step(am.tensor([0, 1]))
    before = table.numpy()
    with pytest.raises(IndexingError, match="out of range for axis 0 of size 5"):
        step(am.tensor([0, 7]))
    np.testing.assert_array_equal(table.numpy(), before)


def test_a_tensor_kept_elsewhere_is_an_error() -> None:
    kept: list[am.Tensor] = []

    @am.jit
    def step(x: am.Tensor) -> am.Tensor:
        kept.append(x * 2)
        return x

    def train() -> None:
        for _ in range(4):
            step(am.ones(2))

    with pytest.raises(TracingError, match="keeps tensors"):
        train()


def test_a_refused_function_leaves_the_state() -> None:
    weight, kept = am.tensor([1.0], requires_grad=True), []
    optimizer = optim.SGD([weight], lr=0.5)
    weight.grad = am.tensor([7.0])

    @am.jit
    def step() -> None:
        optimizer.zero_grad()
        loss = (weight * weight).sum()
        loss.backward()
        optimizer.step()
        kept.append(loss * 2)

    step()
    step()
    before = weight.tolist()
    weight.grad = am.tensor([7.0])
    with pytest.raises(TracingError, match="keeps tensors"):
        step()
    assert weight.tolist() == before
    assert weight.grad.tolist() == [7.0]
