"""`TapeEmitter`: the instructions of a kernel's tape as LLVM text, each at the outermost place.

The caller opens scopes (loops, copies of an unrolled body) on the builder and binds in them what
varies: the index of an axis, the result of a fold. An instruction is evaluated when it is first
asked for, its text goes to the outermost scope that has all it needs (compiler.frame), and it is
remembered for as long as every binding it depends on holds.

One axis may be bound as the vector axis: its index is then base, base + 1, ..., base + 15, and
`mask` (in a tail) says which of these exist; loads and stores along it are masked accordingly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ambos.compiler import memory, outline
from ambos.compiler.loops import (
    PANEL,
    UNIT,
    Apply,
    Buffer,
    Const,
    Index,
    Instr,
    Literal,
    Load,
    Position,
    Result,
    Size,
    Store,
)
from ambos.compiler.memory import Address, Masks
from ambos.compiler.scalar import LLVMBuilder
from ambos.compiler.values import HALVES, Value
from ambos.core.dtype import DType, float64, int64
from ambos.core.errors import CompilerError

Lower = Callable[[str], Callable[..., Any]]


def dtype_of(instruction: Instr) -> DType:
    """The type of what an instruction computes."""
    if isinstance(instruction, Load):
        return instruction.buffer.dtype
    return int64 if isinstance(instruction, Size | Position) else instruction.dtype


@dataclass(frozen=True, slots=True)
class Binding:
    """What an axis is in a scope: an index, or (vector) the first of LANES indices."""

    index: Value
    vector: bool
    mask: Value | None


class TapeEmitter:
    """Evaluates a tape at the point that the builder's open scopes describe.

    `lower(op)` gives the scalar rule `rule(b, *values)` of an op. `written` are the buffers that
    the kernel stores to: they are read no further out than depth `floor`, where a stage begins.
    `lane` is the kernel's lane axis, if it has one (scratch then holds whole panels, whose first
    column is `origin`). `columns` are the results of folds of columns, read where they are used,
    and `kept` other instructions that were computed for all columns.
    """

    def __init__(
        self,
        builder: LLVMBuilder,
        tape: Sequence[Instr],
        lower: Lower,
        written: frozenset[int | None] = frozenset(),
        lane: int | None = None,
    ) -> None:
        self.b = builder
        self.tape = tape
        self.lower = lower
        self.written = written
        self.lane = lane
        self.floor = 0
        self.origin: Value | None = None
        self.columns: dict[int, Callable[[Value], Value]] = {}
        self.kept: dict[int, Callable[[Value], Value]] = {}

    # --- bindings --------------------------------------------------------------------------------

    def bind(
        self, axis: int, index: Value, vector: bool = False, mask: Value | None = None
    ) -> None:
        """In the innermost scope `axis` is at `index` (the first of LANES if `vector`)."""
        self.b.scopes[-1].axes[axis] = Binding(index, vector, mask)

    def bind_result(self, stage: int, value: Value) -> None:
        """In the innermost scope `Result(stage)` is `value`."""
        self.b.scopes[-1].results[stage] = value

    def _binding(self, axis: int) -> tuple[Binding, int]:
        for level in range(self.b.depth, -1, -1):
            found = self.b.scopes[level].axes.get(axis)
            if found is not None:
                return found, level
        raise CompilerError(f"tape: axis {axis} has no index here")

    def bound(self, axis: int) -> Value:
        """The index of `axis` here (of its first lane, if it is the vector axis)."""
        return self._binding(axis)[0].index

    def _tail(self) -> tuple[Value | None, int]:
        """The mask of the vector axis and the level that it is bound at."""
        for level in range(self.b.depth, -1, -1):
            for binding in self.b.scopes[level].axes.values():
                if binding.vector:
                    return binding.mask, level
        return None, 0

    def _is_vector(self) -> bool:
        return any(b.vector for scope in self.b.scopes for b in scope.axes.values())

    # --- words -----------------------------------------------------------------------------------

    def word(self, word: int, kind: str = "i64") -> str:
        """The register with argument word `word`, read once at the function's entry."""
        address = self.b.pure(f"getelementptr i64, ptr %args, i64 {word}", 0)
        return self.b.pure(f"load {kind}, ptr {address}, align 8", 0)

    def size(self, word: int) -> Value:
        """The int64 in an argument word."""
        return self.b.value(self.word(word), int64, False, 0)

    # --- values ----------------------------------------------------------------------------------

    def value(self, number: int) -> Value:
        """What instruction `number` computes at this point."""
        return self._value(number)[0]

    def _value(self, number: int) -> tuple[Value, int]:
        scopes = self.b.scopes
        for level in range(len(scopes) - 1, -1, -1):
            found = scopes[level].memo.get(number)
            if found is not None:
                return found, level
        if number in self.kept:
            local, level = self._column()
            value = self.kept[number](local)
        else:
            value, level = self._evaluate(self.tape[number])
        scopes[level].memo[number] = value
        return value, level

    def _evaluate(self, instruction: Instr) -> tuple[Value, int]:
        """The Value, and the level of the innermost binding that it depends on."""
        match instruction:
            case Apply():
                return self._apply(instruction)
            case Load():
                return self._load(instruction)
            case Literal(value, dtype):
                return self.b.const(value, dtype), 0
            case Size(word):
                return self.size(word), 0
            case Position(axis):
                binding, level = self._binding(axis)
                if not binding.vector:
                    return binding.index, level
                return binding.index + memory.lane_numbers(self.b), level
            case Const(word, dtype):
                return self._constant(word, dtype), 0
            case Result(stage, dtype):
                return self._result(stage, dtype)
        raise CompilerError(f"tape: got {instruction!r}; need an instruction of compiler.loops")

    def _constant(self, word: int, dtype: DType) -> Value:
        if dtype.is_floating:
            wide = self.b.value(self.word(word, "double"), float64, False, 0)
            return self.b.convert(wide, dtype)
        return self.b.convert(self.size(word), dtype)

    def _result(self, stage: int, dtype: DType) -> tuple[Value, int]:
        if stage in self.columns:
            local, level = self._column()
            return self.b.convert(self.columns[stage](local), dtype), level
        for level in range(self.b.depth, -1, -1):
            found = self.b.scopes[level].results.get(stage)
            if found is not None:
                return self.b.convert(found, dtype), level
        raise CompilerError(f"tape: stage {stage} has no result here")

    def _column(self) -> tuple[Value, int]:
        """The place of the first lane in its panel, and the level that binds it."""
        assert self.lane is not None
        binding, level = self._binding(self.lane)
        return binding.index - (self.origin or 0), level

    def _apply(self, apply: Apply) -> tuple[Value, int]:
        pairs = [self._value(number) for number in apply.args]
        level = max((level for _, level in pairs), default=0)
        args = [value for value, _ in pairs]
        if apply.op == "cast":
            return self.b.convert(args[0], apply.dtype), level
        if apply.op == "bitcast":
            return self.b.bitcast(args[0], apply.dtype), level
        result = outline.apply(
            self.b, apply.op, self.lower(apply.op), tuple(self.b.widen(a) for a in args)
        )
        if apply.dtype in HALVES:
            result = self.b.convert(result, apply.dtype)
        if result.dtype is not apply.dtype:
            raise CompilerError(f"{apply.op}: the rule gave {result.dtype!r}; need {apply.dtype!r}")
        return result, level

    def length(self, number: int) -> int:
        """How many LLVM instructions, roughly, the arithmetic of instruction `number` is."""
        apply = self.tape[number]
        if not isinstance(apply, Apply):
            return 0
        if apply.op in ("cast", "bitcast"):
            return 1
        dtypes = tuple(dtype_of(self.tape[arg]).compute for arg in apply.args)
        return outline.length(self.b, self.lower(apply.op), dtypes)

    # --- memory ----------------------------------------------------------------------------------

    def _load(self, instruction: Load) -> tuple[Value, int]:
        address, level = self._address(instruction.buffer, instruction.index)
        conditions: list[Value | None] = []
        if instruction.mask is not None:
            condition, its_level = self._value(instruction.mask)
            conditions.append(condition)
            level = max(level, its_level)
        if not address.is_uniform or any(c is not None and c.vector for c in conditions):
            tail, tail_level = self._tail()
            if not self._is_lane_scratch(instruction.buffer):
                conditions.append(tail)
            level = max(level, tail_level)
        floor = self.floor if instruction.buffer.word in self.written else 0

        def write(text: str, depth: int) -> tuple[str, int]:
            depth = max(depth, floor)
            return self.b.pure(text, depth), depth

        value = memory.load(self.b, address, Masks.of(*conditions), write)
        return value, max(level, floor)

    def _is_lane_scratch(self, buffer: Buffer) -> bool:
        return buffer.word is None and self.lane is not None

    def _address(self, buffer: Buffer, index: Index) -> tuple[Address, int]:
        """The address at this point, and the level of the innermost binding it depends on."""
        level, stride = 0, 0  # type: int, int | Value
        terms: list[Value] = []
        offsets: Value | None = None
        if index.offset is not None:
            terms.append(self.size(index.offset))
        for axis, word in index.terms:
            binding, its_level = self._binding(axis)
            level = max(level, its_level)
            terms.append(self._scaled(binding.index, word))
            if binding.vector:
                stride = 1 if word == UNIT else self.size(word)
        for number, word in index.gathers:
            position, its_level = self._value(number)
            level = max(level, its_level)
            scaled = self._scaled(position, word)
            if scaled.vector:
                offsets = scaled if offsets is None else offsets + scaled
            else:
                terms.append(scaled)
        if self._is_lane_scratch(buffer):
            if offsets is not None or stride != 0:
                raise CompilerError("tape: a scratch index must not vary along the lane axis")
            local, its_level = self._column()
            terms, stride = [*(term * PANEL for term in terms), local], 1
            level = max(level, its_level)
        pointer, depth = self._pointer(buffer, terms)
        return Address(buffer.dtype, pointer, depth, stride, offsets), level

    def _scaled(self, index: Value, word: int) -> Value:
        return index if word == UNIT else index * self.size(word)

    def _pointer(self, buffer: Buffer, terms: list[Value]) -> tuple[str, int]:
        """Base plus terms, outermost first, so that each part is added where it is known."""
        pointer = "%scratch" if buffer.word is None else self.word(buffer.word, "ptr")
        element, depth = memory.memory_type(buffer.dtype), 0
        for depth in sorted({term.depth for term in terms}):
            total: Value | None = None
            for term in terms:
                if term.depth == depth:
                    total = term if total is None else total + term
            assert total is not None
            text = f"getelementptr {element}, ptr {pointer}, i64 {total.text}"
            pointer = self.b.pure(text, depth)
        return pointer, depth

    def approach(self, stores: Sequence[Store]) -> list[str]:
        """The addresses of what `stores`, and what they read beside it, touch at this point, where
        lanes are neighbours."""
        found = []
        loads = [i for i in self.tape if isinstance(i, Load) and not i.index.gathers]
        accesses: list[Store | Load] = [*stores, *loads]
        for access in accesses:
            if access.buffer.word is None or access.index.gathers:
                continue
            address, _ = self._address(access.buffer, access.index)
            if address.is_unit:
                found.append(address.pointer)
        return found

    def announce(self, stores: Sequence[Store], ahead: Value) -> None:
        """Ask for the lines that lie `ahead` (bytes) of what `stores` write here."""
        for store in stores:
            if store.buffer.word is None or store.combine or store.stream:
                continue
            address, _ = self._address(store.buffer, store.index)
            if address.is_unit:
                text = f"getelementptr i8, ptr {address.pointer}, i64 {ahead.text}"
                memory.prefetch(self.b, self.b.pure(text, address.depth))

    def store(self, stores: Sequence[Store], forward: bool = False) -> None:
        """All of `stores` at this point, in order, after everything they need was read. With
        `forward`, later loads at this point of what was stored are the stored values."""
        ready = []
        for store in stores:
            value = self.value(store.value)
            if value.dtype is not store.buffer.dtype:
                raise CompilerError(
                    f"store: got {value.dtype!r} for memory of {store.buffer.dtype!r}; cast first"
                )
            condition = None if store.mask is None else self.value(store.mask)
            address, _ = self._address(store.buffer, store.index)
            varies = value.vector or not address.is_uniform
            varies = varies or (condition is not None and condition.vector)
            if store.combine and self._is_vector():  # one addition for each lane
                value, varies = self.b.broadcast(value), True
            tail = self._tail()[0] if varies else None
            if self._is_lane_scratch(store.buffer):
                tail = None
            how = store.combine, store.stream
            ready.append((address, value, Masks.of(condition, tail), *how))
        for address, value, masks, combine, stream in ready:
            memory.store(self.b, address, value, masks, combine, stream)
        if forward:
            written = {(s.buffer, s.index): ready[n][1] for n, s in enumerate(stores)}
            for number, instruction in enumerate(self.tape):
                if isinstance(instruction, Load):
                    stored = written.get((instruction.buffer, instruction.index))
                    if stored is not None:
                        self.b.scopes[-1].memo[number] = stored
