"""A contraction and its epilogue as a ContractKernel, with a packing kernel where B needs one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ambos.compiler import loops
from ambos.compiler.finish import Axes, Finisher, Words, address_of, expressions_of
from ambos.compiler.group import Group
from ambos.compiler.k_parts import parts_of
from ambos.compiler.launches import Context, Step
from ambos.compiler.layout import Memory, TableRef, strides_in_order
from ambos.compiler.lower_loop import add_up
from ambos.compiler.lower_pack import ColumnSide, Operand, Packing, Walk
from ambos.compiler.space import Space
from ambos.compiler.symbolic import NeedsBuffer, Read, Reduced, TapeBuilder
from ambos.compiler.tiles import (
    choose_item,
    choose_tile,
    fit_in_pairs,
    moves_rows,
    reads_in_place,
    scratch_of,
)
from ambos.core.affine import Affine, Misaligned
from ambos.core.dtype import float32
from ambos.core.open import converted, is_below, shown
from ambos.core.shape import size_of
from ambos.graph.node import Node
from ambos.ops.contraction import Spec, plain
from ambos.ops.sources import input_

# So many neighbours in a row of A, and elements from one k to the next, make a copy of A pay for
# itself: lines that far apart meet in few sets of the caches. (Weight gradients of 3x3 convolutions
# with a copy: 512 channels 53 -> 75 % of the FMA peak, 256 66 -> 77, 128 75 -> 75, 64 76 -> 58.)
FAR = 128
THIN = 8  # columns of a side that vectors should not run along
SMALL = 1 << 17  # products that are not worth waking a thread


@dataclass(slots=True)
class Roles:
    """Space axes by what the kernel does with them, outermost first."""

    batch: list[int]
    rows: list[int]
    columns: list[int]
    summed: list[int]
    a_vector: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What the kernel stores: an instruction's value, its memory and address."""

    value: int
    memory: Memory
    address: Affine


