"""Recordings and the indices that they check, before or behind the work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from ambos.core.errors import DTypeError, IndexingError


def sorted_step(jit: bool) -> list[float]:
    """Losses of a network that is asked for places which only a sort inside the step knows."""
    am.manual_seed(0)
    table, layer = nn.Embedding(8, 48), nn.Linear(48, 24)
    optimizer = optim.Adam([*table.parameters(), *layer.parameters()], lr=0.1)

    def step(x: am.Tensor) -> am.Tensor:
        loss = (layer(table(x.argsort())) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    run = am.jit(step) if jit else step
    numbers = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    return [float(run(am.tensor(row)).item()) for row in numbers]


def test_indices_that_are_known_at_the_end_only() -> None:
    """Nothing is renewed in place then, and weights may come out in another order of memory."""
    assert sorted_step(jit=True) == sorted_step(jit=False)


def test_the_check_of_given_indices_is_cheap() -> None:
    """An embedding's indices are arguments: parameters are still written in place."""
    table = nn.Embedding(8, 4)
    optimizer = optim.SGD(table.parameters(), lr=0.1)

    @am.jit
    def step(index: am.Tensor) -> am.Tensor:
        loss = (table(index) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    index = am.tensor([1, 2])
    step(index)
    step(index)
    address = table.weight._node.value.address
    step(index)
    assert table.weight._node.value.address == address


def test_indices_from_outside_are_checked_as_they_are_now() -> None:
    """They are inputs of the check too, which must not go on with the memory that they had."""
    table, index = am.tensor([[1.0], [2.0], [3.0]]), am.tensor([0, 1])
    rows = am.jit(lambda: F.embedding(index, table))
    rows()
    index.data = am.tensor([0, 7])
    with pytest.raises(IndexingError, match="out of range"):
        rows()
    index.data = am.tensor([2, 1])
    assert rows().tolist() == [[3], [2]]


@pytest.mark.parametrize("make", [
    lambda: (lambda x, y: F.cross_entropy(x, y)),
    lambda: (lambda x, y: F.cross_entropy(x, y, ignore_index=-1, label_smoothing=0.1)),
    lambda: (lambda x, y: F.nll_loss(x, y, reduction="none")),
    lambda: (lambda x, y: x + am.one_hot(y, 3)),
])  # fmt: skip
@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_classes_are_checked_at_every_call(make: Any, kind: Any) -> None:
    function, x = make(), am.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    jitted = am.jit(function)
    for labels in ([0, 2], [1, 0], [1, 3], [0, 255], [2, 1], [0, -1]):
        y = np.array(labels).astype(kind)
        try:
            wanted = function(x, am.tensor(y)).tolist()
        except IndexingError:
            with pytest.raises(IndexingError, match=r"out of range.*; need 0 <= .* < 3"):
                jitted(x, am.tensor(y))
        else:
            assert jitted(x, am.tensor(y)).tolist() == wanted


def test_classes_from_outside_and_in_steps_that_make_state() -> None:
    weight, labels = am.zeros(2, 3, requires_grad=True), am.tensor([0, 1])
    optimizer = optim.Adam([weight], lr=0.1)

    @am.jit
    def step() -> am.Tensor:
        loss = F.cross_entropy(weight, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    labels.data = am.tensor([0, 3])
    for good in (False, True, True, False, True, False):
        labels.data = am.tensor([0, 1 if good else 3])
        before = weight.tolist()
        if good:
            step()
            assert weight.tolist() != before
        else:
            with pytest.raises(IndexingError, match="a target is"):
                step()
            assert weight.tolist() == before
    assert optimizer.state_dict()["state"][0]["step"] == 3


@pytest.mark.parametrize(("dtype", "values"), [
    ("int8", [127.9, -128.9, 128.0, -129.0, np.nan, np.inf]),
    ("int64", [-(2.0**63), 2.0**62, 2.0**63, -np.inf, np.nan]),
    ("uint8", [-0.9, 255.0, 256.0, -1.0, np.nan]),
    ("uint64", [2.0**63, 2.0**64, -1.0]),
])  # fmt: skip
def test_casts_that_invent_values_are_found_at_every_call(dtype: str, values: list[float]) -> None:
    cast = am.jit(lambda x: x.astype(dtype))
    assert cast(am.tensor([0.0, 1.0])).tolist() == [0, 1]
    for value in values:
        x = am.tensor([0.0, value])
        try:
            wanted = x.astype(dtype).tolist()
        except DTypeError:
            with pytest.raises(DTypeError, match=f"out of range as {dtype}"):
                cast(x)
        else:
            assert cast(x).tolist() == wanted


def test_classes_still_to_be_computed_are_not_waited_for() -> None:
    loss = am.jit(lambda x: F.cross_entropy(x, x.argmax(1) + 2, reduction="none"))
    assert np.isnan(loss(am.tensor([[0.0, 1.0], [1.0, 0.0]])).numpy()).all()


def test_a_checked_position_that_every_call_moves() -> None:
    table, place = am.tensor([1.0, 2.0, 3.0]), am.tensor([0])

    @am.jit
    def advance() -> am.Tensor:
        found = am.take(table, place.detach())
        place.add_(1)
        return found

    assert [advance().item() for _ in range(3)] == [1, 2, 3]
    with pytest.raises(IndexingError):
        advance()
    assert place.item() == 3
