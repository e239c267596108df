"""A jitted step and its optimizer: whatever is done to one between calls, the other sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
from ambos import nn, optim
from ambos.core.errors import ArgumentError
from ambos.tensor.realize import planning

Wrapper = Callable[[Callable[..., Any]], Any]
RULES: dict[str, Callable[[Any], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "dampened": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5),
    "adam": lambda p: optim.Adam(p, lr=0.1),
    "adamw": lambda p: optim.AdamW(p, lr=0.1, amsgrad=True),
}


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def training(wrap: Wrapper, rule: str) -> tuple[am.Tensor, optim.Optimizer, Callable[[], Any]]:
    weight = am.tensor([1.0, -2.0], requires_grad=True)
    optimizer = RULES[rule]([weight])

    @wrap
    def step() -> None:
        optimizer.zero_grad()
        (weight * weight).sum().backward()
        optimizer.step()

    return weight, optimizer, step


def written(optimizer: optim.Optimizer) -> list[Any]:
    return [
        (key, np.asarray(value).tolist())
        for state in optimizer.state_dict()["state"].values()
        for key, value in state.items()
    ]


@pytest.mark.parametrize("rule", RULES)
def test_a_loaded_state_is_what_the_next_step_starts_from(rule: str) -> None:
    found = []
    for wrap in (plain, am.jit):
        weight, optimizer, step = training(wrap, rule)
        step()
        saved = optimizer.state_dict()
        for _ in range(3):
            step()
        optimizer.load_state_dict(saved)
        made = planning.programs
        step()
        assert planning.programs == made  # the recording goes on
        found.append((weight.tolist(), written(optimizer)))
        assert dict(written(optimizer)).get("step", 2) == 2
        step()
        found[-1] += (weight.tolist(),)
    assert found[0] == found[1]


def test_clocks_that_a_state_sets_apart() -> None:
    found = []
    for wrap in (plain, am.jit):
        weights = [am.tensor([1.0], requires_grad=True), am.tensor([2.0], requires_grad=True)]
        optimizer = optim.Adam(weights, lr=0.1)

        @wrap
        def step(weights: Any = weights, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            sum((w * w).sum() for w in weights).backward()
            optimizer.step()

        for _ in range(3):
            step()
        saved = optimizer.state_dict()
        saved["state"][1]["step"] = 10.0
        optimizer.load_state_dict(saved)
        for _ in range(2):
            step()
        steps = [state["step"] for state in optimizer.state_dict()["state"].values()]
        assert steps == [5, 12]
        found.append(([w.item() for w in weights], written(optimizer)))
    assert found[0] == found[1]


def test_a_state_that_was_never_there_is_dropped() -> None:
    found = []
    for wrap in (plain, am.jit):
        weight, optimizer, step = training(wrap, "adam")
        fresh = optimizer.state_dict()
        for _ in range(3):
            step()
        optimizer.load_state_dict(fresh)
        step()
        step()
        found.append((weight.tolist(), written(optimizer)))
    assert found[0] == found[1]


def test_a_group_added_later_is_trained() -> None:
    found = []
    for wrap in (plain, am.jit):
        first, second = am.ones(2, requires_grad=True), am.ones(2, requires_grad=True)
        optimizer = optim.Adam([first], lr=0.1)

        @wrap
        def step(first: Any = first, second: Any = second, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            second.grad = None
            (first * second).sum().backward()
            optimizer.step()

        for _ in range(3):
            step()
        assert second.tolist() == [1, 1]
        optimizer.add_param_group({"params": [second], "lr": 0.5})
        for _ in range(3):
            step()
        assert second.tolist() != [1, 1]
        found.append((first.tolist(), second.tolist(), written(optimizer)))
    assert found[0] == found[1]


def test_schedules_count_on_without_another_recording() -> None:
    found = []
    for wrap in (plain, am.jit):
        weight, optimizer, step = training(wrap, "adam")
        schedule = optim.CosineAnnealingLR(optimizer, T_max=8)
        made = 0
        for number in range(6):
            made = planning.programs if number == 2 else made
            step()
            schedule.step()
        assert planning.programs == made
        found.append((weight.tolist(), optimizer.lr))
    assert found[0] == found[1]


def test_two_optimizers_in_one_step() -> None:
    found = []
    for wrap in (plain, am.jit):
        am.manual_seed(1)
        body, head = nn.Linear(3, 4), nn.Linear(4, 2)
        rules = optim.Adam(body.parameters(), lr=0.1), optim.SGD(head.parameters(), 0.1, 0.9)

        @wrap
        def step(x: am.Tensor, body: Any = body, head: Any = head, rules: Any = rules) -> Any:
            loss = head(body(x).tanh()).square().mean()
            for rule in rules:
                rule.zero_grad()
            loss.backward()
            for rule in rules:
                rule.step()
            return loss

        losses = [step(am.ones(5, 3) * n).item() for n in range(3)]
        rules[1].load_state_dict(rules[1].state_dict())
        rules[0].param_groups[0]["weight_decay"] = 0.1
        losses += [step(am.ones(5, 3) * n).item() for n in range(3)]
        found.append((losses, written(rules[0]), written(rules[1])))
    assert found[0] == found[1]


def test_a_refused_step_leaves_the_states() -> None:
    weight = am.ones(2, requires_grad=True)
    optimizer = optim.SGD([weight], lr=0.1, momentum=0.9, dampening=0.5)

    @am.jit
    def step(look: bool) -> None:
        optimizer.zero_grad()
        (weight * weight).sum().backward()
        optimizer.step()
        if look:
            weight.sum().item()

    with pytest.raises(am.errors.TracingError):
        step(True)
    assert optimizer.state == {}
    step(False)
    assert weight.tolist() == pytest.approx([0.8, 0.8])  # the first velocity is not dampened


def test_settings_of_the_optimizer_are_looked_at() -> None:
    weights = []
    for wrapper in (plain, am.jit):
        weight = am.ones(2, requires_grad=True)
        optimizer = optim.SGD([weight], lr=0.1, momentum=0.5)

        @wrapper
        def step(weight: Any = weight, optimizer: Any = optimizer) -> am.Tensor:
            optimizer.zero_grad()
            loss = (weight * weight).sum()
            loss.backward()
            optimizer.step()
            return loss

        step()
        optimizer.param_groups[0]["momentum"] = 0.9
        step()
        step()
        weights.append(weight.tolist())
    assert weights[0] == weights[1]


def test_what_is_left_to_a_rule_is_another_graph() -> None:
    weight = am.tensor([[1.0, -2.0]], requires_grad=True)
    rule = optim.Adafactor([weight], lr=0.1, eps=(1e-3, 1e-3))
    weight.grad = am.tensor([[1e-5, 0.5]])
    step = am.jit(rule.step)
    theirs = torch.tensor([[1.0, -2.0]], requires_grad=True)
    other = torch.optim.Adafactor([theirs], lr=0.1, eps=(1e-3, 1e-3))
    theirs.grad = torch.tensor([[1e-5, 0.5]])
    for least in (1e-3, 0.5, None, 0.1):
        rule.param_groups[0]["eps"] = other.param_groups[0]["eps"] = least, 1e-3
        step()
        other.step()
        np.testing.assert_allclose(weight.detach().numpy(), theirs.detach().numpy(), rtol=1e-5)
    with pytest.raises(ArgumentError, match="need a number as second"):
        optim.Adafactor([weight], eps=(None, None))
