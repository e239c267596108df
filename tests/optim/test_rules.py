"""All update rules: jitted or not, states in PyTorch's form, papers as oracles, mistakes."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
from ambos import optim
from ambos.core.errors import ArgumentError
from ambos.tensor.realize import planning

DESCENDING = [rule for rule in optim.RULES if rule is not optim.LBFGS]
TORCHS = [rule for rule in (*DESCENDING, optim.LBFGS) if hasattr(torch.optim, rule.__name__)]


def matrices(count: int = 2) -> list[np.ndarray]:
    stream = np.random.RandomState(3)
    return [stream.randn(3, 4).astype(np.float32) for _ in range(count)]


def trained(rule: type[Any], wrap: Callable[..., Any], steps: int) -> tuple[bytes, ...]:
    weights = [am.tensor(value, requires_grad=True) for value in matrices()]
    optimizer = rule(weights, lr=0.05)

    @wrap
    def step() -> None:
        optimizer.zero_grad()
        ((weights[0] - weights[1]) ** 2 + weights[0].abs()).sum().backward()
        optimizer.step()

    for number in range(steps):
        if number == 2:  # a schedule at work: numbers, no other graph
            optimizer.lr = 0.02
            made = planning.programs
        step()
    assert wrap is not am.jit or planning.programs == made
    states = [v for s in optimizer.state.values() for v in s.values() if isinstance(v, am.Tensor)]
    return tuple(tensor.numpy().tobytes() for tensor in (*weights, *states))


@pytest.mark.parametrize("rule", DESCENDING)
def test_a_jitted_step_has_the_bits_of_a_lazy_one(rule: type[Any]) -> None:
    assert trained(rule, am.jit, 4) == trained(rule, lambda f: f, 4)


@pytest.mark.parametrize("rule", TORCHS)
def test_arguments_are_torchs(rule: type[Any]) -> None:
    """Names, order and defaults; ours accept `learning_rate` too."""
    theirs = inspect.signature(getattr(torch.optim, rule.__name__)).parameters
    ours = dict(inspect.signature(rule.__init__).parameters)
    del ours["self"], ours["learning_rate"]
    assert list(ours) == list(theirs)
    for name, parameter in theirs.items():
        if name != "params":
            assert ours[name].default == parameter.default, name
            assert ours[name].kind == parameter.kind, name


def steps(rule: Any, params: list[Any], framework: Any, count: int) -> None:
    for number in range(count):
        for place, parameter in enumerate(params):
            stream = np.random.RandomState(10 * number + place)
            parameter.grad = framework.tensor(stream.randn(3, 4).astype(np.float32))
        rule.step()


# Torch's SparseAdam takes sparse gradients only (tests/parity/optimizers.py gives it those).
@pytest.mark.parametrize(
    "rule", [rule for rule in TORCHS if rule not in (optim.LBFGS, optim.SparseAdam)]
)
def test_states_go_to_torch_and_back(rule: type[Any]) -> None:
    ours = [am.tensor(v, requires_grad=True) for v in matrices()]
    theirs = [torch.tensor(v, requires_grad=True) for v in matrices()]
    settings = {"lr": 0.05, **({"momentum": 0.9} if rule is optim.SGD else {})}
    here, there = rule(ours, **settings), getattr(torch.optim, rule.__name__)(theirs, **settings)
    steps(there, theirs, torch, 2)
    with am.no_grad():
        for p, q in zip(ours, theirs, strict=True):
            p.copy_(am.tensor(q.detach().numpy()))
    here.load_state_dict(there.state_dict())
    steps(here, ours, am, 1)
    steps(there, theirs, torch, 1)

    written = here.state_dict()
    state = {
        number: {
            key: torch.from_numpy(np.array(v)) if isinstance(v, am.Tensor) else v
            for key, v in entries.items()
        }
        for number, entries in written["state"].items()
    }
    back = getattr(torch.optim, rule.__name__)(
        [torch.tensor(p.numpy(), requires_grad=True) for p in ours], lr=0.3
    )
    back.load_state_dict({"state": state, "param_groups": written["param_groups"]})
    assert back.param_groups[0]["lr"] == 0.05
    steps(back, back.param_groups[0]["params"], torch, 1)
    steps(there, theirs, torch, 1)
    steps(here, ours, am, 1)
    for p, q, r in zip(ours, theirs, back.param_groups[0]["params"], strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(r.detach().numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_lbfgs_goes_on_where_torch_was() -> None:
    ours = am.tensor(matrices(1)[0], requires_grad=True)
    theirs = torch.tensor(matrices(1)[0], requires_grad=True)
    scale = np.linspace(0.5, 2, 12, dtype=np.float32).reshape(3, 4)

    def run(rule: Any, weight: Any, framework: Any) -> float:
        def closure() -> Any:
            rule.zero_grad()
            loss = ((weight - 1) ** 4 * framework.tensor(scale)).sum() + (weight * weight).sum()
            loss.backward()
            return loss

        return float(rule.step(closure).detach())

    there = torch.optim.LBFGS([theirs], max_iter=3, line_search_fn="strong_wolfe", history_size=3)
    run(there, theirs, torch), run(there, theirs, torch)
    here = optim.LBFGS([ours])
    here.load_state_dict(there.state_dict())
    ours.data = am.tensor(theirs.detach().numpy())
    for _ in range(2):
        assert run(here, ours, am) == pytest.approx(run(there, theirs, torch), rel=1e-5)
    back = torch.optim.LBFGS([theirs])
    written = here.state_dict()
    state = {0: {key: as_torch(value) for key, value in written["state"][0].items()}}
    back.load_state_dict({"state": state, "param_groups": written["param_groups"]})
    assert run(back, theirs, torch) == pytest.approx(run(here, ours, am), rel=1e-4)


def as_torch(value: Any) -> Any:
    if isinstance(value, list):
        return [as_torch(entry) for entry in value]
    return torch.from_numpy(np.array(value)) if isinstance(value, am.Tensor) else value


def test_lion_follows_its_paper() -> None:
    """Algorithm 2 of Chen et al. (2023), in NumPy."""
    weight = am.tensor(matrices(1)[0], requires_grad=True)
    rule = optim.Lion([weight], lr=0.1, betas=(0.8, 0.9), weight_decay=0.3, maximize=True)
    steps(rule, [weight], am, 4)
    theta, m = matrices(1)[0].astype(np.float64), np.zeros((3, 4))
    for number in range(4):
        g = -np.random.RandomState(10 * number).randn(3, 4)
        c = 0.8 * m + 0.2 * g
        theta = theta - 0.1 * (np.sign(c) + 0.3 * theta)
        m = 0.9 * m + 0.1 * g
    np.testing.assert_allclose(weight.numpy(), theta, rtol=1e-5)


def test_schedule_free_follows_its_paper() -> None:
    """Algorithm 1 of Defazio et al. (2024), in its three sequences x, y, z, in NumPy."""
    weight = am.tensor(matrices(1)[0], requires_grad=True)
    lr, beta1, beta2, decay, warm = 0.1, 0.9, 0.99, 0.2, 3
    rule = optim.AdamWScheduleFree(
        [weight], lr=lr, betas=(beta1, beta2), weight_decay=decay, warmup_steps=warm
    )
    x = z = matrices(1)[0].astype(np.float64)
    v, total = np.zeros((3, 4)), 0.0
    for number in range(5):
        g = np.random.RandomState(10 * number).randn(3, 4)
        y = (1 - beta1) * z + beta1 * x
        np.testing.assert_allclose(weight.numpy(), y, rtol=1e-5, atol=1e-6)
        weight.grad = am.tensor(g.astype(np.float32))
        rule.step()
        v = beta2 * v + (1 - beta2) * g * g
        gamma = lr * min(1.0, (number + 1) / warm)
        root = np.sqrt(v / (1 - beta2 ** (number + 1))) + 1e-8
        z = z - gamma * g / root - gamma * decay * y
        total += gamma**2
        share = gamma**2 / total
        x = (1 - share) * x + share * z
    rule.eval()
    rule.eval()
    np.testing.assert_allclose(weight.numpy(), x, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"need optimizer\.train\(\)"):
        rule.step()
    rule.train()
    np.testing.assert_allclose(weight.numpy(), (1 - beta1) * z + beta1 * x, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("SGD", {"momentum": 0.9, "dampening": 0.5}), ("Adagrad", {"initial_accumulator_value": 0.2}),
     ("Rprop", {}), ("ASGD", {"lambd": 0.1}), ("RMSprop", {"centered": True, "momentum": 0.5})],
)  # fmt: skip
def test_complex_parameters_are_pairs_of_real_ones(name: str, settings: dict[str, Any]) -> None:
    start = (matrices(2)[0] + 1j * matrices(2)[1]).astype(np.complex64)
    ours, theirs = am.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    rules = (
        getattr(optim, name)([ours], **settings),
        getattr(torch.optim, name)([theirs], **settings),
    )
    for number in range(3):
        grad = start * (number - 0.5)
        ours.grad, theirs.grad = am.tensor(grad), torch.tensor(grad)
        for rule in rules:
            rule.step()
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_rate_that_is_a_tensor_is_read_at_every_step() -> None:
    weight, rate = am.ones(2, requires_grad=True), am.tensor(np.float32(0.5))
    rule = optim.SGD([weight], lr=rate)

    @am.jit
    def step() -> None:
        rule.zero_grad()
        weight.sum().backward()
        rule.step()

    step()
    made = planning.programs
    rate.data = am.tensor(np.float32(0.25))
    step()
    assert weight.tolist() == [0.25, 0.25]
    assert planning.programs == made
    assert rule.lr == 0.25


def test_small_batches_add_up_to_a_large_one() -> None:
    """Gradient accumulation: `backward` adds to `grad` until `zero_grad`."""
    x, y = am.tensor(matrices(2)[0]), am.tensor(matrices(2)[1][:, :1])
    found = []
    for parts in (1, 3):
        layer = am.nn.Linear(4, 1)
        for parameter in layer.parameters():
            parameter.data = am.ones_like(parameter) * 0.1
        rule = optim.AdamW(layer.parameters(), lr=0.1)
        for _ in range(2):
            rule.zero_grad()
            for rows in range(0, 3, 3 // parts):
                part = slice(rows, rows + 3 // parts)
                loss = ((layer(x[part]) - y[part]) ** 2).mean() / parts
                loss.backward()
            rule.step()
        found.append(layer.weight.numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_hooks_run_around_a_step_and_go_away() -> None:
    calls: list[Any] = []
    weight = am.ones(2, requires_grad=True)
    rule = optim.SGD([weight], lr=1.0)
    before = rule.register_step_pre_hook(lambda *found: calls.append(("before", weight.tolist())))
    after = rule.register_step_post_hook(lambda *found: calls.append(("after", weight.tolist())))
    weight.grad = am.ones(2)
    rule.step()
    before.remove()
    after.remove()
    rule.step()
    assert calls == [("before", [1, 1]), ("after", [0, 0])]


def test_who_never_has_a_gradient_is_named_once() -> None:
    model = am.nn.Sequential(am.nn.Linear(2, 2), am.nn.Linear(2, 2))
    rule = optim.SGD(model.named_parameters())
    model[1].bias.requires_grad_(False)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for _ in range(12):
            rule.zero_grad()
            model[0](am.ones(1, 2)).sum().backward()
            rule.step()
    assert len(found) == 1
    assert "parameter '1.weight' never had a gradient" in str(found[0].message)
    with pytest.warns(UserWarning, match=r"no parameter has a gradient.*need loss\.backward"):
        optim.SGD(model[1].parameters()).step()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.RMSprop(p, alpha=-1), "RMSprop: alpha is -1; need a number >= 0"),
        (lambda p: optim.Adadelta(p, rho=1.5), "rho is 1.5"),
        (lambda p: optim.Rprop(p, etas=(1.5, 2.0)), r"need 0 < etas\[0\] < 1"),
        (lambda p: optim.Adafactor(p, d=0.5), "d is 0.5; need a number >= 1"),
        (lambda p: optim.Adafactor(p, eps=1e-3), "eps is 0.001; need 2 numbers"),
        (lambda p: optim.Muon(p), r"of shape \(2,\); need real matrices"),
        (lambda p: optim.Muon([am.ones(2, 2)], adjust_lr_fn="x"), "adjust_lr_fn is 'x'"),
        (lambda p: optim.LBFGS(p, line_search_fn="x"), "need None or 'strong_wolfe'"),
        (lambda p: optim.LBFGS(p).step(), r"need optimizer\.step\(closure\)"),
        (lambda p: optim.LBFGS([{"params": p}, {"params": [am.ones(1)]}]), "a second group"),
        (lambda p: optim.Adam(p, differentiable=True), r"need am\.grad"),
        (lambda p: optim.Adam(p, foreach=True, fused=True), "need at most one"),
        (lambda p: optim.Adam(p, lr=am.ones(2)), r"lr is a tensor of shape \(2,\)"),
        (lambda p: optim.Adam(p, lr=am.tensor(-0.5)), "lr is -0.5; need a number >= 0"),
        (lambda p: optim.NAdam(p, betas=(0.9, 1.0)), "betas is"),
        (lambda p: optim.Adamax(p, lr="fast"), "lr is 'fast'"),
        (lambda p: optim.SGD([p[0] * 2]), "parameter 0 of this group is the result of an operat"),
        (lambda p: optim.SGD([("w", p[0]), ("v", p[0])]), "parameter v was given twice"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make([am.ones(2, requires_grad=True)])


def test_step_hooks_get_the_arguments_of_torch() -> None:
    calls: list[list[Any]] = []
    for kit, ones in ((am, am.ones), (torch, torch.ones)):
        weight = ones(2, requires_grad=True)
        rule = kit.optim.SGD([("w", weight)], lr=1.0)
        found: list[Any] = []
        calls.append(found)

        def note(rule: Any, args: Any, kwargs: Any, found: list[Any] = found) -> None:
            found.append((len(args), args[0] is rule, [*kwargs]))

        def other(rule: Any, args: Any, kwargs: Any) -> Any:
            return args, {"closure": lambda: 5.0}

        handles = [rule.register_step_pre_hook(note), rule.register_step_post_hook(note)]
        weight.grad = ones(2)
        rule.step()
        found.append(rule.step(closure=lambda: 3.0))
        handles.append(rule.register_step_pre_hook(other))
        found.append(rule.step())
        handles.pop().remove()
        found.append((weight.tolist(), rule.state_dict()["param_groups"][0]["param_names"]))
        rule.register_step_pre_hook(lambda *_: 3)
        with pytest.raises((ArgumentError, RuntimeError), match=r"returned 3; need \(args|got 3"):
            rule.step()
        assert weight.tolist() == [-2, -2]
        with pytest.raises((ArgumentError, TypeError), match=r"group is int; need a dict|a dict"):
            rule.add_param_group(5)
    assert calls[0] == calls[1]
