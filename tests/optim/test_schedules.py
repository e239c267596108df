"""Schedules against PyTorch's, step by step: alone, chained, loaded, with rates as tensors."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import ambos as am
from ambos import optim
from ambos.optim import lr_scheduler
from ambos.tensor.realize import planning

TORCH = torch.optim.lr_scheduler
OURS, THEIRS = lr_scheduler, TORCH

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's, about the epoch argument


def halved(epoch: int) -> float:
    return 1.0 / (1 + epoch)


MAKERS: dict[str, Callable[[Any, Any], Any]] = {
    "lambda": lambda m, o: m.LambdaLR(o, halved),
    "lambdas": lambda m, o: m.LambdaLR(o, [halved, lambda n: 0.9**n]),
    "multiplicative": lambda m, o: m.MultiplicativeLR(o, lambda n: 0.9 + 0.01 * n),
    "step": lambda m, o: m.StepLR(o, 3, gamma=0.5),
    "milestones": lambda m, o: m.MultiStepLR(o, [2, 5, 5, 9], gamma=0.3),
    "constant": lambda m, o: m.ConstantLR(o, factor=0.25, total_iters=4),
    "linear": lambda m, o: m.LinearLR(o, start_factor=0.1, end_factor=0.8, total_iters=6),
    "exponential": lambda m, o: m.ExponentialLR(o, 0.9),
    "polynomial": lambda m, o: m.PolynomialLR(o, total_iters=7, power=2.0),
    "cosine": lambda m, o: m.CosineAnnealingLR(o, T_max=5, eta_min=0.01),
    "restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=0.01),
    "cyclic": lambda m, o: m.CyclicLR(o, [0.01, 0.02], 0.3, step_size_up=3, mode="triangular2"),
    "range": lambda m, o: m.CyclicLR(
        o, 0.01, 0.3, step_size_up=2, step_size_down=4, mode="exp_range", gamma=0.95
    ),
    "scaled": lambda m, o: m.CyclicLR(
        o, 0.01, 0.3, step_size_up=3, scale_fn=halved, scale_mode="iterations"
    ),
    "one cycle": lambda m, o: m.OneCycleLR(o, [0.4, 0.2], total_steps=16),
    "three phases": lambda m, o: m.OneCycleLR(
        o, 0.4, epochs=4, steps_per_epoch=4, anneal_strategy="linear", three_phase=True
    ),
    "chained": lambda m, o: m.ChainedScheduler(
        [m.ConstantLR(o, 0.5, 3), m.ExponentialLR(o, 0.9), m.CosineAnnealingLR(o, 6)]
    ),
    "sequence": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.1, total_iters=4), m.CosineAnnealingLR(o, 8), m.StepLR(o, 2)], [4, 12]
    ),
    "nested": lambda m, o: m.ChainedScheduler(
        [
            m.SequentialLR(
                o,
                [m.ConstantLR(o, 0.1, 2), m.CosineAnnealingWarmRestarts(o, 3)],
                milestones=[3],
            ),
            m.ExponentialLR(o, 0.95),
        ]
    ),
    "averaging": lambda m, o: (
        lr_scheduler.SWALR if m is OURS else torch.optim.swa_utils.SWALR
    )(o, [0.05, 0.02], anneal_epochs=4),
}  # fmt: skip


def optimizer(framework: Any, rule: str = "SGD", tensor: bool = False) -> Any:
    groups = [
        {"params": [framework.ones(1, requires_grad=True)], "lr": rate} for rate in (0.1, 0.3)
    ]
    if tensor:
        for group in groups:
            group["lr"] = framework.tensor(group["lr"])
    settings: dict[str, Any] = {"momentum": 0.9} if rule == "SGD" else {}
    found = getattr(framework.optim, rule)(groups, lr=0.1, **settings)
    found.param_groups[0]["params"][0].grad = framework.ones(1)
    found.step()
    return found


def dials(rule: Any) -> list[float]:
    found = []
    for group in rule.param_groups:
        found += [float(group["lr"]), *group.get("betas", ()), group.get("momentum", 0.0)]
    return found


@pytest.mark.parametrize("name", MAKERS)
def test_rates_equal_pytorchs(name: str) -> None:
    for rule, tensor in (("SGD", False), ("Adam", False), ("SGD", True)):
        if tensor and name in ("chained", "nested", "lambda", "lambdas"):
            continue  # torch rounds rates that are tensors to float32 at each step
        ours, theirs = optimizer(am, rule, tensor), optimizer(torch, rule, tensor)
        a, b = MAKERS[name](OURS, ours), MAKERS[name](THEIRS, theirs)
        exact = 1e-5 if tensor else 1e-12
        for number in range(15):
            assert dials(ours) == pytest.approx(dials(theirs), rel=exact, abs=exact), number
            assert [*map(float, a.get_last_lr())] == pytest.approx([*map(float, b.get_last_lr())])
            a.step()
            b.step()


@pytest.mark.parametrize("name", MAKERS)
def test_schedules_go_on_where_theirs_were_and_where_ours_were(name: str) -> None:
    ours, theirs, third = optimizer(am), optimizer(torch), optimizer(am)
    b = MAKERS[name](THEIRS, theirs)
    for _ in range(5):
        b.step()
    a, c = MAKERS[name](OURS, ours), MAKERS[name](OURS, third)
    for rule, schedule, source, state in (
        (ours, a, theirs, b.state_dict()),
        (third, c, theirs, None),
    ):
        for group, known in zip(rule.param_groups, source.param_groups, strict=True):
            group.update({key: value for key, value in known.items() if key != "params"})
        schedule.load_state_dict(a.state_dict() if state is None else state)
    for _ in range(6):
        for schedule in (a, b, c):
            schedule.step()
        assert dials(ours) == pytest.approx(dials(theirs), rel=1e-12)
        assert dials(third) == dials(ours)


@pytest.mark.parametrize(
    "settings",
    [{"patience": 1}, {"mode": "max", "patience": 0, "cooldown": 2, "factor": 0.5},
     {"threshold": 0.3, "threshold_mode": "abs", "patience": 0, "min_lr": [0.05, 0.0]}],
)  # fmt: skip
def test_plateaus_are_left_as_pytorch_leaves_them(settings: dict[str, Any]) -> None:
    ours, theirs = optimizer(am), optimizer(torch)
    a, b = OURS.ReduceLROnPlateau(ours, **settings), THEIRS.ReduceLROnPlateau(theirs, **settings)
    for number in range(20):
        metric = math.sin(number / 2) - number / 20
        a.step(am.tensor(metric))
        b.step(torch.tensor(metric))
        assert dials(ours) == pytest.approx(dials(theirs), rel=1e-12)
        if number == 9:
            a.load_state_dict(b.state_dict())


@pytest.mark.parametrize("name", [n for n in lr_scheduler.__all__ if hasattr(TORCH, n)])
def test_arguments_are_torchs(name: str) -> None:
    theirs = dict(inspect.signature(getattr(TORCH, name).__init__).parameters)
    ours = dict(inspect.signature(getattr(lr_scheduler, name).__init__).parameters)
    assert list(ours) == list(theirs)
    for key, parameter in theirs.items():
        assert ours[key].default == parameter.default, key


def test_every_schedule_of_torchs_is_here() -> None:
    kinds = {
        name
        for name, found in vars(TORCH).items()
        if isinstance(found, type) and issubclass(found, TORCH.LRScheduler)
    }
    assert kinds - {"_LRScheduler"} <= set(lr_scheduler.__all__)


def test_epochs_may_be_given() -> None:
    for name in ("step", "milestones", "linear", "cosine", "polynomial", "exponential", "constant"):
        ours, theirs = optimizer(am), optimizer(torch)
        a, b = MAKERS[name](OURS, ours), MAKERS[name](THEIRS, theirs)
        for epoch in (4, 2, 7):
            a.step(epoch)
            b.step(epoch)
            assert dials(ours) == pytest.approx(dials(theirs), rel=1e-12), name
    ours, theirs = optimizer(am), optimizer(torch)
    a, b = MAKERS["restarts"](OURS, ours), MAKERS["restarts"](THEIRS, theirs)
    for epoch in (1.5, 4.25, 10.0):
        a.step(epoch)
        b.step(epoch)
        assert dials(ours) == pytest.approx(dials(theirs), rel=1e-12)


def test_warm_up_and_cosine_are_one_call() -> None:
    ours, theirs = optimizer(am, "AdamW"), optimizer(torch, "AdamW")
    a = optim.warmup_cosine(ours, 3, 10, eta_min=0.01, start_factor=0.1)
    parts = THEIRS.LinearLR(theirs, 0.1, total_iters=3), THEIRS.CosineAnnealingLR(theirs, 7, 0.01)
    b = THEIRS.SequentialLR(theirs, [*parts], [3])
    for _ in range(10):
        assert dials(ours) == pytest.approx(dials(theirs), rel=1e-12)
        a.step()
        b.step()
    assert ours.lr == pytest.approx(0.01)


def test_a_jitted_step_turns_with_its_schedule_and_compiles_nothing() -> None:
    """Rates and momentum are data: also those that a cycle turns."""
    found = []
    for wrap in (am.jit, lambda f: f):
        weight = am.tensor([1.0, -2.0], requires_grad=True)
        rule = optim.AdamW([weight], lr=0.1)
        schedule = lr_scheduler.OneCycleLR(rule, max_lr=0.2, total_steps=9)

        @wrap
        def step(weight: Any = weight, rule: Any = rule) -> Any:
            rule.zero_grad()
            loss = (weight * weight).sum()
            loss.backward()
            rule.step()
            return loss

        for number in range(8):
            if number == 2:
                made = planning.programs
            step()
            schedule.step()
        assert planning.programs == made
        found.append(weight.tolist())
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: OURS.StepLR(3, 1), "StepLR: got int; need an optimizer"),
        (lambda o: OURS.StepLR(o, 0), "step_size is 0"),
        (lambda o: OURS.ExponentialLR(o, 0.9, last_epoch=3), "no 'initial_lr'"),
        (lambda o: OURS.LambdaLR(o, 0.5), "need a function of the epoch"),
        (lambda o: OURS.LambdaLR(o, [halved]), "has 1 values; need 2"),
        (lambda o: OURS.OneCycleLR(o, 0.1), "need total_steps, or epochs"),
        (lambda o: OURS.CyclicLR(o, 0.1, 0.2, mode="x"), "mode is 'x'"),
        (lambda o: OURS.CyclicLR(optimizer(am, "Rprop"), 0.1, 0.2), "need cycle_momentum=False"),
        (lambda o: OURS.SequentialLR(o, [OURS.StepLR(o, 1)], [1]), "need one less of these"),
        (lambda o: OURS.ChainedScheduler([OURS.ReduceLROnPlateau(o)]), "need it apart"),
        (lambda o: OURS.ChainedScheduler([OURS.StepLR(o, 1)], optimizer(am)), "need one for all"),
        (lambda o: OURS.ReduceLROnPlateau(o, factor=1.5), "factor is 1.5"),
        (lambda o: OURS.ReduceLROnPlateau(o).step(), r"schedule.step\(validation_loss\)"),
        (lambda o: OURS.CosineAnnealingWarmRestarts(o, 0), "T_0 is 0"),
        (lambda o: OURS.MultiStepLR(o, 3), "milestones is 3; need a list"),
        (lambda o: optim.warmup_cosine(o, 5, 5), "5 steps of 5 to warm up"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make: Callable[[Any], Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make(optimizer(am))


@pytest.mark.filterwarnings("default")
def test_steps_at_the_wrong_time_are_told() -> None:
    weight = am.ones(1, requires_grad=True)
    rule = optim.SGD([weight])
    schedule = OURS.StepLR(rule, 1)
    with pytest.warns(UserWarning, match=r"need optimizer\.step\(\) first"):
        schedule.step()

    @am.jit
    def step() -> None:
        rule.zero_grad()
        weight.sum().backward()
        rule.step()
        schedule.step()

    with pytest.raises(am.errors.TracingError, match="need it outside"):
        step()
