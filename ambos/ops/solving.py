"""Linear systems: cholesky, solve, solve_triangular, inv, det, slogdet, pinv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.core.errors import ShapeError
from ambos.graph.node import Node
from ambos.ops.arithmetic import add, multiply, negative, subtract
from ambos.ops.call import Call, Facts, each_matrix, require_matrix
from ambos.ops.complex.bridge import complex_, conj, imag, real
from ambos.ops.kinds import Grads, constant_like, total
from ambos.ops.matrices import (
    adjoint,
    batched,
    diagonal,
    halved_diagonal,
    hermitian,
    identity,
    like,
    lower,
    product,
    products,
    upper,
)
from ambos.ops.reductions import sum_

SINGULAR = "is singular; need full rank: use am.linalg.pinv or am.linalg.lstsq"


class Cholesky(Call):
    """The lower factor L of A = L L^H; reads the lower triangle only. Gradient: Murray 2016,
    symmetrised."""

    name, hermitian = "linalg.cholesky", True

    def host(np: Any, a: Any) -> tuple[Any, ...]:
        says = ("is not positive definite; need a symmetric matrix with positive eigenvalues: add "
                "a small multiple of the identity")  # fmt: skip
        return (each_matrix(np, "linalg.cholesky", says, np.linalg.cholesky, a),)

    def results(self, a: Node) -> tuple[Facts, ...]:
        require_matrix(self.name, a, square=True)
        return ((a.shape, a.dtype),)

    def vjp(self, node: Node, g: Node) -> Grads:
        inner = halved_diagonal(lower(product(adjoint(node), g)))
        turned = adjoint(node)
        left = solve_triangular(turned, inner, attrs=(0, True))
        # X L^-1 is (L^-H X^H)^H.
        both = adjoint(solve_triangular(turned, adjoint(left), attrs=(0, True)))
        return (hermitian(both),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        """L Phi(L^-1 dA L^-H), with the lower triangle and half the diagonal in Phi."""
        (tangent,) = tangents
        if tangent is None:
            return None
        left = solve_triangular(node, hermitian(tangent), attrs=(0, False))
        both = adjoint(solve_triangular(node, adjoint(left), attrs=(0, False)))
        return product(node, halved_diagonal(lower(both)))


class Solve(Call):
    """X of A X = B; inputs A (..., n, n) and B (..., n, k) with the same leading axes."""

    name, arity = "linalg.solve", 2

    def host(np: Any, a: Any, b: Any) -> tuple[Any, ...]:
        return (each_matrix(np, "linalg.solve", SINGULAR, np.linalg.solve, a, b),)

    def results(self, a: Node, b: Node) -> tuple[Facts, ...]:
        _require_system(self.name, a, b)
        return ((b.shape, b.dtype),)

    def vjp(self, node: Node, g: Node) -> Grads:
        gb = solve(adjoint(node.inputs[0]), g)
        return negative(product(gb, adjoint(node))), gb

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        by_a, by_b = tangents
        moved = total([by_b, by_a and negative(product(by_a, node))])
        return moved and solve(node.inputs[0], moved)


class SolveTriangular(Call):
    """X of A X = B where A is the upper (or lower) triangle of the first input; attrs: (upper,).
    The other triangle is not read."""

    name, arity = "linalg.solve_triangular", 2

    def host(np: Any, a: Any, b: Any, upper: bool) -> tuple[Any, ...]:
        says = "has a zero on its diagonal; need a triangle of full rank"

        def function(a: Any, b: Any) -> Any:
            found = b.copy()
            substitute(np, a, found, upper)
            return found

        return (each_matrix(np, "linalg.solve_triangular", says, function, a, b),)

    def results(self, a: Node, b: Node, upper: bool) -> tuple[Facts, ...]:
        _require_system(self.name, a, b)
        return ((b.shape, b.dtype),)

    def vjp(self, node: Node, g: Node) -> Grads:
        is_upper = node.attrs[1]
        gb = solve_triangular(adjoint(node.inputs[0]), g, attrs=(0, not is_upper))
        ga = negative(product(gb, adjoint(node)))
        return (upper(ga) if is_upper else lower(ga)), gb

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (by_a, by_b), is_upper = tangents, node.attrs[1]
        triangle = by_a and (upper(by_a) if is_upper else lower(by_a))
        moved = total([by_b, triangle and negative(product(triangle, node))])
        return moved and solve_triangular(node.inputs[0], moved, attrs=(0, is_upper))


BLOCK = 32  # rows that are solved for at once; everything else is products


def substitute(np: Any, a: Any, b: Any, upper: bool) -> None:
    """Put X of A X = B in the place of `b`; one half of the rows, a product, the other half.

    NumPy has no solver for triangles. But an upper one is its own LU factor, without pivots, so
    that its general solver only substitutes; and a lower one is upper in reversed order."""
    n = a.shape[-1]
    if n > BLOCK:
        half = n // 2
        first, second = (slice(half, n), slice(half)) if upper else (slice(half), slice(half, n))
        substitute(np, a[..., first, first], b[..., first, :], upper)
        b[..., second, :] -= a[..., second, first] @ b[..., first, :]
        substitute(np, a[..., second, second], b[..., second, :], upper)
    elif upper:
        b[...] = np.linalg.solve(np.triu(a), b)
    else:
        b[...] = np.linalg.solve(np.tril(a)[..., ::-1, ::-1], b[..., ::-1, :])[..., ::-1, :]


class Inv(Call):
    """The inverse."""

    name = "linalg.inv"

    def host(np: Any, a: Any) -> tuple[Any, ...]:
        return (each_matrix(np, "linalg.inv", SINGULAR, np.linalg.inv, a),)

    def results(self, a: Node) -> tuple[Facts, ...]:
        require_matrix(self.name, a, square=True)
        return ((a.shape, a.dtype),)

    def vjp(self, node: Node, g: Node) -> Grads:
        turned = adjoint(node)
        return (negative(products(turned, g, turned)),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (tangent,) = tangents
        return tangent and negative(products(node, tangent, node))


class Det(Call):
    """The determinant. Its gradient is the matrix of cofactors, which singular matrices have."""

    name = "linalg.det"

    def host(np: Any, a: Any) -> tuple[Any, ...]:
        return (np.asarray(np.linalg.det(a)),)

    def results(self, a: Node) -> tuple[Facts, ...]:
        require_matrix(self.name, a, square=True)
        return ((a.shape[:-2], a.dtype),)

    def vjp(self, node: Node, g: Node) -> Grads:
        (a,) = node.inputs
        return (multiply(batched(g, a.shape), cofactors(a)),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (a,), (tangent,) = node.inputs, tangents
        return tangent and _inner(_conjugate(cofactors(a)), tangent)


class Cofactors(Call):
    """conj(det(A)) A^-H, also where A is singular: from A = U S V^H it is conj(det(U V^H)) U C V^H
    with the products of all other singular values in C."""

    name = "linalg.cofactors"

    def host(np: Any, a: Any) -> tuple[Any, ...]:
        u, s, v = np.linalg.svd(a)
        n = s.shape[-1]
        others = np.where(np.eye(n, dtype=bool), s.dtype.type(1), s[..., None, :])
        sign = np.conj(np.linalg.det(np.matmul(u, v)))
        scaled = u * np.prod(others, -1)[..., None, :] * sign[..., None, None]
        return (np.matmul(scaled, v).astype(a.dtype, copy=False),)

    def results(self, a: Node) -> tuple[Facts, ...]:
        require_matrix(self.name, a, square=True)
        return ((a.shape, a.dtype),)

    def vjp(self, node: Node, g: Node) -> Grads:
        """Of conj(det(A)) A^-H, where A is invertible."""
        (a,) = node.inputs
        turned = adjoint(inv(a))
        trace = _inner(node, _conjugate(g))
        along = multiply(batched(trace, a.shape), turned)
        return (subtract(along, products(turned, adjoint(g), node)),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (a,), (tangent,) = node.inputs, tangents
        if tangent is None:
            return None
        turned = adjoint(inv(a))
        trace = _inner(_conjugate(turned), tangent)
        along = multiply(batched(_conjugate(trace), a.shape), node)
        return subtract(along, products(turned, adjoint(tangent), node))


class Slogdet(Call):
    """Sign and logarithm of the absolute value of the determinant."""

    name = "linalg.slogdet"

    def host(np: Any, a: Any) -> tuple[Any, ...]:
        sign, logarithm = np.linalg.slogdet(a)
        return np.asarray(sign), np.asarray(logarithm)

    def results(self, a: Node) -> tuple[Facts, ...]:
        require_matrix(self.name, a, square=True)
        return ((a.shape[:-2], a.dtype), (a.shape[:-2], a.dtype.part))

    def vjp(self, node: Node, g: Node) -> Grads:
        (a,) = node.inputs
        if node.attrs[0] == 0:
            if not a.dtype.is_complex:
                return (None,)  # 1 or -1
            across = imag(multiply(g, conj(node)))
            g = complex_(constant_like(across, 0.0), across)
        inverse = solve(adjoint(a), identity(a.dtype, a.shape))
        return (multiply(batched(like(g, a), a.shape), inverse),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (a,), (tangent,) = node.inputs, tangents
        if tangent is None:
            return None
        trace = _sum_of_diagonal(solve(a, tangent))
        if node.attrs[0]:
            return real(trace) if a.dtype.is_complex else trace
        if not a.dtype.is_complex:
            return None  # 1 or -1
        across = imag(trace)
        return multiply(node, complex_(constant_like(across, 0.0), across))


class Pinv(Call):
    """The Moore-Penrose inverse; inputs: A and, for each matrix, the tolerance relative to its
    largest singular value. Gradient: Golub and Pereyra 1973."""

    name, arity = "linalg.pinv", 2

    def host(np: Any, a: Any, tolerance: Any) -> tuple[Any, ...]:
        if not a.size:
            return (np.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype),)
        return (np.linalg.pinv(a, tolerance).astype(a.dtype, copy=False),)

    def results(self, a: Node, tolerance: Node) -> tuple[Facts, ...]:
        require_matrix(self.name, a)
        return (((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype),)

    def vjp(self, node: Node, g: Node) -> Grads:
        a, p = node.inputs[0], node
        turned, g_turned = adjoint(p), adjoint(g)
        main = products(turned, g, turned)
        left = products(g_turned, p, turned)  # times (I - A P) from the left
        left = subtract(left, products(a, p, left))
        right = products(turned, p, g_turned)  # times (I - P A) from the right
        right = subtract(right, products(right, p, a))
        return subtract(add(left, right), main), None

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (a, _), (tangent, _) = node.inputs, tangents
        if tangent is None:
            return None
        turned, p_turned = adjoint(tangent), adjoint(node)
        main = products(node, tangent, node)
        left = products(node, p_turned, turned)  # times (I - A P) from the right
        left = subtract(left, products(left, a, node))
        right = products(turned, p_turned, node)  # times (I - P A) from the left
        right = subtract(right, products(node, a, right))
        return subtract(add(left, right), main)


def _conjugate(a: Node) -> Node:
    return conj(a) if a.dtype.is_complex else a


def _sum_of_diagonal(a: Node) -> Node:
    return sum_(diagonal(a), attrs=((a.rank - 2,),))


def _inner(a: Node, b: Node) -> Node:
    """The sum of the products of elements, a number a matrix."""
    return sum_(multiply(a, b), attrs=((a.rank - 2, a.rank - 1),))


def _require_system(name: str, a: Node, b: Node) -> None:
    require_matrix(name, a, square=True)
    require_matrix(name, b)
    if a.shape[:-1] != b.shape[:-1]:
        raise ShapeError(f"{name}: got a {a.shape} and b {b.shape}; need (..., n, n) and (..., n, "
                         "k) with equal n")  # fmt: skip


cholesky, solve, solve_triangular, inv = Cholesky(), Solve(), SolveTriangular(), Inv()
det, cofactors, slogdet, pinv = Det(), Cofactors(), Slogdet(), Pinv()
