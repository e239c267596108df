"""What a step has to do at least: arithmetic, and bytes that must come and go once.

Read off the loop IR and the argument words, so that it holds for every way of lowering. A profile
divides these numbers by the seconds a launch took, and by what the machine can do at best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from ambos.compiler import loops
from ambos.compiler.attention_loops import AttentionGradientKernel, AttentionKernel
from ambos.compiler.attention_work import count_attention, count_attention_gradient
from ambos.compiler.finish import WordValue
from ambos.compiler.inside import ControlKernel
from ambos.compiler.launches import Step
from ambos.compiler.layout import Memory, Ref
from ambos.core.program import Host, Work
from ambos.ops.kinds import registry

ARITHMETIC = ("add", "mul", "max", "min")  # folds that cost an operation an element


def work_of(step: Step, sources: tuple[int, ...] = ()) -> Work:
    """Arithmetic and unique bytes of `step`."""
    flops, read, written = COUNTERS[type(step.kernel)](step.kernel, step)
    if isinstance(step.kernel, ControlKernel):
        inside = (x.work.sources for p in step.kernel.control.parts for x in p.program.launches)
        sources = tuple(sorted({*sources, *chain.from_iterable(inside)}))
    return Work(flops, read, written, sources)


class Points:
    """How often each instruction of a tape is evaluated, and what memory its loads touch."""

    def __init__(
        self, step: Step, extents: Sequence[int], tape: Sequence[loops.Instr],
        result: frozenset[int] = frozenset(),
    ) -> None:  # fmt: skip
        self.words: Sequence[WordValue] = step.words
        self.extents = [integer(step.words[word]) for word in extents]
        self.tape, self.result = tape, result
        self.axes: list[frozenset[int]] = []  # along which each instruction varies
        for instruction in tape:
            self.axes.append(self.varies(instruction))

    def varies(self, instruction: loops.Instr) -> frozenset[int]:
        if isinstance(instruction, loops.Position):
            return frozenset((instruction.axis,))
        if isinstance(instruction, loops.Apply):
            return frozenset().union(*(self.axes[arg] for arg in instruction.args))
        if isinstance(instruction, loops.Load):
            return self.spanned(instruction.index)
        return self.result if isinstance(instruction, loops.Result) else frozenset()

    def spanned(self, index: loops.Index) -> frozenset[int]:
        """The axes along which an address moves."""
        own = (axis for axis, word in index.terms if self.stride(word))
        return frozenset(own).union(*(self.axes[value] for value, _ in index.gathers))

    def stride(self, word: int) -> int:
        return 1 if word == loops.UNIT else integer(self.words[word])

    def volume(self, axes: Iterable[int]) -> int:
        return math.prod(self.extents[axis] for axis in axes)

    def arithmetic(
        self, numbers: Iterable[int], outer: frozenset[int], inner: frozenset[int]
    ) -> int:
        """Floating operations of `numbers`, each evaluated once for every point of the outer axes
        and of those inner axes along which it varies."""
        total = 0
        for number in numbers:
            instruction = self.tape[number]
            if isinstance(instruction, loops.Apply) and instruction.dtype.is_floating:
                cost = getattr(registry[instruction.op], "cost", 1)
                total += cost * self.volume(outer | (inner & self.axes[number]))
        return total

    def memory(self, buffer: loops.Buffer) -> Memory | None:
        """The block that `buffer` points into (None: scratch)."""
        if buffer.word is None:
            return None
        word = self.words[buffer.word]
        assert isinstance(word, Ref)
        return word.memory


class Traffic:
    """Bytes per block of memory: what differs adds up, to no more than the block has."""

    def __init__(self) -> None:
        self.seen: dict[Any, tuple[Memory, int]] = {}

    def add(self, memory: Memory | None, where: Any, elements: int) -> None:
        if memory is not None:
            self.seen[id(memory), where] = (memory, elements * memory.dtype.itemsize)

    def total(self, without: Traffic | None = None) -> int:
        """All bytes, except in blocks that `without` touches."""
        left_out = {key for key, _ in without.seen} if without is not None else set()
        blocks: dict[int, int] = {}
        limits: dict[int, int] = {}
        for (key, _), (memory, nbytes) in self.seen.items():
            if key not in left_out:
                blocks[key] = blocks.get(key, 0) + nbytes
                limits[key] = memory.nbytes
        return sum(min(nbytes, limits[key]) for key, nbytes in blocks.items())


def integer(word: WordValue) -> int:
    assert isinstance(word, int)
    return word


def is_floating(instruction: loops.Instr) -> bool:
    if isinstance(instruction, loops.Load):
        return instruction.buffer.dtype.is_floating
    if isinstance(instruction, loops.Position | loops.Size):
        return False
    return instruction.dtype.is_floating


def count_tape(points: Points, numbers: Iterable[int], reads: Traffic) -> None:
    """The memory that the loads among `numbers` touch."""
    for number in numbers:
        instruction = points.tape[number]
        if isinstance(instruction, loops.Load):
            axes = points.axes[number]
            where = place(points, instruction.buffer, instruction.index)
            reads.add(points.memory(instruction.buffer), where, points.volume(axes))


def place(points: Points, buffer: loops.Buffer, index: loops.Index) -> Any:
    """Equal for addresses that are equal at every point."""
    base = None if buffer.word is None else points.words[buffer.word]
    shift = base.offset if isinstance(base, Ref) else 0
    offset = 0 if index.offset is None else points.words[index.offset]
    terms = tuple((axis, points.stride(word)) for axis, word in index.terms)
    return shift, offset, terms, index.gathers


def count_stores(points: Points, stores: Iterable[loops.Store], writes: Traffic) -> None:
    for store in stores:
        axes = points.spanned(store.index)
        where = place(points, store.buffer, store.index)
        writes.add(points.memory(store.buffer), where, points.volume(axes))


def count_loop(kernel: loops.LoopKernel, step: Step) -> tuple[int, int, int]:
    """Stages over shared outer axes. What does not vary along an inner axis counts once for it."""
    points = Points(step, kernel.extents, kernel.tape)
    inside = frozenset(axis for stage in kernel.stages for axis in stage.axes)
    every = frozenset(range(len(kernel.extents))) - inside
    if kernel.columns is not None:  # which follow from the row
        every -= {kernel.columns.run, kernel.columns.slot}
    reads, writes = Traffic(), Traffic()
    flops = 0
    for stage in kernel.stages:
        inner = frozenset(stage.axes)
        outer = every - {kernel.run} if inner else every  # all runs together are the last axis
        used = loops.closure(kernel.tape, loops.roots(stage))
        if isinstance(stage, loops.Fold):
            if stage.op in ARITHMETIC and is_floating(kernel.tape[stage.value]):
                flops += points.volume(outer | inner)
        else:
            flops += sum(points.volume(outer | inner) for s in stage.stores if s.combine)
            count_stores(points, stage.stores, writes)
        flops += points.arithmetic(used, outer, inner)
        count_tape(points, used, reads)
    return flops, reads.total(writes), writes.total()


def count_contract(kernel: loops.ContractKernel, step: Step) -> tuple[int, int, int]:
    """Two operations a product, and the epilogue once a result."""
    axes = frozenset(range(len(kernel.extents)))
    points = Points(step, kernel.extents, kernel.tape, axes)
    depth = integer(step.words[kernel.num_runs]) * integer(step.words[kernel.run_length])
    used = loops.closure(kernel.tape, (store.value for store in kernel.stores))
    if kernel.split:  # a point of the first axis sums over one block only
        depth = min(depth, integer(step.words[kernel.k_block]))
    flops = 2 * points.volume(axes) * depth + points.arithmetic(used, frozenset(), axes)
    reads, writes = Traffic(), Traffic()
    column = len(kernel.extents) - 1
    row_axes = range(kernel.num_batch, kernel.num_batch + kernel.num_rows)
    for buffer, batch, own, others in (
        (kernel.a, kernel.a_batch, [*row_axes, *([column] if kernel.a_vector else [])],
         dict(zip(row_axes, kernel.a_rows, strict=True))),
        (kernel.b, kernel.b_batch, [column], {}),
    ):  # fmt: skip
        strides = {**dict(enumerate(batch)), **others}
        moving = [a for a in (*range(kernel.num_batch), *own)
                  if a not in strides or points.stride(strides[a])]  # fmt: skip
        reads.add(points.memory(buffer), "operand", points.volume(moving) * depth)
    count_tape(points, used, reads)
    count_stores(points, kernel.stores, writes)
    return flops, reads.total(writes), writes.total()


def count_scan(kernel: loops.ScanKernel, step: Step) -> tuple[int, int, int]:
    """Six combinations an element, as the canonical order has them."""
    every = frozenset(range(len(kernel.extents)))
    points = Points(step, kernel.extents, kernel.tape, every)
    reads, writes = Traffic(), Traffic()
    used = loops.closure(kernel.tape, (kernel.value, *(store.value for store in kernel.stores)))
    flops = points.arithmetic(used, frozenset(), every)
    if kernel.op in ARITHMETIC and is_floating(kernel.tape[kernel.value]):
        flops += 6 * points.volume(every)
    count_tape(points, used, reads)
    count_stores(points, kernel.stores, writes)
    return flops, reads.total(writes), writes.total()


def count_sort(kernel: loops.SortKernel, step: Step) -> tuple[int, int, int]:
    """Comparisons are no arithmetic: keys in, positions and values out."""
    read, kept = (step.items * integer(step.words[w]) for w in (kernel.extent, kernel.count))
    written = (buffer for buffer in (kernel.order, kernel.values) if buffer is not None)
    return 0, read * kernel.keys.dtype.itemsize, kept * sum(b.dtype.itemsize for b in written)


def count_host(host: Host, step: Step) -> tuple[int, int, int]:
    """Bytes in and out. The arithmetic of a library is its own affair."""
    memories = {word.memory for word in step.words if isinstance(word, Ref)}
    own = [step.words[block.word] for _, block in host.results]
    written = {word.memory for word in own if isinstance(word, Ref)}
    return 0, sum(m.nbytes for m in memories - written), sum(m.nbytes for m in written)


def count_control(kernel: ControlKernel, step: Step) -> tuple[int, int, int]:
    """What its parts compute, as often as is known before the loop runs: a "repeat" its length, a
    part of another loop once, of a branch the dearest. Bytes of operands and results count once."""
    control = kernel.control
    each = [sum(launch.work.flops for launch in part.program.launches) for part in control.parts]
    flops = max(each) if control.how == "choose" else control.length * sum(each)
    memories = {word.memory for word in step.words if isinstance(word, Ref)}
    return (
        flops,
        sum(m.nbytes for m in memories if m.input is not None or m.output is None),
        0,
    )


COUNTERS: dict[type, Callable[[Any, Step], tuple[int, int, int]]] = {
    loops.LoopKernel: count_loop,
    loops.ContractKernel: count_contract,
    loops.SortKernel: count_sort,
    loops.ScanKernel: count_scan,
    Host: count_host,
    ControlKernel: count_control,
    AttentionKernel: count_attention,
    AttentionGradientKernel: count_attention_gradient,
}
