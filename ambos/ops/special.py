"""Special functions, elementwise. Accuracy: `elementary/README.md`.

NumPy has none of them, so their reference is the scalar rule itself (`BY_RULE`), which
`tests/ops/test_special.py` holds against SciPy and mpmath.
"""

from __future__ import annotations

import math

from ambos.graph.node import Node
from ambos.ops.arithmetic import add, divide, multiply, negative, subtract
from ambos.ops.elementary import gamma as gammas
from ambos.ops.elementary import gaussian, incomplete_gamma, orthogonal
from ambos.ops.functions import exp, log
from ambos.ops.kinds import BY_RULE, Grads, Pointwise, constant_like

# --- the normal distribution ---------------------------------------------------------------------


def _times(x: Node, factor: float) -> Node:
    return multiply(x, constant_like(x, factor))


def _bell(x: Node, factor: float, sign: float = -1.0) -> Node:
    """exp(sign factor x^2)."""
    return exp(_times(multiply(x, x), sign * factor))


class Erfc(Pointwise):
    """1 - erf(x), to full accuracy in the right tail."""

    cost, lower, ref = 40, gaussian.erfc, BY_RULE
    partials = lambda op, out, x: (_times(_bell(x, 1.0), -2 / math.sqrt(math.pi)),)


class Erfcx(Pointwise):
    """exp(x^2) erfc(x), which does not underflow."""

    cost, lower, ref, domain = 40, gaussian.erfcx, BY_RULE, (-1.0, 5.0)
    partials = lambda op, out, x: (
        subtract(_times(multiply(x, out), 2.0), constant_like(x, 2 / math.sqrt(math.pi))),
    )


class Erfinv(Pointwise):
    """The inverse of erf, of -1 <= x <= 1."""

    cost, lower, ref, domain = 60, gaussian.erfinv, BY_RULE, (-0.95, 0.95)
    partials = lambda op, out, x: (_times(_bell(out, 1.0, 1.0), math.sqrt(math.pi) / 2),)


class Ndtr(Pointwise):
    """The share of the standard normal distribution below x."""

    cost, lower, ref = 40, gaussian.ndtr, BY_RULE
    partials = lambda op, out, x: (_times(_bell(x, 0.5), 1 / math.sqrt(2 * math.pi)),)


class LogNdtr(Pointwise):
    """The logarithm of the share of the standard normal distribution below x."""

    cost, lower, ref = 60, gaussian.log_ndtr, BY_RULE

    def vjp(self, node: Node, g: Node) -> Grads:
        scaled = erfcx(_times(node.inputs[0], -math.sqrt(0.5)))
        return (divide(_times(g, math.sqrt(2 / math.pi)), scaled),)


class Ndtri(Pointwise):
    """The x below which a share p of the standard normal distribution lies, of 0 <= p <= 1."""

    cost, lower, ref, domain = 60, gaussian.ndtri, BY_RULE, (0.05, 0.95)
    partials = lambda op, out, p: (_times(_bell(out, 0.5, 1.0), math.sqrt(2 * math.pi)),)


# --- gamma functions -----------------------------------------------------------------------------


class Lgamma(Pointwise):
    """log |gamma(x)|."""

    cost, lower, ref, domain = 60, gammas.lgamma, BY_RULE, (0.1, 12.0)
    partials = lambda op, out, x: (digamma(x),)


class Digamma(Pointwise):
    """The derivative of lgamma."""

    cost, lower, ref, domain = 60, gammas.digamma, BY_RULE, (0.3, 12.0)
    partials = lambda op, out, x: (trigamma(x),)


class Trigamma(Pointwise):
    """The derivative of digamma."""

    cost, lower, ref, domain = 80, gammas.trigamma, BY_RULE, (0.4, 12.0)

    def partials(op: object, out: Node, x: Node) -> tuple[Node]:
        return (_times(zeta(constant_like(x, 3), x), -2.0),)


class Zeta(Pointwise):
    """Hurwitz' zeta function of s > 1 and q; differentiable in q only."""

    arity, cost, lower, ref, domain = 2, 500, gammas.zeta, BY_RULE, (1.5, 5.0)
    fills = ("fixed", "values")

    def vjp(self, node: Node, g: Node) -> Grads:
        s, q = node.inputs
        slope = multiply(s, zeta(add(s, constant_like(s, 1)), q))
        return None, negative(multiply(g, slope))


class Igamma(Pointwise):
    """The share of the gamma distribution of shape a that lies below x; differentiable in x."""

    arity, cost, lower, ref, domain = 2, 500, incomplete_gamma.igamma, BY_RULE, (0.3, 5.0)
    fills = ("fixed", "values")
    partials = lambda op, out, a, x: (None, gamma_density(a, x))


class Igammac(Pointwise):
    """The share of the gamma distribution of shape a that lies above x; differentiable in x."""

    arity, cost, lower, ref, domain = 2, 500, incomplete_gamma.igammac, BY_RULE, (0.3, 5.0)
    fills = ("fixed", "values")
    partials = lambda op, out, a, x: (None, negative(gamma_density(a, x)))


class GammaDensity(Pointwise):
    """x^(a - 1) exp(-x) / gamma(a), the density of the gamma distribution of shape a."""

    arity, cost, lower, ref = 2, 100, incomplete_gamma.gamma_density, BY_RULE
    domain = (0.3, 5.0)

    def partials(op: object, out: Node, a: Node, x: Node) -> tuple[Node, Node]:
        one = constant_like(x, 1)
        by_a = subtract(log(x), digamma(a))
        by_x = subtract(divide(subtract(a, one), x), one)
        return multiply(out, by_a), multiply(out, by_x)


class GammaSlope(Pointwise):
    """How a gamma variable of shape a moves with a at x: -(d igamma / d a) / (d igamma / d x)."""

    arity, cost, lower, ref = 2, 500, incomplete_gamma.gamma_slope, BY_RULE
    differentiable, domain = False, (0.3, 5.0)


class FollowGamma(Pointwise):
    """x, a sample of the gamma distribution of shape a, which moves with a by `gamma_slope`."""

    arity, lower = 2, lambda b, a, x: x
    ref = lambda np, a, x: x
    fills = ("fixed", "fixed")

    def vjp(self, node: Node, g: Node) -> Grads:
        return multiply(g, gamma_slope(*node.inputs)), None


# --- orthogonal polynomials ----------------------------------------------------------------------


class OrthogonalPolynomial(Pointwise, abstract=True):
    """A polynomial of degree n (a whole number) of each element."""

    arity, cost, differentiable, ref, domain = 2, 100, False, BY_RULE, (-1.0, 5.0)


for _name, _rule in orthogonal.rules.items():
    _text = "The polynomial's value at x for the whole number n; 0 for n < 0."
    type(_name, (OrthogonalPolynomial,), {"name": _name, "lower": _rule, "__doc__": _text})


# Stated for the rules above, which use them before they are made.
digamma: Digamma
trigamma: Trigamma
zeta: Zeta
erfcx: Erfcx
gamma_density: GammaDensity
gamma_slope: GammaSlope

erfc, erfcx, erfinv, ndtr = Erfc(), Erfcx(), Erfinv(), Ndtr()
log_ndtr, ndtri = LogNdtr(), Ndtri()
lgamma, digamma, trigamma, zeta = Lgamma(), Digamma(), Trigamma(), Zeta()
igamma, igammac, gamma_density = Igamma(), Igammac(), GammaDensity()
gamma_slope, follow_gamma = GammaSlope(), FollowGamma()
