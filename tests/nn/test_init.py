"""Initial values: moments and bounds beside PyTorch's, keys, and what is refused."""

import copy
import gc
import math
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import ambos as am
from ambos import models, nn, optim
from ambos.core.errors import ArgumentError, ShapeError
from ambos.nn import init
from ambos.nn.making import settle
from ambos.tensor import realize
from ambos.tensor.resting import peek

SHAPE = (64, 8, 4, 4)
DRAWN = {
    "uniform_": {"a": -0.5, "b": 1.5},
    "normal_": {"mean": 0.25, "std": 2.0},
    "trunc_normal_": {"mean": 0.5, "std": 1.0, "a": 0.0, "b": 3.0},
    "xavier_uniform_": {"gain": 2.0},
    "xavier_normal_": {},
    "kaiming_uniform_": {"a": 0.3, "mode": "fan_out"},
    "kaiming_normal_": {"nonlinearity": "relu"},
}


@pytest.mark.parametrize("name", DRAWN)
def test_moments_are_those_of_pytorch(name):
    theirs = getattr(torch.nn.init, name)(torch.empty(SHAPE), **DRAWN[name]).double().numpy()
    ours = getattr(init, name)(am.empty(SHAPE), **DRAWN[name], key=am.random.key(1)).numpy()
    ours = ours.astype(np.float64)
    spread = theirs.std()
    for power in (1, 2, 3, 4):  # of 8192 numbers each: six standard errors, generously
        mine, other = ((x / spread) ** power for x in (ours, theirs))
        error = 6 * math.sqrt((mine.var() + other.var()) / mine.size)
        assert abs(mine.mean() - other.mean()) < error, power
    if name in ("uniform_", "trunc_normal_"):
        low, high = (DRAWN[name][side] for side in "ab")
        assert low <= ours.min() < low + 0.02
        assert high - 0.2 < ours.max() <= high


@pytest.mark.parametrize("nonlinearity", [*init.GAINS, "leaky_relu"])
def test_gains_are_those_of_pytorch(nonlinearity):
    assert init.calculate_gain(nonlinearity) == torch.nn.init.calculate_gain(nonlinearity)
    assert init.calculate_gain("leaky_relu", 0.2) == torch.nn.init.calculate_gain("leaky_relu", 0.2)


def test_fixed_patterns():
    for name, shape, more in (("eye_", (3, 5), {}), ("dirac_", (6, 2, 3), {"groups": 2}),
                              ("dirac_", (2, 4, 3, 4, 5), {})):  # fmt: skip
        expected = getattr(torch.nn.init, name)(torch.empty(shape), **more).numpy()
        np.testing.assert_array_equal(getattr(init, name)(am.ones(shape), **more).numpy(), expected)


@pytest.mark.parametrize("shape", [(6, 4), (4, 3, 2)])
def test_orthogonal(shape):
    flat = init.orthogonal_(am.empty(shape), gain=2.0).numpy().reshape(shape[0], -1)
    product = flat @ flat.T if flat.shape[0] < flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-5)


def test_sparse():
    values = init.sparse_(am.empty(10, 7), 0.25, std=0.5).numpy()
    assert (values == 0).sum(0).tolist() == [3] * 7
    assert 0.2 < values[values != 0].std() < 0.8


def test_streams_keys_and_generators():
    drawn = [init.normal_(am.empty(4), key=am.random.key(3)).tolist() for _ in range(2)]
    assert drawn[0] == drawn[1]
    drawn = [init.sparse_(am.empty(4, 4), 0.5, generator=am.random.Generator(5)).tolist()
             for _ in range(2)]  # fmt: skip
    assert drawn[0] == drawn[1]
    parameter = am.nn.Parameter(am.ones(3, 3))
    assert init.xavier_normal_(parameter) is parameter
    assert parameter.requires_grad
    assert init.normal_(am.empty(4, dtype=am.bfloat16)).dtype is am.bfloat16


def test_what_is_refused():
    with pytest.raises(ShapeError, match=r"\(3,\) has no fan"):
        init.xavier_uniform_(am.empty(3))
    with pytest.raises(ArgumentError, match="mode is 'fan'; need 'fan_in' or 'fan_out'"):
        init.kaiming_normal_(am.empty(3, 3), mode="fan")
    with pytest.raises(ArgumentError, match="nonlinearity is 'relou'"):
        init.calculate_gain("relou")
    with pytest.raises(ShapeError, match="eye_"):
        init.eye_(am.empty(3))


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"), [(0.0, 1.0, -2.0, 2.0), (0.5, 2.0, -2, 1), (0, 0.02, -2, 2)]
)
def test_truncated_normal(mean: float, std: float, low: float, high: float) -> None:
    am.manual_seed(0)
    drawn = nn.init.trunc_normal_(am.zeros(20000), mean, std, low, high).numpy()
    assert drawn.min() >= low
    assert drawn.max() <= high
    law = stats.truncnorm((low - mean) / std, (high - mean) / std, mean, std)
    assert stats.kstest(drawn, law.cdf).pvalue > 0.01


