"""Sums down columns, in the kernel that goes over the rows of the same data.

The gradients of a normalisation are of both kinds: by x along rows, by scale and shift down
columns. In the canonical order a row adds to one of LANES partial sums of its column, the one
numbered by its index modulo LANES, in blocks of BLOCK rows. So a kernel of rows can add what it has
in registers to partial sums in memory, and a second kernel combines these, which are little: that
is a sum over blocks and partial sums, in the canonical order of two axes that are no neighbours.

A work item of the first kernel takes some of the partial sums of a block, hence rows that lie LANES
apart. No two items meet in a partial sum, so that no bit depends on threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ambos.compiler.group import Group, fold_of, is_leaf, kind_of
from ambos.compiler.loops import BLOCK, LANES
from ambos.compiler.symbolic import Read
from ambos.core.affine import Affine
from ambos.core.shape import Shape, row_major, size_of
from ambos.graph.node import Node, toposort
from ambos.ops.sources import input_


class Apart(Exception):
    """Rows and columns of a group have to be kernels of their own."""


@dataclass(frozen=True, slots=True)
class ColumnSums:
    """How a group with columns is lowered: a leaf for each sum, of shape (runs, kept..., LANES)."""

    runs: int
    leaves: dict[Node, Node]

    plain = False  # the second kernel combines in the canonical order

    @property
    def counters(self) -> tuple[int, ...]:
        """Extents of the axes that number the runs and the partial sums of a run."""
        return self.runs, LANES

    def strides(self, leaf: Node) -> Shape:
        """How a leaf lies in memory: what belongs to one slot is contiguous."""
        _, *kept, lanes = leaf.shape
        size = size_of(kept)
        return lanes * size, *row_major(kept), size

    def steps(self, leaf: Node) -> tuple[int, ...]:
        """How far apart in memory runs lie, and the partial sums of a run."""
        strides = self.strides(leaf)
        return strides[0], strides[-1]

    def place(self, dims: Sequence[Affine], group: Group) -> tuple[Affine, ...]:
        """Where the first partial sum of the first run of the point at `dims` goes."""
        return (Affine(), *(dims[d] for d in group.reduced), Affine())

    def first(self, group: Group) -> Group:
        """The group that goes over rows."""
        return replace(group, members=[m for m in group.members if m not in group.columns])

    def second(self, group: Group) -> Group:
        """The group that combines the partial sums and goes on from there."""
        shape = next(iter(self.leaves.values())).shape
        return Group("loop", shape, (0, len(shape) - 1), list(group.columns))


def column_sums(group: Group) -> ColumnSums:
    """The leaves for the columns of `group`."""
    kept = tuple(group.shape[d] for d in group.reduced)
    rows = size_of([n for d, n in enumerate(group.shape) if d not in group.reduced])
    shape = (-(-rows // BLOCK), *kept, LANES)
    sums = [m for m in group.columns if kind_of(m) == "reduce"]
    leaves = {
        node: input_.leaf(-1 - number, row_major(shape), shape, node.inputs[0].dtype.compute)
        for number, node in enumerate(sums)
    }
    return ColumnSums(shape[0], leaves)


def apart(group: Group) -> tuple[Group, Group, set[Node]]:
    """Rows and columns as groups of their own, and what the columns read of the rows."""
    rows = [m for m in group.members if m not in group.columns]
    around = tuple(d for d in range(len(group.shape)) if d not in group.reduced)
    known = {*rows, *group.inputs}
    below = toposort(group.columns, stop=known.__contains__)
    columns = replace(group, reduced=around, members=list(group.columns), columns=[])
    return replace(group, members=rows, columns=[]), columns, set(rows).intersection(below)


class Joining(Protocol):
    """What a fusion knows: see compiler.fuse.Fusion."""

    forced: set[Node]

    def reads(self, node: Node) -> tuple[list[Read], Sequence[Affine]]: ...
    def large_inputs(self, group: Group) -> set[Node]: ...
    def obstacle(
        self, group: Group, node: Node, reads: Sequence[Read], dims: Sequence[Affine],
        sources: set[Node], space: tuple[Shape, Shape],
    ) -> str: ...  # fmt: skip


def adds_columns(fusion: Joining, rows: Group, columns: Group) -> bool:
    """Can what `columns` sums be computed where `rows` has its elements, and does that save a pass
    over something large?"""
    if not are_crosswise(rows, columns) or fusion.forced & {*rows.members, *columns.members}:
        return False
    if columns in rows.before or any(rows in group.before for group in columns.before):
        return False
    shared = bool(fusion.large_inputs(rows) & fusion.large_inputs(columns))
    for member in columns.members:
        reads, dims = fusion.reads(member)
        sources = {read.node for read in reads if not is_leaf(read.node)}
        if kind_of(member) != "reduce":  # it follows in the second kernel
            if not sources.isdisjoint(rows.members):
                return False
            continue
        if not sources.isdisjoint(columns.members):
            return False
        if fusion.obstacle(rows, member, reads, dims, sources, (rows.shape, rows.reduced)):
            return False
        shared |= any(node.shape == rows.shape for node in sources & set(rows.members))
    return shared


def are_crosswise(rows: Group, columns: Group) -> bool:
    """Do these reduce the last and the first axes of one space, the columns by sums only?"""
    if rows.kind != "loop" or columns.kind != "loop" or rows.shape != columns.shape:
        return False
    cut = len(columns.reduced)
    if columns.reduced != tuple(range(cut)) or rows.reduced != tuple(range(cut, len(rows.shape))):
        return False
    if not cut or not rows.reduced or rows.columns or columns.columns:
        return False
    sums = {m for m in columns.members if kind_of(m) == "reduce"}
    if any(fold_of(m) != "add" or not m.dtype.is_floating for m in sums):
        return False
    return all(m in sums or m.shape != columns.shape for m in columns.members)
