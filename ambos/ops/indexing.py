"""Reading and adding at computed positions, and stable sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ambos.core.dtype import DType, int64
from ambos.core.errors import DTypeError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.node import Attrs, Node
from ambos.ops.kinds import Grads, Op, constant


class Index(Op, abstract=True):
    """Elements addressed by an int64 tensor. Positions must lie in [0, size): evaluation checks
    them (see `bounds`) and kernels clamp, so that memory is safe either way."""

    kind = "index"
    ref: ClassVar[Callable[..., Any]]

    @staticmethod
    def bounds(node: Node) -> tuple[Node, int]:
        """The positions and the number they must stay below."""
        return node.inputs[1], node.inputs[0].shape[node.attrs[0]]


def _check(name: str, x: Node, index: Node, axis: int) -> None:
    if index.dtype is not int64:
        raise DTypeError(f"{name}: positions are {index.dtype.name}; need int64")
    if not 0 <= axis < x.rank:
        raise ShapeError(f"{name}: axis {axis} of {x.shape}; need 0 <= axis < {x.rank}")


class Take(Index):
    """x[..., index, ...] along one axis; attrs: (axis,). The index's axes replace that axis."""

    ref = lambda np, x, index, axis: np.take(x, index, axis)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x, index), (axis,) = inputs, attrs
        _check("take", x, index, axis)
        return (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]), x.dtype

    def vjp(self, node: Node, g: Node) -> Grads:
        x, index = node.inputs
        return scatter_add(constant(0, x.dtype, x.shape), index, g, attrs=node.attrs), None


class ScatterAdd(Index):
    """A copy of x to which updates are added at x[..., index, ...], in the order of the index;
    attrs: (axis,). Inputs: x, index, updates (shaped like the result of `take`)."""

    def ref(np: Any, x: Any, index: Any, updates: Any, axis: int) -> Any:
        result = np.moveaxis(x.copy(), axis, 0)
        count = index.ndim
        moved = np.moveaxis(updates, range(axis, axis + count), range(count))
        np.add.at(result, index, moved)
        return np.moveaxis(result, 0, axis)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x, index, updates), (axis,) = inputs, attrs
        _check("scatter_add", x, index, axis)
        need = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
        if updates.shape != need or updates.dtype is not x.dtype:
            raise ShapeError(f"scatter_add: updates are {updates.dtype.name}{list(updates.shape)}; "
                             f"need {x.dtype.name}{list(need)}")  # fmt: skip
        return x.shape, x.dtype

    def vjp(self, node: Node, g: Node) -> Grads:
        _, index, _ = node.inputs
        return g, None, take(g, index, attrs=node.attrs)


class Argsort(Op):
    """Stable ascending order along the last axis, int64; NaN comes last."""

    kind = "sort"
    differentiable = False
    ref = lambda np, x: np.argsort(x, axis=-1, kind="stable")

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x,) = inputs
        if x.rank == 0:
            raise ShapeError("argsort: got a scalar; need at least one dimension")
        return x.shape, int64


take, scatter_add, argsort = Take(), ScatterAdd(), Argsort()
