"""Products and extremes at computed positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ambos.core.dtype import DType
from ambos.core.errors import DTypeError
from ambos.core.shape import Shape
from ambos.graph.node import Attrs, Node
from ambos.ops.arithmetic import cast, divide, equal, multiply, subtract, where
from ambos.ops.indexing import (
    Index,
    check_positions,
    check_updates,
    check_within,
    gather,
    scatter_elements,
)
from ambos.ops.kinds import Grads, constant_like


class ScatterFold(Index):
    """A copy of x into which updates[i, j] is folded at [index[i, j], j] for axis 0, in the order
    of the axis, and so on; attrs: (axis, "prod" or "amax" or "amin"; NaN wins). Inputs: x, index,
    updates (shaped like the index)."""

    accepts: ClassVar[str] = "iuf"
    FOLDS: ClassVar[dict[str, str]] = {"prod": "mul", "amax": "max", "amin": "min"}  # in loop IR

    def ref(np: Any, x: Any, index: Any, updates: Any, axis: int, fold: str) -> Any:
        function = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}[fold]
        result = x.copy()
        place = list(np.indices(index.shape, sparse=True))
        place[axis] = index
        function.at(result, tuple(place), updates)
        return result

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x, index, updates), (axis, _) = inputs, attrs
        if x.dtype.kind not in self.accepts:
            raise DTypeError(f"scatter_fold: got {x.dtype.name}; need real numbers: cast first")
        check_positions("scatter_fold", x, index, axis)
        check_within("scatter_fold", x, index, axis)
        check_updates("scatter_fold", x, updates, index.shape)
        return x.shape, x.dtype

    def vjp(self, node: Node, g: Node) -> Grads:
        (x, index, updates), (axis, fold) = node.inputs, node.attrs
        if fold == "prod":
            by_x, by_updates = _slopes(x, index, updates, axis)
            there = gather(g, index, attrs=(axis,))
            return multiply(g, by_x), None, multiply(there, by_updates)
        is_x, is_update, count = _extremes(node, x, index, updates, axis)
        share = divide(g, count)
        there = gather(share, index, attrs=(axis,))
        return _where_one(is_x, share), None, _where_one(is_update, there)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (x, index, updates), (axis, fold) = node.inputs, node.attrs
        if tangents[0] is None and tangents[2] is None:
            return None
        by_x, by_updates = (
            constant_like(given, 0) if tangent is None else tangent
            for given, tangent in ((x, tangents[0]), (updates, tangents[2]))
        )
        if fold == "prod":
            slopes = _slopes(x, index, updates, axis)
            moved = multiply(by_x, slopes[0]), multiply(by_updates, slopes[1])
            return scatter_elements(moved[0], index, moved[1], attrs=(axis,))
        is_x, is_update, count = _extremes(node, x, index, updates, axis)
        moved = _where_one(is_x, by_x), _where_one(is_update, by_updates)
        return divide(scatter_elements(moved[0], index, moved[1], attrs=(axis,)), count)


def _as_number(mask: Node, x: Node) -> Node:
    return cast(mask, attrs=(x.dtype,))


def _where_one(mask: Node, value: Node) -> Node:
    return where(equal(mask, constant_like(mask, 0)), constant_like(value, 0), value)


def _extremes(
    node: Node, x: Node, index: Node, updates: Node, axis: int
) -> tuple[Node, Node, Node]:
    """1 where an element of x, and where one of the updates, is the extreme, else 0; and how many
    share each place evenly."""
    at = (axis,)
    is_x = _as_number(equal(x, node), x)
    is_update = _as_number(equal(updates, gather(node, index, attrs=at)), x)
    return is_x, is_update, scatter_elements(is_x, index, is_update, attrs=at)


def _slopes(x: Node, index: Node, updates: Node, axis: int) -> tuple[Node, Node]:
    """By each factor: the product of the others, without dividing by zero (see
    reductions.Prod)."""
    at = (axis,)
    x_zero, update_zero = (equal(v, constant_like(v, 0)) for v in (x, updates))
    count = scatter_elements(_as_number(x_zero, x), index, _as_number(update_zero, x), attrs=at)
    nothing_x, nothing_updates = constant_like(x, 0), constant_like(updates, 0)
    zeros = scatter_elements(
        where(x_zero, x, nothing_x), index, where(update_zero, updates, nothing_updates), attrs=at
    )
    safe_x = where(x_zero, constant_like(x, 1), x)
    safe_updates = where(update_zero, constant_like(updates, 1), updates)
    rest = scatter_fold(safe_x, index, safe_updates, attrs=(axis, "prod"))
    there = [gather(v, index, attrs=at) for v in (rest, count, zeros)]
    return _slope(x, x_zero, safe_x, rest, count, zeros), _slope(
        updates, update_zero, safe_updates, *there
    )


def _slope(x: Node, is_zero: Node, safe: Node, rest: Node, count: Node, zeros: Node) -> Node:
    """`rest` is the product of what is not zero, `zeros` the sum of the `count` that are. With one
    or two zeros the terms that vanish are written out, for the sake of the second derivative."""
    zero, one, two = (constant_like(x, value) for value in (0, 1, 2))
    single = equal(count, one)
    at_zero = where(single, one, where(equal(count, two), subtract(zeros, x), zero))
    elsewhere = where(equal(count, zero), one, where(single, zeros, zero))
    return multiply(divide(rest, safe), where(is_zero, at_zero, elsewhere))


scatter_fold = ScatterFold()
