"""`emit_scan`: a ScanKernel as the text of an LLVM module.

Along a contiguous axis a vector holds a group: its four steps are shuffles, and the carry is its
last lane. Across, a vector holds neighbours of another axis and a group is LANES vectors on the
stack; carries and bases of all columns of an item wait in scratch while the rows are walked
through, so that memory is read in long pieces.
"""

from __future__ import annotations

from collections.abc import Callable

from ambos.compiler import outline
from ambos.compiler.accumulate import IDENTITY
from ambos.compiler.emit import LoopEmitter, module
from ambos.compiler.loops import BLOCK, LANES, ScanKernel
from ambos.compiler.memory import extract, lane_numbers
from ambos.compiler.scalar import LLVMBuilder
from ambos.compiler.tape import Lower, TapeEmitter, dtype_of
from ambos.compiler.values import Value
from ambos.core.dtype import DType, int32, int64

STEPS = (1, 2, 4, 8)


def emit_scan(kernel: ScanKernel, name: str, lower: Lower) -> str:
    """The LLVM module that defines @name with the kernel ABI of core.program."""
    emitter = ScanEmitter(kernel, lower)
    emitter.items()
    return module(emitter.b, name)


def scan_scratch(kernel: ScanKernel, grain: int) -> int:
    """Bytes of scratch for items of `grain` lanes."""
    return 0 if kernel.lane is None else 2 * grain * result_dtype(kernel).itemsize


def result_dtype(kernel: ScanKernel) -> DType:
    return dtype_of(kernel.tape[kernel.value]).compute


