"""Modules as trees: what is built shares everything but the tensors, and computes with its own."""

import functools

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError


class Tied(nn.Module):
    """Parts that are reached in every way that a constructor may leave open."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.again = self.first
        self.scale = nn.Parameter(am.ones(3))
        self.register_buffer("offset", am.zeros(3))
        self.layers = [self.first, {"second": self.second}]
        self.method = self.scaled
        self.partial = functools.partial(self._times, factor=self.scale)
        self.closure = lambda x: self.second(x) + self.offset
        self.first.parent = [self]

    @staticmethod
    def _times(x, factor):
        return x * factor

    def scaled(self, x):
        return self.partial(x)

    def forward(self, x):
        assert self.first.parent[0] is self
        x = self.layers[0](x) + self.layers[1]["second"](x) + self.again(x)
        return self.closure(self.method(x))


def doubled(net):
    return am.tree.map(lambda x: x * 2, net)


def test_leaves_are_parameters_and_buffers_by_name():
    net = Tied()
    found = [str(path) for path, _ in am.tree.leaves_with_path({"net": net})]
    assert found == [
        "['net'].scale", "['net'].first.weight", "['net'].first.bias", "['net'].second.bias",
        "['net'].offset",
    ]  # fmt: skip
    assert am.tree.leaves(net)[1] is net.first.weight
    assert str(am.tree.structure(nn.Linear(2, 1))) == "Linear(weight=*, bias=*)"


def test_what_is_built_computes_with_its_own_tensors_however_it_reaches_them():
    am.manual_seed(0)
    net, x = Tied(), am.rand(2, 3)
    before = net(x).numpy()
    built = doubled(net)
    other = Tied()
    other.load_state_dict({k: v * 2 for k, v in net.state_dict().items()})
    assert np.array_equal(built(x).numpy(), other(x).numpy())
    assert np.array_equal(net(x).numpy(), before)
    assert built.first is built.again is built.layers[0]
    assert built.first.weight is built.second.weight
    assert built.method.__self__ is built
    assert type(built) is Tied
    assert built.first.in_features == 3
    again = doubled(built)  # from what was built, too
    assert np.allclose(again.scale.numpy(), 4)
    assert again.layers[0] is again.first


def test_structures_of_equal_modules_are_equal():
    assert am.tree.structure(Tied()) == am.tree.structure(Tied())
    assert am.tree.structure(nn.Linear(2, 3)) == am.tree.structure(nn.Linear(3, 4))
    assert am.tree.structure(nn.Linear(2, 3)) != am.tree.structure(nn.Linear(2, 3, bias=False))
    mean = am.tree.map(lambda a, b: (a + b) / 2, nn.Linear(2, 1), nn.Linear(2, 1))
    assert mean(am.ones(2)).shape == (1,)
    with pytest.raises(ArgumentError, match=(
        r"at the top the first has module Linear with weight, bias, the second module Linear with "
        r"weight; need 'GetAttrKey|need"
    )):  # fmt: skip
        am.tree.map(lambda a, b: a, nn.Linear(2, 1), nn.Linear(2, 1, bias=False))


def test_gradients_by_a_module_are_a_module():
    am.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)), am.rand(8, 3)
    loss = lambda net, x: (net(x) ** 2).mean()
    copy = am.tree.map(lambda t: am.tensor(t.numpy()), net)
    grads = am.grad(loss)(net, x)
    loss(net, x).backward()
    for (name, p), g in zip(net.named_parameters(), grads.parameters(), strict=False):
        assert np.array_equal(p.grad.numpy(), g.numpy()), name
    assert type(grads) is type(net)
    # The function renews statistics as always; they are constants to gradients, also in eval().
    assert net[1].num_batches_tracked.item() == 2
    assert copy[1].num_batches_tracked.item() == 0
    net.eval()
    grads = am.grad(loss)(net, x)
    assert all((b == 0).all() for b in grads.buffers())
    assert [b.dtype for b in grads.buffers()] == [b.dtype for b in net.buffers()]


def test_training_a_module_as_a_value():
    am.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1)), am.rand(64, 2)
    y = x.sum(axis=1, keepdims=True) ** 2
    loss = lambda net: ((net(x) - y) ** 2).mean()
    first = net
    with am.no_grad():
        for _ in range(30):
            value, grads = am.value_and_grad(loss)(net)
            net = am.tree.map(lambda p, g: p - 0.1 * g, net, grads)
    assert value.item() < 0.2 * loss(first).item()


def test_a_value_module_serves_a_jitted_function_by_its_leaves():
    net, x = Tied(), am.rand(2, 3)
    calls = []

    @am.jit
    def step(net, x):
        calls.append(1)
        grads = am.grad(lambda net: (net(x) ** 2).sum())(net)
        return am.tree.map(lambda p, g: p - 0.01 * g, net, grads)

    plain = net
    for _ in range(6):
        with am.no_grad():
            grads = am.grad(lambda net: (net(x) ** 2).sum())(plain)
            plain = am.tree.map(lambda p, g: p - 0.01 * g, plain, grads)
        net = step(net, x)
    assert len(calls) == 2  # the module itself, and values like it
    for a, b in zip(am.tree.leaves(net), am.tree.leaves(plain), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()
    net.eval()
    step(net, x)
    assert len(calls) == 3  # a mode is not the other


def test_a_module_that_is_captured_is_one_recording():
    net, x = nn.Linear(3, 1), am.rand(2, 3)
    calls = []

    @am.jit
    def gradient(x):
        calls.append(1)
        return am.grad(lambda net: net(x).sum())(net)

    for _ in range(4):
        found = gradient(x)
    assert np.allclose(found.bias.numpy(), [2.0])
    assert len(calls) == 1
    net.eval()
    gradient(x)
    assert len(calls) == 2


def test_an_error_in_between_leaves_the_module_as_it_was():
    net, x = Tied(), am.rand(2, 3)
    before = net(x).numpy()

    def fails(built):
        built.scale = nn.Parameter(am.zeros(3))
        built.layers.clear()
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        am.grad(fails)(net)
    assert np.array_equal(net(x).numpy(), before)
    assert len(net.layers) == 2
