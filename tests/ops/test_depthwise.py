"""Depthwise convolutions as chains of fma: the bits of the definition, whatever the layout."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos.ops.contraction import make_spec, plain
from ambos.ops.depthwise import MOST_TAPS, sums_taps_only
from ambos.ops.fused import fused_multiply_add
from ambos.runtime.loader import statistics
from tests.ops.evaluators import configured

Array = np.ndarray


def by_definition(x: Array, w: Array, stride: int, padding: int, dilation: int) -> Array:
    """Taps in row-major order, each added by one fma, from zero."""
    side = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
    padded, window = np.pad(x, side), w.shape[2]
    count = [(n - (window - 1) * dilation - 1) // stride + 1 for n in padded.shape[2:]]
    total = np.zeros((*x.shape[:2], *count), x.dtype)
    for r, s in product(range(window), repeat=2):
        rows, columns = (
            slice(tap * dilation, tap * dilation + (n - 1) * stride + 1, stride)
            for tap, n in zip((r, s), count, strict=True)
        )
        factor = w[:, 0, r, s].reshape(1, -1, 1, 1)
        total = fused_multiply_add(np, padded[:, :, rows, columns], factor, total)
    return total


CASES = [  # channels, height, width, window, stride, padding, dilation
    (32, 9, 9, 3, 1, 1, 1),
    (5, 7, 11, 3, 2, 1, 1),
    (20, 12, 9, 5, 2, 2, 1),
    (17, 8, 8, 2, 1, 0, 2),
    (16, 6, 6, 7, 1, 3, 1),
    (3, 10, 10, 3, 3, 2, 2),
    (1, 5, 5, 3, 1, 4, 1),
]


def tensors(channels: int, height: int, width: int, window: int, last: bool) -> list[am.Tensor]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, channels, height, width)).astype("float32")
    w = rng.standard_normal((channels, 1, window, window)).astype("float32")
    x[0, 0, 0, 0], w[-1, 0, 0, 0] = np.inf, 0.0
    image = am.tensor(x.transpose(0, 2, 3, 1).copy()).permute(0, 3, 1, 2) if last else am.tensor(x)
    return [image, am.tensor(w)]


@pytest.mark.parametrize("cpu", ["native", "x86-64-v3"])
@pytest.mark.parametrize("last", [True, False], ids=["channels last", "channels first"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_bits_are_those_of_the_definition(case: tuple[int, ...], last: bool, cpu: str) -> None:
    channels, height, width, window, stride, padding, dilation = case
    x, w = tensors(channels, height, width, window, last)
    wanted = by_definition(x.numpy(), w.numpy(), stride, padding, dilation)
    for threads, fuse in ((1, True), (2, True), (1, False)):
        with configured(threads=threads, fuse=fuse, cpu=cpu):
            found = F.conv2d(
                x, w, stride=stride, padding=padding, dilation=dilation, groups=channels
            )
            assert found.numpy().tobytes() == wanted.tobytes()


def test_what_follows_and_goes_before_changes_no_bit() -> None:
    x, w = tensors(24, 14, 14, 3, last=True)
    wanted = by_definition(np.maximum(x.numpy(), 0), w.numpy(), 1, 1, 1)
    found = F.relu(F.conv2d(F.relu(x), w, padding=1, groups=24) + 1.0)
    assert found.numpy().tobytes() == np.maximum(wanted + np.float32(1), 0).tobytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precisions_add_up_in_float32(dtype: str) -> None:
    x, w = (t.to(getattr(am, dtype)) for t in tensors(8, 6, 6, 3, last=True))
    wide = by_definition(*(t.to(am.float32).numpy() for t in (x, w)), 1, 1, 1)
    found = F.conv2d(x, w, padding=1, groups=8)
    assert np.array_equal(
        found.to(am.float32).numpy(),
        am.tensor(wide).to(found.dtype).to(am.float32).numpy(),
        equal_nan=True,
    )


def test_a_new_size_compiles_nothing() -> None:
    def run(batch: int, side: int) -> None:
        x = am.ones((batch, side, side, 32)).permute(0, 3, 1, 2)
        am.evaluate(F.conv2d(x, am.ones((32, 1, 3, 3)), padding=1, groups=32))

    run(2, 8)
    before = statistics.compiled
    for batch, side in ((3, 9), (5, 17), (2, 40)):
        run(batch, side)
    assert statistics.compiled == before


@pytest.mark.parametrize(
    ("change", "is_one"),
    [
        ({}, True),
        ({"out": "ngko", "b": "gkr"}, False),  # columns: a channel has several filters
        ({"contracted": "or", "out": "ng", "b": "go"}, False),  # positions are summed as well
    ],
)
def test_only_taps_are_summed(change: dict[str, str], is_one: bool) -> None:
    part = {"b": "gr", "out": "ngo", "contracted": "r"} | change
    sizes = {"n": 2, "g": 3, "o": 4, "r": 3, "k": 2}
    a = [*plain("ng"), (("o", 1), ("r", 1))]
    spec = make_spec(a, part["b"], part["out"], part["contracted"], sizes)
    assert sums_taps_only(spec) is is_one


def test_long_windows_stay_contractions() -> None:
    sizes = {"n": 1, "g": 2, "o": 3, "r": MOST_TAPS + 1}
    spec = make_spec([*plain("ng"), (("o", 1), ("r", 1))], "gr", "ngo", "r", sizes)
    assert not sums_taps_only(spec)
