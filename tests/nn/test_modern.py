"""Rotary positions, gated layers, mixtures of experts, adapters, averages of weights."""

import numpy as np
import pytest
import torch
from torch.optim import swa_utils as theirs_of

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError, ShapeError
from ambos.nn import lora
from ambos.optim import swa_utils

RANDOM = np.random.default_rng(0)


def reals(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_positions_are_complex_rotations(interleaved):
    x, positions = reals(2, 3, 5, 8), np.array([4, 0, 7, 2, 2])
    layer = nn.RotaryEmbedding(6, base=100.0, interleaved=interleaved)
    found = layer(am.tensor(x), am.tensor(positions)).numpy()
    turned = x[..., :6].astype(np.float64)
    turned = turned.reshape(2, 3, 5, 3, 2) if interleaved else (
        turned.reshape(2, 3, 5, 2, 3).swapaxes(-1, -2)
    )  # fmt: skip
    angles = positions[:, None] * 100.0 ** (-np.arange(0, 6, 2) / 6)
    turned = (turned[..., 0] + 1j * turned[..., 1]) * np.exp(1j * angles)
    parts = np.stack([turned.real, turned.imag], -1)
    expected = (parts if interleaved else parts.swapaxes(-1, -2)).reshape(2, 3, 5, 6)
    np.testing.assert_allclose(found[..., :6], expected, atol=1e-5)
    np.testing.assert_array_equal(found[..., 6:], x[..., 6:])
    np.testing.assert_array_equal(
        layer(am.tensor(x)).numpy(), layer(am.tensor(x), am.arange(5)).numpy()
    )
    with pytest.raises(ShapeError, match=r"got \(2, 4\); need .* at least dim=6"):
        layer(am.ones(2, 4))


def mixture_by_hand(layer, x, capacity=None):
    """What the layer computes, token by token in torch."""
    w = {name: torch.tensor(p.numpy()) for name, p in layer.named_parameters()}
    flat = torch.tensor(x).reshape(-1, x.shape[-1])
    shares = torch.softmax(flat @ w["router.weight"].T, -1)
    weights, experts = shares.topk(layer.top_k, -1)
    weights = weights / weights.sum(-1, keepdim=True)
    out, taken = torch.zeros_like(flat), [0] * layer.num_experts
    for place in range(layer.top_k):
        for token in range(len(flat)):
            e = int(experts[token, place])
            taken[e] += 1
            if capacity is None or taken[e] <= capacity:
                gate = torch.nn.functional.silu(flat[token] @ w["gate_proj"][e].T)
                hidden = gate * (flat[token] @ w["up_proj"][e].T)
                out[token] += weights[token, place] * (hidden @ w["down_proj"][e].T)
    used = torch.tensor([(experts == e).float().mean() for e in range(layer.num_experts)])
    lost = sum(max(0, n - capacity) for n in taken) / sum(taken) if capacity else 0.0
    return out.reshape(x.shape), (used * shares.mean(0)).sum() * layer.num_experts, lost


@pytest.mark.parametrize("factor", [None, 0.75])
def test_a_mixture_of_experts_is_its_experts_one_by_one(factor):
    am.manual_seed(0)
    layer = nn.MixtureOfExperts(6, 5, num_experts=4, top_k=2, capacity_factor=factor)
    layer.router.weight.data = layer.router.weight * 4  # an uneven one
    x = reals(3, 7, 6)
    capacity = None if factor is None else int(np.ceil(factor * 42 / 4))
    expected, loss, lost = mixture_by_hand(layer, x, capacity)
    found = layer(am.tensor(x))
    np.testing.assert_allclose(found.output.numpy(), expected.numpy(), atol=1e-5)
    assert found.balance_loss.item() == pytest.approx(loss.item(), rel=1e-5)
    assert found.dropped.item() == pytest.approx(lost)
    assert (lost > 0) is (factor is not None)
    jitted = am.jit(lambda x: layer(x).output)
    assert jitted(am.tensor(x)).numpy().tobytes() == found.output.numpy().tobytes()
    one = layer(am.tensor(x[0, :1])).output if factor is None else None
    if one is not None:
        np.testing.assert_allclose(one.numpy(), expected.numpy()[0, :1], atol=1e-5)


def test_gradients_of_a_mixture_reach_what_worked():
    layer = nn.MixtureOfExperts(4, 3, num_experts=3, top_k=1)
    layer.router.weight.data = am.zeros(3, 4)  # all equal: the first expert gets everything
    found = layer(am.ones(5, 4))
    (found.output.sum() + found.balance_loss).backward()
    sizes = layer.gate_proj.grad.abs().sum((1, 2)).numpy()
    assert sizes[0] > 0
    np.testing.assert_array_equal(sizes[1:], [0, 0])
    assert found.balance_loss.item() == pytest.approx(1.0)
    with pytest.raises(ArgumentError, match="top_k is 4 for 3 experts"):
        nn.MixtureOfExperts(4, 3, num_experts=3, top_k=4)


def test_gated_layers():
    x = reals(2, 4)
    for kind, act in ((nn.SwiGLU, torch.nn.functional.silu), (nn.GEGLU, torch.nn.functional.gelu)):
        layer = kind(4, 6, 3)
        g, u, d = (torch.tensor(p.numpy()) for p in layer.parameters())
        y = torch.tensor(x)
        expected = (act(y @ g.T) * (y @ u.T)) @ d.T
        np.testing.assert_allclose(layer(am.tensor(x)).numpy(), expected.numpy(), atol=1e-6)
    assert [*nn.SwiGLU(2, 3).state_dict()] == ["gate_proj.weight", "up_proj.weight",
                                               "down_proj.weight"]  # fmt: skip


def test_adapters_train_alone_and_merge():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Sequential(nn.Linear(4, 4)))
    x = am.tensor(reals(5, 3))
    before, frozen = net(x).numpy(), net[0].weight.numpy()
    lora.adapt(net, "2.*", rank=2, alpha=4.0)
    np.testing.assert_array_equal(net(x).numpy(), before)  # B is zero
    trained = [p for p in net.parameters() if p.requires_grad]
    assert [*lora.adapters(net)] == ["2.0.lora_A.weight", "2.0.lora_B.weight"]
    optimizer = am.optim.SGD(trained, lr=0.5)
    for _ in range(2):
        (net(x) ** 2).sum().backward()
        optimizer.step()
    after = net(x).numpy()
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_array_equal(net[0].weight.numpy(), frozen)
    saved = lora.adapters(net)
    lora.merge(net)
    np.testing.assert_allclose(net(x).numpy(), after, atol=1e-5)
    lora.unmerge(net)
    np.testing.assert_allclose(net(x).numpy(), after, atol=1e-5)
    with am.no_grad():
        trained[1].fill_(0.0)
    np.testing.assert_allclose(net(x).numpy(), before, atol=1e-5)
    lora.load_adapters(net, saved)
    np.testing.assert_allclose(net(x).numpy(), after, atol=1e-5)
    assert isinstance(lora.remove(net)[2][0], nn.Linear)
    np.testing.assert_allclose(net(x).numpy(), after, atol=1e-5)
    with pytest.raises(ArgumentError, match="no Linear of Sequential is called '3'"):
        lora.adapt(net, "3")
    with pytest.raises(ArgumentError, match=r"2.0.lora_A.weight.* differ"):
        lora.load_adapters(net, saved)


