"""Contractions: sums of products over shared labels, with sliding windows on one operand.

One op is matmul, einsum, convolution, and the gradients of all three. Labels name index ranges.
Operand `a` may read several labels in one dimension, `position * stride + tap * dilation`; that
is a convolution. Operand `b` and the result have one label a dimension.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from ambos.core.dtype import DType
from ambos.core.errors import DTypeError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.node import Attrs, Node
from ambos.ops.kinds import Grads, Op, constant
from ambos.ops.movement import flip, interleave, pad, reshape, slice_

Label = str
Dim = tuple[tuple[Label, int], ...]  # labels with coefficients, added up


@dataclass(frozen=True, slots=True)
class Spec:
    """What a contraction reads and sums.

    `contracted` gives the canonical order of the sum (the last label runs fastest); it is part
    of the op's meaning, since floating addition does not associate.
    """

    a: tuple[Dim, ...]
    b: tuple[Label, ...]
    out: tuple[Label, ...]
    contracted: tuple[Label, ...]
    extents: tuple[tuple[Label, int], ...]

    def sizes(self) -> dict[Label, int]:
        return dict(self.extents)

    @property
    def a_labels(self) -> tuple[Label, ...]:
        return tuple(label for dim in self.a for label, _ in dim)

    @property
    def is_plain(self) -> bool:
        """Does each dimension of `a` read one label?"""
        return all(len(dim) == 1 and dim[0][1] == 1 for dim in self.a)


def plain(labels: Sequence[Label]) -> tuple[Dim, ...]:
    return tuple(((label, 1),) for label in labels)


def make_spec(
    a: Sequence[Dim], b: Sequence[Label], out: Sequence[Label],
    contracted: Sequence[Label], sizes: dict[Label, int],
) -> Spec:  # fmt: skip
    """A Spec whose extents list each label once, in a fixed order."""
    used = sorted({label for dim in a for label, _ in dim} | set(b) | set(out))
    extents = tuple((label, sizes[label]) for label in used)
    return Spec(tuple(a), tuple(b), tuple(out), tuple(contracted), extents)


class Contract(Op):
    """sum over `contracted` of a * b; attrs: (Spec,). Products and sums are chained by fused
    multiply-add in the order that loop IR defines; half precisions sum in float32."""

    kind = "contract"

    def ref(np: Any, a: Any, b: Any, spec: Spec) -> Any:
        sizes = spec.sizes()
        letters: dict[Label, str] = {}
        for label in (*spec.a_labels, *spec.b):
            letters.setdefault(label, chr(97 + len(letters)))
        view = a
        shape, strides = [], []
        for dim, step in zip(spec.a, a.strides, strict=True):
            shape += [sizes[label] for label, _ in dim]
            strides += [step * coefficient for _, coefficient in dim]
        view = np.lib.stride_tricks.as_strided(a, shape, strides)
        names = ["".join(letters[n] for n in part) for part in (spec.a_labels, spec.b, spec.out)]
        return np.einsum(f"{names[0]},{names[1]}->{names[2]}", view, b, optimize=True)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (a, b), (spec,) = inputs, attrs
        if a.dtype is not b.dtype or a.dtype.kind == "b":
            raise DTypeError(f"contract: got {a.dtype.name} and {b.dtype.name}; need one numeric "
                             "dtype")  # fmt: skip
        sizes = spec.sizes()
        for dim, extent in zip(spec.a, a.shape, strict=True):
            reach = sum((sizes[label] - 1) * step for label, step in dim) + 1
            if reach > extent or (len(dim) == 1 and dim[0][1] == 1 and reach != extent):
                raise ShapeError(f"contract: a {a.shape} does not fit {spec}")
        if tuple(sizes[label] for label in spec.b) != b.shape:
            raise ShapeError(f"contract: b {b.shape} does not fit {spec}")
        return tuple(sizes[label] for label in spec.out), a.dtype

    def vjp(self, node: Node, g: Node) -> Grads:
        (a, b), (spec,) = node.inputs, node.attrs
        ga = _gradient_plain(b, g, spec) if spec.is_plain else _gradient_windows(a, b, g, spec)
        return ga, _gradient_b(a, g, spec)


def _gradient_b(a: Node, g: Node, spec: Spec) -> Node:
    summed = [label for label in spec.out if label not in spec.b]
    return contract(a, g, attrs=(replace(spec, b=spec.out, out=spec.b, contracted=tuple(summed)),))


def _gradient_plain(b: Node, g: Node, spec: Spec) -> Node:
    wanted = spec.a_labels
    summed = [label for label in spec.out if label not in wanted]
    new = make_spec(plain(spec.out), spec.b, wanted, summed, spec.sizes())
    return contract(g, b, attrs=(new,))


def _gradient_windows(a: Node, b: Node, g: Node, spec: Spec) -> Node:
    """The transposed convolution, as one dense convolution for each remainder of the stride.

    Input position h takes part in window o with tap k where h = o * stride + k * dilation. For
    h = phase + stride * j only taps of one residue fit, so each phase is a convolution of the
    (padded) windows' gradient with every so-manyth tap, reversed; no zeros are multiplied.
    """
    dims = [i for i, dim in enumerate(spec.a) if len(dim) > 1 or dim[0][1] != 1]
    positions = [spec.a[i][0] for i in dims]
    taps = [spec.a[i][1] if len(spec.a[i]) > 1 else None for i in dims]
    moving, fixed = (g, b) if positions[0][0] in spec.out else (b, g)
    moving_labels, fixed_labels = (spec.out, spec.b) if moving is g else (spec.b, spec.out)
    phases = [range(stride) for _, stride in positions]
    results: dict[tuple[int, ...], Node] = {}
    for phase in product(*phases):
        results[phase] = _one_phase(
            a, moving, moving_labels, fixed, fixed_labels, spec, dims, phase, taps
        )
    for level in range(len(dims) - 1, -1, -1):  # interleave the last windowed dimension first
        joined: dict[tuple[int, ...], Node] = {}
        for head in product(*phases[:level]):
            parts = [results[(*head, p)] for p in phases[level]]
            joined[head] = interleave(parts, dims[level], a.shape[dims[level]])
        results = joined
    return results[()]


def _one_phase(
    a: Node, moving: Node, moving_labels: tuple[Label, ...], fixed: Node,
    fixed_labels: tuple[Label, ...], spec: Spec, dims: list[int], phase: tuple[int, ...],
    taps: list[tuple[Label, int] | None],
) -> Node:  # fmt: skip
    sizes = spec.sizes()
    new_sizes, out_labels = dict(sizes), [dim[0][0] for dim in spec.a]
    a_dims = dict(zip(moving_labels, plain(moving_labels), strict=True))
    before, after = dict.fromkeys(moving_labels, 0), dict.fromkeys(moving_labels, 0)
    kept_labels, shape = list(fixed_labels), [sizes.get(label, 0) for label in out_labels]
    for i in range(len(spec.a)):
        shape[i] = a.shape[i] if i not in dims else 0
    empty = False
    for i, remainder, tap in zip(dims, phase, taps, strict=True):
        place, stride = spec.a[i][0]
        rows = -(-a.shape[i] // stride)
        label, dilation = tap if tap is not None else ("", 1)
        count = sizes[label] if tap is not None else 1
        fitting = [k for k in range(count) if (k * dilation - remainder) % stride == 0]
        new = f"{place}'"
        out_labels[i], new_sizes[new], shape[i] = new, rows, rows
        if not fitting:
            empty = True
            continue
        common = math.gcd(stride, dilation)
        step, reach = stride // common, dilation // common
        first = (fitting[0] * dilation - remainder) // stride
        last = first + (len(fitting) - 1) * reach
        before[place], after[place] = last, rows - 1 - first - (sizes[place] - 1)
        if tap is None:
            a_dims[place] = ((new, 1),)
        else:
            a_dims[place] = ((new, 1), (label, reach))
            new_sizes[label] = len(fitting)
            fixed = _every(fixed, kept_labels.index(label), fitting[0], step, len(fitting))
    if empty:
        return constant(0, a.dtype, tuple(shape))
    moving = _pad_or_cut(moving, moving_labels, before, after)
    tap_labels = [tap[0] for tap in taps if tap is not None]
    others = [n for n in fixed_labels if n in moving_labels and n not in out_labels]
    contracted = [*tap_labels, *[n for n in others if n not in tap_labels]]
    new_spec = make_spec(
        [a_dims[label] for label in moving_labels], fixed_labels, out_labels, contracted, new_sizes
    )
    return contract(moving, fixed, attrs=(new_spec,))


def _every(x: Node, axis: int, start: int, step: int, count: int) -> Node:
    """Every `step`-th element from `start` along `axis`, reversed."""
    if count != x.shape[axis] or step != 1:
        begin = tuple(start if i == axis else 0 for i in range(x.rank))
        stop = tuple(
            start + (count - 1) * step + 1 if i == axis else n for i, n in enumerate(x.shape)
        )
        x = slice_(x, attrs=(begin, stop, tuple(step if i == axis else 1 for i in range(x.rank))))
    return flip(x, attrs=((axis,),)) if count > 1 else x


def _pad_or_cut(
    x: Node, labels: Sequence[Label], before: dict[Label, int], after: dict[Label, int]
) -> Node:
    low, high = [before[n] for n in labels], [after[n] for n in labels]
    if min(low + high) < 0:
        start = tuple(max(0, -v) for v in low)
        stop = tuple(n - max(0, -v) for n, v in zip(x.shape, high, strict=True))
        x = slice_(x, attrs=(start, stop, (1,) * x.rank))
    low, high = [max(0, v) for v in low], [max(0, v) for v in high]
    return pad(x, attrs=(tuple(low), tuple(high))) if any(low + high) else x


def conv(x: Node, w: Node, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> Node:
    """Convolution (cross-correlation) of x (N, C, *S) with w (K, C / groups, *R), any number of
    spatial dimensions; the caller has checked the shapes."""
    rank = len(stride)
    if any(padding):
        zeros = (0, 0, *padding)
        x = pad(x, attrs=(zeros, zeros))
    batch, _, *space = x.shape
    filters, depth, *window = w.shape
    outs = [
        (n - (r - 1) * d - 1) // s + 1
        for n, r, s, d in zip(space, window, stride, dilation, strict=True)
    ]
    o, r = [f"o{i}" for i in range(rank)], [f"r{i}" for i in range(rank)]
    sizes = {"n": batch, "g": groups, "c": depth, "k": filters // groups}
    sizes |= dict(zip(o, outs, strict=True)) | dict(zip(r, window, strict=True))
    slides = [((o[i], stride[i]), (r[i], dilation[i])) for i in range(rank)]
    if groups == 1:
        head, b, out = plain("nc"), ["k", "c", *r], ["n", "k", *o]
    else:
        x = reshape(x, attrs=((batch, groups, depth, *space),))
        w = reshape(w, attrs=((groups, filters // groups, depth, *window),))
        head, b, out = plain("ngc"), ["g", "k", "c", *r], ["n", "g", "k", *o]
    spec = make_spec([*head, *slides], b, out, [*r, "c"], sizes)
    result = contract(x, w, attrs=(spec,))
    return result if groups == 1 else reshape(result, attrs=((batch, filters, *outs),))


contract = Contract()
