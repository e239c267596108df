"""`emit_sort`: a SortKernel, rows one after the other.

A row's keys become unsigned integers in the same order (`order_key`), and these records with their
position (compiler.sort_records). All of them are sorted, or, where few are wanted, only those
that may be among the first: one pass compares LANES keys at once with the last of the best so
far, and collects what is better until there is enough to sort.
"""

from __future__ import annotations

from typing import NoReturn

from ambos.compiler import memory
from ambos.compiler.emit import module
from ambos.compiler.loops import LANES, SortKernel
from ambos.compiler.scalar import LLVMBuilder
from ambos.compiler.sort_records import DIGITS, SLACK, Records, room, sort_function
from ambos.compiler.tape import TapeEmitter
from ambos.compiler.values import Value
from ambos.core.dtype import DType, bool_, int64, uint8, uint16, uint32, uint64

UNSIGNED = {8: uint8, 16: uint16, 32: uint32, 64: uint64}
FRACTION_BITS = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}
FEW = 8  # fewer than a 1/FEW of a row are wanted: selecting beats sorting


def emit_sort(kernel: SortKernel, name: str) -> str:
    """The LLVM module that defines @name with the kernel ABI of core.program; an item is a row."""
    writer = SortWriter(kernel)
    writer.rows()
    return module(writer.b, name)


def unsigned(dtype: DType) -> DType:
    """The type of the keys' bits."""
    return UNSIGNED[8 * dtype.itemsize]


def sort_scratch(dtype: DType, extent: int) -> int:
    """Bytes of scratch for rows of `extent` keys of `dtype`."""
    records = Records(LLVMBuilder(), 8 * dtype.itemsize)
    return 2 * room(extent) * records.nbytes + dtype.itemsize * DIGITS * 8


def order_key(bits: Value, dtype: DType, descending: bool) -> Value:
    """Unsigned keys that compare as elements of `dtype` do, from their bits: zeros are equal, NaN
    comes after everything (before it, if descending)."""
    b, width = bits.builder, 8 * dtype.itemsize
    top, ones = 1 << (width - 1), (1 << width) - 1
    key = bits
    if dtype.is_floating:
        infinity = (top - 1) >> FRACTION_BITS[dtype.name] << FRACTION_BITS[dtype.name]
        magnitude = bits & (top - 1)
        negative = bits > (top - 1)
        key = bits ^ b.select(negative, b.const(ones, bits.dtype), b.const(top, bits.dtype))
        key = b.select(magnitude.eq(0), b.const(top, bits.dtype), key)
        key = b.select(magnitude > infinity, b.const(ones, bits.dtype), key)
    elif dtype.kind == "i":
        key = bits ^ top
    return key ^ ones if descending else key


