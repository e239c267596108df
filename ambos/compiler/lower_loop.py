"""A loop group as LoopKernels: pointwise chains, reductions, rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from ambos.compiler import loops
from ambos.compiler.columns import Apart, ColumnSums, apart, column_sums
from ambos.compiler.draft import Draft, Written, allocate
from ambos.compiler.finish import Finisher, Words
from ambos.compiler.group import Group, fold_of, kind_of
from ambos.compiler.launches import Context, Step, assemble
from ambos.compiler.layout import Memory, strides_in_order
from ambos.compiler.nest import Nest, arrange, crossing
from ambos.compiler.share import share_dear_values
from ambos.compiler.space import Space
from ambos.compiler.split import Split, split
from ambos.compiler.symbolic import Do, Read, Reduced, TapeBuilder, build
from ambos.core.affine import Affine
from ambos.core.dtype import float32
from ambos.core.open import listed
from ambos.graph.node import Node
from ambos.ops.movement import detach
from ambos.ops.sources import input_

Cut = Split | ColumnSums | None
NOTHING: Mapping[Node, Node] = MappingProxyType({})

# A kernel that goes over a row several times writes in its last pass only, and the processor is
# late to ask for the lines. Measured, layer_norm with gradients (y and dx): rows of 1000 3.9 -> 2.8
# ms with 2048 bytes, 2.9 with 4096; of 50257 8.7 -> 5.9 and 6.5. With one result: up to a tenth.
AHEAD = 2048


def lower_loop(group: Group, context: Context) -> list[Step]:
    """The kernel of a group of pointwise, movement and reduction nodes, or two if it is split."""
    cut = column_sums(group) if group.columns else split(group)
    if cut is None:
        return _lower(group, context)
    for leaf in cut.leaves.values():
        context.allocate(leaf, cut.strides(leaf))
    try:
        first = _lower(group, context, first=cut)
    except Apart:
        rows, columns, shared = apart(group)
        context.needed |= shared
        return [*lower_loop(rows, context), *lower_loop(columns, context)]
    return [*first, *_lower(cut.second(group), context, sources=cut.leaves, plain=cut.plain)]


def add_up(group: Group, leaves: Mapping[Node, Node], context: Context) -> list[Step]:
    """The kernel of `group`, whose members `leaves` names are the sums of what lies there, along
    its first dimension and in order."""
    leaf = next(iter(leaves.values()))
    whole = replace(group, kind="loop", shape=leaf.shape, reduced=(0,))
    return _lower(whole, context, sources=leaves, plain=True)


def _lower(
    group: Group, context: Context, first: Cut = None, sources: Mapping[Node, Node] = NOTHING,
    plain: bool = False,
) -> list[Step]:  # fmt: skip
    """The kernel of a group, after copies of what lies across its vectors. `first`: partial results
    go to their leaves; `sources`: the leaves that reductions take in, one by one if `plain`."""
    space = Space(group.shape)
    group = group if first is None else first.first(group)
    reduces = [m for m in group.members if kind_of(m) == "reduce" or m in sources]
    sums = list(first.leaves) if isinstance(first, ColumnSums) else []
    builder, numbers = build(
        space,
        lambda b: [_member_value(b, group, m, sources.get(m)) for m in (*group.members, *sums)],
        lambda s: TapeBuilder(
            s,
            lambda n: context.is_stored(n) and n not in group.members,
            {r: group.target(r, s.dims) for r in reduces},
            context.is_contiguous,
        ),
    )
    written = [
        Written(m, number, group.target(m, space.dims))
        for m, number in zip(group.members, numbers, strict=False)
        if m not in reduces and m in context.needed
    ]
    for node in reduces:
        if isinstance(first, Split):
            leaf = first.leaves[node]
            number = builder.emit(Reduced(node, leaf.dtype))
            place = first.place(space.dims, group)
            written.append(Written(leaf, number, place, first.steps(leaf)))
        elif node in context.needed:
            place = group.target(node, space.dims)
            written.append(Written(node, builder.value(node, place), place))
    for node, number in zip(sums, numbers[len(group.members) :], strict=True):
        assert first is not None
        leaf, place = first.leaves[node], first.place(space.dims, group)
        written.append(Written(leaf, number, place, first.steps(leaf), adds=True))
    folds = {m: number for m, number in zip(group.members, numbers, strict=False) if m in reduces}
    fresh = [write for write in written if not context.is_stored(write.node)]

    def drafted() -> tuple[Draft, Nest]:
        reads = [s for s in builder.tape if isinstance(s, Read)]
        for write in fresh:
            allocate(write, reads, space, context)
        draft = Draft(group, space, builder, folds, written, context)
        return draft, arrange(draft, first)

    draft, nest = drafted()
    across, order = crossing(draft, nest)
    copies = [_straighten(draft, number, order) for number in across]
    if copies:  # results lie as these do
        draft, nest = drafted()
    return [*copies, _kernel(draft, nest, first, plain)]


def _straighten(draft: Draft, number: int, order: Sequence[int]) -> Step:
    """Let instruction `number` of `draft` read a copy, which has the axes of the space in `order`,
    and the kernel that makes it: that transposes tiles in registers, where a vector of elements
    far apart would fetch a line for each."""
    read, space, context = draft.builder.tape[number], Space(draft.space.extents), draft.context
    assert isinstance(read, Read)
    place, strides = tuple(space.dims), strides_in_order(space.shape, order)
    leaf = input_.leaf(
        -1 - len(draft.group.members) - number, strides, space.shape, read.node.dtype
    )
    context.allocate(leaf, strides)
    draft.builder.tape[number] = replace(read, node=leaf, place=place, position=None)
    builder = TapeBuilder(space, context.is_stored)
    written = [Written(leaf, builder.emit(read), place)]
    copy = Draft(Group("loop", space.shape, (), [leaf]), space, builder, {}, written, context)
    step = _kernel(copy, arrange(copy))
    step.label = f"copy {listed(draft.group.shape)}"
    return step


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


def _kernel(draft: Draft, nest: Nest, cut: Cut = None, plain: bool = False) -> Step:
    """`cut`: it computes the runs of a split group; `plain`: its folds combine such runs."""
    words, threads = Words(), draft.context.threads
    shape = nest.outline(words, threads, sum(w.cells for w in draft.written if w.adds))
    finisher = Finisher(nest.axes, words, nest.vector, draft.context.memories, nest.rows)
    stages, scratch = _stages(draft, nest, finisher, plain), 0
    if draft.folds:
        lanes = 1 if nest.lane is None else loops.PANEL
        finisher.tape, stages, scratch = share_dear_values(
            finisher.tape, stages, nest.inner, nest.axes, words, lanes
        )
    run = nest.counters[0] if isinstance(cut, Split) else None
    columns = _columns(draft, nest, finisher) if isinstance(cut, ColumnSums) else None
    told = any(isinstance(s, loops.Map) and _is_told_ahead(s) for s in stages)
    ahead = words.add(AHEAD) if told and draft.folds and nest.lane is None else None
    label = _label(draft.group)
    return assemble(shape, words, finisher, stages, label, scratch, run, columns, ahead)


def _is_told_ahead(stage: loops.Map) -> bool:
    """Does it write results line by line?"""
    plain = (s.buffer.word is not None and not (s.combine or s.stream) for s in stage.stores)
    return bool(stage.axes) and any(plain)


def _columns(draft: Draft, nest: Nest, finisher: Finisher) -> loops.Columns:
    """What the kernel has to know of the partial sums that its maps accumulate."""
    stores = []
    for write in draft.written:
        if write.adds:
            store = _store(finisher, write, draft.stores[write.node], nest)
            # At the end: what the finisher knows by number may have moved (compiler.share).
            finisher.tape.append(loops.Literal(0.0, store.buffer.dtype))
            stores.append(replace(store, value=len(finisher.tape) - 1, combine=""))
    run, slot = nest.counters
    return loops.Columns(run, slot, loops.Map(nest.map_axes(), tuple(stores)))


def _stages(
    draft: Draft, nest: Nest, finisher: Finisher, plain: bool
) -> list[loops.Fold | loops.Map]:
    """The folds in order; before them stores that need none, after them the others of the full
    space, last those of what is left when it is reduced."""
    folds, full = draft.folds, draft.group.shape
    spread = [
        w
        for w in draft.written
        if not folds or w.adds or (w.node.shape == full and w.node not in folds)
    ]
    single = [w for w in draft.written if w not in spread]
    early = [w for w in spread if draft.goes_early(w)]
    late = [w for w in spread if w not in early]
    finisher.translate(draft.builder.tape, {n: i + bool(early) for i, n in enumerate(folds)})

    def stores(written: Sequence[Written], axes: tuple[int, ...]) -> list[loops.Map]:
        found = tuple(_store(finisher, w, draft.stores[w.node], nest) for w in written)
        return [loops.Map(axes, found)] if found else []

    across = nest.map_axes()
    before = stores(early, across)
    reduced = []
    for node, number in folds.items():
        op = fold_of(node)
        in_order = plain and op in ("add", "mul")
        value = finisher.numbers[number]
        reduced.append(loops.Fold(tuple(nest.inner), op, value, in_order, nest.joined))
    return [*before, *reduced, *stores(late, across), *stores(single, ())]


def _store(finisher: Finisher, write: Written, address: Affine, nest: Nest) -> loops.Store:
    memory = finisher.memories[write.node]
    buffer, index = finisher.place(memory, address)
    if write.steps:
        steps = [finisher.words.add(step) for step in write.steps]
        index = replace(index, terms=(*index.terms, *zip(nest.counters, steps, strict=True)))
    in_lines = not write.adds and nest.joined == 1  # else vectors begin anywhere
    stream = in_lines and finisher.is_stream(memory, address)
    number = finisher.numbers[write.number]
    return loops.Store(buffer, index, number, combine="add" if write.adds else "", stream=stream)


def _label(group: Group) -> str:
    names = [m.op.name for m in group.members]
    some = "+".join(names[:4]) + (f"+{len(names) - 4}" if len(names) > 4 else "")
    return f"{some} {listed(group.shape)}"


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
    draft = Draft(group, space, builder, {}, written, context)
    step = _kernel(draft, arrange(draft))
    step.label = label
    if before is None:
        del context.memories[target]
    else:
        context.memories[target] = before
    return step
