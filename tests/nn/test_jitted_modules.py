"""A jitted module is recorded again when, and only when, something about it has changed."""

from __future__ import annotations

import gc
import warnings
import weakref
from typing import Any

import numpy as np

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from ambos.core.errors import RecordingWarning
from ambos.tensor.realize import planning


def agree(jitted: Any, plain: Any, *args: Any) -> None:
    np.testing.assert_array_equal(jitted(*args).numpy(), plain(*args).numpy())


def test_settings_of_layers_are_looked_at() -> None:
    x = am.rand(2, 1, 9, 9)
    conv = nn.Conv2d(1, 2, 3)
    jitted = am.jit(conv)
    for name, value in [("stride", (2, 2)), ("padding", (1, 1)), ("dilation", (2, 2))]:
        agree(jitted, conv, x)
        setattr(conv, name, value)
    agree(jitted, conv, x)
    norm = nn.LayerNorm((3,), elementwise_affine=False)
    jitted = am.jit(norm)
    agree(jitted, norm, am.rand(2, 3))
    norm.eps = 1.0
    agree(jitted, norm, am.rand(2, 3))


def test_names_and_types_of_attributes_count() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add: Any = 1
            self.times: Any = 1
            self.act: Any = F.relu

        def forward(self, x: am.Tensor) -> am.Tensor:
            return self.act(x * self.times + self.add)

    net, x = Net(), am.tensor([1, -2])
    jitted = am.jit(net)
    for values in [(1, 1), (2, 1), (1, 2), (1.0, 2), (True, 2), (1, 2.5)]:
        net.add, net.times = values
        agree(jitted, net, x)
        assert jitted(x).dtype is net(x).dtype
    net.act = F.tanh
    agree(jitted, net, x)


def test_a_hook_that_takes_another_ones_place() -> None:
    net = nn.Identity()
    jitted = am.jit(net)
    for factor in (2, 3, 4):
        hook = net.register_forward_hook(lambda _, __, result, by=factor: result * by)
        assert jitted(am.ones(1)).item() == factor
        hook.remove()
        del hook
    assert jitted(am.ones(1)).item() == 1


def test_a_child_and_a_parameter_that_take_anothers_place() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: am.Tensor) -> am.Tensor:
            return self.fc(x)

    net, x = Net(), am.rand(4, 3)
    jitted = am.jit(net)
    for outputs in (2, 5, 2, 2):
        net.fc = nn.Linear(3, outputs)
        agree(jitted, net, x)
    net.fc.weight = nn.Parameter(am.ones(2, 3))
    agree(jitted, net, x)
    net.load_state_dict({"fc.weight": np.zeros((2, 3), np.float32), "fc.bias": [1.0, 2.0]})
    agree(jitted, net, x)


def test_a_tensor_that_is_a_plain_attribute() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = [am.tensor([2.0])]
            self.shift = am.tensor([1.0])

        def forward(self, x: am.Tensor) -> am.Tensor:
            return x * self.scale[0] + self.shift

    net = Scaled()
    jitted = am.jit(net)
    assert jitted(am.ones(1)).item() == 3
    net.shift = am.tensor([5.0])
    assert jitted(am.ones(1)).item() == 7
    net.scale = [am.tensor([0.0])]
    assert jitted(am.ones(1)).item() == 5


class Dropping(nn.Module):
    """A layer whose methods are jitted, or used without calling it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(am.ones(1))

    @am.jit
    def forward(self, x: am.Tensor) -> am.Tensor:
        return F.dropout(x, 0.5, self.training)

    def encode(self, x: am.Tensor) -> am.Tensor:
        return F.dropout(x, 0.5, self.training) * self.weight


def test_methods_of_modules_see_train_and_eval() -> None:
    x, net, drop = am.ones(1000), Dropping(), nn.Dropout(0.5)
    for function in (net, net.forward, am.jit(net.encode), am.jit(lambda x: net.encode(x)),
                     am.jit(drop.forward)):  # fmt: skip
        for mode in (True, False, True, False):
            net.train(mode)
            drop.train(mode)
            assert (function(x).numpy() == 1).all() is np.bool_(not mode)


def test_objects_that_are_equal_are_not_the_same() -> None:
    class Scale:
        def __init__(self, by: float) -> None:
            self.by = by

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 1

        @am.jit
        def call(self, x: am.Tensor) -> am.Tensor:
            return x * self.by

    two, three = Scale(2.0), Scale(3.0)
    assert two.call(am.ones(1)).item() == 2
    assert three.call(am.ones(1)).item() == 3


def test_a_jitted_method_keeps_no_module_alive() -> None:
    net = Dropping()
    net(am.ones(3))
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_saying_train_before_each_step_costs_nothing() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).train()
    jitted = am.jit(net)
    jitted(am.ones(1, 3))
    version = jit_version()
    net.train()
    assert jit_version() == version
    net.eval()
    assert jit_version() > version


def jit_version() -> int:
    from ambos.tensor.tracing import makeup

    return makeup.version


def test_parameters_that_are_none_stay_what_they_were() -> None:
    """Of attention whose projections lie together, and of norms without a scale."""
    net = nn.Sequential(nn.LayerNorm(4, elementwise_affine=False), nn.MultiheadAttention(4, 2))
    recorded = []

    @am.jit
    def attend(x: am.Tensor) -> am.Tensor:
        recorded.append(net.training)
        return net[1](net[0](x), x, x)[0] if net.training else net[0](x)

    x = am.rand(2, 3, 4)
    for _ in range(3):
        for mode in (True, False):
            net.train(mode)
            attend(x)
    assert recorded == [True, False]


def test_a_module_that_counts_its_calls_is_warned_of() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, x: am.Tensor) -> am.Tensor:
            self.calls += 1
            return x * self.calls

    jitted = am.jit(Counting())
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for number in range(12):
            assert jitted(am.ones(1)).item() == number + 1
    (warning,) = found
    assert warning.category is RecordingWarning
    assert "Counting.calls is 8 and was 7" in str(warning.message)


def test_eval_between_steps_and_a_filter_shared_with_eager_code() -> None:
    outcomes = []
    for wrap in (lambda f: f, am.jit):
        am.manual_seed(2)
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3))
        optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

        @wrap
        def step(x: am.Tensor, y: am.Tensor, net: Any = net, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss

        x, y, row = am.rand(8, 1, 6, 6), am.tensor([0, 1, 2, 0, 1, 2, 0, 1]), []
        for number in range(5):
            row.append(step(x, y).item())
            net.eval()
            row.append(net(x).sum().item())
            net.train()
            if number == 2:
                net.load_state_dict({k: v.numpy() for k, v in net.state_dict().items()})
            made = planning.programs
        step(x, y)
        assert planning.programs == made
        outcomes.append(row)
    assert outcomes[0] == outcomes[1]
