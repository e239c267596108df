"""Special functions of one and of two operands: the registry's ops, and short composites."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ambos.core.dtype import float64
from ambos.core.errors import ArgumentError
from ambos.core.unknown import known
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import bessel, functions, special
from ambos.ops.kinds import Op
from ambos.tensor.handle import Tensor, node_of, operand_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import align, binary, convert, floating, quotient, scalar

# Our names (PyTorch's), the op, and its value at 0.75 (or at 0.75 and 0.5) for the example.
UNARY: dict[str, tuple[Op, str]] = {
    "erfc": (special.erfc, "0.2888"),
    "erfcx": (special.erfcx, "0.5069"),
    "erfinv": (special.erfinv, "0.8134"),
    "ndtr": (special.ndtr, "0.7734"),
    "ndtri": (special.ndtri, "0.6745"),
    "log_ndtr": (special.log_ndtr, "-0.2570"),
    "lgamma": (special.lgamma, "0.2033"),
    "digamma": (special.digamma, "-1.0859"),
    "i0": (bessel.i0, "1.1456"),
    "i0e": (bessel.i0e, "0.5412"),
    "i1": (bessel.i1, "0.4020"),
    "i1e": (bessel.i1e, "0.1899"),
    "bessel_j0": (bessel.bessel_j0, "0.8642"),
    "bessel_j1": (bessel.bessel_j1, "0.3492"),
    "bessel_y0": (bessel.bessel_y0, "-0.1372"),
    "bessel_y1": (bessel.bessel_y1, "-1.0376"),
    "modified_bessel_k0": (bessel.k0, "0.6106"),
    "modified_bessel_k1": (bessel.k1, "0.9496"),
    "scaled_modified_bessel_k0": (bessel.k0e, "1.2926"),
    "scaled_modified_bessel_k1": (bessel.k1e, "2.0103"),
    "airy_ai": (bessel.airy_ai, "0.1793"),
}
BINARY: dict[str, tuple[Op, str]] = {
    "zeta": (special.zeta, "nan"),
    "igamma": (special.igamma, "0.5279"),
    "igammac": (special.igammac, "0.4721"),
}
ALSO = {
    "lgamma": "gammaln", "digamma": "psi", "igamma": "gammainc", "igammac": "gammaincc",
    "i0": "modified_bessel_i0", "i1": "modified_bessel_i1",
}  # fmt: skip

exported: dict[str, Callable[..., Tensor]] = {}


def _publish(name: str, op: Op, value: str, function: Callable[..., Tensor], call: str) -> None:
    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    also = f"\n\nAlso spelled {ALSO[name]}." if name in ALSO else ""
    function.__doc__ = (
        f"{op.__doc__}{also}\n\nExample:\n    >>> import ambos as am\n"
        f"    >>> f'{{am.special.{name}({call}):.4f}}'\n    '{value}'"
    )
    exported[name] = public(function)
    if name in ALSO:
        exported[ALSO[name]] = exported[name]


def _unary(op: Op) -> Callable[..., Tensor]:
    def function(x: Any) -> Tensor:
        return wrap(op(floating(node_of(x))))

    return function


def _binary(op: Op) -> Callable[..., Tensor]:
    def function(x: Any, y: Any) -> Tensor:
        return wrap(quotient(op, operand_of(x), operand_of(y)))

    return function


for _name, (_op, _value) in UNARY.items():
    _publish(_name, _op, _value, _unary(_op), "0.75")
for _name, (_op, _value) in BINARY.items():
    _publish(_name, _op, _value, _binary(_op), "0.75, 0.5")
globals().update(exported)


def _pair(name: str, x: Any, y: Any) -> tuple[Node, Node]:
    a, b = align(name, (operand_of(x), operand_of(y)))
    return floating(a), floating(b)


def _number(like: Node, value: float) -> Node:
    return scalar(value, like.dtype, like.shape)


def _weighted_logarithm(logarithm: Op, a: Node, b: Node, start: float) -> Tensor:
    """a log(b), and 0 where a is 0 unless b is NaN; `start` is where the logarithm begins."""
    zero = _number(a, 0)
    inside = ops.bitwise_and(ops.greater(b, _number(b, start)), ops.less(b, _number(b, math.inf)))
    none = ops.bitwise_and(ops.equal(a, zero), ops.bitwise_invert(inside))
    product = ops.multiply(a, logarithm(ops.where(none, _number(b, start + 1), b)))
    return wrap(ops.where(none, ops.where(ops.isnan(b), b, zero), product))


@public
def xlogy(x: Any, y: Any) -> Tensor:
    """x * log(y), and 0 where x is 0 (unless y is NaN).

    Example:
        >>> import ambos as am
        >>> am.xlogy(am.tensor([0.0, 2.0]), am.tensor([0.0, 1.0])).tolist()
        [0.0, 0.0]
    """
    return _weighted_logarithm(functions.log, *_pair("xlogy", x, y), 0.0)


@public
def xlog1py(x: Any, y: Any) -> Tensor:
    """x * log(1 + y), and 0 where x is 0 (unless y is NaN)."""
    return _weighted_logarithm(functions.log1p, *_pair("xlog1py", x, y), -1.0)


@public
def entr(x: Any) -> Tensor:
    """-x * log(x), the entropy of a share; 0 at 0, -inf below.

    Example:
        >>> import ambos as am
        >>> am.special.entr(am.tensor([0.0, -1.0])).tolist()
        [0.0, -inf]
    """
    node = floating(node_of(x))
    zero = _number(node, 0)
    inside = ops.greater(node, zero)
    product = ops.multiply(node, functions.log(ops.where(inside, node, _number(node, 1))))
    outside = ops.where(ops.less(node, zero), _number(node, -math.inf), node)
    return wrap(ops.where(inside, ops.negative(product), outside))


@public
def logaddexp2(x: Any, y: Any) -> Tensor:
    """log2(2**x + 2**y), without overflow.

    Example:
        >>> import ambos as am
        >>> am.logaddexp2(3.0, 3.0).item()
        4.0
    """
    a, b = _pair("logaddexp2", x, y)
    gap = ops.absolute(ops.subtract(a, b))
    gap = ops.where(ops.equal(a, b), _number(gap, 0), gap)  # equal infinities too
    share = functions.exp(binary(ops.multiply, gap, -math.log(2)))
    more = binary(ops.multiply, functions.log1p(share), 1 / math.log(2))
    return wrap(ops.add(ops.maximum(a, b), more))


@public
def spherical_bessel_j0(x: Any) -> Tensor:
    """The spherical Bessel function of order 0, sin(x) / x; 1 at 0."""
    node = floating(node_of(x))
    none = ops.equal(node, _number(node, 0))
    far = ops.isinf(node)
    safe = ops.where(ops.bitwise_or(none, far), _number(node, 1), node)
    ratio = ops.divide(functions.sin(safe), safe)
    return wrap(ops.where(none, _number(node, 1), ops.where(far, _number(node, 0), ratio)))


@public
def polygamma(n: Any, x: Any) -> Tensor:
    """The n-th derivative of digamma, for a whole number n >= 0.

    Example:
        >>> import ambos as am
        >>> f"{am.polygamma(1, am.tensor(1.0)):.4f}"  # pi**2 / 6
        '1.6449'
    """
    if isinstance(n, bool) or not isinstance(n, int):
        raise ArgumentError(f"polygamma: n is {n!r}; need a whole number: polygamma(n, x)")
    if known("polygamma: n", n) < 0:
        raise ArgumentError(f"polygamma: n is {n}; need n >= 0")
    node = floating(node_of(x))
    if n == 0:
        return wrap(special.digamma(node))
    if n == 1:
        return wrap(special.trigamma(node))
    wide = convert(node, float64 if n > 33 else node.dtype.compute)  # n! has to fit
    factor = float(math.factorial(n)) if n < 171 else math.inf
    series = special.zeta(_number(wide, n + 1), wide)
    signed = binary(ops.multiply, series, factor if n % 2 else -factor)
    return wrap(convert(signed, node.dtype))


@public
def multigammaln(x: Any, p: Any) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p >= 1.

    Also spelled mvlgamma.

    Example:
        >>> import ambos as am
        >>> f"{am.mvlgamma(am.tensor(3.0), 2):.4f}"
        '1.5502'
    """
    if isinstance(p, bool) or not isinstance(p, int) or p < 1:
        raise ArgumentError(f"mvlgamma: p is {p!r}; need a whole number >= 1")
    node = floating(node_of(x))
    total = special.lgamma(node)
    for j in range(1, p):
        total = ops.add(total, special.lgamma(binary(ops.subtract, node, 0.5 * j)))
    return wrap(binary(ops.add, total, 0.25 * p * (p - 1) * math.log(math.pi)) if p > 1 else total)


mvlgamma = multigammaln
__all__ = [
    *sorted(exported), "entr", "logaddexp2", "multigammaln", "mvlgamma", "polygamma",
    "spherical_bessel_j0", "xlog1py", "xlogy",
]  # fmt: skip
