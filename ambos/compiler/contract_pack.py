"""One block of k of an operand, copied into panels that the product reads in a straight line.

The copy lies in the thread's scratch memory and is small enough for the caches nearby: it costs no
traffic beyond reading the operand, needs no buffer of the whole, and makes rows of any pitch alike.
Where lines are neighbours, vectors are copied. Where k are neighbours, squares are transposed in
registers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ambos.compiler.contract_text import Code
from ambos.compiler.loops import LANES, ContractKernel
from ambos.compiler.memory import memory_type
from ambos.compiler.scalar import SUFFIX
from ambos.compiler.transpose import transpose
from ambos.core.dtype import DType

ROWS_AHEAD = 4  # how far ahead rows are fetched that are moved
K_TOGETHER = 4  # k that are spread together, so that the loop over tiles costs little
PARAMETERS = (
    "ptr noalias %args, ptr noalias %source, ptr noalias %target, i64 %lines, "
    "i64 %first.k, i64 %end.k, i64 %first.run, i64 %end.run"
)
SPREADING = (
    "ptr noalias %args, ptr noalias %source, ptr noalias %target, i64 %rows, i64 %pitch, "
    "i64 %first.k, i64 %end.k, i64 %first.run, i64 %end.run"
)


@dataclass(frozen=True, slots=True)
class Panel:
    """What a copy is made of: `width` lines side by side, K in runs; without `line` (a stride
    word) lines are neighbours and k are `k_step` (a stride word) apart, else k are neighbours."""

    dtype: DType
    width: int
    runs: int
    k_step: int
    line: int | None = None


class Pack:
    """Writes `void @name(args, source, target, lines, first.k, end.k, first.run, end.run)`.

    target[k - first.k][line] = source line `line` at k. From line `lines` on there are zeros or
    elements of other lines.
    """

    def __init__(self, kernel: ContractKernel, panel: Panel) -> None:
        self.kernel, self.panel = kernel, panel
        self.code = Code()
        self.element = memory_type(panel.dtype)
        self.align = panel.dtype.itemsize
        self.block = LANES if panel.line is not None else lanes_for(panel.width)
        self.vector, self.bits = f"<{self.block} x {self.element}>", f"<{self.block} x i1>"

    def write(self, name: str) -> tuple[str, Code]:
        """The function's text (and its code, which knows the declarations)."""
        code, panel = self.code, self.panel
        with self.each_run() as length:
            if panel.line is None:
                self.copy(length, code.word(panel.k_step))
            else:
                self.turn(length, panel.line)
        return code.function("internal void", name, PARAMETERS, "noinline"), code

    @contextmanager
    def each_run(self) -> Iterator[str]:
        """What is written inside happens for each run of the block of k. Gives its length, sets
        where it is read from and written to."""
        code, panel = self.code, self.panel
        length, step = code.word(self.kernel.run_length), code.word(panel.k_step)
        with code.loop("%first.run", "%end.run", 1) as runs:
            start = code.mul(runs.index, length)
            begin = code.extreme("umax", start, "%first.k")
            stop = code.extreme("umin", code.add(start, length), "%end.k")
            skip = code.mul(code.sub(begin, start), step)
            offset = code.add(code.read(code.pointer(panel.runs), runs.index), skip)
            self.source = code.element("%source", self.element, offset)
            place = code.mul(code.sub(begin, "%first.k"), str(panel.width))
            self.target = code.element("%target", self.element, place)
            yield code.sub(stop, begin)

    # --- lines are neighbours --------------------------------------------------------------------

    def copy(self, length: str, step: str) -> None:
        """Each k is a few vectors; lanes of missing lines are not read."""
        code, starts = self.code, range(0, self.panel.width, self.block)
        masks = [self.below(code.sub("%lines", str(start))) for start in starts]
        carried = [("ptr", self.source), ("ptr", self.target)]
        with code.loop("0", length, 1, carried) as ks:
            source, target = ks.inner
            for start, mask in zip(starts, masks, strict=True):
                value = self.masked_load(code.element(source, self.element, str(start)), mask)
                self.store(value, code.element(target, self.element, str(start)))
            ks.next = [
                code.element(source, self.element, step),
                code.element(target, self.element, str(self.panel.width)),
            ]

    # --- k are neighbours ------------------------------------------------------------------------

    def turn(self, length: str, line: int) -> None:
        """Squares of LANES lines and k, then what is left of k one by one."""
        code = self.code
        whole = code.here(f"and i64 {length}, {-self.block}")
        last = code.sub(code.extreme("umin", "%lines", str(self.panel.width)), "1")
        with code.loop("0", str(self.panel.width), LANES) as groups:
            sources = []  # where lines are missing the last one is read again
            for number in range(LANES):
                present = code.extreme("umin", code.add(groups.index, str(number)), last)
                offset = code.mul(present, code.word(line))
                sources.append(code.element(self.source, self.element, offset))
            target = code.element(self.target, self.element, groups.index)
            with code.loop("0", whole, LANES) as ks:
                rows = []
                for source in sources:
                    place = code.element(source, self.element, ks.index)
                    rows.append(code.here(f"load {self.vector}, ptr {place}, align {self.align}"))
                step = code.mul(ks.index, str(self.panel.width))
                first = code.element(target, self.element, step)
                columns = transpose(code, rows, self.element, self.align)
                for number, column in enumerate(columns):
                    place = code.element(first, self.element, str(number * self.panel.width))
                    self.store(column, place)
        with code.loop("0", str(self.panel.width), 1) as lines:
            offset = code.mul(code.extreme("umin", lines.index, last), code.word(line))
            source = code.element(self.source, self.element, offset)
            target = code.element(self.target, self.element, lines.index)
            with code.loop(whole, length, 1) as ks:
                place = code.element(source, self.element, ks.index)
                one = code.here(f"load {self.element}, ptr {place}, align {self.align}")
                step = code.mul(ks.index, str(self.panel.width))
                place = code.element(target, self.element, step)
                code.effect(f"store {self.element} {one}, ptr {place}, align {self.align}")

    # --- vectors of `block` lanes ----------------------------------------------------------------

    def below(self, limit: str) -> str:
        """The mask of the lanes whose number is less than `limit`, which may be negative."""
        code, kind = self.code, f"<{self.block} x i64>"
        lanes = ", ".join(f"i64 {lane}" for lane in range(self.block))
        one = code.here(f"insertelement {kind} poison, i64 {limit}, i64 0")
        zeros = f"<{self.block} x i32> zeroinitializer"
        every = code.here(f"shufflevector {kind} {one}, {kind} poison, {zeros}")
        return code.here(f"icmp slt {kind} <{lanes}>, {every}")

    def masked_load(self, place: str, mask: str) -> str:
        name = f"@llvm.masked.load.v{self.block}{SUFFIX.get(self.element, self.element)}.p0"
        self.code.declare(f"declare {self.vector} {name}(ptr, {self.bits}, {self.vector})")
        return self.code.here(
            f"call {self.vector} {name}(ptr align {self.align} {place}, {self.bits} {mask}, "
            f"{self.vector} zeroinitializer)"
        )

    def store(self, value: str, place: str) -> None:
        self.code.effect(f"store {self.vector} {value}, ptr {place}, align {self.align}")


