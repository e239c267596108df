"""A control group (results of one loop or branch) as one launch that runs other Programs.

What nobody needs is gone by now (compiler.trim). Nothing is copied from step to step: a carried
value is read from where the last step left it and written to another place, or over itself where
its Program allows that (compiler.donate).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ambos.compiler.compiled import NOTHING_RENEWED, Renewal
from ambos.compiler.finish import Words
from ambos.compiler.group import Group
from ambos.compiler.inside import ControlKernel, Inside
from ambos.compiler.launches import Context, Step
from ambos.compiler.layout import Memory
from ambos.compiler.symbolic import NeedsBuffer
from ambos.compiler.weave import weave
from ambos.core.dtype import DType, bool_, int32, uint8
from ambos.core.open import shown
from ambos.core.program import Control, Part
from ambos.core.shape import Shape, row_major, size_of
from ambos.graph.node import Node
from ambos.ops.control import BranchSpec, LoopSpec, ScanSpec

SHOWN = 3  # launches of a body that a label names


def lower_control(group: Group, context: Context) -> list[Step]:
    """Operands are read, and results written, row-major."""
    first = group.members[0]
    bases = dict.fromkeys(stored_below(source, context) for source in first.inputs)
    missing = [base for base in bases if not context.memories[base].is_row_major]
    if missing:
        raise NeedsBuffer(*missing)
    for node in group.members:
        context.allocate(node, row_major(node.shape))
    spec = first.attrs[1]
    if isinstance(spec, ScanSpec):
        return [_scan(group, context, spec)]
    if isinstance(spec, LoopSpec):
        return [_loop(group, context, spec)]
    assert isinstance(spec, BranchSpec)
    return [_branch(group, context, spec)]


def stored_below(node: Node, context: Context) -> Node:
    """What holds the elements of an operand: itself, or what it reshapes."""
    while not context.is_stored(node):
        (node,) = node.inputs
    return node


def operand(node: Node, context: Context) -> Memory:
    """Memory of an operand, in its shape."""
    base = stored_below(node, context)
    memory = context.memories[base]
    if base is node:
        return memory
    whole = memory if memory.whole is None else memory.whole
    strides = row_major(node.shape)
    return Memory(node.dtype, node.shape, strides, whole=whole, start=memory.start)


@dataclass(slots=True)
class Table:
    """The table of a loop's cells and the words of its launch, while they are collected."""

    group: Group
    context: Context
    words: Words = field(default_factory=Words)
    memories: list[Memory] = field(default_factory=list)  # of the cells
    begins: list[tuple[int, int, int]] = field(default_factory=list)
    copies: list[tuple[int, int, int]] = field(default_factory=list)
    slides: list[tuple[int, int]] = field(default_factory=list)
    swaps: list[tuple[int, int, int, int]] = field(default_factory=list)
    settles: list[tuple[int, int, int]] = field(default_factory=list)
    moving: set[int] = field(default_factory=set)

    @property
    def inputs(self) -> list[Memory]:
        """Memory of the operands."""
        return [operand(node, self.context) for node in self.group.members[0].inputs]

    @property
    def results(self) -> dict[int, Memory]:
        """Memory of the results that are wanted, by number."""
        return {node.attrs[0]: self.context.memories[node] for node in self.group.members}

    def cell(self, memory: Memory, offset: int = 0) -> int:
        """A new cell that begins with the address `offset` bytes into `memory`."""
        number = len(self.memories)
        self.memories.append(memory)
        self.begins.append((number, self.words.pointer(memory), offset))
        return number

    def sliced(self, memory: Memory, length: int, reverse: bool) -> int:
        """A cell that goes through `memory`, which has a slice for each step."""
        step = bytes_of(memory.dtype, memory.shape[1:])
        cell = self.cell(memory, (length - 1) * step if reverse else 0)
        self.slides.append((cell, -step if reverse else step))
        self.moving.add(cell)
        return cell

    def carry(
        self, initial: Memory, last: Memory | None, in_place: bool, odd: bool = True
    ) -> tuple[int, int]:
        """Two cells, where a carried value is read and written. It comes to lie in `last` if the
        number of steps is `odd` (or is copied there, see `settle`)."""
        last = last or temporary(initial.dtype, initial.shape)
        if in_place:
            here = self.words.pointer(last), self.words.pointer(initial)
            self.copies.append((*here, bytes_of(last.dtype, last.shape)))
            cell = self.cell(last)
            return cell, cell
        other = temporary(initial.dtype, initial.shape)
        read, written = self.cell(initial), self.cell(last if odd else other)
        self.swaps.append((read, written, self.words.pointer(last), self.words.pointer(other)))
        self.moving |= {read, written}
        return read, written

    def settle(self, cell: int, last: Memory) -> None:
        """In the end what lies at `cell` is to be in `last`."""
        nbytes = bytes_of(last.dtype, last.shape)
        self.settles.append((self.words.pointer(last), cell, nbytes))

    def part(self, inside: Inside, reads: Sequence[int], writes: Sequence[int], arena: int) -> Part:
        """A part whose inputs and outputs are in these cells."""
        program = inside.program
        outputs = dict(zip(inside.outputs, writes, strict=True))
        check = None
        if inside.check is not None:
            check = outputs[inside.check] = self.cell(temporary(int32, ()))
        cells = (arena, *reads[: program.num_inputs], *(outputs[n] for n in range(len(outputs))))
        return Part(program, cells, frozenset(self.moving & set(cells)), check, inside.complaints)

    def workspace(self, insides: Sequence[Inside]) -> int:
        """The cell of the arena that all parts share."""
        nbytes = max(inside.program.arena_bytes for inside in insides)
        return self.cell(temporary(uint8, (nbytes,)))

    def step(self, control: Control, insides: Sequence[Inside], label: str) -> Step:
        """The launch."""
        control = replace(
            control, num_cells=len(self.memories), begins=tuple(self.begins),
            copies=tuple(self.copies), slides=tuple(self.slides), swaps=tuple(self.swaps),
            settles=tuple(self.settles),
        )  # fmt: skip
        woven = weave(control, insides, self.memories, self.words)
        control = replace(control, woven=woven is not None)
        kernel = ControlKernel(control, woven, tuple(inside.steps for inside in insides))
        return Step(kernel, self.words.values, 1, 0, True, label)


