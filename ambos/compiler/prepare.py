"""Passes over the graph before fusion: simplification, degenerate cases, layout requests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ambos.compiler.group import moved_base, view_base
from ambos.compiler.tiles import fit_in_pairs
from ambos.compiler.trim import trim
from ambos.compiler.unite import unite
from ambos.core.shape import size_of
from ambos.graph import Node, consumers, make, rewrite, substitute, toposort
from ambos.graph.rewrite import Table, Trail
from ambos.ops.arithmetic import cast
from ambos.ops.blend import gathered
from ambos.ops.contraction import Spec, padded_explicitly
from ambos.ops.depthwise import depthwise
from ambos.ops.inner import inner_product
from ambos.ops.kinds import constant, registry
from ambos.ops.movement import reshape
from ambos.ops.simplify import SIMPLIFICATIONS
from ambos.ops.small_windows import few_compared


def prepare(roots: Sequence[Node], trail: Trail | None = None) -> list[Node]:
    """The graph that fusion sees: same roots, same bits, fewer nodes."""
    roots = trim(unite(rewrite(roots, SIMPLIFICATIONS, trail), trail), trail)
    return rewrite(roots, EXPLICIT, trail)


def turned(roots: Sequence[Node], trail: Trail | None) -> list[Node]:
    """A result that is a product with its axes permuted (columns of a Jacobian) is a product of
    these axes: it may lie as its kernel writes it best, where a permutation would be a copy."""
    users = consumers(toposort(roots))
    new: dict[Node, Node] = {}
    for root in roots:
        if root.op.name != "permute" or users.get(root):
            continue
        (product,) = root.inputs
        if product.op.name == "contract" and product not in roots and len(users[product]) == 1:
            (axes,), spec = root.attrs, product.attrs[0]
            spec = replace(spec, out=tuple(spec.out[axis] for axis in axes))
            new[root] = make(product.op, product.inputs, (spec,))
    return substitute(roots, new, trail) if new else list(roots)


def _reduce_of_nothing(node: Node) -> Node | None:
    """A reduction over no axes becomes one over an axis of extent 1, its canonical form."""
    (axes,), (x,) = node.attrs, node.inputs
    if axes:
        return None
    return make(node.op, (reshape(x, attrs=((*x.shape, 1),)),), ((x.rank,),))


def _empty_sum(node: Node) -> Node | None:
    """A contraction over an empty range is zero."""
    spec: Spec = node.attrs[0]
    sizes = spec.sizes()
    if node.size == 0 or all(sizes[label] for label in spec.contracted):
        return None
    return constant(0, node.dtype, node.shape)


def _padding(node: Node) -> Node | None:
    """Padding of a contraction becomes a node, which kernels before it may write into."""
    return padded_explicitly(node) if node.attrs[0].before else None


def _empty_attention(node: Node) -> Node | None:
    """Without a pair of a query and a key everything is zero: results, statistics, gradients."""
    q, k = node.inputs[:2]
    pairs = size_of((*q.shape[:3], k.shape[2]))
    return None if pairs else constant(0, node.dtype, node.shape)


def _wide_attention(node: Node) -> Node | None:
    """Half precisions are computed in float32, from exact copies."""
    if not any(x.dtype.is_floating and x.dtype is not x.dtype.compute for x in node.inputs):
        return None
    wide = [x if x.dtype is x.dtype.compute else cast(x, attrs=(x.dtype.compute,))
            for x in node.inputs]  # fmt: skip
    result = make(node.op, tuple(wide), node.attrs)
    return result if result.dtype is node.dtype else cast(result, attrs=(node.dtype,))


EXPLICIT: Table = {
    **{name: (_reduce_of_nothing,) for name, op in registry.items() if op.kind == "reduce"},
    **dict.fromkeys(("max", "min", "argmax", "argmin"), (_reduce_of_nothing, few_compared)),
    "contract": (_empty_sum, inner_product, depthwise, _padding),
    "blend": (gathered,),
    "pad": SIMPLIFICATIONS["pad"],
    "slice": SIMPLIFICATIONS["slice"],
    **{
        name: (_empty_attention, _wide_attention)
        for name, op in registry.items()
        if op.kind == "attention"
    },
}


def wants_pairs(spec: Spec) -> bool:
    """Would two pixels of a convolution's results share a vector, if pixels were innermost?"""
    sizes = spec.sizes()
    columns = [sizes[x] for x in spec.out if x in spec.b and x not in spec.a_labels]
    (last, step), *taps = spec.a[-1]
    side_by_side = step == 1 and bool(taps) and last in spec.out
    return side_by_side and bool(columns) and fit_in_pairs(math.prod(columns), sizes[last])


def layout_requests(roots: Sequence[Node]) -> dict[Node, list[int]]:
    """Dimension orders that convolutions want of their input: channels innermost, so that the sum
    over a window's row and its channels walks memory straight. But pixels innermost of a padded
    image, which is a copy, where they would make pairs (`loops.ContractKernel`)."""
    wanted: dict[Node, list[int]] = {}
    for node in toposort(roots):
        if node.op.name == "detach":  # a copy, made for its order
            wanted[node] = list(range(node.rank))
        if node.op.name == "fma" and node.inputs[1].op.name == "expand":
            source, (factors,) = moved_base(node.inputs[0]), node.inputs[1].inputs
            if source.rank == node.rank:  # vectors lie along the axes that the factors have
                axes = sorted(range(node.rank), key=lambda axis: factors.shape[axis] != 1)
                wanted.setdefault(source, axes)
        if node.op.name != "contract" or node.attrs[0].is_plain:
            continue
        spec: Spec = node.attrs[0]
        source = view_base(node.inputs[0])
        spatial = sum(1 for dim in spec.a if len(dim) > 1 or dim[0][1] != 1)
        rest = list(range(1, source.rank - spatial))
        if source.op.name == "pad" and wants_pairs(spec):
            wanted.setdefault(source, list(range(source.rank)))
        elif rest:
            last = range(source.rank - spatial, source.rank)
            wanted.setdefault(source, [0, *last, *rest])
    return wanted
