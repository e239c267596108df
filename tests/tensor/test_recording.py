"""Recordings and the indices that they check, before or behind the work."""

from __future__ import annotations

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from ambos.core.errors import IndexingError


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
