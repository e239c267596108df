"""A loop group as LoopKernels: pointwise chains, reductions, rows, scatters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ambos.compiler import loops
from ambos.compiler.finish import Axes, Finisher, Words, address_of, expressions_of
from ambos.compiler.fuse import Group, kind_of
from ambos.compiler.launches import ITEM, Context, Step, assemble, outline, outline_tile
from ambos.compiler.layout import Memory, order_of, strides_in_order
from ambos.compiler.share import share_dear_values
from ambos.compiler.space import Space
from ambos.compiler.symbolic import Do, NeedsBlock, NeedsBuffer, Read, TapeBuilder, build
from ambos.core.affine import Affine
from ambos.core.dtype import float32
from ambos.core.shape import size_of
from ambos.graph.node import Node
from ambos.ops.movement import detach


@dataclass(frozen=True, slots=True)
class Written:
    """A member that goes to memory: its instruction and its index."""

    node: Node
    number: int
    place: tuple[Affine, ...]


def lower_loop(group: Group, context: Context) -> list[Step]:
    """The one kernel of a group of pointwise, movement and reduction nodes."""
    space = Space(group.shape)
    reduces = [m for m in group.members if kind_of(m) == "reduce"]
    builder, numbers = build(
        space,
        lambda b: [_member_value(b, group, m) for m in group.members],
        lambda s: TapeBuilder(
            s,
            lambda n: context.is_stored(n) and n not in group.members,
            {r: group.target(r, s.dims) for r in reduces},
            context.is_contiguous,
        ),
    )
    written = [
        Written(m, number, group.target(m, space.dims))
        for m, number in zip(group.members, numbers, strict=True)
        if kind_of(m) != "reduce" and m in context.needed
    ]
    for node in reduces:
        if node in context.needed:
            place = group.target(node, space.dims)
            written.append(Written(node, builder.value(node, place), place))
    reads = [s for s in builder.tape if isinstance(s, Read)]
    for write in written:
        context.memories[write.node] = _allocate(write, reads, space, context)
    folds = {m: number for m, number in zip(group.members, numbers, strict=True) if m in reduces}
    return [_kernel(group, space, builder, folds, written, context)]


def _member_value(builder: TapeBuilder, group: Group, node: Node) -> int:
    if kind_of(node) != "reduce":
        return builder.value(node, group.target(node, builder.space.dims))
    number = builder.value(node.inputs[0], tuple(builder.space.dims))
    if node.inputs[0].dtype.compute is float32 and node.inputs[0].dtype is not float32:
        number = builder.emit(Do("cast", (number,), float32))  # halves add up in float32
    return number


def _allocate(write: Written, reads: Sequence[Read], space: Space, context: Context) -> Memory:
    """Memory for a result: as asked for, or in the order in which its main operand lies."""
    node = write.node
    order = context.requests.get(node)
    if order is None:
        order = list(range(node.rank))
        if node not in context.forced:
            main = _main_read(reads, context)
            if main is not None:
                address = address_of(main, context.memories[main.node])
                steps = [
                    max((abs(address.coefficient(axis)) for axis, _ in part.terms), default=0)
                    for part in write.place
                ]
                if all(s or n == 1 for s, n in zip(steps, node.shape, strict=True)):
                    order = order_of(steps)
    return context.allocate(node, strides_in_order(node.shape, order))


def _main_read(reads: Sequence[Read], context: Context) -> Read | None:
    """The read that touches most elements (the first of equals)."""
    plain = [r for r in reads if not r.gathers]
    return max(plain, key=lambda r: r.node.size, default=None)


def _kernel(
    group: Group, space: Space, builder: TapeBuilder, folds: dict[Node, int],
    written: list[Written], context: Context,
) -> Step:  # fmt: skip
    memories = context.memories
    stores = {w.node: memories[w.node].address(w.place) for w in written}
    expressions = [*expressions_of(builder.tape, memories), *stores.values()]
    axes, words = Axes(space.extents), Words()
    inner_dims = [space.axes_of(d) for d in group.reduced]
    inner_axes = {a for dim in inner_dims for a in dim}
    outer_axes = [a for a in range(len(space.extents)) if a not in inner_axes]
    guide = _guide(group, builder, written, stores, context)
    outer_axes.sort(key=lambda a: -abs(guide.coefficient(a)))
    lane_axis = _lane_axis(group, builder, space, outer_axes, context) if folds else None
    if lane_axis is not None:
        outer_axes.remove(lane_axis)
        outer_axes.append(lane_axis)
    outer = axes.extend(outer_axes, expressions)
    lane: int | None = outer.pop() if lane_axis is not None else None
    inner: list[int] = []
    for run in _adjacent(group.reduced):
        merged = axes.extend([a for d in run for a in space.axes_of(d)], expressions)
        if len(merged) > 1 and not all(in_any_order(fold) for fold in folds):
            touched = [s.node for s in builder.tape if isinstance(s, Read)]
            touched += [w.node for w in written]
            within = [node for node in touched if memories[node].whole is not None]
            if within:  # their rows do not follow each other without a gap
                raise NeedsBlock(*within)
            inputs = [fold.inputs[0] for fold in folds]  # a forced one is row-major already
            raise NeedsBuffer(next((n for n in inputs if n not in context.forced), inputs[0]))
        inner += merged
    map_axes: list[int] = list(inner)
    if not folds and len(outer) == 1:
        lane = outer.pop()
    elif not folds and outer:
        map_axes = [outer.pop()]
    vector = lane if lane is not None else (map_axes[-1] if map_axes else None)
    rows = None if folds or lane is not None else _row_axis(builder, axes, outer, map_axes, context)
    if rows is None:
        shape = outline(axes, words, outer, lane, map_axes, context.threads)
    else:
        (columns,) = map_axes
        shape = outline_tile(axes, words, [a for a in outer if a != rows], rows, columns)
        map_axes = []
    finisher = Finisher(axes, words, vector, memories, rows)
    finisher.translate(builder.tape, {n: i for i, n in enumerate(folds)})
    stages: list[loops.Fold | loops.Map] = [
        loops.Fold(tuple(inner), node.op.fold, finisher.numbers[number])  # type: ignore[attr-defined]
        for node, number in folds.items()
    ]
    spread = [
        w for w in written if not folds or (w.node.shape == group.shape and w.node not in folds)
    ]
    single = [w for w in written if w not in spread]
    for subset, over in ((spread, map_axes), (single, [])):
        if subset:
            stages.append(
                loops.Map(
                    tuple(over),
                    tuple(_store(finisher, w, stores[w.node], memories) for w in subset),
                )
            )
    scratch = 0
    if folds:
        lanes = 1 if lane is None else loops.LANES
        finisher.tape, stages, scratch = share_dear_values(
            finisher.tape, stages, inner, axes, words, lanes
        )
    return assemble(shape, words, finisher, stages, _label(group), scratch)


def in_any_order(fold: Node) -> bool:
    """Is the result the same in whatever runs the reduced elements come? (A position is counted
    in row-major order over any number of axes.)"""
    return fold.op.fold not in ("add", "mul")  # type: ignore[attr-defined]


def _store(
    finisher: Finisher, write: Written, address: Affine, memories: dict[Node, Memory]
) -> loops.Store:
    buffer, index = finisher.place(memories[write.node], address)
    return loops.Store(buffer, index, finisher.numbers[write.number])


def _adjacent(dims: Sequence[int]) -> list[list[int]]:
    """Runs of neighbouring dimensions: each is one axis of the canonical order."""
    runs: list[list[int]] = []
    for dim in dims:
        if runs and runs[-1][-1] == dim - 1:
            runs[-1].append(dim)
        else:
            runs.append([dim])
    return runs


def _guide(
    group: Group, builder: TapeBuilder, written: list[Written], stores: dict[Node, Affine],
    context: Context,
) -> Affine:  # fmt: skip
    """The address whose order the outer loops follow."""
    full = [stores[w.node] for w in written if w.node.shape == group.shape]
    if full:
        return full[0]
    reads = [s for s in builder.tape if isinstance(s, Read)]
    main = _main_read(reads, context)
    if main is not None:
        return address_of(main, context.memories[main.node])
    return next(iter(stores.values()), Affine())


def _lane_axis(
    group: Group, builder: TapeBuilder, space: Space, outer: Sequence[int], context: Context
) -> int | None:
    """The kept axis along which memory is contiguous, if the reduced one is not."""
    last = [a for a in space.axes_of(group.reduced[-1]) if space.extents[a] > 1]
    best, best_size = None, 0
    for read in builder.tape:
        if not isinstance(read, Read) or read.gathers:
            continue
        address = address_of(read, context.memories[read.node])
        if last and abs(address.coefficient(last[-1])) == 1:
            return None
        if read.node.size > best_size:
            units = [a for a in outer if address.coefficient(a) == 1 and space.extents[a] > 1]
            if units:
                best, best_size = units[-1], read.node.size
    return best


def _row_axis(
    builder: TapeBuilder, axes: Axes, outer: Sequence[int], columns: Sequence[int],
    context: Context,
) -> int | None:  # fmt: skip
    """The outer axis along which the largest operand is contiguous that is not contiguous along
    the columns, which vectors lie along."""
    best, best_size = None, 0
    for read in builder.tape:
        if not isinstance(read, Read) or not columns or read.node.size <= best_size:
            continue
        address = address_of(read, context.memories[read.node])
        if axes.coefficient(address, columns[-1]) in (0, 1):
            continue
        for axis in outer:
            if axes.coefficient(address, axis) == 1:
                best, best_size = axis, read.node.size
    return best


def _label(group: Group) -> str:
    names = [m.op.name for m in group.members]
    shown = "+".join(names[:4]) + (f"+{len(names) - 4}" if len(names) > 4 else "")
    return f"{shown} {list(group.shape)}"


def lower_scatter(group: Group, context: Context) -> list[Step]:
    """scatter_add: a copy of the base, then the updates in order, split over the other axes."""
    (node,) = group.members
    base, index, updates = node.inputs
    axis = node.attrs[0]
    memory = context.allocate(node, strides_in_order(node.shape, list(range(node.rank))))
    steps = [copy_into(memory, base, context)]
    space = Space(updates.shape)
    builder, numbers = build(
        space,
        lambda b: [
            b.value(updates, tuple(b.space.dims)),
            b.clamp(
                b.value(index, tuple(b.space.dims[axis : axis + index.rank])), base.shape[axis]
            ),
        ],
        lambda s: TapeBuilder(s, context.is_stored, None, context.is_contiguous),
    )
    place = [*space.dims[:axis], Affine(), *space.dims[axis + index.rank :]]
    address = memory.address(place)
    expressions = [*expressions_of(builder.tape, context.memories), address]
    axes, words = Axes(space.extents), Words()
    ordered = [a for d in range(axis, axis + index.rank) for a in space.axes_of(d)]
    rest = [a for a in range(len(space.extents)) if a not in ordered]
    rest.sort(key=lambda a: -address.coefficient(a))
    outer = axes.extend(rest, expressions)
    lane = outer.pop() if rest else None
    inner = axes.extend(ordered, expressions)
    shape = outline(axes, words, outer, lane, inner, context.threads)
    finisher = Finisher(axes, words, lane, context.memories)
    finisher.translate(builder.tape, {})
    target = ((finisher.numbers[numbers[1]], words.add(memory.strides[axis])),)
    buffer, position = finisher.place(memory, address, target)
    store = loops.Store(buffer, position, finisher.numbers[numbers[0]], accumulate=True)
    stage = loops.Map(tuple(inner), (store,), ordered=True)
    steps.append(assemble(shape, words, finisher, [stage], f"scatter_add {updates.shape}"))
    return steps


def copy_into(memory: Memory, source: Node, context: Context) -> Step:
    """A kernel that computes `source` into `memory`."""
    space = Space(source.shape)
    builder, numbers = build(
        space,
        lambda b: [b.value(source, tuple(b.space.dims))],
        lambda s: TapeBuilder(s, context.is_stored, None, context.is_contiguous),
    )
    target = detach(source)
    group = Group("loop", source.shape, (), [target])
    written = [Written(target, numbers[0], tuple(space.dims))]
    context.memories[target] = memory
    return _kernel(group, space, builder, {}, written, context)


def lower_sort(group: Group, context: Context) -> list[Step]:
    """argsort along the last axis, one row a work item."""
    (node,) = group.members
    keys = context.memories[node.inputs[0]]
    if not keys.is_row_major:
        raise NeedsBuffer(node.inputs[0])
    order = context.allocate(node, strides_in_order(node.shape, list(range(node.rank))))
    extent = node.shape[-1]
    kernel = loops.SortKernel(loops.Buffer(0, keys.dtype), loops.Buffer(1, order.dtype), extent=2)
    words = Words()
    words.pointer(keys)
    words.pointer(order)
    words.add(extent)
    rows = size_of(node.shape[:-1])
    label = f"argsort {list(node.shape)}"
    return [Step(kernel, words.values, rows, 16 * extent, rows * extent < ITEM, label)]