def test_models_begin_as_wide_as_torchvisions() -> None:
    from tests.models.twins import torchvision

    am.manual_seed(0)
    torch.manual_seed(0)
    for name in ("mobilenet_v3_small",):
        ours, theirs = models.get_model(name), torchvision.models.get_model(name)
        for key, value in theirs.named_parameters():
            found, expected = ours.get_parameter(key).numpy(), value.detach()
            if value.numel() > 2000:
                assert found.std() == pytest.approx(expected.std().item(), rel=0.15), key
            elif not expected.std() > 0:
                assert (found == expected.numpy()).all(), key


def test_numbers_that_a_network_replaces_are_never_computed(monkeypatch) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 4), nn.Conv2d(1, 2, 3))
            self.last = nn.Linear(5, 6)
            for layer in (*self.inner, self.last):
                nn.init.normal_(layer.weight, 2.0, 0.5)

    runs, execute = [], realize.execute
    monkeypatch.setattr(realize, "execute", lambda *given: runs.append(execute(*given)) or runs[-1])
    am.manual_seed(3)
    net = Net()
    assert all(peek(p).value is not None for p in net.parameters())  # nothing for the first step
    assert [len(values) for values in runs] == [6]  # three weights, drawn once, and three biases
    with pytest.raises(ZeroDivisionError):
        type("Broken", (nn.Module,), {"__init__": lambda self: 1 / 0})()
    am.manual_seed(3)
    layers = nn.Linear(3, 4), nn.Conv2d(1, 2, 3), nn.Linear(5, 6)
    assert all(peek(p).value is not None for layer in layers for p in layer.parameters())
    for layer, same in zip((*net.inner, net.last), layers, strict=True):
        assert layer.bias.tolist() == same.bias.tolist()


def test_numbers_that_nobody_asks_for_are_never_computed(monkeypatch) -> None:
    def make() -> nn.Module:
        am.manual_seed(3)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

    settle(None)  # what other tests have made
    runs, execute = [], realize.execute
    monkeypatch.setattr(realize, "execute", lambda *given: runs.append(execute(*given)) or runs[-1])
    expected = [p.tolist() for p in make().parameters()]
    assert [len(values) for values in runs] == [4]  # all that is random, in one go
    file = {key: value.numpy() for key, value in make().state_dict().items()}
    del runs[:]
    net = make()
    net.load_state_dict(file)
    assert [p.tolist() for p in net.parameters()] == expected
    assert not runs
    x = am.tensor([[1.0, 2.0, 3.0]] * 2)

    def traced(net: nn.Module) -> None:
        am.jit(lambda x: net(x))(x)

    looks: list[Callable[[nn.Module], Any]] = [
        lambda net: net(x), traced, lambda net: net[2].weight, copy.deepcopy, pickle.dumps,
        lambda net: net.state_dict(), lambda net: optim.SGD(net.parameters(), lr=0.1),
        lambda net: net.double(), am.tree.leaves,
    ]  # fmt: skip
    for number, look in enumerate(looks):
        gc.collect()  # handles in cycles, left by others, would come along
        del runs[:]
        net = make()
        assert not runs
        look(net)
        assert len(runs[0]) == 4, number
        assert [p.float().tolist() for p in net.parameters()] == expected, number


def test_initial_numbers_are_computed_in_the_thread_that_asks() -> None:
    kept, gone = nn.Linear(2, 2), nn.Linear(2, 2)
    del gone
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(kept(am.ones(1, 2)).tolist()))
    thread.start()
    thread.join()
    assert found == [kept(am.ones(1, 2)).tolist()]


def test_a_network_made_inside_a_recorded_function() -> None:
    def play(x: am.Tensor) -> am.Tensor:
        net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        net[0].bias.data = am.ones(3)
        return net(x)

    def same_seed(play: Callable[[am.Tensor], am.Tensor]) -> list[Any]:
        am.manual_seed(5)
        return [play(am.ones(1, 4)).tolist() for _ in range(3)]  # each with numbers of its own

    assert same_seed(am.jit(play)) == same_seed(play)


def test_a_network_waits_for_its_own_thread_or_for_who_asks_for_it() -> None:
    mine, shared = nn.Linear(2, 2), nn.Linear(2, 2)
    known: list[list[bool]] = []

    def look() -> None:
        nn.Linear(3, 3).weight.tolist()
        known.append([peek(net._parameters["weight"]).value is not None for net in (mine, shared)])
        shared(am.ones(1, 2)).tolist()
        known.append([peek(net._parameters["weight"]).value is not None for net in (mine, shared)])

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert known == [[False, False], [False, True]]


@pytest.mark.parametrize("view", [lambda w: w[:2], lambda w: w.view(-1, 1), lambda w: w.T[1:]])
def test_a_view_of_a_parameter_is_refused(view):
    """In PyTorch the parameter would change; here the view is a value of its own."""
    layer = nn.Linear(3, 4)
    before = layer.weight.tolist()
    for fill in (nn.init.zeros_, nn.init.xavier_uniform_):
        with pytest.raises(ArgumentError, match=r"a view of a parameter of shape \(4, 3\)"):
            fill(view(layer.weight))
    assert layer.weight.tolist() == before
    with am.no_grad():
        layer.weight[:2] = nn.init.zeros_(am.empty(2, 3))
    assert not layer.weight[:2].numpy().any()
    assert nn.init.ones_(am.zeros(4)[:2].reshape(2, 1)).tolist() == [[1.0], [1.0]]
