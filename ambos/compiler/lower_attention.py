"""Attention as one kernel: operands are read where they lie, results come out as
(batch, length, heads, width), the order in which a projection wants them next."""

from __future__ import annotations

from ambos.compiler import loops
from ambos.compiler.attention_loops import (
    QUERY_BLOCK,
    ROW_BLOCK,
    AttentionGradientKernel,
    AttentionKernel,
    Sizes,
    View,
    attention_tile,
)
from ambos.compiler.emit_attention import forward_scratch
from ambos.compiler.emit_attention_gradient import gradient_scratch
from ambos.compiler.emit_attention_single import single_scratch
from ambos.compiler.finish import Words, address_of
from ambos.compiler.group import Group
from ambos.compiler.launches import Context, Step
from ambos.compiler.layout import Memory, strides_in_order
from ambos.compiler.space import Space
from ambos.compiler.symbolic import NeedsBuffer, Read, TapeBuilder
from ambos.core.affine import Affine, Misaligned
from ambos.core.open import is_below, listed, shown
from ambos.core.shape import row_major
from ambos.graph.node import Node
from ambos.ops.attention import Attend
from ambos.ops.elementary.exponential import LOG2_E

MAX_SPAN = 256  # queries of a forward item: its panels share each block of keys
GRADIENT_SPAN = 512  # queries that share a block of keys in the backward pass
ITEMS_PER_THREAD = 3  # so that a slow thread delays little
SERIAL = 1 << 17  # multiply-adds that are not worth waking a thread


def lower_attention(group: Group, context: Context) -> list[Step]:
    """The step of a forward or backward pass; the group's members are its results."""
    backward = len(group.members[0].attrs) > 2
    return [(Backward if backward else Forward)(group, context).lower()]


