"""Systems of linear equations, inverses, least squares."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import normalize_axis
from ambos.core.unknown import known
from ambos.graph.node import Node
from ambos.ops import matrices, triangles
from ambos.ops import solving as ops
from ambos.ops.arithmetic import add
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.linalg.factors import svdvals
from ambos.tensor.linalg.operands import adjoint as adjoint_of
from ambos.tensor.linalg.operands import (
    batched,
    choice,
    default_tolerance,
    matrix,
    real_size,
    together,
)
from ambos.tensor.movement import permute_dims
from ambos.tensor.names import public
from ambos.tensor.operands import convert, expand_to


class LstsqResult(NamedTuple):
    """The solution, sums of squared residuals (empty unless m > n), ranks, singular values; what
    the driver does not find is empty."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


@public
def inv(x: Any) -> Tensor:
    """Inverses of square matrices.

    Errors: LinAlgError where a matrix is singular.

    Example:
        >>> import ambos as am
        >>> am.linalg.inv(am.tensor([[2.0, 0.0], [0.0, 4.0]])).tolist()
        [[0.5, 0.0], [0.0, 0.25]]
    """
    return wrap(ops.inv(matrix("inv", x, square=True)))


def system(name: str, x: Any, y: Any) -> tuple[Node, Node, bool]:
    """Coefficients and right sides with equal batches; is the right side one vector a matrix?"""
    a, b = together(name, x, y)
    a = matrix(name, wrap(a), square=True)
    n = a.shape[-1]
    # A batch of vectors, as PyTorch takes it, unless it may be a matrix of the Array API.
    vectors = b.rank == 1 or (b.rank == a.rank - 1 and b.shape == a.shape[:-1] and b.shape[-2] != n)
    if vectors:
        b = reshaped(b, (*b.shape, 1))
    if b.rank < 2 or b.shape[-2] != n:
        raise ShapeError(f"linalg.{name}: got {a.shape} and right sides {node_of(y).shape}; need "
                         f"(..., n, n) and (..., n, k) or (n,), here n = {n}")  # fmt: skip
    return *batched(name, a, b), vectors  # type: ignore[return-value]


def _unwrapped(found: Node, vectors: bool) -> Tensor:
    return wrap(reshaped(found, found.shape[:-1]) if vectors else found)


@public
def solve(x: Any, y: Any, left: bool = True) -> Tensor:
    """z of x @ z = y (or z @ x = y, unless `left`).

    Shapes: (..., n, n) and (..., n, k) -> (..., n, k), or (n,) for one vector; leading axes
        broadcast. A batch of vectors is best given as y[..., None].
    Errors: LinAlgError where a matrix is singular.

    Example:
        >>> import ambos as am
        >>> am.linalg.solve(am.tensor([[2.0, 0.0], [0.0, 4.0]]), am.tensor([1.0, 1.0])).tolist()
        [0.5, 0.25]
    """
    if not left:
        return solve(wrap(node_of(x)).mT, wrap(node_of(y)).mT).mT
    a, b, vectors = system("solve", x, y)
    return _unwrapped(ops.solve(a, b), vectors)


