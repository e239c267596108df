"""Writing at computed positions: a copy of the base, then the updates in order.

What is written to one element comes in the order of the axis that the positions are along; the
other axes are work items and lanes, which never meet. The copy is of every element onto itself
where the result lies over its base (compiler.donate), and then has nothing to do: so what is
written costs, not what there is.
"""

from __future__ import annotations

from dataclasses import replace

from ambos.compiler import loops
from ambos.compiler.finish import Axes, Finisher, Words, expressions_of
from ambos.compiler.group import Group, is_leaf
from ambos.compiler.launches import Context, Outline, Step, assemble, outline
from ambos.compiler.layout import Memory, strides_in_order
from ambos.compiler.lower_loop import copy_into
from ambos.compiler.space import Space
from ambos.compiler.symbolic import TapeBuilder, build
from ambos.core.affine import Affine
from ambos.core.dtype import int64
from ambos.core.open import listed
from ambos.core.shape import size_of
from ambos.graph.node import Node
from ambos.ops.arithmetic import add
from ambos.ops.folding import ScatterFold
from ambos.ops.kinds import constant
from ambos.ops.movement import expand, reshape
from ambos.ops.sources import iota

MIN_COLUMNS = 64  # of a work item: a narrower piece of a row is not worth its line
CACHED = 1 << 20  # bytes of the result that an item with a position for each element writes to


def lower_scatter(group: Group, context: Context) -> list[Step]:
    """The copy of the base and the ordered writes of one node of group.SCATTERS."""
    (node,) = group.members
    base, index, updates = writes(node)
    axis = node.attrs[0]
    memory = context.allocate(node, strides_in_order(node.shape, list(range(node.rank))))
    steps = [copy_of(base, memory, context)]
    # A position for each element?
    each = node.op.name in ("scatter_elements", "scatter_fold", "last_writer")
    width = 1 if each else index.rank
    space = Space(updates.shape)

    def wanted(b: TapeBuilder) -> list[int]:
        dims = tuple(b.space.dims)
        place = dims if each else dims[axis : axis + width]
        return [b.value(updates, dims), b.clamp(b.value(index, place), node.shape[axis])]

    builder, numbers = build(
        space, wanted, lambda s: TapeBuilder(s, context.is_stored, None, context.is_contiguous)
    )
    address = memory.address([*space.dims[:axis], Affine(), *space.dims[axis + width :]])
    expressions = [*expressions_of(builder.tape, context.memories), address]
    axes, words = Axes(space.extents), Words()
    ordered = [a for d in range(axis, axis + width) for a in space.axes_of(d)]
    rest = [a for a in range(len(space.extents)) if a not in ordered]
    rest.sort(key=lambda a: -address.coefficient(a))
    outer = axes.extend(rest, expressions)
    across = bool(rest) and not (each and axis == node.rank - 1)  # vectors along memory, or none
    lane = outer.pop() if across else None
    inner = axes.extend(ordered, expressions)
    shape = outline(axes, words, outer, lane, inner, context.threads)
    if lane is not None and shape.grain is not None and not outer:
        shape = _columns(shape, axes.extent(lane), words, context, node if each else None)
    along = inner[-1] if lane is None and inner else lane
    finisher = Finisher(axes, words, along, context.memories)
    finisher.translate(builder.tape, {})
    target = ((finisher.numbers[numbers[1]], finisher.stride(memory.strides[axis])),)
    buffer, position = finisher.place(memory, address, target)
    store = loops.Store(buffer, position, finisher.numbers[numbers[0]], combine=combine_of(node))
    stage = loops.Map(tuple(inner), (store,), ordered=True)
    steps.append(
        assemble(shape, words, finisher, [stage], f"{node.op.name} {listed(updates.shape)}")
    )
    return steps


def copy_of(base: Node, memory: Memory, context: Context) -> Step:
    """The step that copies `base` into `memory`, or does nothing where it lies there already."""
    step = copy_into(memory, base, context, f"copy {listed(base.shape)}")
    kernel = step.kernel
    assert isinstance(kernel, loops.LoopKernel)
    if is_leaf(base) and context.memories[base].strides == memory.strides:
        ((store,),) = (stage.stores for stage in kernel.stages if isinstance(stage, loops.Map))
        load = kernel.tape[store.value]
        if isinstance(load, loops.Load) and load.buffer.word is not None:
            assert store.buffer.word is not None
            step.kernel = replace(kernel, unless_same=(load.buffer.word, store.buffer.word))
    return step


def combine_of(node: Node) -> str:
    """What becomes of a value and of what is there, in loop IR; "" where the value replaces it."""
    if isinstance(node.op, ScatterFold):
        return node.op.FOLDS[node.attrs[1]]
    return "add" if node.op.name in ("scatter_add", "scatter_elements") else ""


def writes(node: Node) -> tuple[Node, Node, Node]:
    """What is written to, the positions, and the values."""
    if node.op.name != "last_writer":
        base, index, updates = node.inputs
        return base, index, updates
    ((index,), (axis, _)) = node.inputs, node.attrs
    count = index.shape[axis]
    ordinal = add(iota(attrs=(count,)), constant(1, int64, (count,)))
    single = tuple(n if a == axis else 1 for a, n in enumerate(index.shape))
    line = expand(reshape(ordinal, attrs=(single,)), attrs=(index.shape,))
    return constant(0, int64, node.shape), index, line


def _columns(
    shape: Outline, extent: int, words: Words, context: Context, node: Node | None
) -> Outline:
    """Items of so many columns that every thread has a share (each reads every index); where each
    element has a position (`node`), that what they write to stays in a core's cache."""
    assert shape.grain is not None
    share = -(-extent // context.threads)
    if node is not None:
        column = size_of(node.shape) // max(1, extent) * node.dtype.itemsize
        share = min(share, CACHED // max(1, column))
    share = max(MIN_COLUMNS, share)
    words.values[shape.grain] = step = -(-share // loops.LANES) * loops.LANES
    return replace(shape, items=-(-extent // step))
