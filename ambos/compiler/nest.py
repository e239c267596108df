"""The axes of a kernel of loops: which are outer, which vectors lie along, which are reduced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ambos.compiler.columns import Apart, ColumnSums
from ambos.compiler.draft import Draft, main_read
from ambos.compiler.finish import STREAM_BYTES, Axes, Words
from ambos.compiler.group import fold_of
from ambos.compiler.launches import SERIAL, Outline, outline, outline_columns, outline_tile
from ambos.compiler.layout import order_of
from ambos.compiler.loops import LANES
from ambos.compiler.split import Split, adjacent
from ambos.compiler.symbolic import NeedsBlock, NeedsBuffer, Read
from ambos.core.affine import Affine
from ambos.core.shape import size_of
from ambos.graph.node import Node

HELD = 4  # so many operands are worth holding in registers while another axis is walked
SHORT = 8  # a tile with fewer rows or columns is mostly empty: elements are moved one by one


@dataclass(slots=True)
class Nest:
    """Axes of a LoopKernel by what they are for."""

    axes: Axes
    outer: list[int]
    lane: int | None  # of all stages
    inner: list[int]  # that folds reduce
    joined: int  # so many of these, the last, count as one
    across: list[int]  # that maps walk
    rows: int | None = None  # the other axis of a tile
    counters: tuple[int, ...] = ()  # axes that number runs (compiler.split), runs and slots

    @property
    def vector(self) -> int | None:
        """The axis that vectors lie along."""
        if self.lane is not None:
            return self.lane
        return self.across[-1] if self.across else None

    def outline(self, words: Words, threads: int, cells: int = 0) -> Outline:
        """The loops around the stages; `cells`: bytes of a slot, if there are columns."""
        if cells:
            return outline_columns(self.axes, words, self.outer[0], cells, threads)
        if self.rows is None:
            return outline(self.axes, words, self.outer, self.lane, self.across, threads)
        (columns,) = self.across
        others = [axis for axis in self.outer if axis != self.rows]
        return outline_tile(self.axes, words, others, self.rows, columns)

    def map_axes(self) -> tuple[int, ...]:
        """What is left for maps of the full space to walk: a tile is around them."""
        return () if self.rows is not None else tuple(self.across)


def arrange(draft: Draft, cut: Split | ColumnSums | None = None) -> Nest:
    """The nest of a kernel; of the first half of a split one, if there is a `cut`."""
    space, axes = draft.space, Axes(draft.space.extents)
    reduced = cut.last if isinstance(cut, Split) else draft.group.reduced
    inner_axes = {a for d in reduced for a in space.axes_of(d)}
    outer_axes = [a for a in range(len(space.extents)) if a not in inner_axes]
    guide = _guide(draft)
    outer_axes.sort(key=lambda a: -abs(guide.coefficient(a)))
    kept = _lane_axis(draft, outer_axes) if draft.folds else None
    if kept is not None:
        outer_axes.remove(kept)
        outer_axes.append(kept)
    expressions = draft.expressions()
    outer = axes.extend(outer_axes, expressions)
    lane = None if kept is None else outer.pop()
    if isinstance(cut, ColumnSums) and (kept is not None or len(outer) != 1):
        raise Apart
    inner: list[int] = []
    joined = 1
    for part in adjacent(reduced):  # its axes count as one
        merged = axes.extend([a for d in part for a in space.axes_of(d)], expressions)
        joined = len(merged)
        inner += merged
    if cut is None and all(in_any_order(fold) for fold in draft.folds):
        joined = 1
    elif joined > 1 and lane is None and _leaps(draft, axes, inner[-1]):
        raise _obstacle(draft, adjacent(reduced)[-1])
    nest = Nest(axes, outer, lane, inner, joined, list(inner))
    if not draft.folds:
        _choose_vectors(draft, nest)
    if cut is not None:
        nest.counters = tuple(axes.add_counter(extent) for extent in cut.counters)
    if isinstance(cut, Split):
        nest.outer.insert(0, *nest.counters)
    return nest


def _choose_vectors(draft: Draft, nest: Nest) -> None:
    """Without folds: the axis that vectors lie along, and whether tiles are transposed."""
    axes, outer = nest.axes, nest.outer
    if len(outer) == 1:
        nest.lane = outer.pop()
    elif outer:
        nest.across = [outer.pop()]
    if outer and _num_held(draft, nest) >= HELD and not _is_large(draft):
        (nest.lane,), nest.across = nest.across, [outer.pop()]
    rows = None if nest.lane is not None else _row_axis(draft, nest)
    if rows is None:
        return
    columns = axes.extent(nest.across[-1])
    if min(axes.extent(rows), columns) >= SHORT:
        nest.rows = rows
    elif axes.extent(rows) > columns:  # vectors along the other axis
        outer.remove(rows)
        nest.lane = rows


def _num_held(draft: Draft, nest: Nest) -> int:
    """How many operands vary along the vectors but stay the same along the next axis."""
    vector, across = nest.across[-1], nest.outer[-1]
    addresses = [draft.address(read) for read in draft.reads if not read.gathers]
    return sum(
        nest.axes.coefficient(address, vector) != 0 and nest.axes.coefficient(address, across) == 0
        for address in addresses
    )


def _is_large(draft: Draft) -> bool:
    """Does what is read or written come from beyond the caches? Then memory is better walked in a
    straight line, which processors foresee: 38 MB in strides of 768 bytes 4.3 ms, else 2.5."""
    nodes = [*(read.node for read in draft.reads), *(w.node for w in draft.written)]
    memories = (draft.context.memories[node] for node in nodes)
    return any((m.whole or m).nbytes >= STREAM_BYTES for m in memories)


def _leaps(draft: Draft, axes: Axes, last: int) -> bool:
    """Does a fold read elements that are no neighbours along `last`? A copy turns tiles of them in
    registers, and rows after one another would fetch a line for each."""
    found = (draft.builder.tape[number] for number in draft.below(draft.folds.values()))
    addresses = (draft.address(s) for s in found if isinstance(s, Read) and not s.gathers)
    return any(abs(axes.coefficient(address, last)) > 1 for address in addresses)


def _obstacle(draft: Draft, part: Sequence[int]) -> NeedsBuffer | NeedsBlock:
    """What would let the reduced dimensions `part`, which count as one, be walked as one."""
    space, context = draft.space, draft.context
    touched = [read.node for read in draft.reads] + [w.node for w in draft.written]
    within = [node for node in touched if context.memories[node].whole is not None]
    if within:  # their rows do not follow each other without a gap
        return NeedsBlock(*within)
    expressions = draft.expressions(sorted(draft.below(draft.folds.values())))
    walked = Axes(space.extents).extend([a for d in part for a in space.axes_of(d)], expressions)
    if len(walked) == 1:  # what is computed beside the folds is in the way
        return NeedsBuffer(*draft.folds)
    inputs = [fold.inputs[0] for fold in draft.folds]  # a forced one is row-major already
    return NeedsBuffer(next((n for n in inputs if n not in context.forced), inputs[0]))


def in_any_order(fold: Node) -> bool:
    """Is the result the same in whatever runs the reduced elements come? (A position is counted
    in row-major order over any number of axes.)"""
    return fold_of(fold) not in ("add", "mul")


def _guide(draft: Draft) -> Affine:
    """The address whose order the outer loops follow."""
    full = [draft.stores[w.node] for w in draft.written if w.node.shape == draft.group.shape]
    if full:
        return full[0]
    main = main_read(draft.reads, draft.context)
    if main is not None:
        return draft.address(main)
    return next(iter(draft.stores.values()), Affine())


def _lane_axis(draft: Draft, outer: Sequence[int]) -> int | None:
    """The kept axis along which memory is contiguous, if the reduced one is not. What depends on
    fewer axes than another operand, such as a mean per row, has no say; among equals those have it
    that lie as the result does, and those along the reduced axis, unless they are fewer or stay the
    same along the kept one: an element for all lanes is one load, where a column is one for each
    lane."""
    space = draft.space
    last = [a for a in space.axes_of(draft.group.reduced[-1]) if space.extents[a] > 1]
    written = {a for address in draft.stores.values() for a in outer if address.coefficient(a) == 1}
    best, most, along, rows = None, (0, False), 0, set[int]()
    votes: Counter[int | None] = Counter()  # of the operands that depend on every axis
    for read in draft.reads:
        address, wandering = draft.address(read), draft.wandering(read)
        weight = len(wandering.union(axis for axis, _ in address.terms))
        if last and abs(address.coefficient(last[-1])) == 1 and last[-1] not in wandering:
            along = max(along, weight)
            votes[None] += weight == len(space.extents)
            rows |= wandering.union(axis for axis, _ in address.terms)
        else:
            units = [a for a in outer if address.coefficient(a) == 1 and space.extents[a] > 1
                     and a not in wandering]  # fmt: skip
            if units:
                votes[units[-1]] += weight == len(space.extents)
            if units and (weight, units[-1] in written) > most:
                best, most = units[-1], (weight, units[-1] in written)
    if best is None or most[0] > along:
        return best
    is_wide = space.extents[best] >= SHORT
    is_better = best not in rows or votes[best] > votes[None]
    return best if most[0] == along and is_wide and is_better else None


def crossing(draft: Draft, nest: Nest) -> tuple[list[int], list[int]]:
    """The instructions that read something large of which each element along the vectors of folds
    lies in a line of its own, such as a gradient that comes through a flattening (images in planes)
    where batch norm has channels innermost; and the order of the space's axes in which the first
    large operand that lies along the vectors has them."""
    vector, extents = nest.vector, draft.space.extents
    if not draft.folds or vector is None or nest.axes.extent(vector) < SHORT:
        return [], []
    found, straight = list[tuple[int, Node]](), list[tuple[list[int], Node]]()
    for number, symbol in enumerate(draft.builder.tape):
        if not isinstance(symbol, Read) or symbol.gathers or symbol.mask is not None:
            continue
        address = draft.address(symbol)
        steps = [abs(address.coefficient(axis)) for axis in range(len(extents))]
        if not all(step or n == 1 for step, n in zip(steps, extents, strict=True)):
            continue
        step = abs(nest.axes.coefficient(address, vector))
        if step == 1:
            straight.append((steps, symbol.node))
        elif step >= LANES and any(0 < other < step for other in steps):
            found.append((number, symbol.node))
    if not found or not straight or size_of(extents) < SERIAL:
        return [], []
    is_large = lambda node: node.size >= size_of(extents)
    orders = [steps for steps, node in straight if is_large(node)]
    across = [number for number, node in found if is_large(node)]
    return (across, order_of(orders[0])) if orders else ([], [])


def _row_axis(draft: Draft, nest: Nest) -> int | None:
    """The outer axis along which the largest operand is contiguous that is not contiguous along
    the columns, which vectors lie along."""
    axes, best, best_size = nest.axes, None, 0
    for read in draft.reads:
        if not nest.across or read.node.size <= best_size:
            continue
        address = draft.address(read)
        if axes.coefficient(address, nest.across[-1]) in (0, 1):
            continue
        for axis in nest.outer:
            if axes.coefficient(address, axis) == 1:
                best, best_size = axis, read.node.size
    return best