def query_span(matrices: int, queries: int, threads: int) -> int:
    """Queries of a work item: many, so that keys and values are read seldom, but enough items."""
    span = MAX_SPAN
    while span > QUERY_BLOCK and matrices * -(-queries // span) < ITEMS_PER_THREAD * threads:
        span //= 2
    return min(span, -(-max(queries, 1) // QUERY_BLOCK) * QUERY_BLOCK)


class Lowering:
    """What both passes share: words, and views of operands and results."""

    def __init__(self, group: Group, context: Context) -> None:
        self.context, self.words = context, Words()
        self.members = {self.role(member): member for member in group.members}
        self.node = group.members[-1]
        self.inputs, self.attrs = self.node.inputs, self.node.attrs
        assert isinstance(self.node.op, Attend)
        self.mask = self.node.op.mask_of(self.inputs)

    @staticmethod
    def role(node: Node) -> str:
        return str(node.attrs[2]) if len(node.attrs) > 2 else node.op.name

    def operands(self, *wanted: tuple[Node, bool]) -> list[View]:
        """Each as `operand` finds it. All that do not lie well are asked for together: planning
        starts again for each time that something is missing."""
        found: list[View] = []
        missing: list[Node] = []
        for node, unit in wanted:
            try:
                found.append(self.operand(node, unit))
            except NeedsBuffer as problem:
                missing += problem.nodes
        if missing:
            raise NeedsBuffer(*missing)
        return found

    def operand(self, node: Node, unit: bool) -> View:
        """`node` (rank 4) where it lies; with `unit` its columns must be neighbours."""
        space = Space(node.shape)
        builder = TapeBuilder(space, self.context.is_stored, None, self.context.is_contiguous)
        try:
            read = builder.tape[builder.value(node, tuple(space.dims))]
        except Misaligned:
            raise NeedsBuffer(node) from None
        if not isinstance(read, Read) or read.mask is not None or read.gathers:
            raise NeedsBuffer(node)
        memory = self.context.memories[read.node]
        address = address_of(read, memory)
        if unit and address.coefficient(3) != 1:
            raise NeedsBuffer(node)
        return self.view(memory, address)

    def view(self, memory: Memory, address: Affine) -> View:
        back = address.offset < 0 or any(step < 0 for _, step in address.terms)
        pointer = self.words.pointer(memory, 0 if back else address.offset)
        offset = self.words.add(address.offset) if back else None
        batch, head, row, column = (self.words.add(address.coefficient(a)) for a in range(4))
        return View(loops.Buffer(pointer, memory.dtype), offset, (batch, head, row, column))

    def result(self, role: str) -> View | None:
        """A result of rank 4, if it is wanted."""
        node = self.members.get(role)
        if node is None or node not in self.context.needed:
            return None
        order = self.context.requests.get(node, [0, 2, 1, 3])
        if node in self.context.forced or order[-1] != 3:
            order = [0, 1, 2, 3]
        memory = self.context.allocate(node, strides_in_order(node.shape, order))
        return self.view(memory, memory.address(Space(node.shape).dims))

    def sizes(self, *values: int | float) -> Sizes:
        return Sizes(*[self.words.add(value) for value in values])


class Forward(Lowering):
    """Attention and its statistics, or one of them."""

    def lower(self) -> Step:
        q, k = self.inputs[:2]
        output = self.members.get("attention")
        v = None if output is None else output.inputs[2]
        batch, heads, queries, width = q.shape
        keys, value_width = k.shape[2], 0 if v is None else v.shape[3]
        scale, causal = self.attrs
        masked = self.mask is not None
        single = queries == 1
        wanted = [(q, True), (k, single)]
        wanted += [] if v is None else [(v, single)]
        wanted += [] if self.mask is None else [(self.mask, True)]
        query, key, *rest = self.operands(*wanted)
        value = None if v is None else rest[0]
        mask = None if self.mask is None else rest[-1]
        statistics = self.members.get("attention_statistics")
        found = None
        if statistics is not None:
            memory = self.context.allocate(statistics, row_major(statistics.shape))
            found = loops.Buffer(self.words.pointer(memory), memory.dtype)
        span = 1 if single else query_span(batch * heads, queries, self.context.threads)
        sizes = self.sizes(
            batch, heads, heads // k.shape[1], queries, keys, width, value_width, span,
            float(scale), LOG2_E if masked else float(scale) * LOG2_E,
        )  # fmt: skip
        kernel = AttentionKernel(
            dtype=q.dtype,
            causal=causal,
            single=single,
            sizes=sizes,
            query=query,
            key=key,
            value=value,
            mask=mask,
            output=self.result("attention"),
            statistics=found,
            tile=attention_tile(self.context.features, q.dtype),
            num_words=len(self.words.values),
        )
        items = batch * heads * -(-queries // span)
        scratch = forward_scratch(span, width, value_width, masked)
        if single:
            scratch = single_scratch(value_width)
        work = batch * heads * queries * keys * (width + value_width)
        label = f"attention {listed(q.shape)} x {shown(keys)}"
        nbytes = scratch * q.dtype.itemsize
        return Step(kernel, self.words.values, items, nbytes, is_below(work, SERIAL), label)


class Backward(Lowering):
    """The gradients by Q, K and V, or some of them."""

    def lower(self) -> Step:
        q, k, v, statistics, g, delta = self.inputs[:6]
        batch, heads, queries, width = q.shape
        shared, keys, value_width = v.shape[1:]
        scale, causal = self.attrs[:2]
        wanted = [(q, True), (k, True), (v, False), (statistics, False), (g, True), (delta, False)]
        masks = [] if self.mask is None else [(self.mask, True)]
        query, key, value, totals, gradient, products, *mask = self.operands(*wanted, *masks)
        span = min(GRADIENT_SPAN, -(-max(queries, 1) // ROW_BLOCK) * ROW_BLOCK)
        factor = LOG2_E if self.mask is not None else float(scale) * LOG2_E
        sizes = self.sizes(
            batch, heads, heads // shared, queries, keys, width, value_width, span, float(scale),
            factor,
        )  # fmt: skip
        tile = attention_tile(self.context.features, q.dtype)
        kernel = AttentionGradientKernel(
            dtype=q.dtype,
            causal=causal,
            sizes=sizes,
            query=query,
            key=key,
            value=value,
            statistics=totals,
            gradient=gradient,
            delta=products,
            mask=mask[0] if mask else None,
            query_gradient=self.result("query"),
            key_gradient=self.result("key"),
            value_gradient=self.result("value"),
            tile=tile,
            num_words=len(self.words.values),
        )
        scratch = gradient_scratch(tile, span, keys, width, value_width) * q.dtype.itemsize
        work = batch * heads * queries * keys * (width + value_width)
        label = f"attention gradient {listed(q.shape)} x {shown(keys)}"
        return Step(
            kernel, self.words.values, batch * shared, scratch, is_below(work, SERIAL), label
        )
