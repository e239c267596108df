"""Attention: softmax(scale Q K^T + mask) V, with its gradients, as ops of their own.

The kernels never store the score matrix; what they compute, in which order, is written down in
`compiler.attention_loops`. Head h of the queries meets key and value head h // (heads / key heads).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ambos.core.dtype import DType
from ambos.core.errors import DTypeError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.node import Attrs, Node, tracking
from ambos.ops.arithmetic import add, cast, divide, equal, less_equal, multiply, subtract, where
from ambos.ops.contraction import contract, make_spec, plain
from ambos.ops.functions import exp
from ambos.ops.kinds import Grads, Op, constant_like, for_each, total
from ambos.ops.movement import detach, expand, reshape
from ambos.ops.reductions import max_, sum_
from ambos.ops.sources import iota


class Attend(Op, abstract=True):
    """What the ops of attention share. attrs: (scale, causal, ...); the last input may be a mask
    (batch, heads, queries, keys) that is added to the scaled scores. If causal, query i sees the
    keys up to number i only. A query that sees no key gives zeros."""

    kind = "attention"
    accepts: ClassVar[str] = "f"
    operands: ClassVar[int]  # inputs without the mask
    ref: ClassVar[Callable[..., Any]]

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        q, k, *rest = inputs
        if any(x.rank != 4 for x in inputs[: min(3, self.operands)]):
            raise ShapeError(f"{self.name}: got {[x.shape for x in inputs]}; need (batch, heads, "
                             "length, width) each")  # fmt: skip
        batch, heads, queries, width = q.shape
        others = [k, *rest[: self.operands > 2]]
        for x in others:
            if x.shape[0] != batch or x.shape[2] != k.shape[2] or x.shape[1] != k.shape[1]:
                raise ShapeError(f"{self.name}: got {[x.shape for x in inputs]}; need one "
                                 "batch, equal heads and lengths of keys and values")  # fmt: skip
        if k.shape[3] != width or (heads % k.shape[1] if k.shape[1] else heads):
            raise ShapeError(f"{self.name}: queries {q.shape}, keys {k.shape}; need equal widths "
                             "and a multiple of the key heads")  # fmt: skip
        mask = self.mask_of(inputs)
        if mask is not None and mask.shape != (batch, heads, queries, k.shape[2]):
            raise ShapeError(f"{self.name}: mask {mask.shape}; need "
                             f"{(batch, heads, queries, k.shape[2])}")  # fmt: skip
        if not q.dtype.is_floating or any(x.dtype is not q.dtype for x in others):
            names = [x.dtype.name for x in inputs]
            raise DTypeError(f"{self.name}: got {names}; need one floating dtype")
        return self.shape(inputs, attrs), self.dtype(q)

    def batch(
        self, node: Node, inputs: tuple[Node, ...], batched: tuple[bool, ...], size: int
    ) -> Node:
        merged = [
            reshape(x, attrs=((size * x.shape[1], *x.shape[2:]),))
            for x in for_each(inputs, batched, size)
        ]
        return reshape(self(*merged, attrs=node.attrs), attrs=((size, *node.shape),))

    def mask_of(self, inputs: tuple[Node, ...]) -> Node | None:
        """The mask among the inputs."""
        return inputs[self.operands] if len(inputs) > self.operands else None

    def shape(self, inputs: tuple[Node, ...], attrs: Attrs) -> Shape:
        raise NotImplementedError(self.name)

    def dtype(self, q: Node) -> DType:
        return q.dtype


class Attention(Attend):
    """softmax(scale Q K^T + mask) V; inputs: Q, K, V[, mask]; attrs: (scale, causal)."""

    operands = 3

    def ref(np: Any, q: Any, k: Any, v: Any, *rest: Any) -> Any:
        p, _ = _reference(np, q, k, *rest)
        return np.einsum("bhqk,bhkw->bhqw", p, _repeated(np, v, q)).astype(q.dtype)

    def shape(self, inputs: tuple[Node, ...], attrs: Attrs) -> Shape:
        return (*inputs[0].shape[:3], inputs[2].shape[3])

    def vjp(self, node: Node, g: Node) -> Grads:
        mask = self.mask_of(node.inputs)
        if tracking.enabled or (mask is not None and mask.tracked):
            # Gradients of these gradients may be asked for: primitives differentiate again.
            return composite_gradients(node.inputs, node.attrs, g)
        return kernel_gradients(node, g)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        return composite_tangent(node, tangents)


class AttentionStatistics(Attend):
    """What the softmax of a query is relative to; inputs: Q, K[, mask]. The result, (batch, heads,
    2, queries), holds the largest score (scaled only where there is a mask; 0 if no key takes part)
    and one over the sum of the powers relative to it (0 if no key takes part)."""

    operands, differentiable = 2, False

    def ref(np: Any, q: Any, k: Any, *rest: Any) -> Any:
        _, statistics = _reference(np, q, k, *rest)
        return statistics.astype(q.dtype)

    def shape(self, inputs: tuple[Node, ...], attrs: Attrs) -> Shape:
        batch, heads, queries, _ = inputs[0].shape
        return batch, heads, 2, queries

    def dtype(self, q: Node) -> DType:
        return q.dtype.compute


class AttentionGradient(Attend):
    """The gradient by one input; attrs: (scale, causal, "query" | "key" | "value"); inputs: Q, K,
    V, the statistics, the result's gradient, its sum of products with the result[, mask]."""

    operands, differentiable = 6, False

    def ref(np: Any, q: Any, k: Any, v: Any, *rest: Any) -> Any:
        statistics, g, delta, *masks, scale, causal, part = rest
        z, factor = _scores(np, q, k, *masks, scale, causal)
        largest, inverse = statistics[:, :, 0, :, None], statistics[:, :, 1, :, None]
        p = np.exp((z - largest) * z.dtype.type(factor)) * inverse
        if part == "value":
            return _grouped(np, np.einsum("bhqk,bhqw->bhkw", p, g), v)
        dp = np.einsum("bhqw,bhkw->bhqk", g, _repeated(np, v, q))
        ds = p * (dp - delta[..., None])
        if part == "query":
            return (scale * np.einsum("bhqk,bhkw->bhqw", ds, _repeated(np, k, q))).astype(q.dtype)
        return _grouped(np, scale * np.einsum("bhqk,bhqw->bhkw", ds, q), k)

    def shape(self, inputs: tuple[Node, ...], attrs: Attrs) -> Shape:
        return inputs[PARTS.index(attrs[2])].shape


