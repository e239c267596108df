"""A builder with the address arithmetic and the operand loads that contractions are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ambos.compiler import memory
from ambos.compiler.loops import LANES, UNIT
from ambos.compiler.memory import from_memory, memory_type
from ambos.compiler.scalar import SUFFIX, LLVMBuilder, vector_type
from ambos.core.dtype import DType
from ambos.core.errors import CompilerError


class Code(LLVMBuilder):
    """One function of a contraction. Numbers are register names or decimal literals."""

    def word(self, word: int | None, kind: str = "i64") -> str:
        """Argument word `word`, read once at the function's entry; UNIT is 1, an absent word 0."""
        if word is None or word == UNIT:
            return "0" if word is None else "1"
        address = self.pure(f"getelementptr i64, ptr %args, i64 {word}", 0)
        return self.pure(f"load {kind}, ptr {address}, align 8", 0)

    def pointer(self, word: int | None) -> str:
        """The address in a word."""
        if word is None:
            raise CompilerError("contract: got an operand in scratch memory; need a pointer word")
        return self.word(word, "ptr")

    # --- integers --------------------------------------------------------------------------------

    def add(self, a: str, b: str) -> str:
        if "0" in (a, b):
            return b if a == "0" else a
        return self.here(f"add i64 {a}, {b}")

    def sub(self, a: str, b: str) -> str:
        return a if b == "0" else self.here(f"sub i64 {a}, {b}")

    def mul(self, a: str, b: str) -> str:
        if "0" in (a, b):
            return "0"
        if "1" in (a, b):
            return b if a == "1" else a
        return self.here(f"mul i64 {a}, {b}")

    def extreme(self, which: str, a: str, b: str) -> str:
        """`umin` or `umax` of two."""
        self.declare(f"declare i64 @llvm.{which}.i64(i64, i64)")
        return self.here(f"call i64 @llvm.{which}.i64(i64 {a}, i64 {b})")

    def ceiling(self, amount: str, divisor: str) -> str:
        """amount / divisor, rounded up."""
        return self.here(f"udiv i64 {self.add(amount, self.sub(divisor, '1'))}, {divisor}")

    def product(self, factors: Sequence[str]) -> str:
        total = "1"
        for factor in factors:
            total = self.mul(total, factor)
        return total

    def dot(self, indices: Sequence[str], strides: Sequence[int]) -> str:
        """The sum of index * stride word."""
        total = "0"
        for index, stride in zip(indices, strides, strict=True):
            total = self.add(total, self.mul(index, self.word(stride)))
        return total

    def decode(self, flat: str, extents: Sequence[str]) -> list[str]:
        """The indices along axes of `extents` (outermost first) of row-major position `flat`."""
        indices: list[str] = []
        for extent in reversed(extents[1:]):
            indices.insert(0, self.here(f"urem i64 {flat}, {extent}"))
            flat = self.here(f"udiv i64 {flat}, {extent}")
        return [flat, *indices] if extents else []

    def advance(self, indices: Sequence[str], extents: Sequence[str]) -> list[str]:
        """The next position in row-major order; carries are selects, there are no branches."""
        following: list[str] = []
        carry = "1"
        for index, extent in zip(indices[:0:-1], extents[:0:-1], strict=True):
            step = self.here(f"add i64 {index}, {carry}")
            wraps = self.here(f"icmp eq i64 {step}, {extent}")
            following.insert(0, self.here(f"select i1 {wraps}, i64 0, i64 {step}"))
            carry = self.here(f"zext i1 {wraps} to i64")
        return [self.here(f"add i64 {indices[0]}, {carry}"), *following] if indices else []

    @contextmanager
    def either(self, condition: str) -> Iterator[None]:
        """What is written inside happens only where `condition` (an i1) holds."""
        number = self.here(f"zext i1 {condition} to i64")
        with self.when("0", number):
            yield

    # --- memory and vectors ----------------------------------------------------------------------

    def element(self, base: str, kind: str, index: str) -> str:
        """The address of element `index` of an array of `kind`."""
        return base if index == "0" else self.here(f"getelementptr {kind}, ptr {base}, i64 {index}")

    def read(self, table: str, index: str) -> str:
        """Element `index` of a table of int64."""
        return self.here(f"load i64, ptr {self.element(table, 'i64', index)}, align 8")

    def prefetch(self, place: str, level: int = 2) -> None:
        """See `memory.prefetch`; into the second cache unless said otherwise."""
        memory.prefetch(self, place, level)

    def lanes_below(self, limit: str) -> str:
        """The mask of the lanes whose number is less than `limit` (which may be negative)."""
        lanes = ", ".join(f"i64 {lane}" for lane in range(LANES))
        return self.here(f"icmp slt {vector_type('i64')} <{lanes}>, {self.splat_here(limit)}")

    def splat_here(self, value: str, kind: str = "i64") -> str:
        """One value in every lane."""
        return self.splat(value, kind, self.depth)

    def load_lanes(self, address: str, dtype: DType, mask: str | None) -> str:
        """LANES neighbours as they lie; lanes outside `mask` are not read and give zero."""
        element = memory_type(dtype)
        vector, bits = vector_type(element), vector_type("i1")
        if mask is None:
            return self.here(f"load {vector}, ptr {address}, align {dtype.itemsize}")
        name = f"@llvm.masked.load.v{LANES}{SUFFIX.get(element, element)}.p0"
        self.declare(f"declare {vector} {name}(ptr, {bits}, {vector})")
        place = f"ptr align {dtype.itemsize} {address}"
        return self.here(f"call {vector} {name}({place}, {bits} {mask}, {vector} zeroinitializer)")

    def operand_of(self, raw: str, source: DType, accumulator: DType, vector: bool) -> str:
        """What `load_lanes` (or a load of one element) gave, in the accumulator's type."""
        value = from_memory(self, raw, source, vector, self.depth)
        return self.convert(value, accumulator).text

    def function(self, result: str, name: str, parameters: str, attributes: str = "") -> str:
        """The definition of the finished function."""
        heading = f'define {result} @"{name}"({parameters}) nounwind {attributes}'
        return f"{heading} {{\n{self.body()}}}\n"
