"""Random numbers: published vectors, distributions, independence of what they are drawn with."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from ambos.core.dtype import DType, bfloat16, float16, float32, float64, int32, uint32
from ambos.core.errors import DTypeError
from ambos.graph.node import Node
from ambos.ops import random
from ambos.ops.kinds import constant
from ambos.ops.sources import data
from ambos.testing.reference import evaluate
from ambos.testing.scalar import NumpyBuilder

# Random123's kat_vectors, "philox2x32 10": counter words, key, result words.
KNOWN = [
    ((0x00000000, 0x00000000), 0x00000000, (0xFF1DAE59, 0x6CD10DF2)),
    ((0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF, (0x2C3F628B, 0xAB4FD7AD)),
    ((0x243F6A88, 0x85A308D3), 0x13198A2E, (0xDD7CE038, 0xF62A4C12)),
]
DRAWS = 200_000


def word(value: int) -> np.ndarray:
    return np.array([value], np.uint32)


def key(low: int, high: int = 0) -> Node:
    return data.leaf(np.array([low, high], np.uint32), (2,), uint32)


def drawn(node: Node) -> np.ndarray:
    return evaluate([node])[0]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_gives_the_published_words(counter: tuple, key: int, expected: tuple) -> None:
    """The position is the first counter word, the stream the second."""
    position, stream = counter
    words = word(key), word(stream), word(position)
    rule = NumpyBuilder().run(random.philox_rounds, *words)
    assert tuple(int(w[0]) for w in rule) == expected
    node = random.BITS(*[data.leaf(w, (1,), uint32) for w in words])
    assert int(drawn(node)[0]) == expected[0]


@pytest.mark.parametrize(
    "op", [random.BITS, random.UNIFORM32, random.UNIFORM64, random.NORMAL32, random.NORMAL64],
    ids=lambda op: op.name,
)  # fmt: skip
def test_rule_and_reference_draw_the_same(op: random.Random) -> None:
    rng = np.random.default_rng(0)
    words = [rng.integers(0, 1 << 32, 4000, dtype=np.uint32) for _ in range(3)]
    expected = op.ref(np, *words)
    found = NumpyBuilder().run(op.lower, *words)
    assert found.dtype == expected.dtype
    if "normal" in op.name:
        # The angle is off by up to 2**-33 of a turn, and float32 rounds the radius.
        scale = 2e-6 if op.result is float32 else 1e-8
        np.testing.assert_allclose(found, expected, rtol=scale, atol=scale)
    else:
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda d: d.name)
def test_uniform_is_uniform(dtype: DType) -> None:
    x = drawn(random.uniform(key(1), (DRAWS,), dtype))
    assert x.min() >= 0
    assert x.max() < 1
    assert scipy.stats.kstest(x, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / np.sqrt(DRAWS)
    assert len(np.unique(x)) > (0.99 if dtype is float32 else 0.9999) * DRAWS


@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda d: d.name)
def test_normal_is_normal(dtype: DType) -> None:
    x = drawn(random.normal(key(2), (DRAWS,), dtype)).astype(np.float64)
    assert np.isfinite(x).all()
    assert scipy.stats.kstest(x, "norm").pvalue > 0.01
    assert abs(scipy.stats.skew(x)) < 4 * np.sqrt(6 / DRAWS)
    assert abs(scipy.stats.kurtosis(x)) < 4 * np.sqrt(24 / DRAWS)
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / np.sqrt(DRAWS)


def test_bits_are_fair() -> None:
    x = drawn(random.bits(key(3), (DRAWS,)))
    assert x.dtype == np.uint32
    for bit in range(32):
        ones = int(((x >> np.uint32(bit)) & 1).sum())
        assert abs(ones - DRAWS / 2) < 4.5 * np.sqrt(DRAWS) / 2, bit


@pytest.mark.parametrize("dtype", [float16, bfloat16], ids=lambda d: d.name)
def test_halves_are_float32_draws_cut_short(dtype: DType) -> None:
    """Rounding to nearest would draw 1.0 now and then."""
    x = drawn(random.uniform(key(4), (DRAWS,), dtype)).astype(np.float64)
    wide = drawn(random.uniform(key(4), (DRAWS,), float32)).astype(np.float64)
    assert x.max() < 1
    assert (x <= wide).all()
    assert np.abs(x - wide).max() <= (2.0**-11 if dtype is float16 else 2.0**-8)
    normal = drawn(random.normal(key(4), (50,), dtype))
    assert np.isfinite(normal.astype(np.float32)).all()


def test_keys_and_streams_give_other_numbers() -> None:
    several = [drawn(random.uniform(k, (1000,), float32)) for k in
               (key(5), key(6), key(5, 1), key(5, 2))]  # fmt: skip
    for i, a in enumerate(several):
        for b in several[:i]:
            assert abs(np.corrcoef(a, b)[0, 1]) < 4.5 / np.sqrt(1000)


def test_the_shape_does_not_matter_to_the_numbers() -> None:
    flat = drawn(random.uniform(key(7), (24,), float32))
    assert np.array_equal(drawn(random.uniform(key(7), (2, 3, 4), float32)).ravel(), flat)
    assert np.array_equal(drawn(random.uniform(key(7), (5,), float32)), flat[:5])


def test_permutation() -> None:
    order = drawn(random.permutation(key(8), 1000))
    assert sorted(order) == list(range(1000))
    assert abs(scipy.stats.spearmanr(order, range(1000)).statistic) < 4.5 / np.sqrt(1000)


def test_words_must_be_uint32() -> None:
    signed = constant(0, int32, (1,))
    with pytest.raises(DTypeError, match="random_bits: key, stream and position must be uint32"):
        random.BITS(signed, signed, signed)
