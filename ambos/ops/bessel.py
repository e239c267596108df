"""Bessel functions, elementwise. Accuracy: `elementary/README.md`."""

from __future__ import annotations

from ambos.graph.node import Node
from ambos.ops.arithmetic import add, divide, equal, multiply, negative, sign, subtract, where
from ambos.ops.elementary import bessel, modified_bessel
from ambos.ops.kinds import BY_RULE, Pointwise, constant_like


def _over(y: Node, x: Node, at_zero: float) -> Node:
    """y / x, and what it tends to at 0."""
    none = equal(x, constant_like(x, 0))
    return where(none, constant_like(x, at_zero), divide(y, where(none, constant_like(x, 1), x)))


class BesselJ0(Pointwise):
    """The Bessel function of the first kind of order 0."""

    cost, lower, ref = 120, bessel.j0, BY_RULE
    partials = lambda op, out, x: (negative(bessel_j1(x)),)


class BesselJ1(Pointwise):
    """The Bessel function of the first kind of order 1."""

    cost, lower, ref, domain = 120, bessel.j1, BY_RULE, (0.2, 6.0)
    partials = lambda op, out, x: (subtract(bessel_j0(x), _over(out, x, 0.5)),)


class BesselY0(Pointwise):
    """The Bessel function of the second kind of order 0, of x > 0."""

    cost, lower, ref, domain = 160, bessel.y0, BY_RULE, (0.3, 12.0)
    partials = lambda op, out, x: (negative(bessel_y1(x)),)


class BesselY1(Pointwise):
    """The Bessel function of the second kind of order 1, of x > 0."""

    cost, lower, ref, domain = 160, bessel.y1, BY_RULE, (0.3, 12.0)
    partials = lambda op, out, x: (subtract(bessel_y0(x), divide(out, x)),)


class AiryAi(Pointwise):
    """Airy's function Ai."""

    cost, lower, ref, differentiable = 160, bessel.airy_ai, BY_RULE, False


class I0(Pointwise):
    """The modified Bessel function of the first kind of order 0."""

    cost, lower, ref = 80, modified_bessel.i0, BY_RULE
    partials = lambda op, out, x: (i1(x),)


class I0e(Pointwise):
    """exp(-|x|) i0(x)."""

    cost, lower, ref, domain = 80, modified_bessel.i0e, BY_RULE, (0.2, 12.0)
    partials = lambda op, out, x: (subtract(i1e(x), multiply(sign(x), out)),)


class I1(Pointwise):
    """The modified Bessel function of the first kind of order 1."""

    cost, lower, ref, domain = 80, modified_bessel.i1, BY_RULE, (0.2, 4.0)
    partials = lambda op, out, x: (subtract(i0(x), _over(out, x, 0.5)),)


class I1e(Pointwise):
    """exp(-|x|) i1(x)."""

    cost, lower, ref, domain = 80, modified_bessel.i1e, BY_RULE, (0.2, 12.0)

    def partials(op: object, out: Node, x: Node) -> tuple[Node]:
        falls = add(multiply(sign(x), out), _over(out, x, 0.5))
        return (subtract(i0e(x), falls),)


class K0(Pointwise):
    """The modified Bessel function of the second kind of order 0, of x > 0."""

    name = "modified_bessel_k0"
    cost, lower, ref, domain = 120, modified_bessel.k0, BY_RULE, (0.3, 5.0)
    partials = lambda op, out, x: (negative(k1(x)),)


class K1(Pointwise):
    """The modified Bessel function of the second kind of order 1, of x > 0."""

    name = "modified_bessel_k1"
    cost, lower, ref, domain = 120, modified_bessel.k1, BY_RULE, (0.3, 5.0)
    partials = lambda op, out, x: (negative(add(k0(x), divide(out, x))),)


class K0e(Pointwise):
    """exp(x) times the modified Bessel function of the second kind of order 0, of x > 0."""

    name = "scaled_modified_bessel_k0"
    cost, lower, ref, domain = 120, modified_bessel.k0e, BY_RULE, (0.3, 5.0)
    partials = lambda op, out, x: (subtract(out, k1e(x)),)


class K1e(Pointwise):
    """exp(x) times the modified Bessel function of the second kind of order 1, of x > 0."""

    name = "scaled_modified_bessel_k1"
    cost, lower, ref, domain = 120, modified_bessel.k1e, BY_RULE, (0.3, 5.0)
    partials = lambda op, out, x: (subtract(subtract(out, k0e(x)), divide(out, x)),)


# Stated for the rules above, which use them before they are made.
bessel_j0: BesselJ0
bessel_j1: BesselJ1
bessel_y0: BesselY0
bessel_y1: BesselY1
i0: I0
i0e: I0e
i1: I1
i1e: I1e
k0: K0
k1: K1
k0e: K0e
k1e: K1e

bessel_j0, bessel_j1, bessel_y0, bessel_y1 = BesselJ0(), BesselJ1(), BesselY0(), BesselY1()
airy_ai, i0, i0e, i1, i1e = AiryAi(), I0(), I0e(), I1(), I1e()
k0, k1, k0e, k1e = K0(), K1(), K0e(), K1e()
