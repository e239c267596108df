"""Running results along one axis.

Shape and dtype stay; attrs: (axis, reverse). With `reverse` the last element comes first. The
order in which elements are combined is the compiler's canonical one (docs/design.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from ambos.core.dtype import DType, int64
from ambos.core.errors import DTypeError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.node import Attrs, Node
from ambos.ops.arithmetic import (
    add,
    bitwise_and,
    bitwise_or,
    cast,
    divide,
    equal,
    isinf,
    multiply,
    not_equal,
    subtract,
    where,
)
from ambos.ops.functions import exp
from ambos.ops.indexing import gather, scatter_elements
from ambos.ops.kinds import Grads, Op, constant, not_accepted
from ambos.ops.movement import concat, detach, expand, pad, reshape, slice_
from ambos.ops.sources import iota


class Scan(Op, abstract=True):
    """`combine` names the step: "add", "mul", "max" or "min" (NaN wins), or a pointwise op."""

    kind = "scan"
    accepts: ClassVar[str] = "iuf"
    combine: ClassVar[str]

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x,), (axis, _) = inputs, attrs
        if not 0 <= axis < x.rank:
            raise ShapeError(f"{self.name}: axis {axis} of {x.shape}; need 0 <= axis < {x.rank}")
        if x.dtype.kind not in self.accepts:
            raise DTypeError(not_accepted(self.name, x.dtype, self.accepts))
        return x.shape, x.dtype

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        axis, reverse = attrs
        return axis + 1, reverse


def _ordered(np: Any, function: Any, x: Any, axis: int, reverse: bool) -> Any:
    turned = np.flip(x, axis) if reverse else x
    if turned.dtype == np.float16:  # running results are held in float32
        found = function(turned.astype(np.float32), axis=axis).astype(np.float16)
    else:
        found = function(turned, axis=axis, dtype=turned.dtype)
    return np.flip(found, axis) if reverse else found


class Cumsum(Scan):
    """Running sums."""

    combine, accepts, linear = "add", "iufc", (0,)
    ref = lambda np, x, axis, reverse: _ordered(np, np.add.accumulate, x, axis, reverse)

    def vjp(self, node: Node, g: Node) -> Grads:
        axis, reverse = node.attrs
        return (cumsum(g, attrs=(axis, not reverse)),)


class Cumprod(Scan):
    """Running products."""

    combine, accepts, analytic = "mul", "iufc", True
    ref = lambda np, x, axis, reverse: _ordered(np, np.multiply.accumulate, x, axis, reverse)

    def vjp(self, node: Node, g: Node) -> Grads:
        """The product before an element, times what follows it: s[k] = g[k] + x[k+1] s[k+1]. No
        division, so zeros are nothing special."""
        axis, reverse = node.attrs
        (x,) = node.inputs
        if not x.size:
            return (g,)
        before = _delayed(node, axis, 1, 1, reverse)
        return (multiply(before, _weighted(g, _delayed(x, axis, 1, 0, not reverse), node.attrs)),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        """t[k] = (the product before) tangent[k] + x[k] t[k-1]."""
        (tangent,), (axis, reverse) = tangents, node.attrs
        if tangent is None or not tangent.size:
            return tangent
        before = _delayed(node, axis, 1, 1, reverse)
        return _weighted(multiply(before, tangent), node.inputs[0], (axis, not reverse))


def _weighted(terms: Node, factors: Node, attrs: Attrs) -> Node:
    """s[k] = terms[k] + factors[k] s[k+1] along an axis, against the order of a scan with these
    attrs: the sums of 2, 4, 8, ... elements, each from two of half the length."""
    axis, reverse = attrs
    shift, extent = 1, terms.shape[axis]
    while shift < extent:
        moved = _delayed(terms, axis, shift, 0, not reverse)
        terms = add(terms, multiply(factors, moved))
        factors = multiply(factors, _delayed(factors, axis, shift, 0, not reverse))
        shift *= 2
    return terms


def _delayed(x: Node, axis: int, shift: int, fill: float, reverse: bool) -> Node:
    """`x` moved by `shift` along an axis (towards its start, if `reverse`); `fill` moves in."""
    start = tuple(shift if reverse and a == axis else 0 for a in range(x.rank))
    stop = tuple(n - (shift if a == axis and not reverse else 0) for a, n in enumerate(x.shape))
    kept = slice_(x, attrs=(start, stop, (1,) * x.rank))
    if fill == 0:
        none = (0,) * x.rank
        sides = tuple(shift if a == axis else 0 for a in range(x.rank))
        return pad(kept, attrs=(none, sides) if reverse else (sides, none))
    edge = constant(fill, x.dtype, tuple(shift if a == axis else n for a, n in enumerate(x.shape)))
    return concat(*((kept, edge) if reverse else (edge, kept)), attrs=(axis,))


class Extreme(Scan, abstract=True):
    """Running maxima or minima. The gradient goes to the last element that was the extreme."""

    def vjp(self, node: Node, g: Node) -> Grads:
        (x,) = node.inputs
        nothing = constant(0, x.dtype, x.shape)
        return (scatter_elements(nothing, found_at(node), g, attrs=node.attrs[:1]),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (tangent,) = tangents
        return tangent and gather(tangent, found_at(node), attrs=node.attrs[:1])


def found_at(node: Node) -> Node:
    """Where each running extreme of `node` was met last, int64; NaN counts as one."""
    axis, reverse = node.attrs
    (x,) = node.inputs
    hit = equal(x, node)
    if x.dtype.is_floating:
        hit = bitwise_or(hit, not_equal(x, x))
    nowhere = constant(x.shape[axis] if reverse else -1, int64, x.shape)
    found = where(hit, place_along(x, axis), nowhere)
    return (cummin if reverse else cummax)(found, attrs=(axis, reverse))


def place_along(x: Node, axis: int) -> Node:
    """Each element's position along an axis, int64."""
    single = tuple(n if a == axis else 1 for a, n in enumerate(x.shape))
    return expand(reshape(iota(attrs=(x.shape[axis],)), attrs=(single,)), attrs=(x.shape,))