AVERAGES = {
    "swa": lambda kit: {},
    "swa of lists": lambda kit: {"multi_avg_fn": kit.get_swa_multi_avg_fn()},
    "ema": lambda kit: {"avg_fn": kit.get_ema_avg_fn(0.9)},
    "ema of lists": lambda kit: {"multi_avg_fn": kit.get_ema_multi_avg_fn(0.9)},
    "ema with buffers": lambda kit: {"avg_fn": kit.get_ema_avg_fn(0.5), "use_buffers": True},
    "my own": lambda kit: {"multi_avg_fn": my_own_average},
}


def my_own_average(averages, values, count):
    for average, value in zip(averages, values, strict=True):
        average.mul_(0.5).add_(value * (count + 1))


@pytest.mark.parametrize("name", AVERAGES)
def test_averages_of_weights_are_pytorchs(name):
    theirs, ours = torch.nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    averages = [
        kit.AveragedModel(net, **AVERAGES[name](kit))
        for kit, net in ((theirs_of, theirs), (swa_utils, ours))
    ]
    for step in range(3):
        x = reals(4, 2)
        theirs(torch.tensor(x))
        ours(am.tensor(x))
        with torch.no_grad():
            theirs.weight.fill_(step * step)
        ours.weight.data = am.tensor([float(step * step)] * 2)
        averages[0].update_parameters(theirs)
        averages[1].update_parameters(ours)
    expected = averages[0].state_dict()
    assert [*averages[1].state_dict()] == [*expected]
    for key, value in averages[1].state_dict().items():
        np.testing.assert_allclose(value.numpy(), expected[key].numpy(), rtol=1e-5, err_msg=key)
    assert averages[1](am.ones(3, 2)).shape == (3, 2)
    with pytest.raises(ArgumentError, match="not in both models"):
        averages[1].update_parameters(nn.Linear(2, 2))
    with pytest.raises(ArgumentError, match="need one of them"):
        swa_utils.AveragedModel(ours, None, my_own_average, my_own_average)


def test_an_average_inside_a_jitted_step():
    net = nn.Linear(2, 1)
    averages = swa_utils.AveragedModel(net), swa_utils.AveragedModel(net)
    optimizer = am.optim.SGD(net.parameters(), lr=0.1)

    @am.jit
    def step(x):
        loss = (net(x) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        averages[0].update_parameters(net)
        return loss

    for _ in range(4):
        step(am.ones(3, 2))
        averages[1].update_parameters(net)
    for mine, other in zip(*(a.state_dict().values() for a in averages), strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-6)
