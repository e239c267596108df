"""A contraction as LLVM text: work items, k blocks, row tiles, then the epilogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ambos.compiler.contract_epilogue import epilogue
from ambos.compiler.contract_errands import empty_list, has_list
from ambos.compiler.contract_pack import Move, Pack, Panel, Spread
from ambos.compiler.contract_product import Product
from ambos.compiler.contract_text import Code
from ambos.compiler.loops import LANES, ContractKernel
from ambos.compiler.memory import memory_type
from ambos.compiler.tape import Lower
from ambos.compiler.tiles import MAX_ROW_BLOCK

FETCHING_TILES = 8  # fewer leave no time to fetch what comes next
CACHE_LINE = 64  # bytes
LONG = 128  # k; a shorter product leaves no time to fetch what its epilogue touches
ABI = "ptr noalias %args, i64 %begin, i64 %end, ptr noalias %scratch"


def emit_contract(kernel: ContractKernel, name: str, lower: Lower) -> str:
    """The text of an LLVM module that defines `name` (ABI in core.program)."""
    edges = (False, True) if kernel.a_vector else (False,)
    parts = []
    if kernel.a_form == "rows":
        parts.append(Spread(kernel).write(f"{name}.spread"))
    else:
        parts.append(row_table(kernel, f"{name}.rows"))
    if kernel.a_form == "k":
        parts.append(Move(kernel).write(f"{name}.move"))
    if kernel.b_form != "packed":
        line = kernel.b_line if kernel.b_form == "turn" else None
        panel = Panel(kernel.b.dtype, kernel.tile[1] * LANES, kernel.b_runs, kernel.b_k, line)
        parts.append(Pack(kernel, panel).write(f"{name}.pack_b"))
    parts += [Product(kernel, edge).write(f"{name}.product{edge:d}") for edge in edges]
    if has_list(kernel):
        parts.append(Product(kernel, False, asks=True).write(f"{name}.asking0"))
    outlined: dict[str, tuple[Any, str, str]] = {}  # both epilogues call the same functions
    for edge in (False, True):
        parts.append(epilogue(kernel, f"{name}.store{edge:d}", lower, edge, outlined))
    parts.append(epilogue(kernel, f"{name}.ahead0", lower, False, outlined, ahead=True))
    parts.append(Driver(kernel, name, edges).write())
    declarations = {line: None for _, code in parts for line in code.declarations}
    functions = [text for _, _, text in outlined.values()]
    return "\n".join([*declarations, *functions, *(text for text, _ in parts)])


def row_table(kernel: ContractKernel, name: str) -> tuple[str, Code]:
    """`void @name(args, table, row, count, padded)` fills `table` with the A offsets of `count`
    rows from `row`, then the last one again up to entry `padded`: a tile that is not full loads
    from rows that exist."""
    code = Code()
    axes = kernel.extents[kernel.num_batch : -1]
    extents = [code.word(axis) for axis in axes]
    last = code.sub("%count", "2" if kernel.pairs else "1")  # of a pair the first row is looked up
    carried = [("i64", index) for index in code.decode("%row", extents)]
    with code.loop("0", "%padded", 1, carried) as loop:
        if kernel.a_form == "k":  # the step may be that of a copy, which begins at row 0
            offset = code.mul(loop.inner[0], "%step")
        else:
            offset = code.dot(loop.inner, kernel.a_rows)
        code.effect(f"store i64 {offset}, ptr {code.element('%table', 'i64', loop.index)}, align 8")
        more = code.here(f"icmp ult i64 {loop.index}, {last}")
        loop.next = [
            code.here(f"select i1 {more}, i64 {following}, i64 {index}")
            for following, index in zip(code.advance(loop.inner, extents), loop.inner, strict=True)
        ]
    parameters = (
        "ptr noalias %args, ptr noalias %table, i64 %row, i64 %count, i64 %padded, i64 %step"
    )
    return code.function("internal void", name, parameters, "noinline"), code


@dataclass(frozen=True, slots=True)
class Ahead:
    """Memory that will be read soon: pieces of `width` neighbours, `step` elements apart from
    `start` on; each tile brings `share` of them nearer."""

    start: str
    step: str
    width: str
    share: str


class Driver:
    """The kernel itself: walks work items, and inside each k blocks and row tiles."""

    def __init__(self, kernel: ContractKernel, name: str, edges: Sequence[bool]) -> None:
        self.kernel, self.name, self.edges = kernel, name, edges
        self.code = Code()
        self.rows, vectors = kernel.tile
        self.width = vectors * LANES

    def write(self) -> tuple[str, Code]:
        """The function's text and its code."""
        self.prepare()
        code, axes = self.code, [*self.batch, self.row_blocks, self.groups]
        with code.when("%begin", "%end"):  # without items there may be no group to divide by
            first = [("i64", index) for index in code.decode("%begin", axes)]
            with code.loop("%begin", "%end", 1, [("i64", "-1"), *first]) as items:
                known, *place = items.inner
                items.next = [self.item(place, known), *code.advance(place, axes)]
        if any(store.stream for store in self.kernel.stores):
            code.effect("fence seq_cst")  # these stores are not ordered with what comes after
        return self.code.function("void", self.name, ABI), self.code

    def prepare(self) -> None:
        """Words, counts, and memory on the stack: the row table and the totals of one tile."""
        code, kernel = self.code, self.kernel
        self.table = code.here(f"alloca [{MAX_ROW_BLOCK + self.rows} x i64], align 64")
        size = self.rows * self.width
        self.tile = code.here(f"alloca [{size} x {kernel.accumulator.llvm}], align 64")
        self.errands = empty_list(code, kernel) if has_list(kernel) else "null"
        self.a, self.b = code.pointer(kernel.a.word), code.pointer(kernel.b.word)
        self.a_copy = code.element("%scratch", "i8", code.word(kernel.a_scratch))
        self.b_copy = code.element("%scratch", "i8", code.word(kernel.b_scratch))
        axes = [code.word(extent) for extent in kernel.extents]
        self.batch, self.columns = axes[: kernel.num_batch], axes[-1]
        self.num_rows = code.product(axes[kernel.num_batch : -1])
        self.row_block, self.group = code.word(kernel.row_block), code.word(kernel.group)
        self.panels = code.ceiling(self.columns, str(self.width))
        self.groups = code.ceiling(self.panels, self.group)
        self.row_blocks = code.ceiling(self.num_rows, self.row_block)
        self.k_block = code.word(kernel.k_block)
        self.run_length = code.extreme("umax", code.word(kernel.run_length), "1")
        self.k = code.mul(code.word(kernel.num_runs), code.word(kernel.run_length))
        # An empty sum is one empty block: it still writes zeros.
        self.k_blocks = code.extreme("umax", code.ceiling(self.k, self.k_block), "1")
        self.one_block = "true"
        if not kernel.split:
            self.one_block = code.here(f"icmp eq i64 {self.k_blocks}, 1")
        self.last_block = code.sub(self.k_blocks, "1")
        self.moved = "false"
        if kernel.a_form == "k":
            self.moved = code.here(f"icmp ne i64 {code.word(kernel.a_move)}, 0")
            lines = code.ceiling(self.k_block, str(LANES))
            self.pitch = code.mul(code.add(lines, "1"), str(LANES))
        self.may_stay = code.here(f"icmp ne i64 {code.word(kernel.b_in_place)}, 0")

    def item(self, place: Sequence[str], known: str) -> str:
        """One row block x one group of panels. `known` is the block that the table describes."""
        code, kernel = self.code, self.kernel
        *self.indices, block, group = place
        self.first_panel = code.mul(group, self.group)
        self.end_panel = code.extreme("umin", code.add(self.first_panel, self.group), self.panels)
        self.row = code.mul(block, self.row_block)
        self.count = code.extreme("umin", self.row_block, code.sub(self.num_rows, self.row))
        a = code.add(code.word(kernel.a_offset), code.dot(self.indices, kernel.a_batch))
        if kernel.a_form == "rows":
            a = code.add(a, self.row)
        b = code.add(code.word(kernel.b_offset), code.dot(self.indices, kernel.b_batch))
        self.a_base = code.element(self.a, memory_type(kernel.a.dtype), a)
        self.b_base = code.element(self.b, memory_type(kernel.b.dtype), b)
        if kernel.a_form != "rows":
            with code.either(code.here(f"icmp ne i64 {known}, {block}")):
                padded = code.mul(code.ceiling(self.count, str(self.rows)), str(self.rows))
                row, step = self.row, "0"
                if kernel.a_form == "k":
                    row = code.here(f"select i1 {self.moved}, i64 0, i64 {row}")
                    step = f"i64 {self.pitch}, i64 {code.word(kernel.a_rows[0])}"
                    step = code.here(f"select i1 {self.moved}, {step}")
                code.effect(
                    f'call void @"{self.name}.rows"(ptr %args, ptr {self.table}, i64 {row}, '
                    f"i64 {self.count}, i64 {padded}, i64 {step})"
                )
        if kernel.split:
            self.block(self.indices[0])
        else:
            with code.loop("0", self.k_blocks, 1) as blocks:
                self.block(blocks.index)
        return block

    def block(self, number: str) -> None:
        """One block of k for all panels of the group: A's part stays in the second cache."""
        code = self.code
        self.first = code.mul(number, self.k_block)
        self.end = end = code.extreme("umin", code.add(self.first, self.k_block), self.k)
        self.extent = self.extent_of(self.first, end)
        self.last = "true"
        if not self.kernel.split:
            self.last = code.here(f"icmp eq i64 {number}, {self.last_block}")
        enough = code.here(f"icmp uge i64 {code.sub(end, self.first)}, {LONG}")
        self.is_long = code.here(f"and i1 {self.last}, {enough}")
        if self.kernel.a_form == "rows":
            self.copy_rows()
        if self.kernel.a_form == "k":
            self.move_rows(end)
        with code.loop(self.first_panel, self.end_panel, 1) as panels:
            self.panel(panels.index)

    def extent_of(self, first: str, end: str) -> str:
        """The arguments that name the k from `first` to `end`."""
        run = self.code.here(f"udiv i64 {first}, {self.run_length}")
        return f"i64 {first}, i64 {end}, i64 {run}, i64 {self.code.ceiling(end, self.run_length)}"

    def copy_rows(self) -> None:
        """A's part of the block, as the tiles will read it."""
        code = self.code
        pitch = code.mul(code.add(self.k_block, "1"), str(self.rows))
        code.effect(
            f'call void @"{self.name}.spread"(ptr %args, ptr {self.a_base}, ptr {self.a_copy}, '
            f"i64 {self.count}, i64 {pitch}, {self.extent})"
        )

    def move_rows(self, end: str) -> None:
        """A's part of the block to where the distance of rows suits the caches."""
        code, kernel, element = self.code, self.kernel, memory_type(self.kernel.a.dtype)
        with code.either(self.moved):
            stride = code.word(kernel.a_rows[0])
            offset = code.add(code.mul(self.row, stride), self.first)
            offset = code.add(offset, code.read(code.pointer(kernel.a_runs), "0"))
            source = code.element(self.a_base, element, offset)
            code.effect(
                f'call void @"{self.name}.move"(ptr {source}, ptr {self.a_copy}, '
                f"i64 {self.count}, i64 {stride}, i64 {self.pitch}, "
                f"i64 {code.sub(end, self.first)})"
            )

    def copied_rows(self, at: str) -> str:
        """Where the copy of the tile lies whose first row is number `at` of the row block."""
        element = memory_type(self.kernel.a.dtype)
        code = self.code  # one k more than there are, since vectors end past their rows
        return code.element(self.a_copy, element, code.mul(at, code.add(self.k_block, "1")))

    def panel(self, panel: str) -> None:
        """One block of k of one panel for all row tiles: B's part stays in the first cache."""
        code, kernel = self.code, self.kernel
        self.column = code.mul(panel, str(self.width))
        self.columns_left = code.sub(self.columns, self.column)
        self.full = code.here(f"icmp uge i64 {self.columns_left}, {self.width}")
        self.partial = code.here(f"xor i1 {self.full}, true")
        b, in_place = self.b_block(panel)
        a = self.a_base
        if kernel.a_form == "k":
            a = code.here(f"select i1 {self.moved}, ptr {self.a_copy}, ptr {a}")
        if kernel.a_vector:
            a = code.element(a, memory_type(kernel.a.dtype), self.column)
        size = self.width * kernel.accumulator.itemsize
        before = code.mul(code.sub(panel, self.first_panel), self.row_block)
        ahead = self.next_block(panel)
        with code.loop("0", self.count, self.rows, [("ptr", ahead.start)]) as tiles:
            tiles.next = [self.fetch(ahead, tiles.inner[0])]
            place = code.mul(code.add(before, tiles.index), str(size))
            held = code.element("%scratch", "i8", place)
            total = code.here(f"select i1 {self.one_block}, ptr {self.tile}, ptr {held}")
            if kernel.a_form == "rows":
                a, offsets = self.copied_rows(tiles.index), self.table
            else:
                offsets = code.element(self.table, "i64", tiles.index)
            with code.either(self.is_long):
                self.store("ahead", (False,), tiles.index, self.errands)
            self.multiply(
                f"ptr %args, ptr {a}, ptr {offsets}, ptr {b}, ptr {total}, {self.extent}, "
                f"i64 {self.columns_left}, i1 {in_place}, i1 {self.moved}, ptr {self.errands}"
            )
            with code.either(self.last):
                self.store("store", (False, True), tiles.index, total)

    def b_block(self, panel: str) -> tuple[str, str]:
        """Where the panel's block of B lies, and (an i1) whether that is its own place."""
        code, kernel = self.code, self.kernel
        element = memory_type(kernel.b.dtype)
        there = code.element(self.b_base, element, code.mul(panel, code.word(kernel.b_panel)))
        if kernel.b_form == "packed":
            return code.element(there, element, code.mul(self.first, str(self.width))), "false"
        pack = (
            f'call void @"{self.name}.pack_b"(ptr %args, ptr {there}, ptr {self.b_copy}, '
            f"i64 {self.columns_left}, {self.extent})"
        )
        if kernel.b_form == "turn":
            code.effect(pack)
            return self.b_copy, "false"
        stays = code.here(f"and i1 {self.may_stay}, {self.full}")
        with code.either(code.here(f"xor i1 {stays}, true")):
            code.effect(pack)
        return code.here(f"select i1 {stays}, ptr {there}, ptr {self.b_copy}"), stays

    def next_block(self, panel: str) -> Ahead:
        """What comes after this block of B: the same k of the next panel, or the next k of the
        first. Where K is in several runs, or there are few tiles, there is nothing to bring."""
        code, kernel = self.code, self.kernel
        following = code.add(panel, "1")
        more = code.here(f"icmp slt i64 {following}, {self.end_panel}")
        place = code.here(f"select i1 {more}, i64 {following}, i64 {self.first_panel}")
        first = code.here(f"select i1 {more}, i64 {self.first}, i64 {self.end}")
        length = code.extreme("umin", self.k_block, code.sub(self.k, first))
        place = code.mul(place, code.word(kernel.b_panel))
        step = str(self.width) if kernel.b_form == "packed" else code.word(kernel.b_k)
        place = code.add(place, code.mul(first, step))
        pieces, width = length, str(self.width)
        if kernel.b_form == "turn":
            pieces, width, step = width, length, code.word(kernel.b_line)
        if kernel.b_form != "packed":
            place = code.add(place, code.read(code.pointer(kernel.b_runs), "0"))
        enough = code.here(f"icmp ugt i64 {self.count}, {FETCHING_TILES * self.rows}")
        if kernel.b_form != "packed":
            single = code.here(f"icmp eq i64 {code.word(kernel.num_runs)}, 1")
            enough = code.here(f"and i1 {enough}, {single}")
        pieces = code.here(f"select i1 {enough}, i64 {pieces}, i64 0")
        share = code.ceiling(code.mul(pieces, str(self.rows)), self.count)
        element = memory_type(kernel.b.dtype)
        return Ahead(code.element(self.b_base, element, place), step, width, share)

    def fetch(self, ahead: Ahead, piece: str) -> str:
        """Bring one tile's share of the next block nearer; where the next tile's begins."""
        code, element = self.code, memory_type(self.kernel.b.dtype)
        with code.loop("0", ahead.share, 1, [("ptr", piece)]) as pieces:
            line = CACHE_LINE // self.kernel.b.dtype.itemsize
            with code.loop("0", ahead.width, line) as places:
                code.prefetch(code.element(pieces.inner[0], element, places.index))
            pieces.next = [code.element(pieces.inner[0], element, ahead.step)]
        return pieces.outer[0]

    def store(self, what: str, edges: Sequence[bool], at: str, total: str) -> None:
        """The epilogue of the tile whose first row is number `at` of the row block."""
        code = self.code
        rows = code.extreme("umin", str(self.rows), code.sub(self.count, at))
        batch = "".join(f", i64 {index}" for index in self.indices)
        self.choose(
            what, edges,
            f"ptr %args, ptr {total}, i64 {code.add(self.row, at)}, i64 {rows}, "
            f"i64 {self.column}, i64 {self.columns_left}{batch}",
        )  # fmt: skip

    def multiply(self, arguments: str) -> None:
        """The product of a tile, which asks for what the epilogue needs if that is listed."""
        if not has_list(self.kernel):
            self.choose("product", self.edges, arguments)
            return
        with self.code.either(self.is_long):
            self.choose("asking", (False,), arguments)
        with self.code.either(self.code.here(f"xor i1 {self.is_long}, true")):
            self.choose("product", self.edges, arguments)

    def choose(self, what: str, edges: Sequence[bool], arguments: str) -> None:
        """Call the variant of `what` for full panels or the one for the last, partial panel."""
        for edge in edges:
            call = f'call void @"{self.name}.{what}{edge:d}"({arguments})'
            if len(edges) == 1:
                self.code.effect(call)
            else:
                with self.code.either(self.partial if edge else self.full):
                    self.code.effect(call)