class Cummax(Extreme):
    """Running maxima."""

    combine = "max"
    ref = lambda np, x, axis, reverse: _ordered(np, np.maximum.accumulate, x, axis, reverse)


class Cummin(Extreme):
    """Running minima."""

    combine = "min"
    ref = lambda np, x, axis, reverse: _ordered(np, np.minimum.accumulate, x, axis, reverse)


class Logcumsumexp(Scan):
    """Running log(sum(exp(x)))."""

    accepts, combine = "f", "logaddexp"
    ref = lambda np, x, axis, reverse: _ordered(np, np.logaddexp.accumulate, x, axis, reverse)

    def vjp(self, node: Node, g: Node) -> Grads:
        """The sum of g[i] exp(x[k] - out[i]) over every i that x[k] was added to. With the maximum
        m so far and a, where out = m + log(a), b[k] = g[k] / a[k] + exp(m[k] - m[k+1]) b[k+1] gives
        exp(x[k] - m[k]) b[k]. No power is above 1, and none has the rounding of `out`, whose last
        digit is 1e-3 near 1e4. (Sums of positive and of negative g apart would cancel.)"""
        axis, reverse = node.attrs
        (x,) = node.inputs
        if not x.size:
            return (g,)
        top = detach(cummax(x, attrs=node.attrs))
        share = _ratio(x, top)
        later = _ratio(top, _delayed(top, axis, 1, math.inf, not reverse))
        terms = divide(g, powers_so_far(share, top, node.attrs))
        return (multiply(share, _weighted(terms, later, node.attrs)),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        """The mean of the tangents so far, weighted by exp(x)."""
        (tangent,), (x,) = tangents, node.inputs
        if tangent is None or not tangent.size:
            return tangent
        top = detach(cummax(x, attrs=node.attrs))
        share = _ratio(x, top)
        moved = powers_so_far(multiply(share, tangent), top, node.attrs)
        return divide(moved, powers_so_far(share, top, node.attrs))


def powers_so_far(share: Node, top: Node, attrs: Attrs) -> Node:
    """Running sums of exp(x) in units of exp(top), the largest so far, where `share` is
    exp(x - top) (or a multiple): a[k] = share[k] + exp(top[k-1] - top[k]) a[k-1]."""
    axis, reverse = attrs
    earlier = _ratio(_delayed(top, axis, 1, -math.inf, reverse), top)
    if earlier.dtype is not share.dtype:  # x is complex, and its real part has a largest
        earlier = cast(earlier, attrs=(share.dtype,))
    return _weighted(share, earlier, (axis, not reverse))


def _ratio(x: Node, y: Node) -> Node:
    """exp(x - y), and 1 of equal infinities."""
    same = bitwise_and(equal(x, y), isinf(x))
    gap = subtract(where(same, constant(0, x.dtype, x.shape), x),
                   where(same, constant(0, x.dtype, x.shape), y))  # fmt: skip
    return exp(gap)


cumsum, cumprod, cummax, cummin = Cumsum(), Cumprod(), Cummax(), Cummin()
logcumsumexp = Logcumsumexp()
