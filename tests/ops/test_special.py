"""Special functions: accuracy against SciPy (float32) and mpmath (float64), limits, and the same
bits from NumPy and from machine code for AVX2 and for this processor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special as sp
from mpmath import mp, mpf

from ambos.core.dtype import float32, float64, int64
from ambos.ops import bessel, bits, special
from ambos.ops.kinds import Op
from ambos.testing.scalar import NumpyBuilder
from tests.ops.test_elementary import assert_same_bits, error_in_ulps, needs_longdouble

BUILDER = NumpyBuilder()
INF, NAN = np.inf, np.nan
Interval = tuple[float, float]


def _ndtri(p: Any) -> Any:
    return mp.sqrt(2) * mp.erfinv(2 * p - 1)


def _log_ndtr(x: Any) -> Any:
    tail = mp.erfc(abs(x) / mp.sqrt(2)) / 2
    return mp.log(tail) if x < 0 else mp.log1p(-tail)


def _scaled(function: Callable[..., Any], sign: int) -> Callable[..., Any]:
    return lambda x: mp.exp(sign * abs(x)) * function(x)


# op: (SciPy's function, mpmath's, where to sample, limit in ulp of float64 there). The measured
# figures are in elementary/README.md.
UNARY: dict[Op, tuple[Any, Any, list[Interval], float]] = {
    special.erfc: (sp.erfc, mp.erfc, [(-6, 0.5), (0.5, 6), (6, 26)], 4),
    special.erfcx: (sp.erfcx, lambda x: mp.exp(x * x) * mp.erfc(x), [(-5, 0), (0, 9), (9, 1e9)], 5),
    special.ndtr: (sp.ndtr, mp.ncdf, [(-37, -1), (-1, 1), (1, 9)], 5),
    special.log_ndtr: (sp.log_ndtr, _log_ndtr, [(-1e3, -1), (-1, 0.5), (0.5, 30)], 5),
    special.ndtri: (sp.ndtri, _ndtri, [(1e-9, 0.2), (0.2, 0.499), (0.501, 0.99)], 4),
    special.erfinv: (sp.erfinv, mp.erfinv, [(-0.999, -0.7), (-0.7, 0.7), (0.7, 0.99999)], 5),
    special.lgamma: (
        sp.gammaln,
        lambda x: mp.log(abs(mp.gamma(x))),
        [(1e-9, 0.9), (0.9, 1.1), (1.1, 2.4), (2.4, 8), (8, 100), (100, 1e9)],
        5,
    ),
    special.digamma: (
        sp.psi, mp.digamma, [(1e-6, 1), (1, 1.4), (1.5, 2), (2, 8), (8, 1e6), (-0.4, -1e-3)], 10
    ),
    special.trigamma: (
        lambda x: sp.polygamma(1, x),
        lambda x: mp.psi(1, x),
        [(1e-6, 0.5), (0.5, 8), (8, 1e6), (-0.9, -0.1)],
        10,
    ),
    bessel.i0: (sp.i0, lambda x: mp.besseli(0, x), [(-8, 8), (8, 700)], 6),
    bessel.i0e: (sp.i0e, _scaled(lambda x: mp.besseli(0, x), -1), [(-8, 8), (8, 1e4)], 6),
    bessel.i1: (sp.i1, lambda x: mp.besseli(1, x), [(-8, 8), (8, 700)], 6),
    bessel.i1e: (sp.i1e, _scaled(lambda x: mp.besseli(1, x), -1), [(-8, 8), (8, 1e4)], 6),
    bessel.k0: (sp.k0, lambda x: mp.besselk(0, x), [(1e-6, 2), (2, 600)], 8),
    bessel.k1: (sp.k1, lambda x: mp.besselk(1, x), [(1e-6, 2), (2, 600)], 8),
    bessel.k0e: (sp.k0e, _scaled(lambda x: mp.besselk(0, x), 1), [(1e-6, 2), (2, 1e5)], 8),
    bessel.k1e: (sp.k1e, _scaled(lambda x: mp.besselk(1, x), 1), [(1e-6, 2), (2, 1e5)], 8),
}  # fmt: skip
# Functions with zeros: the absolute error, in units of 2^-53 of the amplitude (1 / sqrt(x) or so).
WAVES: dict[Op, tuple[Any, Any, list[Interval], float]] = {
    bessel.bessel_j0: (sp.j0, lambda x: mp.besselj(0, x), [(-8, 8), (8, 500)], 8),
    bessel.bessel_j1: (sp.j1, lambda x: mp.besselj(1, x), [(-8, 8), (8, 500)], 12),
    bessel.bessel_y0: (sp.y0, lambda x: mp.bessely(0, x), [(0.05, 8), (8, 500)], 16),
    bessel.bessel_y1: (sp.y1, lambda x: mp.bessely(1, x), [(0.5, 8), (8, 500)], 12),
    bessel.airy_ai: (lambda x: sp.airy(x)[0], mp.airyai, [(-4, 2), (-30, -4)], 300),
}
RULES = {op: op.lower for op in (*UNARY, *WAVES)}
IN_SINGLE = {special.erfinv: 2.0}  # computed in float32, and the limit in ulp of it


def run(op: Op, *arrays: np.ndarray) -> np.ndarray:
    return np.asarray(BUILDER.run(op.lower, *arrays))


def exact(function: Callable[..., Any], *arrays: np.ndarray, bits: int = 140) -> np.ndarray:
    with mp.workprec(bits):
        rows = zip(*[a.tolist() for a in arrays], strict=True)
        values = [mp.nstr(function(*map(mpf, row)), 25) for row in rows]
    return np.array(values).astype(np.longdouble)


def points(interval: Interval, count: int, dtype: type, seed: int = 0) -> np.ndarray:
    low, high = interval
    random = np.random.default_rng(seed)
    if low > 0 and high / low > 1e3:
        found = np.exp(random.uniform(np.log(low), np.log(high), count))
    else:
        found = random.uniform(low, high, count)
    return found.astype(dtype)


@needs_longdouble
@pytest.mark.parametrize("op", UNARY, ids=lambda op: op.name)
def test_accuracy_of_float64(op: Op) -> None:
    _, function, intervals, limit = UNARY[op]
    for interval in intervals:
        x = points(interval, 60, np.float64)
        errors = error_in_ulps(run(op, x), exact(function, x))
        at = int(errors.argmax())
        assert errors[at] <= limit, (interval, x[at])


@pytest.mark.parametrize("op", UNARY, ids=lambda op: op.name)
def test_accuracy_of_float32(op: Op) -> None:
    function, _, intervals, _ = UNARY[op]
    for interval in intervals:
        x = points(interval, 3000, np.float32)
        wanted = function(x.astype(np.float64))
        keep = (np.abs(wanted) < 3e38) & (np.abs(wanted) > 1e-37)
        errors = error_in_ulps(run(op, x)[keep], wanted[keep])
        at = int(errors.argmax())
        assert errors[at] <= IN_SINGLE.get(op, 0.51), (interval, x[keep][at])


@needs_longdouble
@pytest.mark.parametrize("op", WAVES, ids=lambda op: op.name)
def test_absolute_error_of_waves(op: Op) -> None:
    _, function, intervals, limit = WAVES[op]
    for interval in intervals:
        x = points(interval, 60, np.float64)
        amplitude = 1 / np.sqrt(np.maximum(np.abs(x), 1))
        # A rounding of the argument moves the wave by that much.
        unit = 2.0**-53 * np.maximum(amplitude, 1e-2)
        errors = np.abs(run(op, x) - exact(function, x)) / unit
        assert errors.max() <= limit, (interval, x[int(errors.argmax())])


@needs_longdouble
def test_airy_to_the_right_has_a_small_relative_error() -> None:
    x = points((2, 50), 60, np.float64)
    errors = error_in_ulps(run(bessel.airy_ai, x), exact(mp.airyai, x))
    assert errors.max() < 600  # exp(-zeta) of a rounded zeta


LIMITS = {
    special.lgamma: sp.gammaln, special.erfc: sp.erfc, special.erfcx: sp.erfcx,
    special.ndtr: sp.ndtr, special.log_ndtr: sp.log_ndtr, special.ndtri: sp.ndtri,
    special.erfinv: sp.erfinv, bessel.i0: sp.i0, bessel.i0e: sp.i0e, bessel.i1: sp.i1,
    bessel.i1e: sp.i1e, bessel.k0: sp.k0, bessel.k1: sp.k1, bessel.k0e: sp.k0e,
    bessel.k1e: sp.k1e, bessel.bessel_j0: sp.j0, bessel.bessel_j1: sp.j1,
    bessel.bessel_y0: sp.y0, bessel.bessel_y1: sp.y1,
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", LIMITS, ids=lambda op: op.name)
def test_limits(op: Op, dtype: type) -> None:
    values = [0.0, 1.0, 2.0, 0.5, 3.0, 100.0, 1000.0, INF, NAN, np.finfo(dtype).tiny]
    x = np.array([*values, *[-v for v in values]], dtype)
    with np.errstate(all="ignore"):
        wanted = LIMITS[op](x.astype(np.float64)).astype(dtype)
    waves = op in WAVES
    if op is special.lgamma:  # C99's and PyTorch's; SciPy gives -inf
        wanted[x == -INF] = INF
    if waves:  # SciPy gives nan
        wanted[np.isinf(x) & ((x > 0) | (op in (bessel.bessel_j0, bessel.bessel_j1)))] = 0
    np.testing.assert_allclose(run(op, x), wanted, rtol=1e-6, atol=1e-14 if waves else 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_poles_of_the_gamma_functions(dtype: type) -> None:
    x = np.array([0.0, -0.0, -1.0, -2.0, INF, -INF, NAN], dtype)
    np.testing.assert_array_equal(
        run(special.digamma, x), np.array([-INF, INF, NAN, NAN, INF, NAN, NAN], dtype)
    )
    np.testing.assert_array_equal(run(special.trigamma, x)[:5], [INF, INF, INF, INF, 0])


@needs_longdouble
def test_zeta() -> None:
    random = np.random.default_rng(1)
    s = np.concatenate([random.uniform(1.01, 8, 40), random.uniform(8, 120, 40)])
    q = np.exp(random.uniform(-3, 6, 80))
    errors = error_in_ulps(run(special.zeta, s, q), exact(mp.zeta, s, q, bits=600))
    assert errors.max() <= 12
    s, q = np.float64([2, 3, 4, 5, 2.5]), np.float64([-0.5, -3.25, -20.5, -7.75, 1])
    wanted = exact(
        lambda s, q: mp.fsum((q + k) ** -s for k in range(30)) + mp.zeta(s, q + 30), s, q
    )
    np.testing.assert_allclose(run(special.zeta, s, q), wanted.astype(float), rtol=1e-13)
    x = np.float64([1.0, 0.5, 2.0, 2.5, 2.0, NAN])
    y = np.float64([2.0, 2.0, -3.0, -0.5, NAN, 1.0])
    np.testing.assert_array_equal(run(special.zeta, x, y), [INF, NAN, INF, NAN, NAN, NAN])


SHAPES = [(1e-8, 1e-2), (0.01, 1.0), (1.0, 8.0), (8.0, 90.0), (90.0, 400.0), (400.0, 3e4)]


@needs_longdouble
@pytest.mark.parametrize("interval", SHAPES)
def test_incomplete_gamma(interval: Interval) -> None:
    """Both, at x far left of a, next to it, and right of it. The error grows with the logarithm
    of the density, like that of any product of powers."""
    a = points(interval, 40, np.float64)
    random = np.random.default_rng(3)
    spread = random.uniform(-5, 5, 40) * np.sqrt(a + 0.1)
    x = np.maximum(a + spread, np.exp(random.uniform(-6, 0, 40)))
    for op, bounds in ((special.igamma, (0, None)), (special.igammac, (None, mp.inf))):

        def share(a: Any, x: Any, bounds: Any = bounds) -> Any:
            low, high = (x if bound is None else bound for bound in bounds)
            return mp.gammainc(a, low, high, regularized=True)

        wanted = exact(share, a, x)
        error = np.abs(run(op, a, x) / wanted - 1).astype(float)
        assert error.max() <= 4e-14 * max(1.0, interval[1] / 400), (op.name, a[error.argmax()])


def test_incomplete_gamma_of_float32() -> None:
    random = np.random.default_rng(4)
    a = np.exp(random.uniform(-5, 7, 4000)).astype(np.float32)
    x = np.exp(random.uniform(-5, 7, 4000)).astype(np.float32)
    for op, function in ((special.igamma, sp.gammainc), (special.igammac, sp.gammaincc)):
        wanted = function(a.astype(float), x.astype(float))
        keep = wanted > 1e-30
        assert error_in_ulps(run(op, a, x)[keep], wanted[keep]).max() < 0.6


def test_gamma_slope_against_torch() -> None:
    import torch

    random = np.random.default_rng(10)
    a = np.exp(random.uniform(-4, 9, 2000))
    x = random.gamma(a)
    keep = x > 1e-200
    wanted = torch._standard_gamma_grad(torch.tensor(a), torch.tensor(x)).numpy()
    # PyTorch's own approximations are good to a thousandth.
    np.testing.assert_allclose(run(special.gamma_slope, a, x)[keep], wanted[keep], rtol=2e-3)


@pytest.mark.parametrize("a", [0.2, 1.0, 7.0, 300.0, 3e4, 2e5])
def test_gamma_slope_is_the_movement_of_quantiles(a: float) -> None:
    shares = np.array([0.01, 0.3, 0.5, 0.9, 0.999])
    step = 1e-4 * a
    below, above = (sp.gammaincinv(a + s, shares) for s in (-step, step))
    x = sp.gammaincinv(a, shares)
    found = run(special.gamma_slope, np.full(5, a), x)
    np.testing.assert_allclose(found, (above - below) / (2 * step), rtol=1e-6, atol=1e-7)


def test_limits_of_the_incomplete_gamma_functions() -> None:
    a = np.float64([0, 0, 1, 1, INF, INF, 1, -1, NAN, 2, 2])
    x = np.float64([0, 1, 0, INF, 1, INF, -1, 1, 1, NAN, 1e300])
    lower = [NAN, 1, 0, 1, 0, NAN, NAN, NAN, NAN, NAN, 1]
    np.testing.assert_array_equal(run(special.igamma, a, x), lower)
    np.testing.assert_array_equal(run(special.igammac, a, x), [1 - v for v in lower])


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("chebyshev_polynomial_t", sp.eval_chebyt), ("chebyshev_polynomial_u", sp.eval_chebyu),
        ("shifted_chebyshev_polynomial_t", sp.eval_sh_chebyt),
        ("shifted_chebyshev_polynomial_u", sp.eval_sh_chebyu),
        ("hermite_polynomial_h", sp.eval_hermite), ("hermite_polynomial_he", sp.eval_hermitenorm),
        ("laguerre_polynomial_l", sp.eval_laguerre), ("legendre_polynomial_p", sp.eval_legendre),
    ],
)  # fmt: skip
def test_orthogonal_polynomials(name: str, function: Callable[..., Any]) -> None:
    from ambos.ops import registry

    x = np.random.default_rng(5).uniform(0, 1, 200)
    n = np.arange(200) % 14
    scale = np.maximum(np.abs(function(n, x)), 1e-2 * np.abs(function(n, 1.5)))
    error = np.abs(run(registry[name], x, n.astype(float)) - function(n, x)) / scale
    assert error.max() < 1e-11
    edge = run(registry[name], x[:3], np.float64([-1, 0, NAN]))
    np.testing.assert_array_equal(edge, [0, 1, NAN])


# --- bits ----------------------------------------------------------------------------------------

FEW = [0.0, -0.0, 1.0, -1.5, 3.0, 1e-45, -1e-45, 1e-310, 3e38, 1.7e308, INF, -INF, NAN]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbours_and_signs(dtype: type) -> None:
    with np.errstate(over="ignore"):
        few = np.array(FEW, dtype)
    x, y = (v.ravel() for v in np.meshgrid(few, few))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(run(bits.nextafter, x, y), np.nextafter(x, y))
    np.testing.assert_array_equal(run(bits.copysign, x, y), np.copysign(x, y))
    np.testing.assert_array_equal(run(bits.signbit, few), np.signbit(few))
    assert run(bits.signbit, -few[-1:]).item()


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_gcd(dtype: type) -> None:
    random = np.random.default_rng(6)
    high = min(np.iinfo(dtype).max, 1 << 40)
    x, y = random.integers(0, high, (2, 500)).astype(dtype)
    x[:5], y[3:8] = 0, 0
    if dtype is not np.uint8:
        x = -x
    np.testing.assert_array_equal(run(bits.gcd, x, y), np.gcd(x, y))


# --- machine code --------------------------------------------------------------------------------

PAIRS: list[Op] = [
    special.zeta, special.igamma, special.igammac, special.gamma_density,
    special.gamma_slope, bits.nextafter,
]  # fmt: skip


@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda d: d.name)
@pytest.mark.parametrize("op", RULES, ids=lambda op: op.name)
def test_machine_code_gives_the_bits_of_the_oracle(op: Op, dtype: Any) -> None:
    random = np.random.default_rng(7)
    x = np.concatenate([FEW[:7], FEW[10:], random.uniform(-12, 12, 300), random.uniform(0, 1, 186)])
    assert_same_bits(op.lower, dtype, dtype, (x.astype(dtype.name),))


@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda d: d.name)
@pytest.mark.parametrize("op", PAIRS, ids=lambda op: op.name)
def test_machine_code_of_pairs(op: Op, dtype: Any) -> None:
    """Lanes that loop for long beside lanes that do not."""
    random = np.random.default_rng(8)
    few = np.array([0.0, -1.0, 1.0, INF, NAN, 0.5, 3.0])
    x, y = (v.ravel() for v in np.meshgrid(few, few))
    x = np.concatenate([x, np.exp(random.uniform(-4, 6, 208))]).astype(dtype.name)
    y = np.concatenate([y, np.exp(random.uniform(-4, 6, 208))]).astype(dtype.name)
    assert_same_bits(op.lower, dtype, dtype, (x, y))


def test_machine_code_of_gcd() -> None:
    x, y = np.random.default_rng(9).integers(-(1 << 62), 1 << 62, (2, 333))
    y[::7] = 0
    assert_same_bits(bits.gcd.lower, int64, int64, (x, y))
