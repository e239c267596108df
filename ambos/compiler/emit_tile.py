"""Transposing kernels: tiles of two axes whose loads are turned in registers.

Where a kernel stores along one axis what lies contiguous along another, a vector along either
axis would touch one memory line a lane. So both axes are walked in tiles of TILE indices. First
each such load is done along the axis in which its memory is contiguous, LANES rows of LANES
elements at a time; these are transposed by shuffles and written to a tile of scratch memory in
the other order. Then the stages run over the tile as they would anywhere, and find the load's
values in the scratch. So every memory line is read once, whole, and whatever is fused around the
load stays as it is.
"""

from __future__ import annotations

from ambos.compiler import memory
from ambos.compiler.loops import LANES, TILE, Load, Map, Tile, transposed
from ambos.compiler.loops_around import Loops
from ambos.compiler.memory import Address, Masks
from ambos.compiler.transpose import transpose
from ambos.compiler.values import Value, vector_type


class TileLoops:
    """Writes a LoopKernel with a tile."""

    def __init__(self, loops: Loops, tile: Tile) -> None:
        self.loops, self.tile = loops, tile
        self.b, self.tape = loops.b, loops.tape
        self.stores = [
            store
            for stage in loops.kernel.stages
            if isinstance(stage, Map)
            for store in stage.stores
        ]
        self.loads = transposed(loops.kernel)

    def items(self) -> None:
        """The loop over the work items that the caller asked for."""
        loops, tile = self.loops, self.tile
        row_grain, column_grain = (self.tape.size(w) for w in (tile.row_grain, tile.column_grain))
        row_blocks = self.blocks(tile.rows, row_grain)
        column_blocks = self.blocks(tile.columns, column_grain)
        with self.b.loop("%begin", "%end", 1) as loop:
            item = loops.inside(loop.index)
            item, columns = self.divide(item, column_blocks)
            item, rows = self.divide(item, row_blocks)
            if loops.kernel.grid:
                loops.bind(loops.kernel.grid, item)
            low, left = rows * row_grain, columns * column_grain
            high = loops.smaller(low + row_grain, loops.extent(tile.rows))
            right = loops.smaller(left + column_grain, loops.extent(tile.columns))
            self.tiles(low, high, left, right)

    def blocks(self, axis: int, grain: Value) -> Value:
        """How many grains cover an axis (at least one: there is no item if it is empty)."""
        count = self.b.binary("udiv", self.loops.extent(axis) + (grain - 1), grain)
        return self.b.select(count.eq(0), 1, count)

    def divide(self, item: Value, count: Value) -> tuple[Value, Value]:
        return self.b.binary("udiv", item, count), self.b.binary("urem", item, count)

    def tiles(self, low: Value, high: Value, left: Value, right: Value) -> None:
        """The tiles of an item, along the columns first: that is how results lie."""
        loops = self.loops
        with self.b.loop(low.text, high.text, TILE) as down:
            top = loops.inside(down.index)
            bottom = loops.smaller(top + TILE, high)
            with self.b.loop(left.text, right.text, TILE) as along:
                first = loops.inside(along.index)
                last = loops.smaller(first + TILE, right)
                places = self.scratch_places()
                for number, place in places.items():
                    self.fill(number, place, (top, bottom), (first, last))
                self.rows(places, (top, bottom), (first, last))

    def scratch_places(self) -> dict[int, str]:
        """Where the tile of each transposed load begins."""
        places, taken = {}, 0
        for number in self.loads:
            text = f"getelementptr i8, ptr %scratch, i64 {taken}"
            places[number] = self.b.pure(text, 0)
            load = self.tape.tape[number]
            assert isinstance(load, Load)
            taken += TILE * TILE * load.buffer.dtype.itemsize
        return places

    def fill(
        self, number: int, place: str, rows: tuple[Value, Value], columns: tuple[Value, Value]
    ) -> None:
        """The values of load `number`, read along the rows, to a scratch tile by columns."""
        load = self.tape.tape[number]
        assert isinstance(load, Load)
        dtype = load.buffer.dtype
        element = memory.memory_type(dtype)
        kind = vector_type(element)
        with self.b.loop(columns[0].text, columns[1].text, LANES) as along:
            first = self.loops.inside(along.index)
            # Beyond the end the last column is read again: its copies are never used.
            lanes = [self.loops.smaller(first + n, columns[1] - 1) for n in range(LANES)]

            def body(base: Value, mask: Value | None) -> None:
                self.tape.bind(self.tile.rows, base, True, mask)
                lines = [self.line(number, lane) for lane in lanes]
                offset = (base - rows[0]) * TILE + (first - columns[0])
                target = self.b.here(f"getelementptr {element}, ptr {place}, i64 {offset.text}")
                for row, line in enumerate(transpose(self.b, lines, element, dtype.itemsize)):
                    at = self.b.here(f"getelementptr {element}, ptr {target}, i64 {row * TILE}")
                    self.b.effect(f"store {kind} {line}, ptr {at}, align {dtype.itemsize}")

            self.loops.vectors(rows[0], rows[1], body, 1)

    def line(self, number: int, column: Value) -> str:
        """LANES neighbours along the rows at one column, as they are in memory."""
        with self.b.scope():
            self.tape.bind(self.tile.columns, column)
            value = self.b.broadcast(self.tape.value(number))
            return memory.to_memory(self.b, value)

    def rows(
        self, places: dict[int, str], rows: tuple[Value, Value], columns: tuple[Value, Value]
    ) -> None:
        """The stores at every point of the tile."""
        with self.b.loop(rows[0].text, rows[1].text, 1) as down:
            row = self.loops.inside(down.index)
            self.tape.bind(self.tile.rows, row)
            start = (row - rows[0]) * TILE - columns[0]

            def body(base: Value, mask: Value | None) -> None:
                self.tape.bind(self.tile.columns, base, True, mask)
                for number, place in places.items():
                    self.b.scopes[-1].memo[number] = self.read(number, place, start + base)
                self.tape.store(self.stores)

            self.loops.vectors(columns[0], columns[1], body, TILE // LANES)

    def read(self, number: int, place: str, offset: Value) -> Value:
        load = self.tape.tape[number]
        assert isinstance(load, Load)
        dtype = load.buffer.dtype
        element = memory.memory_type(dtype)
        pointer = self.b.here(f"getelementptr {element}, ptr {place}, i64 {offset.text}")
        address = Address(dtype, pointer, self.b.depth, 1)

        def write(text: str, _: int) -> tuple[str, int]:
            return self.b.here(text), self.b.depth

        return memory.load(self.b, address, Masks(), write)