class ScanEmitter(LoopEmitter):
    """Writes one ScanKernel."""

    kernel: ScanKernel  # type: ignore[assignment]

    def __init__(self, kernel: ScanKernel, lower: Lower) -> None:
        self.kernel = kernel
        self.b = LLVMBuilder()
        written = frozenset(store.buffer.word for store in kernel.stores)
        self.tape = TapeEmitter(self.b, kernel.tape, lower, written)
        self.dtype = dtype = result_dtype(kernel)
        if kernel.op in IDENTITY:
            self.identity = self.b.const(IDENTITY[kernel.op], dtype)
        else:
            self.identity = self.b.const(dtype.max if kernel.op == "min" else dtype.min, dtype)

    def combine(self, earlier: Value, later: Value) -> Value:
        """One step; of NaN and a number NaN wins, of equals the later."""
        if self.kernel.op not in ("add", "mul", "max", "min"):  # a pointwise op, whose rule is long
            if earlier.vector != later.vector:
                earlier, later = self.b.broadcast(earlier), self.b.broadcast(later)
            op = self.kernel.op
            return outline.call(self.b, op, self.tape.lower(op), (earlier, later))
        return self.b.combine(self.kernel.op, earlier, later)

    def items(self) -> None:
        kernel, b = self.kernel, self.b
        with b.loop("%begin", "%end", 1) as loop:
            item = self.inside(loop.index)
            low = high = None
            if kernel.lane is not None:
                assert kernel.grain is not None
                grain, extent = self.tape.size(kernel.grain), self.extent(kernel.lane)
                blocks = b.binary("udiv", extent + (grain - 1), grain)
                low = b.binary("urem", item, blocks) * grain
                high = self.smaller(low + grain, extent)
                item = b.binary("udiv", item, blocks)
            if kernel.grid:
                self.bind(kernel.grid, item)
            if low is None or high is None:
                self.along()
            else:
                self.across(low, high)

    # --- vectors along the axis ------------------------------------------------------------------

    def along(self) -> None:
        b, extent = self.b, self.extent(self.kernel.axis)
        kind = self.identity.type
        with b.loop("0", extent.text, BLOCK, [(kind, self.identity.text)]) as block:
            start = self.inside(block.index)
            base = b.value(block.inner[0], self.dtype, False, b.depth)
            end = self.smaller(start + BLOCK, extent)
            full = self.whole(start, end, LANES)
            carry = self.groups(start, full, base, self.identity, False)
            carry = self.groups(full, end, base, carry, True)
            block.next = [self.combine(base, carry).text]

    def groups(self, start: Value, stop: Value, base: Value, carry: Value, masked: bool) -> Value:
        """The groups of start..stop (at most one, with lanes missing, if `masked`)."""
        b, reverse = self.b, self.kernel.reverse
        with b.loop(start.text, stop.text, LANES, [(carry.type, carry.text)]) as loop:
            first = self.inside(loop.index)
            mask = None
            if reverse:  # lanes keep their order in memory: the last one is the first here
                place = self.extent(self.kernel.axis) - first - LANES
            else:
                place = first
            if masked:
                left = b.convert(stop - first, int32)
                numbers = lane_numbers(b, int32)
                mask = numbers >= LANES - left if reverse else numbers < left
            self.tape.bind(self.kernel.axis, place, True, mask)
            value = b.broadcast(b.widen(self.tape.value(self.kernel.value)))
            for step in STEPS:
                value = self.step(value, step)
            before = b.value(loop.inner[0], self.dtype, False, b.depth)
            value = self.combine(b.broadcast(before), value)
            self.tape.bind_result(0, self.combine(b.broadcast(base), value))
            self.tape.store(self.kernel.stores)
            loop.next = [extract(b, value, 0 if reverse else LANES - 1).text]
        return b.value(loop.outer[0], self.dtype, False, b.depth)

    def step(self, value: Value, distance: int) -> Value:
        """Combine every lane with the one `distance` earlier, where there is one."""
        kind = value.type
        sources = [
            lane + distance if self.kernel.reverse else lane - distance for lane in range(LANES)
        ]
        order = ", ".join(f"i32 {lane if 0 <= lane < LANES else 0}" for lane in sources)
        text = f"shufflevector {kind} {value.text}, {kind} poison, <{LANES} x i32> <{order}>"
        moved = self.b.emit(text, self.dtype, True, value.depth)
        inside = ", ".join(f"i1 {str(0 <= lane < LANES).lower()}" for lane in sources)
        there = f"select <{LANES} x i1> <{inside}>, {kind} {{}}, {kind} {value.text}"
        both = self.combine(moved, value)
        return self.b.emit(there.format(both.text), self.dtype, True, both.depth)

    # --- vectors across the axis -----------------------------------------------------------------

    def across(self, low: Value, high: Value) -> None:
        """Groups of LANES rows one after the other, each over the item's columns."""
        b, extent = self.b, self.extent(self.kernel.axis)
        state = Columns(self, low)
        self.vectors(low, high, lambda first, _: state.clear(first), 1)
        with b.loop("0", extent.text, LANES) as loop:
            start = self.inside(loop.index)
            count = self.smaller(extent - start, b.const(LANES, int64))
            ends_block = (start & (BLOCK - LANES)).eq(BLOCK - LANES)

            def body(first: Value, mask: Value | None) -> None:
                assert self.kernel.lane is not None
                self.tape.bind(self.kernel.lane, first, True, mask)
                self.rows(start, count, self.load)
                base, carry = state.read(first)
                found = self.network([self.slot(str(row)) for row in range(LANES)])
                carries = [self.combine(carry, value) for value in found]
                for row, value in enumerate(carries):
                    self.put(str(row), self.combine(base, value))
                moved = self.combine(base, carries[-1])
                identity = b.broadcast(self.identity)
                state.write(
                    first, b.select(ends_block, moved, base),
                    b.select(ends_block, identity, carries[-1]),
                )  # fmt: skip
                self.rows(start, count, self.store)

            self.vectors(low, high, body, 1)

    def network(self, values: list[Value]) -> list[Value]:
        """The four steps, on one vector a row."""
        for distance in STEPS:
            values = [
                self.combine(values[row - distance], value) if row >= distance else value
                for row, value in enumerate(values)
            ]
        return values

    def rows(self, start: Value, count: Value, body: Callable[[Value], None]) -> None:
        """`body(row)` for every row of a group that exists, its index bound."""
        with self.b.loop("0", count.text, 1) as loop:
            row = self.inside(loop.index)
            place = start + row
            if self.kernel.reverse:
                place = self.extent(self.kernel.axis) - 1 - place
            self.tape.bind(self.kernel.axis, place)
            body(row)

    def load(self, row: Value) -> None:
        value = self.b.widen(self.tape.value(self.kernel.value))
        self.put(row.text, self.b.broadcast(value))

    def store(self, row: Value) -> None:
        self.tape.bind_result(0, self.slot(row.text))
        self.tape.store(self.kernel.stores)

    def slot_place(self, row: str) -> str:
        kind = self.b.kind(self.dtype, True)
        array = self.b.area("group", f"[{LANES} x {kind}]")
        return self.b.here(f"getelementptr {kind}, ptr {array}, i64 {row}")

    def slot(self, row: str) -> Value:
        kind = self.b.kind(self.dtype, True)
        text = self.b.here(f"load {kind}, ptr {self.slot_place(row)}, align 64")
        return self.b.value(text, self.dtype, True, self.b.depth)

    def put(self, row: str, value: Value) -> None:
        place = self.slot_place(row)
        self.b.effect(f"store {value.type} {value.text}, ptr {place}, align 64")


class Columns:
    """Base and carry of every column of an item, as vectors in scratch."""

    def __init__(self, emitter: ScanEmitter, low: Value) -> None:
        self.emitter, self.b, self.low = emitter, emitter.b, low
        self.kind = self.b.kind(emitter.dtype, True)

    def place(self, first: Value, part: int) -> str:
        number = ((first - self.low) >> (LANES.bit_length() - 1)) * 2 + part
        return self.b.here(f"getelementptr {self.kind}, ptr %scratch, i64 {number.text}")

    def clear(self, first: Value) -> None:
        identity = self.b.broadcast(self.emitter.identity)
        self.write(first, identity, identity)

    def read(self, first: Value) -> tuple[Value, Value]:
        found = []
        for part in range(2):
            text = self.b.here(f"load {self.kind}, ptr {self.place(first, part)}, align 64")
            found.append(self.b.value(text, self.emitter.dtype, True, self.b.depth))
        return found[0], found[1]

    def write(self, first: Value, base: Value, carry: Value) -> None:
        for part, value in enumerate((base, carry)):
            place = self.place(first, part)
            self.b.effect(f"store {self.kind} {self.b.operand(value, True)}, ptr {place}, align 64")
