"""Adding up the shares of a gradient that come from the several uses of one value.

Two patterns are worth more than a chain of additions. A value that was cut into pieces gets its
gradient back as pieces, which are joined instead of being padded to full size and added. And a
weight that was used at every step of a recurrence gets one contraction over all steps instead of
one for each: contract(a1, b1) + contract(a2, b2) + ... = contract(a1|a2|..., b1|b2|...).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from ambos.graph.node import Node
from ambos.ops.arithmetic import add
from ambos.ops.contraction import Spec, contract
from ambos.ops.kinds import constant
from ambos.ops.movement import concat, reshape

FEWEST = 3  # so many contractions are worth copies of their operands


def total_of(shares: Sequence[Node]) -> Node:
    """The sum of `shares`, in order but for what can be joined."""
    if len(shares) == 1:
        return shares[0]
    return reduce(add, merge_contractions(join_pieces(shares)))


def join_pieces(shares: Sequence[Node]) -> list[Node]:
    """Pads whose insides lie one behind the other along an axis become one concatenation."""
    pads = [node for node in shares if node.op.name == "pad"]
    for axis in range(shares[0].rank) if len(pads) > 1 else ():
        pieces = sorted((node for node in pads if cuts_only(node, axis)),
                        key=lambda node: node.attrs[0][axis])  # fmt: skip
        ends = [node.attrs[0][axis] + node.inputs[0].shape[axis] for node in pieces]
        starts = [node.attrs[0][axis] for node in pieces[1:]]
        if len(pieces) > 1 and all(a <= b for a, b in zip(ends, starts, strict=False)):
            rest = [node for node in shares if node not in pieces]
            return [*rest, joined(pieces, axis)]
    return list(shares)


def cuts_only(node: Node, axis: int) -> bool:
    """Does the pad put zeros around its input along `axis` only?"""
    inner = node.inputs[0].shape
    return all(a == axis or n == m for a, (n, m) in enumerate(zip(inner, node.shape, strict=True)))


def joined(pieces: Sequence[Node], axis: int) -> Node:
    """The insides of sorted pads along `axis`, zeros where there is none."""
    whole, parts, end = pieces[0], [], 0

    def fill(stop: int) -> None:
        if stop > end:
            shape = tuple(stop - end if a == axis else n for a, n in enumerate(whole.shape))
            parts.append(constant(0, whole.dtype, shape))

    for node in pieces:
        fill(node.attrs[0][axis])
        parts.append(node.inputs[0])
        end = node.attrs[0][axis] + node.inputs[0].shape[axis]
    fill(whole.shape[axis])
    inner = [row for part in parts if (row := below_unit_axis(part, axis)) is not None]
    if len(inner) == len(parts):  # rows of a sequence: joined as they were computed
        return reshape(concat(*inner, attrs=(axis,)), attrs=(whole.shape,))
    return concat(*parts, attrs=(axis,))


def below_unit_axis(node: Node, axis: int) -> Node | None:
    """What `node` only adds an axis of size 1 to, in front of another one."""
    if node.op is not reshape or node.shape[axis] != 1 or axis == node.rank - 1:
        return None
    source = node.inputs[0]
    return source if source.shape == node.shape[:axis] + node.shape[axis + 1 :] else None


def merge_contractions(shares: Sequence[Node]) -> list[Node]:
    """Contractions that differ in their operands only become one over all of these."""
    alike: dict[tuple[object, ...], list[Node]] = {}
    for node in shares:
        if node.op is contract:
            key = node.attrs, *(source.shape for source in node.inputs)
            alike.setdefault(key, []).append(node)
    result = list(shares)
    for nodes in alike.values():
        # Shares come last use first: joined first use first, as pieces are.
        merged = merged_contraction(nodes[::-1]) if len(nodes) >= FEWEST else None
        if merged is not None:
            result = [*(node for node in result if node not in nodes), merged]
    return result


def merged_contraction(nodes: Sequence[Node]) -> Node | None:
    """One contraction over the operands joined along the first label that allows it."""
    spec: Spec = nodes[0].attrs[0]
    for label in spec.contracted:
        places = [i for i, dim in enumerate(spec.a) if dim == ((label, 1),) and spec.is_single(i)]
        if len(places) == 1 and spec.a_labels.count(label) == 1:
            a = concat(*(node.inputs[0] for node in nodes), attrs=(places[0],))
            b = concat(*(node.inputs[1] for node in nodes), attrs=(spec.b.index(label),))
            extents = tuple(
                (name, size * len(nodes) if name == label else size) for name, size in spec.extents
            )
            return contract(a, b, attrs=(replace(spec, extents=extents),))
    return None
