"""Every layer against PyTorch: the same weights in, the same outputs and gradients out."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos import nn
from ambos.core.errors import DeviceError, ShapeError, UnknownNameError

X2, X3, X4, X5 = (4, 6), (4, 6, 9), (4, 6, 9, 7), (2, 4, 5, 6, 5)

# name, arguments, keywords, input shape
LAYERS = [
    ("Linear", (6, 5), {}, X2),
    ("Linear", (6, 5), {"bias": False}, (2, 3, 6)),
    ("Linear", (6, 5), {}, (6,)),
    ("Conv1d", (6, 8, 3), {}, X3),
    ("Conv1d", (6, 4, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}, X3),
    ("Conv2d", (6, 8, 3), {}, X4),
    ("Conv2d", (6, 8, 3), {"padding": 1, "bias": False}, X4),
    ("Conv2d", (6, 8, (3, 2)), {"stride": (2, 1), "padding": (1, 0)}, X4),
    ("Conv2d", (6, 6, 3), {"groups": 6, "padding": "same"}, X4),
    ("Conv2d", (6, 4, 2), {"padding": "same"}, X4),
    ("Conv2d", (6, 4, 3), {"dilation": 2, "groups": 2}, X4),
    ("Conv2d", (6, 8, 1), {}, (6, 9, 7)),
    ("Conv3d", (4, 3, 2), {"stride": 2, "padding": 1}, X5),
    ("BatchNorm1d", (6,), {}, X2),
    ("BatchNorm1d", (6,), {"momentum": 0.3}, X3),
    ("BatchNorm2d", (6,), {}, X4),
    ("BatchNorm2d", (6,), {"affine": False, "momentum": None}, X4),
    ("BatchNorm2d", (6,), {"track_running_stats": False}, X4),
    ("LayerNorm", (6,), {}, X2),
    ("LayerNorm", ((9, 7),), {"eps": 1e-3}, X4),
    ("LayerNorm", (7,), {"elementwise_affine": False}, X4),
    ("LayerNorm", (7,), {"bias": False}, X4),
    ("Flatten", (), {}, X4),
    ("Flatten", (2,), {}, X4),
    ("MaxPool2d", (2,), {}, X4),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1}, X4),
    ("MaxPool2d", ((2, 3),), {"stride": 1, "dilation": 2}, X4),
    ("MaxPool2d", (2,), {"ceil_mode": True}, X4),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, (6, 8, 8)),
    ("AvgPool2d", (2,), {}, X4),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1}, X4),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, X4),
    ("AvgPool2d", (3,), {"stride": 2, "ceil_mode": True}, (2, 3, 8, 8)),
    ("AvgPool2d", (3, 2, 1), {"ceil_mode": True}, (2, 3, 8, 8)),
    ("AdaptiveAvgPool2d", (1,), {}, X4),
    ("AdaptiveAvgPool2d", ((3, 7),), {}, X4),
    ("AdaptiveAvgPool2d", ((4, 3),), {}, X4),
    ("AdaptiveAvgPool2d", ((None, 2),), {}, (6, 9, 8)),
    ("ReLU", (), {}, X2),
    ("GELU", (), {}, X2),
    ("GELU", (), {"approximate": "tanh"}, X2),
    ("SiLU", (), {}, X2),
    ("Tanh", (), {}, X2),
    ("Sigmoid", (), {}, X2),
    ("Softmax", (1,), {}, X3),
    ("LogSoftmax", (-1,), {}, X3),
    ("Identity", (), {}, X2),
]
IDS = [f"{name}{i}" for i, (name, *_) in enumerate(LAYERS)]


def rng(seed=0):
    return np.random.RandomState(seed)


def twins(name, args, kwargs):
    """Our layer and PyTorch's with the same random weights and statistics."""
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    stream = rng(1)
    state = {
        key: value + torch.tensor(stream.uniform(0.1, 0.6, value.shape), dtype=value.dtype)
        for key, value in theirs.state_dict().items()
    }
    theirs.load_state_dict(state)
    ours = getattr(nn, name)(*args, **kwargs)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def close(ours, theirs, **tolerance):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours.numpy(), theirs, **{"rtol": 2e-5, "atol": 2e-5, **tolerance})


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")  # torch's own
@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS, ids=IDS)
def test_forward_and_backward(name, args, kwargs, shape):
    ours, theirs = twins(name, args, kwargs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    values = rng(2).randn(*shape).astype(np.float32)
    x, tx = am.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    y, ty = ours(x), theirs(tx)
    seed = rng(3).randn(*ty.shape).astype(np.float32)
    y.backward(am.tensor(seed))
    ty.backward(torch.tensor(seed))
    close(y, ty)
    close(x.grad, tx.grad)
    for (key, p), (_, tp) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert p.grad is not None, key
        close(p.grad, tp.grad, rtol=1e-4, atol=1e-4)
    for key, buffer in theirs.state_dict().items():  # running statistics have moved alike
        close(ours.state_dict()[key], buffer)
    ours.eval(), theirs.eval()
    with am.no_grad():
        close(ours(x), theirs(tx))


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS, ids=IDS)
def test_repr_is_pytorchs(name, args, kwargs, shape):
    ours, theirs = twins(name, args, kwargs)
    if name not in ("BatchNorm1d", "BatchNorm2d", "LayerNorm"):
        assert repr(ours) == repr(theirs)
    assert repr(ours).startswith(f"{name}(")


