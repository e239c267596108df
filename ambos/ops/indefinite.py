"""Factors of symmetric and Hermitian matrices that need not be positive: A = P L D L^H P^H with
blocks of one or two rows in D, by the diagonal pivoting of Bunch and Kaufman 1977, in LAPACK's form
(xSYTRF and xHETRF, lower): L below the diagonal, D on it and beside it, and in a list which row was
exchanged (from 1; negative for both rows of a block of two)."""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import int32
from ambos.core.errors import LinAlgError, ShapeError
from ambos.graph.node import Node
from ambos.ops.call import Call, Facts, each_matrix, require_matrix, which_of

SINGULAR = "has a zero in D; need full rank: use am.linalg.pinv or am.linalg.lstsq"
GROWTH = (1 + 17**0.5) / 8  # of a pivot, relative to the largest beside it: bounds what L grows to


class LdlFactor(Call):
    """L and D in one matrix, the exchanges (int32), and the first column (from 1) in which D has a
    zero, else 0 (int32); attrs: (hermitian, checked), which makes a zero an error. Reads
    the lower triangle."""

    name, differentiable = "linalg.ldl_factor", False

    def host(np: Any, a: Any, hermitian: bool, checked: bool) -> tuple[Any, ...]:
        ld = np.tril(a)
        pivots = np.zeros(a.shape[:-1], np.int32)
        info = np.zeros(a.shape[:-2], np.int32)
        for place in np.ndindex(*info.shape):
            info[place] = _factor(np, ld[place], pivots[place], hermitian)
            if checked and info[place]:
                raise LinAlgError(f"linalg.ldl_factor: {which_of(place)} {SINGULAR}")
        return np.tril(ld), pivots, info

    def results(self, a: Node, hermitian: bool, checked: bool) -> tuple[Facts, ...]:
        require_matrix(self.name, a, square=True)
        return (a.shape, a.dtype), (a.shape[:-1], int32), (a.shape[:-2], int32)


class LdlSolve(Call):
    """X of A X = B from the factors of A; inputs: LD, the exchanges (whole numbers in the real
    dtype, so that the call has one precision), B. attrs: (hermitian,)."""

    name, arity, differentiable = "linalg.ldl_solve", 3, False

    def host(np: Any, ld: Any, pivots: Any, b: Any, hermitian: bool) -> tuple[Any, ...]:
        def function(ld: Any, pivots: Any, b: Any) -> Any:
            found = b.copy()
            for place in np.ndindex(*ld.shape[:-2]):
                _substitute(np, ld[place], pivots[place].astype(np.int64), found[place], hermitian)
            return found

        return (each_matrix(np, "linalg.ldl_solve", SINGULAR, function, ld, pivots, b),)

    def results(self, ld: Node, pivots: Node, b: Node, hermitian: bool) -> tuple[Facts, ...]:
        require_matrix(self.name, ld, square=True)
        if pivots.shape != ld.shape[:-1] or b.rank < 2 or b.shape[:-1] != ld.shape[:-1]:
            raise ShapeError(f"{self.name}: got {ld.shape}, pivots {pivots.shape} and right sides "
                             f"{b.shape}; need (..., n, n), (..., n) and (..., n, k)")  # fmt: skip
        return ((b.shape, b.dtype),)


def _size(np: Any, x: Any) -> Any:
    """Magnitudes as LAPACK compares them."""
    return np.abs(x.real) + np.abs(x.imag) if x.dtype.kind == "c" else np.abs(x)


def _factor(np: Any, a: Any, pivots: Any, hermitian: bool) -> int:
    """Factor one matrix in its place; what stands above the diagonal is left undefined."""
    n, k, info = len(a), 0, 0
    turned = np.conj if hermitian else (lambda x: x)
    if hermitian:
        np.fill_diagonal(a, np.diagonal(a).real)
    while k < n:
        width, chosen = _pivot(np, a, k)
        if chosen < 0:
            info, chosen = info or k + 1, k
        else:
            if chosen != k + width - 1:
                _exchange(a, k, k + width - 1, chosen, turned)
            rest = slice(k + width, n)
            old = a[rest, k : k + width].copy()
            block = _block(a, k, width, turned)
            a[rest, k : k + width] = np.linalg.solve(block.T, old.T).T
            a[rest, rest] -= a[rest, k : k + width] @ turned(old).T
            if hermitian:
                places = np.arange(k, n)
                a[places, places] = a[places, places].real
        pivots[k : k + width] = chosen + 1 if width == 1 else -(chosen + 1)
        k += width
    return info


def _pivot(np: Any, a: Any, k: int) -> tuple[int, int]:
    """How many rows the next block has, and the row that becomes its last; -1 where all is zero."""
    own = _size(np, a[k, k])
    column = _size(np, a[k + 1 :, k])
    largest = column.max(initial=0)
    if not max(own, largest) > 0:
        return 1, -1
    if own >= GROWTH * largest:
        return 1, k
    row = k + 1 + int(column.argmax())
    beside = max(_size(np, a[row, k:row]).max(), _size(np, a[row + 1 :, row]).max(initial=0))
    if own >= GROWTH * largest * (largest / beside):
        return 1, k
    return (1, row) if _size(np, a[row, row]) >= GROWTH * beside else (2, row)


def _exchange(a: Any, start: int, first: int, second: int, turned: Any) -> None:
    """Swap two rows, and the columns of the same numbers, in the lower triangle from `start`."""
    after, between = slice(second + 1, None), slice(first + 1, second)
    for x, y in (
        (a[after, first], a[after, second]),
        (a[first, start:first], a[second, start:first]),
    ):
        x[...], y[...] = y.copy(), x.copy()
    column, row = turned(a[between, first]).copy(), turned(a[second, between]).copy()
    a[between, first], a[second, between] = row, column
    a[first, first], a[second, second] = a[second, second].copy(), a[first, first].copy()
    a[second, first] = turned(a[second, first])


def _block(a: Any, k: int, width: int, turned: Any) -> Any:
    """A block of D, whole."""
    block = a[k : k + width, k : k + width].copy()
    if width == 2:
        block[0, 1] = turned(block[1, 0])
    return block


def _substitute(np: Any, ld: Any, pivots: Any, b: Any, hermitian: bool) -> None:
    """Put X in the place of `b`: through L and D downwards, through L^H upwards."""
    turned = np.conj if hermitian else (lambda x: x)
    blocks = _blocks(pivots)
    for k, width in blocks:
        _swap(b, k + width - 1, abs(int(pivots[k])) - 1)
        b[k + width :] -= ld[k + width :, k : k + width] @ b[k : k + width]
        b[k : k + width] = np.linalg.solve(_block(ld, k, width, turned), b[k : k + width])
    for k, width in reversed(blocks):
        b[k : k + width] -= turned(ld[k + width :, k : k + width]).T @ b[k + width :]
        _swap(b, k + width - 1, abs(int(pivots[k])) - 1)


def _blocks(pivots: Any) -> list[tuple[int, int]]:
    """Where the blocks of D begin, and how many rows they have."""
    n, found, k = len(pivots), [], 0
    while k < n:
        width = 1 if pivots[k] > 0 else 2
        if not 1 <= abs(pivots[k]) <= n or k + width > n:
            raise LinAlgError(f"linalg.ldl_solve: pivot {pivots[k]} at {k} of {n} rows; need those "
                              "of ldl_factor, counted from 1")  # fmt: skip
        found.append((k, width))
        k += width
    return found


def _swap(b: Any, first: int, second: int) -> None:
    if first != second:
        b[[first, second]] = b[[second, first]]


ldl_factor, ldl_solve = LdlFactor(), LdlSolve()