def temporary(dtype: DType, shape: Shape) -> Memory:
    return Memory(dtype, shape, row_major(shape))


def bytes_of(dtype: DType, shape: Shape) -> int:
    return size_of(shape) * dtype.itemsize


# --- the ops -------------------------------------------------------------------------------------


def _scan(group: Group, context: Context, spec: ScanSpec) -> Step:
    table, body = Table(group, context), spec.body
    inputs, results = table.inputs, table.results
    first, last = spec.num_constants, spec.num_constants + spec.num_carry
    moves = range(spec.num_carry)
    ys = sorted(number for number in results if number >= spec.num_carry)
    inside = context.inside(body, (*moves, *ys), renewal_of(moves, first))
    reads = [table.cell(memory) for memory in inputs[:last]]
    writes = []
    for output, number in zip(inside.outputs, moves, strict=False):
        in_place = (output, first + number) in inside.program.donated
        place = inputs[first + number], results.get(number), in_place, spec.length % 2 == 1
        reads[first + number], written = table.carry(*place)
        writes.append(written)
    slides = spec.length, spec.reverse
    reads += [table.sliced(memory, *slides) for memory in inputs[last:]]
    writes += [table.sliced(results[number], *slides) for number in ys]
    arena = table.workspace([inside])
    part = table.part(inside, reads, writes, arena)
    label = f"scan {shown(spec.length)} x [{titles(inside)}]"
    return table.step(Control("repeat", (part,), 0, length=spec.length), [inside], label)


def _loop(group: Group, context: Context, spec: LoopSpec) -> Step:
    table, body = Table(group, context), spec.body
    inputs, results = table.inputs, table.results
    first = spec.num_condition + spec.num_body
    moves = range(len(inputs) - first)
    condition = context.inside(spec.condition, (0,), NOTHING_RENEWED)
    inside = context.inside(body, tuple(moves), renewal_of(moves, spec.num_body))
    cells = [table.cell(memory) for memory in inputs]
    carry = cells[first:]
    writes = []
    for output, number in zip(inside.outputs, moves, strict=False):
        in_place = (output, spec.num_body + number) in inside.program.donated
        carry[number], written = table.carry(inputs[first + number], results.get(number), in_place)
        writes.append(written)
        if number in results and not in_place:
            table.settle(carry[number], results[number])
    flag = table.cell(temporary(bool_, ()))
    arena = table.workspace([condition, inside])
    parts = (
        table.part(condition, [*cells[: spec.num_condition], *carry], [flag], arena),
        table.part(inside, [*cells[spec.num_condition : first], *carry], writes, arena),
    )
    label = f"while [{titles(condition)}] do [{titles(inside)}]"
    return table.step(Control("until", parts, 0, flag=flag), [condition, inside], label)


def _branch(group: Group, context: Context, spec: BranchSpec) -> Step:
    table = Table(group, context)
    results = table.results
    wanted = tuple(sorted(results))
    insides = [context.inside(body, wanted, NOTHING_RENEWED) for body in spec.branches]
    number, *operands = table.inputs
    word = table.words.pointer(number)
    reads = [table.cell(memory) for memory in operands]
    writes = [table.cell(results[n]) for n in wanted]
    arena = table.workspace(insides)
    parts = tuple(table.part(inside, reads, writes, arena) for inside in insides)
    label = " or ".join(f"[{titles(inside)}]" for inside in insides)
    return table.step(Control("choose", parts, 0, number=word), insides, f"branch {label}")


def renewal_of(moves: Sequence[int], first: int) -> Renewal:
    """Results, in this order, may be written over the arguments that they replace."""
    return Renewal(tuple((root, first + number) for root, number in enumerate(moves)))


def titles(inside: Inside) -> str:
    """The launches of a body in words, the first of many."""
    labels = [launch.kernel.label for launch in inside.program.launches]
    more = [f"{len(labels) - SHOWN} more"] if len(labels) > SHOWN else []
    return ", ".join([*labels[:SHOWN], *more])
