"""What ported code still calls: older names, fused layers, in-place activations, conversions."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
import ambos.nn.functional as F
from ambos import nn
from ambos.core.errors import ArgumentError, UnknownNameError

RANDOM = np.random.default_rng(0)
KITS = (torch, am)


def reals(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def close(ours: Any, theirs: Any, **settings: Any) -> None:
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-5, atol=1e-6, **settings
    )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("relu_", ()), ("elu_", (0.5,)), ("celu_", (0.5,)), ("selu_", ()), ("leaky_relu_", (0.2,)),
     ("rrelu_", (0.1, 0.1)), ("hardtanh_", (-0.5, 0.5)), ("threshold_", (0.1, 3.0))],
)  # fmt: skip
def test_activations_in_place(name: str, arguments: tuple[float, ...]) -> None:
    given = reals(7)
    found = []
    for kit in KITS:
        x = kit.tensor(given.copy(), requires_grad=True)
        y = x * 1.0
        result = getattr(kit.nn.functional, name)(y, *arguments)
        assert result is y
        (y * y).sum().backward()
        found.append((y, x.grad))
    close(found[1][0], found[0][0])
    close(found[1][1], found[0][1])


def worn(norm: Any) -> Any:
    """With statistics and weights of its own."""
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            if tensor is not None:
                tensor.copy_(torch.rand(tensor.shape) + 0.5)
    return norm.eval()


FUSED = {
    "conv": (lambda kit: kit.nn.Conv2d(2, 3, 3), "BatchNorm2d", (2, 2, 5, 5)),
    "no bias": (lambda kit: kit.nn.Conv1d(2, 3, 3, bias=False), "BatchNorm1d", (2, 2, 5)),
    "transposed": (lambda kit: kit.nn.ConvTranspose2d(2, 3, 3), "BatchNorm2d", (2, 2, 5, 5)),
    "linear": (lambda kit: kit.nn.Linear(2, 3), "BatchNorm1d", (4, 2)),
}


@pytest.mark.parametrize("name", FUSED)
def test_normalisations_go_into_layers(name: str) -> None:
    make, kind, shape = FUSED[name]
    layers, norms = [make(kit).eval() for kit in KITS], [getattr(k.nn, kind)(3) for k in KITS]
    worn(norms[0])
    layers[1].load_state_dict(layers[0].state_dict())
    norms[1].load_state_dict(norms[0].state_dict())
    norms[1].eval()
    function = "fuse_linear_bn_eval" if name == "linear" else "fuse_conv_bn_eval"
    more = {"transpose": True} if name == "transposed" else {}
    theirs, ours = (
        getattr(kit.nn.utils, function)(layer, norm, **more)
        for kit, layer, norm in zip(KITS, layers, norms, strict=True)
    )
    x = reals(*shape)
    close(ours.weight, theirs.weight)
    close(ours.bias, theirs.bias)
    close(ours(am.tensor(x)), norms[1](layers[1](am.tensor(x))))
    with pytest.raises(ArgumentError, match=r"need both in evaluation"):
        nn.utils.fuse_conv_bn_eval(layers[1].train(), norms[1])
    with pytest.raises(ArgumentError, match=r"3 outputs and a normalisation of 4"):
        nn.utils.fuse_conv_bn_eval(layers[1].eval(), nn.BatchNorm2d(4).eval())


OLDER = {
    "weight_norm": [{}, {"dim": None}, {"dim": 1}],
    "spectral_norm": [{}, {"n_power_iterations": 3}, {"dim": 1}],
}


@pytest.mark.parametrize(("name", "number"), [(n, i) for n in OLDER for i in range(3)])
@pytest.mark.filterwarnings("ignore:.*is deprecated in favor of")
def test_older_norms_of_weights(name: str, number: int) -> None:
    settings = OLDER[name][number]
    theirs, ours = (getattr(k.nn.utils, name)(k.nn.Conv1d(2, 3, 2), **settings) for k in KITS)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    names = [[n for n, _ in layer.named_parameters()] for layer in (theirs, ours)]
    assert names[0] == names[1]
    ours.load_state_dict(theirs.state_dict())
    rules = [
        kit.optim.SGD(layer.parameters(), lr=0.1)
        for kit, layer in zip(KITS, (theirs, ours), strict=True)
    ]
    step = am.jit(lambda x: _stepped(ours, rules[1], x))
    for turn in range(3):
        x = reals(2, 2, 4)
        expected = _stepped(theirs, rules[0], torch.tensor(x))
        found = (step if turn else lambda x: _stepped(ours, rules[1], x))(am.tensor(x))
        close(found, expected)
        for key, value in ours.state_dict().items():
            close(value, theirs.state_dict()[key], err_msg=key)
    for layer in (ours.eval(), theirs.eval()):
        layer(am.tensor(x) if layer is ours else torch.tensor(x))
    close(ours.weight, theirs.weight)
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        close(copied(am.tensor(x)), theirs(torch.tensor(x)))
    with pytest.raises(ArgumentError, match="has one already"):
        getattr(nn.utils, name)(ours)
    before = ours(am.tensor(x))
    getattr(nn.utils, f"remove_{name}")(ours)
    assert sorted(ours.state_dict()) == ["bias", "weight"]
    close(ours(am.tensor(x)), before)
    with pytest.raises(ArgumentError, match=r"has none; need"):
        getattr(nn.utils, f"remove_{name}")(ours)
    with pytest.raises(UnknownNameError, match=r"no parameter 'wieght'.*Did you mean 'weight'"):
        getattr(nn.utils, name)(ours, "wieght")
    with pytest.raises(ValueError, match=r"dim|axis"):
        getattr(nn.utils, name)(ours, dim=7)
    close(ours(am.tensor(x)), before)
    assert sorted(ours.state_dict()) == ["bias", "weight"]


def _stepped(layer: Any, rule: Any, x: Any) -> Any:
    loss = (layer(x) ** 2).mean()
    rule.zero_grad()
    loss.backward()
    rule.step()
    return loss


def test_synchronized_norms_of_one_process() -> None:
    layers = [
        kit.nn.Sequential(kit.nn.Conv2d(2, 3, 1), kit.nn.Sequential(kit.nn.BatchNorm2d(3, 1e-3)))
        for kit in KITS
    ]
    held = layers[1][1][0].weight
    theirs, ours = (
        kit.nn.SyncBatchNorm.convert_sync_batchnorm(net)
        for kit, net in zip(KITS, layers, strict=True)
    )
    assert repr(ours) == repr(theirs)
    assert ours[1][0].weight is held
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    plain = torch.nn.BatchNorm2d(3, 1e-3)
    x = reals(2, 3, 4, 4)
    close(ours[1](am.tensor(x)), plain(torch.tensor(x)))
    close(ours[1][0].running_var, plain.running_var)
    assert nn.SyncBatchNorm(2)(am.ones(3, 2)).shape == (3, 2)


def test_parametrizations_in_a_row() -> None:
    found = []
    for kit in KITS:

        class Fold(kit.nn.Module):  # without an inverse
            def forward(self, x: Any) -> Any:
                return x.triu() + x.triu(1).T

        class Double(kit.nn.Module):
            def forward(self, x: Any) -> Any:
                return x * 2

            def right_inverse(self, x: Any) -> Any:
                return x / 2

        layer = kit.nn.Linear(3, 3)
        with kit.no_grad():
            layer.weight.copy_(kit.arange(9.0).reshape(3, 3))
        for made in (Fold(), Double()):
            kit.nn.utils.parametrize.register_parametrization(layer, "weight", made)
        twice = kit.nn.Linear(1, 1, bias=False)
        with kit.no_grad():
            twice.weight.fill_(8.0)
        for _ in range(2):
            kit.nn.utils.parametrize.register_parametrization(twice, "weight", Double())
        found.append((repr(layer), layer.weight.tolist(), twice.weight.item(),
                      twice.parametrizations.weight.original.item()))  # fmt: skip
    assert found[0] == found[1]


def test_conversions_and_older_names() -> None:
    net = nn.BatchNorm1d(2)
    assert net.type(am.float64) is net
    assert net.num_batches_tracked.dtype is net.weight.dtype is am.float64
    assert nn.Linear(2, 1).to_empty(device="cpu").weight.shape == (1, 2)
    assert nn.utils.skip_init(nn.Linear, 2, 3, bias=False).bias is None
    assert repr(nn.Hardtanh(min_value=-2.0, max_value=3.0)) == "Hardtanh(min_val=-2.0, max_val=3.0)"
    assert nn.Hardtanh(-1.0, 0.5)(am.tensor([2.0])).item() == 0.5
    seen: list[Any] = []
    layer = nn.Linear(2, 1)
    layer.register_backward_hook(lambda m, inputs, outputs: seen.append(outputs[0].shape))
    layer(am.ones(3, 2)).sum().backward()
    assert seen == [(3, 1)]
    x, target = am.tensor(reals(1, 3, 2, 2)), am.zeros((1, 2, 2), dtype="int64")
    assert nn.NLLLoss2d()(x, target).item() == nn.NLLLoss()(x, target).item()
    assert nn.RMSNorm(2)(x=am.ones(1, 2)).shape == (1, 2)
    assert nn.PoissonNLLLoss()(log_input=am.ones(2), target=am.ones(2)).shape == ()
    adaptive = nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2])
    assert adaptive(input_=am.ones(2, 4), target_=am.tensor([1, 5])).loss.shape == ()
    assert F.relu_(am.tensor([-1.0])).item() == 0.0
