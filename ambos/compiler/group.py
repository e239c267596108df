"""Groups of nodes that one kernel computes, and what kinds of nodes there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ambos.core.affine import Affine
from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.ops.attention import Attend
from ambos.ops.kinds import Move
from ambos.ops.reductions import Reduce

WHOLE = ("sort", "call", "control")  # read row-major, never through a view
OWN_KERNELS = ("contract", "attention", *WHOLE)
# Ops that write in order.
SCATTERS = ("scatter_add", "scatter_elements", "scatter_fold", "put", "last_writer")
VIEWS = ("reshape", "permute", "expand", "slice", "flip", "window", "detach", "afresh")


@dataclass(eq=False, slots=True)
class Group:
    """Nodes computed by one kernel. `shape` is the full iteration space, `reduced` its reduced
    axes; `members` are in topological order."""

    kind: str  # "loop", "parts", "scatter", "scan" or one of OWN_KERNELS
    shape: Shape
    reduced: Shape
    members: list[Node]
    inputs: set[Node] = field(default_factory=set)  # stored nodes of other groups
    before: set[Group] = field(default_factory=set)  # every group that must run earlier
    weight: int = 0  # additions an element takes, over all members
    depth: int = 0  # operations on top of each other, at most
    columns: list[Node] = field(default_factory=list)  # members: sums over the kept axes, and after

    def target(self, node: Node, dims: Sequence[Affine]) -> tuple[Affine, ...]:
        """The index of member `node` in a space whose dimensions are `dims`."""
        if node.shape == self.shape and kind_of(node) != "reduce":
            return tuple(dims)
        outer = [d for a, d in enumerate(dims) if a not in self.reduced]
        sizes = [n for a, n in enumerate(self.shape) if a not in self.reduced]
        if node.shape == tuple(sizes):
            return tuple(outer)
        rest = iter(d for d, n in zip(outer, sizes, strict=True) if n != 1)
        return tuple(Affine() if n == 1 else next(rest) for n in node.shape)

    def nodes(self, stored: set[Node]) -> list[Node]:
        """Members and what is computed on the way to them from other groups' `stored` nodes."""
        found = dict.fromkeys(self.members)
        todo = list(found)
        while todo:
            for source in todo.pop().inputs:
                if source.inputs and source not in stored and source not in found:
                    found[source] = None
                    todo.append(source)
        return list(found)


def kind_of(node: Node) -> str:
    return str(getattr(node.op, "kind", ""))


def fold_of(node: Node) -> str:
    """The operation of a reduction in loop IR (a contraction's parts are added up)."""
    if kind_of(node) == "contract":
        return "add"
    assert isinstance(node.op, Reduce)
    return node.op.fold


def group_kind(node: Node) -> str:
    if node.op.name in SCATTERS:
        return "scatter"
    kind = kind_of(node)
    return kind if kind in ("scan", *OWN_KERNELS) else "loop"


def same_call(a: Node, b: Node) -> bool:
    """Do both come out of one kernel: positions and values of a sort, results of one call, loop or
    branch?"""
    if kind_of(a) != "sort":
        return a.op is b.op and a.inputs == b.inputs and a.attrs[1:] == b.attrs[1:]
    return a.inputs == b.inputs and a.attrs == b.attrs


def same_attention(a: Node, b: Node) -> bool:
    """Do both come out of one kernel: result and statistics, or gradients by several inputs?"""
    if a.attrs[:2] != b.attrs[:2] or (len(a.attrs) > 2) != (len(b.attrs) > 2):
        return False
    if len(a.attrs) > 2:
        return a.inputs == b.inputs
    return _scored(a) == _scored(b) and a.op is not b.op


def _scored(node: Node) -> list[Node | None]:
    """What the scores of an attention are computed from."""
    assert isinstance(node.op, Attend)
    return [*node.inputs[:2], node.op.mask_of(node.inputs)]


def is_leaf(node: Node) -> bool:
    return node.op.name == "input"


def recomputed(order: Sequence[Node]) -> set[Node]:
    """Those of `order`, which lists inputs first, that are computed again from what there is
    afresh, and from nothing else."""
    found: set[Node] = set()
    fixed: set[Node] = set()  # numbers, wherever they are computed
    for node in order:
        if node.op.name == "afresh":
            found.add(node)
        elif not node.inputs:
            if not is_leaf(node):
                fixed.add(node)
        elif all(source in fixed for source in node.inputs):
            fixed.add(node)
        elif all(source in found or source in fixed for source in node.inputs):
            found.add(node)
    return found


def view_base(node: Node) -> Node:
    """What a chain of pure views looks at."""
    while node.op.name in VIEWS:
        node = node.inputs[0]
    return node


def reshaped(node: Node) -> Node:
    """What a chain of reshapes shows in another shape: row-major, it is the same memory."""
    while node.op.name == "reshape":
        node = node.inputs[0]
    return node


def within_unit_axes(node: Node) -> tuple[Node, list[int]]:
    """What `node` is but for axes of size 1 that it adds (or `node` itself), and which axes of
    `node` that has."""
    kept: list[int] = []
    if node.op.name == "reshape":
        source = node.inputs[0]
        for axis, extent in enumerate(node.shape):
            if len(kept) < source.rank and extent == source.shape[len(kept)]:
                kept.append(axis)
            elif extent != 1:
                break
        else:
            if len(kept) == source.rank:
                return source, kept
    return node, list(range(node.rank))


def moved_base(node: Node) -> Node:
    """What a chain of movements of one operand, padding as well, moves: a value or a copy."""
    while isinstance(node.op, Move) and len(node.inputs) == 1 and node.op.name != "detach":
        node = node.inputs[0]
    return node
