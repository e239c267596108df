"""Nodes made of parts that lie in one block: a padded image, the woven phases of a stride.

The kernel that computes a part writes it straight to its place in the whole (its home), so that
padding costs no copy. What lies elsewhere is copied, and the border is filled with zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from ambos.compiler.group import Group, kind_of, within_unit_axes
from ambos.compiler.launches import Context, Step
from ambos.compiler.layout import Memory, order_of
from ambos.compiler.lower_loop import copy_into
from ambos.compiler.nest import in_any_order
from ambos.compiler.together import together
from ambos.core.open import listed
from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.ops.kinds import constant

Home = tuple[Node, int]  # the whole, and the number of its input


def choose_homes(
    groups: Sequence[Group], roots: Iterable[Node], apart: set[Node]
) -> dict[Node, Home]:
    """Which nodes are computed inside a larger one. `apart` need a block of their own."""
    homes: dict[Node, Home] = {}
    apart = {*roots, *apart}
    computed: set[Node] = set()
    for group in groups:
        if group.kind in ("loop", "contract", "parts"):
            computed.update(group.members)
        if sums_over_neighbours(group):
            apart.update(group.members, group.inputs)
    for group in groups:
        if group.kind == "parts":
            (whole,) = group.members
            for number, part in enumerate(whole.inputs):
                inner, _ = within_unit_axes(part)
                if inner in computed and inner not in apart:
                    homes.setdefault(inner, (whole, number))
    return homes


def sums_over_neighbours(group: Group) -> bool:
    """Does a sum run over axes that count as one, so that what it walks must have no gaps?"""
    return any(b - a == 1 for a, b in pairwise(group.reduced)) and any(
        kind_of(member) == "reduce" and not in_any_order(member) for member in group.members
    )


def lower_parts(group: Group, context: Context) -> list[Step]:
    """Copies of the parts that do not lie in the whole yet, and zeros around them."""
    (whole,) = group.members
    memory = context.memories.get(whole)
    if memory is None:
        memory = context.allocate(whole, context.default_strides(whole))
    steps = []
    for number, part in enumerate(whole.inputs):
        if context.homes.get(within_unit_axes(part)[0]) != (whole, number):
            start, step = context.place_within(whole, number)
            place = memory.part(start, step, part.shape)
            steps.append(copy_into(place, part, context, f"copy {listed(part.shape)}"))
    if whole.op.name == "concat":
        steps = together(steps)
    if whole.op.name == "pad":
        for start, shape in borders(whole, memory):
            place = memory.part(start, (1,) * whole.rank, shape)
            zeros = constant(0, whole.dtype, shape)
            steps.append(copy_into(place, zeros, context, f"border {listed(shape)}"))
    return steps


def borders(whole: Node, memory: Memory) -> list[tuple[Shape, Shape]]:
    """Boxes (start, shape) that cover all that lies outside the padded node: the outermost
    dimension in memory gives whole slabs, the next ones what is left between these."""
    before, after = whole.attrs
    start, shape = [0] * whole.rank, list(whole.shape)
    found = []
    for dim in order_of(memory.strides):
        inside = whole.shape[dim] - before[dim] - after[dim]
        for low, count in ((0, before[dim]), (before[dim] + inside, after[dim])):
            if count:
                box = tuple(low if d == dim else s for d, s in enumerate(start))
                found.append((box, tuple(count if d == dim else n for d, n in enumerate(shape))))
        start[dim], shape[dim] = before[dim], inside
    return found
