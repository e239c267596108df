"""A builder with what the kernels of attention share: panels in scratch memory, their vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ambos.compiler import memory
from ambos.compiler.attention_loops import QUERY_BLOCK, View
from ambos.compiler.contract_text import Code
from ambos.compiler.loops import LANES
from ambos.compiler.memory import Address, Masks
from ambos.compiler.values import Value
from ambos.core.dtype import DType, bool_, float64, int32, int64
from ambos.ops.elementary import exp2_flushed

NOTHING = ("null", "0", "0", "0")  # no memory to be fetched meanwhile


class AttentionCode(Code):
    """One function; `name` is the kernel's. Values are vectors of `dtype` unless said otherwise."""

    def __init__(self, dtype: DType, name: str) -> None:
        super().__init__()
        self.dtype, self.name = dtype, name
        self.factor: Value  # what makes of z a power of two

    # --- numbers ---------------------------------------------------------------------------------

    def constant(self, word: int) -> Value:
        """The floating number in an argument word."""
        wide = self.value(self.word(word, "double"), float64, False, 0)
        return self.convert(wide, self.dtype)

    def vector(self, register: str) -> Value:
        return self.value(register, self.dtype, True, self.depth)

    def fill(self, number: float) -> Value:
        return self.broadcast(self.const(number, self.dtype))

    def splat_one(self, address: str) -> Value:
        """The element at an address in every lane."""
        kind, align = self.dtype.llvm, self.dtype.itemsize
        one = self.here(f"load {kind}, ptr {address}, align {align}")
        return self.vector(self.splat_here(one, kind))

    def number(self, register: str) -> Value:
        """An int64 register as an int32 number, to be compared with positions."""
        return self.convert(self.value(register, int64, False, self.depth), int32)

    def lane_positions(self, first: str) -> Value:
        """first, first + 1, ... as int32."""
        return self.number(first) + memory.lane_numbers(self, int32)

    def broadcast(self, value: Value) -> Value:
        if value.vector or value.constant is None:
            return super().broadcast(value)
        return Value(self, self.operand(value, True), value.dtype, True, 0)

    def keys_seen(self, query: str, keys: str) -> str:
        """Of `keys` keys, how many the causal block of a query looks at."""
        block = self.here(f"udiv i64 {query}, {QUERY_BLOCK}")
        end = self.mul(self.add(block, "1"), str(QUERY_BLOCK))
        return self.extreme("umin", keys, end)

    def bytes_of(self, word: int | None) -> str:
        """A stride in a word, in bytes."""
        return self.mul(self.word(word), str(self.dtype.itemsize))

    # --- softmax ---------------------------------------------------------------------------------

    def power(self, z: Value, largest: Value) -> Value:
        """2**((z - largest) factor), which is exactly 1 where z is the largest."""
        found: Value = exp2_flushed(self, (z - largest) * self.factor)
        return found

    def reference(self, largest: Value) -> Value:
        """What scores are taken relative to: 0 while no key takes part."""
        found: Value = self.select(largest.eq(-math.inf), self.fill(0.0), largest)
        return found

    def inverse(self, total: Value) -> Value:
        """One over a denominator; 0 where no key took part."""
        found: Value = self.select(total.eq(0.0), 0.0, self.fill(1.0) / total)
        return found

    # --- memory ----------------------------------------------------------------------------------

    def matrix(self, view: View, batch: str, head: str) -> tuple[str, tuple[str, str]]:
        """The address of a matrix, and its row and column strides in elements."""
        at = self.dot([batch, head], view.strides[:2])
        at = self.add(self.word(view.offset), at)
        base = self.element(self.pointer(view.buffer.word), self.dtype.llvm, at)
        return base, (self.word(view.strides[2]), self.word(view.strides[3]))

    def get(self, row: str, vector: int) -> Value:
        address = self.element(row, self.dtype.llvm, str(vector * LANES))
        return self.vector(self.load_lanes(address, self.dtype, None))

    def put(self, row: str, vector: int, value: Value) -> None:
        address = self.element(row, self.dtype.llvm, str(vector * LANES))
        self.effect(f"store {value.type} {value.text}, ptr {address}, align {self.dtype.itemsize}")

    def put_some(self, row: str, vector: int, value: Value, count: str) -> None:
        """`put` of those lanes that lie below `count` of the row."""
        address = self.element(row, self.dtype.llvm, str(vector * LANES))
        lanes = self.lanes_below(self.sub(count, str(vector * LANES)))
        mask = self.value(lanes, bool_, True, self.depth)
        where = Address(self.dtype, address, self.depth, 1)
        memory.store(self, where, value, Masks.of(mask))

    def copy_row(
        self, source: str, target: str, columns: str, padded: str, factor: Value | None = None
    ) -> None:
        """`columns` elements (times `factor`), then zeros up to `padded`, a multiple of LANES."""
        with self.loop("0", padded, LANES) as loop:
            address = self.element(source, self.dtype.llvm, loop.index)
            lanes = self.lanes_below(self.sub(columns, loop.index))
            value = self.vector(self.load_lanes(address, self.dtype, lanes))
            value = value if factor is None else value * factor
            self.put(self.element(target, self.dtype.llvm, loop.index), 0, value)

    def copy_one(self, source: str, target: str) -> None:
        kind, align = self.dtype.llvm, self.dtype.itemsize
        value = self.here(f"load {kind}, ptr {source}, align {align}")
        self.effect(f"store {kind} {value}, ptr {target}, align {align}")

    # --- calls -----------------------------------------------------------------------------------

    def multiply(
        self, a: str, rows: str, step: str, b: str, following: str, count: str, total: str,
        pitch: str, height: str, what: str = "product", fetch: Sequence[str] = NOTHING,
    ) -> None:  # fmt: skip
        """total[row][column] = (or, what is "sum", +=) sum over k of a[row, k] b[k][column].
        `fetch`: address, row stride in bytes, rows for each tile, bytes of each row."""
        ahead, *amounts = fetch
        self.effect(
            f'call void @"{self.name}.{what}"(ptr {a}, ptr {rows}, i64 {step}, ptr {b}, '
            f"i64 {following}, i64 {count}, ptr {total}, i64 {pitch}, i64 {height}, "
            f"ptr {ahead}, {', '.join(f'i64 {amount}' for amount in amounts)})"
        )

    def turn_in(
        self, source: str, stride: str, rows: str, columns: str, target: str, vectors: int,
        panel: int,
    ) -> None:  # fmt: skip
        """target[column][row] of some panels of `panel` vectors from source[row][column]. Zeros
        from `rows` on, but panels without rows stay as they are."""
        kind, width = self.dtype.llvm, vectors * LANES
        pitch = str(width * self.dtype.itemsize)
        step = self.mul(stride, str(self.dtype.itemsize))
        present = self.mul(self.ceiling(rows, str(panel * LANES)), str(panel * LANES))
        present = self.extreme("smin", present, str(width))
        with (
            self.loop("0", columns, LANES) as blocks,
            self.loop("0", present, LANES) as lanes,
        ):
            left = self.extreme("smin", str(LANES), self.sub(columns, blocks.index))
            lower = self.sub(rows, lanes.index)
            address = self.add(self.mul(stride, lanes.index), blocks.index)
            address = self.element(source, kind, address)
            place = self.add(self.mul(blocks.index, str(width)), lanes.index)
            place = self.element(target, kind, place)
            with self.when("0", lower):
                self.call_transpose(address, step, place, pitch, lower, left, str(LANES))
            with self.when(lower, "1"), self.loop("0", left, 1) as lines:
                at = self.mul(lines.index, str(width))
                self.put(self.element(place, kind, at), 0, self.fill(0.0))

    def turn_out(
        self, source: str, columns: str, target: str, stride: str, rows: str, vectors: int
    ) -> None:
        """target[row][column] from a panel source[column][row]."""
        kind, width = self.dtype.llvm, vectors * LANES
        pitch = str(width * self.dtype.itemsize)
        step = self.mul(stride, str(self.dtype.itemsize))
        present = self.extreme("smin", rows, str(width))
        with (
            self.loop("0", columns, LANES) as blocks,
            self.loop("0", present, LANES) as lanes,
        ):
            left = self.sub(columns, blocks.index)
            written = self.extreme("smin", str(LANES), left)
            count = self.extreme("smin", str(LANES), self.sub(rows, lanes.index))
            place = self.add(self.mul(blocks.index, str(width)), lanes.index)
            address = self.element(source, kind, place)
            start = self.add(self.mul(stride, lanes.index), blocks.index)
            goal = self.element(target, kind, start)
            self.call_transpose(address, pitch, goal, step, left, count, written)

    def call_transpose(self, *arguments: Any) -> None:
        source, source_row, target, target_row, rows, columns, written = arguments
        self.effect(
            f'call void @"{self.name}.transpose"(ptr {source}, i64 {source_row}, ptr {target}, '
            f"i64 {target_row}, i64 {rows}, i64 {columns}, i64 {written})"
        )
