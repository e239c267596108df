"""x[..., place, ...] = v with a computed place: numbers, gradients, and what is touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.config import config
from ambos.core.errors import IndexingError, ShapeError
from ambos.graph.node import toposort
from ambos.runtime.memory import statistics


@pytest.fixture(autouse=True)
def _restore_config() -> Iterator[None]:
    fuse, threads = config.fuse, config.threads
    yield
    config.fuse, config.threads = fuse, threads


def address(x: am.Tensor) -> int:
    return int(x._node.value.address)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    "place", [0, 3, -1, [2], [[-4]], [1, 3, 1], [[2, -4], [0, 0]], []], ids=str
)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "bool"])
def test_computed_positions_along_an_axis(axis: int, place: Any, dtype: str) -> None:
    rng = np.random.default_rng(1)
    x = (9 * rng.standard_normal((4, 5, 6))).astype(dtype)
    index = (*(slice(None),) * axis, np.array(place, int))
    value = (9 * rng.standard_normal(x[index].shape)).astype(dtype)
    ours = am.tensor(x)
    ours[(*index[:-1], am.tensor(np.array(place, int)))] = am.tensor(value)
    used = {n.op.name for n in toposort([ours._node])}
    assert "argsort" not in used
    assert ("put" in used) == (np.size(place) == 1)
    x[index] = value
    np.testing.assert_array_equal(ours.numpy(), x)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)], ids=str)
@pytest.mark.parametrize(
    "pattern", ["ip..", "i.p.", ".ip.", ".i.p", "p.i.", "ii.p", "i.pi", "pi.."]
)
def test_a_row_of_a_part_that_integers_choose(pattern: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(4)
    x, place = rng.standard_normal((3, 4, 5, 6)), np.full(shape, -2)
    kinds = {"i": 1, "p": place, ".": slice(None)}
    index = tuple(kinds[kind] for kind in pattern)
    value = rng.standard_normal(x[index].shape)
    ours = am.tensor(x)
    ours[tuple(am.tensor(k) if k is place else k for k in index)] = am.tensor(value)
    assert "put" in {n.op.name for n in toposort([ours._node])}
    x[index] = value
    np.testing.assert_array_equal(ours.numpy(), x)


def test_values_broadcast_and_must_fit() -> None:
    x, place = am.zeros(3, 4, 5), am.tensor([2])
    x[:, :, place] = am.arange(4.0).reshape(4, 1)
    assert x.numpy()[:, :, 2].tolist() == [[0, 1, 2, 3]] * 3
    x[am.tensor(1)] = 7
    assert x.numpy()[1].min() == 7
    with pytest.raises(ShapeError, match="selected"):
        x[:, place] = am.zeros(3, 2, 5)


def test_positions_outside_are_reported() -> None:
    x = am.zeros(3, 4)
    x[:, am.tensor(4)] = 1
    with pytest.raises(IndexingError):
        x.numpy()


def test_gradients_are_torchs() -> None:
    rng = np.random.default_rng(2)
    x, v = rng.standard_normal((3, 4, 5)), rng.standard_normal((3, 5))
    a, b = (am.tensor(n, requires_grad=True) for n in (x, v))
    c, d = (torch.tensor(n, requires_grad=True) for n in (x, v))
    for one, two, place in ((a, b, am.tensor(-2)), (c, d, torch.tensor(-2))):
        whole = one * 2
        whole[:, place] = two * 3
        (whole * whole).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), c.grad.numpy())
    np.testing.assert_allclose(b.grad.numpy(), d.grad.numpy())


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("fuse", [True, False])
def test_a_recorded_step_writes_one_row_in_place(fuse: bool, threads: int) -> None:
    config.fuse, config.threads = fuse, threads
    cache, rows = am.zeros(2, 50, 33), np.random.default_rng(3).standard_normal((50, 2, 1, 33))
    am.evaluate(cache)

    def write(row: am.Tensor, place: am.Tensor) -> am.Tensor:
        cache[:, place] = row
        return (cache * cache).sum()

    step, totals = am.jit(write), []
    for place in range(50):
        total = step(am.tensor(rows[place].astype(np.float32)), am.tensor([place]))
        totals.append(total.item())
        if place == 1:
            home = address(cache)
    if fuse:
        assert address(cache) == home
    np.testing.assert_array_equal(cache.numpy(), rows[:, :, 0].astype(np.float32).swapaxes(0, 1))
    np.testing.assert_allclose(totals, np.cumsum((rows**2).sum((1, 2, 3))), rtol=1e-5)


def test_what_somebody_else_holds_is_copied_not_overwritten() -> None:
    cache = am.zeros(40, 30)
    am.evaluate(cache)

    def write(place: am.Tensor) -> None:
        cache[place] = 1.0

    step = am.jit(write)
    for place in range(4):
        held = cache.detach()
        step(am.tensor([place]))
        assert held.numpy().sum() == 30 * place
        assert cache.numpy().sum() == 30 * (place + 1)


def test_a_row_of_a_large_cache_is_written_in_place() -> None:
    cache = am.zeros(1 << 18, 64)
    am.evaluate(cache)
    address = cache._node.value.address

    def write(place: am.Tensor) -> None:
        cache[place] = 1.0

    step = am.jit(write)
    for place in range(3):
        step(am.tensor([place]))
    owned = statistics.owned_bytes
    step(am.tensor([3]))
    assert (cache._node.value.address, statistics.owned_bytes) == (address, owned)
    assert cache.numpy().sum() == 4 * 64
