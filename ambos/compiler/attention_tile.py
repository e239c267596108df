"""The products of attention: tiles of rows x columns whose sums stay in registers.

`@name.product` computes total[row][column] = sum over k of a[row, k] * b[k][column] for any number
of rows and one panel of columns. A is read one element at a time from where it lies, whatever its
strides; B is a panel in scratch memory, columns in vectors.
"""

from __future__ import annotations

from ambos.compiler.contract_text import Code
from ambos.compiler.loops import LANES
from ambos.compiler.scalar import vector_type
from ambos.core.dtype import DType

UNROLL = 4  # k steps between two tests of the loop condition
ODD = (1, 3, 5, 7, 9, 11)  # x86 addresses a pointer plus 1, 2, 4 or 8 times a register
OPERANDS = "ptr noalias %a, ptr noalias %rows, i64 %step, ptr noalias %b, i64 %next, i64 %count"
TARGET = "ptr noalias %total, i64 %pitch"
FETCH = "ptr %fetch, i64 %fetch.row, i64 %fetch.rows, i64 %fetch.bytes"
LINE = 64  # bytes of a cache line


def products(name: str, tile: tuple[int, int], dtype: DType, add: bool) -> list[tuple[str, Code]]:
    """`void @name(a, rows, step, b, next, count, total, pitch, height, fetch, fetch.row,
    fetch.rows, fetch.bytes)` and what it calls.

    `rows` is the table that `row_table` writes, `step` and `next` are the bytes from one k to the
    next in A and B, `pitch` the bytes between rows of totals, `height` how many rows there are.
    With `add` the sums are added to the totals, else stored. Meanwhile memory that is needed soon
    is asked for: with each tile another `fetch.rows` rows of `fetch.bytes` bytes from `fetch` on.
    """
    rows, vectors = tile
    heights = (rows, 1) if rows > 1 else (1,)
    parts = [Tile(height, vectors, dtype, add).write(f"{name}.{height}") for height in heights]
    return [*parts, _all_rows(name, heights)]


def row_table(code: Code, stride: str) -> str:
    """Stack memory with the odd multiples of a row stride in bytes."""
    table = code.here(f"alloca [{len(ODD)} x i64], align 64")
    for place, factor in enumerate(ODD):
        multiple = code.mul(stride, str(factor))
        code.effect(f"store i64 {multiple}, ptr {code.element(table, 'i64', str(place))}, align 8")
    return table


