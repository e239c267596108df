"""A jitted function keeps neither modules nor optimizers alive, and forgets them."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import ambos as am
from ambos import nn, optim
from ambos.core.errors import TracingError
from ambos.runtime import memory
from tests.tensor.recordings import count_of

Made = tuple[nn.Module, optim.Optimizer]


def make(rule: Callable[..., optim.Optimizer] = optim.Adam) -> Made:
    net = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 1))
    return net, rule(net.parameters(), lr=1e-3)


def trained(net: nn.Module, optimizer: optim.Optimizer, x: am.Tensor) -> am.Tensor:
    loss = (net(x) - 9.0).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


@pytest.mark.parametrize(
    "rule", [optim.Adam, lambda p, lr: optim.SGD(p, lr, momentum=0.5, dampening=0.1)]
)
def test_models_and_optimizers_that_were_arguments_go_with_their_last_user(rule: Any) -> None:
    step, score = am.jit(trained), am.jit(lambda net, x: net(x))
    x, held, gone = am.ones(8, 40), [], []
    for number in range(12):
        made = net, optimizer = make(rule)
        losses = [step(net, optimizer, x).item() for _ in range(3)]
        score(net, x).tolist()
        assert losses[2] < losses[0]
        gone += [weakref.ref(each) for each in (*made, next(net.parameters()))]
        del made, net, optimizer
        if number in (3, 11):  # it takes long where many tests have run
            gc.collect()
            held.append(memory.statistics.live_bytes)
    assert [of() for of in gone if of() is not None] == []
    assert count_of(step) == count_of(score) == 0
    assert held[1] <= held[0]


def test_another_module_under_the_same_name() -> None:
    net = nn.Linear(2, 2)
    score = am.jit(lambda x: net(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(4):
            net = nn.Linear(2, 2)
            score(am.ones(1, 2))
    gc.collect()
    assert count_of(score) == 1


def test_an_optimizer_alone_is_let_go() -> None:
    weight = am.ones(3, requires_grad=True)
    rules = [optim.Adam([weight], lr=0.5)]

    @am.jit
    def step() -> None:
        rules[0].zero_grad()
        (weight * weight).sum().backward()
        rules[0].step()

    for _ in range(3):
        step()
    gone = weakref.ref(rules.pop())
    gc.collect()
    assert gone() is None
    assert count_of(step) == 0


def test_a_method_of_an_optimizer_lives_as_long_as_its_function() -> None:
    weight = am.ones(3, requires_grad=True)
    weight.grad = am.ones(3)
    step = am.jit(optim.SGD([weight], lr=0.25).step)
    gc.collect()
    step(), step()
    assert weight.tolist() == [0.5] * 3


def test_a_module_made_inside_needs_no_second_recording() -> None:
    score = am.jit(lambda x: nn.Softplus(beta=2.0)(x))
    for _ in range(3):
        score(am.ones(3))
    gc.collect()
    assert count_of(score) == 1


def test_other_objects_are_let_go_and_still_warned_of() -> None:
    class Settings:
        factor = 2.0

    scale = am.jit(lambda settings, x: x * settings.factor)
    kept = Settings()
    for _ in range(2):
        assert scale(kept, am.ones(1)).item() == 2.0
    assert count_of(scale) == 1
    for _ in range(7):
        scale(Settings(), am.ones(1))
    with pytest.warns(UserWarning, match="recorded for the 9th time: argument settings is <"):
        scale(Settings(), am.ones(1))
    gc.collect()
    assert count_of(scale) == 1
    strict = am.jit(lambda settings, x: x * settings.factor, strict=True)
    strict(Settings(), am.ones(1))
    gc.collect()
    with pytest.raises(TracingError, match="and was a Settings, now gone"):
        strict(Settings(), am.ones(1))


def test_strides_of_axes_of_extent_one_are_no_reason_to_record_anew() -> None:
    # Where there is one index, the stride means nothing, and kernels write different ones.
    am.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Upsample(scale_factor=2),
        nn.Conv2d(8, 1, 3, padding=1),
    )  # fmt: skip
    optimizer = optim.Adam(net.parameters())

    @am.jit
    def step(x: am.Tensor) -> am.Tensor:
        loss = nn.functional.mse_loss(net(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    images = am.randn(4, 1, 8, 8)
    for _ in range(12):
        step(images)
    assert count_of(step) <= 2  # the first one lays the parameters out
