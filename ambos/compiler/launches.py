"""Steps of a program before memory is planned, and what lowering shares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ambos.compiler import loops
from ambos.compiler.attention_loops import AttentionGradientKernel, AttentionKernel
from ambos.compiler.compiled import Renewal
from ambos.compiler.finish import Axes, Finisher, Words, WordValue
from ambos.compiler.group import Group, within_unit_axes
from ambos.compiler.inside import ControlKernel, Inside
from ambos.compiler.layout import Memory, order_of, strides_in_order
from ambos.core.features import Features
from ambos.core.open import computed, is_below
from ambos.core.program import Host
from ambos.core.shape import Shape, row_major
from ambos.graph.body import Body
from ambos.graph.node import Node
from ambos.ops.movement import Concat, Interleave, Pad

AnyKernel = (
    loops.LoopKernel
    | loops.ContractKernel
    | loops.SortKernel
    | AttentionKernel
    | AttentionGradientKernel
    | loops.ScanKernel
    | Host
    | ControlKernel
)
ITEM = 8192  # elements of work that are worth a work item
TILE_ITEM = 256  # indices of either axis that a work item of a transposing kernel covers
CELLS = 256 << 10  # bytes of partial sums that stay in the second cache beside the rows
SERIAL = 16384  # elements of work that are not worth waking a thread


@dataclass(slots=True)
class Step:
    """One launch, its pointers still symbolic."""

    kernel: AnyKernel
    words: list[WordValue]
    items: int
    scratch: int
    serial: bool
    label: str
    group: Group | None = None  # what it computes


@dataclass(slots=True)
class Context:
    """What is known while groups are lowered in order."""

    features: Features
    threads: int
    forced: set[Node]
    needed: set[Node]  # stored nodes that some other kernel or the caller reads
    requests: dict[Node, list[int]]  # dimension orders that consumers ask for
    homes: dict[Node, tuple[Node, int]]  # nodes computed inside a larger one: its input number
    renewed: Mapping[Node, Node]  # results that may be written over the input they replace
    inside: Callable[[Body, tuple[int, ...], Renewal], Inside]  # compiles results of a body
    slices: frozenset[Node] = frozenset()  # results of a body, which may lie in larger blocks
    memories: dict[Node, Memory] = field(default_factory=dict)
    places: dict[Node, list[tuple[Shape, Shape]]] = field(default_factory=dict)

    def place_within(self, whole: Node, number: int) -> tuple[Shape, Shape]:
        """Where input `number` of a pad, concat or interleave begins in it, and its steps."""
        if whole not in self.places:  # once: a whole may have thousands of parts
            assert isinstance(whole.op, Pad | Concat | Interleave)
            self.places[whole] = whole.op.places(whole)
        return self.places[whole][number]

    def is_stored(self, node: Node) -> bool:
        return node in self.memories

    def is_contiguous(self, node: Node) -> bool:
        return self.memories[node].is_row_major

    def allocate(self, node: Node, strides: Shape) -> Memory:
        """Memory of `node`, with `strides` unless it lies within a larger node."""
        home = self.homes.get(node)
        if home is None:
            memory = Memory(node.dtype, node.shape, strides, aligned=node not in self.slices)
        else:
            whole, number = home
            part = whole.inputs[number]
            _, axes = within_unit_axes(part) if part is not node else (node, range(node.rank))
            if whole not in self.memories:
                order = [axes[axis] for axis in order_of(strides)]
                order += [axis for axis in range(whole.rank) if axis not in order]
                self.allocate(whole, self.default_strides(whole, order))
            start, step = self.place_within(whole, number)
            memory = self.memories[whole].part(start, step, part.shape).along(axes)
        self.memories[node] = memory
        return memory

    def default_strides(self, node: Node, order: Sequence[int] | None = None) -> Shape:
        """Strides of a block of its own: as consumers ask, else in `order`."""
        if node in self.forced or (order is None and node not in self.requests):
            return row_major(node.shape)
        return strides_in_order(node.shape, self.requests.get(node, order or ()))


@dataclass(frozen=True, slots=True)
class Outline:
    """The loops around the stages of a LoopKernel."""

    extents: tuple[int, ...]
    grid: tuple[int, ...]
    serial: tuple[int, ...]
    lane: int | None
    grain: int | None
    items: int
    is_small: bool
    tile: loops.Tile | None = None


def outline_columns(axes: Axes, words: Words, row: int, cells: int, threads: int) -> Outline:
    """The loops of rows with sums of columns, which have `cells` bytes of partial sums in a slot.
    An item takes as many slots as a cache holds, for then rows follow each other in memory in
    longer runs, but leaves something to do for every thread."""
    extents = tuple(words.add(axes.extent(a)) for a in range(len(axes.runs)))
    total = math.prod(axes.extent(a) for a in range(len(axes.runs)) if a not in axes.counters)
    runs = -(-axes.extent(row) // loops.BLOCK)
    step = slots_of(runs, cells, threads)
    items = runs * (loops.LANES // step)
    return Outline(extents, (row,), (), None, words.add(step), items, is_below(total, SERIAL))


@computed
def slots_of(runs: int, cells: int, threads: int) -> int:
    """How many slots of partial sums an item takes."""
    step = loops.LANES
    while step > 1 and (step * cells > CELLS or runs * loops.LANES < 2 * threads * step):
        step //= 2
    return step


def outline(
    axes: Axes, words: Words, outer: Sequence[int], lane: int | None, inner: Sequence[int],
    threads: int,
) -> Outline:  # fmt: skip
    """Which loops are the grid: one axis in grains, or two flattened. The choice follows the number
    of axes only, never their sizes, so that sizes never shape the code."""
    around = list(outer)
    if not around:
        around = [lane if lane is not None else axes.add_single()]
    extents = tuple(words.add(axes.extent(a)) for a in range(len(axes.runs)))
    total = math.prod(axes.extent(a) for a in range(len(axes.runs)) if a not in axes.counters)
    if len(around) > 1:
        items = axes.extent(around[0]) * axes.extent(around[1])
        grid, serial = tuple(around[:2]), tuple(around[2:])
        return Outline(extents, grid, serial, lane, None, items, is_below(total, SERIAL))
    extent = axes.extent(around[0])
    step = grain_of(extent, total, threads, around[0] == lane, bool(inner))
    grain = words.add(step)
    items = -(-extent // step)
    return Outline(extents, tuple(around), (), lane, grain, items, is_below(total, SERIAL))


@computed
def grain_of(extent: int, total: int, threads: int, is_lane: bool, folds: bool) -> int:
    """How many points of an axis of `extent` an item has, of `total` points all together."""
    each = max(1, total // max(1, extent))
    spread = -(-extent // (16 * threads)) if total > SERIAL else 1
    step = max(1, -(-ITEM // each), spread)
    if is_lane:
        step = -(-step // loops.LANES) * loops.LANES
        if folds and total > SERIAL:  # a fold of columns: whole panels if there are enough
            share = -(-extent // (2 * threads * loops.LANES)) * loops.LANES
            step = max(step, min(loops.PANEL, max(4 * loops.LANES, share)))
    return step


def outline_tile(
    axes: Axes, words: Words, outer: Sequence[int], rows: int, columns: int
) -> Outline:
    """The loops of a kernel that transposes: every outer axis is in the grid, and items are blocks
    of the tile's axes, square unless one of these is short."""
    extents = tuple(words.add(axes.extent(a)) for a in range(len(axes.runs)))
    total = math.prod(axes.extent(a) for a in range(len(axes.runs)))
    height, width = axes.extent(rows), axes.extent(columns)
    high, wide = block_of(height, width)
    tile = loops.Tile(rows, columns, words.add(high), words.add(wide))
    items = math.prod(axes.extent(a) for a in outer) * -(-height // high) * -(-width // wide)
    return Outline(extents, tuple(outer), (), None, None, items, is_below(total, SERIAL), tile)


@computed
def block_of(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of an item of a kernel that transposes."""
    high = _tiles(min(height, max(TILE_ITEM, TILE_ITEM**2 // max(1, width))))
    return high, _tiles(min(width, TILE_ITEM**2 // high))


def _tiles(extent: int) -> int:
    """The multiple of TILE that covers `extent`."""
    return max(1, -(-extent // loops.TILE)) * loops.TILE


def assemble(
    shape: Outline, words: Words, finisher: Finisher,
    stages: Sequence[loops.Map | loops.Fold], label: str, scratch: int = 0,
    run: int | None = None, columns: loops.Columns | None = None, ahead: int | None = None,
) -> Step:  # fmt: skip
    """The step of a LoopKernel."""
    kernel = loops.LoopKernel(
        shape.extents, shape.grid, shape.serial, shape.lane, shape.grain,
        tuple(finisher.tape), tuple(stages), len(words.values), shape.tile, run,
        columns=columns, ahead=ahead,
    )  # fmt: skip
    scratch += loops.tile_scratch(kernel)
    return Step(kernel, words.values, shape.items, scratch, shape.is_small, label)
