"""Which nodes own a buffer: results, what other kernels read, and what is dear to compute twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ambos.compiler.group import (
    OWN_KERNELS,
    SCATTERS,
    WHOLE,
    is_leaf,
    kind_of,
    moved_base,
    reshaped,
    view_base,
    within_unit_axes,
)
from ambos.compiler.layout import Memory
from ambos.compiler.reasons import ROW_LAYOUT, TAPPED, WOVEN, Reasons
from ambos.compiler.space import Space
from ambos.compiler.symbolic import Read, TapeBuilder, build
from ambos.graph.node import Node, consumers
from ambos.ops.kinds import Pointwise

CHEAP = 3  # recomputing up to so many additions costs less than a store and a load
LONG = 512  # additions an element may take in one kernel, so that kernels compile fast
DEEP = 96  # operations on top of each other in one kernel
KINDS = {"reduce": "a reduction", "contract": "a contraction"}  # reasons for a buffer
MANY_TAPS = 4  # so many shifted reads of one operand want a kernel that walks strips of pixels
MANY_PARTS = 3  # so many joined parts are worth a buffer; fewer are chosen by masks
MOST_MASKS = 24  # of joins within joins, which double a level, in one kernel


class Stored:
    """The nodes of a graph that own a buffer, and what the others cost."""

    def __init__(
        self, roots: Sequence[Node], forced: Iterable[Node], order: Sequence[Node],
        reasons: Reasons | None,
    ) -> None:  # fmt: skip
        self.roots, self.forced, self.order, self.reasons = roots, forced, order, reasons
        self.users = consumers(order)
        self.nodes: set[Node] = set()
        self.wholes: set[Node] = set()  # stored nodes whose parts are computed in place
        self.woven: set[Node] = set()  # nodes computed from an interleave that is not stored
        self.woven_into: dict[Node, Node] = {}  # parts of a stored interleave
        self.taps: dict[Node, int] = {}  # steps of fma between a node and the stored ones
        self.cost: dict[Node, int] = {}
        self.masks: dict[Node, int] = {}  # parts of the joins between a node and the stored ones
        self.depth: dict[Node, int] = {}  # operations between a node and the stored ones
        self.choose()

    def keep(self, node: Node, why: str) -> None:
        """`node` owns a buffer."""
        self.nodes.add(node)
        if self.reasons is not None:
            self.reasons.keep(node, why)

    def choose(self) -> None:
        """Fill everything in."""
        for node in self.roots:
            if not is_leaf(node):
                self.keep(node, "result asked for")
        for node in self.forced:
            if not is_leaf(node):
                self.keep(node, ROW_LAYOUT)
        for node in self.order:
            kind = kind_of(node)
            if kind in ("reduce", "scan", *OWN_KERNELS) or node.op.name in SCATTERS:
                self.keep(node, KINDS.get(kind, f"a {node.op.name}"))
            if kind in OWN_KERNELS:
                for source in node.inputs:
                    source = reshaped(source) if kind == "control" else source
                    self.store_operand(source, f"operand of a {node.op.name}", kind in WHOLE)
            if node.op.name == "fma":
                self.store_operand(moved_base(node.inputs[0]), "read for each tap", exact=True)
            if node.op.name == "detach" and not is_in_order(node):
                self.keep(node, "factors that are not side by side")
            if node.op.name in ("take", "gather"):
                self.store_operand(node.inputs[0], "gathered from at any index", exact=True)
            if node.op.name == "scatter_add" and node.inputs[2].size > 1:
                self.store_operand(node.inputs[1], "index of a scatter_add")
            if node.op.name == "interleave" and all(view_base(p).inputs for p in node.inputs):
                self.store_parts(node, "woven from parts")
            if node.op.name == "concat" and len(node.inputs) >= MANY_PARTS:
                self.store_parts(node, "joined from parts")
        for node in self.order:
            self.weigh(node)

    def store_parts(self, whole: Node, why: str) -> None:
        """`whole` owns a buffer into which its inputs are computed."""
        self.keep(whole, why)
        self.wholes.add(whole)
        for part in whole.inputs:
            part, _ = within_unit_axes(part)
            if whole.op.name == "interleave":
                self.woven_into.setdefault(part, whole)
            if view_base(part) is part and part.op.name not in ("input", "constant", "iota"):
                self.keep(part, f"computed within the {whole.op.name} around it")

    def is_tapped(self, nodes: Iterable[Node]) -> bool:
        """Does computing one of `nodes` read many taps?"""
        return any(self.taps[node] >= MANY_TAPS for node in nodes)

    def woven_from(self, nodes: Iterable[Node]) -> set[Node]:
        """What `nodes` are written into, side by side with others."""
        return {self.woven_into[node] for node in nodes if node in self.woven_into}

    def store_operand(self, node: Node, why: str, exact: bool = False) -> None:
        base = node if exact else view_base(node)
        if base.op.name not in ("input", "constant", "iota") or (exact and base.op.name != "input"):
            if base.op.name == "pad" and not exact:
                self.store_parts(base, why)
            else:
                self.keep(base, why)

    def weigh(self, node: Node) -> None:
        """What computing `node` from stored nodes costs, in additions; stores it where that is
        dear to do twice."""
        op = node.op
        if op.name == "interleave" or any(
            s in self.woven and s not in self.nodes for s in node.inputs
        ):
            self.woven.add(node)
            if kind_of(node) == "reduce":
                self.keep(node.inputs[0], WOVEN)
        taps = max((self.taps[s] for s in node.inputs if s not in self.nodes), default=0)
        self.taps[node] = taps + (op.name == "fma")
        if taps >= MANY_TAPS and kind_of(node) == "reduce":
            self.keep(node.inputs[0], TAPPED)
        cost = op.cost if isinstance(op, Pointwise) and op.kind == "pointwise" else 0
        for source in node.inputs:
            inlined = 0 if source in self.nodes else self.cost[source]
            if op.name == "expand" and source.size == 1:
                inlined = 0  # computed once, outside the loops
            repeats = op.name == "window" or (op.name == "expand" and node.size > source.size > 1)
            if repeats and inlined > 1:
                self.keep(value_below(source), f"read many times over by {op.name}")
                inlined = 0
            cost += inlined
        self.cost[node] = cost
        below = [self.depth[s] for s in node.inputs if s not in self.nodes]
        self.depth[node] = 1 + max(below, default=0)
        masks = [self.masks[s] for s in node.inputs if s not in self.nodes]
        joins = op.name == "concat"
        self.masks[node] = len(node.inputs) + sum(masks) if joins else max(masks, default=0)
        uses = len(set(self.users[node]))
        shared = uses > 1 and cost > CHEAP and kind_of(node) != "random"
        if node.inputs and shared:
            self.keep(node, f"needed by {uses} consumers and dear (worth {cost} additions)")
        elif joins and self.masks[node] > MOST_MASKS:
            self.keep(node, "enough joined parts for one kernel")
        elif node.inputs and (cost > LONG or self.depth[node] > DEEP):
            self.keep(node, "enough operations for one kernel")


def value_below(node: Node) -> Node:
    base = view_base(node)
    return base if base.inputs else node


def is_in_order(copy: Node) -> bool:
    """Are the elements of `copy` neighbours in a program's input along the last axis?"""
    (source,), space = copy.inputs, Space(copy.shape)
    if not copy.rank:
        return True
    if not is_leaf(moved_base(source)):
        return False
    builder, _ = build(
        space,
        lambda b: [b.value(source, tuple(b.space.dims))],
        lambda s: TapeBuilder(s, is_leaf),
    )
    (read,) = (symbol for symbol in builder.tape if isinstance(symbol, Read))
    leaf, place = read.node, read.place
    if place is None:
        return False
    address = Memory(leaf.dtype, leaf.shape, leaf.attrs[1]).address(place)
    return [address.coefficient(axis) for axis in space.axes_of(copy.rank - 1)] == [1]
