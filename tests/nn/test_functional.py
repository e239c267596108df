"""Convolutions and pooling as functions, against torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as T

import ambos as am
import ambos.nn.functional as F
from ambos.core.config import config
from ambos.core.errors import ArgumentError, DTypeError, ShapeError

RNG = np.random.default_rng(4)


def array(*shape):
    return RNG.integers(-3, 4, shape).astype(np.float32)


def distinct(*shape):
    return RNG.permutation(int(np.prod(shape))).reshape(shape).astype(np.float32)


def compare(name, *arrays, rtol=1e-6, **options):
    """The function `name` of both: results, and gradients under random weights."""
    ours = [am.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    a, b = getattr(F, name)(*ours, **options), getattr(T, name)(*theirs, **options)
    assert a.shape == tuple(b.shape)
    np.testing.assert_allclose(a.numpy(), b.detach(), rtol=rtol, atol=1e-6)
    weights = RNG.normal(size=a.shape).astype(np.float32)
    (a * weights).sum().backward()
    (b * torch.tensor(weights)).sum().backward()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [
    {}, {"padding": 1}, {"stride": 2}, {"stride": 2, "padding": 1, "dilation": 2},
    {"stride": (2, 1), "padding": (0, 2)}, {"padding": "same"}, {"padding": "valid"},
])  # fmt: skip
def test_conv2d(options):
    compare("conv2d", array(2, 3, 7, 8), array(4, 3, 3, 3), array(4), **options)


@pytest.mark.parametrize("groups", [2, 4])
def test_groups(groups):
    compare("conv2d", array(2, 4, 5, 5), array(8, 4 // groups, 3, 3), groups=groups, padding=1)


def test_relu6_has_no_slope_where_it_is_flat():
    compare("relu6", 6 * array(5, 7))


TRANSPOSED = [
    {}, {"stride": 2}, {"stride": 3, "padding": 1, "output_padding": 1}, {"dilation": 2},
    {"stride": 2, "groups": 2},
]  # fmt: skip


@pytest.mark.parametrize("options", [
    {"padding": (2, 3)}, {"stride": 2, "dilation": (1, 2)}, {"stride": (3, 1), "padding": 1},
])  # fmt: skip
def test_conv2d_of_odd_sizes(options):
    compare("conv2d", array(2, 5, 11, 9), array(17, 5, 3, 2), **options)
    compare("conv2d", array(2, 19, 11, 9), array(19, 1, 3, 3), groups=19, **options)
    compare("conv2d", array(1, 6, 11, 9), array(12, 2, 1, 3), groups=3, **options)


@pytest.mark.parametrize("channels", [64, 129])
def test_conv2d_of_wide_images(channels):
    compare("conv2d", array(3, channels, 10, 9), array(40, channels, 3, 3), stride=2, padding=1)
    compare("conv2d", array(3, channels, 10, 9), array(40, channels, 1, 1), stride=2)


@pytest.mark.parametrize("options", TRANSPOSED)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_conv_transpose(rank, options):
    groups = options.get("groups", 1)
    compare(f"conv_transpose{rank}d", array(2, 4, *(4, 5, 3)[:rank]),
            array(4, 6 // groups, *(3, 3, 2)[:rank]), array(6), **options)  # fmt: skip


def test_conv_transpose_without_tracking_or_batch():
    x, w = array(4, 5, 3), array(4, 2, 3, 2)
    with am.no_grad():
        ours = F.conv_transpose2d(am.tensor(x), am.tensor(w), stride=2)
    theirs = T.conv_transpose2d(torch.tensor(x), torch.tensor(w), stride=2)
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-6, atol=1e-6)


def test_one_and_three_dimensions():
    compare("conv1d", array(2, 3, 9), array(4, 3, 3), stride=2)
    compare("conv3d", array(1, 2, 4, 4, 5), array(3, 2, 2, 2, 2))
    compare("conv_transpose1d", array(2, 3, 5), array(3, 2, 3))
    compare("conv2d", array(3, 6, 6), array(4, 3, 2, 2))


@pytest.mark.parametrize("options", [
    {"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (2, 3), "stride": 1}, {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 1, "dilation": 2},
])  # fmt: skip
def test_max_pool2d(options):
    compare("max_pool2d", distinct(2, 3, 6, 8), **options)


AVERAGES = [
    {"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
    {"kernel_size": 2, "divisor_override": 3},
]  # fmt: skip


@pytest.mark.parametrize("options", AVERAGES)
def test_avg_pool2d(options):
    compare("avg_pool2d", array(2, 3, 6, 7), **options)


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("options", [
    {"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 1, "dilation": 2},
])  # fmt: skip
def test_max_pools_of_other_ranks(rank, options):
    compare(f"max_pool{rank}d", distinct(2, 2, *(7, 6, 5)[:rank]), **options)


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("options", AVERAGES[:-1])
def test_avg_pools_of_other_ranks(rank, options):
    compare(f"avg_pool{rank}d", array(2, 2, *(6, 7, 5)[:rank]), **options)


def test_pools_that_tile_an_axis_or_a_volume():
    compare("max_pool1d", array(2, 3, 8), kernel_size=2)
    compare("avg_pool3d", array(1, 2, 4, 4, 4), kernel_size=2)
    compare("avg_pool3d", array(1, 2, 4, 4, 4), kernel_size=2, divisor_override=3)
    compare("max_pool3d", distinct(2, 4, 6, 4), kernel_size=(2, 3, 4))


@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize("size", [1, 2, (3, 5), (None, 4)])
def test_adaptive_pools(kind, size):
    compare(f"adaptive_{kind}_pool2d", distinct(2, 3, 6, 8), output_size=size)


@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize(("rank", "size"), [(1, 1), (1, 3), (1, 5), (3, 2), (3, (4, 3, 2))])
def test_adaptive_pools_of_other_ranks(kind, rank, size):
    compare(f"adaptive_{kind}_pool{rank}d", distinct(2, 3, *(6, 5, 4)[:rank]), output_size=size)
    compare(f"adaptive_{kind}_pool{rank}d", distinct(3, *(6, 5, 4)[:rank]), output_size=size)


@pytest.mark.parametrize("size", [1, 2, (3, 5)])
def test_adaptive_max_pool_sends_the_gradient_to_the_first_of_equals(size):
    compare("adaptive_max_pool2d", np.zeros((1, 1, 6, 8), np.float32), output_size=size)


IMAGE, FILTERS = (1, 3, 5, 5), (4, 3, 3, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.conv2d(am.ones(1, 2, 5, 5), am.ones(*FILTERS)), ShapeError,
         "conv2d: the input .* has 2 channels; the weight .* needs 3"),
        (lambda: F.conv2d(am.ones(1, 3, 2, 5), am.ones(*FILTERS)), ShapeError,
         "conv2d: an axis of 2 with padding 0 is shorter than the kernel of 3"),
        (lambda: F.conv2d(am.ones(5, 5), am.ones(*FILTERS)), ShapeError,
         r"need 4 dimensions each: \(batch, channels, 2 sizes\)"),
        (lambda: F.conv2d(am.ones(*IMAGE), am.ones(*FILTERS), stride=0), ArgumentError,
         "stride is 0; need an integer >= 1"),
        (lambda: F.conv2d(am.ones(*IMAGE), am.ones(*FILTERS), am.ones(3)), ShapeError,
         r"the bias is \(3,\); need \(4,\)"),
        (lambda: F.conv2d(am.ones(*IMAGE), am.ones(*FILTERS), padding="full"), ArgumentError,
         "need 'same', 'valid' or integers"),
        (lambda: F.max_pool2d(am.ones(1, 1, 4, 4), 2, padding=2), ArgumentError, "at most half"),
        (lambda: F.conv_transpose2d(am.ones(*IMAGE), am.ones(*FILTERS)), ShapeError,
         "conv_transpose2d: the input .* has 3 channels; the weight .* needs 4"),
        (lambda: F.conv_transpose2d(am.ones(5, 5), am.ones(*FILTERS)), ShapeError,
         r"need 4 dimensions each: \(batch, channels, 2 sizes\)"),
        (lambda: F.conv_transpose1d(am.ones(1, 2, 5), am.ones(2, 3, 1), am.ones(2)), ShapeError,
         r"the bias is \(2,\); need \(3,\)"),
        (lambda: F.conv_transpose1d(am.ones(1, 2, 5), am.ones(2, 3, 1), output_padding=1),
         ArgumentError, r"output_padding is \(1,\) .* need less"),
        (lambda: F.conv_transpose1d(am.ones(1, 2, 5), am.ones(2, 3, 1), padding=3), ShapeError,
         r"the result would be \(-1,\)"),
        (lambda: F.conv_transpose1d(am.ones(1, 2, 5), am.ones(2, 3, 1), groups=3), ArgumentError,
         "groups is 3 for 2 channels"),
        (lambda: F.conv_transpose1d(am.ones(1, 2, 5).double(), am.ones(2, 3, 1)), DTypeError,
         "the input is float64 and the weight float32"),
        (lambda: F.max_pool1d(am.ones(4), 2), ShapeError, r"need \(batch, channels, length\)"),
        (lambda: F.avg_pool3d(am.ones(1, 4, 4), 2), ShapeError,
         r"need \(batch, channels, depth, height, width\)"),
        (lambda: F.avg_pool3d(am.ones(1, 4, 4, 4), 5), ShapeError, "shorter than the window of 5"),
        (lambda: F.adaptive_max_pool2d(am.ones(1, 4, 4), (1, 2, 3)), ArgumentError,
         r"output_size is \(1, 2, 3\)"),
        (lambda: F.adaptive_avg_pool1d(am.ones(1, 4), 0), ArgumentError, "output_size is"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_gradients_of_filters_have_the_bits_of_one_thread(monkeypatch):
    """4704 pixels are a sum whose blocks several threads share."""
    image, filters = (RNG.normal(size=n).astype("f") for n in ((6, 6, 28, 28), (7, 6, 3, 3)))
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(config, "threads", threads)
        weight = am.tensor(filters, requires_grad=True)
        F.conv2d(am.tensor(image), weight, padding=1).square().sum().backward()
        found.append(weight.grad.numpy().tobytes())
    assert found == found[:1] * 3
