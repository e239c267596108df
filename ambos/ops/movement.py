"""Movement: every result element is one input element, or zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, product
from typing import Any

from ambos.core.affine import Affine, reshape_index
from ambos.core.dtype import DType
from ambos.core.errors import DTypeError, ShapeError
from ambos.core.shape import Shape, size_of
from ambos.graph.node import Attrs, Node
from ambos.ops.arithmetic import add
from ambos.ops.kinds import Grads, Move, constant, op

Case = tuple[int, list[Affine], list[tuple[Affine, int]]]


class Reshape(Move):
    """The same elements in row-major order under another shape; attrs: (shape,)."""

    ref = lambda np, x, shape: x.reshape(shape)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x,), (shape,) = inputs, attrs
        if size_of(shape) != x.size:
            raise ShapeError(f"reshape: {x.shape} has {x.size} elements, {shape} has "
                             f"{size_of(shape)}; need as many")  # fmt: skip
        return shape, x.dtype

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        return ((size, *attrs[0]),)

    def access(self, node: Node, index: list[Affine], space: Sequence[int]) -> list[Case]:
        return [(0, reshape_index(index, node.shape, node.inputs[0].shape, space), [])]

    def vjp(self, node: Node, g: Node) -> Grads:
        return (reshape(g, attrs=(node.inputs[0].shape,)),)


class Permute(Move):
    """Axis i of the result is axis attrs[0][i] of the input."""

    ref = lambda np, x, axes: x.transpose(axes)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x,), (axes,) = inputs, attrs
        if sorted(axes) != list(range(x.rank)):
            raise ShapeError(f"permute: axes {axes} for {x.rank} dimensions; "
                             "need each axis once")  # fmt: skip
        return tuple(x.shape[a] for a in axes), x.dtype

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        return ((0, *(axis + 1 for axis in attrs[0])),)

    def access(self, node: Node, index: list[Affine], space: Sequence[int]) -> list[Case]:
        source = [Affine()] * len(index)
        for part, axis in zip(index, node.attrs[0], strict=True):
            source[axis] = part
        return [(0, source, [])]

    def vjp(self, node: Node, g: Node) -> Grads:
        axes = node.attrs[0]
        return (permute(g, attrs=(tuple(sorted(range(len(axes)), key=axes.__getitem__)),)),)


class Expand(Move):
    """Axes of size 1 repeated; attrs: (shape,) of the same rank."""

    ref = lambda np, x, shape: np.broadcast_to(x, shape)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x,), (shape,) = inputs, attrs
        fits = len(shape) == x.rank and all(
            a in (1, b) for a, b in zip(x.shape, shape, strict=True)
        )
        if not fits:
            raise ShapeError(f"expand: {x.shape} does not expand to {shape}; only axes of size 1 "
                             "grow, and the number of dimensions stays")  # fmt: skip
        return shape, x.dtype

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        return ((size, *attrs[0]),)

    def access(self, node: Node, index: list[Affine], space: Sequence[int]) -> list[Case]:
        source = node.inputs[0].shape
        return [(0, [Affine() if n == 1 else i for i, n in zip(index, source, strict=True)], [])]

    def vjp(self, node: Node, g: Node) -> Grads:
        (x,) = node.inputs
        axes = tuple(i for i, (a, b) in enumerate(zip(x.shape, g.shape, strict=True)) if a != b)
        return (reshape(op("sum")(g, attrs=(axes,)), attrs=(x.shape,)) if axes else g,)


class Pad(Move):
    """Zeros around; attrs: (before, after), one non-negative count an axis."""

    def ref(np: Any, x: Any, before: Shape, after: Shape) -> Any:
        sides = list(zip(before, x.shape, after, strict=True))
        result = np.zeros([b + n + a for b, n, a in sides], x.dtype)
        result[tuple(slice(b, b + n) for b, n, _ in sides)] = x
        return result

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x,), (before, after) = inputs, attrs
        if not len(before) == len(after) == x.rank or any(n < 0 for n in before + after):
            raise ShapeError(f"pad: {before} before and {after} after for {x.rank} dimensions; "
                             "need one count >= 0 an axis and side")  # fmt: skip
        return tuple(b + n + a for b, n, a in zip(before, x.shape, after, strict=True)), x.dtype

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        before, after = attrs
        return (0, *before), (0, *after)

    def access(self, node: Node, index: list[Affine], space: Sequence[int]) -> list[Case]:
        before, after = node.attrs
        source = [part + -b for part, b in zip(index, before, strict=True)]
        sides = zip(source, node.inputs[0].shape, before, after, strict=True)
        return [(0, source, [(part, n) for part, n, b, a in sides if b or a])]

    def places(self, node: Node) -> list[tuple[Shape, Shape]]:
        """Where each input lies in the result: its first element, and the step to the next."""
        return [(node.attrs[0], (1,) * len(node.shape))]

    def vjp(self, node: Node, g: Node) -> Grads:
        before, shape = node.attrs[0], node.inputs[0].shape
        stop = tuple(b + n for b, n in zip(before, shape, strict=True))
        return (slice_(g, attrs=(before, stop, (1,) * len(shape))),)


class Slice(Move):
    """Elements start, start + step, ... below stop, an axis each; attrs: (start, stop, step),
    steps positive, bounds within the shape."""

    ref = lambda np, x, start, stop, step: x[tuple(map(slice, start, stop, step))]

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x,), (start, stop, step) = inputs, attrs
        bounds = list(zip(start, stop, step, x.shape, strict=True))
        if not all(0 <= a <= b <= n and s >= 1 for a, b, s, n in bounds):
            raise ShapeError(f"slice: {start}:{stop}:{step} of {x.shape}; "
                             "need 0 <= start <= stop <= size and step >= 1")  # fmt: skip
        return tuple(b - a if s == 1 else -((a - b) // s) for a, b, s, _ in bounds), x.dtype

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        start, stop, step = attrs
        return (0, *start), (size, *stop), (1, *step)

    def access(self, node: Node, index: list[Affine], space: Sequence[int]) -> list[Case]:
        start, _, step = node.attrs
        return [(0, [i * s + a for i, a, s in zip(index, start, step, strict=True)], [])]

    def vjp(self, node: Node, g: Node) -> Grads:
        return (unslice(g, node.inputs[0].shape, *node.attrs),)


def unslice(g: Node, shape: Shape, start: Shape, stop: Shape, step: Shape) -> Node:
    """Zeros of `shape` with `g` at the elements that the slice takes."""
    for axis in range(len(shape)):
        if step[axis] > 1 and g.shape[axis] > 0:
            g = _spread(g, axis, step[axis])
    taken = g.shape
    after = tuple(n - a - t for n, a, t in zip(shape, start, taken, strict=True))
    return pad(g, attrs=(start, after)) if any(start + after) else g


def _spread(g: Node, axis: int, step: int) -> Node:
    """Put step - 1 zeros between neighbours along `axis` (none after the last)."""
    shape, rank = g.shape, g.rank
    fine = reshape(g, attrs=((*shape[: axis + 1], 1, *shape[axis + 1 :]),))
    zeros = (0,) * (rank + 1)
    fine = pad(fine, attrs=(zeros, (*zeros[: axis + 1], step - 1, *zeros[axis + 2 :])))
    merged = (*shape[:axis], shape[axis] * step, *shape[axis + 1 :])
    whole = reshape(fine, attrs=(merged,))
    stop = (*merged[:axis], merged[axis] - step + 1, *merged[axis + 1 :])
    return slice_(whole, attrs=((0,) * rank, stop, (1,) * rank))


class Flip(Move):
    """Order reversed along axes; attrs: (axes,)."""

    ref = lambda np, x, axes: np.flip(x, axes)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        return inputs[0].shape, inputs[0].dtype

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        return (tuple(axis + 1 for axis in attrs[0]),)

    def access(self, node: Node, index: list[Affine], space: Sequence[int]) -> list[Case]:
        axes = node.attrs[0]
        flipped = [
            part * -1 + (n - 1) if axis in axes else part
            for axis, (part, n) in enumerate(zip(index, node.shape, strict=True))
        ]
        return [(0, flipped, [])]

    def vjp(self, node: Node, g: Node) -> Grads:
        return (flip(g, attrs=node.attrs),)


class Concat(Move):
    """Inputs one after the other along an axis; attrs: (axis,)."""

    ref = lambda np, *xs_axis: np.concatenate(xs_axis[:-1], xs_axis[-1])

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        axis, first = attrs[0], inputs[0]
        for node in inputs[1:]:
            if node.dtype is not first.dtype:
                raise DTypeError(f"concat: dtypes {first.dtype.name} and {node.dtype.name} differ")
            a, b = list(first.shape), list(node.shape)
            if len(a) != len(b) or a[:axis] + a[axis + 1 :] != b[:axis] + b[axis + 1 :]:
                raise ShapeError(f"concat: shapes {first.shape} and {node.shape} differ outside "
                                 f"axis {axis}; need equal sizes there")  # fmt: skip
        total = sum(node.shape[axis] for node in inputs)
        return (*first.shape[:axis], total, *first.shape[axis + 1 :]), first.dtype

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        return (attrs[0] + 1,)

    def access(self, node: Node, index: list[Affine], space: Sequence[int]) -> list[Case]:
        axis = node.attrs[0]
        sizes = [source.shape[axis] for source in node.inputs]
        cases: list[Case] = []
        for number, (start, size) in enumerate(
            zip(accumulate(sizes, initial=0), sizes, strict=False)
        ):
            part = index[axis] + -start
            place = [*index[:axis], part, *index[axis + 1 :]]
            cases.append((number, place, [(part, size)]))
        return cases

    def places(self, node: Node) -> list[tuple[Shape, Shape]]:
        """Where each input lies in the result: its first element, and the step to the next."""
        (axis,), rank = node.attrs, len(node.shape)
        starts = accumulate((source.shape[axis] for source in node.inputs[:-1]), initial=0)
        return [(tuple(n if a == axis else 0 for a in range(rank)), (1,) * rank) for n in starts]

    def vjp(self, node: Node, g: Node) -> Grads:
        axis, grads, start = node.attrs[0], [], 0
        for source in node.inputs:
            begin = tuple(start if a == axis else 0 for a in range(g.rank))
            stop = tuple(b + n for b, n in zip(begin, source.shape, strict=True))
            grads.append(slice_(g, attrs=(begin, stop, (1,) * g.rank)))
            start += source.shape[axis]
        return tuple(grads)


class Interleave(Move):
    """The inputs woven together: result[p + i * steps] = inputs[p][i], with p over the points of
    `steps` in row-major order; attrs: (steps,), one an axis, and as many inputs as their product.
    """

    def ref(np: Any, *phases_steps: Any) -> Any:
        *phases, steps = phases_steps
        shape = [n * s for n, s in zip(phases[0].shape, steps, strict=True)]
        result = np.empty(shape, phases[0].dtype)
        for place, phase in zip(np.ndindex(*steps), phases, strict=True):
            result[tuple(slice(p, None, s) for p, s in zip(place, steps, strict=True))] = phase
        return result

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (steps,), first = attrs, inputs[0]
        if len(inputs) != size_of(steps) or len(steps) != first.rank:
            raise ShapeError(f"interleave: {len(inputs)} inputs of {first.rank} dimensions for "
                             f"steps {steps}; need their product, one step an axis")  # fmt: skip
        for node in inputs[1:]:
            if (node.shape, node.dtype) != (first.shape, first.dtype):
                raise ShapeError(
                    f"interleave: inputs {first.dtype.name}{first.shape} and "
                    f"{node.dtype.name}{node.shape} differ; need equal shapes and dtypes"
                )
        return tuple(n * s for n, s in zip(first.shape, steps, strict=True)), first.dtype

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        return ((1, *attrs[0]),)

    def access(self, node: Node, index: list[Affine], space: Sequence[int]) -> list[Case]:
        (steps,), source = node.attrs, node.inputs[0].shape
        fine = tuple(n for pair in zip(source, steps, strict=True) for n in pair)
        parts = reshape_index(index, node.shape, fine, space)
        place, phase = parts[::2], parts[1::2]
        return [
            (number, list(place), [
                (part + -offset, 1)
                for part, offset, step in zip(phase, offsets, steps, strict=True) if step > 1
            ])
            for number, offsets in enumerate(product(*map(range, steps)))
        ]  # fmt: skip

    def places(self, node: Node) -> list[tuple[Shape, Shape]]:
        """Where each input lies in the result: its first element, and the step to the next."""
        (steps,) = node.attrs
        return [(offsets, steps) for offsets in product(*map(range, steps))]

    def vjp(self, node: Node, g: Node) -> Grads:
        (steps,) = node.attrs
        return tuple(
            slice_(g, attrs=(offsets, g.shape, steps)) for offsets in product(*map(range, steps))
        )


class Window(Move):
    """Sliding windows along axes: x[..., o * stride + k * dilation, ...] is result[..., o, ..., k],
    one new last axis k for each of `axes`; attrs: (axes, sizes, strides, dilations)."""

    def ref(np: Any, x: Any, axes: Shape, sizes: Shape, strides: Shape, dilations: Shape) -> Any:
        for axis, size, stride, dilation in zip(axes, sizes, strides, dilations, strict=True):
            reach = (size - 1) * dilation + 1
            view = np.lib.stride_tricks.sliding_window_view(x, reach, axis)[..., ::dilation]
            x = view[(slice(None),) * axis + (slice(None, None, stride),)]
        return x

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x,), shape = inputs, list(inputs[0].shape)
        for axis, size, stride, dilation in zip(*attrs, strict=True):
            reach = (size - 1) * dilation + 1
            if x.shape[axis] < reach:
                raise ShapeError(f"window: {reach} wide (size {size}, dilation {dilation}) on axis "
                                 f"{axis} of {x.shape}; need an axis at least as long: "
                                 "pad it or use a smaller window")  # fmt: skip
            shape[axis] = (x.shape[axis] - reach) // stride + 1
        return (*shape, *attrs[1]), x.dtype

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        axes, *rest = attrs
        return tuple(axis + 1 for axis in axes), *rest

    def access(self, node: Node, index: list[Affine], space: Sequence[int]) -> list[Case]:
        axes, _, strides, dilations = node.attrs
        rank = node.inputs[0].rank
        place, taps = list(index[:rank]), index[rank:]
        for axis, tap, stride, dilation in zip(axes, taps, strides, dilations, strict=True):
            place[axis] = place[axis] * stride + tap * dilation
        return [(0, place, [])]

    def vjp(self, node: Node, g: Node) -> Grads:
        return (overlap_add(g, node.inputs[0].shape, *node.attrs),)


def overlap_add(
    g: Node, shape: Shape, axes: Shape, sizes: Shape, strides: Shape, dilations: Shape
) -> Node:
    """The transpose of Window: each element of a window is added where it came from, in `shape`.

    Positions are split by their remainder modulo the stride; within one remainder the taps are
    plain shifts, so nothing is scattered.
    """
    if len(axes) == 1 and dilations == (1,):
        return _overlap_blocks(g, shape, axes[0], sizes[0], strides[0])
    rows = list(shape)
    for axis, stride in zip(axes, strides, strict=True):
        rows[axis] = -(-shape[axis] // stride)
    phases = []
    for phase in product(*map(range, strides)):
        total = None
        for taps in product(*map(range, sizes)):
            reached = [divmod(t * d, s) for t, d, s in zip(taps, dilations, strides, strict=True)]
            if all(rest == p for (_, rest), p in zip(reached, phase, strict=True)):
                moved = dict(zip(axes, (shift for shift, _ in reached), strict=True))
                term = _shifted(_at_taps(g, taps), moved, rows)
                total = term if total is None else add(total, term)
        phases.append(constant(0, g.dtype, tuple(rows)) if total is None else total)
    steps = dict(zip(axes, strides, strict=True))
    if len(phases) > 1:
        whole = interleave(*phases, attrs=(tuple(steps.get(a, 1) for a in range(len(shape))),))
    else:
        (whole,) = phases
    return cut_to(whole, shape)


SHIFTS = 16  # that are added up at once; more are added in groups


def _overlap_blocks(g: Node, shape: Shape, axis: int, size: int, stride: int) -> Node:
    """Along one axis: a window is a row of blocks as long as the stride, and block i of every
    window moves by i rows. Many blocks move in groups, then the groups: about twice the root of
    their number in shifts."""
    if not g.size:
        return constant(0, g.dtype, shape)
    blocks = -(-size // stride)
    group = blocks if blocks <= SHIFTS else math.isqrt(blocks - 1) + 1
    groups = -(-blocks // group)
    kept, rest = g.shape[:-1], groups * group * stride - size
    if rest:
        g = pad(g, attrs=((0,) * g.rank, (*(0 for _ in kept), rest)))
    moved = reshape(g, attrs=((*kept, groups, group, stride),))
    rows = list(moved.shape)
    rows[axis] = -(-shape[axis] // stride)
    for place, step in ((len(kept) + 1, 1), (len(kept), group)):
        del rows[place]
        moved = _sum_of_shifts(moved, place, axis, step, rows)
    order = (*range(axis + 1), moved.rank - 1, *range(axis + 1, moved.rank - 1))
    whole = permute(moved, attrs=(order,))
    merged = (*whole.shape[:axis], rows[axis] * stride, *whole.shape[axis + 2 :])
    return cut_to(reshape(whole, attrs=(merged,)), shape)


def _sum_of_shifts(x: Node, place: int, axis: int, step: int, shape: Sequence[int]) -> Node:
    """The slices of `x` at `place`, slice i moved by i * step along `axis`, added up in `shape`."""
    total = None
    for i in range(min(x.shape[place], -(-shape[axis] // step))):  # beyond are only zeros
        start = tuple(i if a == place else 0 for a in range(x.rank))
        stop = tuple(i + 1 if a == place else n for a, n in enumerate(x.shape))
        one = slice_(x, attrs=(start, stop, (1,) * x.rank))
        flat = (*x.shape[:place], *x.shape[place + 1 :])
        term = _shifted(reshape(one, attrs=(flat,)), {axis: i * step}, shape)
        total = term if total is None else add(total, term)
    return constant(0, x.dtype, tuple(shape)) if total is None else total


def _at_taps(g: Node, taps: Shape) -> Node:
    """The elements at one place in each window; its last axes go."""
    kept = g.shape[: -len(taps)]
    start, stop = (*(0 for _ in kept), *taps), (*kept, *(tap + 1 for tap in taps))
    return reshape(slice_(g, attrs=(start, stop, (1,) * g.rank)), attrs=(kept,))


def _shifted(x: Node, moved: dict[int, int], shape: Sequence[int]) -> Node:
    """`x` moved along axes, within zeros of `shape`. (Windows never reach beyond the axis, so what
    would be cut is not there.)"""
    before = tuple(moved.get(axis, 0) for axis in range(x.rank))
    room = [n - b for n, b in zip(shape, before, strict=True)]
    x = cut_to(x, tuple(map(min, x.shape, room)))
    return pad(x, attrs=(before, tuple(r - n for r, n in zip(room, x.shape, strict=True))))


def cut_to(x: Node, shape: Shape) -> Node:
    """The first elements of `x` along each axis."""
    return x if shape == x.shape else slice_(x, attrs=((0,) * x.rank, shape, (1,) * x.rank))


class Detach(Move):
    """The input, cut off from gradients."""

    differentiable = False
    ref = lambda np, x: x

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        return inputs[0].shape, inputs[0].dtype

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        return attrs

    def access(self, node: Node, index: list[Affine], space: Sequence[int]) -> list[Case]:
        return [(0, index, [])]

    def vjp(self, node: Node, g: Node) -> Grads:
        return (None,)


class Afresh(Move):
    """The input, for a computation that shall not be merged with others on it: what is computed
    from nothing else is computed again, just before it is needed, rather than kept."""

    ref = lambda np, x: x
    infer = Detach.infer
    access = Detach.access
    batch_attrs = Detach.batch_attrs

    def vjp(self, node: Node, g: Node) -> Grads:
        return (g,)


reshape, permute, expand, pad, slice_ = Reshape(), Permute(), Expand(), Pad(), Slice()
flip, concat, interleave, window = Flip(), Concat(), Interleave(), Window()
detach, afresh = Detach(), Afresh()
