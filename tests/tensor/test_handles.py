"""Recordings find every handle that holds what they read, wherever it came from."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.tensor import live


class Own(nn.Parameter):
    pass


def looked_at(tensor: am.Tensor) -> am.Tensor:
    tensor.numpy()
    return tensor


def computed_beside() -> am.Tensor:
    """Computed since another result of the same graph was looked at."""
    x = am.tensor([1.0, 2.0]) * 3
    one, other = x + 1, x + 2
    one.numpy()
    return other


def gradient() -> Any:
    leaf = am.tensor([1.0, 2.0], requires_grad=True)
    (leaf * leaf).sum().backward()
    return leaf.grad


def filled_later() -> am.Tensor:
    tensor = am.ones(2) + 1
    tensor.data = am.tensor([5.0, 6.0])
    return tensor


MADE = {
    "data": lambda: am.tensor([1.0, 2.0]),
    "parameter": lambda: nn.Parameter(am.ones(2)),
    "own": lambda: Own(am.ones(2)),
    "array": lambda: am.Tensor(np.ones(2, np.float32)),
    "pending": lambda: am.tensor([1.0, 2.0]) * 2,
    "looked at": lambda: looked_at(am.tensor([1.0, 2.0]) * 2),
    "computed beside": computed_beside,
    "copy": lambda: copy.copy(am.tensor([1.0, 2.0])),
    "deep copy": lambda: copy.deepcopy(nn.Parameter(am.ones(2))),
    "pickled": lambda: pickle.loads(pickle.dumps(am.tensor([1.0, 2.0]))),
    "gradient": gradient,
    "filled later": filled_later,
    "detached": lambda: nn.Parameter(am.ones(2)).detach(),
    "jitted": lambda: am.jit(lambda x: x * 2)(am.ones(2)),
    "threads": lambda: am.from_dlpack(np.ones(2, np.float32)),
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("frozen", [False, True])
def test_a_captured_tensor_is_read_at_every_call(name: str, frozen: bool) -> None:
    tensor = MADE[name]()
    if frozen:  # out of the collector's sight, as servers do before they fork
        gc.freeze()  # for good: conftest.py has frozen everything else, which shall stay so
    add = am.jit(lambda x: x + tensor)
    with am.no_grad():
        first = add(am.zeros(2)).numpy()
        np.testing.assert_array_equal(first, tensor.numpy())
        tensor.copy_(am.tensor([7.0, 8.0]))
        assert add(am.zeros(2)).tolist() == [7.0, 8.0]


def test_handles_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.settings, "most_holding", len(live._holding) + 100)
    for _ in range(500):
        am.tensor([1.0])
    assert len(live._holding) <= live.settings.most_holding
    kept = [am.tensor([float(n)]) for n in range(300)]
    assert {id(tensor) for tensor in kept} <= {id(handle) for handle in live.handles()}