class Contraction:
    """Everything about one contraction while it is lowered."""

    def __init__(self, group: Group, context: Context) -> None:
        self.group, self.context = group, context
        self.node = next(m for m in group.members if m.op.name == "contract")
        self.a_node, self.b_node, self.spec = *self.node.inputs, self.node.attrs[0]
        self.is_thin = self.spec.is_plain and self.should_swap()
        if self.is_thin:
            self.a_node, self.b_node = self.b_node, self.a_node
            self.spec = replace(self.spec, a=plain(self.spec.b), b=self.spec.a_labels)
        self.labels = [label for label, _ in self.spec.extents]
        self.parts = parts_of(self.spec, context.threads)
        extents = [extent for _, extent in self.spec.extents]
        self.space = Space([*extents, self.parts] if self.parts else extents)
        self.resolve()

    def should_swap(self) -> bool:
        """Vectors run along B's own labels: that side should not be a thin one."""
        spec: Spec = self.spec
        sizes, a, b = spec.sizes(), set(spec.a_labels), set(spec.b)
        wide = math.prod(sizes[x] for x in spec.out if x in b and x not in a)
        tall = math.prod(sizes[x] for x in spec.out if x in a and x not in b)
        return wide < THIN and tall > wide

    def place(self, labels: Sequence[str]) -> tuple[Affine, ...]:
        return tuple(self.space.dims[self.labels.index(label)] for label in labels)

    def resolve(self) -> None:
        """Addresses of both operands and the epilogue, on a space where all reshapes line up."""
        while True:
            try:
                a_place = []
                for dim in self.spec.a:
                    part = Affine()
                    for label, step in dim:
                        part += self.place([label])[0] * step
                    a_place.append(part)
                self.a = self.operand(self.a_node, tuple(a_place))
                self.b = self.operand(self.b_node, self.place(self.spec.b))
                self.build_epilogue()
                return
            except Misaligned as problem:
                self.space.refine(problem)

    def builder(self, anchors: dict[Node, tuple[Affine, ...]] | None = None) -> TapeBuilder:
        members = set(self.group.members)
        return TapeBuilder(
            self.space,
            lambda n: self.context.is_stored(n) and n not in members,
            anchors,
            self.context.is_contiguous,
        )

    def operand(self, node: Node, place: tuple[Affine, ...]) -> Operand:
        builder = self.builder()
        read = builder.tape[builder.value(node, place)]
        if not isinstance(read, Read) or read.mask is not None or read.gathers:
            raise NeedsBuffer(node)
        memory = self.context.memories[read.node]
        return Operand(memory, address_of(read, memory))

    def build_epilogue(self) -> None:
        out = self.place(self.spec.out)
        self.epilogue = self.builder({self.node: out})
        if self.parts:  # as they are; what follows is done to their sum
            part = Reduced(self.node, self.node.dtype.compute)
            self.values = {self.node: self.epilogue.emit(part)}
        else:
            self.values = {m: self.epilogue.value(m, out) for m in self.group.members}

    # --- roles -----------------------------------------------------------------------------------

    def roles(self) -> Roles:
        spec: Spec = self.spec
        a, b = set(spec.a_labels), set(spec.b)
        groups: dict[str, list[str]] = {"batch": [], "rows": [], "columns": []}
        for label in spec.out:
            both = label in a and label in b
            groups["batch" if both else "rows" if label in a else "columns"].append(label)
        found = Roles(
            self.axes_of(groups["batch"]),
            self.axes_of(groups["rows"], self.a.address),
            self.axes_of(groups["columns"], self.b.address),
            self.axes_of(spec.contracted),
        )
        if self.volume(found.columns) == 1 and found.batch:
            unit = [x for x in found.batch if self.a.address.coefficient(x) == 1]
            if unit:  # depthwise: vectors run along the groups, through both operands
                found.batch = [x for x in found.batch if x != unit[-1]] + found.columns
                found.columns, found.a_vector = [unit[-1]], True
        return found

    def axes_of(self, labels: Sequence[str], address: Affine | None = None) -> list[int]:
        axes = [x for label in labels for x in self.space.axes_of(self.labels.index(label))]
        if address is not None:
            axes.sort(key=lambda x: -abs(address.coefficient(x)))
        return axes

    def volume(self, axes: Sequence[int]) -> int:
        return math.prod(self.space.extents[x] for x in axes)

    # --- the result's memory ---------------------------------------------------------------------

    def targets(self, roles: Roles) -> list[Target]:
        """Memory for the stored members (of parts: for those): rows before columns, so that columns
        are contiguous (pixels before channels after a convolution)."""
        order_axes = (
            [*roles.batch, *roles.rows, *roles.columns]
            if self.spec.is_plain
            else [*roles.rows, *roles.batch, *roles.columns]
        )
        out = self.place(self.spec.out)
        rank = {axis: i for i, axis in enumerate(order_axes)}
        position = [min((rank[x] for x, _ in part.terms), default=0) for part in out]
        order = sorted(range(len(out)), key=position.__getitem__)
        if self.parts:
            inner = strides_in_order(self.node.shape, order)
            strides = (size_of(self.node.shape), *inner)
            shape, dtype = (self.parts, *self.node.shape), self.node.dtype.compute
            self.leaf = input_.leaf(-1, strides, shape, dtype)
            memory = self.context.allocate(self.leaf, strides)
            place = (self.space.dims[-1], *out)
            return [Target(self.values[self.node], memory, memory.address(place))]
        found = []
        for member in self.group.members:
            if member in self.context.needed:
                wanted = self.context.requests.get(member, order)
                if member in self.context.forced:
                    wanted = list(range(len(out)))
                memory = self.context.allocate(member, strides_in_order(member.shape, wanted))
                found.append(Target(self.values[member], memory, memory.address(out)))
        return found

    # --- the kernel ------------------------------------------------------------------------------

    def lower(self) -> list[Step]:
        """The product, maybe a packing kernel before it and a kernel that adds up parts after."""
        roles, steps = self.roles(), []
        targets = self.targets(roles)
        walk = self.walk(roles, targets)
        form = self.b_form(walk.axes, roles)
        accumulator = self.node.dtype.compute
        pairs = self.in_pairs(walk, roles)
        tile = choose_tile(
            self.context.features, walk.columns, walk.rows, accumulator, form == "turn",
            self.is_thin, pairs,
        )  # fmt: skip
        side, packing = self.column_side(walk, roles, tile[1] * loops.LANES, form)
        steps += packing
        steps.append(self.product(roles, targets, walk, tile, side, pairs))
        if self.parts:
            steps.extend(add_up(self.group, {self.node: self.leaf}, self.context))
        return steps

    def walk(self, roles: Roles, targets: Sequence[Target]) -> Walk:
        """The kernel's axes in order: batches (blocks of k first), rows, columns."""
        expressions = [
            *expressions_of(self.epilogue.tape, self.context.memories),
            *(target.address for target in targets),
        ]
        axes, a, b = Axes(self.space.extents), self.a.address, self.b.address
        batch = axes.extend(self.space.axes_of(len(self.labels)) if self.parts else [], [])
        batch += axes.extend(roles.batch, [*expressions, a, b])
        columns = axes.extend(roles.columns, [*expressions, b]) or [axes.add_single()]
        extra, column = columns[:-1], columns[-1]  # columns that do not merge are batches
        rows = axes.extend(roles.rows, [*expressions, a]) or [axes.add_single()]
        if not roles.a_vector and self.walks_rows(axes, roles, rows[-1]):
            extra, rows = [*rows[:-1], *extra], rows[-1:]
        axes.runs = [axes.runs[x] for x in (*batch, *extra, *rows, column)]
        return Walk(axes, len(batch) + len(extra), len(rows))

    def product(
        self, roles: Roles, targets: Sequence[Target], walk: Walk, tile: tuple[int, int],
        side: ColumnSide, pairs: bool,
    ) -> Step:  # fmt: skip
        """The step of the ContractKernel."""
        context, words, axes = self.context, Words(), walk.axes
        extents = tuple(words.add(axes.extent(x)) for x in range(len(axes.runs)))
        finisher = Finisher(axes, words, len(extents) - 1, context.memories)
        finisher.translate(self.epilogue.tape, {self.node: 0})
        stores = tuple(self.store(finisher, target) for target in targets)
        a_buffer, a_offset = self.origin(words, self.a)
        b_buffer, b_offset = self.origin(words, side.operand)
        num_runs, run_length, a_table, b_table, a_k, b_k = self.runs(roles, side.k_address)
        k, accumulator = self.volume(roles.summed), self.node.dtype.compute
        length = loops.block_length(k)
        depth = length if self.parts else k  # of an item
        panels = -(-walk.columns // (tile[1] * loops.LANES))
        pitch = axes.coefficient(self.a.address, walk.num_batch)
        a_form = "place"
        if walk.num_rows == 1 and tile[0] > 1 and not roles.a_vector:
            a_form = "k" if a_k == 1 else "rows" if pitch == 1 else "place"
        far = walk.num_rows == 1 and moves_rows(pitch * a_buffer.dtype.itemsize, panels)
        moves = far and a_form == "k" and num_runs == 1
        block, group = choose_item(
            context.features, tile, walk.rows, depth, accumulator.itemsize, panels, walk.batches,
            context.threads, far, side.form == "turn", moves or a_form == "rows",
        )  # fmt: skip
        itemsizes = accumulator.itemsize, a_buffer.dtype.itemsize, b_buffer.dtype.itemsize
        copies = moves or a_form == "rows", side.form != "packed"
        scratch = scratch_of(tile, block, group, depth, itemsizes, copies)
        in_place = reads_in_place(walk.rows, tile[0], b_k * b_buffer.dtype.itemsize)
        kernel = loops.ContractKernel(
            extents=extents,
            num_batch=walk.num_batch,
            num_rows=walk.num_rows,
            a=a_buffer,
            b=b_buffer,
            accumulator=accumulator,
            a_offset=a_offset,
            a_batch=self.strides(axes, words, self.a.address, walk.batch_axes),
            a_rows=self.strides(axes, words, self.a.address, walk.row_axes),
            b_offset=b_offset,
            b_batch=tuple(words.add(s) for s in side.batch),
            b_panel=words.add(side.panel),
            b_line=words.add(side.line) if side.form == "turn" else loops.UNIT,
            b_form=side.form,
            b_in_place=words.add(converted(int, in_place)),
            a_vector=roles.a_vector,
            a_form=a_form,
            a_move=words.add(int(moves)),
            num_runs=words.add(num_runs),
            run_length=words.add(run_length),
            a_runs=words.add(a_table),
            b_runs=words.add(b_table),
            a_k=loops.UNIT if a_k == 1 else words.add(a_k),
            b_k=loops.UNIT if side.form == "turn" else words.add(b_k),
            k_block=words.add(length),
            row_block=words.add(block),
            group=words.add(group),
            b_scratch=words.add(scratch.b),
            a_scratch=words.add(scratch.a),
            tile=tile,
            tape=tuple(finisher.tape),
            stores=stores,
            num_words=len(words.values),
            split=self.parts > 0,
            pairs=pairs,
        )
        items = walk.batches * -(-walk.rows // block) * -(-panels // group)
        more = f"+{len(self.group.members) - 1}" if len(stores) > 1 else ""
        label = f"contract{more} {'x'.join(map(shown, (walk.rows, walk.columns, k)))}"
        is_small = is_below(walk.batches * walk.rows * walk.columns * depth, SMALL)
        return Step(kernel, words.values, items, scratch.size, is_small, label)

    def in_pairs(self, walk: Walk, roles: Roles) -> bool:
        """Do two rows, which lie side by side, share a vector? (Pixels of images whose channels are
        not innermost: as `prepare.wants_pairs` asked for; one row more or less does not change
        that, but an odd width does.)"""
        row = walk.num_batch + walk.num_rows - 1
        return (
            walk.num_rows > 1
            and not roles.a_vector
            and walk.axes.coefficient(self.a.address, row) == 1
            and fit_in_pairs(walk.columns, walk.axes.extent(row))
            and self.node.dtype.compute is float32
            and self.a.memory.dtype is float32
        )

    def store(self, finisher: Finisher, target: Target) -> loops.Store:
        buffer, index = finisher.place(target.memory, target.address)
        stream = finisher.is_stream(target.memory, target.address)
        return loops.Store(buffer, index, finisher.numbers[target.value], stream=stream)

    def walks_rows(self, axes: Axes, roles: Roles, row: int) -> bool:
        """Do many neighbours in A belong to rows, and are k far apart? Then A is copied, and only
        rows that follow each other can be; the outer ones are items of their own."""
        pitches = [self.a.address.coefficient(x) for x in roles.summed]
        together = axes.coefficient(self.a.address, row) == 1 and axes.extent(row) >= FAR
        return together and min(pitches, default=0) >= FAR

    def origin(self, words: Words, operand: Operand) -> tuple[loops.Buffer, int | None]:
        offset, terms = operand.address.offset, operand.address.terms
        back = offset < 0 or any(step < 0 for _, step in terms)
        pointer = words.pointer(operand.memory, 0 if back else offset)
        word = words.add(offset) if back else None
        return loops.Buffer(pointer, operand.memory.dtype), word

    @staticmethod
    def strides(axes: Axes, words: Words, address: Affine, which: Sequence[int]) -> tuple[int, ...]:
        return tuple(words.add(axes.coefficient(address, x)) for x in which)

    def runs(self, roles: Roles, b: Affine) -> tuple[int, int, TableRef, TableRef, int, int]:
        """K as runs: the innermost merged axis, and a table of the offsets of all others."""
        a, summed = self.a.address, roles.summed
        if not self.spec.is_plain:  # an only channel, wherever its next would lie, cuts no run
            summed = [x for x in summed if self.space.extents[x] != 1] or summed[-1:]
        merged = Axes(self.space.extents)
        order = merged.extend(summed, [a, b])
        if not order:
            return 1, 1, TableRef(), TableRef(), 0, 0
        *outer, last = order
        extents = [merged.extent(axis) for axis in outer]
        a_table, b_table = (
            TableRef(tuple((n, merged.coefficient(operand, axis))
                           for n, axis in zip(extents, outer, strict=True)))
            for operand in (a, b)
        )  # fmt: skip
        return (
            math.prod(extents), merged.extent(last), a_table, b_table,
            merged.coefficient(a, last), merged.coefficient(b, last),
        )  # fmt: skip

    # --- the vector side -------------------------------------------------------------------------

    def b_form(self, axes: Axes, roles: Roles) -> str:
        """How the kernel reads B: it must be packed first where neither columns nor k are
        neighbours."""
        if axes.coefficient(self.b.address, len(axes.runs) - 1) == 1:
            return "copy"
        return "turn" if self.runs(roles, self.b.address)[-1] == 1 else "packed"

    def column_side(
        self, walk: Walk, roles: Roles, width: int, form: str
    ) -> tuple[ColumnSide, list[Step]]:
        """B as it lies, or packed into panels of `width` columns by a step of its own."""
        axes, address = walk.axes, self.b.address
        if form == "packed":
            side, step = Packing(
                self.context, self.space.extents, self.b, walk, roles.summed, width
            ).lower()
            return side, [step]
        pitch = axes.coefficient(address, len(axes.runs) - 1)
        batch = [axes.coefficient(address, x) for x in walk.batch_axes]
        return ColumnSide(self.b, batch, width * pitch, pitch, address, form), []


def lower_contract(group: Group, context: Context) -> list[Step]:
    """The steps of a contraction: maybe a packing kernel, then the product with its epilogue."""
    return Contraction(group, context).lower()
