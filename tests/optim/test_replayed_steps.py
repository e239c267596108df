"""A step of known parameters is one native call; whatever was changed before it, it follows."""

from __future__ import annotations

import copy
import gc
import inspect
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
from ambos import nn, optim
from ambos.core.errors import AmbosError
from ambos.tensor.realize import planning
from ambos.tensor.resting import peek
from tests.optim.test_rules import DESCENDING, TORCHS

STREAM = np.random.RandomState(5)
VALUES = [STREAM.randn(3, 4).astype(np.float32) for _ in range(2)]
GRADS = [[STREAM.randn(3, 4).astype(np.float32) for _ in range(2)] for _ in range(6)]
Change = Callable[[optim.Optimizer, list[am.Tensor]], Any]


def plain(rule: type[Any]) -> type[Any]:
    """The same rule, recorded at every step."""
    return type(rule.__name__, (rule,), {})


def trained(rule: type[Any], change: Change = lambda o, w: None, **settings: Any) -> Any:
    """Numbers after six steps, `change` made in the middle, and how often one was recorded."""
    weights = [am.tensor(value, requires_grad=True) for value in VALUES]
    optimizer = rule(weights, **{"lr": 0.05, **settings})
    recorded = []
    advance = optimizer.advance
    optimizer.advance = lambda grads=None: recorded.append(1) or advance(grads)
    for number, grads in enumerate(GRADS):
        if number == 4:
            change(optimizer, weights)
        for weight, grad in zip(weights, grads, strict=True):
            weight.grad = am.tensor(grad) * 1.0 if number % 2 else am.tensor(grad)
        optimizer.step()
        assert [w.grad.tolist() for w in weights] == [g.tolist() for g in grads]
    states = [value for w in weights for value in optimizer.state[w].values()]
    found = [*weights, *(value for value in states if isinstance(value, am.Tensor))]
    return [tensor.numpy().tobytes() for tensor in found], len(recorded)


@pytest.mark.parametrize("rule", DESCENDING)
def test_bits_are_those_of_steps_recorded_one_by_one(rule: type[Any]) -> None:
    change: Change = lambda optimizer, weights: setattr(optimizer, "lr", 0.01)
    (found, times), (expected, every) = trained(rule, change), trained(plain(rule), change)
    assert found == expected
    assert (times, every) == (2, 6)


def swap_moment(optimizer: Any, weights: list[am.Tensor]) -> None:
    optimizer.state[weights[0]]["exp_avg"] = am.ones(3, 4)


def swap_parameter(optimizer: Any, weights: list[am.Tensor]) -> None:
    weights[1] = optimizer.param_groups[0]["params"][1] = am.zeros(3, 4, requires_grad=True)


def forget(optimizer: Any, weights: list[am.Tensor]) -> None:
    optimizer.state = {}


def write(optimizer: Any, weights: list[am.Tensor]) -> None:
    weights[0].data.mul_(0.5)
    optimizer.state[weights[1]]["exp_avg"].zero_()


def set_group(**settings: Any) -> Change:
    return lambda optimizer, weights: optimizer.param_groups[0].update(settings)


