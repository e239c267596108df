"""Convolutions and pooling against torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import ambos as am
from ambos.core.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(4)


def array(*shape):
    return RNG.integers(-3, 4, shape).astype(np.float32)


def compare(ours_of, theirs_of, *arrays, rtol=1e-6):
    ours = [am.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    a, b = ours_of(*ours), theirs_of(*theirs)
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
    compare(lambda x, w, b: am.conv(x, w, b, **options),
            lambda x, w, b: F.conv2d(x, w, b, **options),
            array(2, 3, 7, 8), array(4, 3, 3, 3), array(4))  # fmt: skip


@pytest.mark.parametrize("groups", [2, 4])
def test_groups(groups):
    compare(lambda x, w: am.conv(x, w, groups=groups, padding=1),
            lambda x, w: F.conv2d(x, w, groups=groups, padding=1),
            array(2, 4, 5, 5), array(8, 4 // groups, 3, 3))  # fmt: skip


@pytest.mark.parametrize("options", [
    {}, {"stride": 2}, {"stride": 3, "padding": 1, "output_padding": 1}, {"dilation": 2},
    {"stride": 2, "groups": 2},
])  # fmt: skip
def test_conv_transpose2d(options):
    groups = options.get("groups", 1)
    compare(lambda x, w, b: am.conv_transpose(x, w, b, **options),
            lambda x, w, b: F.conv_transpose2d(x, w, b, **options),
            array(2, 4, 4, 5), array(4, 6 // groups, 3, 3), array(6))  # fmt: skip


def test_one_and_three_dimensions():
    compare(lambda x, w: am.conv(x, w, stride=2), lambda x, w: F.conv1d(x, w, stride=2),
            array(2, 3, 9), array(4, 3, 3))  # fmt: skip
    compare(am.conv, F.conv3d, array(1, 2, 4, 4, 5), array(3, 2, 2, 2, 2))
    compare(am.conv_transpose, F.conv_transpose1d, array(2, 3, 5), array(3, 2, 3))
    compare(am.conv, F.conv2d, array(3, 6, 6), array(4, 3, 2, 2))


@pytest.mark.parametrize("options", [
    {"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (2, 3), "stride": 1}, {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 1, "dilation": 2},
])  # fmt: skip
def test_max_pool(options):
    x = RNG.permutation(2 * 3 * 6 * 8).reshape(2, 3, 6, 8).astype(np.float32)
    compare(lambda x: am.max_pool(x, **options), lambda x: F.max_pool2d(x, **options), x)


@pytest.mark.parametrize("options", [
    {"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
    {"kernel_size": 2, "divisor_override": 3},
])  # fmt: skip
def test_avg_pool(options):
    compare(lambda x: am.avg_pool(x, **options), lambda x: F.avg_pool2d(x, **options),
            array(2, 3, 6, 7))  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, (3, 5), (None, 4)])
def test_adaptive_pools(size):
    x = RNG.permutation(2 * 3 * 6 * 8).reshape(2, 3, 6, 8).astype(np.float32)
    compare(lambda x: am.adaptive_avg_pool(x, size), lambda x: F.adaptive_avg_pool2d(x, size), x)
    compare(lambda x: am.adaptive_max_pool(x, size), lambda x: F.adaptive_max_pool2d(x, size), x)


def test_pools_of_other_ranks():
    compare(lambda x: am.max_pool(x, 2, rank=1), lambda x: F.max_pool1d(x, 2), array(2, 3, 8))
    compare(lambda x: am.avg_pool(x, 2, rank=3), lambda x: F.avg_pool3d(x, 2), array(1, 2, 4, 4, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: am.conv(am.ones(1, 2, 5, 5), am.ones(4, 3, 3, 3)), ShapeError,
         "conv2d: the input has 2 channels; the weight .* needs 3"),
        (lambda: am.conv(am.ones(1, 3, 2, 5), am.ones(4, 3, 3, 3)), ShapeError,
         "conv2d: a window of 3 on 2 elements"),
        (lambda: am.conv(am.ones(5, 5), am.ones(4, 3, 3, 3)), ShapeError, r"need \(N, C, H, W\)"),
        (lambda: am.conv(am.ones(1, 3, 5, 5), am.ones(4, 3, 3, 3), stride=0), ArgumentError,
         "stride=0; need an integer >= 1"),
        (lambda: am.conv(am.ones(1, 3, 5, 5), am.ones(4, 3, 3, 3), am.ones(3)), ShapeError,
         r"the bias is \(3,\); need \(4,\)"),
        (lambda: am.conv(am.ones(1, 3, 5, 5), am.ones(4, 3, 3, 3), padding="full"), ArgumentError,
         "need numbers, 'same' or 'valid'"),
        (lambda: am.max_pool(am.ones(1, 1, 4, 4), 2, padding=2), ArgumentError, "at most half"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
