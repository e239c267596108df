"""Orthogonal polynomials by their recurrences, for whole numbers n up to 4096 (0 for n < 0)."""

from __future__ import annotations

from collections.abc import Callable

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float64
from ambos.ops.elementary.formats import in_double

LARGEST = 1 << 12  # beyond it nan

Step = Callable[[Value, Value, Value, Value], Value]
Start = Callable[[Value], Value]
Rule = Callable[..., Value]


def polynomial(second: Start, step: Step, shifted: bool = False) -> Rule:
    """The rule p(b, x, n) with p(0) = 1, p(1) = second(x) and
    p(k + 1) = step(x, k, p(k), p(k - 1)), of 2 x - 1 if it is shifted."""

    def rule(b: Builder, x: Value, n: Value) -> Value:
        if shifted:
            x = b.fma(x, 2.0, -1.0)
        n = b.trunc(n)
        n = b.select(n > LARGEST, float("nan"), n)
        one = b.const(1.0, float64)

        def turn(k: Value, last: Value, before: Value) -> tuple[Value, ...]:
            following = k + 1.0
            return following < n, following, step(x, k, last, before), last

        first = second(x)
        # A lane that needs no turn gets one (the loop asks afterwards) and ignores it.
        found = b.repeat(LARGEST, turn, one, first, one)[1]
        y = b.select(n > 1.0, found, b.select(n.eq(1.0), first, one))
        return b.select(n < 0.0, 0.0, b.select(n.ne(n), n, y))

    rule.__module__ = __name__
    return in_double(rule)


def _chebyshev(x: Value, k: Value, last: Value, before: Value) -> Value:
    return x * 2.0 * last - before


def _hermite_h(x: Value, k: Value, last: Value, before: Value) -> Value:
    return (x * last - k * before) * 2.0


def _hermite_he(x: Value, k: Value, last: Value, before: Value) -> Value:
    return x * last - k * before


def _laguerre(x: Value, k: Value, last: Value, before: Value) -> Value:
    return ((k * 2.0 + 1.0 - x) * last - k * before) / (k + 1.0)


def _legendre(x: Value, k: Value, last: Value, before: Value) -> Value:
    return ((k * 2.0 + 1.0) * x * last - k * before) / (k + 1.0)


STARTS: dict[str, Start] = {
    "t": lambda x: x, "u": lambda x: x * 2.0, "v": lambda x: x * 2.0 - 1.0,
    "w": lambda x: x * 2.0 + 1.0,
}  # fmt: skip
POLYNOMIALS: dict[str, tuple[Start, Step, bool]] = {
    f"{prefix}chebyshev_polynomial_{kind}": (start, _chebyshev, bool(prefix))
    for prefix in ("", "shifted_")
    for kind, start in STARTS.items()
} | {
    "hermite_polynomial_h": (lambda x: x * 2.0, _hermite_h, False),
    "hermite_polynomial_he": (lambda x: x, _hermite_he, False),
    "laguerre_polynomial_l": (lambda x: 1.0 - x, _laguerre, False),
    "legendre_polynomial_p": (lambda x: x, _legendre, False),
}
rules: dict[str, Rule] = {name: polynomial(*facts) for name, facts in POLYNOMIALS.items()}