def test_max_pool_sends_the_gradient_to_the_first_of_equals():
    x = am.zeros(1, 1, 4, 4, requires_grad=True)
    nn.MaxPool2d(2)(x).sum().backward()
    expected = np.zeros((4, 4), np.float32)
    expected[::2, ::2] = 1
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], expected)


def test_embedding_matches_and_padding_does_not_learn():
    theirs = torch.nn.Embedding(7, 3, padding_idx=-2)
    ours = nn.Embedding(7, 3, padding_idx=-2)
    assert (ours.weight.numpy()[5] == 0).all()
    ours.load_state_dict(theirs.state_dict())
    index = np.array([[1, 5, 6], [5, 1, 1]])
    y, ty = ours(am.tensor(index)), theirs(torch.tensor(index))
    (y * y).sum().backward()
    (ty * ty).sum().backward()
    close(y, ty)
    close(ours.weight.grad, theirs.weight.grad)
    assert repr(ours) == repr(theirs)


def test_dropout_drops_the_asked_share_and_rescales():
    am.manual_seed(0)
    layer, x = nn.Dropout(0.3), am.ones(20_000, requires_grad=True)
    y = layer(x)
    values = y.numpy()
    assert set(np.unique(values)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((values == 0).mean() - 0.3) < 0.02
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), values)  # the same mask, drawn again
    assert (layer(x).numpy() != values).any()
    layer.eval()
    np.testing.assert_array_equal(layer(x).numpy(), x.numpy())


@pytest.mark.parametrize(
    ("name", "args", "shape", "bound"),
    [("Linear", (64, 32), None, 1 / 8), ("Conv2d", (16, 32, 2), None, 1 / 8)],
)
def test_initial_values_fill_pytorchs_range(name, args, shape, bound):
    am.manual_seed(0)
    layer = getattr(nn, name)(*args)
    for p in layer.parameters():
        values = p.numpy()
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.85 * bound
        assert abs(values.mean()) < 0.2 * bound
    again = getattr(nn, name)(*args)
    assert (again.weight.numpy() != layer.weight.numpy()).any()
    am.manual_seed(0)
    np.testing.assert_array_equal(getattr(nn, name)(*args).weight.numpy(), layer.weight.numpy())


@pytest.mark.parametrize(
    ("lazy", "args", "full", "shape"),
    [
        ("LazyLinear", (5,), "Linear", (2, 6)),
        ("LazyConv1d", (8, 3), "Conv1d", (2, 6, 9)),
        ("LazyConv2d", (8, 3), "Conv2d", (2, 6, 9, 9)),
        ("LazyConv3d", (8, 3), "Conv3d", (2, 6, 9, 9, 9)),
    ],
)
def test_lazy_layers_become_ordinary_ones(lazy, args, full, shape):
    layer = getattr(nn, lazy)(*args)
    held = list(layer.parameters())
    assert len(held) == 2
    with pytest.raises(am.nn.parameter.ShapeError, match="no shape yet"):
        layer.weight.shape
    y = layer(am.ones(*shape))
    assert type(layer) is getattr(nn, full)
    assert [id(p) for p in layer.parameters()] == [id(p) for p in held]
    theirs = getattr(torch.nn, full)(6, *args)
    assert y.shape == tuple(theirs(torch.ones(*shape)).shape)
    assert np.abs(layer.weight.numpy()).max() > 0
    assert repr(layer) == repr(theirs)


