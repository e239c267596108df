"""A kernel that packs an operand of a contraction into panels, where neither its columns nor its k
are neighbours in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ambos.compiler import loops
from ambos.compiler.finish import Axes, Finisher, Words
from ambos.compiler.launches import Context, Outline, Step, assemble, outline, outline_tile
from ambos.compiler.layout import Memory
from ambos.core.affine import Affine
from ambos.core.dtype import bool_
from ambos.core.open import shown
from ambos.core.shape import row_major


@dataclass(frozen=True, slots=True)
class Operand:
    """One side of the product: its memory and its address over the labels' axes."""

    memory: Memory
    address: Affine


@dataclass(frozen=True, slots=True)
class Walk:
    """The axes of a ContractKernel: batches, then rows, then the one of the columns."""

    axes: Axes
    num_batch: int
    num_rows: int

    @property
    def batch_axes(self) -> range:
        return range(self.num_batch)

    @property
    def row_axes(self) -> range:
        return range(self.num_batch, self.num_batch + self.num_rows)

    @property
    def batches(self) -> int:
        return math.prod(self.axes.extent(x) for x in self.batch_axes)

    @property
    def rows(self) -> int:
        return math.prod(self.axes.extent(x) for x in self.row_axes)

    @property
    def columns(self) -> int:
        return self.axes.extent(self.row_axes.stop)


@dataclass(frozen=True, slots=True)
class ColumnSide:
    """How a ContractKernel addresses B."""

    operand: Operand
    batch: list[int]
    panel: int
    line: int
    k_address: Affine
    form: str


class Packing:
    """B as [batch][panel][k][width], the last panel filled up with zeros."""

    def __init__(
        self, context: Context, extents: Sequence[int], source: Operand, walk: Walk,
        summed: Sequence[int], width: int,
    ) -> None:  # fmt: skip
        """`extents` are those of the space's axes, of which `summed` are k."""
        self.context, self.source, self.walk, self.width = context, source, walk, width
        self.summed = list(summed)
        sizes = [extents[x] for x in summed]
        self.k = math.prod(sizes)
        self.panels = -(-walk.columns // width)
        self.axes = Axes([*extents, self.panels, width])
        self.panel, self.lane = len(extents), len(extents) + 1
        strides = zip(self.summed, row_major(sizes), strict=True)
        self.k_address = term_sum([(axis, stride * width) for axis, stride in strides])
        step = walk.axes.coefficient(source.address, walk.row_axes.stop)
        self.loaded = Affine(source.address.offset)
        self.loaded += term_sum([(self.panel, step * width), (self.lane, step)])
        self.loaded += term_sum([(x, source.address.coefficient(x)) for x in self.summed])
        self.target = term_sum([(self.lane, 1), (self.panel, self.k * width)]) + self.k_address
        self.position = term_sum([(self.panel, width), (self.lane, 1)])

    def lower(self) -> tuple[ColumnSide, Step]:
        """How the product addresses the panels, and the step that fills them."""
        batch, outer, total = self.batches()
        words, own = Words(), self.axes
        outer += own.extend([self.panel], [])
        outer += own.extend(self.summed, [self.loaded, self.target])
        apart = [*(term_sum([(x, 1)]) for x in self.summed), self.position]
        (lane,) = own.extend([self.lane], apart)
        shape, inner, rows = self.shape(words, outer, lane)
        packed = Memory(self.source.memory.dtype, (total,), (1,))
        finisher = Finisher(own, words, lane, self.context.memories, rows)
        limit = finisher.put(loops.Size(words.add(self.walk.columns)))
        inside = finisher.put(loops.Apply("less", (finisher.integer(self.position), limit), bool_))
        buffer, index = finisher.place(self.source.memory, self.loaded)
        value = finisher.put(loops.Load(buffer, index, inside))
        stage = loops.Map(inner, (loops.Store(*finisher.place(packed, self.target), value),))
        label = f"pack {shown(self.k)}x{shown(self.walk.columns)}"
        step = assemble(shape, words, finisher, [stage], label)
        operand, panel = Operand(packed, Affine()), self.k * self.width
        return ColumnSide(operand, batch, panel, 1, self.k_address, "packed"), step

    def batches(self) -> tuple[list[int], list[int], int]:
        """The strides of the product's batch axes, ours for those that B follows, and how many
        elements there are in all."""
        axes, own, source = self.walk.axes, self.axes, self.source.address
        strides, total = [0] * self.walk.num_batch, self.panels * self.k * self.width
        followed = [x for x in self.walk.batch_axes if axes.coefficient(source, x)]
        for x in reversed(followed):
            strides[x] = total
            total *= axes.extent(x)
        outer = []
        for x in followed:
            fresh = len(own.source)
            own.runs.append([fresh])
            own.source.append(axes.extent(x))
            outer.append(len(own.runs) - 1)
            self.loaded += term_sum([(fresh, axes.coefficient(source, x))])
            self.target += term_sum([(fresh, strides[x])])
        return strides, outer, total

    def shape(
        self, words: Words, outer: Sequence[int], lane: int
    ) -> tuple[Outline, tuple[int, ...], int | None]:
        """The loops, what a map walks inside them, and the axis of rows that tiles transpose."""
        own = self.axes
        rows = next((x for x in outer if own.coefficient(self.loaded, x) == 1), None)
        if rows is None or own.coefficient(self.loaded, lane) in (0, 1):
            return outline(own, words, outer, None, [lane], self.context.threads), (lane,), None
        # Columns of memory become rows: transposed in registers.
        others = [x for x in outer if x != rows]
        return outline_tile(own, words, others, rows, lane), (), rows


def term_sum(terms: Sequence[tuple[int, int]]) -> Affine:
    """The sum of axis times step over `terms`, in any order."""
    return Affine(0, tuple(sorted(terms)))
