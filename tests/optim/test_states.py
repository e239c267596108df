"""States of optimizers: hooks, rules of one's own, files."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am

KITS = (torch, am)


def own_rule(kit: Any) -> Any:
    """A rule written as PyTorch's users write them."""

    class Own(kit.optim.Optimizer):
        def __init__(self, params: Any, lr: float = 0.1) -> None:
            super().__init__(params, {"lr": lr, "power": 2})

        @kit.no_grad()
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    if len(state) == 0:
                        state["step"], state["mean"] = 0, kit.zeros_like(p)
                        state["past"], state["parts"] = [], {"count": kit.zeros(())}
                    state["step"] += 1
                    state["mean"].mul_(0.9).add_(p.grad, alpha=0.1)
                    state["past"].append(float(state["mean"].sum()))
                    state["parts"]["count"].add_(state["step"] ** group["power"])
                    p.add_(state["mean"], alpha=-group["lr"] * state["step"])

    return Own


def trained(kit: Any, rule: Any, weight: Any, steps: int) -> None:
    for _ in range(steps):
        rule.zero_grad()
        (weight**2).sum().backward()
        rule.step()


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return np.round(value.numpy(), 5).tolist() if hasattr(value, "numpy") else value


def test_a_rule_of_ones_own_goes_on_from_a_state() -> None:
    found = []
    for kit in KITS:
        start = kit.tensor([1.0, -2.0, 0.5])
        weights = [start.clone().requires_grad_(), start.clone().requires_grad_()]
        rules = [own_rule(kit)([weight]) for weight in weights]
        trained(kit, rules[0], weights[0], 3)
        state = copy.deepcopy(rules[0].state_dict())  # PyTorch would share its tensors
        with kit.no_grad():
            weights[1].copy_(weights[0])
        rules[1].load_state_dict(state)
        assert type(rules[1].state[weights[1]]["step"]) is int
        trained(kit, rules[1], weights[1], 2)
        mean = weights[1].detach().numpy()
        past = rules[1].state[weights[1]]
        found.append(({k: past[k] for k in ("step",)}, plain(past["parts"]), plain(past["mean"])))
        trained(kit, rules[0], weights[0], 2)
        np.testing.assert_allclose(weights[0].detach().numpy(), mean, rtol=1e-6)
    assert found[0] == found[1]


def test_hooks_of_states_as_in_torch() -> None:
    found = []
    for kit in KITS:
        log: list[Any] = []
        weight = kit.ones(2, requires_grad=True)
        rule = kit.optim.Adam([weight], lr=0.1)
        rule.register_state_dict_pre_hook(lambda rule, log=log: log.append("before"))
        rule.register_state_dict_post_hook(lambda rule, state: {**state, "more": 1})
        first = rule.register_state_dict_post_hook(
            lambda rule, state: state.update(first="more" in state), prepend=True
        )
        rule.register_load_state_dict_pre_hook(lambda rule, state, log=log: log.append([*state]))
        rule.register_load_state_dict_pre_hook(lambda rule, state: state["inner"])
        rule.register_load_state_dict_post_hook(
            lambda rule, log=log: log.append(rule.param_groups[0]["lr"])
        )
        state = rule.state_dict()
        first.remove()
        log.append([*rule.state_dict()])
        state["param_groups"][0]["lr"] = 0.25
        outer = {"inner": state, "x": 1}
        rule.load_state_dict(outer)
        assert [*outer] == ["inner", "x"]
        log.append((state["first"], state["more"]))
        found.append(log)
    assert found[0] == found[1]
    with pytest.raises(KeyError, match="inner"):
        rule.load_state_dict({})
