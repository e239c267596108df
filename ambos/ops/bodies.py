"""Making bodies: arguments, what depends on them, and what a body takes from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ambos.core.shape import Shape
from ambos.graph.body import Body
from ambos.graph.constants import is_constant
from ambos.graph.node import Node, toposort, tracking
from ambos.graph.rewrite import rebuild, substitute
from ambos.ops.arithmetic import where
from ambos.ops.call import Call
from ambos.ops.indexing import Index
from ambos.ops.kinds import constant
from ambos.ops.matrices import identity
from ambos.ops.movement import concat, expand, permute, reshape, slice_
from ambos.ops.sources import argument

VIEWS = (reshape, permute, expand)


def argument_like(node: Node, shape: Shape | None = None) -> Node:
    """An argument for what `node` is (of another shape); gradients flow through if they can."""
    tracked = node.dtype.is_inexact and tracking.enabled
    return argument.leaf(node.shape if shape is None else shape, node.dtype, tracked)


def zeros_like(node: Node) -> Node:
    return constant(0, node.dtype, node.shape)


def filled(nodes: Iterable[Node | None], like: Iterable[Node]) -> list[Node]:
    """`nodes`, zeros for those that are None."""
    return [
        zeros_like(model) if node is None else node for node, model in zip(nodes, like, strict=True)
    ]


def depending(on: Iterable[Node], roots: Sequence[Node]) -> set[Node]:
    """The nodes below `roots` that are among `on` or depend on them."""
    found = set(on)
    for node in toposort(roots, stop=found.__contains__):
        if node not in found and any(source in found for source in node.inputs):
            found.add(node)
    return found


def enclose(
    arguments: Sequence[Node], results: Sequence[Node], inside: Callable[[Node], bool]
) -> tuple[list[Node], Body]:
    """(operands, body): the body takes `operands` and then `arguments`.

    Operands are the nodes that are not `inside` and that inner nodes, or results, read. Numbers
    stay inside, and so does the spreading of an operand over a shape.
    """
    found: dict[Node, Node] = {}

    def is_edge(node: Node) -> bool:
        return not inside(node)

    edges = [node for node in toposort(results, stop=is_edge) if is_edge(node)]
    for node in edges:
        if not is_constant(node):
            base = _below_views(node)
            found.setdefault(base, argument_like(base))
    body = Body((*found.values(), *arguments), substitute(results, found))
    return list(found), body


def _below_views(node: Node) -> Node:
    """What `node` shows in another shape. An alias, which looks like a reshape that changes
    nothing, has an identity that gradients ask for."""
    while node.op in VIEWS and node.value is None:
        (source,) = node.inputs
        if source.shape == node.shape or source.tracked != node.tracked:
            break
        node = source
    return node


def pruned(operands: Sequence[Node], bodies: Sequence[Body]) -> tuple[list[Node], list[Body]]:
    """Operands of bodies that all take them, without those that none reads."""
    used: set[Node] = set()
    for body in bodies:
        used.update(toposort(body.results))
    kept = [any(body.arguments[i] in used for body in bodies) for i in range(len(operands))]
    return [node for node, keep in zip(operands, kept, strict=True) if keep], [
        Body([node for node, keep in zip(body.arguments, kept, strict=True) if keep], body.results)
        for body in bodies
    ]


def guarded(results: Sequence[Node], holds: Node) -> list[Node]:
    """`results` that look up position 0, and hand identities to functions of matrices, while the
    bool scalar `holds` is False: what nobody gets to see must not be refused for a position out of
    range or a singular matrix."""

    def either(x: Node, harmless: Node) -> Node:
        flag = expand(reshape(holds, attrs=((1,) * x.rank,)), attrs=(x.shape,))
        return where(flag, x, harmless)

    new: dict[Node, Node] = {}
    for node in toposort(results):
        inputs = tuple(new[source] for source in node.inputs)
        if isinstance(node.op, Index) and node.op.bounds(node)[1]:
            x, index, *rest = inputs
            inputs = (x, either(index, zeros_like(index)), *rest)
        elif isinstance(node.op, Call):
            inputs = tuple(
                either(x, identity(x.dtype, x.shape)) if x.rank > 1 and x.dtype.is_inexact else x
                for x in inputs
            )
        new[node] = rebuild(node, inputs)
    return [new[node] for node in results]


def part_of(node: Node, start: int, stop: int, step: int = 1) -> Node:
    """Rows `start`, `start` + `step`, ... below `stop` of the first axis."""
    shape = node.shape
    if (start, stop, step) == (0, shape[0], 1):
        return node
    zeros = (0,) * (node.rank - 1)
    steps = (step, *(1,) * (node.rank - 1))
    return slice_(node, attrs=((start, *zeros), (stop, *shape[1:]), steps))


def as_row(node: Node) -> Node:
    """`node` with a first axis of size 1."""
    return reshape(node, attrs=((1, *node.shape),))


def shifted(first: Node, stack: Node, reverse: bool) -> Node:
    """The carry that each step of a scan starts from: `first`, then what each step gave, which
    is `stack`."""
    length = stack.shape[0]
    if length == 1:
        return as_row(first)
    if reverse:
        return concat(part_of(stack, 1, length), as_row(first), attrs=(0,))
    return concat(as_row(first), part_of(stack, 0, length - 1), attrs=(0,))


def swapped(node: Node) -> Node:
    """The first two axes exchanged: examples and steps."""
    return permute(node, attrs=((1, 0, *range(2, node.rank)),))
