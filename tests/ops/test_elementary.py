"""Elementary functions: accuracy against wider arithmetic, special values against NumPy, and the
same bits from NumPy and from machine code for AVX2 and for this processor."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
from mpmath import mp

from ambos.compiler.emit import emit_loop
from ambos.compiler.loops import UNIT, Apply, Buffer, Index, Load, LoopKernel, Map, Store
from ambos.core.dtype import DType, float32, float64, uint32
from ambos.core.errors import DTypeError
from ambos.ops import elementary
from ambos.testing.scalar import NumpyBuilder
from tests.compiler.harness import CPUS, compile_kernel, launch, same_bits

BUILDER = NumpyBuilder()
WIDE = {np.float32: np.float64, np.float64: np.longdouble}
FLOATS = [np.float32, np.float64]
INF, NAN = np.inf, np.nan

# name: (reference, limit in ulp for float32, for float64); measured figures are in the README.
UNARY: dict[str, tuple[Callable[..., Any], float, float]] = {
    "exp": (np.exp, 1.0, 1.0),
    "expm1": (np.expm1, 1.4, 1.4),
    "log": (np.log, 0.9, 0.9),
    "log1p": (np.log1p, 1.5, 1.5),
    "sin": (np.sin, 1.6, 0.9),
    "cos": (np.cos, 1.6, 0.9),
    "tan": (np.tan, 0.6, 2.4),
    "asin": (np.arcsin, 0.6, 2.3),
    "acos": (np.arccos, 0.6, 1.3),
    "atan": (np.arctan, 0.6, 2.0),
    "sinh": (np.sinh, 0.6, 1.9),
    "cosh": (np.cosh, 0.6, 1.6),
    "tanh": (np.tanh, 1.5, 2.7),
    "sigmoid": (scipy.special.expit, 1.5, 1.4),
}
BINARY = {"pow_": (np.power, 0.6, 1.5), "atan2": (np.arctan2, 0.6, 2.0)}
RULES: dict[str, Callable[..., Any]] = {
    name: getattr(elementary, name) for name in [*UNARY, *BINARY, "erf"]
}

needs_longdouble = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="no type wider than float64 here"
)


def run(name: str, *arrays: np.ndarray) -> np.ndarray:
    return np.asarray(BUILDER.run(RULES[name], *arrays))


def reference(function: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    wide = WIDE[arrays[0].dtype.type]
    with np.errstate(all="ignore"):
        return np.asarray(function(*[a.astype(wide) for a in arrays]))


def error_in_ulps(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """|got - exact| in units of the last place of `exact`; infinite where only one is finite."""
    info = np.finfo(got.dtype)
    with np.errstate(all="ignore"):
        rounded = exact.astype(got.dtype)
        magnitude = np.maximum(np.abs(exact), info.smallest_normal)
        unit = np.exp2(np.floor(np.log2(magnitude)) - info.nmant)
        error = np.abs(got - exact) / unit
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(same & ~np.isfinite(rounded), 0.0, np.where(np.isfinite(error), error, INF))


def finite_bits(dtype: type, size: int, random: np.random.Generator) -> np.ndarray:
    """Random bit patterns: every binade alike, subnormal numbers too."""
    word = np.uint32 if dtype is np.float32 else np.uint64
    values = random.integers(0, np.iinfo(word).max, size, dtype=word, endpoint=True).view(dtype)
    return values[np.isfinite(values)]


@cache
def samples(dtype: type, size: int = 25_000, seed: int = 0) -> np.ndarray:
    """Everywhere, and densely where something happens: 0, +-1, multiples of pi/2, the edges."""
    random = np.random.default_rng(seed)
    quarters = np.arange(-3000, 3000) * (np.longdouble(np.pi) / 2 + np.longdouble(6.1232e-17))
    near_one = 10.0 ** random.uniform(-16, 0, size)
    parts = [
        random.standard_normal(size) * 3,
        random.uniform(-1.3, 1.3, size),
        random.uniform(-110, 110, size),
        random.uniform(-760, 760, size),
        10.0 ** random.uniform(-45, 5, size),
        1 + near_one,
        1 - near_one,
        quarters,
    ]
    edges = np.array([88.72283, -87.33655, -103.97, 709.7827, -708.3965, -745.13, 710.4758])
    parts.append((edges[:, None] * (1 + np.linspace(-1e-6, 1e-6, 101))).ravel())
    return np.concatenate([finite_bits(dtype, size, random), *[p.astype(dtype) for p in parts]])


def worst(got: np.ndarray, exact: np.ndarray, *arguments: np.ndarray) -> tuple[float, str]:
    errors = error_in_ulps(got, exact)
    at = int(np.argmax(errors))
    return float(errors[at]), f"at {[a[at] for a in arguments]}: {got[at]!r}, not {exact[at]!r}"


# --- accuracy ------------------------------------------------------------------------------------


@needs_longdouble
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", UNARY)
def test_accuracy(name: str, dtype: type) -> None:
    x = samples(dtype)
    if name in ("sin", "cos", "tan") and dtype is np.float64:
        x = x[np.abs(x) <= 1e6]
    function, *limits = UNARY[name]
    error, where = worst(run(name, x), reference(function, x), x)
    assert error <= limits[dtype is np.float64], where


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "erf", "sin", "cos"])
def test_hot_functions_stay_below_two_ulps_on_a_dense_grid(name: str) -> None:
    bits = np.arange(0x38000000, 0x43000000, 499, dtype=np.uint32)  # 2^-15 to 128
    x = np.concatenate([bits, bits | np.uint32(0x80000000)]).view(np.float32)
    function = scipy.special.erf if name == "erf" else UNARY[name][0]
    error, where = worst(run(name, x), reference(function, x), x)
    assert error <= 2.0, where


def test_erf_single() -> None:
    x = samples(np.float32)
    error, where = worst(run("erf", x), scipy.special.erf(x.astype(np.float64)), x)
    assert error <= 1.6, where


@needs_longdouble
def test_erf_double_against_mpmath() -> None:
    random = np.random.default_rng(1)
    x = np.concatenate([random.uniform(0, 6, 1500), 10.0 ** random.uniform(-300, 0, 500)])
    with mp.workprec(100):
        exact = np.array([mp.nstr(mp.erf(float(v)), 25) for v in x]).astype(np.longdouble)
    error, where = worst(run("erf", x), exact, x)
    assert error <= 1.2, where


@needs_longdouble
@pytest.mark.parametrize("dtype", FLOATS)
def test_pow_accuracy(dtype: type) -> None:
    random = np.random.default_rng(2)
    size = 100_000
    x = np.concatenate([
        np.abs(finite_bits(dtype, size, random)),
        random.uniform(0.5, 2, size).astype(dtype),
        (1 + random.standard_normal(size) * 1e-3).astype(dtype),
    ])  # fmt: skip
    x = x[(x > 0) & (x != 1)]
    limit = 92 if dtype is np.float32 else 720  # logarithms of results: over both edges
    aim = random.uniform(-1.15 * limit, limit, x.size) * random.choice([1.0, 0.01], x.size)
    with np.errstate(all="ignore"):
        y = (aim / np.log(x.astype(np.longdouble))).astype(dtype)
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    error, where = worst(run("pow_", x, y), reference(np.power, x, y), x, y)
    assert error <= BINARY["pow_"][1 + (dtype is np.float64)], where


@pytest.mark.parametrize("dtype", FLOATS)
def test_pow_of_small_integers_is_exact(dtype: type) -> None:
    x, y = (v.ravel().astype(dtype) for v in np.meshgrid(np.arange(-12, 13), np.arange(0, 7)))
    np.testing.assert_array_equal(run("pow_", x, y), x**y)


@needs_longdouble
@pytest.mark.parametrize("dtype", FLOATS)
def test_atan2_accuracy(dtype: type) -> None:
    random = np.random.default_rng(3)
    y, x = random.permutation(samples(dtype)), random.permutation(samples(dtype))
    error, where = worst(run("atan2", y, x), reference(np.arctan2, y, x), y, x)
    assert error <= BINARY["atan2"][1 + (dtype is np.float64)], where


@needs_longdouble
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_large_float32_angles_keep_their_digits(name: str) -> None:
    random = np.random.default_rng(4)
    near = np.arange(1, 20_000, 7) * (np.pi / 2)  # and their like: where most cancels
    x = np.concatenate([
        random.uniform(-(2.0**23), 2.0**23, 20_000), near, near * 1e4, near * 1e20,
        [np.finfo(np.float32).max, 16367173 * 2.0**72, 2.0**16, 2.0**16 - 2.0**-8],
    ]).astype(np.float32)  # fmt: skip
    error, where = worst(run(name, x), reference(UNARY[name][0], x), x)
    assert error <= UNARY[name][1], where


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_huge_arguments_stay_bounded(name: str, dtype: type) -> None:
    y = run(name, finite_bits(dtype, 100_000, np.random.default_rng(5)))
    assert np.all(np.abs(y) <= 1)


# --- special values ------------------------------------------------------------------------------


def assert_like_numpy(got: np.ndarray, wanted: np.ndarray) -> None:
    """Equal up to rounding, and in the signs of zeros."""
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=0)
    number = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(wanted[number]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [*UNARY, "erf"])
def test_special_values(name: str, dtype: type) -> None:
    info = np.finfo(dtype)
    values = [0.0, 1.0, 2.0, 0.5, INF, info.smallest_subnormal, info.smallest_normal, 100.0, 1e4]
    if name not in ("sin", "cos", "tan") or dtype is np.float32:
        values.append(info.max)
    x = np.array([*values, *[-v for v in values], NAN], dtype)
    function = scipy.special.erf if name == "erf" else UNARY[name][0]
    with np.errstate(all="ignore"):
        wanted = function(x.astype(np.float64)).astype(dtype)
    assert_like_numpy(run(name, x), wanted)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", BINARY)
def test_special_pairs(name: str, dtype: type) -> None:
    info = np.finfo(dtype)
    values = [0, 1, 2, 0.5, 3, 2.5, INF, info.max, info.smallest_subnormal, 2.0**info.nmant + 1]
    values = [*values, *[-v for v in values], NAN]
    x, y = (v.ravel() for v in np.meshgrid(np.array(values, dtype), np.array(values, dtype)))
    with np.errstate(all="ignore"):
        wanted = BINARY[name][0](x, y)
    assert_like_numpy(run(name, x, y), wanted)


def test_exp_underflows_gradually() -> None:
    x = np.linspace(-103.5, -87.5, 2000, dtype=np.float32)
    y = run("exp", x)
    wanted = np.exp(x.astype(np.float64)).astype(np.float32)
    assert np.all(y > 0)
    assert np.all(np.abs(y.view(np.int32) - wanted.view(np.int32)) <= 1)


def test_integers_are_refused() -> None:
    with pytest.raises(DTypeError, match="need float32 or float64"):
        run("exp", np.arange(3))


# --- random numbers ------------------------------------------------------------------------------

# Random123 1.14, tests/kat_vectors, philox4x32-10: counter, key, result
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def words(text: str) -> list[Any]:
    return [BUILDER.const(int(word, 16), uint32) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS)
def test_philox_known_answers(counter: str, key: str, result: str) -> None:
    got = elementary.philox(BUILDER, *words(key), *words(counter))
    assert " ".join(f"{int(word.data):08x}" for word in got) == result


def random_words(size: int) -> tuple[np.ndarray, ...]:
    zero = np.zeros(size, np.uint32)
    counter = np.arange(size, dtype=np.uint32)
    return tuple(BUILDER.run(elementary.philox, zero, zero, counter, zero))


EDGES = np.array([0, 1, 2**31, 2**32 - 1], np.uint32)


def test_uniform_ranges_and_distribution() -> None:
    low, high, *_ = random_words(20_000)
    single = BUILDER.run(elementary.uniform_float32, low)
    double = BUILDER.run(elementary.uniform_float64, high, low)
    for values in (single, double):
        assert scipy.stats.kstest(values, "uniform").pvalue > 0.01
    assert BUILDER.run(elementary.uniform_float32, EDGES).tolist() == [0, 0, 0.5, 1 - 2.0**-24]
    top = BUILDER.run(elementary.uniform_float64, EDGES[3:], EDGES[3:])
    assert top.tolist() == [1 - 2.0**-53]


@pytest.mark.parametrize("dtype", [float32, float64])
def test_normal_distribution(dtype: DType) -> None:
    low, high, *_ = random_words(20_000)
    pair = BUILDER.run(lambda b, x, y: elementary.normal_pair(b, x, y, dtype), low, high)
    for values in pair:
        assert values.dtype == dtype.name
        assert scipy.stats.kstest(values, "norm").pvalue > 0.01
    assert abs(np.corrcoef(*pair)[0, 1]) < 0.02


@pytest.mark.parametrize("dtype", [float32, float64])
def test_normal_is_the_box_muller_transform_into_its_tails(dtype: DType) -> None:
    low, high, *_ = random_words(20_000)
    low[::2] >>= 20  # the rarest radii
    low, high = np.append(low, EDGES), np.append(high, EDGES[::-1])
    pair = BUILDER.run(lambda b, x, y: elementary.normal_pair(b, x, y, dtype), low, high)
    radius = np.sqrt(-2 * np.log((low + 0.5) * 2.0**-32))
    angle = 2 * np.pi * (high + 0.5 * (dtype is float64)) * 2.0**-32
    # Next to radius 0 a float32 uniform number next to 1 has no more digits.
    tolerance = 1e-6 if dtype is float32 else 1e-14
    sure = radius > 1e-2
    for values, wanted in zip(pair, (np.cos(angle), np.sin(angle)), strict=True):
        assert np.all(np.isfinite(values))
        exact = radius * wanted
        np.testing.assert_allclose(values[sure], exact[sure], rtol=0, atol=8 * tolerance)
    assert max(np.max(np.abs(values)) for values in pair) > 6.7


# --- machine code --------------------------------------------------------------------------------


GRAIN = 256  # elements per work item


def compiled(rule: Callable[..., Any], dtype: DType, result: DType, arity: int, cpu: str) -> int:
    """The address of `out[i] = rule(in0[i], in1[i], ...)` for `cpu`."""
    along = Index(None, ((0, UNIT),))
    loads = tuple(Load(Buffer(i + 1, dtype), along) for i in range(arity))
    tape = (*loads, Apply("f", tuple(range(arity)), result))
    store = Store(Buffer(arity + 1, result), along, arity)
    stages = (Map((), (store,)),)
    kernel = LoopKernel((0,), (0,), (), 0, arity + 2, tape, stages, arity + 3)
    return compile_kernel(emit_loop(kernel, "k", lambda op: rule), "k", cpu)


def assert_same_bits(
    rule: Callable[..., Any], dtype: DType, result: DType, arrays: tuple[np.ndarray, ...]
) -> None:
    wanted = np.asarray(BUILDER.run(rule, *arrays))
    for cpu in CPUS:
        got = np.empty(arrays[0].size, result.name)
        address = compiled(rule, dtype, result, len(arrays), cpu)
        pointers = [a.ctypes.data for a in (*arrays, got)]
        launch(address, [got.size, *pointers, GRAIN], -(-got.size // GRAIN))
        assert same_bits(got, wanted), cpu


@pytest.mark.parametrize("dtype", [float32, float64])
@pytest.mark.parametrize("name", RULES)
def test_machine_code_gives_the_bits_of_the_oracle(name: str, dtype: DType) -> None:
    storage = np.dtype(dtype.name).type
    info = np.finfo(storage)
    specials = [0.0, 1.0, 2.0, 3.0, 0.5, INF, NAN, info.smallest_subnormal, info.max, 1e10, 88.8]
    special = np.array([*specials, *[-v for v in specials]], storage)
    random = np.random.default_rng(6)
    # an odd size: the last vector is a partial one
    x = np.append(special, random.permutation(samples(storage, 3000))[:20_001])
    y = np.append(random.permutation(special), random.permutation(samples(storage, 3000))[:20_001])
    arrays = (x, y) if name in BINARY else (x,)
    assert_same_bits(RULES[name], dtype, dtype, arrays)


@pytest.mark.parametrize("dtype", [float32, float64])
def test_random_numbers_have_the_bits_of_the_oracle(dtype: DType) -> None:
    def draw(b: Any, key: Any, counter: Any) -> Any:
        first, second, third, _ = elementary.philox(b, key, counter, counter, key)
        if dtype is float32:
            uniform = elementary.uniform_float32(b, third)
        else:
            uniform = elementary.uniform_float64(b, third, first)
        a, c = elementary.normal_pair(b, first, second, dtype)
        return uniform + a * c

    size = 5001
    key = np.full(size, 7, np.uint32)
    assert_same_bits(draw, uint32, dtype, (key, np.arange(size, dtype=np.uint32) * 0x9E3779B9))