class SortWriter:
    """Writes one SortKernel."""

    def __init__(self, kernel: SortKernel) -> None:
        self.kernel = kernel
        self.b = b = LLVMBuilder()
        self.dtype = kernel.keys.dtype
        self.bits = unsigned(self.dtype)
        self.records = Records(b, self.bits.bits)
        self.words = words = TapeEmitter(b, (), _no_rules)
        self.keys = self.pointer(kernel.keys.word)
        self.extent, self.count = words.size(kernel.extent), words.size(kernel.count)
        nbytes = self.records.nbytes
        capacity = self.extent + (self.extent >> 2) + 2 * SLACK  # as `room` has it
        self.data = "%scratch"
        self.other = b.pure(f"getelementptr i8, ptr %scratch, i64 {(capacity * nbytes).text}", 0)
        tables = (capacity * (2 * nbytes)).text
        self.tables = b.pure(f"getelementptr i8, ptr %scratch, i64 {tables}", 0)
        self.symbol = sort_function(b, self.bits.bits)

    def pointer(self, word: int | None) -> str:
        assert word is not None
        return self.words.word(word, "ptr")

    def inside(self, register: str) -> Value:
        return self.b.value(register, int64, False, self.b.depth)

    def rows(self) -> None:
        b = self.b
        few = b.convert((self.count > 0) & (self.count * FEW <= self.extent), int64)
        element = memory.memory_type(self.dtype)
        with b.loop("%begin", "%end", 1) as items:
            row = self.inside(items.index)
            start = (row * self.extent).text
            keys = b.here(f"getelementptr {element}, ptr {self.keys}, i64 {start}")
            with b.when("0", few.text, [("ptr", self.data)]) as some:
                some.next = [self.select_first(keys)]
            with b.when(few.text, "1", [("ptr", some.outer[0])]) as everything:
                with b.loop("0", self.extent.text, 1) as each:
                    self.collect(keys, self.inside(each.index), each.index)
                everything.next = [self.sort(self.extent.text)]
            self.results(keys, (row * self.count).text, everything.outer[0])

    def results(self, keys: str, start: str, found: str) -> None:
        """The first `count` records' positions and values."""
        b, element = self.b, memory.memory_type(self.dtype)
        outputs = []
        for buffer in (self.kernel.order, self.kernel.values):
            if buffer is not None:
                kind, base = memory.memory_type(buffer.dtype), self.pointer(buffer.word)
                outputs.append(b.here(f"getelementptr {kind}, ptr {base}, i64 {start}"))
        with b.loop("0", self.count.text, 1) as each:
            position = self.records.position(self.records.read(found, each.index)).text
            targets = iter(outputs)
            if self.kernel.order is not None:
                self.put("i64", next(targets), each.index, position)
            if self.kernel.values is not None:
                self.put(element, next(targets), each.index, self.get(element, keys, position))

    def get(self, element: str, array: str, place: str) -> str:
        pointer = self.b.here(f"getelementptr {element}, ptr {array}, i64 {place}")
        return self.b.here(f"load {element}, ptr {pointer}, align {self.dtype.itemsize}")

    def put(self, element: str, array: str, place: str, value: str) -> None:
        pointer = self.b.here(f"getelementptr {element}, ptr {array}, i64 {place}")
        self.b.effect(f"store {element} {value}, ptr {pointer}")

    def key(self, keys: str, place: str) -> Value:
        """The order key of the element at `place`."""
        raw = self.get(memory.memory_type(self.dtype), keys, place)
        bits = self.raw_bits(raw, False)
        return order_key(bits, self.dtype, self.kernel.descending)

    def raw_bits(self, raw: str, vector: bool) -> Value:
        """A register loaded with the memory type of the keys, as unsigned integers."""
        element = memory.memory_type(self.dtype)
        if element in ("float", "double"):
            source, target = element, self.bits.llvm
            if vector:
                source, target = (f"<{LANES} x {kind}>" for kind in (source, target))
            raw = self.b.here(f"bitcast {source} {raw} to {target}")
        return self.b.value(raw, self.bits, vector, self.b.depth)

    def collect(self, keys: str, place: Value, target: str) -> Value:
        """Write the record of the element at `place` to number `target` of the data; its key."""
        key = self.key(keys, place.text)
        self.records.write(self.data, target, self.records.make(key, place))
        return key

    def sort(self, count: str) -> str:
        arguments = f"ptr {self.data}, ptr {self.other}, ptr {self.tables}, i64 {count}"
        return self.b.here(f"call ptr {self.symbol}({arguments})")

    # --- the first few ---------------------------------------------------------------------------

    def select_first(self, keys: str) -> str:
        """The array that begins with the first `count` records of the row, in order.

        Carried: how many records are collected, the key that the next must be below, and whether
        every record is taken still because none was turned away so far."""
        b, kind = self.b, self.bits.llvm
        capacity = self.count + self.count + 3 * LANES  # sorting more often would cost more
        full = self.extent & -LANES
        state = [("i64", "0"), (kind, "0"), ("i1", "true")]
        with b.loop("0", full.text, LANES, state) as scan:
            found, limit, every = scan.inner
            chosen = self.candidates(keys, scan.index, limit, every)
            bits = self.lane_bits(chosen)
            carried = [("i64", found), ("i64", bits.text)]
            with b.loop("0", self.call("ctpop", bits).text, 1, carried) as hits:
                left = self.inside(hits.inner[1])
                place = self.inside(scan.index) + self.call("cttz", left)
                self.collect(keys, place, hits.inner[0])
                hits.next = [(self.inside(hits.inner[0]) + 1).text, (left & (left - 1)).text]
            held = self.inside(hits.outer[0])
            full_up = b.convert(held > capacity - LANES, int64)
            kept = [("i64", held.text), (kind, limit), ("i1", every)]
            with b.when("0", full_up.text, kept) as compact:
                compact.next = [self.count.text, self.keep_first(held.text), "false"]
            scan.next = compact.outer
        found, limit, every = scan.outer
        with b.loop(full.text, self.extent.text, 1, [("i64", found)]) as rest:
            place = self.inside(rest.index)
            rest.next = [self.consider(keys, place, rest.inner[0], limit, every)]
        return self.sort(rest.outer[0])

    def candidates(self, keys: str, start: str, limit: str, every: str) -> Value:
        """Which of LANES elements have keys below the limit."""
        b, element = self.b, memory.memory_type(self.dtype)
        pointer = b.here(f"getelementptr {element}, ptr {keys}, i64 {start}")
        vector = f"<{LANES} x {element}>"
        raw = b.here(f"load {vector}, ptr {pointer}, align {self.dtype.itemsize}")
        key = order_key(self.raw_bits(raw, True), self.dtype, self.kernel.descending)
        below = key < b.value(limit, self.bits, False, b.depth)
        return below | b.value(every, bool_, False, b.depth)

    def lane_bits(self, chosen: Value) -> Value:
        """A bit for each lane that is on."""
        packed = self.b.here(f"bitcast <{LANES} x i1> {chosen.text} to i{LANES}")
        return self.inside(self.b.here(f"zext i{LANES} {packed} to i64"))

    def call(self, name: str, x: Value) -> Value:
        """The number of bits that are set ("ctpop"), or of zeros below the lowest ("cttz")."""
        more_type, more = (", i1", ", i1 false") if name == "cttz" else ("", "")
        self.b.declare(f"declare i64 @llvm.{name}.i64(i64{more_type})")
        return self.inside(self.b.here(f"call i64 @llvm.{name}.i64(i64 {x.text}{more})"))

    def consider(self, keys: str, place: Value, found: str, limit: str, every: str) -> str:
        """Collect an element if its key is below the limit; how many are collected then."""
        b = self.b
        key = self.collect(keys, place, found)  # overwritten by the next, if it is not wanted
        below = key < b.value(limit, self.bits, False, b.depth)
        wanted = below | b.value(every, bool_, False, b.depth)
        return (self.inside(found) + b.convert(wanted, int64)).text

    def keep_first(self, held: str) -> str:
        """Leave the first `count` of the collected records in the data; the last one's key."""
        b = self.b
        result = self.sort(held)
        with b.loop("0", self.count.text, 1) as each:
            self.records.write(self.data, each.index, self.records.read(result, each.index))
        last = self.records.read(self.data, (self.count - 1).text)
        return self.records.key(last)


def _no_rules(op: str) -> NoReturn:
    raise KeyError(op)