PARTS = ("query", "key", "value")
attention, attention_statistics = Attention(), AttentionStatistics()
attention_gradient = AttentionGradient()


def kernel_gradients(node: Node, g: Node) -> Grads:
    """The gradients by kernels that compute the scores again; half precisions in float32."""
    wide = node.dtype.compute
    q, k, v, *masks = (_as(x, wide) for x in node.inputs)
    g = _as(g, wide)
    result = node if wide is node.dtype else attention(q, k, v, *masks, attrs=node.attrs)
    statistics = attention_statistics(q, k, *masks, attrs=node.attrs)
    delta = sum_(multiply(g, result), attrs=((3,),))
    given = (q, k, v, statistics, g, delta, *masks)
    parts = [attention_gradient(*given, attrs=(*node.attrs, part)) for part in PARTS]
    return (*[_as(part, node.dtype) for part in parts], *[None] * len(masks))


def _as(x: Node, dtype: DType) -> Node:
    return x if x.dtype is dtype else cast(x, attrs=(dtype,))


# --- the same in NumPy ---------------------------------------------------------------------------


def _repeated(np: Any, x: Any, q: Any) -> Any:
    return np.repeat(x, q.shape[1] // max(1, x.shape[1]), 1)


def _grouped(np: Any, x: Any, like: Any) -> Any:
    """The sum over the query heads that share a key head."""
    shape = (like.shape[0], like.shape[1], -1, *like.shape[2:])
    return x.reshape(shape).sum(2).astype(like.dtype) if like.size else np.zeros_like(like)


def _scores(np: Any, q: Any, k: Any, *rest: Any) -> tuple[Any, float]:
    """Scores, minus infinity where a key does not take part, and what they are still to be
    multiplied with: 1 if there is a mask, which is added to scaled ones."""
    *masks, scale, causal = rest
    z = np.einsum("bhqw,bhkw->bhqk", q, _repeated(np, k, q))
    for mask in masks:
        z = z * q.dtype.type(scale) + mask
    if causal:
        seen = np.arange(z.shape[3]) <= np.arange(z.shape[2])[:, None]
        z = np.where(seen, z, -np.inf)
    return z, 1.0 if masks else scale


def _reference(np: Any, q: Any, k: Any, *rest: Any) -> tuple[Any, Any]:
    """The softmax and its statistics."""
    z, factor = _scores(np, q, k, *rest)
    largest = np.max(z, 3, keepdims=True, initial=-np.inf)
    largest = np.where(np.isneginf(largest), 0, largest)
    p = np.exp((z - largest) * factor)
    total = p.sum(3, keepdims=True)
    inverse = np.divide(1, total, out=np.zeros_like(total), where=total != 0)
    return p * inverse, np.stack([largest[..., 0], inverse[..., 0]], 2)


# --- the same in primitives, for gradients of gradients ------------------------------------------


def weights(q: Node, k: Node, mask: Node | None, attrs: Attrs) -> Node:
    """softmax(scale Q K^T + mask) as a matrix, in primitives: (batch, heads, queries, keys)."""
    scale, causal = attrs[:2]
    z = _joined(_contract("bgrqw", "bgkw", "bgrqk", "w", _split(q, k), k))
    z = multiply(z, constant_like(z, scale))
    if mask is not None:
        z = add(z, mask)
    lowest = constant_like(z, float("-inf"))
    if causal:
        z = where(less_equal(_positions(z.shape, 3), _positions(z.shape, 2)), z, lowest)
    if not z.shape[3]:
        return z
    largest = detach(max_(z, attrs=((3,),)))
    none = equal(largest, constant_like(largest, float("-inf")))
    largest = where(none, constant_like(largest, 0), largest)
    powers = exp(subtract(z, _along_rows(largest, z.shape)))
    total = sum_(powers, attrs=((3,),))
    total = where(equal(total, constant_like(total, 0)), constant_like(total, 1), total)
    return divide(powers, _along_rows(total, z.shape))


def weighted(p: Node, v: Node) -> Node:
    """The weights' product with V, in primitives."""
    return _joined(_contract("bgrqk", "bgkw", "bgrqw", "k", _split(p, v), v))


def composite_gradients(inputs: tuple[Node, ...], attrs: Attrs, g: Node) -> Grads:
    """The gradients of Q, K, V and the mask, in primitives."""
    q, k, v, *masks = inputs
    scale = attrs[0]
    p = weights(q, k, masks[0] if masks else None, attrs)
    dp = _joined(_contract("bgrqw", "bgkw", "bgrqk", "w", _split(g, v), v))
    dp_mean = sum_(multiply(p, dp), attrs=((3,),))
    ds = multiply(p, subtract(dp, _along_rows(dp_mean, dp.shape)))
    dz = multiply(ds, constant_like(ds, scale))
    dq = _joined(_contract("bgrqk", "bgkw", "bgrqw", "k", _split(dz, k), k))
    dk = _contract("bgrqk", "bgrqw", "bgkw", "rq", _split(dz, k), _split(q, k))
    dv = _contract("bgrqk", "bgrqw", "bgkw", "rq", _split(p, v), _split(g, v))
    return (dq, dk, dv, *[ds] * len(masks))


def composite_tangent(node: Node, tangents: Sequence[Node | None]) -> Node | None:
    """The tangent of the result; but for that of V in primitives."""
    q, k, v, *masks = node.inputs
    tq, tk, tv, *given = tangents
    through_values = tv and attention(q, k, tv, *masks, attrs=node.attrs)
    scores = total([
        tq and _joined(_contract("bgrqw", "bgkw", "bgrqk", "w", _split(tq, k), k)),
        tk and _joined(_contract("bgrqw", "bgkw", "bgrqk", "w", _split(q, k), tk)),
    ])  # fmt: skip
    if scores is not None:
        scores = multiply(scores, constant_like(scores, node.attrs[0]))
    moved = total([scores, *given])
    if moved is None:
        return through_values
    p = weights(q, k, masks[0] if masks else None, node.attrs)
    mean = sum_(multiply(p, moved), attrs=((3,),))
    dp = multiply(p, subtract(moved, _along_rows(mean, p.shape)))
    return total([weighted(dp, v), through_values])


def _contract(a: str, b: str, out: str, summed: str, x: Node, y: Node) -> Node:
    sizes = dict(zip(a, x.shape, strict=True)) | dict(zip(b, y.shape, strict=True))
    return contract(x, y, attrs=(make_spec(plain(a), b, out, summed, sizes),))


def _split(x: Node, like: Node) -> Node:
    """Heads as (heads of keys, heads that share one)."""
    batch, heads, *rest = x.shape
    shared = like.shape[1]
    return reshape(x, attrs=((batch, shared, heads // max(1, shared), *rest),))


def _joined(x: Node) -> Node:
    batch, groups, repeats, *rest = x.shape
    return reshape(x, attrs=((batch, groups * repeats, *rest),))


def _positions(shape: Shape, axis: int) -> Node:
    """The index along one axis."""
    single = tuple(n if a == axis else 1 for a, n in enumerate(shape))
    return expand(reshape(iota(attrs=(shape[axis],)), attrs=(single,)), attrs=(shape,))


def _along_rows(x: Node, shape: Shape) -> Node:
    return expand(reshape(x, attrs=((*x.shape, 1),)), attrs=(shape,))
