"""A contraction and its epilogue as a ContractKernel, with a packing kernel where B needs one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ambos.compiler import loops
from ambos.compiler.finish import Axes, Finisher, Words, address_of, expressions_of
from ambos.compiler.group import Group
from ambos.compiler.launches import Context, Step, assemble, outline, outline_tile
from ambos.compiler.layout import Memory, TableRef, strides_in_order
from ambos.compiler.space import Space
from ambos.compiler.symbolic import NeedsBuffer, Read, TapeBuilder
from ambos.compiler.tiles import (
    choose_item,
    choose_tile,
    moves_rows,
    reads_in_place,
    scratch_of,
)
from ambos.core.affine import Affine, Misaligned
from ambos.core.dtype import bool_
from ambos.core.shape import row_major
from ambos.graph.node import Node
from ambos.ops.contraction import Spec, plain

# So many neighbours in a row of A, and elements from one k to the next, make a copy of A pay for
# itself: lines that far apart meet in few sets of the caches. (Weight gradients of 3x3 convolutions
# with a copy: 512 channels 53 -> 75 % of the FMA peak, 256 66 -> 77, 128 75 -> 75, 64 76 -> 58.)
FAR = 128


@dataclass(slots=True)
class Operand:
    """One side of the product: its memory and its address over the labels' axes."""

    memory: Memory
    address: Affine


@dataclass(slots=True)
class Roles:
    """Space axes by what the kernel does with them, outermost first."""

    batch: list[int]
    rows: list[int]
    columns: list[int]
    summed: list[int]
    a_vector: bool = False


