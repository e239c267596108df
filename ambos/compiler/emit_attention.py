"""The forward pass of attention as LLVM text: for each block of queries, all keys block by block.

Vectors run along queries. Scores of a key for a panel of queries are K's elements broadcast times
Q transposed (in scratch), so K and V are read where they lie and whatever their strides; the
softmax needs no sums across lanes, and the output is turned once, when it is finished.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ambos.compiler.attention_loops import (
    KEY_BLOCK,
    QUERY_BLOCK,
    AttentionKernel,
)
from ambos.compiler.attention_text import AttentionCode
from ambos.compiler.attention_tile import products, row_table
from ambos.compiler.attention_transpose import write_transpose
from ambos.compiler.emit_contract import ABI
from ambos.compiler.loops import LANES
from ambos.compiler.values import Value


def forward_scratch(span: int, width: int, value_width: int, masked: bool) -> int:
    """Elements of scratch memory that a thread needs: see `Forward.prepare`."""
    blocks = QUERY_BLOCK * (value_width + (1 + masked) * KEY_BLOCK)
    return blocks + (span + QUERY_BLOCK) * (width + value_width + 2)


def emit_attention(kernel: AttentionKernel, name: str) -> str:
    """The text of an LLVM module that defines `name` (ABI in core.program)."""
    parts = [*products(f"{name}.product", kernel.tile, kernel.dtype, add=False)]
    parts.append(write_transpose(f"{name}.transpose", kernel.dtype))
    driver = Forward(kernel, name)
    driver.write()
    parts.append((driver.code.function("void", name, ABI), driver.code))
    declarations = {line: None for _, code in parts for line in code.declarations}
    functions = [text for _, code in parts for _, _, text in code.functions.values()]
    return "\n".join([*declarations, *functions, *(text for text, _ in parts)])


class Forward:
    """Writes the kernel's own function."""

    def __init__(self, kernel: AttentionKernel, name: str) -> None:
        self.kernel, self.name = kernel, name
        self.code = AttentionCode(kernel.dtype, name)
        self.vectors = kernel.tile[1]
        self.width = self.vectors * LANES

    def write(self) -> None:
        code = self.code
        self.prepare()
        extents = [self.batch, self.heads, self.blocks]
        with code.loop("%begin", "%end", 1) as items:
            batch, head, turned = code.decode(items.index, extents)
            first = code.mul(code.sub(self.last_block, turned), self.span)
            stop = code.extreme("umin", code.add(first, self.span), self.queries)
            self.matrices = self.find_matrices(batch, head)
            self.line = code.add(code.mul(batch, self.heads), head)
            batch, head, _ = code.decode(code.add(items.index, "1"), extents)
            self.following = self.find_matrices(batch, head)
            with code.loop(first, stop, self.width) as panels:
                self.start(panels.index, first)
                self.begin_panel()
            end = self.limit(code.sub(stop, "1"))
            with (
                code.loop("0", end, KEY_BLOCK) as blocks,
                code.loop(first, stop, self.width) as panels,
            ):
                limit = self.limit(panels.index)
                with code.when(blocks.index, limit):
                    self.start(panels.index, first)
                    self.block(blocks.index, limit)
            with code.loop(first, stop, self.width) as panels:
                self.start(panels.index, first)
                self.finish()

    def find_matrices(self, batch: str, head: str) -> dict[str, tuple[str, tuple[str, str]]]:
        """Addresses and strides of what this batch and head read and write."""
        code, kernel = self.code, self.kernel
        shared = code.here(f"udiv i64 {head}, {self.group}")
        views = {
            "query": (kernel.query, head), "key": (kernel.key, shared),
            "value": (kernel.value, shared), "mask": (kernel.mask, head),
            "output": (kernel.output, head),
        }  # fmt: skip
        return {
            role: code.matrix(view, batch, its_head)
            for role, (view, its_head) in views.items()
            if view is not None
        }

    def limit(self, query: str) -> str:
        """The number of keys that a query's block looks at."""
        return self.code.keys_seen(query, self.keys) if self.kernel.causal else self.keys

    def prepare(self) -> None:
        """Words, strides in bytes, and the thread's scratch memory."""
        code, kernel = self.code, self.kernel
        self.batch, self.heads = code.word(kernel.sizes.batch), code.word(kernel.sizes.heads)
        self.group, self.queries = code.word(kernel.sizes.group), code.word(kernel.sizes.queries)
        self.keys, self.inner = code.word(kernel.sizes.keys), code.word(kernel.sizes.width)
        self.outer, self.span = code.word(kernel.sizes.value_width), code.word(kernel.sizes.span)
        code.factor = code.constant(kernel.sizes.factor)
        self.scale = code.constant(kernel.sizes.scale)
        self.blocks = code.ceiling(self.queries, self.span)
        self.last_block = code.sub(self.blocks, "1")
        self.key_rows = row_table(code, code.bytes_of(kernel.key.strides[2]))
        if kernel.value is not None:
            self.value_rows = row_table(code, code.bytes_of(kernel.value.strides[3]))
        # Each panel fetches its share of the next block, spread over its tiles.
        rows = str(self.kernel.tile[0])
        self.longest = code.extreme("umin", str(KEY_BLOCK), self.keys)  # block there is
        size = code.mul(self.longest, str(self.width))
        tiles = code.extreme("umax", "1", code.here(f"udiv i64 {self.longest}, {rows}"))
        self.key_fetch = code.ceiling(size, code.mul(self.span, tiles))
        tiles = code.extreme("umax", "1", code.here(f"udiv i64 {self.outer}, {rows}"))
        self.value_fetch = code.ceiling(size, code.mul(self.span, tiles))
        area = str(KEY_BLOCK * self.width)
        kind = kernel.dtype.llvm
        self.scores = "%scratch"
        self.masked = code.element("%scratch", kind, area)
        self.share = code.element(self.masked, kind, area if kernel.mask is not None else "0")
        self.panels = code.element(self.share, kind, code.mul(self.outer, str(self.width)))
        self.panel_rows = code.add(code.add(self.inner, self.outer), "2")

    # --- a panel of queries ----------------------------------------------------------------------

    def start(self, first: str, item: str) -> None:
        """The memory of the panel of `width` queries from `first`; `item` is the item's first."""
        code, kind = self.code, self.kernel.dtype.llvm
        self.first = first
        self.count = code.sub(self.queries, first)
        at = code.mul(code.sub(first, item), self.panel_rows)
        share = code.mul(code.sub(first, item), self.longest)
        self.fetched = code.here(f"udiv i64 {share}, {self.span}")
        self.largest = code.element(self.panels, kind, at)
        self.total = code.element(self.largest, kind, str(self.width))
        self.turned = code.element(self.total, kind, str(self.width))
        self.sums = code.element(self.turned, kind, code.mul(self.inner, str(self.width)))

    def begin_panel(self) -> None:
        code, kernel = self.code, self.kernel
        self.turn_in("query", self.inner, self.turned)
        for vector in range(self.vectors):
            code.put(self.largest, vector, code.fill(-math.inf))
            code.put(self.total, vector, code.fill(0.0))
        with code.loop("0", code.mul(self.outer, str(self.width)), LANES) as clear:
            code.put(code.element(self.sums, kernel.dtype.llvm, clear.index), 0, code.fill(0.0))

    def turn_in(self, role: str, columns: str, target: str) -> None:
        """Rows of a matrix from the panel's first, transposed: target[column][row]."""
        code = self.code
        source, strides = self.matrices[role]
        source = code.element(source, self.kernel.dtype.llvm, code.mul(self.first, strides[0]))
        code.turn_in(source, strides[0], self.count, columns, target, self.vectors, self.vectors)

    def block(self, first: str, limit: str) -> None:
        """One block of keys: scores, largest, powers, and their product with V."""
        code, kernel = self.code, self.kernel
        size, kind = kernel.dtype.itemsize, kernel.dtype.llvm
        if kernel.causal:
            self.positions = [
                code.lane_positions(code.add(self.first, str(v * LANES)))
                for v in range(self.vectors)
            ]
        count = code.extreme("umin", str(KEY_BLOCK), code.sub(limit, first))
        pitch = str(self.width * size)
        key, (row, column) = self.matrices["key"]
        code.multiply(
            code.element(key, kind, code.mul(first, row)), self.key_rows,
            code.mul(column, str(size)), self.turned, pitch, self.inner, self.scores, pitch, count,
            fetch=self.ahead("key", first, limit, self.inner, self.key_fetch),
        )  # fmt: skip
        if kernel.mask is not None:
            self.turn_mask(first, count)
        before = [code.get(self.largest, v) for v in range(self.vectors)]
        largest = self.find_largest(first, count, before)
        references = [code.reference(value) for value in largest]
        totals = self.powers(count, references)
        decays = []
        for vector in range(self.vectors):
            decay = code.power(before[vector], references[vector])
            total = code.fma(code.get(self.total, vector), decay, totals[vector])
            code.put(self.total, vector, total)
            code.put(self.largest, vector, largest[vector])
            decays.append(decay)
        if kernel.output is None:
            return
        value, (row, column) = self.matrices["value"]
        code.multiply(
            code.element(value, kind, code.mul(first, row)), self.value_rows,
            code.mul(row, str(size)), self.scores, pitch, count, self.share, pitch, self.outer,
            fetch=self.ahead("value", first, limit, self.outer, self.value_fetch),
        )  # fmt: skip
        with code.loop("0", self.outer, 1) as columns:
            at = code.mul(columns.index, str(self.width))
            old, new = code.element(self.sums, kind, at), code.element(self.share, kind, at)
            for vector, decay in enumerate(decays):
                total = code.fma(code.get(old, vector), decay, code.get(new, vector))
                code.put(old, vector, total)

    def ahead(self, role: str, first: str, limit: str, columns: str, rows: str) -> list[str]:
        """This panel's share of the next block of keys, or of the next item's first one."""
        code, kind = self.code, self.kernel.dtype.llvm
        here, (stride, _) = self.matrices[role]
        after = code.add(first, str(KEY_BLOCK))
        more = code.here(f"icmp slt i64 {after}, {limit}")
        here = code.element(here, kind, code.mul(after, stride))
        base = code.here(f"select i1 {more}, ptr {here}, ptr {self.following[role][0]}")
        base = code.element(base, kind, code.mul(self.fetched, stride))
        size = str(self.kernel.dtype.itemsize)
        return [base, code.mul(stride, size), rows, code.mul(columns, size)]

    def turn_mask(self, first: str, count: str) -> None:
        """The mask's part for this panel and block of keys, transposed: [key][query]."""
        code = self.code
        source, strides = self.matrices["mask"]
        start = code.add(code.mul(self.first, strides[0]), first)
        source = code.element(source, self.kernel.dtype.llvm, start)
        code.turn_in(source, strides[0], self.count, count, self.masked, self.vectors, self.vectors)

    def find_largest(self, first: str, count: str, before: Sequence[Value]) -> list[Value]:
        """The largest z of each query so far; writes z where it is not simply the score."""
        code, kernel = self.code, self.kernel
        plain = count
        if kernel.mask is not None:
            plain = "0"
        elif kernel.causal:  # keys up to the panel's first query are seen by all of it
            seen = code.sub(code.add(self.first, "1"), first)
            plain = code.extreme("smax", "0", code.extreme("smin", count, seen))
        best = self.sweep("0", plain, list(before), None)
        if kernel.mask is None and not kernel.causal:
            return best
        return self.sweep(plain, count, best, first)

    def sweep(self, start: str, stop: str, best: list[Value], first: str | None) -> list[Value]:
        code, kernel = self.code, self.kernel
        with code.loop(start, stop, 1, [(v.type, v.text) for v in best]) as keys:
            at = code.mul(keys.index, str(self.width))
            row = code.element(self.scores, kernel.dtype.llvm, at)
            for vector in range(self.vectors):
                z = code.get(row, vector)
                if first is not None:
                    z = self.constrained(z, keys.index, first, vector, at)
                    code.put(row, vector, z)
                old = code.vector(keys.inner[vector])
                keys.next.append(code.select(z > old, z, old).text)
        return [code.vector(register) for register in keys.outer]

    def constrained(self, z: Value, key: str, first: str, vector: int, at: str) -> Value:
        """The score with mask and causality."""
        code, kernel = self.code, self.kernel
        if kernel.mask is not None:
            mask = code.get(code.element(self.masked, kernel.dtype.llvm, at), vector)
            z = code.fma(z, self.scale, mask)
        if kernel.causal:
            position = code.number(code.add(first, key))
            z = code.select(position <= self.positions[vector], z, -math.inf)
        return z

    def powers(self, count: str, references: Sequence[Value]) -> list[Value]:
        """z becomes p; the sums of p."""
        code = self.code
        zeros = [(reference.type, "zeroinitializer") for reference in references]
        with code.loop("0", count, 1, zeros) as keys:
            at = code.mul(keys.index, str(self.width))
            row = code.element(self.scores, self.kernel.dtype.llvm, at)
            for vector, reference in enumerate(references):
                p = code.power(code.get(row, vector), reference)
                code.put(row, vector, p)
                keys.next.append((code.vector(keys.inner[vector]) + p).text)
        return [code.vector(register) for register in keys.outer]

    # --- results ---------------------------------------------------------------------------------

    def finish(self) -> None:
        code, kernel = self.code, self.kernel
        for vector in range(self.vectors):
            inverse = code.inverse(code.get(self.total, vector))
            if kernel.statistics is not None:
                reference = code.reference(code.get(self.largest, vector))
                self.store_statistics((reference, inverse), vector)
            if kernel.output is not None:
                with code.loop("0", self.outer, 1) as columns:
                    at = code.mul(columns.index, str(self.width))
                    place = code.element(self.sums, kernel.dtype.llvm, at)
                    code.put(place, vector, code.get(place, vector) * inverse + 0.0)
        if kernel.output is not None:
            target, strides = self.matrices["output"]
            target = code.element(target, kernel.dtype.llvm, code.mul(self.first, strides[0]))
            code.turn_out(self.sums, self.outer, target, strides[0], self.count, self.vectors)

    def store_statistics(self, values: Sequence[Value], vector: int) -> None:
        """A row of `queries` for each of `values`."""
        code, kernel = self.code, self.kernel
        assert kernel.statistics is not None
        at = code.add(code.mul(code.mul(self.line, str(len(values))), self.queries), self.first)
        place = code.element(code.pointer(kernel.statistics.word), kernel.dtype.llvm, at)
        for value in values:
            code.put_some(place, vector, value, self.count)
            place = code.element(place, kernel.dtype.llvm, self.queries)
