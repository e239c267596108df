"""`emit_sort`: a SortKernel as a stable merge sort of each row's positions.

Positions are merged bottom-up between the two halves of the scratch memory. Merging has no
branches: both heads are read (at clamped places) and one is chosen.
"""

from __future__ import annotations

from typing import NoReturn

from ambos.compiler import memory
from ambos.compiler.emit import module
from ambos.compiler.loops import SortKernel
from ambos.compiler.memory import Address, Masks
from ambos.compiler.scalar import LLVMBuilder
from ambos.compiler.tape import TapeEmitter
from ambos.compiler.values import Value
from ambos.core.dtype import int64


def emit_sort(kernel: SortKernel, name: str) -> str:
    """The LLVM module that defines @name with the kernel ABI of core.program; an item is a row."""
    writer = SortWriter(kernel)
    writer.rows()
    return module(writer.b, name)


class SortWriter:
    """Writes one SortKernel."""

    def __init__(self, kernel: SortKernel) -> None:
        self.kernel = kernel
        self.b = LLVMBuilder()
        words = TapeEmitter(self.b, (), _no_rules)
        assert kernel.keys.word is not None
        assert kernel.order.word is not None
        self.keys = words.word(kernel.keys.word, "ptr")
        self.order = words.word(kernel.order.word, "ptr")
        self.extent = words.size(kernel.extent)

    def rows(self) -> None:
        b = self.b
        first = "%scratch"
        second = b.pure(f"getelementptr i64, ptr %scratch, i64 {self.extent.text}", 0)
        levels = self.levels()
        with b.loop("%begin", "%end", 1) as items:
            start = self.inside(items.index) * self.extent
            element = memory.memory_type(self.kernel.keys.dtype)
            text = f"getelementptr {element}, ptr {self.keys}, i64 {start.text}"
            keys = b.pure(text, start.depth)
            with b.loop("0", self.extent.text, 1) as count:
                self.write(first, self.inside(count.index), self.inside(count.index))
            carried = [("ptr", first), ("ptr", second)]
            with b.loop("0", levels.text, 1, carried) as level:
                source, target = level.inner
                width = b.const(1, int64) << self.inside(level.index)
                self.merge_all(keys, source, target, width)
                level.next = [target, source]
            order = b.here(f"getelementptr i64, ptr {self.order}, i64 {start.text}")
            with b.loop("0", self.extent.text, 1) as count:
                place = self.inside(count.index)
                self.write(order, place, self.read(level.outer[0], place))

    def inside(self, register: str) -> Value:
        return self.b.value(register, int64, False, self.b.depth)

    def levels(self) -> Value:
        """How often runs must double: the bits of extent - 1."""
        self.b.declare("declare i64 @llvm.ctlz.i64(i64, i1)")
        last = self.extent - 1
        text = f"call i64 @llvm.ctlz.i64(i64 {last.text}, i1 false)"
        zeros = self.b.emit(text, int64, False, 0)
        return self.b.select(self.extent < 2, 0, 64 - zeros)

    def smaller(self, a: Value, b: Value) -> Value:
        return self.b.select(a < b, a, b)

    def merge_all(self, keys: str, source: str, target: str, width: Value) -> None:
        """Merge neighbouring runs of `width` positions."""
        with self.b.loop("0", self.extent.text, (width + width).text) as pairs:
            low = self.inside(pairs.index)
            middle = self.smaller(low + width, self.extent)
            high = self.smaller(middle + width, self.extent)
            heads = [("i64", low.text), ("i64", middle.text)]
            with self.b.loop(low.text, high.text, 1, heads) as merge:
                left, right = (self.inside(register) for register in merge.inner)
                a = self.read(source, self.smaller(left, middle - 1))
                b = self.read(source, self.smaller(right, high - 1))
                # On equal keys the left run goes first: that makes the sort stable.
                behind = self.before(self.key(keys, b), self.key(keys, a))
                from_right = (left >= middle) | ((right < high) & behind)
                self.write(target, self.inside(merge.index), self.b.select(from_right, b, a))
                step = self.b.convert(from_right, int64)
                merge.next = [(left + (1 - step)).text, (right + step).text]

    def before(self, a: Value, b: Value) -> Value:
        """Whether key `a` sorts strictly before key `b`."""
        if not a.dtype.is_floating:
            return a < b
        return (a < b) | (a.eq(a) & b.ne(b))

    def key(self, keys: str, position: Value) -> Value:
        """The key at `position`, computed with in its compute type."""
        dtype = self.kernel.keys.dtype
        element = memory.memory_type(dtype)
        text = f"getelementptr {element}, ptr {keys}, i64 {position.text}"
        address = Address(dtype, self.b.here(text), self.b.depth)
        return self.b.widen(memory.load(self.b, address, Masks(), self.load_here))

    def load_here(self, text: str, _: int) -> tuple[str, int]:
        return self.b.here(text), self.b.depth

    def read(self, array: str, place: Value) -> Value:
        pointer = self.b.here(f"getelementptr i64, ptr {array}, i64 {place.text}")
        return self.inside(self.b.here(f"load i64, ptr {pointer}, align 8"))

    def write(self, array: str, place: Value, value: Value) -> None:
        pointer = self.b.here(f"getelementptr i64, ptr {array}, i64 {place.text}")
        self.b.effect(f"store i64 {value.text}, ptr {pointer}, align 8")


def _no_rules(op: str) -> NoReturn:
    raise KeyError(op)