@public
def solve_triangular(
    x: Any, y: Any, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """z of x @ z = y (or z @ x = y, unless `left`), reading only one triangle of `x`;
    `unitriangular` takes its diagonal for ones."""
    a, b = together("solve_triangular", x, y)
    if not left:
        turned = solve_triangular(
            wrap(a).mT, wrap(b).mT, upper=not upper, unitriangular=unitriangular
        )
        return turned.mT
    a, b, vectors = system("solve_triangular", wrap(a), wrap(b))
    if unitriangular:
        strict = matrices.upper(a, 1) if upper else matrices.lower(a, -1)
        a = add(strict, matrices.identity(a.dtype, a.shape))
    return _unwrapped(ops.solve_triangular(a, b, attrs=(0, bool(upper))), vectors)


@public
def cholesky_solve(y: Any, x: Any, upper: bool = False) -> Tensor:
    """z of A @ z = y, where `x` is the Cholesky factor of A."""
    factor = wrap(node_of(x))
    low, high = (adjoint_of(factor), factor) if upper else (factor, adjoint_of(factor))
    return solve_triangular(high, solve_triangular(low, y, upper=False), upper=True)


@public
def lu_solve(LU: Any, pivots: Any, y: Any, left: bool = True, adjoint: bool = False) -> Tensor:
    """z of A @ z = y (or z @ A = y, unless `left`) from A's `lu_factor`; with `adjoint` of A^H."""
    packed, b = together("lu_solve", LU, y)
    p = permutation("lu_solve", pivots, packed)
    if not left:
        turned = lu_solve(LU, pivots, adjoint_of(wrap(b)), adjoint=not adjoint)
        return adjoint_of(turned)
    a = wrap(packed)
    if adjoint:
        turned = adjoint_of(a)
        inner = solve_triangular(turned, wrap(b), upper=False)
        return p @ solve_triangular(turned, inner, upper=True, unitriangular=True)
    inner = solve_triangular(a, p.mT @ wrap(b), upper=False, unitriangular=True)
    return solve_triangular(a, inner, upper=True)


def permutation(name: str, pivots: Any, like: Node) -> Tensor:
    """The matrix P that a list of exchanges makes: P^H b exchanges rows of b."""
    node = node_of(pivots)
    if not node.dtype.is_integer:
        raise DTypeError(f"linalg.{name}: pivots are {node.dtype.name}; need integers, as "
                         "lu_factor returns them")  # fmt: skip
    order = triangles.lu_order(node, attrs=(0, like.shape[-2]))
    return wrap(triangles.permutation(order, like))


@public
def pinv(x: Any, rtol: Any = None, atol: Any = None, hermitian: bool = False) -> Tensor:
    """Moore-Penrose inverses; singular values up to max(atol, rtol * the largest) count as zero.

    `rtol` (a number, or one for each matrix) defaults to max(m, n) * eps of the dtype.
    """
    node = matrix("pinv", x, square=hermitian)
    if hermitian:  # the lower triangle says all
        strict = matrices.lower(node, -1)
        node = add(matrices.lower(node), matrices.adjoint(strict))
    return wrap(ops.pinv(node, _tolerance(node, rtol, atol)))


def _tolerance(node: Node, rtol: Any, atol: Any) -> Node:
    """Relative to the largest singular value, one number a matrix."""
    real = node.dtype.part
    batch = node.shape[:-2]
    if rtol is None:
        rtol = default_tolerance(node) if atol is None else 0.0
    found = expand_to(convert(node_of(rtol), real), batch)
    if atol is not None and min(node.shape[-2:]):
        largest = svdvals(wrap(node)).detach().amax(-1)
        found = wrap(found).maximum(wrap(convert(node_of(atol), real)) / largest)._node
    return found


DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


@public
def lstsq(x: Any, y: Any, rcond: Any = None, driver: str | None = None) -> LstsqResult:
    """z that makes the norm of x @ z - y smallest, and of several such the smallest z.

    Shapes: (..., m, n) and (..., m, k) -> (..., n, k), or (m,) for one vector. `driver`, one of
        LAPACK's names, is there for PyTorch's callers: what that one does not find is left out
        ("gels": ranks, singular values; "gelsy": residuals, singular values).
    """
    choice("lstsq", "driver", driver, (None, *DRIVERS))
    a, b = together("lstsq", x, y)
    a = matrix("lstsq", wrap(a))
    vectors = b.rank == 1
    if vectors:
        b = reshaped(b, (*b.shape, 1))
    if b.rank < 2 or b.shape[-2] != a.shape[-2]:
        raise ShapeError(f"linalg.lstsq: got {a.shape} and right sides {b.shape}; need (..., m, n) "
                         "and (..., m, k) with equal m")  # fmt: skip
    a, b = batched("lstsq", a, b)
    tolerance = _tolerance(a, rcond, None)
    solution = matrices.product(ops.pinv(a, tolerance), b)
    rest = real_size(wrap(matrices.product(a, solution)) - wrap(b))
    is_tall = known("linalg.lstsq: rows", a.shape[-2]) > a.shape[-1]
    has_rest = is_tall and driver != "gelsy"
    residuals = (rest * rest).sum(-2) if has_rest else rest.new_zeros((0,))
    values = svdvals(wrap(a))
    largest = values.amax(-1, keepdims=True) if values.shape[-1] else values
    rank = (values > largest * wrap(tolerance)[..., None]).sum(-1)
    if driver == "gels":
        rank = rank.new_zeros((0,))
    if driver in ("gels", "gelsy"):
        values = values.new_zeros((0,))
    return LstsqResult(_unwrapped(solution, vectors), residuals, rank, values)


@public
def tensorinv(x: Any, ind: int = 2) -> Tensor:
    """The inverse of `x` as a map from its last axes to its first `ind`."""
    given = wrap(node_of(x))
    if ind <= 0:
        raise ArgumentError(f"linalg.tensorinv: ind is {ind}; need at least 1")
    rows, columns = given.shape[:ind], given.shape[ind:]
    if math.prod(rows) != math.prod(columns):
        raise ShapeError(f"linalg.tensorinv: {tuple(given.shape)} cut at {ind}; need equal "
                         "products on both sides")  # fmt: skip
    flat = given.reshape(math.prod(rows), math.prod(columns))
    return inv(flat).reshape(*columns, *rows)


@public
def tensorsolve(x: Any, y: Any, dims: Any = None) -> Tensor:
    """z of tensordot(x, z, z.ndim) = y; the axes `dims` of `x` are moved to its end first."""
    given, right = wrap(node_of(x)), wrap(node_of(y))
    if dims is not None:
        last = [normalize_axis("linalg.tensorsolve", d, given.ndim) for d in dims]
        given = permute_dims(given, [*(a for a in range(given.ndim) if a not in last), *last])
    shape = given.shape[right.ndim :]
    sizes = {math.prod(part) for part in (given.shape[: right.ndim], shape, right.shape)}
    if len(sizes) > 1:
        raise ShapeError(f"linalg.tensorsolve: got {tuple(given.shape)} and {tuple(right.shape)}; "
                         f"need as many elements in y as in the first {right.ndim} axes of x, and "
                         "in the rest")  # fmt: skip
    flat = given.reshape(math.prod(right.shape), math.prod(shape))
    return solve(flat, right.reshape(math.prod(right.shape))).reshape(shape)
