"""The heart of a contraction: one tile of rows x columns over one block of k.

All accumulators stay in registers while k runs. The function is its own (and never inlined), so
that the register allocator sees nothing but this loop.
"""

from __future__ import annotations

from collections.abc import Sequence

from ambos.compiler.contract_errands import UNROLL, pace
from ambos.compiler.contract_text import Code
from ambos.compiler.loops import LANES, UNIT, ContractKernel
from ambos.compiler.memory import memory_type
from ambos.compiler.scalar import vector_type
from ambos.core.dtype import DType

PARAMETERS = (
    "ptr noalias %args, ptr noalias %a, ptr noalias %offsets, ptr noalias %b, ptr noalias %total, "
    "i64 %first.k, i64 %end.k, i64 %first.run, i64 %end.run, i64 %columns, i1 %in.place, "
    "i1 %moved, ptr noalias %errands"
)


class Product:
    """Writes `void @name(args, a, offsets, b, total, first.k, end.k, first.run, end.run, columns,
    in.place, moved, errands)`.

    `a` is A's address for the batch at hand and `offsets` the A offsets of the tile's rows, or
    (moved) those of a copy of the block; in form "rows" `a` is the tile's copy of the block. `b`
    is the panel's block of B, one k after the other, or (in.place) B's address for the batch and
    panel. `total` is the tile's totals, [row][column]: stored if first.k is 0 (or k is split), else
    added to. The block of k from first.k to end.k lies in the runs first.run to end.run. `columns`
    (looked at only if `edge`) says how many columns there are from the panel's first. `errands`
    (looked at only if `asks`) lists what to ask for meanwhile.
    """

    def __init__(self, kernel: ContractKernel, edge: bool, asks: bool = False) -> None:
        self.kernel = kernel
        self.code = Code()
        self.pace = pace(kernel) if asks else 0
        self.edge = edge
        self.together = 2 if kernel.pairs else 1  # rows that share a vector of sums
        self.rows, self.vectors = kernel.tile[0] // self.together, kernel.tile[1]
        self.kind = kernel.accumulator.llvm
        self.vector = vector_type(self.kind)
        self.a_type, self.b_type = memory_type(kernel.a.dtype), memory_type(kernel.b.dtype)

    def write(self, name: str) -> tuple[str, Code]:
        """The function's text (and its code, which knows the declarations)."""
        code, kernel = self.code, self.kernel
        self.b_step = str(self.vectors * LANES)  # a copy holds one k after the other
        if kernel.b_form == "copy":
            step = f"select i1 %in.place, i64 {code.word(kernel.b_k)}, i64 {self.b_step}"
            self.b_step = code.here(step)
        self.a_rows = ["%a"]
        if kernel.a_form != "rows":
            self.a_rows = [
                code.element("%a", self.a_type, code.read("%offsets", str(row * self.together)))
                for row in range(self.rows)
            ]
        self.masks = [
            code.lanes_below(code.sub("%columns", str(vector * LANES))) if self.edge else None
            for vector in range(self.vectors)
        ]
        if not kernel.split:
            for number in range(kernel.tile[0] * self.vectors):  # read again when k is done
                code.prefetch(self.slot(number))
        zeros = [(self.vector, "zeroinitializer")] * (self.rows * self.vectors)
        tables = code.pointer(kernel.a_runs), code.pointer(kernel.b_runs)
        end = "%end.run"
        if kernel.a_form == "rows":  # of copies of both operands the whole block is one run
            end = code.here(f"select i1 %in.place, i64 {end}, i64 {code.add('%first.run', '1')}")
        with code.loop("%first.run", end, 1, zeros) as runs:
            runs.next = self.run(runs.index, tables, runs.inner)
        self.finish(runs.outer)
        # Where the loop lies in lines of code must not depend on what comes before: 3%.
        return code.function("internal void", name, PARAMETERS, "noinline align 64"), code

    def run(self, run: str, tables: tuple[str, str], sums: list[str]) -> list[str]:
        """Multiply and add that part of the block of k which lies in `run`."""
        code, kernel = self.code, self.kernel
        start = code.mul(run, code.word(kernel.run_length))
        first = code.extreme("umax", start, "%first.k")
        end = code.extreme("umin", code.add(start, code.word(kernel.run_length)), "%end.k")
        if kernel.a_form == "rows":
            first = code.here(f"select i1 %in.place, i64 {first}, i64 %first.k")
            end = code.here(f"select i1 %in.place, i64 {end}, i64 %end.k")
        length, skip = code.sub(end, first), code.sub(first, start)
        done = code.sub(first, "%first.k")
        if kernel.a_form == "rows":
            a = code.mul(done, str(self.rows))
        else:
            a = code.add(code.read(tables[0], run), code.mul(skip, code.word(kernel.a_k)))
            if kernel.a_form == "k":
                a = code.here(f"select i1 %moved, i64 {done}, i64 {a}")
        b = code.mul(done, self.b_step)
        if kernel.b_form == "copy":
            there = code.add(code.read(tables[1], run), code.mul(skip, self.b_step))
            b = code.here(f"select i1 %in.place, i64 {there}, i64 {b}")
        pointer = code.here(f"getelementptr {self.b_type}, ptr %b, i64 {b}")
        unrolled = code.here(f"and i64 {length}, {-UNROLL}")
        turn = code.here(f"and i64 {done}, {-UNROLL}")
        errands = code.element("%errands", "i8", code.mul(turn, self.errand_bytes))
        state = [a, pointer, *sums]
        for steps, begin, stop in ((UNROLL, "0", unrolled), (1, unrolled, length)):
            types = ["i64", "ptr", *[self.vector] * len(sums)]
            with code.loop(begin, stop, steps, list(zip(types, state, strict=True))) as loop:
                if steps == UNROLL:
                    offset = code.mul(loop.index, self.errand_bytes)
                    self.ask(code.element(errands, "i8", offset))
                loop.next = self.steps(steps, loop.inner)
            state = loop.outer
        return state[2:]

    def steps(self, count: int, state: list[str]) -> list[str]:
        """`count` k in a row: load a row of B, then for each row broadcast A, multiply and add."""
        code, kernel = self.code, self.kernel
        index, pointer, *sums = state
        # If A's k lie at distances known here, one index and displacements serve all steps.
        near = self.rows if kernel.a_form == "rows" else 1 if kernel.a_k == UNIT else 0
        lines = [code.element(row, self.a_type, index) for row in self.a_rows] if near else []
        for step in range(count):
            b = [self.lanes(pointer, v, kernel.b.dtype) for v in range(self.vectors)]
            for row in range(self.rows):
                if kernel.a_form == "rows":
                    address = code.element(lines[0], self.a_type, str(step * near + row))
                elif near:
                    address = code.element(lines[row], self.a_type, str(step))
                else:
                    address = code.element(self.a_rows[row], self.a_type, index)
                for vector, a in enumerate(self.a_factors(address)):
                    place = row * self.vectors + vector
                    sums[place] = self.multiply_add(a, b[vector], sums[place])
            pointer = code.element(pointer, self.b_type, self.b_step)
            if not near:
                index = code.add(index, code.word(kernel.a_k))
        index = code.add(index, str(count * near)) if near else index
        return [self.opaque("i64", index), self.opaque("ptr", pointer), *sums]

    @property
    def errand_bytes(self) -> str:
        """Bytes of the list to each k."""
        return str(8 * self.pace // UNROLL)

    def ask(self, errands: str) -> None:
        """Ask for the memory whose turn it is, into the second cache: the first is full of what the
        tile multiplies."""
        for number in range(self.pace):
            place = self.code.element(errands, "ptr", str(number))
            self.code.prefetch(self.code.here(f"load ptr, ptr {place}, align 8"))

    def opaque(self, kind: str, value: str) -> str:
        """`value` as something LLVM cannot see through until instructions are selected.

        Loop strength reduction would rewrite these addresses, which already are what the machine
        wants (row pointer + one shared index + displacement), and take half the compile time."""
        if kind == "ptr":
            name = "@llvm.launder.invariant.group.p0"
            self.code.declare(f"declare ptr {name}(ptr)")
            return self.code.here(f"call ptr {name}(ptr {value})")
        self.code.declare("declare i64 @llvm.expect.i64(i64, i64)")
        return self.code.here(f"call i64 @llvm.expect.i64(i64 {value}, i64 0)")

    def a_factors(self, address: str) -> list[str]:
        """A's factor for each vector: one element broadcast, or (depthwise) its neighbours."""
        code, source = self.code, self.kernel.a.dtype
        if self.kernel.pairs:  # one row's in the even lanes, the other's in the odd ones
            two = code.here(f"load <2 x {self.a_type}>, ptr {address}, align {source.itemsize}")
            return [self.shuffled(two, f"<2 x {self.a_type}>", [0, 1] * (LANES // 2))]
        if self.kernel.a_vector:
            return [self.lanes(address, vector, source) for vector in range(self.vectors)]
        one = code.here(f"load {self.a_type}, ptr {address}, align {source.itemsize}")
        wide = code.operand_of(one, source, self.kernel.accumulator, vector=False)
        return [code.splat_here(wide, self.kind)] * self.vectors

    def lanes(self, base: str, vector: int, source: DType) -> str:
        """The operand's elements for vector number `vector`, widened."""
        address = self.code.element(base, memory_type(source), str(vector * LANES))
        value = self.code.load_lanes(address, source, self.masks[vector])
        if self.kernel.pairs:
            value = self.shuffled(value, self.vector, [n // 2 for n in range(LANES)])
        return self.code.operand_of(value, source, self.kernel.accumulator, vector=True)

    def multiply_add(self, a: str, b: str, c: str) -> str:
        code, vector = self.code, self.vector
        if not self.kernel.accumulator.is_floating:
            return code.here(f"add {vector} {c}, {code.here(f'mul {vector} {a}, {b}')}")
        name = f"@llvm.fma.v{LANES}f{self.kernel.accumulator.bits}"
        code.declare(f"declare {vector} {name}({vector}, {vector}, {vector})")
        return code.here(f"call {vector} {name}({vector} {a}, {vector} {b}, {vector} {c})")

    def shuffled(self, value: str, kind: str, lanes: Sequence[int]) -> str:
        """The elements of `value` with these numbers."""
        numbers = ", ".join(f"i32 {lane}" for lane in lanes)
        text = f"shufflevector {kind} {value}, {kind} poison, <{len(lanes)} x i32> <{numbers}>"
        return self.code.here(text)

    def apart(self, sums: Sequence[str]) -> list[str]:
        """The sums row by row."""
        if not self.kernel.pairs:
            return list(sums)
        ways = [[(2 * n + row) % LANES for n in range(LANES)] for row in range(2)]
        return [self.shuffled(both, self.vector, lanes) for both in sums for lanes in ways]

    def finish(self, sums: list[str]) -> None:
        """The first block's chain is the total, each later one is added onto it."""
        code, sums = self.code, self.apart(sums)
        if self.kernel.split:
            return self.store(sums)
        begins = code.here("icmp eq i64 %first.k, 0")
        with code.either(begins):
            self.store(sums)
        with code.either(code.here(f"xor i1 {begins}, true")):
            how = "fadd" if self.kernel.accumulator.is_floating else "add"
            before = [
                code.here(f"load {self.vector}, ptr {self.slot(n)}, align 64")
                for n in range(len(sums))
            ]
            self.store([
                code.here(f"{how} {self.vector} {old}, {new}")
                for old, new in zip(before, sums, strict=True)
            ])  # fmt: skip

    def store(self, sums: list[str]) -> None:
        for number, value in enumerate(sums):
            self.code.effect(f"store {self.vector} {value}, ptr {self.slot(number)}, align 64")

    def slot(self, number: int) -> str:
        return self.code.element("%total", self.kind, str(number * LANES))