class Spread:
    """Writes `void @name(args, source, target, rows, pitch, first.k, end.k, first.run, end.run)`:
    A's block of k, whose rows are neighbours, as tiles `pitch` elements apart.

    target[tile][k - first.k][row of the tile] = source row at k. Memory is read in a straight line.
    Vectors end past their tile's rows, where the next k overwrites them; rows that a last tile
    lacks are zeros.
    """

    def __init__(self, kernel: ContractKernel) -> None:
        self.height = kernel.tile[0]
        self.pack = Pack(kernel, Panel(kernel.a.dtype, self.height, kernel.a_runs, kernel.a_k))

    def write(self, name: str) -> tuple[str, Code]:
        """The function's text (and its code, which knows the declarations)."""
        pack, code, height = self.pack, self.pack.code, str(self.height)
        step, lanes = code.word(pack.panel.k_step), str(pack.block)
        above = code.sub(code.extreme("umax", "%rows", lanes), lanes)
        whole = code.mul(code.add(code.here(f"udiv i64 {above}, {height}"), "1"), height)
        enough = code.here(f"icmp uge i64 %rows, {lanes}")
        whole = code.here(f"select i1 {enough}, i64 {whole}, i64 0")  # rows of unmasked vectors
        with pack.each_run() as length:
            together = code.here(f"and i64 {length}, {-K_TOGETHER}")
            for count, begin, stop in ((K_TOGETHER, "0", together), (1, together, length)):
                with code.loop(begin, stop, count) as ks:
                    self.spread(count, ks.index, step, whole)
            with code.loop(whole, "%rows", self.height) as tiles:
                mask = pack.below(code.sub("%rows", tiles.index))
                number = code.here(f"udiv i64 {tiles.index}, {height}")
                with code.loop("0", length, 1) as ks:
                    source = code.add(code.mul(ks.index, step), tiles.index)
                    value = pack.masked_load(code.element(pack.source, pack.element, source), mask)
                    target = code.add(code.mul(ks.index, height), code.mul(number, "%pitch"))
                    pack.store(value, code.element(pack.target, pack.element, target))
        return code.function("internal void", name, SPREADING, "noinline"), code

    def spread(self, count: int, first: str, step: str, whole: str) -> None:
        """`count` k from number `first` of a run on, for tiles up to row `whole`."""
        pack, code = self.pack, self.pack.code
        source = code.element(pack.source, pack.element, code.mul(first, step))
        place = code.mul(first, str(self.height))
        target = code.element(pack.target, pack.element, place)
        carried = [("ptr", source), ("ptr", target)]
        with code.loop("0", whole, self.height, carried) as tiles:
            source, target = tiles.inner
            line = source
            for number in range(count):
                value = code.here(f"load {pack.vector}, ptr {line}, align {pack.align}")
                place = code.element(target, pack.element, str(number * self.height))
                pack.store(value, place)
                line = code.element(line, pack.element, step)
            tiles.next = [
                code.element(source, pack.element, str(self.height)),
                code.element(target, pack.element, "%pitch"),
            ]


