"""The backward pass of attention as LLVM text: blocks of queries meet blocks of keys.

For each pair of blocks the scores are computed again, transposed as in the forward pass: p and
ds = p (dp - delta) stand in scratch as [key][query]. Elements are broadcast from there, down the
keys for dQ (whose B are the block's rows of K), along the queries for dV and dK (whose B are its
rows of dO and Q). dQ of a block stays in scratch while the keys go by; dK and dV gather in scratch
until the item, one head of keys, is done: no two threads ever add to the same element.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ambos.compiler.attention_loops import QUERY_BLOCK, ROW_BLOCK, AttentionGradientKernel
from ambos.compiler.attention_text import AttentionCode
from ambos.compiler.attention_tile import products, row_table
from ambos.compiler.attention_transpose import write_transpose
from ambos.compiler.emit_contract import ABI
from ambos.compiler.loops import LANES

BLOCK_VECTORS = ROW_BLOCK // LANES
LINES = 3  # numbers for each query: what its scores are relative to, 1 / l, and delta


def gradient_scratch(tile: tuple[int, int], span: int, keys: int, width: int, wide: int) -> int:
    """Elements of scratch memory that a thread needs: see `Backward.prepare`."""
    panel = tile[1] * LANES
    inner, outer = -(-width // panel) * panel, -(-wide // panel) * panel
    queries = (span + ROW_BLOCK) * (width + wide + 2 * inner + outer + LINES)
    return queries + keys * (inner + outer) + ROW_BLOCK * (inner + 3 * ROW_BLOCK)


def emit_attention_gradient(kernel: AttentionGradientKernel, name: str) -> str:
    """The text of an LLVM module that defines `name` (ABI in core.program)."""
    parts = [
        *products(f"{name}.product", kernel.tile, kernel.dtype, add=False),
        *products(f"{name}.sum", kernel.tile, kernel.dtype, add=True),
        write_transpose(f"{name}.transpose", kernel.dtype),
    ]
    driver = Backward(kernel, name)
    driver.write()
    parts.append((driver.code.function("void", name, ABI), driver.code))
    declarations = {line: None for _, code in parts for line in code.declarations}
    return "\n".join([*declarations, *(text for text, _ in parts)])


class Row(NamedTuple):
    """Numbers of elements: of a row, and from one row to the next in scratch."""

    columns: str
    padded: str


class Backward:
    """Writes the kernel's own function."""

    def __init__(self, kernel: AttentionGradientKernel, name: str) -> None:
        self.kernel = kernel
        self.code = AttentionCode(kernel.dtype, name)
        self.kind, self.size = kernel.dtype.llvm, kernel.dtype.itemsize
        self.vectors = kernel.tile[1]
        self.width = self.vectors * LANES
        self.pitch = str(ROW_BLOCK * self.size)
        self.needs_scores = kernel.query_gradient is not None or kernel.key_gradient is not None

    def write(self) -> None:
        code = self.code
        self.prepare()
        shared = code.here(f"udiv i64 {self.heads}, {self.group}")
        with code.loop("%begin", "%end", 1) as items:
            batch, head = code.decode(items.index, [self.batch, shared])
            self.find_shared(batch, head)
            self.clear(self.key_sums, code.mul(self.keys, self.inner.padded))
            self.clear(self.value_sums, code.mul(self.keys, self.outer.padded))
            first = code.mul(head, self.group)
            with code.loop(first, code.add(first, self.group), 1) as heads:
                self.find_own(batch, heads.index)
                with code.loop("0", self.queries, self.span) as spans:
                    self.meet(spans.index)
            self.write_rows("key_gradient", self.key_sums, self.inner, "0", self.keys)
            self.write_rows("value_gradient", self.value_sums, self.outer, "0", self.keys)

    def prepare(self) -> None:
        """Words, strides in bytes, and the thread's scratch memory."""
        code, kernel = self.code, self.kernel
        sizes = kernel.sizes
        self.batch, self.heads = code.word(sizes.batch), code.word(sizes.heads)
        self.group, self.queries = code.word(sizes.group), code.word(sizes.queries)
        self.keys, self.span = code.word(sizes.keys), code.word(sizes.span)
        code.factor, self.scale = code.constant(sizes.factor), code.constant(sizes.scale)
        self.inner, self.outer = self.row(sizes.width), self.row(sizes.value_width)
        self.key_rows = row_table(code, code.bytes_of(kernel.key.strides[2]))
        self.value_rows = row_table(code, code.bytes_of(kernel.value.strides[2]))
        self.block_rows = row_table(code, self.pitch)
        self.block_columns = row_table(code, str(self.size))
        area = str(ROW_BLOCK * ROW_BLOCK)
        self.powers = "%scratch"
        self.slopes = code.element(self.powers, self.kind, area)
        self.masked = code.element(self.slopes, self.kind, area)
        self.key_block = code.element(self.masked, self.kind, area)
        keys = code.mul(self.inner.padded, str(ROW_BLOCK))
        self.key_sums = code.element(self.key_block, self.kind, keys)
        keys = code.mul(self.keys, self.inner.padded)
        self.value_sums = code.element(self.key_sums, self.kind, keys)
        values = code.mul(self.keys, self.outer.padded)
        self.blocks = code.element(self.value_sums, self.kind, values)
        padded = code.add(code.mul(self.inner.padded, "2"), self.outer.padded)
        plain = code.add(self.inner.columns, self.outer.columns)
        self.block_size = code.add(code.add(padded, plain), str(LINES))  # for each query

    def row(self, word: int) -> Row:
        """Rows as long as the word says."""
        columns, panel = self.code.word(word), str(self.width)
        return Row(columns, self.code.mul(self.code.ceiling(columns, panel), panel))

    def find_shared(self, batch: str, head: str) -> None:
        code, kernel = self.code, self.kernel
        views = {
            "key": kernel.key, "value": kernel.value,
            "key_gradient": kernel.key_gradient, "value_gradient": kernel.value_gradient,
        }  # fmt: skip
        self.matrices = {
            role: code.matrix(view, batch, head) for role, view in views.items() if view is not None
        }

    def find_own(self, batch: str, head: str) -> None:
        code, kernel = self.code, self.kernel
        views = {
            "query": kernel.query, "statistics": kernel.statistics, "delta": kernel.delta,
            "gradient": kernel.gradient, "mask": kernel.mask,
            "query_gradient": kernel.query_gradient,
        }  # fmt: skip
        self.matrices |= {
            role: code.matrix(view, batch, head) for role, view in views.items() if view is not None
        }

    def clear(self, start: str, count: str) -> None:
        code = self.code
        with code.loop("0", count, LANES) as loop:
            code.put(code.element(start, self.kind, loop.index), 0, code.fill(0.0))

    # --- a span of queries -----------------------------------------------------------------------

    def meet(self, first: str) -> None:
        """The queries from `first` on, block by block, with all keys."""
        code = self.code
        stop = code.extreme("umin", code.add(first, self.span), self.queries)
        with code.loop(first, stop, ROW_BLOCK) as blocks:
            self.start(blocks.index, first)
            self.take_in()
        end = self.limit(code.sub(stop, "1"))
        with code.loop("0", end, ROW_BLOCK) as keys:
            if self.kernel.query_gradient is not None:
                count = code.extreme("umin", str(ROW_BLOCK), code.sub(end, keys.index))
                self.copy_rows("key", keys.index, count, self.key_block, self.inner)
            with code.loop(first, stop, ROW_BLOCK) as blocks:
                self.start(blocks.index, first)
                limit = self.limit(code.sub(code.add(self.first, self.count), "1"))
                with code.when(keys.index, limit):
                    self.pair(keys.index, limit)
        if self.kernel.query_gradient is not None:
            with code.loop(first, stop, ROW_BLOCK) as blocks:
                self.start(blocks.index, first)
                self.write_rows(
                    "query_gradient", self.query_sums, self.inner, self.first, self.count
                )

    def limit(self, query: str) -> str:
        """The number of keys that a query's block looks at."""
        return self.code.keys_seen(query, self.keys) if self.kernel.causal else self.keys

    def start(self, first: str, span: str) -> None:
        """The memory of the block of queries from `first`; `span` is the span's first."""
        code, kind = self.code, self.kind
        self.first = first
        self.count = code.extreme("umin", str(ROW_BLOCK), code.sub(self.queries, first))
        place = code.element(self.blocks, kind, code.mul(code.sub(first, span), self.block_size))

        def take(columns: str) -> str:
            nonlocal place
            here, place = place, code.element(place, kind, code.mul(columns, str(ROW_BLOCK)))
            return here

        self.references, self.inverses, self.delta = (take("1") for _ in range(LINES))
        self.query_turned, self.gradient_turned = take(self.inner.columns), take(self.outer.columns)
        self.query_sums = take(self.inner.padded)
        self.query_rows, self.gradient_rows = take(self.inner.padded), take(self.outer.padded)

    def take_in(self) -> None:
        """Q and dO of a block, as they are (padded) and transposed; its statistics and delta. What
        p is multiplied with is divided by l here, once, instead of every p."""
        code = self.code
        self.take_lines()
        self.copy_rows("query", self.first, self.count, self.query_rows, self.inner)
        self.copy_rows(
            "gradient", self.first, self.count, self.gradient_rows, self.outer, self.inverses
        )
        for rows, (columns, padded), turned in (
            (self.query_rows, self.inner, self.query_turned),
            (self.gradient_rows, self.outer, self.gradient_turned),
        ):
            code.turn_in(rows, padded, self.count, columns, turned, BLOCK_VECTORS, self.vectors)
        for vector in range(BLOCK_VECTORS):
            inverse = code.get(self.inverses, vector)
            code.put(self.delta, vector, code.get(self.delta, vector) * inverse)
        self.clear(self.query_sums, code.mul(self.inner.padded, self.count))

    def copy_rows(
        self, role: str, first: str, count: str, target: str, row: Row, factors: str = ""
    ) -> None:
        """`count` rows of a matrix from `first` on, padded with zeros; each times its factor."""
        code = self.code
        source, (stride, _) = self.matrices[role]
        source = code.element(source, self.kind, code.mul(first, stride))
        with code.loop("0", count, 1) as loop:
            start = code.element(source, self.kind, code.mul(loop.index, stride))
            goal = code.element(target, self.kind, code.mul(loop.index, row.padded))
            factor = None
            if factors:
                factor = code.splat_one(code.element(factors, self.kind, loop.index))
            code.copy_row(start, goal, *row, factor)

    def take_lines(self) -> None:
        """One number for each query of the block, zeros for those that do not exist."""
        code = self.code
        statistics, (row, column) = self.matrices["statistics"]
        delta, (stride, _) = self.matrices["delta"]
        for source, step, target in (
            (statistics, column, self.references),
            (code.element(statistics, self.kind, row), column, self.inverses),
            (delta, stride, self.delta),
        ):
            self.clear(target, str(ROW_BLOCK))
            with code.loop("0", self.count, 1) as loop:
                at = code.mul(code.add(self.first, loop.index), step)
                code.copy_one(
                    code.element(source, self.kind, at),
                    code.element(target, self.kind, loop.index),
                )

    # --- a block of queries and a block of keys --------------------------------------------------

    def pair(self, first: str, limit: str) -> None:
        code = self.code
        count = code.extreme("umin", str(ROW_BLOCK), code.sub(limit, first))
        if self.kernel.mask is not None:
            source, (stride, _) = self.matrices["mask"]
            at = code.add(code.mul(self.first, stride), first)
            source = code.element(source, self.kind, at)
            code.turn_in(
                source, stride, self.count, count, self.masked, BLOCK_VECTORS, self.vectors
            )
        with code.loop("0", self.count, self.width) as panels:
            self.panel(panels.index, first, count)
        if self.kernel.query_gradient is not None:
            self.gather_queries(first, count)
        if self.kernel.value_gradient is not None:
            self.gather_keys(
                self.powers, self.gradient_rows, self.value_sums, self.outer, first, count
            )
        if self.kernel.key_gradient is not None:
            self.gather_keys(self.slopes, self.query_rows, self.key_sums, self.inner, first, count)

    def panel(self, row: str, first: str, count: str) -> None:
        """p and ds of the panel of queries from number `row` of the block."""
        code, kernel = self.code, self.kernel
        powers, slopes = (code.element(x, self.kind, row) for x in (self.powers, self.slopes))
        seen = self.seen(row, first, count)
        key, (key_row, key_column) = self.matrices["key"]
        key = code.element(key, self.kind, code.mul(first, key_row))
        code.multiply(
            key, self.key_rows, self.bytes(key_column), self.turned(self.query_turned, row),
            self.pitch, self.inner.columns, powers, self.pitch, seen,
        )  # fmt: skip
        if self.needs_scores:
            value, (value_row, value_column) = self.matrices["value"]
            value = code.element(value, self.kind, code.mul(first, value_row))
            code.multiply(
                value, self.value_rows, self.bytes(value_column),
                self.turned(self.gradient_turned, row), self.pitch, self.outer.columns, slopes,
                self.pitch, seen,
            )  # fmt: skip
        self.differentiate(row, first, seen, powers, slopes)
        if kernel.causal:
            with code.loop(seen, count, 1) as keys:
                at = code.mul(keys.index, str(ROW_BLOCK))
                for target in (powers, slopes):
                    for vector in range(self.vectors):
                        code.put(code.element(target, self.kind, at), vector, code.fill(0.0))

    def seen(self, row: str, first: str, count: str) -> str:
        """How many of the block's `count` keys the panel of queries from `row` looks at."""
        if not self.kernel.causal:
            return count
        code = self.code
        seen = code.sub(self.limit(code.add(self.first, row)), first)
        return code.extreme("smin", count, code.extreme("smax", "0", seen))

    def bytes(self, stride: str) -> str:
        return self.code.mul(stride, str(self.size))

    def turned(self, block: str, row: str) -> str:
        return self.code.element(block, self.kind, row)

    def differentiate(self, row: str, first: str, seen: str, powers: str, slopes: str) -> None:
        """Scores become p, dp becomes ds."""
        code, kernel = self.code, self.kernel
        lines = [
            [code.get(code.element(x, self.kind, row), v) for v in range(self.vectors)]
            for x in (self.references, self.delta)
        ]
        query = code.add(self.first, row)
        positions = [
            code.lane_positions(code.add(query, str(v * LANES))) for v in range(self.vectors)
        ]
        plain = seen
        if kernel.causal and kernel.mask is None:
            free = code.sub(code.add(query, "1"), first)
            plain = code.extreme("smax", "0", code.extreme("smin", seen, free))
        ranges = [("0", plain, False)]
        if kernel.causal:
            ranges = [("0", plain, False), (plain, seen, True)]
        if kernel.mask is not None:
            ranges = [("0", seen, kernel.causal)]
        for start, stop, constrained in ranges:
            with code.loop(start, stop, 1) as keys:
                at = code.mul(keys.index, str(ROW_BLOCK))
                for vector in range(self.vectors):
                    z = code.get(code.element(powers, self.kind, at), vector)
                    if kernel.mask is not None:
                        mask = code.element(self.masked, self.kind, code.add(row, at))
                        z = code.fma(z, self.scale, code.get(mask, vector))
                    if constrained:
                        position = code.number(code.add(first, keys.index))
                        z = code.select(position <= positions[vector], z, -math.inf)
                    p = code.power(z, lines[0][vector])
                    code.put(code.element(powers, self.kind, at), vector, p)
                    if self.needs_scores:
                        place = code.element(slopes, self.kind, at)
                        code.put(place, vector, p * (code.get(place, vector) - lines[1][vector]))

    def gather_queries(self, first: str, count: str) -> None:
        """dQ[query] += the sum over the keys that it looks at of ds[key][query] K[key]."""
        code = self.code
        step = QUERY_BLOCK if self.kernel.causal else ROW_BLOCK  # look at the same keys
        with code.loop("0", self.count, step) as rows:
            height = code.extreme("umin", str(step), code.sub(self.count, rows.index))
            at = code.mul(rows.index, self.inner.padded)
            self.gather(
                code.element(self.slopes, self.kind, rows.index), self.block_columns, self.pitch,
                self.key_block, self.seen(rows.index, first, count),
                code.element(self.query_sums, self.kind, at), self.inner.padded, height,
            )  # fmt: skip

    def gather_keys(
        self, left: str, right: str, sums: str, row: Row, first: str, count: str
    ) -> None:
        """sums[key] += the sum over the block's queries of left[key][query] right[query]."""
        sums = self.code.element(sums, self.kind, self.code.mul(first, row.padded))
        step = str(self.size)
        self.gather(left, self.block_rows, step, right, self.count, sums, row.padded, count)

    def gather(
        self, left: str, rows: str, step: str, right: str, count: str, sums: str, padded: str,
        height: str,
    ) -> None:  # fmt: skip
        """sums[row] += the sum over `count` k of left[row, k] right[k], for `height` rows."""
        code = self.code
        pitch = self.bytes(padded)
        with code.loop("0", padded, self.width) as panels:
            code.multiply(
                left, rows, step, code.element(right, self.kind, panels.index), pitch, count,
                code.element(sums, self.kind, panels.index), pitch, height, what="sum",
            )  # fmt: skip

    # --- results ---------------------------------------------------------------------------------

    def write_rows(self, role: str, sums: str, row: Row, first: str, count: str) -> None:
        """`count` rows of a result from `first` on; dQ and dK are multiplied by the scale."""
        if role not in self.matrices:
            return
        code, (columns, padded) = self.code, row
        target, (stride, _) = self.matrices[role]
        target = code.element(target, self.kind, code.mul(first, stride))
        with code.loop("0", count, 1) as rows:
            source = code.element(sums, self.kind, code.mul(rows.index, padded))
            goal = code.element(target, self.kind, code.mul(rows.index, stride))
            with code.loop("0", columns, LANES) as vectors:
                value = code.get(code.element(source, self.kind, vectors.index), 0)
                if role != "value_gradient":
                    value = value * self.scale
                place = code.element(goal, self.kind, vectors.index)
                code.put_some(place, 0, value, code.sub(columns, vectors.index))