CHANGES: dict[str, Change] = {
    "moment": swap_moment,
    "parameter": swap_parameter,
    "state": forget,
    "numbers": write,
    "rate": set_group(lr=0.5),
    "rate as a tensor": set_group(lr=am.tensor(0.5)),
    "betas": set_group(betas=(0.5, 0.75)),
    "decay": set_group(weight_decay=0.5),
    "maximize": set_group(maximize=True),
    "clock": lambda optimizer, weights: optimizer.load_state_dict(optimizer.state_dict()),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("rate", [0.05, am.tensor(0.05)])
def test_a_change_between_two_steps_is_seen(name: str, rate: Any) -> None:
    found, _ = trained(optim.Adam, CHANGES[name], lr=rate)
    expected, _ = trained(plain(optim.Adam), CHANGES[name], lr=rate)
    assert found == expected
    assert name == "clock" or found != trained(optim.Adam, lr=rate)[0]


def test_a_rate_that_is_another_tensor_reaches_a_jitted_step() -> None:
    weight = am.zeros(2, requires_grad=True)
    optimizer = optim.SGD([weight], lr=am.tensor(1.0))
    weight.grad = am.tensor([1.0, 2.0])
    step = am.jit(optimizer.step)
    for rate in (am.tensor(1.0), am.tensor(0.5), 0.25):
        optimizer.param_groups[0]["lr"] = rate
        step()
    assert weight.tolist() == [-1.75, -3.5]


def test_a_rule_of_ones_own_is_called_at_every_step() -> None:
    class Halving(optim.SGD):
        share = 1.0

        def update(self, parameter, grad, state, group, factors):
            self.share /= 2
            return parameter - grad * self.share

    weight = am.zeros(2, requires_grad=True)
    optimizer = Halving([weight], lr=1.0)
    weight.grad = am.ones(2)
    for _ in range(4):
        optimizer.step()
    assert weight.tolist() == [-0.9375] * 2


def test_sets_of_parameters_take_turns() -> None:
    def play(rule: type[Any]) -> list[list[float]]:
        weights = [am.ones(2, requires_grad=True) for _ in range(12)]
        optimizer = rule(weights, lr=0.5)
        for number in range(40):
            for place, weight in enumerate(weights):
                weight.grad = am.ones(2) if place % (1 + number % 13) == 0 else None
            if number > 12:  # all have had one
                optimizer.step()
        return [weight.tolist() for weight in weights]

    assert play(optim.Adam) == play(plain(optim.Adam))


def test_who_holds_an_old_value_or_an_unread_result_keeps_it() -> None:
    weight = am.ones(2, requires_grad=True)
    optimizer = optim.SGD([weight], lr=1.0)
    for number in range(4):
        old, pending = weight.detach(), weight * 3.0
        weight.grad = am.ones(2)
        optimizer.step()
        assert old.tolist() == [1.0 - number] * 2
        assert pending.tolist() == [3.0 - 3.0 * number] * 2


def test_gradients_that_cannot_be_computed_leave_all_as_it_was() -> None:
    table = am.ones(3, 2, requires_grad=True)
    optimizer = optim.Adam([table])
    for index in ([0, 1], [1, 2], [7, 0], [0, 2]):
        optimizer.zero_grad()
        table.index_select(0, am.tensor(index)).sum().backward()
        before = table.numpy().tobytes(), optimizer.state_dict()["state"]
        if 7 in index:
            with pytest.raises(AmbosError, match="7"):
                optimizer.step()
            after = table.numpy().tobytes(), optimizer.state_dict()["state"]
            assert str(before) == str(after)
        else:
            optimizer.step()
    assert optimizer.state_dict()["state"][0]["step"] == 3


def test_gradients_and_moments_of_a_filter_lie_as_the_filter_does() -> None:
    conv = nn.Conv2d(16, 16, 3)
    optimizer, x = optim.Adam(conv.parameters()), am.ones(2, 16, 8, 8)
    for look in (False, True, False):
        optimizer.zero_grad()
        conv(x).square().mean().backward()
        if look:
            am.evaluate([conv.weight.grad])
        optimizer.step()
    parts = conv.weight, conv.weight.grad, *optimizer.state[conv.weight].values()
    strides = {peek(t).value.strides for t in parts if isinstance(t, am.Tensor)}
    assert len(strides) == 1


def test_an_optimizer_that_replays_is_let_go_with_its_parameters() -> None:
    gone = []
    for _ in range(3):
        weight = am.ones(2, requires_grad=True)
        optimizer = optim.AdamW([weight], lr=0.5)
        for _ in range(3):
            weight.grad = am.ones(2)
            optimizer.step()
        gone += [weakref.ref(weight), weakref.ref(optimizer)]
        del weight, optimizer
    gc.collect()
    assert [of() for of in gone] == [None] * 6


PEERED = [rule for rule in TORCHS if rule is not optim.SparseAdam]  # which needs sparse ones there
SETTINGS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "dampening": 0.3},  # the first velocity is the gradient
    "Adam": {"amsgrad": True},
    "AdamW": {"amsgrad": True},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "ASGD": {"t0": 0.0},
}


