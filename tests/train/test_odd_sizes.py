"""Functional models of lengths that nothing divides: what layers make of two sizes differs there,
though it is alike for even ones. PyTorch runs the same lines on data."""

import copy

import numpy as np
import pytest
import torch

import ambos as am
import ambos.nn.functional as F
from ambos import nn
from ambos.core.errors import AmbosError, ArgumentError, ShapeError

STREAM = np.random.RandomState(0)


def layers(nn, functional, join):
    """Modules that make sizes of their own, for both frameworks."""

    class Layer(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, *given):
            return self.function(*given)

    class Block(nn.Module):  # has weights
        def __init__(self, channels, filters):
            super().__init__()
            self.conv = nn.Conv1d(channels, filters, 3, padding=1)

        def forward(self, x):
            return self.conv(x).relu()

    def fitted(x, y):
        n = min(x.shape[2], y.shape[2])
        return x[:, :, :n] + y[:, :, :n]

    parts = {
        "padded": Layer(lambda x: functional.pad(x, (0, -x.shape[2] % 8))),
        "even": Layer(lambda x: x[:, :, : x.shape[2] // 2 * 2]),
        "pairs": Layer(lambda x: x[: len(x) // 2 * 2].reshape(-1, 2, *x.shape[1:]).sum(1)),
        "whole": Layer(lambda x: x[: len(x) // 2 * 2]),
        "short": Layer(lambda x: x[:, :, :512]),
        "last": Layer(lambda x: x[:, :, -100:]),
        "fitted": Layer(fitted),
        "half": nn.Conv1d(2, 2, 3, stride=2, padding=1), "pool": nn.MaxPool1d(2),
        "ceil": nn.MaxPool1d(2, ceil_mode=True), "twice": nn.Upsample(scale_factor=2),
        "up": nn.ConvTranspose1d(2, 2, 2, stride=2), "linear": nn.Linear(100, 3),
        "first": Block(2, 3), "deep": Block(3, 4), "deeper": Block(4, 5),
        "back": Block(9, 4), "out": Block(7, 2),
    }  # fmt: skip
    return parts, join


def inception(at, join, x):
    return join([at["half"](x).mean(2), at["pool"](x).mean(2), at["ceil"](x).mean(2)], 1)


def added(at, join, x):
    return at["half"](x) + at["ceil"](x) * 2


def autoencoder(at, join, x):
    code = at["half"](x)
    again = at["up"](code)
    return join([again.sum(2), at["twice"](at["pool"](x)).sum(2), at["even"](x).sum(2)], 1)


def cropped(at, join, x):
    return at["half"](at["padded"](x))[:, :, : x.shape[2]] + at["padded"](x).sum(2)[:, :, None]


def limited(at, join, x):
    short, last = at["short"](x), at["last"](x)
    return short.sum(2) / short.shape[2] + last.sum(2) * last.shape[2] + x[:, :, :300].mean(2)


def rows(at, join, x):
    return join([at["pairs"](x).sum(2), at["whole"](x).sum(2) * at["whole"](x).shape[0]], 0)


def fitting(at, join, x):
    return at["fitted"](x, at["half"](x)) + at["fitted"](at["half"](x), x)


def unet(at, join, x):
    """Two levels down, and up again with what comes back too long cut off."""
    fine = at["first"](x)
    middle = at["deep"](at["pool"](fine))
    coarse = at["deeper"](at["ceil"](middle))
    up = at["twice"](coarse)[:, :, : middle.shape[2]]
    back = at["back"](join([up, middle], 1))
    up = at["twice"](join([back, back[:, :, -1:]], 2))[:, :, : fine.shape[2]]
    return at["out"](join([up, fine], 1)) / x.shape[2] + x


def levels(at, join, x):
    """The same without crops, of lengths that are divided by four."""
    fine = at["first"](x)
    middle = at["deep"](at["pool"](fine))
    back = at["back"](join([at["twice"](at["deeper"](at["pool"](middle))), middle], 1))
    return at["out"](join([at["twice"](back), fine], 1)) + x


MODELS = {
    "inception": (inception, (1, 2, 9, 10, 31)), "added": (added, (1, 2, 9, 10)),
    "autoencoder": (autoencoder, (2, 3, 9, 10, 31)), "cropped": (cropped, (1, 7, 8, 13, 40)),
    "limited": (limited, (1, 50, 100, 299, 300, 301, 512, 600, 901)), "rows": (rows, (3, 4)),
    "fitting": (fitting, (1, 2, 7)), "unet": (unet, range(1, 41)), "levels": (levels, range(1, 41)),
}  # fmt: skip


def torch_of(parts):
    """PyTorch's layers with the weights of these."""
    theirs, join = layers(torch.nn, torch.nn.functional, torch.cat)
    for name, part in parts.items():
        state = {key: torch.tensor(value.numpy()) for key, value in part.state_dict().items()}
        theirs[name].load_state_dict(state)
    return theirs, join


@pytest.mark.parametrize("case", MODELS)
def test_it_computes_what_pytorch_does_for_odd_lengths(case):
    made, lengths = MODELS[case]
    am.manual_seed(0)
    mine, join = layers(nn, F, am.concatenate)
    theirs, their_join = torch_of(mine)
    x = am.Input((2, None))
    model = am.Model(x, made(mine, join, x))
    models = model, copy.deepcopy(model)
    refused = 0
    for length in lengths:
        data = STREAM.rand(length % 3 + 1, 2, length).astype("f")
        try:
            with torch.no_grad():
                wanted = made(theirs, their_join, torch.tensor(data)).numpy()
        except RuntimeError:
            refused += 1
            with pytest.raises(AmbosError):
                model(am.tensor(data)).numpy()
            continue
        for one in models:
            np.testing.assert_allclose(
                one(am.tensor(data)).numpy(), wanted, 1e-5, 1e-5, err_msg=length
            )
    assert refused < len(lengths)


def test_lengths_of_two_inputs_differ_behind_layers_too():
    a, b = am.Input((2, None)), am.Input((2, None))
    half = nn.Conv1d(2, 2, 3, stride=2)
    model = am.Model([a, b], [half(a), half(b), half(a).sum(2) + half(b).sum(2)])
    found = model(am.ones(1, 2, 7), am.ones(1, 2, 10))
    assert [part.shape for part in found] == [(1, 2, 3), (1, 2, 4), (1, 2)]
    assert (half(a).shape, half(nn.Conv1d(2, 2, 1)(a)).shape) == (half(a).shape, half(a).shape)


def test_images_of_odd_sizes():
    """Keras's: MaxPooling2D and UpSampling2D, at 31 by 30."""
    x = am.Input((3, None, None))
    small = nn.Upsample(scale_factor=2)(nn.MaxPool2d(2)(x))
    model = am.Model(x, [small, small + x])
    assert am.Model(x, small)(am.ones(1, 3, 31, 30)).shape == (1, 3, 30, 30)
    assert model(am.ones(1, 3, 8, 12))[1].shape == (1, 3, 8, 12)
    with pytest.raises(ShapeError, match=r"gets \(1, 3, 30, 30\)"):
        model(am.ones(1, 3, 31, 30))


class Patches(nn.Module):
    """Takes no lengths but those that 16 divides."""

    def forward(self, x):
        assert x.shape[1] % 16 == 0
        return x.reshape(x.shape[0], x.shape[1] // 16, 16, 2).flatten(2)


def test_a_module_may_refuse_lengths_that_nothing_divides():
    x = am.Input((None, 2))
    found = nn.Linear(32, 3)(Patches()(x))
    assert str(found.shape) == "(N, M, 3)"
    assert am.Model(x, found)(am.ones(2, 48, 2)).shape == (2, 3, 3)


class Several(nn.Module):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, x):
        return [x] * self.number(x.shape[1])


def test_as_many_results_for_any_size():
    x = am.Input((None,))
    for number in (lambda n: 1 + n % 2, lambda n: 1 if n == 224 else 2):
        with pytest.raises(ArgumentError, match="how many tensors it returns"):
            Several(number)(x)
    few = am.Model(x, Several(lambda n: 1 if n > 50 else 2)(x)[0])
    with pytest.raises(ShapeError, match="returns 2 tensors; it was drawn with 1"):
        few(am.ones(2, 3))


FUNCTIONS = {
    "to eights": lambda F, x: F.pad(x, (0, -x.shape[2] % 8)),
    "by its length": lambda F, x: F.pad(x, (x.shape[2] // 2, 1 - x.shape[2] // 3), value=2.0),
    "rows": lambda F, x: F.pad(x, (1, 0, 0, x.shape[2])),
    "doubled": lambda F, x: F.interpolate(x, scale_factor=2),
    "fourfold": lambda F, x: F.interpolate(x, scale_factor=4.0, mode="nearest-exact"),
    "pooled": lambda F, x: F.max_pool1d(x, 2), "averaged": lambda F, x: F.avg_pool1d(x, 3, 2),
    "keys and values": lambda F, x: F.scaled_dot_product_attention(
        x.transpose(1, 2), F.interpolate(F.max_pool1d(x, 2), scale_factor=2).transpose(1, 2),
        F.pad(x[:, :, ::2], (0, x.shape[2] // 2)).transpose(1, 2),
    ),
    "upsampled": lambda F, x: F.interpolate(F.max_pool1d(x, 2), scale_factor=2) + x,
}  # fmt: skip


@pytest.mark.parametrize("case", FUNCTIONS)
def test_functions_between_layers(case):
    function, x = FUNCTIONS[case], am.Input((2, None))
    model = am.Model(x, function(F, x))
    for length in (1, 2, 3, 4, 8, 9, 16, 31):
        data = STREAM.rand(2, 2, length).astype("f")
        try:
            wanted = function(torch.nn.functional, torch.tensor(data)).numpy()
        except RuntimeError:
            with pytest.raises(AmbosError):
                model(am.tensor(data)).numpy()
            continue
        np.testing.assert_allclose(model(am.tensor(data)).numpy(), wanted, 1e-6, err_msg=length)


def test_what_may_be_equal_is_stacked_and_expanded():
    x = am.Input((2, None))
    one, other = nn.Conv1d(2, 2, 3, stride=2, padding=1)(x), nn.MaxPool1d(2)(x)
    wide = one[:, :1].expand(other.shape) * other
    for made in (am.stack([one, other]), wide, one + other, one @ other.mT):
        model = am.Model(x, made)
        assert model(am.ones(3, 2, 8)).numpy().any()
        with pytest.raises(ShapeError, match=r"drawn as .* gets \(3, "):
            model(am.ones(3, 2, 9))
