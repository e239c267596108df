"""Reading and adding at computed positions, and stable sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ambos.core.dtype import DType, int64
from ambos.core.errors import DTypeError, ShapeError
from ambos.core.shape import Shape, size_of
from ambos.graph.node import Attrs, Node
from ambos.ops.arithmetic import add, multiply
from ambos.ops.kinds import Grads, Op, constant
from ambos.ops.movement import expand, reshape
from ambos.ops.sources import iota


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


class Gather(Index):
    """result[i, j] = x[index[i, j], j] for axis 0, and so on; attrs: (axis,). The index has as many
    dimensions as x and, but for the axis, sizes within it."""

    def ref(np: Any, x: Any, index: Any, axis: int) -> Any:
        part = tuple(slice(None if a == axis else n) for a, n in enumerate(index.shape))
        return np.take_along_axis(x[part], index, axis)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x, index), (axis,) = inputs, attrs
        _check("gather", x, index, axis)
        if index.rank != x.rank or any(
            i > n
            for a, (i, n) in enumerate(zip(index.shape, x.shape, strict=True)) if a != axis
        ):  # fmt: skip
            raise ShapeError(f"gather: positions are {index.shape} for {x.shape}; need as many "
                             f"dimensions, and sizes within it but for axis {axis}")  # fmt: skip
        return index.shape, x.dtype

    def vjp(self, node: Node, g: Node) -> Grads:
        x, index = node.inputs
        place = constant(0, int64, index.shape)
        for axis, extent in enumerate(index.shape):
            single = tuple(extent if a == axis else 1 for a in range(index.rank))
            line = expand(reshape(iota(attrs=(extent,)), attrs=(single,)), attrs=(index.shape,))
            at = index if axis == node.attrs[0] else line
            stride = constant(size_of(x.shape[axis + 1 :]), int64, index.shape)
            place = add(place, multiply(at, stride))
        flat = (reshape(n, attrs=((index.size,),)) for n in (place, g))
        total = scatter_add(constant(0, x.dtype, (x.size,)), *flat, attrs=(0,))
        return reshape(total, attrs=(x.shape,)), None


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


class Order(Op, abstract=True):
    """Rows along the last axis in stable order; attrs: (count, descending). The first `count` of
    the order are kept. NaN counts as greater than every number."""

    kind = "sort"

    @staticmethod
    def check(x: Node, attrs: Attrs, name: str) -> Shape:
        """The shape of the result."""
        count, _ = attrs
        if x.rank == 0:
            raise ShapeError(f"{name}: got a scalar; need at least one dimension")
        if not 0 <= count <= x.shape[-1]:
            raise ShapeError(f"{name}: the first {count} of {x.shape[-1]}; need no more than there "
                             "are")  # fmt: skip
        return (*x.shape[:-1], count)


def _stable_order(np: Any, x: Any, count: int, descending: bool) -> Any:
    if not descending:
        return np.argsort(x, axis=-1, kind="stable")[..., :count]
    mirrored = np.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    return (x.shape[-1] - 1 - mirrored)[..., :count]


class Argsort(Order):
    """The positions in stable order along the last axis, int64."""

    differentiable = False
    ref = _stable_order

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        return self.check(inputs[0], attrs, "argsort"), int64


class Sort(Order):
    """The values in stable order along the last axis."""

    def ref(np: Any, x: Any, count: int, descending: bool) -> Any:
        return np.take_along_axis(x, _stable_order(np, x, count, descending), -1)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        return self.check(inputs[0], attrs, "sort"), inputs[0].dtype

    def vjp(self, node: Node, g: Node) -> Grads:
        (x,) = node.inputs
        rows, extent = size_of(x.shape[:-1]), x.shape[-1]
        start = multiply(iota(attrs=(rows,)), constant(extent, int64, (rows,)))
        start = reshape(start, attrs=((*x.shape[:-1], 1),))
        place = add(expand(start, attrs=(g.shape,)), argsort(x, attrs=node.attrs))
        flat = constant(0, x.dtype, (x.size,)), *(
            reshape(n, attrs=((g.size,),)) for n in (place, g)
        )  # fmt: skip
        return (reshape(scatter_add(*flat, attrs=(0,)), attrs=(x.shape,)),)


take, gather, scatter_add, argsort, sort = Take(), Gather(), ScatterAdd(), Argsort(), Sort()