class Tile:
    """Writes `void @name(a, rows, step, b, next, count, total, pitch, skip)`: the tile's sums, of
    which the first `skip` rows are thrown away."""

    def __init__(self, rows: int, vectors: int, dtype: DType, add: bool) -> None:
        self.rows, self.vectors, self.dtype, self.add = rows, vectors, dtype, add
        self.code = Code()
        self.kind = dtype.llvm
        self.vector = vector_type(self.kind)

    def write(self, name: str) -> tuple[str, Code]:
        code = self.code
        self.odd = [code.read("%rows", str(place)) for place, n in enumerate(ODD) if n < self.rows]
        zeros = [(self.vector, "zeroinitializer")] * (self.rows * self.vectors)
        self.held = code.here(f"alloca [{len(zeros)} x {self.vector}], align 64")
        state = ["%a", "%b", *[zero for _, zero in zeros]]
        whole = code.here(f"and i64 %count, {-UNROLL}")
        for steps, first, stop in ((UNROLL, "0", whole), (1, whole, "%count")):
            types = ["ptr", "ptr", *[kind for kind, _ in zeros]]
            with code.loop(first, stop, steps, list(zip(types, state, strict=True))) as loop:
                inner = loop.inner
                for _ in range(steps):
                    inner = self.step(inner)
                loop.next = inner
            state = loop.outer
        self.finish(state[2:])
        parameters = f"{OPERANDS}, {TARGET}, i64 %skip"
        return code.function("internal void", name, parameters, "noinline"), code

    def step(self, state: list[str]) -> list[str]:
        """One k: load a row of B, then for each row broadcast A, multiply and add."""
        code = self.code
        a, b, *sums = state
        columns = [
            code.load_lanes(self.at(b, vector), self.dtype, None) for vector in range(self.vectors)
        ]
        for row in range(self.rows):
            one = code.here(f"load {self.kind}, ptr {self.row(a, row)}, align 4")
            wide = code.splat_here(one, self.kind)
            for vector, column in enumerate(columns):
                place = row * self.vectors + vector
                sums[place] = self.multiply_add(wide, column, sums[place])
        a = code.here(f"getelementptr i8, ptr {a}, i64 %step")
        b = code.here(f"getelementptr i8, ptr {b}, i64 %next")
        return [a, b, *sums]

    def row(self, a: str, row: int) -> str:
        """The address of a row: an odd multiple of the stride, shifted by the address unit."""
        if not row:
            return a
        shift = (row & -row).bit_length() - 1
        offset = self.odd[ODD.index(row >> shift)]
        if shift:
            offset = self.code.here(f"shl i64 {offset}, {shift}")
        return self.code.here(f"getelementptr i8, ptr {a}, i64 {offset}")

    def at(self, base: str, vector: int) -> str:
        return self.code.element(base, self.kind, str(vector * LANES))

    def multiply_add(self, a: str, b: str, c: str) -> str:
        name = f"@llvm.fma.v{LANES}f{self.dtype.bits}"
        vector = self.vector
        self.code.declare(f"declare {vector} {name}({vector}, {vector}, {vector})")
        return self.code.here(f"call {vector} {name}({vector} {a}, {vector} {b}, {vector} {c})")

    def finish(self, sums: list[str]) -> None:
        code = self.code
        none = code.here("icmp eq i64 %skip, 0")
        with code.either(none):
            row = "%total"
            for number in range(self.rows):
                for vector in range(self.vectors):
                    self.put(self.at(row, vector), sums[number * self.vectors + vector])
                row = code.here(f"getelementptr i8, ptr {row}, i64 %pitch")
        if self.rows == 1:
            return
        with code.either(code.here(f"xor i1 {none}, true")):
            memory = self.held
            for number, value in enumerate(sums):
                code.effect(f"store {self.vector} {value}, ptr {self.at(memory, number)}, align 64")
            with code.loop("%skip", str(self.rows), 1) as rows:
                width = str(self.vectors * LANES)
                source = code.element(memory, self.kind, code.mul(rows.index, width))
                offset = code.mul(rows.index, "%pitch")
                target = code.here(f"getelementptr i8, ptr %total, i64 {offset}")
                for vector in range(self.vectors):
                    value = code.load_lanes(self.at(source, vector), self.dtype, None)
                    self.put(self.at(target, vector), value)

    def put(self, address: str, value: str) -> None:
        code = self.code
        if self.add:
            before = code.load_lanes(address, self.dtype, None)
            value = code.here(f"fadd {self.vector} {before}, {value}")
        code.effect(f"store {self.vector} {value}, ptr {address}, align {self.dtype.itemsize}")


def _all_rows(name: str, heights: tuple[int, ...]) -> tuple[str, Code]:
    """Full tiles; for the rest a tile that ends with the last row, or single rows."""
    code, tall = Code(), heights[0]
    stride = code.read("%rows", "0")

    def call(height: int, row: str, skip: str) -> None:
        a = code.here(f"getelementptr i8, ptr %a, i64 {code.mul(row, stride)}")
        total = code.here(f"getelementptr i8, ptr %total, i64 {code.mul(row, '%pitch')}")
        code.effect(
            f'call void @"{name}.{height}"(ptr {a}, ptr %rows, i64 %step, ptr %b, i64 %next, '
            f"i64 %count, ptr {total}, i64 %pitch, i64 {skip})"
        )

    rest = code.here(f"urem i64 %height, {tall}")
    full = code.sub("%height", rest)
    with code.loop("0", full, tall, [("ptr", "%fetch")]) as tiles:
        with code.loop("0", "%fetch.rows", 1, [("ptr", tiles.inner[0])]) as rows:
            with code.loop("0", "%fetch.bytes", LINE) as lines:
                code.prefetch(code.element(rows.inner[0], "i8", lines.index))
            rows.next = [code.here(f"getelementptr i8, ptr {rows.inner[0]}, i64 %fetch.row")]
        tiles.next = rows.outer
        call(tall, tiles.index, "0")
    if tall > 1:
        some = code.here(f"icmp ne i64 {full}, 0")
        left = code.here(f"icmp ne i64 {rest}, 0")
        with code.either(code.here(f"and i1 {some}, {left}")):
            call(tall, code.sub("%height", str(tall)), code.sub(str(tall), rest))
        with code.either(code.here(f"xor i1 {some}, true")), code.loop("0", "%height", 1) as rows:
            call(1, rows.index, "0")
    parameters = f"{OPERANDS}, {TARGET}, i64 %height, {FETCH}"
    return code.function("internal void", name, parameters, "noinline"), code
