"""Shape and order: functions whose results hold the elements of their operands."""

from __future__ import annotations

import builtins
import itertools
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

from ambos.core.dtype import bool_
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape, agree, broadcast, normalize_axes, normalize_axis
from ambos.core.unknown import known
from ambos.graph.node import Node
from ambos.ops import movement as ops
from ambos.tensor.handle import Tensor, node_of, reshaped, shape_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import expand_to


@public
def reshape(x: Any, shape: Any = (), *more: Any, copy: bool | None = None) -> Tensor:
    """The same elements in row-major order under another shape; one size may be -1. Tensors do not
    alias, so that `copy` (Array API) says nothing.

    Example:
        >>> import ambos as am
        >>> am.arange(6).reshape(2, -1).shape
        (2, 3)
    """
    node = node_of(x)
    return wrap(reshaped(node, _resolved("reshape", node, shape_of("reshape", (shape, *more)))))


def _resolved(op: str, node: Node, shape: Shape) -> Shape:
    """`shape` with its -1 worked out."""
    if -1 not in shape:
        return shape
    known = math.prod(n for n in shape if n != -1)
    if shape.count(-1) > 1 or known == 0 or node.size % known:
        raise ShapeError(f"{op}: {node.shape} has {node.size} elements and does not fit {shape}; "
                         "need one -1 at most, and sizes whose product divides it")  # fmt: skip
    return tuple(node.size // known if n == -1 else n for n in shape)


@public
def reshape_as(x: Any, y: Any) -> Tensor:
    """`x` in the shape of `y`."""
    return reshape(x, node_of(y).shape)


@public
def ravel(x: Any) -> Tensor:
    """All elements in one axis."""
    return reshape(x, -1) if node_of(x).size else reshape(x, 0)


@public
def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes start_dim..end_dim (inclusive) merged into one.

    Example:
        >>> import ambos as am
        >>> am.zeros(2, 3, 4).flatten(1).shape
        (2, 12)
    """
    node = node_of(x)
    if not node.shape:
        return reshape(x, 1)
    first = normalize_axis("flatten", start_dim, node.rank)
    last = normalize_axis("flatten", end_dim, node.rank)
    if first > last:
        raise ArgumentError(f"flatten: start_dim {start_dim} is after end_dim {end_dim}; "
                            "need start_dim <= end_dim")  # fmt: skip
    merged = math.prod(node.shape[first : last + 1])
    return wrap(reshaped(node, (*node.shape[:first], merged, *node.shape[last + 1 :])))


@public
def unflatten(x: Any, axis: int, sizes: Sequence[int]) -> Tensor:
    """One axis split into several."""
    node = node_of(x)
    at = normalize_axis("unflatten", axis, node.rank)
    parts = shape_of("unflatten", tuple(sizes))
    if -1 in parts:
        known = math.prod(n for n in parts if n != -1)
        fits = parts.count(-1) == 1 and known and node.shape[at] % known == 0
        parts = tuple(node.shape[at] // known if n == -1 else n for n in parts) if fits else parts
    if math.prod(parts) != node.shape[at] or -1 in parts:
        raise ShapeError(f"unflatten: axis {axis} of {node.shape} has {node.shape[at]} elements; "
                         f"need sizes with that product, got {tuple(sizes)}")  # fmt: skip
    return wrap(reshaped(node, (*node.shape[:at], *parts, *node.shape[at + 1 :])))


@public
def squeeze(x: Any, axis: int | Iterable[int] | None = None) -> Tensor:
    """Without axes of size 1: those named (Array API), or all of them. As a method,
    `x.squeeze(axis)`, named axes of other sizes stay (PyTorch).

    Errors: ShapeError for a named axis of another size.

    Example:
        >>> import ambos as am
        >>> am.squeeze(am.zeros(1, 3, 1), 0).shape, am.zeros(1, 3, 1).squeeze((0, 1)).shape
        ((3, 1), (3, 1))
    """
    node = node_of(x)
    axes = normalize_axes("squeeze", axis, node.rank)
    for at in () if axis is None else axes:
        if node.shape[at] != 1:
            raise ShapeError(f"squeeze: axis {at} of {node.shape} has size {node.shape[at]}; need "
                             "size 1: x.squeeze(axis) leaves axes of other sizes")  # fmt: skip
    return wrap(without_ones(node, axes))


def without_ones(node: Node, axes: Shape) -> Node:
    """`node` without those of `axes` that have size 1."""
    kept = (a not in axes or known("squeeze of an axis", n) != 1 for a, n in enumerate(node.shape))
    return reshaped(node, tuple(itertools.compress(node.shape, kept)))


@public
def unsqueeze(x: Any, axis: int | Sequence[int]) -> Tensor:
    """With a new axis of size 1 (or several) at `axis` of the result."""
    node = node_of(x)
    wanted = [axis] if isinstance(axis, int) else list(axis)
    rank = node.rank + len(wanted)
    places = normalize_axes("unsqueeze", wanted, rank)
    rest = iter(node.shape)
    return wrap(reshaped(node, tuple(1 if a in places else next(rest) for a in range(rank))))


@public
def expand_dims(x: Any, axis: int | Sequence[int] = 0) -> Tensor:
    """With a new axis of size 1 (or several) at `axis` of the result (NumPy's `unsqueeze`)."""
    return unsqueeze(x, axis)


@public
def permute(x: Any, *axes: Any) -> Tensor:
    """Axis i of the result is axis axes[i] of `x`."""
    node = node_of(x)
    order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    found = tuple(normalize_axis("permute", a, node.rank) for a in order)
    if sorted(found) != list(range(node.rank)):
        raise ShapeError(f"permute: axes {tuple(order)} for {node.shape}; need each of its "
                         f"{node.rank} axes once")  # fmt: skip
    return wrap(permuted(node, found))


def permuted(node: Node, axes: Shape) -> Node:
    """`node` with its axes in this order."""
    return node if axes == tuple(range(node.rank)) else ops.permute(node, attrs=(axes,))


@public
def permute_dims(x: Any, axes: Sequence[int]) -> Tensor:
    """The same as `permute` (the Array API's name)."""
    return permute(x, axes)


@public
def transpose(x: Any, *axes: Any) -> Tensor:
    """Two axes swapped (PyTorch); with no axes, or all of them, NumPy's meaning.

    Example:
        >>> import ambos as am
        >>> am.zeros(2, 3, 4).transpose(0, 2).shape
        (4, 3, 2)
    """
    node = node_of(x)
    if not axes or axes[0] is None:
        return permute(x, tuple(range(node.rank))[::-1])
    if len(axes) == 2:
        return swapaxes(x, *axes)
    return permute(x, *axes)


@public
def swapaxes(x: Any, axis0: int, axis1: int) -> Tensor:
    """Two axes swapped. A scalar counts as a vector of one."""
    node = node_of(x)
    order = list(range(node.rank))
    a, b = (normalize_axis("transpose", v, node.rank or 1) for v in (axis0, axis1))
    if node.rank:
        order[a], order[b] = order[b], order[a]
    return wrap(permuted(node, tuple(order)))


@public
def t(x: Any) -> Tensor:
    """A matrix transposed; vectors and scalars stay."""
    node = node_of(x)
    if node.rank > 2:
        raise ShapeError(f"t: got {node.shape}; need at most two dimensions: use x.mT or permute")
    return transpose(x)


@public
def matrix_transpose(x: Any) -> Tensor:
    """The last two axes swapped."""
    node = node_of(x)
    if node.rank < 2:
        raise ShapeError(f"matrix_transpose: got {node.shape}; need at least two dimensions")
    return swapaxes(x, -1, -2)


@public
def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Axes moved to other places; the rest keep their order."""
    node = node_of(x)
    froms = [source] if isinstance(source, int) else list(source)
    tos = [destination] if isinstance(destination, int) else list(destination)
    if len(froms) != len(tos):
        raise ArgumentError(f"moveaxis: {len(froms)} sources and {len(tos)} destinations; "
                            "need as many")  # fmt: skip
    froms = [normalize_axis("moveaxis", a, node.rank) for a in froms]
    tos = [normalize_axis("moveaxis", a, node.rank) for a in tos]
    for axes, given in ((froms, source), (tos, destination)):
        if len(set(axes)) != len(axes):
            raise ArgumentError(f"moveaxis: {given} names one axis twice; need different ones")
    order = [a for a in range(node.rank) if a not in froms]
    for to, axis in sorted(zip(tos, froms, strict=True)):
        order.insert(to, axis)
    return permute(x, order)


movedim = moveaxis


@public
def broadcast_to(x: Any, shape: Any = (), *more: Any) -> Tensor:
    """`x` repeated along axes of size 1 and new leading axes; -1 keeps a size.

    Example:
        >>> import ambos as am
        >>> am.tensor([[1], [2]]).expand(-1, 3).tolist()
        [[1, 1, 1], [2, 2, 2]]
    """
    node = node_of(x)
    target = list(shape_of("broadcast_to", (shape, *more)))
    missing = len(target) - node.rank
    for axis, extent in enumerate(target):
        if extent == -1 and axis >= missing:
            target[axis] = node.shape[axis - missing]
    final = tuple(target)
    fits = missing >= 0 and all(
        n == 1 or agree(n, m) for n, m in zip(node.shape, final[missing:], strict=True)
    )
    if not fits or builtins.min(final, default=0) < 0:
        raise ShapeError(f"broadcast_to: {node.shape} does not broadcast to {final}; "
                         "only axes of size 1 and new leading axes grow")  # fmt: skip
    return wrap(expand_to(node, final))


expand = broadcast_to


@public
def expand_as(x: Any, y: Any) -> Tensor:
    """`x` broadcast to the shape of `y`."""
    return broadcast_to(x, node_of(y).shape)


@public
def broadcast_tensors(*arrays: Any) -> tuple[Tensor, ...]:
    """All operands in their common shape."""
    nodes = [node_of(a) for a in arrays]
    shape = broadcast("broadcast_tensors", *(n.shape for n in nodes))
    return tuple(wrap(expand_to(n, shape)) for n in nodes)


@public
def broadcast_arrays(*arrays: Any) -> list[Tensor]:
    """All operands in their common shape, a list (Array API)."""
    return list(broadcast_tensors(*arrays))


@public
def broadcast_shapes(*shapes: Sequence[int]) -> Shape:
    """The shape to which all of `shapes` broadcast."""
    return broadcast("broadcast_shapes", *(tuple(s) for s in shapes))


@public
def flip(x: Any, *several: Any, axis: Any = None) -> Tensor:
    """The order reversed along axes (all of them by default): flip(x, 0, 1) or flip(x, (0, 1))."""
    node = node_of(x)
    wanted = several[0] if len(several) == 1 else (several or axis)
    axes = normalize_axes("flip", wanted, node.rank)
    return wrap(ops.flip(node, attrs=(axes,)) if axes else node)


@public
def fliplr(x: Any) -> Tensor:
    """Axis 1 reversed."""
    return flip(x, 1)


@public
def flipud(x: Any) -> Tensor:
    """Axis 0 reversed."""
    return flip(x, 0)


@public
def rot90(x: Any, k: int = 1, axis: Sequence[int] = (0, 1)) -> Tensor:
    """Turned `k` times by 90 degrees in the plane of two axes, from the first towards the second.

    Example:
        >>> import ambos as am
        >>> am.rot90(am.tensor([[1, 2], [3, 4]])).tolist()
        [[2, 4], [1, 3]]
    """
    node = node_of(x)
    axes = [normalize_axis("rot90", a, node.rank) for a in axis]
    if len(axes) != 2 or axes[0] == axes[1]:
        raise ArgumentError(f"rot90: axes {tuple(axis)} of {node.shape}; need two different ones")
    first, second = axes
    if known("rot90: k", k) % 4 == 0:
        return wrap(node)
    if k % 4 == 2:
        return flip(x, (first, second))
    turned = swapaxes(x, first, second)
    return flip(turned, first if k % 4 == 1 else second)


@public
def roll(x: Any, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Tensor:
    """Elements moved along axes; what leaves at one end enters at the other."""
    node = node_of(x)
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), node.shape)
    shifts = [shift] if isinstance(shift, int) else list(shift)
    axes = [axis] if isinstance(axis, int) else list(axis)
    if len(shifts) != len(axes):
        raise ArgumentError(f"roll: {len(shifts)} shifts and {len(axes)} axes; need as many")
    for distance, one in zip(shifts, axes, strict=True):
        at = normalize_axis("roll", one, node.rank)
        extent = node.shape[at]
        cut = -distance % extent if extent else 0
        if cut:
            node = ops.concat(
                cut_axis(node, at, cut, extent), cut_axis(node, at, 0, cut), attrs=(at,)
            )
    return wrap(node)


def cut_axis(node: Node, axis: int, start: int, stop: int, step: int = 1) -> Node:
    """Elements start:stop:step along one axis (bounds within it)."""
    rank = node.rank
    starts = tuple(start if a == axis else 0 for a in range(rank))
    stops = tuple(stop if a == axis else n for a, n in enumerate(node.shape))
    steps = tuple(step if a == axis else 1 for a in range(rank))
    if starts == (0,) * rank and stops == node.shape and step == 1:
        return node
    return ops.slice_(node, attrs=(starts, stops, steps))


@public
def narrow(x: Any, axis: int, start: Any, length: int) -> Tensor:
    """`length` elements along `axis` from `start`, an integer or an integer tensor, which is looked
    at."""
    node = node_of(x)
    at = normalize_axis("narrow", axis, node.rank)
    if isinstance(start, Tensor) and (start.ndim or start.dtype is bool_):
        raise ArgumentError(f"narrow: start is {start.dtype.name}{list(start.shape)}; need one "
                            "integer")  # fmt: skip
    start = operator.index(start)
    begin = start + node.shape[at] if start < 0 else start
    if not 0 <= begin <= begin + length <= node.shape[at]:
        raise ShapeError(f"narrow: {start}..{start + length} on axis {axis} of {node.shape}; "
                         f"need to stay within {node.shape[at]} elements")  # fmt: skip
    return wrap(cut_axis(node, at, begin, begin + length))


@public
def tile(x: Any, *repeats: Any) -> Tensor:
    """The whole tensor repeated along each axis (NumPy's tile, PyTorch's repeat)."""
    node = node_of(x)
    counts = shape_of("tile", repeats)
    rank = builtins.max(node.rank, len(counts))
    counts = (1,) * (rank - len(counts)) + counts
    shape = (1,) * (rank - node.rank) + node.shape
    pairs = [v for c, n in zip(counts, shape, strict=True) for v in (c, n)]
    single = tuple(v for n in shape for v in (1, n))
    final = tuple(c * n for c, n in zip(counts, shape, strict=True))
    return wrap(reshaped(expand_to(reshaped(node, single), tuple(pairs)), final))


__all__ = [
    "broadcast_arrays", "broadcast_shapes", "broadcast_tensors", "broadcast_to", "expand",
    "expand_as", "expand_dims", "flatten", "flip", "fliplr", "flipud", "matrix_transpose",
    "moveaxis", "movedim", "narrow", "permute", "permute_dims", "ravel", "reshape",
    "reshape_as", "roll", "rot90", "squeeze", "swapaxes", "t", "tile", "transpose", "unflatten",
    "unsqueeze",
]  # fmt: skip
