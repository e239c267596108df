"""Elementary functions and counter-based random bits in scalar code, the same bits everywhere."""

from ambos.ops.elementary.attention import exp2_flushed
from ambos.ops.elementary.distance import hypot
from ambos.ops.elementary.error_function import erf, erf_slope
from ambos.ops.elementary.exponential import exp, expm1, sigmoid
from ambos.ops.elementary.hyperbolic import cosh, sinh, tanh
from ambos.ops.elementary.inverse_hyperbolic import acosh, asinh, atanh
from ambos.ops.elementary.inverse_trigonometric import acos, asin, atan, atan2
from ambos.ops.elementary.logarithm import log, log1p, logaddexp
from ambos.ops.elementary.philox import (
    normal,
    normal_pair,
    philox,
    uniform_float32,
    uniform_float64,
)
from ambos.ops.elementary.power import pow_
from ambos.ops.elementary.trigonometric import cos, sin, tan

__all__ = [
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "erf", "erf_slope",
    "exp", "exp2_flushed", "expm1", "hypot", "log", "log1p", "logaddexp", "normal",
    "normal_pair", "philox", "pow_", "sigmoid", "sin", "sinh", "tan", "tanh", "uniform_float32",
    "uniform_float64",
]  # fmt: skip
