"""Attention of single queries (decoding against a cache of keys) as LLVM text.

The work is to read K and V once, so vectors run along what is contiguous: sixteen keys are turned
in registers to multiply with one element of the query after the other, V's rows are multiplied
as they lie. Each element's chain is that of `emit_attention`, so a query alone gives the bits that
it gives among others.
"""

from __future__ import annotations

import math

from ambos.compiler.attention_loops import KEY_BLOCK, AttentionKernel
from ambos.compiler.attention_text import AttentionCode
from ambos.compiler.emit_contract import ABI
from ambos.compiler.loops import LANES
from ambos.compiler.scalar import vector_type
from ambos.compiler.transpose import transpose
from ambos.compiler.values import Value
from ambos.core.dtype import bool_

PANEL = 4  # vectors of V's columns whose sums stay in registers
AHEAD = 2 * LANES  # keys between those at work and those asked for


def single_scratch(value_width: int) -> int:
    """Elements of scratch memory that a thread needs."""
    return KEY_BLOCK + value_width + PANEL * LANES


def emit_attention_single(kernel: AttentionKernel, name: str) -> str:
    """The text of an LLVM module that defines `name` (ABI in core.program)."""
    writer = Single(kernel, name)
    writer.write()
    code = writer.code
    functions = [text for _, _, text in code.functions.values()]
    return "\n".join([code.function("void", name, ABI), *functions, *code.declarations])


