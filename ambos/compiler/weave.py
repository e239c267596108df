"""Loops and branches of small steps, woven: one kernel does what many launches would.

A launch costs 13 to 35 ns, which is long beside a step on a few numbers. So the kernels of the body
are written into the module of one that loops and calls them, where LLVM makes one function of all.
What a step leaves for the next in a few elements lies in memory of the kernel's own, which becomes
registers; everything else lies where it did, and the arithmetic is that of the same kernels, so
that the bits are the same.

Sizes remain numbers of the run, but for one case: a kernel that makes a few elements is written for
its small numbers, since loops of a length that is not known cannot become registers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ambos.compiler import loops
from ambos.compiler.emit_small_contract import SmallContract
from ambos.compiler.finish import Words, WordValue
from ambos.compiler.inside import ControlKernel, Inside
from ambos.compiler.kernels import kernel_of
from ambos.compiler.launches import Step
from ambos.compiler.layout import Memory, Ref, TableRef
from ambos.compiler.memory import memory_type
from ambos.compiler.narrow import GRAIN, narrow
from ambos.compiler.woven import (
    Argument,
    Call,
    Cell,
    Few,
    Given,
    Local,
    Number,
    Place,
    Weft,
    Woven,
)
from ambos.core.program import ARENA, Control, Launch, Part, Watch, Word
from ambos.ops import registry

FEW = 4  # elements that are kept in memory of the kernel's own
SMALL_CONTRACT = 128  # products of a contraction that needs no tiles
SMALL = 16  # the largest number that is part of the code
MOST_LAUNCHES = 24  # in all parts: more would take long to compile
MOST_INSTRUCTIONS = 400  # an elementary function counts as the additions that it is worth
MOST_EACH = 160  # of a launch, on average: beyond, its own time is much and that of LLVM too long


def weave(
    control: Control, insides: Sequence[Inside], memories: Sequence[Memory], words: Words
) -> Woven | None:
    """The loop as one kernel, if that is worth it; `memories` are those of its cells, `words` those
    of its launch, which become more."""
    if not all(is_plain(inside) for inside in insides):
        return None
    lengths = [length for inside in insides for length in lengths_of(inside)]
    most = min(MOST_INSTRUCTIONS, MOST_EACH * len(lengths))
    if len(lengths) > MOST_LAUNCHES or sum(lengths) > most:
        return None
    return Weaver(control, insides, memories, words).weave()


def steps_of(inside: Inside) -> list[Step]:
    return [step for step in inside.steps if isinstance(step, Step)]


def is_plain(inside: Inside) -> bool:
    """Are its launches loops of one thread, or small contractions, or woven?"""
    return all(is_plain_step(step) for step in steps_of(inside))


def is_plain_step(step: Step) -> bool:
    match step.kernel:
        case loops.LoopKernel():
            tables = any(isinstance(word, TableRef) for word in step.words)
            return (step.serial or step.items <= 1) and not tables
        case loops.ContractKernel():
            return is_small(step.kernel, step.words)
        case ControlKernel():
            return step.kernel.woven is not None
    return False


def is_small(kernel: loops.ContractKernel, words: Sequence[WordValue]) -> bool:
    """May it be a SmallContract, and is that worth it?"""
    if kernel.split or kernel.b_form == "packed":
        return False
    sizes = [words[extent] for extent in (*kernel.extents, kernel.run_length)]
    count = math.prod(size for size in sizes if isinstance(size, int))
    one_run = words[kernel.num_runs] == 1
    starts = all(words[word] == TableRef() for word in (kernel.a_runs, kernel.b_runs))
    return count <= SMALL_CONTRACT and one_run and starts


def lengths_of(inside: Inside) -> list[int]:
    """Instructions of each launch. Sizes have no say in it, lest another one compile anew."""
    found = []
    for step in steps_of(inside):
        if isinstance(step.kernel, loops.LoopKernel | loops.ContractKernel):
            found.append(sum(map(length_of, step.kernel.tape)))
        elif isinstance(step.kernel, ControlKernel) and step.kernel.woven is not None:
            found.append(step.kernel.woven.num_instructions)
    return found


def length_of(instruction: loops.Instr) -> int:
    if not isinstance(instruction, loops.Apply):
        return 1
    cost: int = getattr(registry[instruction.op], "cost", 1)
    return cost


def is_few(memory: Memory) -> bool:
    return memory.nbytes <= FEW * memory.dtype.itemsize


def few_of(memory: Memory) -> Few:
    return Few(memory_type(memory.dtype), memory.nbytes // memory.dtype.itemsize)


def makes_few(step: Step) -> bool:
    """Are the results of a kernel a few elements each?"""
    if isinstance(step.kernel, loops.LoopKernel):
        maps = (stage for stage in step.kernel.stages if isinstance(stage, loops.Map))
        stores = [store for stage in maps for store in stage.stores]
    elif isinstance(step.kernel, loops.ContractKernel):
        stores = list(step.kernel.stores)
    else:
        return False
    buffers = (store.buffer.word for store in stores)
    words = (step.words[number] for number in buffers if number is not None)
    return all(isinstance(word, Ref) and is_few(word.memory) for word in words)


class Weaver:
    """Writes a Woven."""

    def __init__(
        self, control: Control, insides: Sequence[Inside], memories: Sequence[Memory], words: Words
    ) -> None:
        self.control, self.insides, self.words = control, insides, words
        self.memories = memories
        self.watch = words.add(Watch())
        elsewhere = {cell for cell, _ in control.slides}
        elsewhere |= {part.cells[0] for part in control.parts}
        # A branch has nothing to leave for a next step.
        cells = range(len(memories) if control.how != "choose" else 0)
        self.own = {n for n in cells if n not in elsewhere and is_few(memories[n])}
        self.temporaries: dict[int, int] = {}  # id of the memory: number
        self.few: list[Few] = []  # the temporaries

    def weave(self) -> Woven:
        """The whole."""
        control = self.control
        parts, base = [], 0
        for part, inside in zip(control.parts, self.insides, strict=True):
            parts.append(self.part(part, inside, base))
            base += complaints_in(part)
        cells = tuple(self.cell(*begin) for begin in sorted(control.begins))
        own = {control.begins[number][1] for number in self.own}
        copies = tuple((to, source, self.given(nbytes))
                       for to, source, nbytes in control.copies if to not in own)  # fmt: skip
        settles = tuple((to, cell, self.given(nbytes)) for to, cell, nbytes in control.settles
                        if cell not in self.own)  # fmt: skip
        slides = tuple((cell, self.given(stride)) for cell, stride in control.slides)
        return Woven(
            control.how, tuple(parts), cells, tuple(self.few), copies, slides,
            control.swaps, settles, self.given(control.length), control.flag, control.number,
            self.watch, sum(length for inside in self.insides for length in lengths_of(inside)),
        )  # fmt: skip

    def given(self, value: float) -> Given:
        return Given(self.words.add(value))

    def number(self, value: int, is_code: bool) -> Number:
        """A number, as part of the code if it may be and is small."""
        return value if is_code and abs(value) <= SMALL else self.given(value)

    def offset(self, value: int) -> Number:
        return self.given(value) if value else 0

    def cell(self, number: int, word: int, offset: int) -> Cell:
        """How a cell begins, and what becomes of its last value."""
        if number not in self.own:
            return Cell(word, self.offset(offset))
        copied = {to: source for to, source, _ in self.control.copies}
        made = {written: last for _, written, last, _ in self.control.swaps}
        settled = {cell: to for to, cell, _ in self.control.settles}
        target = word if word in copied else settled.get(number)
        if self.control.how == "repeat":
            target = made.get(number, target)
        checks = [part.check for part in self.control.parts]
        is_made = number in made or number in checks or number == self.flag
        source = None if is_made else copied.get(word, word)
        return Cell(word, 0, few_of(self.memories[number]), source, target)

    @property
    def flag(self) -> int | None:
        return self.control.flag if self.control.how == "until" else None

    def part(self, part: Part, inside: Inside, base: int) -> Weft:
        calls, behind = [], base + len(part.complaints)
        for step, launch in zip(steps_of(inside), part.program.launches, strict=True):
            calls.append(self.call(part, step, launch, behind))
            if launch.kernel.control is not None:
                behind += len(launch.kernel.control.complaints)
        return Weft(tuple(calls), part.check, base)

    def call(self, part: Part, step: Step, launch: Launch, base: int) -> Call:
        arguments = [
            self.argument(part, symbol, word, makes_few(step))
            for symbol, word in zip(step.words, launch.words, strict=True)
        ]
        kernel, items = launch.kernel, self.number(launch.items, makes_few(step))
        if kernel.control is not None:
            return Call(kernel, kernel.name, tuple(arguments), 1, base)
        if isinstance(step.kernel, loops.ContractKernel):
            kernel, items = kernel_of(SmallContract(step.kernel), step.label), 1
        elif items == 1 and isinstance(step.kernel, loops.LoopKernel):
            few = narrow(step.kernel)
            kernel = kernel_of(few, step.label)
            if few.grain is not None and few.columns is None:
                arguments[few.grain] = GRAIN
        return Call(kernel, kernel.name, tuple(arguments), items)

    def argument(self, part: Part, symbol: WordValue, word: Word, is_code: bool) -> Argument:
        """What stands in a word of a call."""
        if isinstance(word, Watch):
            return Given(self.watch)
        if isinstance(word, float):
            return self.given(word)
        if isinstance(word, int):
            return self.number(word, is_code)
        if isinstance(symbol, TableRef):
            return 0  # a contraction of one run does not read it
        assert isinstance(symbol, Ref)
        if word.slot != ARENA:
            cell = part.cells[word.slot - 1]
            return Place(cell, word.offset if cell in self.own else self.offset(word.offset))
        if not is_few(symbol.memory):
            return Place(part.cells[0], self.offset(word.offset))
        if id(symbol.memory) not in self.temporaries:
            self.temporaries[id(symbol.memory)] = len(self.few)
            self.few.append(few_of(symbol.memory))
        return Local(self.temporaries[id(symbol.memory)], symbol.offset)


def complaints_in(part: Part) -> int:
    inner = (launch.kernel.control for launch in part.program.launches)
    return len(part.complaints) + sum(len(c.complaints) for c in inner if c is not None)
