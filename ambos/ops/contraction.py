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
from ambos.ops.kinds import Grads, Op, constant, for_each, pushed, total
from ambos.ops.movement import cut_to, flip, interleave, pad, reshape, slice_

Label = str
Dim = tuple[tuple[Label, int], ...]  # labels with coefficients, added up


@dataclass(frozen=True, slots=True)
class Spec:
    """What a contraction reads and sums.

    `contracted` gives the canonical order of the sum (the last label runs fastest); it is part
    of the op's meaning, since floating addition does not associate. `before` (one number for each
    dimension of `a`, or nothing) says how many zeros `a` is read as having in front; behind it
    there are as many as the windows reach. A negative number leaves out elements.
    """

    a: tuple[Dim, ...]
    b: tuple[Label, ...]
    out: tuple[Label, ...]
    contracted: tuple[Label, ...]
    extents: tuple[tuple[Label, int], ...]
    before: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Labels, as in an einsum; a dimension that is a window reads a sum of them."""
        terms = [
            "+".join(label if step == 1 else f"{step}*{label}" for label, step in dim)
            for dim in self.a
        ]
        padding = f" with {self.before} zeros in front" if self.before else ""
        return f"({' '.join(terms)}, {' '.join(self.b)} -> {' '.join(self.out)}){padding}"

    def sizes(self) -> dict[Label, int]:
        return dict(self.extents)

    @property
    def a_labels(self) -> tuple[Label, ...]:
        return tuple(label for dim in self.a for label, _ in dim)

    @property
    def is_plain(self) -> bool:
        """Does each dimension of `a` read one label, and nothing else?"""
        return all(self.is_single(i) for i in range(len(self.a)))

    def is_single(self, dim: int) -> bool:
        """Does dimension `dim` of `a` read one label, from its first element on?"""
        ((_, step), *others) = self.a[dim]
        return step == 1 and not others and not (self.before and self.before[dim])

    def reach(self, dim: int) -> int:
        """How many elements of dimension `dim` of `a` the labels span, padding included."""
        sizes = self.sizes()
        return sum((sizes[label] - 1) * step for label, step in self.a[dim]) + 1


def plain(labels: Sequence[Label]) -> tuple[Dim, ...]:
    return tuple(((label, 1),) for label in labels)


def make_spec(
    a: Sequence[Dim], b: Sequence[Label], out: Sequence[Label],
    contracted: Sequence[Label], sizes: dict[Label, int], before: Sequence[int] = (),
) -> Spec:  # fmt: skip
    """A Spec whose extents list each label once, in a fixed order."""
    used = sorted({label for dim in a for label, _ in dim} | set(b) | set(out))
    extents = tuple((label, sizes[label]) for label in used)
    return Spec(tuple(a), tuple(b), tuple(out), tuple(contracted), extents, tuple(before))


def surroundings(spec: Spec, shape: Shape) -> tuple[Shape, Shape]:
    """How many zeros `spec` reads before and behind an `a` of `shape`; a negative number leaves
    out elements, where they must be left out."""
    before = spec.before or (0,) * len(shape)
    after = [spec.reach(i) - before[i] - n for i, n in enumerate(shape)]
    return before, tuple(
        n if len(dim) == 1 and dim[0][1] == 1 else max(0, n)
        for n, dim in zip(after, spec.a, strict=True)
    )


def _surrounded(np: Any, a: Any, spec: Spec) -> Any:
    sides = list(zip(*surroundings(spec, a.shape), strict=True))
    kept = tuple(
        slice(max(0, -low), n - max(0, -high))
        for (low, high), n in zip(sides, a.shape, strict=True)
    )
    return np.pad(a[kept], [(max(0, low), max(0, high)) for low, high in sides])


def is_inner(spec: Spec) -> bool:
    """Is it a product and a sum, all of whose factors meet once (`ops.inner`)?"""
    one_sided = any(x not in spec.a_labels or x not in spec.b for x in spec.out)
    return spec.is_plain and not (spec.contracted and one_sided)


def leads_images(spec: Spec) -> bool:
    """Is the first dimension of `a`, which is no plain matrix, that of the result and of no
    filter?"""
    if spec.is_plain or not spec.is_single(0):
        return False
    ((label, _),) = spec.a[0]
    return label not in spec.b and spec.out[:1] == (label,) and spec.a_labels.count(label) == 1


def with_more(spec: Spec, times: int) -> Spec:
    """`spec` with so many times as many images."""
    ((label, _),) = spec.a[0]
    extents = tuple((x, n * times if x == label else n) for x, n in spec.extents)
    return replace(spec, extents=extents)


def with_examples(spec: Spec, of_a: bool, of_b: bool, size: int) -> Spec:
    """`spec` of operands of which one or both, and the result, have one more axis in front."""
    used = {label for label, _ in spec.extents}
    label = next(x for x in map("e{}".format, range(len(used) + 1)) if x not in used)
    return Spec(
        (((label, 1),), *spec.a) if of_a else spec.a,
        (label, *spec.b) if of_b else spec.b,
        (label, *spec.out),
        spec.contracted,
        tuple(sorted([*spec.extents, (label, size)])),
        (0, *spec.before) if of_a and spec.before else spec.before,
    )


class Contract(Op):
    """sum over `contracted` of a * b; attrs: (Spec,). Products and sums are chained by fused
    multiply-add in the order that loop IR defines; half precisions sum in float32."""

    kind, analytic = "contract", True

    def ref(np: Any, a: Any, b: Any, spec: Spec) -> Any:
        sizes = spec.sizes()
        if spec.before:
            a = _surrounded(np, a, spec)
        letters: dict[Label, str] = {}
        for label in (*spec.a_labels, *spec.b):
            letters.setdefault(label, chr(97 + len(letters)))
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
        for i, extent in enumerate(a.shape):
            reach, single = spec.reach(i), spec.is_single(i)
            if (single and reach != extent) or (reach > extent and not spec.before):
                raise ShapeError(f"contract: a {a.shape} does not fit {spec}")
        if tuple(sizes[label] for label in spec.b) != b.shape:
            raise ShapeError(f"contract: b {b.shape} does not fit {spec}")
        return tuple(sizes[label] for label in spec.out), a.dtype

    def batch(
        self, node: Node, inputs: tuple[Node, ...], batched: tuple[bool, ...], size: int
    ) -> Node:
        spec: Spec = node.attrs[0]
        if is_inner(spec) and spec.contracted:  # rows times one column would round otherwise
            inputs, batched = for_each(inputs, batched, size), (True, True)
        (a, b), shape = inputs, (size, *node.shape)
        if not batched[1] and leads_images(spec):
            merged = (size * a.shape[1], *a.shape[2:])
            images = contract(reshape(a, attrs=(merged,)), b, attrs=(with_more(spec, size),))
            return reshape(images, attrs=(shape,))
        of_a, of_b = batched
        return contract(a, b, attrs=(with_examples(spec, of_a, of_b, size),))

    def vjp(self, node: Node, g: Node) -> Grads:
        (a, b), (spec,) = node.inputs, node.attrs
        ga = _gradient_plain(b, g, spec) if spec.is_plain else _gradient_windows(a, b, g, spec)
        return ga, _gradient_b(a, g, spec)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        return total([pushed(node, tangents, (0,)), pushed(node, tangents, (1,))])


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

    Input position h takes part in window o with tap k where h + before = o * stride + k * dilation.
    For h = phase + stride * j only taps of one residue fit, so each phase is a convolution of the
    windows' gradient with every so-manyth tap, reversed; no zeros are multiplied.
    """
    dims = [i for i in range(len(spec.a)) if not spec.is_single(i)]
    steps = [spec.a[i][0][1] if i in dims else 1 for i in range(len(spec.a))]
    moved_by_out = spec.a[dims[0]][0][0] in spec.out
    sides = ((g, spec.out), (b, spec.b)) if moved_by_out else ((b, spec.b), (g, spec.out))
    phases = [_one_phase(a, *sides, spec, dims, phase) for phase in product(*map(range, steps))]
    if len(phases) == 1:
        return phases[0]
    return cut_to(interleave(*phases, attrs=(tuple(steps),)), a.shape)


