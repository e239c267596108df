"""A loop group as LoopKernels: pointwise chains, reductions, rows, scatters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ambos.compiler import loops
from ambos.compiler.finish import Axes, Finisher, Words, address_of, expressions_of
from ambos.compiler.group import Group, kind_of
from ambos.compiler.launches import Context, Step, assemble, outline, outline_tile
from ambos.compiler.layout import Memory, order_of, strides_in_order
from ambos.compiler.share import share_dear_values
from ambos.compiler.space import Space
from ambos.compiler.split import Split, adjacent, split
from ambos.compiler.symbolic import Do, NeedsBlock, NeedsBuffer, Read, Reduced, TapeBuilder, build
from ambos.core.affine import Affine
from ambos.core.dtype import float32
from ambos.core.shape import row_major
from ambos.graph.node import Node
from ambos.ops.movement import detach

SHORT = 8  # a tile with fewer rows or columns is mostly empty: elements are moved one by one


@dataclass(frozen=True, slots=True)
class Written:
    """A member that goes to memory: its instruction and its index."""

    node: Node
    number: int
    place: tuple[Affine, ...]
    run_stride: int = 0  # how far apart runs lie (compiler.split)


def lower_loop(group: Group, context: Context) -> list[Step]:
    """The kernel of a group of pointwise, movement and reduction nodes, or two if it is split."""
    cut = split(group)
    if cut is None:
        return [_lower(group, context)]
    for leaf in cut.leaves.values():
        context.allocate(leaf, row_major(leaf.shape))
    return [_lower(group, context, first=cut), _lower(cut.second(group), context, second=cut)]


def _lower(
    group: Group, context: Context, first: Split | None = None, second: Split | None = None
) -> Step:
    """The one kernel of a group. `first`: the reductions' runs go to their leaves; `second`: the
    reductions take these in."""
    space = Space(group.shape)
    reduces = [m for m in group.members if kind_of(m) == "reduce"]
    sources = {} if second is None else second.leaves
    if first is not None:
        members = [m for m in group.members if m.shape == group.shape or m in reduces]
        group = replace(group, members=members)
    builder, numbers = build(
        space,
        lambda b: [_member_value(b, group, m, sources.get(m)) for m in group.members],
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
        if first is not None:
            place = first.place(space.dims)
            number = builder.emit(Reduced(node, first.leaves[node].dtype))
            leaf = first.leaves[node]
            stride = row_major(leaf.shape)[len(first.outer)]
            written.append(Written(leaf, number, place, stride))
        elif node in context.needed:
            place = group.target(node, space.dims)
            written.append(Written(node, builder.value(node, place), place))
    reads = [s for s in builder.tape if isinstance(s, Read)]
    for write in written:
        if not context.is_stored(write.node):
            allocate(write, reads, space, context)
    folds = {m: number for m, number in zip(group.members, numbers, strict=True) if m in reduces}
    return _kernel(group, space, builder, folds, written, context, first, second is not None)


def _member_value(builder: TapeBuilder, group: Group, node: Node, leaf: Node | None = None) -> int:
    """The instruction of a member; of a reduction what it takes in (from `leaf`, if its runs are
    there)."""
    if leaf is not None:
        return builder.value(leaf, tuple(builder.space.dims))
    if kind_of(node) != "reduce":
        return builder.value(node, group.target(node, builder.space.dims))
    number = builder.value(node.inputs[0], tuple(builder.space.dims))
    if node.inputs[0].dtype.compute is float32 and node.inputs[0].dtype is not float32:
        number = builder.emit(Do("cast", (number,), float32))  # halves add up in float32
    return number


def allocate(write: Written, reads: Sequence[Read], space: Space, context: Context) -> Memory:
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
    written: list[Written], context: Context, first: Split | None = None, plain: bool = False,
) -> Step:  # fmt: skip
    memories = context.memories
    stores = {w.node: memories[w.node].address(w.place) for w in written}
    expressions = [*expressions_of(builder.tape, memories), *stores.values()]
    axes, words = Axes(space.extents), Words()
    reduced = group.reduced if first is None else first.last
    inner_axes = {a for d in reduced for a in space.axes_of(d)}
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
    for part in adjacent(reduced):
        merged = axes.extend([a for d in part for a in space.axes_of(d)], expressions)
        if len(merged) > 1 and (first or not all(in_any_order(fold) for fold in folds)):
            raise _obstacle(builder, space, part, folds, written, context)
        inner += merged
    map_axes: list[int] = list(inner)
    if not folds and len(outer) == 1:
        lane = outer.pop()
    elif not folds and outer:
        map_axes = [outer.pop()]
    rows = None if folds or lane is not None else _row_axis(builder, axes, outer, map_axes, context)
    if rows is not None and min(axes.extent(rows), axes.extent(map_axes[-1])) < SHORT:
        if axes.extent(rows) > axes.extent(map_axes[-1]):  # vectors along the other axis
            outer.remove(rows)
            lane = rows
        rows = None
    vector = lane if lane is not None else (map_axes[-1] if map_axes else None)
    run = None if first is None else axes.add_counter(first.runs)
    outer = outer if run is None else [run, *outer]
    if rows is None:
        shape = outline(axes, words, outer, lane, map_axes, context.threads)
    else:
        (columns,) = map_axes
        shape = outline_tile(axes, words, [a for a in outer if a != rows], rows, columns)
        map_axes = []
    finisher = Finisher(axes, words, vector, memories, rows)
    spread = [
        w for w in written if not folds or (w.node.shape == group.shape and w.node not in folds)
    ]
    single = [w for w in written if w not in spread]
    early = [w for w in spread if _goes_early(builder, w, spread, folds, context)]
    late = [w for w in spread if w not in early]
    finisher.translate(builder.tape, {n: i + bool(early) for i, n in enumerate(folds)})
    stages: list[loops.Fold | loops.Map] = []
    for node, number in folds.items():
        op = node.op.fold  # type: ignore[attr-defined]
        in_order = plain and op in ("add", "mul")
        stages.append(loops.Fold(tuple(inner), op, finisher.numbers[number], in_order))
    for subset, over, at in ((early, map_axes, 0), (late, map_axes, None), (single, [], None)):
        if subset:
            written_here = tuple(_store(finisher, w, stores[w.node], run) for w in subset)
            place = len(stages) if at is None else at
            stages.insert(place, loops.Map(tuple(over), written_here))
    scratch = 0
    if folds:
        lanes = 1 if lane is None else loops.PANEL
        finisher.tape, stages, scratch = share_dear_values(
            finisher.tape, stages, inner, axes, words, lanes
        )
    return assemble(shape, words, finisher, stages, _label(group), scratch, run)


def _obstacle(
    builder: TapeBuilder, space: Space, part: Sequence[int], folds: dict[Node, int],
    written: Sequence[Written], context: Context,
) -> NeedsBuffer | NeedsBlock:  # fmt: skip
    """What would let the reduced dimensions `part`, which count as one, be walked as one."""
    memories = context.memories
    touched = [s.node for s in builder.tape if isinstance(s, Read)] + [w.node for w in written]
    within = [node for node in touched if memories[node].whole is not None]
    if within:  # their rows do not follow each other without a gap
        return NeedsBlock(*within)
    below = sorted(_below(builder, folds.values()))
    expressions = expressions_of([builder.tape[n] for n in below], memories)
    walked = Axes(space.extents).extend([a for d in part for a in space.axes_of(d)], expressions)
    if len(walked) == 1:  # what is computed beside the folds is in the way
        return NeedsBuffer(*folds)
    inputs = [fold.inputs[0] for fold in folds]  # a forced one is row-major already
    return NeedsBuffer(next((n for n in inputs if n not in context.forced), inputs[0]))


def in_any_order(fold: Node) -> bool:
    """Is the result the same in whatever runs the reduced elements come? (A position is counted
    in row-major order over any number of axes.)"""
    return fold.op.fold not in ("add", "mul")  # type: ignore[attr-defined]


def _goes_early(
    builder: TapeBuilder, write: Written, spread: Sequence[Written], folds: dict[Node, int],
    context: Context,
) -> bool:  # fmt: skip
    """May a member be stored in the pass of the first folds? It must need no fold. What renews an
    input is stored when that has been read for the last time, so that it may be written over it:
    the first folds, and nothing after them, may read what is read to compute it anyway."""
    if not folds or _depends(builder, write.number):
        return False
    leaf = context.renewed.get(write.node)
    first = [n for n in folds.values() if not _depends(builder, n)]
    rest = [n for n in folds.values() if n not in first]
    rest += [w.number for w in spread if _depends(builder, w.number)]
    own = _reads(builder, [write.number], leaf)
    return leaf is None or not (_reads(builder, rest, leaf) or _reads(builder, first, leaf) - own)


def _depends(builder: TapeBuilder, number: int) -> bool:
    """Does instruction `number` need the result of a fold?"""
    return any(isinstance(builder.tape[n], Reduced) for n in _below(builder, [number]))


def _reads(builder: TapeBuilder, numbers: Iterable[int], node: Node | None) -> set[int]:
    """The instructions that read `node` where `numbers` are computed."""
    below = ((n, builder.tape[n]) for n in _below(builder, numbers))
    return {n for n, symbol in below if isinstance(symbol, Read) and symbol.node is node}


def _below(builder: TapeBuilder, numbers: Iterable[int]) -> set[int]:
    """`numbers` and every instruction that they are computed from."""
    seen: set[int] = set()
    pending = list(numbers)
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        symbol = builder.tape[current]
        if isinstance(symbol, Do):
            pending += symbol.args
        elif isinstance(symbol, Read):
            pending += [value for value, _ in symbol.gathers]
            pending += [] if symbol.mask is None else [symbol.mask]
    return seen


def _store(finisher: Finisher, write: Written, address: Affine, run: int | None) -> loops.Store:
    memory = finisher.memories[write.node]
    buffer, index = finisher.place(memory, address)
    if write.run_stride:
        assert run is not None
        stride = finisher.words.add(write.run_stride)
        index = replace(index, terms=(*index.terms, (run, stride)))
    stream = finisher.is_stream(memory, address)
    return loops.Store(buffer, index, finisher.numbers[write.number], stream=stream)


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
    """The kept axis along which memory is contiguous, if the reduced one is not. What depends on
    fewer axes than another operand, such as a mean per row, has no say."""
    last = [a for a in space.axes_of(group.reduced[-1]) if space.extents[a] > 1]
    best, most, along = None, 0, 0
    for read in builder.tape:
        if not isinstance(read, Read) or read.gathers:
            continue
        address = address_of(read, context.memories[read.node])
        weight = len(address.terms)
        if last and abs(address.coefficient(last[-1])) == 1:
            along = max(along, weight)
        elif weight > most:
            units = [a for a in outer if address.coefficient(a) == 1 and space.extents[a] > 1]
            if units:
                best, most = units[-1], weight
    return best if most > along else None


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


def copy_into(memory: Memory, source: Node, context: Context, label: str) -> Step:
    """A kernel that computes `source` into `memory`."""
    space = Space(source.shape)
    builder, numbers = build(
        space,
        lambda b: [b.value(source, tuple(b.space.dims))],
        lambda s: TapeBuilder(s, context.is_stored, None, context.is_contiguous),
    )
    target = detach(source)  # stands for the copy while the kernel is written
    before = context.memories.get(target)
    context.memories[target] = memory
    written = [Written(target, numbers[0], tuple(space.dims))]
    group = Group("loop", source.shape, (), [target])
    step = _kernel(group, space, builder, {}, written, context)
    step.label = label
    if before is None:
        del context.memories[target]
    else:
        context.memories[target] = before
    return step
