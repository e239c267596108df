"""Parametrizations beside PyTorch's, with its numbers carried over."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations as theirs_of

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError, ShapeError, UnknownNameError
from ambos.nn.utils import parametrizations, parametrize

CASES = {
    "weight_norm": (lambda kit, of: of.weight_norm(kit.Conv1d(2, 3, 2))),
    "weight_norm of all": (lambda kit, of: of.weight_norm(kit.Linear(2, 3), dim=None)),
    "spectral_norm": (lambda kit, of: of.spectral_norm(kit.Linear(4, 3))),
    "spectral_norm turned": (lambda kit, of: of.spectral_norm(kit.ConvTranspose1d(2, 3, 2))),
    "matrix_exp": (lambda kit, of: of.orthogonal(kit.Linear(3, 3))),
    "cayley": (lambda kit, of: of.orthogonal(kit.Linear(3, 3), orthogonal_map="cayley")),
    "householder": (lambda kit, of: of.orthogonal(kit.Linear(3, 4), use_trivialization=False)),
    "householder on": (lambda kit, of: of.orthogonal(kit.Linear(4, 3))),
}


@pytest.mark.parametrize("name", CASES)
def test_weights_gradients_and_states_are_pytorchs(name):
    torch.manual_seed(0)
    theirs = CASES[name](torch.nn, theirs_of)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1)
    ours = CASES[name](nn, parametrizations)
    state = theirs.state_dict()
    assert [*ours.state_dict()] == [*state]
    assert repr(ours).partition("\n")[0] == repr(theirs).partition("\n")[0]
    ours.load_state_dict(state)
    expected, found = theirs.weight, ours.weight
    np.testing.assert_allclose(found.numpy(), expected.detach().numpy(), atol=2e-6)
    scale = np.linspace(-1, 1, expected.numel(), dtype=np.float32).reshape(expected.shape)
    (expected * torch.tensor(scale)).sum().backward()
    (found * am.tensor(scale)).sum().backward()
    for (key, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if other.grad is not None:
            message = f"{key} of {name}"
            np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), atol=2e-5,
                                       err_msg=message)  # fmt: skip
    for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):  # power iteration
        np.testing.assert_allclose(mine.numpy(), other.numpy(), atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2)])
def test_an_orthogonal_weight_starts_near_and_stays_orthogonal(shape):
    layer = nn.Linear(shape[1], shape[0])
    nn.init.orthogonal_(layer.weight)
    before = layer.weight.numpy()
    parametrizations.orthogonal(layer)
    np.testing.assert_allclose(layer.weight.numpy(), before, atol=1e-5)
    optimizer = am.optim.SGD(layer.parameters(), lr=0.3)
    for _ in range(2):
        (layer(am.ones(1, shape[1])) ** 2).sum().backward()
        optimizer.step()
    weight = layer.weight.numpy()
    product = weight @ weight.T if shape[0] <= shape[1] else weight.T @ weight
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-5)
    assert np.abs(weight - before).max() > 1e-3


def test_one_parametrization_after_the_other():
    class Twice(nn.Module):
        def forward(self, x):
            return x * 2

        def right_inverse(self, x):
            return x / 2

    layer = nn.Linear(2, 3)
    weight, held = layer.weight.numpy(), layer.weight
    for _ in range(2):
        parametrize.register_parametrization(layer, "weight", Twice())
    assert layer.parametrizations.weight.original is held
    np.testing.assert_allclose(held.numpy(), weight / 2)  # the second one makes another weight,
    np.testing.assert_allclose(layer.weight.numpy(), 2 * weight)  # as in PyTorch
    layer.weight = am.ones(3, 2)
    np.testing.assert_allclose(held.numpy(), np.full((3, 2), 0.25))
    x = am.ones(1, 2)
    expected = layer(x).numpy()
    jitted = am.jit(lambda x: layer(x))
    assert jitted(x).numpy().tobytes() == expected.tobytes()
    other = copy.deepcopy(layer)
    parametrize.remove_parametrizations(layer, "weight")
    assert layer.weight is held
    assert repr(layer) == "Linear(in_features=2, out_features=3, bias=True)"
    for net in (layer, other):
        np.testing.assert_allclose(net(x).numpy(), expected, rtol=1e-6)
    assert parametrize.is_parametrized(other, "weight")
    np.testing.assert_allclose(jitted(x).numpy(), expected, rtol=1e-6)
    grads = am.grad(lambda net: (net(x) ** 2).sum())(other)
    assert grads.parametrizations.weight.original.shape == (3, 2)


def test_states_from_before_parametrizations():
    theirs = torch.nn.Linear(2, 3)
    with pytest.warns(FutureWarning, match="weight_norm"):
        torch.nn.utils.weight_norm(theirs)
    net = nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 3)))
    state = {f"0.{key}": value for key, value in theirs.state_dict().items()}
    assert "0.weight_g" in state
    net.load_state_dict(state)
    np.testing.assert_allclose(net[0].weight.numpy(), theirs.weight.detach().numpy(), rtol=1e-6)
    other = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(other[0].weight.numpy(), net[0].weight.numpy())


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
def test_what_an_older_norm_computes_is_not_hidden(kind):
    layer = getattr(nn.utils, kind)(nn.Linear(2, 3))
    names, before = [name for name, _ in layer.named_parameters()], layer.weight.numpy()
    for value in (nn.Parameter(am.ones(3, 2)), am.ones(3, 2), None):
        with pytest.raises(ArgumentError, match=f"Linear.weight: is computed by {kind}.*remove_"):
            layer.weight = value
        with pytest.raises(ArgumentError, match=f"Linear.weight: is computed by {kind}.*remove_"):
            layer.register_buffer("weight", value)
    assert [name for name, _ in layer.named_parameters()] == names
    np.testing.assert_array_equal(layer.weight.numpy(), before)
    getattr(nn.utils, f"remove_{kind}")(layer).weight = nn.Parameter(am.ones(3, 2))
    assert copy.deepcopy(layer).weight.tolist() == [[1, 1]] * 3


def test_vectors_of_parameters():
    layer = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    nn.utils.vector_to_parameters(vector * 2, layer.parameters())
    doubled = nn.utils.parameters_to_vector(layer.parameters())
    np.testing.assert_allclose(doubled.numpy(), vector.numpy() * 2)
    with pytest.raises(ShapeError, match=r"the vector is \(3,\); the parameters have 9"):
        nn.utils.vector_to_parameters(am.ones(3), layer.parameters())


def test_what_is_refused():
    with pytest.raises(UnknownNameError, match=r"no parameter or buffer 'wieght'.*'weight'"):
        parametrize.register_parametrization(nn.Linear(2, 3), "wieght", nn.Identity())
    with pytest.raises(ShapeError, match=r"makes float32\(6,\) of a tensor float32\(3, 2\)"):
        parametrize.register_parametrization(nn.Linear(2, 3), "weight", nn.Flatten(0))
    with pytest.raises(ArgumentError, match="is not parametrized"):
        parametrize.remove_parametrizations(nn.Linear(2, 3), "weight")
    with pytest.raises(ArgumentError, match="orthogonal_map is 'qr'"):
        parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="qr")