class Move:
    """Writes `void @name(source, target, rows, stride, pitch, length)`: `length` neighbours of each
    of `rows` rows, from `stride` to `pitch` elements apart (what follows `length` is overwritten
    up to a whole vector), and rows again up to a multiple of `height`, copies of the last."""

    def __init__(self, kernel: ContractKernel) -> None:
        self.height = kernel.tile[0]
        self.pack = Pack(kernel, Panel(kernel.a.dtype, LANES, kernel.a_runs, kernel.a_k))

    def write(self, name: str) -> tuple[str, Code]:
        """The function's text (and its code, which knows the declarations)."""
        pack, code = self.pack, self.pack.code
        whole = code.here(f"and i64 %length, {-LANES}")
        rest = pack.below(code.sub("%length", whole))
        height = str(self.height)
        padded = code.mul(code.ceiling("%rows", height), height)
        last, ahead = code.sub("%rows", "1"), code.mul("%stride", str(ROWS_AHEAD))
        carried = [("ptr", "%target")]
        with code.loop("0", padded, 1, carried) as rows:
            number = code.extreme("umin", rows.index, last)
            source = code.element("%source", pack.element, code.mul(number, "%stride"))
            (target,) = rows.inner
            with code.loop("0", whole, LANES) as places:
                place = code.element(source, pack.element, places.index)
                value = code.here(f"load {pack.vector}, ptr {place}, align {pack.align}")
                code.prefetch(code.element(place, pack.element, ahead))
                pack.store(value, code.element(target, pack.element, places.index))
            value = pack.masked_load(code.element(source, pack.element, whole), rest)
            pack.store(value, code.element(target, pack.element, whole))
            rows.next = [code.element(target, pack.element, "%pitch")]
        parameters = (
            "ptr noalias %source, ptr noalias %target, i64 %rows, i64 %stride, i64 %pitch, "
            "i64 %length"
        )
        return code.function("internal void", name, parameters, "noinline"), code


def lanes_for(width: int) -> int:
    """Lanes of the vectors that copy `width` neighbours: all LANES, or just enough.

    Example:
        >>> lanes_for(32), lanes_for(11), lanes_for(6)
        (16, 16, 8)
    """
    return min(LANES, 1 << (width - 1).bit_length())
