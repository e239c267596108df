"""Update rules against PyTorch over 50 steps, and their state, settings and mistakes."""

from collections import OrderedDict

import numpy as np
import pytest
import torch

import ambos as am
from ambos import optim
from ambos.core.errors import ArgumentError
from ambos.tensor import realize

RULES = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1, "betas": (0.8, 0.9), "eps": 1e-3}),
    ("Adam", {"lr": 0.05, "amsgrad": True}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}),
]


def problem():
    """Two parameters, of which the second sometimes has no gradient."""
    stream = np.random.RandomState(0)
    return [stream.randn(3, 4).astype(np.float32), stream.randn(5).astype(np.float32)]


def loss_of(framework, params, step):
    x = framework.tensor(np.random.RandomState(step).randn(4, 3).astype(np.float32))
    loss = (x @ params[0]).tanh().sum() * 0.3 + (params[0] * params[0]).sum() * 0.1
    if step % 3:
        loss = loss + (params[1] * params[1]).sin().sum()
    return loss


@pytest.mark.parametrize(("name", "settings"), RULES)
def test_fifty_steps_equal_pytorchs(name, settings):
    ours = [am.tensor(v, requires_grad=True) for v in problem()]
    theirs = [torch.tensor(v, requires_grad=True) for v in problem()]
    a, b = getattr(optim, name)(ours, **settings), getattr(torch.optim, name)(theirs, **settings)
    for step in range(50):
        for framework, params, rule in ((am, ours, a), (torch, theirs, b)):
            rule.zero_grad()
            loss_of(framework, params, step).backward()
            rule.step()
        if step == 30:
            for group in (*a.param_groups, *b.param_groups):
                group["lr"] = 0.02
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=2e-4, atol=2e-5)


def test_groups_with_their_own_settings():
    ours = [am.tensor(v, requires_grad=True) for v in problem()]
    theirs = [torch.tensor(v, requires_grad=True) for v in problem()]

    def groups(p):
        return [{"params": [p[0]], "lr": 0.1}, {"params": p[1], "weight_decay": 0.5}]

    a, b = optim.SGD(groups(ours), lr=0.01), torch.optim.SGD(groups(theirs), lr=0.01)
    for step in range(1, 4):
        for framework, params, rule in ((am, ours, a), (torch, theirs, b)):
            rule.zero_grad()
            loss_of(framework, params, step).backward()
            rule.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "settings"), RULES)
def test_every_step_has_one_graph(name, settings, monkeypatch):
    """After the first two steps nothing is planned again, also when the learning rate changes."""
    params = [am.tensor(v, requires_grad=True) for v in problem()]
    rule = getattr(optim, name)(params, **settings)
    planned = []
    prepare = realize.prepare
    monkeypatch.setattr(realize, "_plans", OrderedDict())
    monkeypatch.setattr(realize, "prepare", lambda *a: planned.append(1) or prepare(*a))
    counts = []
    for _ in range(6):
        rule.zero_grad()
        loss_of(am, params, 1).backward()
        rule.step()
        rule.lr *= 0.9
        counts.append(len(planned))
    assert counts[2] == counts[-1]
    assert counts[0] >= 1


def test_state_goes_out_and_in():
    def train(rule, params, steps):
        for step in steps:
            rule.zero_grad()
            loss_of(am, params, step).backward()
            rule.step()

    params = [am.tensor(v, requires_grad=True) for v in problem()]
    rule = optim.AdamW(params, lr=0.05)
    train(rule, params, range(4))
    saved, values = rule.state_dict(), [p.numpy() for p in params]
    train(rule, params, range(4, 8))

    again = [am.tensor(v, requires_grad=True) for v in values]
    other = optim.AdamW(again, lr=0.5)
    other.load_state_dict(saved)
    assert other.lr == 0.05
    train(other, again, range(4, 8))
    for p, q in zip(params, again, strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_torch_reads_our_state_and_we_torchs():
    ours = [am.tensor(v, requires_grad=True) for v in problem()]
    theirs = [torch.tensor(v, requires_grad=True) for v in problem()]
    a, b = optim.Adam(ours, lr=0.05), torch.optim.Adam(theirs, lr=0.05)
    for step in range(1, 3):
        loss_of(torch, theirs, step).backward()
        b.step()
        b.zero_grad()
    a.load_state_dict(b.state_dict())
    with am.no_grad():
        for p, q in zip(ours, theirs, strict=True):
            p.copy_(am.tensor(q.detach().numpy()))
    for framework, params, rule in ((am, ours, a), (torch, theirs, b)):
        loss_of(framework, params, 4).backward()
        rule.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_state_that_does_not_fit_changes_nothing():
    rule = optim.Adam([am.ones(3, requires_grad=True)])
    other = optim.Adam([am.ones(4, requires_grad=True)])
    (other.param_groups[0]["params"][0] * 2).sum().backward()
    other.step()
    with pytest.raises(ValueError, match=r"exp_avg of parameter 0 is \(4,\); need \(3,\)"):
        rule.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match="made by state_dict"):
        rule.load_state_dict({"state": {}})
    assert rule.state == {}


