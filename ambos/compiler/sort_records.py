"""Sorting records: a key and a position in one unsigned integer, so that sorting is stable.

A record of a key of up to 32 bits is an i64 with the key above a 32-bit position; a key of 64
bits makes an i128. No two records are equal, so any sorting method gives the one stable order.
`sort_function` writes an internal function that sorts an array of records: short ones by merging
runs from a sorting network, long ones by their digits.
"""

from __future__ import annotations

from dataclasses import dataclass

from ambos.compiler.scalar import LLVMBuilder
from ambos.compiler.values import Value
from ambos.core.dtype import int64

RADIX_FROM = 384  # records from which digits beat merging (an estimate)
DIGITS = 256  # values of a digit of 8 bits
SLACK = 96  # records behind either array that may be used as well
RUN = 8
NETWORK = (
    (0, 2), (1, 3), (4, 6), (5, 7), (0, 4), (1, 5), (2, 6), (3, 7), (0, 1), (2, 3), (4, 5), (6, 7),
    (2, 4), (3, 5), (1, 4), (3, 6), (1, 2), (3, 4), (5, 6),
)  # fmt: skip


def room(count: int) -> int:
    """Records that an array of `count` takes: runs fill up, and there is slack behind."""
    return count + count // 4 + 2 * SLACK


@dataclass(frozen=True, slots=True)
class Records:
    """Instructions on records whose keys have `key_bits`."""

    b: LLVMBuilder
    key_bits: int

    @property
    def half(self) -> int:
        """Bits of the position."""
        return 64 if self.key_bits > 32 else 32

    @property
    def type(self) -> str:
        return f"i{2 * self.half}"

    @property
    def nbytes(self) -> int:
        return self.half // 4

    def at(self, array: str, place: str) -> str:
        return self.b.here(f"getelementptr {self.type}, ptr {array}, i64 {place}")

    def read(self, array: str, place: str) -> str:
        return self.b.here(f"load {self.type}, ptr {self.at(array, place)}, align {self.nbytes}")

    def write(self, array: str, place: str, record: str) -> None:
        place = self.at(array, place)
        self.b.effect(f"store {self.type} {record}, ptr {place}, align {self.nbytes}")

    def make(self, key: Value, position: Value) -> str:
        """The record of a key (unsigned) and a position."""
        wide = self.b.here(f"zext i{key.dtype.bits} {key.text} to {self.type}")
        high = self.b.here(f"shl {self.type} {wide}, {self.half}")
        low = position.text
        if self.half == 32:
            low = self.b.here(f"and i64 {low}, 4294967295")
        else:
            low = self.b.here(f"zext i64 {low} to i128")
        return self.b.here(f"or {self.type} {high}, {low}")

    def position(self, record: str) -> Value:
        text = f"and i64 {record}, 4294967295" if self.half == 32 else f"trunc i128 {record} to i64"
        return self.b.value(self.b.here(text), int64, False, self.b.depth)

    def key(self, record: str) -> str:
        """The register with the key, as wide as the key."""
        high = self.b.here(f"lshr {self.type} {record}, {self.half}")
        return self.b.here(f"trunc {self.type} {high} to i{self.key_bits}")

    def ordered(self, first: str, second: str) -> tuple[str, str]:
        """The smaller and the larger of two records."""
        found = []
        for name in ("umin", "umax"):
            symbol = f"@llvm.{name}.{self.type}"
            self.b.declare(f"declare {self.type} {symbol}({self.type}, {self.type})")
            text = f"call {self.type} {symbol}({self.type} {first}, {self.type} {second})"
            found.append(self.b.here(text))
        return found[0], found[1]

    def below(self, first: str, second: str) -> str:
        """1 if the first record comes before the second, else 0 (i64)."""
        test = self.b.here(f"icmp ult {self.type} {first}, {second}")
        return self.b.here(f"zext i1 {test} to i64")