class Contraction:
    """Everything about one contraction while it is lowered."""

    def __init__(self, group: Group, context: Context) -> None:
        self.group, self.context = group, context
        self.node = next(m for m in group.members if m.op.name == "contract")
        self.a_node, self.b_node, self.spec = *self.node.inputs, self.node.attrs[0]
        if self.spec.is_plain and self.should_swap():
            self.a_node, self.b_node = self.b_node, self.a_node
            self.spec = replace(self.spec, a=plain(self.spec.b), b=self.spec.a_labels)
        self.labels = [label for label, _ in self.spec.extents]
        self.space = Space([extent for _, extent in self.spec.extents])
        self.resolve()

    def should_swap(self) -> bool:
        """Vectors run along B's own labels: that side should not be a thin one."""
        spec: Spec = self.spec
        sizes, a, b = spec.sizes(), set(spec.a_labels), set(spec.b)
        wide = math.prod(sizes[x] for x in spec.out if x in b and x not in a)
        tall = math.prod(sizes[x] for x in spec.out if x in a and x not in b)
        return wide < 8 and tall > wide

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

    def allocate(self, roles: Roles) -> dict[Node, Affine]:
        """Memory for the stored members: rows before columns, so that columns are contiguous
        (pixels before channels after a convolution)."""
        order_axes = (
            [*roles.batch, *roles.rows, *roles.columns]
            if self.spec.is_plain
            else [*roles.rows, *roles.batch, *roles.columns]
        )
        out = self.place(self.spec.out)
        rank = {axis: i for i, axis in enumerate(order_axes)}
        position = [min((rank[x] for x, _ in part.terms), default=0) for part in out]
        order = sorted(range(len(out)), key=position.__getitem__)
        stores = {}
        for member in self.group.members:
            if member in self.context.needed:
                wanted = self.context.requests.get(member, order)
                if member in self.context.forced:
                    wanted = list(range(len(out)))
                strides = strides_in_order(member.shape, wanted)
                memory = self.context.allocate(member, strides)
                stores[member] = memory.address(out)
        return stores

    # --- the kernel ------------------------------------------------------------------------------

    def lower(self) -> list[Step]:
        context, node = self.context, self.node
        roles = self.roles()
        stores = self.allocate(roles)
        expressions = [
            *expressions_of(self.epilogue.tape, context.memories), *stores.values(),
        ]  # fmt: skip
        axes, words = Axes(self.space.extents), Words()
        batch = axes.extend(roles.batch, [*expressions, self.a.address, self.b.address])
        columns = axes.extend(roles.columns, [*expressions, self.b.address])
        if not columns:
            columns = [axes.add_single()]
        extra, column = columns[:-1], columns[-1]  # columns that do not merge are batches
        rows = axes.extend(roles.rows, [*expressions, self.a.address]) or [axes.add_single()]
        if not roles.a_vector and self.walks_rows(axes, roles, rows[-1]):
            extra, rows = [*rows[:-1], *extra], rows[-1:]
        number = [*batch, *extra, *rows, column]
        axes.runs = [axes.runs[x] for x in number]
        num_batch, num_rows = len(batch) + len(extra), len(rows)
        count = math.prod(axes.extent(x) for x in range(num_batch, num_batch + num_rows))
        width = axes.extent(len(number) - 1)
        accumulator = node.dtype.compute
        form = self.b_form(axes, roles)
        tile = choose_tile(context.features, width, count, accumulator, form == "turn")
        k = self.volume(roles.summed)
        panels = -(-width // (tile[1] * loops.LANES))
        batches = math.prod(axes.extent(x) for x in range(num_batch))
        steps: list[Step] = []
        side = self.column_side(axes, roles, num_batch, tile[1] * loops.LANES, form, steps)
        pitch = axes.coefficient(self.a.address, num_batch)
        moves = num_rows == 1 and moves_rows(pitch * self.a.memory.dtype.itemsize, panels)
        block, group = choose_item(
            context.features, tile, count, k, accumulator.itemsize, panels, batches,
            context.threads, moves, form == "turn",
        )  # fmt: skip
        extents = tuple(words.add(axes.extent(x)) for x in range(len(number)))
        finisher = Finisher(axes, words, len(number) - 1, context.memories)
        finisher.translate(self.epilogue.tape, {node: 0})
        kernel_stores = []
        for member, address in stores.items():
            buffer, index = finisher.place(context.memories[member], address)
            number_ = finisher.numbers[self.values[member]]
            stream = finisher.is_stream(context.memories[member], address)
            kernel_stores.append(loops.Store(buffer, index, number_, stream=stream))
        a_buffer, a_offset = self.origin(words, self.a)
        b_buffer, b_offset = self.origin(words, side.operand)
        num_runs, run_length, a_table, b_table, a_k, b_k = self.runs(roles, side.k_address)
        b_pitch = b_k * b_buffer.dtype.itemsize
        a_form = "place"
        if num_rows == 1 and tile[0] > 1 and not roles.a_vector:
            a_form = "k" if a_k == 1 else "rows" if pitch == 1 else "place"
        moves = moves and a_form == "k" and num_runs == 1
        itemsizes = accumulator.itemsize, a_buffer.dtype.itemsize, b_buffer.dtype.itemsize
        copies = moves or a_form == "rows", side.form != "packed"
        scratch = scratch_of(tile, block, group, k, itemsizes, copies)
        kernel = loops.ContractKernel(
            extents=extents,
            num_batch=num_batch,
            num_rows=num_rows,
            a=a_buffer,
            b=b_buffer,
            accumulator=accumulator,
            a_offset=a_offset,
            a_batch=self.strides(axes, words, self.a.address, range(num_batch)),
            a_rows=self.strides(
                axes, words, self.a.address, range(num_batch, num_batch + num_rows)
            ),
            b_offset=b_offset,
            b_batch=tuple(words.add(s) for s in side.batch),
            b_panel=words.add(side.panel),
            b_line=words.add(side.line) if side.form == "turn" else loops.UNIT,
            b_form=side.form,
            b_in_place=words.add(int(reads_in_place(count, tile[0], b_pitch))),
            a_vector=roles.a_vector,
            a_form=a_form,
            a_move=words.add(int(moves)),
            num_runs=words.add(num_runs),
            run_length=words.add(run_length),
            a_runs=words.add(a_table),
            b_runs=words.add(b_table),
            a_k=loops.UNIT if a_k == 1 else words.add(a_k),
            b_k=loops.UNIT if side.form == "turn" else words.add(b_k),
            k_block=words.add(loops.block_length(k)),
            row_block=words.add(block),
            group=words.add(group),
            b_scratch=words.add(scratch.b),
            a_scratch=words.add(scratch.a),
            tile=tile,
            tape=tuple(finisher.tape),
            stores=tuple(kernel_stores),
            num_words=len(words.values),
        )
        items = batches * -(-count // block) * -(-panels // group)
        work = self.volume(range(len(self.space.extents)))
        label = f"contract{'+' + str(len(self.group.members) - 1) if len(stores) > 1 else ''} " + (
            f"{count}x{width}x{k}"
        )
        steps.append(Step(kernel, words.values, items, scratch.size, work < 1 << 17, label))
        return steps

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
            return 1, 1, TableRef((0,)), TableRef((0,)), 0, 0
        *outer, last = order
        starts = [(0, 0)]
        for axis in outer:
            step = merged.coefficient(a, axis), merged.coefficient(b, axis)
            starts = [
                (x + i * step[0], y + i * step[1])
                for x, y in starts
                for i in range(merged.extent(axis))
            ]
        a_table, b_table = (TableRef(tuple(column)) for column in zip(*starts, strict=True))
        return (
            len(starts), merged.extent(last), a_table, b_table,
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
        self, axes: Axes, roles: Roles, num_batch: int, width: int, form: str, steps: list[Step]
    ) -> ColumnSide:
        """B as it lies, or packed into panels of `width` columns by a step of its own."""
        if form == "packed":
            return self.pack(axes, roles, num_batch, width, steps)
        step = axes.coefficient(self.b.address, len(axes.runs) - 1)
        batch = [axes.coefficient(self.b.address, x) for x in range(num_batch)]
        return ColumnSide(self.b, batch, width * step, step, self.b.address, form)

    def pack(
        self, axes: Axes, roles: Roles, num_batch: int, width: int, steps: list[Step]
    ) -> ColumnSide:
        """B as [batch][panel][k][width], the last panel filled up with zeros."""
        column = len(axes.runs) - 1
        columns, k = axes.extent(column), self.volume(roles.summed)
        panels = -(-columns // width)
        source, memory_dtype = self.b.address, self.b.memory.dtype
        batches = [x for x in range(num_batch) if axes.coefficient(source, x)]
        own = Axes([*self.space.extents, panels, width])
        panel_axis, lane_axis = len(self.space.extents), len(self.space.extents) + 1
        k_strides = dict(
            zip(roles.summed, row_major([self.space.extents[x] for x in roles.summed]), strict=True)
        )
        target = Affine(0, ((lane_axis, 1),)) + Affine(0, ((panel_axis, k * width),))
        k_address = Affine()
        for axis, stride in k_strides.items():
            k_address += Affine(0, ((axis, stride * width),))
        target += k_address
        batch_strides, total = [0] * num_batch, panels * k * width
        for x in reversed(batches):
            batch_strides[x] = total
            total *= axes.extent(x)
        step = axes.coefficient(source, column)
        loaded = Affine(source.offset, ((panel_axis, step * width), (lane_axis, step)))
        loaded += Affine(0, tuple(sorted((x, source.coefficient(x)) for x in roles.summed)))
        position = Affine(0, ((panel_axis, width), (lane_axis, 1)))
        words = Words()
        outer = []
        for x in batches:
            own.runs.append([len(own.source)])
            fresh = len(own.source)
            own.source.append(axes.extent(x))
            outer.append(len(own.runs) - 1)
            loaded += Affine(0, ((fresh, axes.coefficient(source, x)),))
            target += Affine(0, ((fresh, batch_strides[x]),))
        outer += own.extend([panel_axis], [])
        outer += own.extend(roles.summed, [loaded, target])
        (lane,) = own.extend([lane_axis], [Affine(0, ((x, 1),)) for x in roles.summed] + [position])
        packed = Memory(memory_dtype, (total,), (1,))
        rows = next((x for x in outer if own.coefficient(loaded, x) == 1), None)
        if rows is None or own.coefficient(loaded, lane) in (0, 1):
            rows, inner = None, [lane]
            shape = outline(own, words, outer, None, inner, self.context.threads)
        else:  # columns of memory become rows: transposed in registers
            inner = []
            shape = outline_tile(own, words, [x for x in outer if x != rows], rows, lane)
        finisher = Finisher(own, words, lane, self.context.memories, rows)
        limit = finisher.put(loops.Size(words.add(columns)))
        inside = finisher.put(loops.Apply("less", (finisher.integer(position), limit), bool_))
        buffer, index = finisher.place(self.b.memory, loaded)
        value = finisher.put(loops.Load(buffer, index, inside))
        place = finisher.place(packed, target)
        stage = loops.Map(tuple(inner), (loops.Store(*place, value),))
        steps.append(assemble(shape, words, finisher, [stage], f"pack {k}x{columns}"))
        return ColumnSide(
            Operand(packed, Affine()), batch_strides, k * width, 1, k_address, "packed"
        )


@dataclass(slots=True)
class ColumnSide:
    """How the kernel addresses B."""

    operand: Operand
    batch: list[int]
    panel: int
    line: int
    k_address: Affine
    form: str


def lower_contract(group: Group, context: Context) -> list[Step]:
    """The steps of a contraction: maybe a packing kernel, then the product with its epilogue."""
    return Contraction(group, context).lower()