def test_step_computes_what_is_pending_in_one_go(monkeypatch):
    runs = []
    compute = realize.compute
    monkeypatch.setattr(realize, "compute", lambda roots: runs.append(len(roots)) or compute(roots))
    w = am.tensor([1.0, 2.0], requires_grad=True)
    rule = optim.Adam([w])
    loss = (w * w).sum().exp()
    loss.backward()
    runs.clear()
    rule.step()
    assert len(runs) == 1
    assert loss.item() == pytest.approx(np.exp(5), rel=1e-6)
    assert len(runs) == 1  # the loss was live, so it came along


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.SGD(p, lrr=0.1), "Did you mean 'lr'"),
        (lambda p: optim.Adam(p, learning_rat=0.1), "Did you mean 'learning_rate'"),
        (lambda p: optim.SGD(p, lr=0.1, learning_rate=0.2), "differ"),
        (lambda p: optim.SGD(p, lr=-1), "lr is -1"),
        (lambda p: optim.SGD(p, lr=float("nan")), "lr is nan"),
        (lambda p: optim.SGD(p, nesterov=True), "nesterov with momentum=0.0"),
        (lambda p: optim.Adam(p, betas=(0.9, 1.0)), "betas is"),
        (lambda p: optim.SGD([]), "no parameters"),
        (lambda p: optim.SGD(p[0]), "one tensor"),
        (lambda p: optim.SGD([*p, *p]), "given twice"),
        (lambda p: optim.SGD(am.nn.Sequential(am.nn.Linear(1, 1))), r"pass module.parameters\(\)"),
        (lambda p: optim.SGD(3), "params is int"),
        (lambda p: optim.SGD([3.0]), "need tensors"),
        (lambda p: optim.SGD([{"params": p, "momentun": 1}]), "Did you mean 'momentum'"),
        (lambda p: optim.SGD().step(), "has no parameters"),
        (lambda p: optim.by_name("adm"), "Did you mean 'adam'"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make([am.ones(2, requires_grad=True)])


def test_learning_rate_has_two_names():
    rule = optim.SGD([am.ones(1, requires_grad=True)], learning_rate=0.25)
    assert (rule.lr, rule.learning_rate, rule.param_groups[0]["lr"]) == (0.25, 0.25, 0.25)
    rule.learning_rate = 0.5
    assert rule.lr == 0.5


def test_settings_may_be_numpys():
    weight = am.ones(2, requires_grad=True)
    rule = optim.Adam([weight], lr=np.float32(0.5), betas=(np.float64(0.5), 0.75))
    assert type(rule.lr) is float
    assert all(type(beta) is float for beta in rule.param_groups[0]["betas"])
    rule.lr = np.float64(0.25)
    assert type(rule.param_groups[0]["lr"]) is float
    with pytest.raises(ValueError, match="lr is -1"):
        optim.SGD([weight], lr=np.float32(-1))


@pytest.mark.parametrize("rule", [lambda p: optim.SGD(p, lr=0.1, momentum=0.9), optim.Adam])
def test_averages_without_gradients_fade_to_zero_and_are_never_subnormal(rule):
    """Subnormal numbers would stay for ever: rounded, 0.9 times the smallest is the smallest."""
    weight = am.tensor([1.0], requires_grad=True)
    optimizer = rule([weight])

    @am.jit
    def step(slope):
        optimizer.zero_grad()
        (weight * slope).sum().backward()
        optimizer.step()

    step(am.tensor(1.0))
    sizes = []
    for _ in range(1200):
        step(am.tensor(0.0))
        (state,) = optimizer.state.values()
        sizes.append(abs(next(iter(state.values()))).item())
    assert sizes[0] > 0.05
    assert sizes[-1] == 0.0
    assert min(size for size in sizes if size) >= np.finfo(np.float32).tiny


@pytest.mark.filterwarnings("ignore:Adam.*step. no parameter has a gradient")
@pytest.mark.parametrize("rule", [optim.Adam, optim.AdamW])
def test_groups_and_latecomers_share_no_factors_that_differ(rule):
    """One optimizer of several groups steps like an optimizer for each, bit by bit."""
    settings = [
        {"lr": 0.1, "weight_decay": 0.0},
        {"lr": 0.1, "weight_decay": 0.5},
        {"lr": 0.02, "betas": (0.5, 0.75)},
    ]
    dtypes = ["float32", "float32", "float64", "float16"]

    def weights() -> list[am.Tensor]:
        return [
            am.tensor([0.5, -1.5], dtype=dtypes[n % 4], requires_grad=True)
            for n in range(4 * len(settings))
        ]

    def learn(optimizers: list[optim.Optimizer], parameters: list[am.Tensor]) -> list[bytes]:
        for step in range(3):
            for optimizer in optimizers:
                optimizer.zero_grad()
            for number, parameter in enumerate(parameters):
                if step or number % 4 != 1:  # some begin a step later: another clock
                    (parameter * parameter * (number + 1)).sum().backward()
            for optimizer in optimizers:
                optimizer.step()
        return [parameter.numpy().tobytes() for parameter in parameters]

    together, apart = weights(), weights()
    groups = [{"params": together[n::3], **extra} for n, extra in enumerate(settings)]
    alone = [rule([p], **settings[n % 3]) for n, p in enumerate(apart)]
    assert learn([rule(groups)], together) == learn(alone, apart)


@pytest.mark.parametrize("rate", [-1.0, "a", float("nan"), None])
def test_a_rate_set_later_is_checked_at_the_step(rate):
    weight = am.ones(2, requires_grad=True)
    rule = optim.SGD([{"params": [am.ones(1)]}, {"params": [weight]}], lr=0.5)
    rule.param_groups[1]["lr"] = rate
    weight.sum().backward()
    with pytest.raises(ArgumentError, match=r"param_groups\[1\]\['lr'\].*need a number >= 0: set"):
        rule.step()
    assert weight.tolist() == [1.0, 1.0]


def test_a_jitted_step_checks_the_rate_as_well():
    weight = am.ones(2, requires_grad=True)
    rule = optim.SGD([weight], lr=0.5)

    @am.jit
    def train():
        rule.zero_grad()
        weight.sum().backward()
        rule.step()

    train()
    train()
    rule.param_groups[0]["lr"] = -1.0
    with pytest.raises(ArgumentError, match="lr is -1"):
        train()
    assert weight.tolist() == [0.0, 0.0]


def test_own_rules_find_an_empty_state():
    class Own(optim.Optimizer):
        def step(self):
            for parameter in self.param_groups[0]["params"]:
                state = self.state[parameter]
                if not state:
                    state["seen"] = am.zeros(())
                state["seen"] = state["seen"] + 1

    weight = am.ones(2, requires_grad=True)
    rule = Own([weight], {"lr": 0.1})
    rule.step()
    rule.step()
    assert rule.state[weight]["seen"].item() == 2
    assert rule.state_dict()["state"][0]["seen"].item() == 2


@pytest.mark.parametrize(
    ("rule", "other"),
    [("Adam", "SGD"), ("SGD", "Adam"), ("Adam", "Adamax"), ("AdamW", "RMSprop"), ("NAdam", "Adam")],
)
def test_the_state_of_another_rule_is_refused(rule, other):
    weight = am.ones(2, requires_grad=True)
    one = getattr(optim, other)([weight], **({"momentum": 0.5} if other == "SGD" else {}))
    weight.sum().backward()
    one.step()
    two = getattr(optim, rule)([weight])
    with pytest.raises(ArgumentError, match=f"need.*the state of the same rule, a {rule}"):
        two.load_state_dict(one.state_dict())
    assert not two.state
    assert {*two.param_groups[0]} == {"params", *two.defaults}


def test_what_a_rule_does_not_know_is_left_out():
    weight = am.ones(2, requires_grad=True)
    one, two = optim.Adam([weight]), optim.Lion([weight])
    weight.sum().backward()
    one.step()
    two.load_state_dict(one.state_dict())
    assert "exp_avg_sq" not in two.state[weight]
