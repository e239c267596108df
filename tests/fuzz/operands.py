"""Leaves, and nodes made to fit: what random graphs feed their operations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from ambos.core.dtype import ALL, COMPLEX, DType, bool_, float32, float64, int32, int64, uint32
from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.ops.arithmetic import absolute, cast, less, remainder, where
from ambos.ops.complex.bridge import complex_, imag, real
from ambos.ops.kinds import constant, constant_like
from ambos.ops.movement import expand, flip, pad, permute, reshape, slice_
from ambos.ops.sources import data
from ambos.tensor.realize import realize
from ambos.testing.reference import round_to, storage
from tests.ops.evaluators import on_device
from tests.ops.test_registry import special_values

EXTENTS = (0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 13, 15, 16, 17, 31, 33, 64)
LARGE: tuple[Shape, ...] = ((4100,), (3, 5000), (70, 130), (20_001,), (1025, 3), (2, 33, 129))
LIMIT = 30_000  # elements of any node
COMMON = (float32, float32, float64, int64, int32, bool_)
FLOATS, INTEGERS = (0, 1, 2, 3, -1, 0.5, -0.0), (0, 1, 2, 3)
DTYPES = (*ALL, *COMPLEX)


@dataclass(slots=True)
class Draw:
    """What chance decides, for one graph: the numbers, the sizes of axes, the nodes so far."""

    rng: Random
    extents: Sequence[int] = EXTENTS
    pool: list[Node] = field(default_factory=list)

    def node(self) -> Node:
        return self.rng.choice(self.pool)

    def heads(self) -> bool:
        return self.rng.random() < 0.5


def some_shape(draw: Draw, rank: int | None = None) -> Shape:
    """Of 0 to 4 axes; now and then with none, or with more than a block of a sum."""
    if rank is None and draw.rng.randint(0, 79) == 0:
        return draw.rng.choice(LARGE)
    rank = draw.rng.choice((0, 1, 1, 2, 2, 2, 3, 3, 4)) if rank is None else rank
    shape: list[int] = []
    for _ in range(rank):
        room = 3000 // max(1, math.prod(shape))
        shape.append(min(draw.rng.choice(draw.extents), max(1, room)))
    if 0 in shape and draw.rng.randint(0, 2):  # there are many ways to be empty, and none computes
        shape = [n or 2 for n in shape]
    return tuple(shape)


def some_dtype(draw: Draw) -> DType:
    """float32 is what people compute with, but every dtype comes."""
    return draw.rng.choice(COMMON if draw.rng.randint(0, 2) else DTYPES)


def some_values(draw: Draw, shape: Shape, dtype: DType) -> np.ndarray[Any, Any]:
    """Ordinary numbers, or such as rules get wrong."""
    source = np.random.default_rng(draw.rng.getrandbits(32))
    if dtype.is_complex:
        parts = [some_values(draw, shape, dtype.part) for _ in range(2)]
        found = np.empty(shape, dtype.name)
        found.real, found.imag = parts
        return found
    style = draw.rng.randint(0, 9)
    if style == 0:
        return np.asarray(source.choice(special_values(dtype), shape))
    if dtype is bool_:
        return np.asarray(source.integers(0, 2, shape) > 0)
    if dtype.is_integer:
        low, high = (0 if dtype.kind == "u" else -9, 9)
        if style == 1:
            low, high = int(dtype.min), int(dtype.max)
        return source.integers(low, high, shape, storage(dtype), endpoint=True)
    scale = 10.0 ** draw.rng.randint(-4, 4) if style == 1 else 1.0
    wide = np.asarray(source.normal(size=shape) * scale)
    return round_to(wide.astype(storage(dtype.compute)), dtype)


def leaf(draw: Draw, shape: Shape | None = None, dtype: DType | None = None) -> Node:
    """Fresh data, often not as it would lie if it were a result: a view of something larger."""
    shape = some_shape(draw) if shape is None else shape
    dtype = dtype or some_dtype(draw)
    base = _base(draw, shape) if shape and draw.rng.randint(0, 2) == 0 else None
    lying = shape if base is None else base[0]
    values = some_values(draw, lying, dtype)
    node = plain_leaf(values, lying, dtype)
    if base is None:
        return node
    view = base[1](node)
    realize([view])
    return data.leaf(view.value, shape, dtype, tracked=dtype.is_inexact)


def plain_leaf(values: np.ndarray[Any, Any], shape: Shape, dtype: DType) -> Node:
    """Data as it is."""
    empty = data.leaf(None, shape, dtype)
    return data.leaf(on_device(values, empty), shape, dtype, tracked=dtype.is_inexact)


def _base(draw: Draw, shape: Shape) -> tuple[Shape, Any]:
    """The shape of which `shape` is a view, and how."""
    axis, rank = draw.rng.randrange(len(shape)), len(shape)
    match draw.rng.randint(0, 3):
        case 0:
            step, first = draw.rng.randint(1, 3), draw.rng.randint(0, 2)
            starts = tuple(first * (i == axis) for i in range(rank))
            steps = tuple(step if i == axis else 1 for i in range(rank))
            stops = tuple(
                max(0, (n - 1) * d + 1 + s) for n, d, s in zip(shape, steps, starts, strict=True)
            )
            lying = tuple(max(stop, s) for stop, s in zip(stops, starts, strict=True))
            stops = tuple(s if not n else e for n, s, e in zip(shape, starts, stops, strict=True))
            return lying, lambda node: slice_(node, attrs=(starts, stops, steps))
        case 1:
            return shape, lambda node: flip(node, attrs=((axis,),))
        case 2:
            order = tuple(draw.rng.sample(range(rank), rank))
            lying = tuple(shape[order.index(i)] for i in range(rank))
            return lying, lambda node: permute(node, attrs=(order,))
        case _:
            lying = tuple(1 if i == axis else n for i, n in enumerate(shape))
            return lying, lambda node: expand(node, attrs=(shape,))


# --- from nodes that are there -------------------------------------------------------------------


def as_dtype(node: Node, dtype: DType) -> Node:
    """`node` in another dtype; of a complex number the real part goes to a real one."""
    if node.dtype is dtype:
        return node
    if node.dtype.is_complex and not dtype.is_complex:
        node = real(node)
    return cast(node, attrs=(dtype,)) if node.dtype is not dtype else node


def resized(node: Node, shape: Shape) -> Node:
    """The numbers of `node` in another shape: cut off, or repeated, or padded where none are."""
    if node.shape == shape:
        return node
    size = math.prod(shape)
    if node.size == size:
        return reshape(node, attrs=(shape,))
    flat = reshape(node, attrs=((node.size,),))
    if not node.size:
        flat = pad(flat, attrs=((0,), (size,)))
    if flat.size < size:
        turns = -(-size // flat.size)
        copies = expand(reshape(flat, attrs=((1, flat.size),)), attrs=((turns, flat.size),))
        flat = reshape(copies, attrs=((turns * flat.size,),))
    if flat.size != size:
        flat = slice_(flat, attrs=((0,), (size,), (1,)))
    return reshape(flat, attrs=(shape,))


def broadcastable(node: Node, shape: Shape) -> bool:
    tail = shape[len(shape) - node.rank :] if node.rank <= len(shape) else None
    return tail is not None and all(a in (1, b) for a, b in zip(node.shape, tail, strict=True))


def broadcast(node: Node, shape: Shape) -> Node:
    """As arithmetic does it."""
    if node.shape == shape:
        return node
    full = reshape(node, attrs=((1,) * (len(shape) - node.rank) + node.shape,))
    return expand(full, attrs=(shape,))


def partner(draw: Draw, shape: Shape, dtype: DType) -> Node:
    """Another operand of this shape and dtype."""
    match draw.rng.randint(0, 7):
        case 0:
            number = draw.rng.choice(FLOATS if dtype.is_inexact else INTEGERS)
            return constant(bool(number) if dtype is bool_ else number, dtype, shape)
        case 1:
            thin = tuple(1 if draw.heads() else n for n in shape)
            return broadcast(leaf(draw, thin[draw.rng.randint(0, len(thin)) :], dtype), shape)
        case 2:
            return resized(as_dtype(draw.node(), dtype), shape)
    fitting = [node for node in draw.pool if broadcastable(node, shape)]
    if not fitting:
        return leaf(draw, shape, dtype)
    same = [node for node in fitting if node.dtype is dtype] or fitting
    return broadcast(as_dtype(draw.rng.choice(same), dtype), shape)


def positions(draw: Draw, shape: Shape, extent: int) -> Node:
    """int64 numbers from 0 to `extent` - 1, data or computed."""
    if draw.heads():
        source = np.random.default_rng(draw.rng.getrandbits(32))
        return plain_leaf(source.integers(0, max(extent, 1), shape), shape, int64)
    numbers = resized(as_dtype(draw.node(), int64), shape)
    return remainder(numbers, constant_like(numbers, max(extent, 1)))


def words(draw: Draw, shape: Shape) -> Node:
    return resized(as_dtype(draw.node(), uint32), shape)


def tame(node: Node) -> Node:
    """Numbers of ordinary size: what follows shall not be NaN throughout."""
    if not node.dtype.is_inexact:
        return node
    if node.dtype.is_complex:
        return complex_(tame(real(node)), tame(imag(node)))
    calm = less(absolute(node), constant_like(node, 4))
    return where(calm, node, constant_like(node, 0.25))
