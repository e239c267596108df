"""One reduction to few elements, split over work items by the runs of the canonical order.

A sum of millions to one number has as many runs as it has blocks of BLOCK elements, and the order
says how their results combine: one by one. So a first kernel computes every run, a second combines
them, and no bit depends on how many threads there are. What the group computes besides (a mean's
quotient, running statistics) goes with the second kernel; what the reductions read and the group
stores anyway goes with the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ambos.compiler.group import Group, fold_of, kind_of
from ambos.compiler.loops import BLOCK, PANEL
from ambos.core.affine import Affine
from ambos.core.shape import Shape, row_major, size_of
from ambos.graph.node import Node, toposort
from ambos.ops.sources import input_

FEW = 16  # work items that keep the threads busy
SHRINK = 16  # elements of a run, on average: what the first kernel writes should be little
MANY = 32  # runs; fewer take some microseconds, and a kernel of another form is not worth it


@dataclass(frozen=True, slots=True)
class Split:
    """How a group is cut in two: a leaf for each reduction, of shape (outer..., runs, kept...)."""

    outer: tuple[int, ...]  # reduced dimensions that become loops around the runs
    last: tuple[int, ...]  # the merged reduced dimensions whose runs are numbered
    kept: tuple[int, ...]
    runs: int
    leaves: dict[Node, Node]

    plain = True  # the second kernel adds up runs one by one

    @property
    def counters(self) -> tuple[int, ...]:
        """The extent of the axis that numbers the runs."""
        return (self.runs,)

    def steps(self, leaf: Node) -> tuple[int, ...]:
        """How far apart runs lie."""
        return (row_major(leaf.shape)[len(self.outer)],)

    def strides(self, leaf: Node) -> Shape:
        """How a leaf lies in memory."""
        return row_major(leaf.shape)

    def first(self, group: Group) -> Group:
        """The group that computes the runs."""
        members = [m for m in group.members if m.shape == group.shape or m in self.leaves]
        return replace(group, members=members)

    def place(self, dims: Sequence[Affine], group: Group) -> tuple[Affine, ...]:
        """Where run 0 of the point at `dims` of the group's space goes."""
        return (*(dims[d] for d in self.outer), Affine(), *(dims[d] for d in self.kept))

    def second(self, group: Group) -> Group:
        """The group that combines the runs and goes on from there."""
        shape = next(iter(self.leaves.values())).shape
        around = tuple(range(len(self.outer) + 1))
        members = [m for m in group.members if m.shape != group.shape or m in self.leaves]
        return Group("loop", shape, around, members)


def adjacent(dims: Sequence[int]) -> list[list[int]]:
    """Runs of neighbouring dimensions: each is one axis of the canonical order."""
    found: list[list[int]] = []
    for dim in dims:
        if found and found[-1][-1] == dim - 1:
            found[-1].append(dim)
        else:
            found.append([dim])
    return found


def split(group: Group) -> Split | None:
    """The cut of `group`, where its reductions have few results and many runs."""
    reduces = [m for m in group.members if kind_of(m) == "reduce"]
    if not reduces or any(fold_of(m).startswith("arg") for m in reduces):
        return None
    *outer, last = adjacent(group.reduced)
    runs = -(-size_of([group.shape[d] for d in last]) // BLOCK)
    kept = tuple(d for d in range(len(group.shape)) if d not in group.reduced)
    sizes = [group.shape[d] for d in kept]
    columns = bool(kept) and kept[-1] > last[-1]
    items = size_of(sizes[:-1]) * -(-sizes[-1] // PANEL) if columns else size_of(sizes)
    points = size_of([group.shape[d] for part in outer for d in part])
    if items >= FEW or runs * points < MANY or runs * points <= items:
        return None
    if runs * points * size_of(sizes) * SHRINK > size_of(group.shape):
        return None
    full = [m for m in group.members if m.shape == group.shape and m not in reduces]
    if not set(reduces).isdisjoint(toposort(full, stop=lambda n: n in group.inputs)):
        return None  # something of the full space comes after a reduction
    around = tuple(d for part in outer for d in part)
    shape: Shape = (*(group.shape[d] for d in around), runs, *sizes)
    leaves = {
        node: input_.leaf(-1 - number, row_major(shape), shape, node.inputs[0].dtype.compute)
        for number, node in enumerate(reduces)
    }
    return Split(around, tuple(last), kept, runs, leaves)
