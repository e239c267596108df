"""Sums over the taps of windows alone, such as a depthwise convolution and its input gradient.

A contraction's kernel earns its keep where rows of one operand meet columns of the other. Where `b`
has no label that `a` lacks, and all that is summed is a few taps, every element of `a` is used once
for each tap: a chain of fma over so many shifted views of `a`, which is what the contraction is by
definition (same order, same bits). Loops over it read borders as zeros without a padded copy, keep
channels in vectors, and what follows is computed in registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from ambos.graph.node import Node
from ambos.ops.arithmetic import cast, fma
from ambos.ops.contraction import Label, Spec, padded_explicitly
from ambos.ops.inner import spread
from ambos.ops.kinds import constant
from ambos.ops.movement import detach, permute, reshape, slice_

MOST_TAPS = 64  # each is an instruction of the kernel (and a sum of 256 is taken in blocks)


def depthwise(node: Node) -> Node | None:
    """A floating contraction that sums taps only, as a chain of fma over shifted views."""
    spec: Spec = node.attrs[0]
    if not node.dtype.is_floating or not sums_taps_only(spec):
        return None
    if spec.before:
        node = padded_explicitly(node)
        spec = node.attrs[0]
    a, b = (x if x.dtype is x.dtype.compute else cast(x, attrs=(x.dtype.compute,))
            for x in node.inputs)  # fmt: skip
    sizes = spec.sizes()
    b, spec = _side_by_side(b, spec)
    total = constant(0, a.dtype, node.shape)
    for tap in product(*(range(sizes[label]) for label in spec.contracted)):
        place = dict(zip(spec.contracted, tap, strict=True))
        total = fma(_shifted(a, spec, place), _factor(b, spec, place), total)
    return total if total.dtype is node.dtype else cast(total, attrs=(node.dtype,))


def sums_taps_only(spec: Spec) -> bool:
    """Is each summed label a tap of a window, and each label of `b` one of `a`? The rule may look
    at sizes: no bit depends on it."""
    sliding = {label for dim in spec.a if len(dim) == 2 for label, _ in dim}
    taps, sizes, count = set(spec.contracted), spec.sizes(), 1
    for label in taps:
        count *= sizes[label]
    in_windows = taps <= sliding & set(spec.b) and all(
        sum(label in taps for label, _ in dim) == len(dim) - 1 for dim in spec.a
    )
    return in_windows and set(spec.b) <= set(spec.a_labels) and 0 < count <= MOST_TAPS


def _side_by_side(b: Node, spec: Spec) -> tuple[Node, Spec]:
    """`b` with the factors of each tap in a row, and the spec that says so. Detached: who computes
    it makes a copy unless they lie like that already."""
    order = [*spec.contracted, *(label for label in spec.out if label in spec.b)]
    return detach(_in_order(b, spec.b, order)), replace(spec, b=tuple(order))


def _shifted(a: Node, spec: Spec, place: dict[Label, int]) -> Node:
    """The elements of `a` that meet the tap at `place`, one axis for each label of the result."""
    sizes = spec.sizes()
    start, stop, steps, labels = [], [], [], []
    for dim in spec.a:
        ((label, step),) = [pair for pair in dim if pair[0] not in place]
        first = sum(place[tap] * reach for tap, reach in dim if tap in place)
        start.append(first)
        stop.append(first + (sizes[label] - 1) * step + 1)
        steps.append(step)
        labels.append(label)
    return _in_order(slice_(a, attrs=(tuple(start), tuple(stop), tuple(steps))), labels, spec.out)


def _factor(b: Node, spec: Spec, place: dict[Label, int]) -> Node:
    """The factors of the tap at `place`, repeated along the labels that `b` lacks."""
    sizes = spec.sizes()
    start = tuple(place.get(label, 0) for label in spec.b)
    stop = tuple(place[x] + 1 if x in place else n for x, n in zip(spec.b, b.shape, strict=True))
    labels = [label for label in spec.b if label not in place]
    b = slice_(b, attrs=(start, stop, (1,) * b.rank))
    b = reshape(b, attrs=(tuple(sizes[label] for label in labels),))
    return spread(b, labels, spec.out, sizes)


def _in_order(x: Node, labels: Sequence[Label], wanted: Sequence[Label]) -> Node:
    axes = tuple(labels.index(label) for label in wanted)
    return x if axes == tuple(range(x.rank)) else permute(x, attrs=(axes,))
