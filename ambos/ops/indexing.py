"""Reading and adding at computed positions, and stable sorting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ambos.core.dtype import DType, int64
from ambos.core.errors import DTypeError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.lines import note
from ambos.graph.node import Attrs, Node
from ambos.ops.arithmetic import less, where
from ambos.ops.kinds import Grads, Op, constant, constant_like, for_each, not_accepted
from ambos.ops.movement import expand, permute, reshape


class Index(Op, abstract=True):
    """Elements addressed by an int64 tensor. Positions must lie in [0, size): evaluation checks
    them (see `bounds`) and kernels clamp, so that memory is safe either way."""

    kind = "index"
    ref: ClassVar[Callable[..., Any]]

    def __call__(self, *inputs: Node, attrs: Attrs = ()) -> Node:
        node = super().__call__(*inputs, attrs=attrs)
        note(node, may_fail=True)  # a position may be wrong, which is found out lines later
        return node

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        axis, *rest = attrs
        return axis + 1, *rest

    @staticmethod
    def bounds(node: Node) -> tuple[Node, int]:
        """The positions and the number they must stay below."""
        return node.inputs[1], node.inputs[0].shape[node.attrs[0]]


def check_positions(name: str, x: Node, index: Node, axis: int) -> None:
    if index.dtype is not int64:
        raise DTypeError(f"{name}: positions are {index.dtype.name}; need int64")
    if not 0 <= axis < x.rank:
        raise ShapeError(f"{name}: axis {axis} of {x.shape}; need 0 <= axis < {x.rank}")


def check_within(name: str, x: Node, index: Node, axis: int) -> None:
    if index.rank != x.rank or any(
        i > n for a, (i, n) in enumerate(zip(index.shape, x.shape, strict=True)) if a != axis
    ):
        raise ShapeError(f"{name}: positions are {index.shape} for {x.shape}; need as many "
                         f"dimensions, and sizes within it but for axis {axis}")  # fmt: skip


def check_updates(name: str, x: Node, updates: Node, need: Shape) -> None:
    if updates.shape != need or updates.dtype is not x.dtype:
        raise ShapeError(f"{name}: updates are {updates.dtype.name}{list(updates.shape)}; need "
                         f"{x.dtype.name}{list(need)}")  # fmt: skip


def element_wise(index: Node, shape: Shape, axis: int) -> Node:
    """Positions that each example has of its own, (examples, ...), one for each element of `shape`
    (of all examples, where `axis` holds as many as an example has)."""
    count = shape[axis]
    single = tuple(n if a == 0 else count if a == axis else 1 for a, n in enumerate(shape))
    return expand(reshape(index, attrs=(single,)), attrs=(shape,))


class Take(Index):
    """x[..., index, ...] along one axis; attrs: (axis,). The index's axes replace that axis."""

    linear = (0,)

    ref = lambda np, x, index, axis: np.take(x, index, axis)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x, index), (axis,) = inputs, attrs
        check_positions("take", x, index, axis)
        return (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]), x.dtype

    def batch(
        self, node: Node, inputs: tuple[Node, ...], batched: tuple[bool, ...], size: int
    ) -> Node:
        (x, index), (axis,) = inputs, node.attrs
        if not batched[1]:
            return take(x, index, attrs=(axis + 1,))
        if batched[0]:
            rows = node.inputs[1].size
            shape = (*x.shape[: axis + 1], rows, *x.shape[axis + 2 :])
            found = gather(x, element_wise(index, shape, axis + 1), attrs=(axis + 1,))
            return reshape(found, attrs=((size, *node.shape),))
        found = take(x, index, attrs=(axis,))
        order = axis, *(a for a in range(found.rank) if a != axis)
        return permute(found, attrs=(order,)) if axis else found

    def vjp(self, node: Node, g: Node) -> Grads:
        x, index = node.inputs
        return scatter_add(constant(0, x.dtype, x.shape), index, g, attrs=node.attrs), None


class Gather(Index):
    """result[i, j] = x[index[i, j], j] for axis 0, and so on; attrs: (axis,). The index has as many
    dimensions as x and, but for the axis, sizes within it."""

    linear = (0,)

    def ref(np: Any, x: Any, index: Any, axis: int) -> Any:
        part = tuple(slice(None if a == axis else n) for a, n in enumerate(index.shape))
        return np.take_along_axis(x[part], index, axis)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x, index), (axis,) = inputs, attrs
        check_positions("gather", x, index, axis)
        check_within("gather", x, index, axis)
        return index.shape, x.dtype

    def vjp(self, node: Node, g: Node) -> Grads:
        x, index = node.inputs
        nothing = constant(0, x.dtype, x.shape)
        return scatter_elements(nothing, index, g, attrs=node.attrs), None