class Single:
    """Writes a kernel whose work items are queries."""

    def __init__(self, kernel: AttentionKernel, name: str) -> None:
        self.kernel = kernel
        self.code = AttentionCode(kernel.dtype, name)
        self.kind, self.size = kernel.dtype.llvm, kernel.dtype.itemsize
        self.type = vector_type(self.kind)

    def write(self) -> None:
        code, kernel = self.code, self.kernel
        sizes = kernel.sizes
        self.keys, self.inner = code.word(sizes.keys), code.word(sizes.width)
        self.outer = code.word(sizes.value_width)
        code.factor, self.scale = code.constant(sizes.factor), code.constant(sizes.scale)
        self.scores = "%scratch"
        self.sums = code.element("%scratch", self.kind, str(KEY_BLOCK))
        extents = [code.word(sizes.batch), code.word(sizes.heads)]
        with code.loop("%begin", "%end", 1) as items:
            batch, head = code.decode(items.index, extents)
            self.find(batch, head, code.here(f"udiv i64 {head}, {code.word(sizes.group)}"))
            with code.loop("0", self.outer, LANES) as clear:
                code.put(code.element(self.sums, self.kind, clear.index), 0, code.fill(0.0))
            end = code.extreme("umin", self.keys, "1") if kernel.causal else self.keys
            start = [(self.type, code.fill(-math.inf).text), (self.type, "zeroinitializer")]
            with code.loop("0", end, KEY_BLOCK, start) as blocks:
                before, total = (code.vector(register) for register in blocks.inner)
                largest, total = self.block(blocks.index, end, before, total)
                blocks.next = [largest.text, total.text]
            largest, total = (code.vector(register) for register in blocks.outer)
            self.finish(items.index, largest, total)

    def find(self, batch: str, head: str, shared: str) -> None:
        """Addresses of this query's row and of the matrices it meets."""
        code, kernel = self.code, self.kernel
        self.key, (self.key_row, _) = code.matrix(kernel.key, batch, shared)
        if kernel.value is not None:
            self.value, (self.value_row, _) = code.matrix(kernel.value, batch, shared)
        self.rows = {}
        views = {"query": kernel.query, "mask": kernel.mask, "output": kernel.output}
        for role, view in views.items():
            if view is not None:
                self.rows[role], _ = code.matrix(view, batch, head)

    # --- a block of keys -------------------------------------------------------------------------

    def block(self, first: str, end: str, before: Value, total: Value) -> tuple[Value, Value]:
        """The largest z and the denominator after the keys of a block."""
        code = self.code
        count = code.extreme("umin", str(KEY_BLOCK), code.sub(end, first))
        with code.loop("0", count, LANES, [(before.type, before.text)]) as groups:
            key, left = code.add(first, groups.index), code.sub(count, groups.index)
            z = self.constrained(self.score(key, code.sub(end, key)), key, left)
            code.put(code.element(self.scores, self.kind, groups.index), 0, z)
            old = code.vector(groups.inner[0])
            groups.next = [code.select(z > old, z, old).text]
        largest = self.across(code.vector(groups.outer[0]))
        reference = code.reference(largest)
        with code.loop("0", count, LANES) as groups:
            row = code.element(self.scores, self.kind, groups.index)
            code.put(row, 0, code.power(code.get(row, 0), reference))
        decay = code.power(before, reference)
        share = self.share(first, count, decay)
        return largest, code.fma(total, decay, share)

    def score(self, key: str, left: str) -> Value:
        """The scores of sixteen keys; those from number `left` on are copies of the last."""
        code = self.code
        last = code.sub(code.extreme("umin", left, str(LANES)), "1")
        rows = []
        for lane in range(LANES):
            row = code.add(key, code.extreme("umin", str(lane), last))
            rows.append(code.element(self.key, self.kind, code.mul(row, self.key_row)))
        distance = code.mul(self.key_row, str(AHEAD))
        whole = code.here(f"and i64 {self.inner}, {-LANES}")
        sums: list[str] = ["zeroinitializer"]
        for start, stop, full in (("0", whole, True), (whole, self.inner, False)):
            with code.loop(start, stop, LANES, [(self.type, sums[0])]) as columns:
                mask = None
                if not full:
                    mask = code.lanes_below(code.sub(self.inner, columns.index))
                lines = []
                for row in rows:
                    address = code.element(row, self.kind, columns.index)
                    lines.append(code.load_lanes(address, self.kernel.dtype, mask))
                    if full:
                        code.prefetch(code.element(address, self.kind, distance), 3)
                sum_ = columns.inner[0]
                query = code.element(self.rows["query"], self.kind, columns.index)
                for number, line in enumerate(transpose(code, lines, self.kind, self.size)):
                    if full:
                        factor = code.splat_one(code.element(query, self.kind, str(number)))
                        sum_ = self.multiply_add(factor, line, sum_)
                        continue
                    inside = code.here(f"icmp slt i64 {code.add(columns.index, str(number))}, "
                                       f"{self.inner}")  # fmt: skip
                    place = code.here(f"select i1 {inside}, ptr "
                                      f"{code.element(query, self.kind, str(number))}, "
                                      f"ptr {query}")  # fmt: skip
                    more = self.multiply_add(code.splat_one(place), line, sum_)
                    sum_ = code.here(f"select i1 {inside}, {self.type} {more}, {self.type} {sum_}")
                columns.next = [sum_]
            sums = columns.outer
        return code.vector(sums[0])

    def multiply_add(self, a: Value, b: str, c: str) -> str:
        code = self.code
        return code.fma(a, code.vector(b), code.vector(c)).text

    def constrained(self, z: Value, key: str, left: str) -> Value:
        """Scores with the mask; minus infinity for keys that do not exist or take part."""
        code = self.code
        lanes = code.lanes_below(left)
        if self.kernel.mask is not None:
            address = code.element(self.rows["mask"], self.kind, key)
            mask = code.vector(code.load_lanes(address, self.kernel.dtype, lanes))
            z = code.fma(z, self.scale, mask)
        exists = code.value(lanes, bool_, True, code.depth)
        return code.select(exists, z, -math.inf)

    def across(self, x: Value) -> Value:
        """The largest lane, in every lane."""
        code = self.code
        for half in (8, 4, 2, 1):
            order = ", ".join(f"i32 {(lane + half) % LANES}" for lane in range(LANES))
            other = code.vector(code.here(
                f"shufflevector {self.type} {x.text}, {self.type} poison, "
                f"{vector_type('i32')} <{order}>"
            ))  # fmt: skip
            x = code.select(x > other, x, other)
        return x

    def share(self, first: str, count: str, decay: Value) -> Value:
        """The block's denominator; its product with V joins the sums."""
        code = self.code
        if self.kernel.value is None:
            with code.loop("0", count, 1, [(self.type, "zeroinitializer")]) as keys:
                p = code.splat_one(code.element(self.scores, self.kind, keys.index))
                keys.next = [(code.vector(keys.inner[0]) + p).text]
            return code.vector(keys.outer[0])
        block = code.element(self.value, self.kind, code.mul(first, self.value_row))
        zero = (self.type, "zeroinitializer")
        with code.loop("0", self.outer, PANEL * LANES, [zero]) as panels:
            masks = [
                code.lanes_below(code.sub(code.sub(self.outer, panels.index), str(v * LANES)))
                for v in range(PANEL)
            ]
            start = code.element(block, self.kind, panels.index)
            carried = [("ptr", start), *[zero] * (PANEL + 1)]
            with code.loop("0", count, 1, carried) as keys:
                row, total, *sums = keys.inner
                p = code.splat_one(code.element(self.scores, self.kind, keys.index))
                keys.next = [
                    code.here(f"getelementptr {self.kind}, ptr {row}, i64 {self.value_row}"),
                    (code.vector(total) + p).text,
                ]
                ahead = code.element(row, self.kind, code.mul(self.value_row, str(AHEAD)))
                for v, (sum_, mask) in enumerate(zip(sums, masks, strict=True)):
                    line = code.load_lanes(
                        code.element(row, self.kind, str(v * LANES)), self.kernel.dtype, mask
                    )
                    code.prefetch(code.element(ahead, self.kind, str(v * LANES)), 3)
                    keys.next.append(self.multiply_add(p, line, sum_))
            place = code.element(self.sums, self.kind, panels.index)
            for v, sum_ in enumerate(keys.outer[2:]):
                new = code.vector(sum_)
                code.put(place, v, code.fma(code.get(place, v), decay, new))
            panels.next = [keys.outer[1]]
        return code.vector(panels.outer[0])

    # --- results ---------------------------------------------------------------------------------

    def finish(self, item: str, largest: Value, total: Value) -> None:
        code, kernel = self.code, self.kernel
        inverse = code.inverse(total)
        if kernel.statistics is not None:
            place = code.element(
                code.pointer(kernel.statistics.word), self.kind, code.mul(item, "2")
            )
            code.put_some(place, 0, code.reference(largest), "1")
            code.put_some(code.element(place, self.kind, "1"), 0, inverse, "1")
        if kernel.output is not None:
            with code.loop("0", self.outer, LANES) as columns:
                value = code.get(code.element(self.sums, self.kind, columns.index), 0)
                place = code.element(self.rows["output"], self.kind, columns.index)
                left = code.sub(self.outer, columns.index)
                code.put_some(place, 0, value * inverse + 0.0, left)
