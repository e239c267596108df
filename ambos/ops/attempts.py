"""Calls that say which matrices they failed on instead of raising.

A second result, int32, is 0 where all went well, else the number of the first leading minor (from
1) that is not positive, or of the first pivot that is zero. Where it is not 0 the first result is
NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ambos.core.dtype import int32
from ambos.graph.node import Node
from ambos.ops.call import Facts
from ambos.ops.kinds import Grads
from ambos.ops.solving import Cholesky, Inv, Solve
from ambos.ops.triangles import LuFactor


def _attempted(
    np: Any, function: Callable[..., Any], place_of: Callable[[Any, Any], int], *arrays: Any
) -> tuple[Any, Any]:
    """`function` of all matrices at once, or, where that fails, of one after the other."""
    batch = arrays[0].shape[:-2]
    info = np.zeros(batch, np.int32)
    try:
        return function(*arrays), info
    except np.linalg.LinAlgError:
        found = np.full(arrays[-1].shape, np.nan, arrays[-1].dtype)
    for place in np.ndindex(*batch):
        try:
            found[place] = function(*(x[place] for x in arrays))
        except np.linalg.LinAlgError:
            info[place] = place_of(np, arrays[0][place])
    return found, info


def _bad_minor(np: Any, a: Any) -> int:
    for size in range(1, len(a)):
        try:
            np.linalg.cholesky(a[:size, :size])
        except np.linalg.LinAlgError:
            return size
    return len(a)


def _zero_pivot(np: Any, a: Any) -> int:
    packed, _, _ = LuFactor.host(np, a, True)
    zeros = np.flatnonzero(np.diagonal(packed) == 0)
    return int(zeros[0]) + 1 if len(zeros) else len(a)


class CholeskyEx(Cholesky):
    """The lower factor L of A = L L^H, and where there is none."""

    name = "linalg.cholesky_ex"

    def host(np: Any, a: Any) -> tuple[Any, ...]:
        return _attempted(np, np.linalg.cholesky, _bad_minor, a)

    def results(self, a: Node) -> tuple[Facts, ...]:
        return (*super().results(a), (a.shape[:-2], int32))

    def vjp(self, node: Node, g: Node) -> Grads:
        return (None,) if node.attrs[0] else super().vjp(node, g)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        return None if node.attrs[0] else super().jvp(node, tangents)


class InvEx(Inv):
    """The inverse, and where there is none."""

    name = "linalg.inv_ex"

    def host(np: Any, a: Any) -> tuple[Any, ...]:
        return _attempted(np, np.linalg.inv, _zero_pivot, a)

    def results(self, a: Node) -> tuple[Facts, ...]:
        return (*super().results(a), (a.shape[:-2], int32))

    def vjp(self, node: Node, g: Node) -> Grads:
        return (None,) if node.attrs[0] else super().vjp(node, g)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        return None if node.attrs[0] else super().jvp(node, tangents)


class SolveEx(Solve):
    """X of A X = B, and where there is none."""

    name = "linalg.solve_ex"

    def host(np: Any, a: Any, b: Any) -> tuple[Any, ...]:
        return _attempted(np, np.linalg.solve, _zero_pivot, a, b)

    def results(self, a: Node, b: Node) -> tuple[Facts, ...]:
        return (*super().results(a, b), (a.shape[:-2], int32))

    def vjp(self, node: Node, g: Node) -> Grads:
        return (None, None) if node.attrs[0] else super().vjp(node, g)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        return None if node.attrs[0] else super().jvp(node, tangents)


cholesky_ex, inv_ex, solve_ex = CholeskyEx(), InvEx(), SolveEx()
