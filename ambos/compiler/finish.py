"""From a symbolic tape to loop IR: axes are ordered and merged, sizes become argument words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ambos.compiler import loops
from ambos.compiler.layout import Memory, Ref, TableRef
from ambos.compiler.symbolic import PLAIN, Do, Number, Read, Reduced, Symbol, Where
from ambos.core.affine import Affine
from ambos.core.dtype import int64
from ambos.core.errors import CompilerError
from ambos.core.open import converted, is_finite
from ambos.core.program import ALIGNMENT, Watch
from ambos.graph.node import Node

# From here on stores go past the caches, because a cache reads a line before it is written.
# Measured, copying 128 MiB: 10.8 GB/s against 5.9 to 7.6 with the cores busy; a convolution that
# writes 25 MiB: 5.0 ms against 7 to 11. From 1 to 16 MiB there was no difference in whole networks.
STREAM_BYTES = 16 << 20

WordValue = int | float | Ref | TableRef | Watch


class Axes:
    """The axes of a kernel: merged runs of space axes, in loop order."""

    def __init__(self, extents: Sequence[int]) -> None:
        self.source = list(extents)  # extents of the space's axes
        self.runs: list[list[int]] = []  # space axes of each kernel axis, outermost first
        self.counters: dict[int, int] = {}  # extents of kernel axes that no address follows

    def extend(self, order: Sequence[int], expressions: Sequence[Affine]) -> list[int]:
        """Add `order` (outermost first), merging neighbours that every expression walks through
        as one; the new kernel axes."""
        first = len(self.runs)
        for axis in order:
            if len(self.runs) > first and self.follows(self.runs[-1][-1], axis, expressions):
                self.runs[-1].append(axis)
            else:
                self.runs.append([axis])
        return list(range(first, len(self.runs)))

    def follows(self, outer: int, inner: int, expressions: Sequence[Affine]) -> bool:
        step = self.source[inner]
        return all(e.coefficient(outer) == e.coefficient(inner) * step for e in expressions)

    def add_single(self) -> int:
        """An axis of extent 1."""
        self.runs.append([])
        return len(self.runs) - 1

    def add_counter(self, extent: int) -> int:
        """An axis that is not part of the space."""
        self.runs.append([])
        self.counters[len(self.runs) - 1] = extent
        return len(self.runs) - 1

    def extent(self, axis: int) -> int:
        if axis in self.counters:
            return self.counters[axis]
        return math.prod(self.source[a] for a in self.runs[axis])

    def coefficient(self, expression: Affine, axis: int) -> int:
        """How far one step along kernel axis `axis` takes `expression`."""
        return expression.coefficient(self.runs[axis][-1]) if self.runs[axis] else 0


class Words:
    """The argument words of a launch while they are collected."""

    def __init__(self) -> None:
        self.values: list[WordValue] = []
        self.pointers: dict[tuple[int, int], int] = {}

    def add(self, value: WordValue) -> int:
        self.values.append(value)
        return len(self.values) - 1

    def pointer(self, memory: Memory, offset: int = 0) -> int:
        """The word with an address `offset` elements into `memory`."""
        if memory.whole is not None:
            memory, offset = memory.whole, memory.start + offset
        key = (id(memory), offset)
        if key not in self.pointers:
            self.pointers[key] = self.add(Ref(memory, offset * memory.dtype.itemsize))
        return self.pointers[key]


class Finisher:
    """Writes the loop IR tape of one kernel."""

    def __init__(
        self, axes: Axes, words: Words, vector: int | None, memories: dict[Node, Memory],
        rows: int | None = None,
    ) -> None:  # fmt: skip
        """`vector` is the axis that vectors lie along, `rows` the other axis of a tile."""
        self.axes, self.words, self.memories = axes, words, memories
        self.unit_axes = tuple(axis for axis in (vector, rows) if axis is not None)
        self.tape: list[loops.Instr] = []
        self.known: dict[loops.Instr, int] = {}
        self.numbers: list[int] = []

    def put(self, instruction: loops.Instr) -> int:
        found = self.known.get(instruction)
        if found is None:
            found = self.known[instruction] = len(self.tape)
            self.tape.append(instruction)
        return found

    def translate(self, tape: Sequence[Symbol], stage_of: dict[Node, int]) -> None:
        """Write every symbolic instruction; `numbers` maps theirs to ours."""
        for symbol in tape:
            match symbol:
                case Read():
                    number = self.load(symbol)
                case Where(value):
                    number = self.integer(value)
                case Number(value, dtype, text):
                    plain = text in PLAIN or not is_finite(value)
                    number = self.put(
                        loops.Literal(_exact(value, dtype.kind), dtype)
                        if plain
                        else loops.Const(self.words.add(_exact(value, dtype.kind)), dtype)
                    )
                case Do(op, args, dtype):
                    taken = tuple(self.numbers[a] for a in args)
                    number = self.put(loops.Apply(op, taken, dtype))
                case Reduced(node, dtype):
                    number = self.put(loops.Result(stage_of[node], dtype))
                case _:
                    raise CompilerError(f"finish: {symbol!r}")
            self.numbers.append(number)

    def load(self, read: Read) -> int:
        memory = self.memories[read.node]
        address = address_of(read, memory)
        gathers = tuple(
            (self.numbers[value], self.stride(memory.strides[dim])) for value, dim in read.gathers
        )
        buffer, index = self.place(memory, address, gathers, read.mask is not None)
        mask = None if read.mask is None else self.numbers[read.mask]
        return self.put(loops.Load(buffer, index, mask))

    def stride(self, step: int) -> int:
        """The stride of a computed position: neighbours need no multiplication."""
        return loops.UNIT if step == 1 else self.words.add(step)

    def place(
        self, memory: Memory, address: Affine, gathers: tuple[tuple[int, int], ...] = (),
        masked: bool = False,
    ) -> tuple[loops.Buffer, loops.Index]:  # fmt: skip
        """Buffer and Index of an affine address. An offset is part of the pointer, except where
        addresses run backwards from it (a flip) or where it may lie outside the block (a mask
        then keeps the elements inside)."""
        back = masked or address.offset < 0 or any(step < 0 for _, step in address.terms)
        pointer = self.words.pointer(memory, 0 if back else address.offset)
        offset = self.words.add(address.offset) if back else None
        terms = []
        for axis in range(len(self.axes.runs)):
            step = self.axes.coefficient(address, axis)
            if step:
                unit = step == 1 and axis in self.unit_axes
                terms.append((axis, loops.UNIT if unit else self.words.add(step)))
        return loops.Buffer(pointer, memory.dtype), loops.Index(offset, tuple(terms), gathers)

    def is_stream(self, memory: Memory, address: Affine) -> bool:
        """Is the memory too large to be read again from a cache, and do vectors fill its lines?"""
        size, axes = memory.dtype.itemsize, self.axes
        whole, start = memory.whole or memory, address.offset
        if memory.whole is not None:
            start += memory.start
        if whole.nbytes < STREAM_BYTES or not whole.aligned or size * loops.LANES < ALIGNMENT:
            return False
        if len(self.unit_axes) != 1 or start * size % ALIGNMENT:  # a tile has two
            return False
        steps = {axis: axes.coefficient(address, axis) for axis in range(len(axes.runs))}
        return steps.pop(self.unit_axes[0]) == 1 and not any(
            s * size % ALIGNMENT for s in steps.values()
        )

    def integer(self, value: Affine) -> int:
        """An affine integer, computed from positions."""
        total: int | None = None
        for axis in range(len(self.axes.runs)):
            step = self.axes.coefficient(value, axis)
            if not step:
                continue
            term = self.put(loops.Position(axis))
            if step != 1:
                factor = self.put(loops.Size(self.words.add(step)))
                term = self.put(loops.Apply("multiply", (term, factor), int64))
            total = term if total is None else self.put(loops.Apply("add", (total, term), int64))
        if total is None or value.offset:
            offset = self.put(loops.Size(self.words.add(value.offset)))
            total = offset if total is None else self.put(
                loops.Apply("add", (total, offset), int64)
            )  # fmt: skip
        return total


def _exact(value: bool | int | float, kind: str) -> Any:
    """`value` as the Python type of its dtype: equal kernels must be written alike."""
    return converted(float if kind == "f" else bool if kind == "b" else int, value)


def address_of(read: Read, memory: Memory) -> Affine:
    """Where a read begins, its gathered dimensions at 0."""
    if read.place is None:
        assert read.position is not None
        return read.position
    return memory.address(read.place)


def expressions_of(tape: Sequence[Symbol], memories: dict[Node, Memory]) -> list[Affine]:
    """Every affine expression that the tape evaluates."""
    found = []
    for symbol in tape:
        if isinstance(symbol, Read):
            found.append(address_of(symbol, memories[symbol.node]))
        elif isinstance(symbol, Where) and symbol.value.terms:
            found.append(symbol.value)
    return found