class ScatterAdd(Index):
    """A copy of x to which updates are added at x[..., index, ...], in the order of the index;
    attrs: (axis,). Inputs: x, index, updates (shaped like the result of `take`)."""

    linear = (0, 2)

    def ref(np: Any, x: Any, index: Any, updates: Any, axis: int) -> Any:
        result = np.moveaxis(x.copy(), axis, 0)
        count = index.ndim
        moved = np.moveaxis(updates, range(axis, axis + count), range(count))
        np.add.at(result, index, moved)
        return np.moveaxis(result, 0, axis)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x, index, updates), (axis,) = inputs, attrs
        check_positions("scatter_add", x, index, axis)
        need = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
        check_updates("scatter_add", x, updates, need)
        return x.shape, x.dtype

    def batch(
        self, node: Node, inputs: tuple[Node, ...], batched: tuple[bool, ...], size: int
    ) -> Node:
        if not batched[1]:
            x, _, updates = for_each(inputs, batched, size)
            return scatter_add(x, inputs[1], updates, attrs=self.batch_attrs(node.attrs, size))
        (x, index, updates), axis = for_each(inputs, batched, size), node.attrs[0] + 1
        shape = (*x.shape[:axis], node.inputs[1].size, *x.shape[axis + 1 :])
        places, values = element_wise(index, shape, axis), reshape(updates, attrs=(shape,))
        return scatter_elements(x, places, values, attrs=(axis,))

    def vjp(self, node: Node, g: Node) -> Grads:
        _, index, _ = node.inputs
        return g, None, take(g, index, attrs=node.attrs)


class ScatterElements(Index):
    """A copy of x to which updates[i, j] is added at [index[i, j], j] for axis 0, in the order of
    the axis, and so on; attrs: (axis,). Inputs: x, index, updates (shaped like the index)."""

    linear = (0, 2)

    def ref(np: Any, x: Any, index: Any, updates: Any, axis: int) -> Any:
        result = x.copy()
        place = list(np.indices(index.shape, sparse=True))
        place[axis] = index
        np.add.at(result, tuple(place), updates)
        return result

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x, index, updates), (axis,) = inputs, attrs
        check_positions("scatter_elements", x, index, axis)
        check_within("scatter_elements", x, index, axis)
        check_updates("scatter_elements", x, updates, index.shape)
        return x.shape, x.dtype

    def vjp(self, node: Node, g: Node) -> Grads:
        _, index, _ = node.inputs
        return g, None, gather(g, index, attrs=node.attrs)


class Put(Index):
    """A copy of x with other elements at one position along an axis; attrs: (axis,). Inputs: x,
    index (one element), new (shaped like the result of `take`)."""

    linear = (0, 2)

    def ref(np: Any, x: Any, index: Any, new: Any, axis: int) -> Any:
        result = np.moveaxis(x.copy(), axis, 0)
        result[index.item()] = new.reshape(result.shape[1:])
        return np.moveaxis(result, 0, axis)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x, index, new), (axis,) = inputs, attrs
        check_positions("put", x, index, axis)
        if index.size != 1:
            raise ShapeError(f"put: positions are {index.shape}; need one")
        check_updates("put", x, new, (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))
        return x.shape, x.dtype

    def batch(
        self, node: Node, inputs: tuple[Node, ...], batched: tuple[bool, ...], size: int
    ) -> Node:
        (x, _, new), axis = for_each(inputs, batched, size), node.attrs[0] + 1
        if not batched[1]:
            return put(x, inputs[1], new, attrs=(axis,))
        # Each example writes at a place of its own: all places are visited.
        line = (size, *(1 for _ in x.shape[1:]))
        writer = last_writer(reshape(inputs[1], attrs=(line,)), attrs=(axis, x.shape[axis]))
        single = tuple(1 if a == axis else n for a, n in enumerate(x.shape))
        is_hit = expand(less(constant_like(writer, 0), writer), attrs=(x.shape,))
        return where(is_hit, expand(reshape(new, attrs=(single,)), attrs=(x.shape,)), x)

    def vjp(self, node: Node, g: Node) -> Grads:
        _, index, new = node.inputs
        nothing = constant(0, g.dtype, new.shape)
        return put(g, index, nothing, attrs=node.attrs), None, take(g, index, attrs=node.attrs)


class LastWriter(Index):
    """Who would be the last to write at each position along an axis: 1 + the greatest i with
    index[i, j] == position for axis 0, and so on, or 0, int64; attrs: (axis, extent)."""

    differentiable = False

    def ref(np: Any, index: Any, axis: int, extent: int) -> Any:
        result = np.zeros([extent if a == axis else n for a, n in enumerate(index.shape)], np.int64)
        place = list(np.indices(index.shape))
        ordinal = place[axis] + 1
        place[axis] = index
        np.maximum.at(result, tuple(place), ordinal)
        return result

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (index,), (axis, extent) = inputs, attrs
        check_positions("last_writer", index, index, axis)
        return tuple(extent if a == axis else n for a, n in enumerate(index.shape)), int64

    @staticmethod
    def bounds(node: Node) -> tuple[Node, int]:
        return node.inputs[0], node.attrs[1]


class Order(Op, abstract=True):
    """Rows along the last axis in stable order; attrs: (count, descending). The first `count` of
    the order are kept. NaN counts as greater than every number."""

    kind = "sort"

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        return attrs

    @staticmethod
    def check(x: Node, attrs: Attrs, name: str) -> Shape:
        """The shape of the result."""
        count, _ = attrs
        if x.dtype.is_complex:
            raise DTypeError(not_accepted(name, x.dtype, "biuf"))
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
        nothing, order = constant(0, x.dtype, x.shape), argsort(x, attrs=node.attrs)
        return (scatter_elements(nothing, order, g, attrs=(x.rank - 1,)),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (x,), (tangent,) = node.inputs, tangents
        return tangent and gather(tangent, argsort(x, attrs=node.attrs), attrs=(x.rank - 1,))


take, gather, put, last_writer = Take(), Gather(), Put(), LastWriter()
scatter_add, scatter_elements, argsort, sort = ScatterAdd(), ScatterElements(), Argsort(), Sort()