def test_lazy_layer_filled_from_a_state():
    source, layer = nn.Linear(6, 5), nn.LazyLinear(5)
    layer.load_state_dict(source.state_dict())
    x = am.ones(2, 6)
    np.testing.assert_array_equal(layer(x).numpy(), source(x).numpy())
    assert (layer.in_features, type(layer)) == (6, nn.Linear)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(3, 0), "out_features is 0"),
        (lambda: nn.Linear(3, 4, biass=False), "Did you mean 'bias'"),
        (lambda: nn.Linear(10), r"nn.LazyLinear\(10\)"),
        (lambda: nn.Conv2d(64, 5), r"nn.LazyConv2d\(64, 5\)"),
        (lambda: nn.Conv2d(3, 4, kernal_size=3), "Did you mean 'kernel_size'"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups is 2"),
        (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), "need 1"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size is"),
        (lambda: nn.Dropout(1.5), "p is 1.5"),
        (lambda: nn.Embedding(4, 2, padding_idx=4), "padding_idx is 4"),
        (lambda: nn.GELU("exact"), "approximate is 'exact'"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message) as found:
        make()
    assert "test_layers.py" in str(found.value)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (lambda: nn.Linear(4, 2), (3, 5), r"got 5 features; the layer has in_features=4; use "
         r"nn.Linear\(5, 2\) or nn.LazyLinear\(2\)"),
        (lambda: nn.Conv2d(3, 2, 3), (1, 4, 8, 8), "got 4 channels"),
        (lambda: nn.Conv2d(3, 2, 3), (8, 8), "need \\(batch, channels, height, width\\)"),
        (lambda: nn.Conv2d(3, 2, 9), (1, 3, 8, 8), "shorter than the kernel of 9"),
        (lambda: nn.BatchNorm2d(3), (1, 4, 8, 8), "num_features=3"),
        (lambda: nn.BatchNorm2d(3), (1, 3), "need \\(batch, channels"),
        (lambda: nn.BatchNorm1d(3), (1, 3), "more than one"),
        (lambda: nn.LayerNorm(3), (2, 4), "ends in \\(3,\\)"),
        (lambda: nn.MaxPool2d(9), (1, 1, 8, 8), "shorter than the window"),
        (lambda: nn.MaxPool2d(2, padding=2), (1, 1, 8, 8), "half the kernel"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit_are_named(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer()(am.ones(*shape))


def test_embedding_refuses_floats_and_indices_out_of_range():
    layer = nn.Embedding(4, 2)
    with pytest.raises(TypeError, match="need integers"):
        layer(am.ones(3))
    with pytest.raises(IndexError):
        layer(am.tensor([1, 4])).numpy()


@pytest.mark.parametrize(
    ("lazy", "state"),
    [
        (lambda: nn.LazyLinear(7), nn.Linear(3, 10)),
        (lambda: nn.LazyLinear(7), nn.Linear(3, 7).weight[:, :0]),
        (lambda: nn.LazyConv2d(4, 3), nn.Conv2d(2, 4, 5)),
        (lambda: nn.LazyConv2d(4, 3), nn.Conv2d(2, 5, 3)),
        (lambda: nn.LazyConv1d(4, 3), nn.Conv2d(2, 4, 3)),
    ],
)
def test_a_lazy_layer_leaves_only_its_inputs_open(lazy, state):
    layer = lazy()
    if isinstance(state, nn.Module):
        state = state.state_dict()
    else:
        state = {"weight": state, "bias": am.zeros(7)}
    with pytest.raises(ShapeError, match=r"any.*Nothing was changed"):
        layer.load_state_dict(state)
    assert all(isinstance(p, nn.UninitializedParameter) for p in layer.parameters())
    assert type(layer).__name__.startswith("Lazy")


def test_a_lazy_layer_filled_in_part_is_complete():
    layer = nn.LazyLinear(2)
    layer.load_state_dict({"weight": np.ones((2, 3), np.float32)}, strict=False)
    np.testing.assert_array_equal(layer(am.ones(1, 3)).numpy(), [[3, 3]])


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(2, 3), lambda: nn.LazyLinear(3), lambda: nn.BatchNorm1d(2),
        lambda: nn.LayerNorm(2), lambda: nn.Flatten(), lambda: nn.ReLU(), lambda: nn.Softmax(),
        lambda: nn.Conv1d(2, 3, 1),
    ],
)  # fmt: skip
def test_lists_count_as_arrays(make):
    layer, x = make().eval(), [[1.0, 2.0], [3.0, 4.0]]
    found = layer(x)
    np.testing.assert_array_equal(found.numpy(), layer(am.tensor(x)).numpy())


def test_there_is_no_cuda():
    with pytest.raises(DeviceError, match="cuda"):
        nn.Linear(2, 3).cuda()
    assert isinstance(nn.Linear(2, 3).cpu(), nn.Linear)


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda: nn.functional.softmax(am.ones(2), dims=0), "softmax: .*'dims'.*'dim'"),
        (lambda: nn.functional.relu(am.ones(2), inplac=0), "relu: unknown keyword 'inplac'"),
        (lambda: nn.Linear(2, 2).load_state_dict({}, strikt=False), "'strict'"),
        (lambda: nn.Liner, "ambos.nn: .*'Linear'"),
        (lambda: nn.functional.sofmax, "'softmax'"),
        (lambda: am.optim.Adm, "'Adam'"),
        (lambda: am.data.DataLoder, "'DataLoader'"),
        (lambda: am.train.Modl, "'Model'"),
        (lambda: am.data.digits(test_fracton=0.5), "'test_fraction'"),
    ],
)
def test_misspelt_names_are_answered(do, message):
    with pytest.raises(UnknownNameError, match=message):
        do()


def test_rooms_behave_as_modules():
    assert not hasattr(nn, "Liner")
    with pytest.raises(ImportError):
        from ambos.nn import Liner  # noqa: F401
    with pytest.raises(AttributeError):
        nn.__wrapped__