def _one_phase(
    a: Node, moving: tuple[Node, tuple[Label, ...]], fixed: tuple[Node, tuple[Label, ...]],
    spec: Spec, dims: Sequence[int], phase: tuple[int, ...],
) -> Node:  # fmt: skip
    """The gradient at the positions phase + stride * j."""
    (source, moving_labels), (factor, fixed_labels) = moving, fixed
    sizes, out_labels = spec.sizes(), [dim[0][0] for dim in spec.a]
    a_dims = dict(zip(moving_labels, plain(moving_labels), strict=True))
    before, taps, shape = dict.fromkeys(moving_labels, 0), [], list(a.shape)
    empty = False
    for i in dims:
        (place, stride), tap = spec.a[i][0], spec.a[i][1] if len(spec.a[i]) > 1 else None
        new, rows = f"{place}'", -(-a.shape[i] // stride)
        out_labels[i], sizes[new], shape[i] = new, rows, rows
        # h + before = remainder + stride * (j + skipped)
        skipped, remainder = divmod(phase[i] + (spec.before[i] if spec.before else 0), stride)
        label, dilation = tap if tap is not None else ("", 1)
        count = sizes[label] if tap is not None else 1
        fitting = [k for k in range(count) if (k * dilation - remainder) % stride == 0]
        if not fitting:
            empty = True
            continue
        common = math.gcd(stride, dilation)
        step, reach = stride // common, dilation // common
        first = (fitting[0] * dilation - remainder) // stride
        before[place] = first + (len(fitting) - 1) * reach - skipped
        a_dims[place] = ((new, 1),)
        if tap is not None:
            a_dims[place] = ((new, 1), (label, reach))
            sizes[label] = len(fitting)
            factor = _every(factor, fixed_labels.index(label), fitting[0], step, len(fitting))
            taps.append(label)
    if empty:
        return constant(0, a.dtype, tuple(shape))
    others = [n for n in fixed_labels if n in moving_labels and n not in out_labels]
    contracted = [*taps, *[n for n in others if n not in taps]]
    new_spec = make_spec(
        [a_dims[label] for label in moving_labels], fixed_labels, out_labels, contracted, sizes,
        [before[label] for label in moving_labels],
    )  # fmt: skip
    if not any(map(any, surroundings(new_spec, source.shape))):
        new_spec = replace(new_spec, before=())
    return contract(source, factor, attrs=(new_spec,))


def _every(x: Node, axis: int, start: int, step: int, count: int) -> Node:
    """Every `step`-th element from `start` along `axis`, reversed."""
    if count != x.shape[axis] or step != 1:
        begin = tuple(start if i == axis else 0 for i in range(x.rank))
        stop = tuple(
            start + (count - 1) * step + 1 if i == axis else n for i, n in enumerate(x.shape)
        )
        x = slice_(x, attrs=(begin, stop, tuple(step if i == axis else 1 for i in range(x.rank))))
    return flip(x, attrs=((axis,),)) if count > 1 else x


def padded_explicitly(node: Node) -> Node:
    """A contraction that reads zeros around `a`, as one of an `a` that holds them."""
    (a, b), (spec,) = node.inputs, node.attrs
    low, high = surroundings(spec, a.shape)
    start = tuple(max(0, -n) for n in low)
    stop = tuple(n - max(0, -m) for n, m in zip(a.shape, high, strict=True))
    a = slice_(a, attrs=(start, stop, (1,) * a.rank))
    a = pad(a, attrs=(tuple(max(0, n) for n in low), tuple(max(0, n) for n in high)))
    return contract(a, b, attrs=(replace(spec, before=()),))


def conv(x: Node, w: Node, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> Node:
    """Convolution (cross-correlation) of x (N, C, *S) with w (K, C / groups, *R), any number of
    spatial dimensions; the caller has checked the shapes."""
    rank = len(stride)
    batch, _, *space = x.shape
    filters, depth, *window = w.shape
    outs = [
        (n + 2 * p - (r - 1) * d - 1) // s + 1
        for n, r, s, d, p in zip(space, window, stride, dilation, padding, strict=True)
    ]
    o, r = [f"o{i}" for i in range(rank)], [f"r{i}" for i in range(rank)]
    sizes = {"n": batch, "g": groups, "c": depth, "k": filters // groups}
    sizes |= dict(zip(o, outs, strict=True)) | dict(zip(r, window, strict=True))
    slides = [((o[i], stride[i]), (r[i], dilation[i])) for i in range(rank)]
    if groups == 1:
        image, b, out, summed = "nc", ["k", "c", *r], ["n", "k", *o], [*r, "c"]
    elif depth == 1 and filters == groups:  # depthwise: nothing to split
        w = reshape(w, attrs=((groups, *window),))
        image, b, out, summed = "ng", ["g", *r], ["n", "g", *o], r
    else:
        x = reshape(x, attrs=((batch, groups, depth, *space),))
        w = reshape(w, attrs=((groups, filters // groups, depth, *window),))
        image, b, out, summed = "ngc", ["g", "k", "c", *r], ["n", "g", "k", *o], [*r, "c"]
    before = [*(0 for _ in image), *padding] if any(padding) else ()
    spec = make_spec([*plain(image), *slides], b, out, summed, sizes, before)
    shape = (batch, filters, *outs)
    result = contract(x, w, attrs=(spec,))
    return result if result.shape == shape else reshape(result, attrs=(shape,))


contract = Contract()
