"""Eigenvalues and singular values.

Where values coincide, vectors are not unique and have no derivative: gradients through them are
infinite or not a number there, as in PyTorch. Gradients of values alone stay finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.core.dtype import complex_of
from ambos.graph.node import Node
from ambos.ops.arithmetic import add, divide, multiply, subtract, where
from ambos.ops.call import Call, Facts, each_matrix, require_matrix
from ambos.ops.complex.bridge import complex_, conj, imag, real
from ambos.ops.kinds import Grads, constant_like
from ambos.ops.matrices import (
    adjoint,
    diagonal,
    hermitian,
    is_diagonal,
    matrix_of,
    product,
    products,
    rest_of,
    spread_columns,
    spread_rows,
    times_columns,
    times_rows,
)
from ambos.ops.matrices import like as as_dtype_of
from ambos.ops.movement import cut_to, pad, slice_
from ambos.ops.solving import solve

NO_CONVERGENCE = "has eigenvalues that do not converge; need finite numbers: look for NaN"


class Eigh(Call):
    """Eigenvalues in ascending order and eigenvectors of Hermitian matrices; attrs: (upper,), the
    triangle that is read. Gradient: Giles 2008."""

    name, hermitian = "linalg.eigh", True

    def host(np: Any, a: Any, upper: bool) -> tuple[Any, ...]:
        uplo = "U" if upper else "L"
        found = each_matrix(
            np, "linalg.eigh", NO_CONVERGENCE, lambda x: np.linalg.eigh(x, UPLO=uplo), a
        )
        return tuple(found)

    def results(self, a: Node, upper: bool) -> tuple[Facts, ...]:
        require_matrix(self.name, a, square=True)
        return ((a.shape[:-1], a.dtype.part), (a.shape, a.dtype))

    def vjp(self, node: Node, g: Node) -> Grads:
        (a,) = node.inputs
        values, vectors = self.parts(a, attrs=node.attrs[1:])
        if node.attrs[0] == 0:
            return (_values_gradient(vectors, g),)
        turned = adjoint(vectors)
        # Vectors stay orthonormal: only the skew half of V^H g counts, and what it makes of the
        # gradient is Hermitian.
        skew = multiply(_skew(product(turned, g)), constant_like(a, 0.5))
        return (products(vectors, divide(skew, _gaps(values, a)), turned),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (a,), (tangent,) = node.inputs, tangents
        if tangent is None:
            return None
        values, vectors = self.parts(a, attrs=node.attrs[1:])
        inner = products(adjoint(vectors), hermitian(tangent), vectors)
        if node.attrs[0] == 0:
            return _as_real(diagonal(inner), node)
        return product(vectors, divide(inner, _gaps(values, a)))


class Eigvalsh(Call):
    """Eigenvalues of Hermitian matrices in ascending order; attrs: (upper,)."""

    name, hermitian = "linalg.eigvalsh", True

    def host(np: Any, a: Any, upper: bool) -> tuple[Any, ...]:
        uplo = "U" if upper else "L"
        found = each_matrix(
            np, "linalg.eigvalsh", NO_CONVERGENCE, lambda x: np.linalg.eigvalsh(x, UPLO=uplo), a
        )
        return (found,)

    def results(self, a: Node, upper: bool) -> tuple[Facts, ...]:
        require_matrix(self.name, a, square=True)
        return ((a.shape[:-1], a.dtype.part),)

    def vjp(self, node: Node, g: Node) -> Grads:
        return (_values_gradient(eigh(node.inputs[0], attrs=(1, *node.attrs[1:])), g),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (a,), (tangent,) = node.inputs, tangents
        if tangent is None:
            return None
        vectors = eigh(a, attrs=(1, *node.attrs[1:]))
        inner = products(adjoint(vectors), hermitian(tangent), vectors)
        return _as_real(diagonal(inner), node)


def _values_gradient(vectors: Node, g: Node) -> Node:
    return product(times_columns(vectors, g), adjoint(vectors))


def _gaps(values: Node, like: Node) -> Node:
    """values[j] - values[i] at (i, j); infinite on the diagonal, which has no share."""
    gaps = subtract(spread_columns(values, like.shape), spread_rows(values, like.shape))
    return as_dtype_of(
        where(is_diagonal(like.shape), constant_like(gaps, float("inf")), gaps), like
    )


class Eig(Call):
    """Eigenvalues and eigenvectors of square matrices, complex, in no order. Gradient: Boeddeker
    2017; of an eigenvector only what does not depend on its length and phase has one."""

    name = "linalg.eig"

    def host(np: Any, a: Any) -> tuple[Any, ...]:
        found = each_matrix(np, "linalg.eig", NO_CONVERGENCE, np.linalg.eig, a)
        kind = np.result_type(a.dtype, np.complex64)
        return tuple(x.astype(kind, copy=False) for x in found)

    def results(self, a: Node) -> tuple[Facts, ...]:
        require_matrix(self.name, a, square=True)
        kind = complex_of(a.dtype)
        return ((a.shape[:-1], kind), (a.shape, kind))

    def vjp(self, node: Node, g: Node) -> Grads:
        (a,) = node.inputs
        values, vectors = self.parts(a)
        turned = adjoint(vectors)
        if node.attrs[0] == 0:
            return (_as_real(solve(turned, times_rows(g, turned)), a),)
        inner = product(turned, g)
        lengths = real(diagonal(inner))
        inner = subtract(inner, product(turned, times_columns(vectors, lengths)))
        gaps = conj(subtract(spread_columns(values, a.shape), spread_rows(values, a.shape)))
        gaps = where(is_diagonal(a.shape), constant_like(gaps, 1), gaps)
        inner = divide(inner, gaps)
        inner = where(is_diagonal(a.shape), constant_like(inner, 0), inner)
        return (_as_real(solve(turned, product(inner, turned)), a),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (a,), (tangent,) = node.inputs, tangents
        if tangent is None:
            return None
        values, vectors = self.parts(a)
        inner = solve(vectors, product(as_dtype_of(tangent, vectors), vectors))
        if node.attrs[0] == 0:
            return diagonal(inner)
        gaps = subtract(spread_columns(values, a.shape), spread_rows(values, a.shape))
        gaps = where(is_diagonal(a.shape), constant_like(gaps, 1), gaps)
        inner = where(is_diagonal(a.shape), constant_like(inner, 0), divide(inner, gaps))
        moved = product(vectors, inner)
        lengths = real(diagonal(product(adjoint(vectors), moved)))  # which stay one
        return subtract(moved, times_columns(vectors, lengths))


def _as_real(g: Node, a: Node) -> Node:
    return real(g) if g.dtype.is_complex and not a.dtype.is_complex else g


class Svd(Call):
    """U, singular values in descending order, V^H; attrs: (full,). With `full` U and V are square.
    Gradient: Townsend 2016."""

    name = "linalg.svd"

    def host(np: Any, a: Any, full: bool) -> tuple[Any, ...]:
        says = "has singular values that do not converge; need finite numbers: look for NaN"
        found = each_matrix(
            np, "linalg.svd", says, lambda x: np.linalg.svd(x, full_matrices=full), a
        )
        return tuple(found)

    def results(self, a: Node, full: bool) -> tuple[Facts, ...]:
        require_matrix(self.name, a)
        *batch, m, n = a.shape
        k = min(m, n)
        return (
            ((*batch, m, m if full else k), a.dtype),
            ((*batch, k), a.dtype.part),
            ((*batch, n if full else k, n), a.dtype),
        )

    def vjp(self, node: Node, g: Node) -> Grads:
        (a,), part = node.inputs, node.attrs[0]
        u, s, vh = self.parts(a, attrs=(False,))
        if part == 1:
            return (product(times_columns(u, g), vh),)
        # Of square factors only what belongs to singular values is determined.
        g = cut_to(g, u.shape if part == 0 else vh.shape)
        if part == 0:
            skew = _skew(product(adjoint(u), g))
            middle = times_columns(divide(skew, _square_gaps(s, a)), s)
            if a.dtype.is_complex:  # U's phases are chosen, V^H follows
                twice = as_dtype_of(_reciprocal(add(s, s)), a)
                middle = add(middle, matrix_of(multiply(diagonal(skew), twice)))
            found = products(u, middle, vh)
            if a.shape[-2] > s.shape[-1]:
                rest = times_columns(rest_of(g, u), _reciprocal(s))
                found = add(found, product(rest, vh))
            return (found,)
        v, gv = adjoint(vh), adjoint(g)
        middle = times_rows(s, divide(_skew(product(vh, gv)), _square_gaps(s, a)))
        found = products(u, middle, vh)
        if a.shape[-1] > s.shape[-1]:
            rest = times_rows(_reciprocal(s), adjoint(rest_of(gv, v)))
            found = add(found, product(u, rest))
        return (found,)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (a,), (tangent,), part = node.inputs, tangents, node.attrs[0]
        if tangent is None:
            return None
        u, s, vh = self.parts(a, attrs=(False,))
        if part == 1:
            return _as_real(diagonal(products(adjoint(u), tangent, adjoint(vh))), node)
        if part == 0:
            found = _turned_left(u, s, vh, tangent)
        else:
            found = adjoint(_turned_left(adjoint(vh), s, adjoint(u), adjoint(tangent), False))
        # Of square factors only what belongs to singular values is determined.
        after = tuple(n - m for n, m in zip(node.shape, found.shape, strict=True))
        return pad(found, attrs=((0,) * node.rank, after)) if any(after) else found


class Svdvals(Call):
    """Singular values in descending order."""

    name = "linalg.svdvals"

    def host(np: Any, a: Any) -> tuple[Any, ...]:
        says = "has singular values that do not converge; need finite numbers: look for NaN"
        return (
            each_matrix(
                np, "linalg.svdvals", says, lambda x: np.linalg.svd(x, compute_uv=False), a
            ),
        )

    def results(self, a: Node) -> tuple[Facts, ...]:
        require_matrix(self.name, a)
        return (((*a.shape[:-2], min(a.shape[-2:])), a.dtype.part),)

    def vjp(self, node: Node, g: Node) -> Grads:
        u, _, vh = svd.parts(*node.inputs, attrs=(False,))
        return (product(times_columns(u, g), vh),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (tangent,) = tangents
        if tangent is None:
            return None
        u, _, vh = svd.parts(*node.inputs, attrs=(False,))
        return _as_real(diagonal(products(adjoint(u), tangent, adjoint(vh))), node)


def _skew(a: Node) -> Node:
    return subtract(a, adjoint(a))


def _turned_left(u: Node, s: Node, vh: Node, tangent: Node, with_phase: bool = True) -> Node:
    """How U of U S V^H moves. Phases, which are chosen, are those of U alone."""
    v = adjoint(vh)
    inner = products(adjoint(u), tangent, v)
    mixed = add(times_columns(inner, s), times_rows(s, adjoint(inner)))
    middle = divide(mixed, _square_gaps(s, tangent))
    if with_phase and u.dtype.is_complex:
        across = divide(imag(diagonal(inner)), s)
        middle = add(middle, matrix_of(complex_(constant_like(across, 0.0), across)))
    found = product(u, middle)
    if u.shape[-2] > s.shape[-1]:
        rest = rest_of(product(tangent, v), u)
        found = add(found, times_columns(rest, _reciprocal(s)))
    return found


def _reciprocal(s: Node) -> Node:
    return divide(constant_like(s, 1), s)


def _square_gaps(s: Node, like: Node) -> Node:
    """s[j]^2 - s[i]^2 at (i, j), written so that near ones keep their digits; infinite on the
    diagonal."""
    shape = (*s.shape, s.shape[-1])
    columns, rows = spread_columns(s, shape), spread_rows(s, shape)
    gaps = multiply(subtract(columns, rows), add(columns, rows))
    gaps = where(is_diagonal(shape), constant_like(gaps, float("inf")), gaps)
    return as_dtype_of(gaps, like)


class MatrixExp(Call):
    """The exponential of square matrices: scaling and squaring of a Pade approximant (Higham 2005).
    The gradient is the corner of the exponential of a block matrix."""

    name = "linalg.matrix_exp"

    def host(np: Any, a: Any) -> tuple[Any, ...]:
        return (_exponential(np, a),)

    def results(self, a: Node) -> tuple[Facts, ...]:
        require_matrix(self.name, a, square=True)
        return ((a.shape, a.dtype),)

    def vjp(self, node: Node, g: Node) -> Grads:
        return (_corner(adjoint(node.inputs[0]), g),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (a,), (tangent,) = node.inputs, tangents
        return tangent and _corner(a, tangent)


def _corner(a: Node, moved: Node) -> Node:
    """The upper right corner of exp([[A, M], [0, A]]): how exp(A) moves with A by M."""
    n, rank = a.shape[-1], a.rank
    nothing = (0,) * rank
    right, down, both = (*nothing[:-1], n), (*nothing[:-2], n, 0), (*nothing[:-2], n, n)
    block = add(
        add(pad(a, attrs=(nothing, both)), pad(a, attrs=(both, nothing))),
        pad(moved, attrs=(right, down)),
    )
    whole = matrix_exp(block)
    stop = (*whole.shape[:-2], n, 2 * n)
    return slice_(whole, attrs=(right, stop, (1,) * rank))


PADE = (64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000,
        10559470521600, 670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182,
        1)  # fmt: skip
PADE_NORM = 5.371920351148152  # up to here the approximant of degree 13 is exact in float64


def _exponential(np: Any, a: Any) -> Any:
    """In float64 for all dtypes: scaling loses digits that float32 does not have."""
    if not a.size:
        return a.copy()
    wide = a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)
    norm = np.abs(wide).sum(-2).max(-1)
    scale = np.where(norm > PADE_NORM, norm / PADE_NORM, 1.0)
    finite = np.isfinite(norm)
    squarings = np.where(finite, np.ceil(np.log2(np.where(finite, scale, 1.0))), 0).astype(int)
    wide = np.where(finite[..., None, None], wide, 0) * np.exp2(-squarings)[..., None, None]
    eye = np.eye(a.shape[-1])
    a2 = wide @ wide
    a4 = a2 @ a2
    a6 = a4 @ a2
    c = [float(number) for number in PADE]
    odd = a6 @ (c[13] * a6 + c[11] * a4 + c[9] * a2) + c[7] * a6 + c[5] * a4 + c[3] * a2
    odd = wide @ (odd + c[1] * eye)
    even = a6 @ (c[12] * a6 + c[10] * a4 + c[8] * a2) + c[6] * a6 + c[4] * a4 + c[2] * a2
    even = even + c[0] * eye
    found = np.linalg.solve(even - odd, even + odd)
    for turn in range(int(squarings.max(initial=0))):
        found = np.where((squarings > turn)[..., None, None], found @ found, found)
    return np.where(finite[..., None, None], found, np.nan).astype(a.dtype)


eig, eigh, eigvalsh, svd, svdvals = Eig(), Eigh(), Eigvalsh(), Svd(), Svdvals()
matrix_exp = MatrixExp()
