"""A scan and the code that computes what it takes in as one ScanKernel."""

from __future__ import annotations

import math

from ambos.compiler import loops
from ambos.compiler.draft import Written, allocate
from ambos.compiler.emit_scan import scan_scratch
from ambos.compiler.finish import Axes, Finisher, Words, address_of, expressions_of
from ambos.compiler.group import Group
from ambos.compiler.launches import SERIAL, Context, Step
from ambos.compiler.space import Space
from ambos.compiler.symbolic import Do, NeedsBuffer, Read, TapeBuilder, build
from ambos.core.dtype import float32
from ambos.core.open import is_below, listed
from ambos.ops.scan import Scan

LANE_GRAIN = 256  # columns of a work item: so much of a row is read in one go


def lower_scan(group: Group, context: Context) -> list[Step]:
    """Vectors lie along the scanned axis where memory is contiguous there, else across."""
    (node,) = group.members
    (source,) = node.inputs
    dim, reverse = node.attrs
    space = Space(node.shape)
    builder, (number,) = build(
        space,
        lambda b: [b.value(source, tuple(b.space.dims))],
        lambda s: TapeBuilder(s, context.is_stored, None, context.is_contiguous),
    )
    accumulated = source.dtype
    if source.dtype.compute is float32 and source.dtype is not float32:
        accumulated = float32
        number = builder.emit(Do("cast", (number,), float32))  # halves add up in float32
    reads = [s for s in builder.tape if isinstance(s, Read)]
    written = Written(node, number, tuple(space.dims))
    allocate(written, reads, space, context)
    target = context.memories[node].address(written.place)
    expressions = [*expressions_of(builder.tape, context.memories), target]
    scanned = space.axes_of(dim)
    outer_axes = [a for a in range(len(space.extents)) if a not in scanned]
    outer_axes.sort(key=lambda a: -abs(target.coefficient(a)))
    axes, words = Axes(space.extents), Words()
    outer = axes.extend(outer_axes, expressions)
    along = axes.extend(scanned, expressions)
    if len(along) > 1:
        raise NeedsBuffer(source)
    axis = along[0] if along else axes.add_single()
    addresses = [address_of(r, context.memories[r.node]) for r in reads if not r.gathers]
    across = any(axes.coefficient(e, axis) == 1 for e in (target, *addresses))
    lane = outer.pop() if outer and not across else None
    extents = tuple(words.add(axes.extent(a)) for a in range(len(axes.runs)))
    items = math.prod(axes.extent(a) for a in outer)
    if lane is not None:
        items *= -(-axes.extent(lane) // LANE_GRAIN)
    finisher = Finisher(axes, words, axis if lane is None else lane, context.memories)
    finisher.translate(builder.tape, {})
    result = finisher.put(loops.Result(0, accumulated))
    if accumulated is not node.dtype:
        result = finisher.put(loops.Apply("cast", (result,), node.dtype))
    store = loops.Store(*finisher.place(context.memories[node], target), result)
    grain = None if lane is None else words.add(LANE_GRAIN)
    assert isinstance(node.op, Scan)
    kernel = loops.ScanKernel(
        extents, tuple(outer), lane, grain, axis, node.op.combine,
        finisher.numbers[number], reverse, tuple(finisher.tape), (store,), len(words.values),
    )  # fmt: skip
    total = math.prod(axes.extent(a) for a in range(len(axes.runs)))
    scratch = scan_scratch(kernel, LANE_GRAIN)
    label = f"{node.op.name} {listed(node.shape)}"
    return [Step(kernel, words.values, items, scratch, is_below(total, SERIAL), label)]
