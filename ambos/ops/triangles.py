"""Factors with triangles: QR and LU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ambos.core.dtype import int32, int64
from ambos.core.errors import LinAlgError, ShapeError
from ambos.graph.node import Node
from ambos.ops.arithmetic import add, cast, equal, negative, subtract
from ambos.ops.call import Call, Facts, require_matrix
from ambos.ops.complex.bridge import complex_, imag
from ambos.ops.kinds import Grads, constant_like
from ambos.ops.matrices import (
    adjoint,
    diagonal,
    halved_diagonal,
    identity,
    lower,
    matrix_of,
    product,
    spread_rows,
    upper,
)
from ambos.ops.movement import concat, cut_to, expand, pad, reshape, slice_
from ambos.ops.solving import solve_triangular, substitute
from ambos.ops.sources import iota

PANEL = 12  # columns that are eliminated one by one; everything else is products


class Qr(Call):
    """Q with orthonormal columns and the upper triangle R; attrs: (complete,), which makes Q
    square. Gradient: Walter and Lehmann 2012."""

    name = "linalg.qr"

    def host(np: Any, a: Any, complete: bool) -> tuple[Any, ...]:
        q, r = np.linalg.qr(a, mode="complete" if complete else "reduced")
        return q, r

    def results(self, a: Node, complete: bool) -> tuple[Facts, ...]:
        require_matrix(self.name, a)
        *batch, m, n = a.shape
        k = m if complete else min(m, n)
        return ((*batch, m, k), a.dtype), ((*batch, k, n), a.dtype)

    def vjp(self, node: Node, g: Node) -> Grads:
        (a,), (part, complete) = node.inputs, node.attrs
        q, r = self.parts(a, attrs=(False,))
        *_, m, n = a.shape
        if complete and m > n and part == 0:
            # The columns beyond those of A are any orthonormal ones: no derivative.
            g = constant_like(g, float("nan"))
        g = cut_to(g, q.shape if part == 0 else r.shape)
        if m >= n:
            return (_qr_gradient(q, r, g, part),)
        # A = [X, Y] with X square: X = Q U and R = [U, Q^H Y].
        square = cut_to(r, (*r.shape[:-1], m))
        if part == 0:
            left = _qr_gradient(q, square, g, 0)
            return (concat(left, constant_like(_columns(a, m, n), 0), attrs=(a.rank - 1,)),)
        g_rest, rest = _columns(g, m, n), _columns(a, m, n)
        left = add(
            _qr_gradient(q, square, cut_to(g, square.shape), 1),
            _qr_gradient(q, square, product(rest, adjoint(g_rest)), 0),
        )
        return (concat(left, product(q, g_rest), attrs=(a.rank - 1,)),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (a,), (tangent,), (part, complete) = node.inputs, tangents, node.attrs
        if tangent is None:
            return None
        *_, m, n = a.shape
        if complete and m > n and part == 0:
            # The columns beyond those of A are any orthonormal ones: no derivative.
            return constant_like(node, float("nan"))
        q, r = self.parts(a, attrs=(False,))
        k = min(m, n)
        square, moved = (cut_to(x, (*x.shape[:-1], k)) for x in (r, tangent))
        dq, dr = _qr_tangents(q, square, moved)
        if part == 0:
            return dq
        if n > m:  # A = [X, Y] with X square: R = [U, Q^H Y]
            rest, moved_rest = _columns(a, m, n), _columns(tangent, m, n)
            right = add(product(adjoint(dq), rest), product(adjoint(q), moved_rest))
            dr = concat(dr, right, attrs=(a.rank - 1,))
        none = (0,) * a.rank
        missing = (*none[:-2], node.shape[-2] - k, 0)
        return pad(dr, attrs=(none, missing)) if any(missing) else dr


def _qr_gradient(q: Node, r: Node, g: Node, part: int) -> Node:
    """(g Q's share + Q sym(M)) R^-H, where M is R gR^H or -gQ^H Q."""
    m = negative(product(adjoint(q), g)) if part == 0 else product(g, adjoint(r))
    m = halved_diagonal(upper(m))
    left = product(q, add(m, adjoint(m)))
    if part == 0:
        left = add(left, g)
    return adjoint(solve_triangular(r, adjoint(left), attrs=(0, True)))


def _qr_tangents(q: Node, r: Node, moved: Node) -> tuple[Node, Node]:
    """Of A = Q R with a square R: Q^H dA R^-1 is skew (what Q turns by) plus upper, with a real
    diagonal."""
    scaled = _divided(moved, r)
    inner = product(adjoint(q), scaled)
    below = lower(inner, -1)
    skew = subtract(below, adjoint(below))
    if q.dtype.is_complex:
        own = imag(diagonal(inner))
        skew = add(skew, matrix_of(complex_(constant_like(own, 0.0), own)))
    rest = subtract(scaled, product(q, inner))
    return add(product(q, skew), rest), product(subtract(inner, skew), r)


def _divided(x: Node, r: Node) -> Node:
    """X R^-1 of an upper triangle."""
    return adjoint(solve_triangular(adjoint(r), adjoint(x), attrs=(0, False)))


def _columns(x: Node, start: int, stop: int) -> Node:
    zeros = (0,) * (x.rank - 1)
    return slice_(x, attrs=((*zeros, start), (*x.shape[:-1], stop), (1,) * x.rank))


def _rows(x: Node, start: int, stop: int) -> Node:
    zeros = (0,) * (x.rank - 2)
    ends = (*x.shape[:-2], stop, x.shape[-1])
    return slice_(x, attrs=((*zeros, start, 0), ends, (1,) * x.rank))


class LuFactor(Call):
    """A = P L U with rows exchanged for the largest pivot: L (below the diagonal, which is one) and
    U in one matrix; which row was exchanged with row i (int32, from 1 as LAPACK counts); the
    permutation, where row i came from (int64). Singular matrices have a zero on U's diagonal.
    attrs: (pivot,), without which rows stay where they are."""

    name = "linalg.lu_factor"

    def host(np: Any, a: Any, pivot: bool) -> tuple[Any, ...]:
        *batch, m, n = a.shape
        lu = a.reshape(math.prod(batch), m, n).copy()
        k = min(m, n)
        pivots = np.zeros((len(lu), k), np.int32)
        order = np.tile(np.arange(m), (len(lu), 1))
        if k:
            _factor(np, lu, pivots, order, 0, k, pivot)
            _update(np, lu, 0, k, n)
        shapes = (m, n), (k,), (m,)
        found = zip((lu, pivots, order.astype(np.int64)), shapes, strict=True)
        return tuple(x.reshape(*batch, *shape) for x, shape in found)

    def results(self, a: Node, pivot: bool) -> tuple[Facts, ...]:
        require_matrix(self.name, a)
        *batch, m, n = a.shape
        return (a.shape, a.dtype), ((*batch, min(m, n)), int32), ((*batch, m), int64)

    def vjp(self, node: Node, g: Node) -> Grads:
        (a,), (part, pivot) = node.inputs, node.attrs
        if part:
            return (None,)
        *_, m, n = a.shape
        k = min(m, n)
        square, g_square = (cut_to(x, (*x.shape[:-2], k, k)) for x in (node, g))
        g_low, g_up = lower(g_square, -1), upper(g_square)
        if m > n:  # A's lower rows are L2 U
            below, g_below = _rows(node, k, m), _rows(g, k, m)
            # g U^-H is (U^-1 g^H)^H
            g_rest = adjoint(solve_triangular(square, adjoint(g_below), attrs=(0, True)))
            g_up = subtract(g_up, upper(product(adjoint(below), g_rest)))
        elif n > m:  # A's right columns are L U2
            right, g_right = _columns(node, k, n), _columns(g, k, n)
            unit = unit_lower(square)
            g_rest = solve_triangular(adjoint(unit), g_right, attrs=(0, True))
            g_low = subtract(g_low, lower(product(g_rest, adjoint(right)), -1))
        else:
            g_rest = g
        found = _lu_gradient(square, g_low, g_up)
        if m != n:
            found = concat(found, g_rest, attrs=(a.rank - (2 if m > n else 1),))
        return (product(permutation(self(a, attrs=(2, pivot)), a), found),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (a,), (tangent,), (part, pivot) = node.inputs, tangents, node.attrs
        if part or tangent is None:
            return None
        *_, m, n = a.shape
        k = min(m, n)
        tangent = product(adjoint(permutation(self(a, attrs=(2, pivot)), a)), tangent)
        square, moved = (cut_to(x, (*x.shape[:-2], k, k)) for x in (node, tangent))
        unit, up = unit_lower(square), upper(square)
        left = solve_triangular(unit, moved, attrs=(0, False))
        middle = _divided(left, up)
        low, high = product(unit, lower(middle, -1)), product(upper(middle), up)
        found = add(low, high)
        if m > n:  # A's lower rows are L2 U
            below = subtract(_rows(tangent, k, m), product(_rows(node, k, m), high))
            found = concat(found, _divided(below, up), attrs=(a.rank - 2,))
        elif n > m:  # A's right columns are L U2
            right = subtract(_columns(tangent, k, n), product(low, _columns(node, k, n)))
            right = solve_triangular(unit, right, attrs=(0, False))
            found = concat(found, right, attrs=(a.rank - 1,))
        return found


class LuOrder(Call):
    """Where row i came from, given the row that was exchanged with each (from 1); attrs: (m,), the
    number of rows."""

    name, accepts, differentiable = "linalg.lu_order", "iu", False

    def host(np: Any, pivots: Any, m: int) -> tuple[Any, ...]:
        if ((pivots < 1) | (pivots > m)).any():
            raise LinAlgError(f"linalg.lu_solve: a pivot is outside 1 to {m}; need those of "
                              "lu_factor, counted from 1")  # fmt: skip
        batch = pivots.shape[:-1]
        flat = pivots.reshape(math.prod(batch), pivots.shape[-1]).astype(np.int64) - 1
        order, each = np.tile(np.arange(m), (len(flat), 1)), np.arange(len(flat))
        for row in range(flat.shape[1]):
            chosen = order[each, flat[:, row]]
            order[each, flat[:, row]] = order[:, row]
            order[:, row] = chosen
        return (order.astype(np.int64).reshape(*batch, m),)

    def results(self, pivots: Node, m: int) -> tuple[Facts, ...]:
        if not pivots.rank or pivots.shape[-1] > m:
            raise ShapeError(f"linalg.lu_solve: pivots {pivots.shape} of {m} rows; need (..., k) "
                             "with k up to the rows")  # fmt: skip
        return (((*pivots.shape[:-1], m), int64),)


def _lu_gradient(lu: Node, g_low: Node, g_up: Node) -> Node:
    """L^-H (lower(L^H gL) + upper(gU U^H)) U^-H."""
    unit, up = unit_lower(lu), upper(lu)
    middle = add(lower(product(adjoint(unit), g_low), -1), upper(product(g_up, adjoint(up))))
    left = solve_triangular(adjoint(unit), middle, attrs=(0, True))
    return adjoint(solve_triangular(up, adjoint(left), attrs=(0, True)))


def unit_lower(lu: Node) -> Node:
    """L of a packed factorisation: (..., m, n) to (..., m, min(m, n))."""
    k = min(lu.shape[-2:])
    low = cut_to(lu, (*lu.shape[:-1], k))
    return add(lower(low, -1), identity(lu.dtype, low.shape))


def permutation(order: Node, like: Node) -> Node:
    """The matrix P of A = P L U: one at (order[i], i)."""
    m = order.shape[-1]
    shape = (*order.shape, m)
    places = expand(reshape(iota(attrs=(m,)), attrs=((1,) * order.rank + (m,),)), attrs=(shape,))
    turned = cast(equal(spread_rows(order, shape), places), attrs=(like.dtype,))
    return adjoint(turned)


def upper_part(lu: Node) -> Node:
    """U of a packed factorisation: (..., m, n) to (..., min(m, n), n)."""
    return upper(cut_to(lu, (*lu.shape[:-2], min(lu.shape[-2:]), lu.shape[-1])))


def _factor(np: Any, lu: Any, pivots: Any, order: Any, start: int, stop: int, pivot: bool) -> None:
    """Columns `start` to `stop` of every matrix: the left half, its products, the right half."""
    if stop - start > PANEL:
        middle = (start + stop) // 2
        _factor(np, lu, pivots, order, start, middle, pivot)
        _update(np, lu, start, middle, stop)
        _factor(np, lu, pivots, order, middle, stop, pivot)
        return
    each = np.arange(len(lu))
    for column in range(start, stop):
        below = lu[:, column:, column]
        size = np.abs(below.real) + np.abs(below.imag) if lu.dtype.kind == "c" else np.abs(below)
        # Of complex numbers the size that LAPACK looks at.
        best = column + (size.argmax(1) if pivot else 0 * each)
        pivots[:, column] = best + 1
        for x in (lu, order):
            chosen = x[each, best]
            x[each, best] = x[:, column]
            x[:, column] = chosen
        divisor = lu[:, column, column]
        safe = np.where(divisor == 0, divisor.dtype.type(1), divisor)
        lu[:, column + 1 :, column] /= safe[:, None]
        factors = lu[:, column + 1 :, column, None]
        lu[:, column + 1 :, column + 1 : stop] -= factors * lu[:, column, None, column + 1 : stop]


def _update(np: Any, lu: Any, start: int, middle: int, stop: int) -> None:
    """Columns `middle` to `stop`, after those from `start` to `middle` were factored."""
    if middle == stop:
        return
    block = np.tril(lu[:, start:middle, start:middle], -1) + np.eye(middle - start, dtype=lu.dtype)
    substitute(np, block, lu[:, start:middle, middle:stop], False)
    lu[:, middle:, middle:stop] -= lu[:, middle:, start:middle] @ lu[:, start:middle, middle:stop]


qr, lu_factor, lu_order = Qr(), LuFactor(), LuOrder()