@pytest.mark.parametrize("rule", DESCENDING)
def test_steps_change_nothing_that_somebody_else_holds(rule: type[Any]) -> None:
    settings = {"lr": 0.05, **SETTINGS.get(rule.__name__, {})}
    shared = am.tensor(VALUES[0])
    weights = [shared.clone().requires_grad_(), shared.detach().requires_grad_()]
    grad = am.tensor(GRADS[0][0])
    weights[0].grad, weights[1].grad = grad, grad  # and it stays there: nobody calls zero_grad
    optimizer = rule(weights, **settings)
    other = getattr(torch.optim, rule.__name__) if rule in PEERED else None
    peer = torch.tensor(VALUES[0], requires_grad=True)
    theirs = None if other is None else other([peer], **settings)
    peer.grad = torch.tensor(GRADS[0][0])
    kept: list[tuple[Any, bytes]] = []
    for _ in range(5):
        held = [grad, shared, *(w.detach() for w in weights), *(w.data for w in weights)]
        held += [w.numpy() for w in weights] + [w.grad for w in weights]
        held += [copy.deepcopy(weights[0]), np.from_dlpack(weights[0].detach())]
        held += [weights[0].detach()[1:], weights[0].detach().T]
        states = [optimizer.state_dict()["state"], copy.deepcopy(optimizer.state_dict()["state"])]
        held += [v for state in states for slots in state.values() for v in slots.values()]
        held = [one for one in held if isinstance(one, (am.Tensor, np.ndarray))]
        kept += [(one, np.asarray(one.detach() if isinstance(one, am.Tensor) else one).tobytes())
                 for one in held]  # fmt: skip
        optimizer.step()
        if theirs is not None:
            theirs.step()
            ours = weights[0].detach().numpy()
            np.testing.assert_allclose(ours, peer.detach().numpy(), rtol=2e-5, atol=2e-6)
    for one, before in kept:
        assert np.asarray(one.detach() if isinstance(one, am.Tensor) else one).tobytes() == before
    assert weights[0].tolist() == weights[1].tolist()


def test_a_rule_may_remember_the_gradient_the_parameter_and_other_slots() -> None:
    class Remembering(optim.Optimizer):
        replayed = True

        def slots(self, parameter: am.Tensor, group: Any) -> tuple[str, ...]:
            return ("now", "before", "twin", "start")

        def update(
            self, parameter: am.Tensor, grad: am.Tensor, state: Any, group: Any, factors: Any
        ) -> am.Tensor:
            state["before"], state["now"], state["start"] = state["now"], grad, parameter
            state["twin"] = state["new"] = state["now"]
            return parameter - grad

    weight = am.tensor([10.0], requires_grad=True)
    optimizer = Remembering([weight], {"lr": 0.1})
    for number in range(1, 6):
        grad = weight.grad = am.tensor([float(number)])
        before = weight.item()
        optimizer.step()
        state = {key: value.item() for key, value in optimizer.state[weight].items()
                 if isinstance(value, am.Tensor)}  # fmt: skip
        assert state == {"now": number, "before": number - 1, "twin": number, "new": number,
                         "start": before}  # fmt: skip
        assert grad.item() == number


def test_zeroed_gradients_are_zeros_whatever_they_were() -> None:
    layer = nn.Linear(2, 1, bias=False)
    for zeroed in (layer, optim.SGD(layer.parameters(), lr=0.1)):
        layer.weight.grad = am.tensor([[np.nan, np.inf]])
        zeroed.zero_grad(set_to_none=False)
        assert layer.weight.grad.tolist() == [[0.0, 0.0]]
        layer.zero_grad()
        (layer(am.ones(1, 2)) ** 2).sum().backward(create_graph=True)
        zeroed.zero_grad(False)
        assert not layer.weight.grad.requires_grad


@pytest.mark.parametrize("rule", [optim.SGD, optim.AdamW])
@pytest.mark.parametrize("bad", range(1, 5))
def test_a_scaler_guards_every_step(rule: type[Any], bad: int) -> None:
    weight = am.tensor([1.0, 2.0], requires_grad=True)
    peer = am.tensor([1.0, 2.0], requires_grad=True)
    optimizer, plainly = rule([weight], lr=0.1), rule([peer], lr=0.1)
    scaler = am.GradScaler(init_scale=4.0, growth_interval=100)
    for number in range(6):
        size = float("inf") if number == bad else 1.0 + number
        weight.grad = am.tensor([size, size]) * scaler.get_scale()
        before = weight.tolist(), optimizer.state_dict()["state"]
        scaler.step(optimizer)
        scaler.update()
        if number == bad:
            assert (weight.tolist(), str(optimizer.state_dict()["state"])) == (
                before[0], str(before[1]))  # fmt: skip
        else:
            peer.grad = am.tensor([size, size])
            plainly.step()
        assert weight.tolist() == peer.tolist()
    assert scaler.get_scale() == 2.0
    weight.grad = peer.grad = am.ones(2)  # and without a scaler
    optimizer.step()
    plainly.step()
    assert weight.tolist() == peer.tolist()