def sort_function(b: LLVMBuilder, key_bits: int) -> str:
    """The symbol of `ptr (ptr data, ptr other, ptr tables, i64 count)`: sorts the records of
    `data` and says which of the two arrays they are in then. `tables` has room for DIGITS i64 for
    every 8 bits of a key."""
    symbol = f'@"sort.{key_bits}"'
    if symbol not in b.functions:
        inner = LLVMBuilder()
        inner.declarations = b.declarations
        result = SortFunction(inner, key_bits).write()
        heading = f"define internal ptr {symbol}(ptr %data, ptr %other, ptr %tables, i64 %count)"
        text = f"{heading} noinline nounwind {{\n{inner.body(f'ret ptr {result}')}}}"
        b.functions[symbol] = (None, "ptr", text)
    return symbol


class SortFunction:
    """Writes the body of one sort function."""

    def __init__(self, b: LLVMBuilder, key_bits: int) -> None:
        self.b, self.key_bits = b, key_bits
        self.records = Records(b, key_bits)
        self.count = b.value("%count", int64, False, 0)

    def inside(self, register: str) -> Value:
        return self.b.value(register, int64, False, self.b.depth)

    def write(self) -> str:
        """The register with the array that holds the result."""
        short_end = self.b.convert(self.count < RADIX_FROM, int64)
        with self.b.when("0", short_end.text, [("ptr", "%data")]) as short:
            short.next = [self.merge_runs()]
        with self.b.when(short_end.text, "1", [("ptr", short.outer[0])]) as long:
            long.next = [self.by_digits()]
        return long.outer[0]

    # --- merging ---------------------------------------------------------------------------------

    def merge_runs(self) -> str:
        """Runs of at most RUN records by the network, then merged pairwise. All runs are equally
        long, filled up by records greater than any: no merge has to look for an end."""
        b = self.b
        runs = (self.count + (RUN - 1)) >> 3
        b.declare("declare i64 @llvm.ctlz.i64(i64, i1)")
        last = b.select(runs > 1, runs - 1, 0)
        zeros = self.inside(b.here(f"call i64 @llvm.ctlz.i64(i64 {last.text}, i1 false)"))
        levels = 64 - zeros
        whole = b.const(1, int64) << levels
        length = b.binary("udiv", self.count + (whole - 1), whole)
        padded = length * whole
        greatest = "-1"
        with b.loop(self.count.text, (padded + RUN).text, 1) as fill:
            self.records.write("%data", fill.index, greatest)
        self.network(length, padded)
        carried = [("ptr", "%other"), ("ptr", "%data")]
        with b.loop("0", levels.text, 1, carried) as level:
            source, target = level.inner
            self.merge_level(source, target, length << self.inside(level.index), padded)
            level.next = [target, source]
        return level.outer[0]

    def network(self, length: Value, padded: Value) -> None:
        """Every run of `length` records, sorted, from data to other."""
        with self.b.loop("0", padded.text, length.text) as loop:
            start = self.inside(loop.index)
            found = []
            for place in range(RUN):
                record = self.records.read("%data", (start + place).text)
                if place:
                    inside = length > place
                    record = self.b.here(
                        f"select i1 {inside.text}, {self.records.type} {record}, "
                        f"{self.records.type} -1"
                    )
                found.append(record)
            for low, high in NETWORK:
                found[low], found[high] = self.records.ordered(found[low], found[high])
            for place, record in enumerate(found):  # the next run overwrites what is too much
                self.records.write("%other", (start + place).text, record)

    def merge_level(self, source: str, target: str, width: Value, padded: Value) -> None:
        """Merge neighbouring runs of `width` records, from both ends at once: two chains of
        dependent steps run side by side, and neither can leave its runs."""
        b, records = self.b, self.records
        with b.loop("0", padded.text, (width + width).text) as pairs:
            low = self.inside(pairs.index)
            middle = low + width
            end = middle + width
            heads = [low, middle, middle - 1, end - 1]
            with b.loop("0", width.text, 1, [("i64", head.text) for head in heads]) as step:
                index = self.inside(step.index)
                left, right, left_end, right_end = (self.inside(r) for r in step.inner)
                a, c = records.read(source, left.text), records.read(source, right.text)
                records.write(target, (low + index).text, records.ordered(a, c)[0])
                took = self.inside(records.below(c, a))
                y, z = records.read(source, left_end.text), records.read(source, right_end.text)
                records.write(target, (end - 1 - index).text, records.ordered(y, z)[1])
                gave = self.inside(records.below(z, y))
                following = (
                    left + 1 - took, right + took, left_end - gave, right_end - 1 + gave,
                )  # fmt: skip
                step.next = [value.text for value in following]

    # --- digits ----------------------------------------------------------------------------------

    def by_digits(self) -> str:
        """Stable passes over the key's digits of 8 bits, the lowest first. A digit that is the
        same everywhere needs no pass."""
        b, passes = self.b, self.key_bits // 8
        with b.loop("0", str(passes * DIGITS), 1) as clear:
            self.put("%tables", clear.index, "0")
        with b.loop("0", self.count.text, 1) as every:
            record = self.records.read("%data", every.index)
            for digit in range(passes):
                low = str(self.records.half + 8 * digit)
                place = self.digit(record, low) + digit * DIGITS
                pointer = b.here(f"getelementptr i64, ptr %tables, i64 {place.text}")
                found = self.inside(b.here(f"load i64, ptr {pointer}, align 8"))
                b.effect(f"store i64 {(found + 1).text}, ptr {pointer}, align 8")
        carried = [("ptr", "%data"), ("ptr", "%other")]
        with b.loop("0", str(passes), 1, carried) as loop:
            source, target = loop.inner
            number = self.inside(loop.index)
            table = b.here(f"getelementptr [{DIGITS} x i64], ptr %tables, i64 {number.text}")
            shift = self.shift(number * 8 + self.records.half)
            common = self.get(table, self.digit(self.records.read(source, "0"), shift).text)
            varies = b.convert(common.ne(self.count), int64)
            with b.when("0", varies.text, [("ptr", source), ("ptr", target)]) as once:
                self.distribute(source, target, table, shift)
                once.next = [target, source]
            loop.next = once.outer
        return loop.outer[0]

    def distribute(self, source: str, target: str, table: str, shift: str) -> None:
        """One pass: counts become places, then every record goes to its place."""
        with self.b.loop("0", str(DIGITS), 1, [("i64", "0")]) as sums:
            total = self.inside(sums.inner[0])
            count = self.get(table, sums.index)
            self.put(table, sums.index, total.text)
            sums.next = [(total + count).text]
        with self.b.loop("0", self.count.text, 1) as every:
            record = self.records.read(source, every.index)
            digit = self.digit(record, shift).text
            place = self.get(table, digit)
            self.records.write(target, place.text, record)
            self.put(table, digit, (place + 1).text)

    def shift(self, amount: Value) -> str:
        if self.records.half == 32:
            return amount.text
        return self.b.here(f"zext i64 {amount.text} to i128")

    def digit(self, record: str, shift: str) -> Value:
        kind = self.records.type
        moved = self.b.here(f"lshr {kind} {record}, {shift}")
        if kind != "i64":
            moved = self.b.here(f"trunc {kind} {moved} to i64")
        return self.inside(self.b.here(f"and i64 {moved}, {DIGITS - 1}"))

    def get(self, table: str, place: str) -> Value:
        pointer = self.b.here(f"getelementptr i64, ptr {table}, i64 {place}")
        return self.inside(self.b.here(f"load i64, ptr {pointer}, align 8"))

    def put(self, table: str, place: str, value: str) -> None:
        pointer = self.b.here(f"getelementptr i64, ptr {table}, i64 {place}")
        self.b.effect(f"store i64 {value}, ptr {pointer}, align 8")