NOT_ZERO = {"weight_decay": 0.1, "momentum": 0.9, "dampening": 0.3, "lr_decay": 0.1,
            "warmup_steps": 5, "t0": 2.0}  # fmt: skip
FIXED = ("initial_accumulator_value", "ns_steps")


@pytest.mark.parametrize("rule", DESCENDING)
def test_numbers_that_are_scheduled_record_nothing(rule: type[Any]) -> None:
    weight = am.tensor(VALUES[0], requires_grad=True)
    peer = torch.tensor(VALUES[0], requires_grad=True)
    known = inspect.signature(rule.__init__).parameters
    settings = {"lr": 0.01, **{key: NOT_ZERO[key] for key in NOT_ZERO if key in known}}
    optimizer = rule([weight], **settings)
    theirs = getattr(torch.optim, rule.__name__)([peer], **settings) if rule in PEERED else None
    recorded = []
    advance = optimizer.advance
    optimizer.advance = lambda grads=None: recorded.append(1) or advance(grads)
    weight.grad, peer.grad = am.tensor(GRADS[0][0]), torch.tensor(GRADS[0][0])
    first = {key: value for key, value in optimizer.defaults.items()
             if type(value) in (int, float, tuple) and key not in FIXED}  # fmt: skip
    assert {*first} == {"lr", *rule.dials}
    for number in range(6):
        share = 1 - 0.02 * number
        turned = {key: tuple(one and one * share for one in value) if isinstance(value, tuple)
                  else value * share for key, value in first.items()}  # fmt: skip
        optimizer.param_groups[0].update(turned)
        optimizer.step()
        if theirs is not None:
            theirs.param_groups[0].update(turned)
            theirs.step()
            np.testing.assert_allclose(weight.tolist(), peer.tolist(), rtol=2e-5, atol=2e-6)
    assert len(recorded) == 2
    zero = next((key for key in rule.dials if key in ("weight_decay", "momentum")), None)
    if zero is not None:  # what does without, has another graph
        optimizer.param_groups[0][zero] = 0.0
        optimizer.step()
        assert len(recorded) == 3


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("NAdam", {"lr": 0.1, "weight_decay": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    ],
)
def test_other_parameters_at_every_step_compile_little(name: str, settings: dict[str, Any]) -> None:
    """As with experts that few examples are sent to: bits are those of steps recorded one by one,
    numbers PyTorch's, and there is no end of sets but one of programs."""
    shapes = [(4, 6), (6,)] * 4
    stream = np.random.RandomState(7)
    values = [stream.randn(*shape).astype(np.float32) for shape in shapes]

    def play(make: Callable[[list[Any]], Any], leaf: Callable[[Any], Any]) -> tuple[Any, Any]:
        weights = [leaf(value) for value in values]
        optimizer, stream = make(weights), np.random.RandomState(8)
        for number in range(18):
            if number == 9:
                planned.append(planning.programs)
            having = np.repeat(stream.rand(4) < 0.6, 2)
            for weight, value, has in zip(weights, values, having, strict=True):
                weight.grad = leaf(value * number).detach() if has else None
            if any(having):
                optimizer.step()
        return weights, optimizer.state

    planned: list[int] = []
    rule = getattr(optim, name)
    leaf = lambda value: am.tensor(value, requires_grad=True)
    found, states = play(lambda weights: rule(weights, **settings), leaf)
    assert planning.programs == planned[-1]  # in the second half
    expected, others = play(lambda weights: plain(rule)(weights, **settings), leaf)
    theirs, peers = play(lambda weights: getattr(torch.optim, name)(weights, **settings),
                         lambda value: torch.tensor(value, requires_grad=True))  # fmt: skip
    for ours, plainly, torchs in zip(found, expected, theirs, strict=True):
        assert ours.numpy().tobytes() == plainly.numpy().tobytes()
        np.testing.assert_allclose(ours.numpy(), torchs.detach(), rtol=2e-5, atol=2e-6)
        if name != "SGD":
            steps = [float(one["step"]) for one in (states[ours], others[plainly])]
            assert steps == [float(peers[torchs]["step"])] * 2
