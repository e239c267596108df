"""Random tensors, from explicit keys or from the global stream.

A key is a uint32 tensor of shape (2,). The global stream is a 64-bit seed and a counter: every
call takes the next key, which is data, so a training step has the same graph every time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ambos.core.dtype import DType, as_dtype, float32, float64, int64, uint32, uint64
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import Shape, size_of
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import random as draws
from ambos.ops.movement import slice_
from ambos.tensor.checks import require_weights
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, shape_of, wrap
from ambos.tensor.indexing import getitem
from ambos.tensor.names import public
from ambos.tensor.operands import binary, convert, expand_to, floating, scalar
from ambos.tensor.parts import view_as_complex
from ambos.tensor.random.generator import Generator, default_generator, scattered, word_of
from ambos.tensor.random.parameters import require_from

DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def _key_data(word: int) -> Node:
    return node_of(np.array([word & 0xFFFFFFFF, word >> 32], np.uint32))


@public
def key(seed: int) -> Tensor:
    """A key of its own, independent of the global stream."""
    return wrap(_key_data(scattered(word_of("key", "seed", seed))))


@public
def split(key: Any, num: int = 2) -> Tensor:
    """`num` new keys from one, shape (num, 2); the old one should not be used again."""
    words = draws.bits(_key("split", key), (num, 2))
    return wrap(words)


@public
def fold_in(key: Any, data: int | Tensor) -> Tensor:
    """A new key from a key and an integer (a step number, a layer's index): a number, or a tensor,
    which a jitted function reads anew at every call.

    Example:
        >>> import ambos as am
        >>> key = am.random.key(0)
        >>> am.array_equal(am.random.fold_in(key, 7), am.random.fold_in(key, am.tensor(7)))
        True
    """
    node = _key("fold_in", key)
    if isinstance(data, Tensor) and data.dtype.is_integer and not data.shape:
        mixed = _mixed_key(convert(data._node, uint64))
    else:
        mixed = _key_data(scattered(word_of("fold_in", "data", data)))
    return wrap(draws.bits(ops.bitwise_xor(node, mixed), (2,)))


def _mixed_key(word: Node) -> Node:
    """`_key_data(scattered(word))` of a word that is a tensor."""

    def number(value: int) -> Node:
        return scalar(value, uint64, word.shape)

    def folded(word: Node, shift: int) -> Node:
        return ops.bitwise_xor(word, ops.bitwise_right_shift(word, number(shift)))

    word = ops.add(word, number(0x9E3779B97F4A7C15))
    word = ops.multiply(folded(word, 30), number(0xBF58476D1CE4E5B9))
    word = folded(ops.multiply(folded(word, 27), number(0x94D049BB133111EB)), 31)
    halves = node_of(np.array([0, 32], np.uint64))
    parts = ops.bitwise_right_shift(expand_to(reshaped(word, (1,)), (2,)), halves)
    return convert(ops.bitwise_and(parts, scalar(0xFFFFFFFF, uint64, (2,))), uint32)


def _key(op: str, key: Any) -> Node:
    node = node_of(key)
    if node.dtype is not uint32 or node.shape != (2,):
        raise DTypeError(f"{op}: the key is {node.dtype.name}{list(node.shape)}; need uint32[2]: "
                         "make one with am.random.key(seed)")  # fmt: skip
    return node


def _next(op: str, key: Any, generator: Generator | None) -> Node:
    if key is not None:
        return _key(op, key)
    return (generator or default_generator).next_key()._node


def _float(op: str, dtype: Any) -> Any:
    found = as_dtype(dtype or float32)
    if not found.is_inexact:
        raise DTypeError(f"{op}: dtype {found.name}; need a floating dtype")
    return found


def _drawn(draw: Callable[..., Node], key: Node, shape: Shape, kind: DType) -> Node:
    """`draw` in `shape`; complex numbers have both of their parts drawn."""
    if not kind.is_complex:
        return draw(key, shape, kind)
    return view_as_complex(wrap(draw(key, (*shape, 2), kind.part)))._node


def _finish(node: Node, requires_grad: bool) -> Tensor:
    return Tensor(node, requires_grad=True) if requires_grad else wrap(node)


@public
def uniform(
    key: Any = None, shape: Any = (), low: Any = 0.0, high: Any = 1.0, dtype: Any = float32,
    generator: Generator | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Uniform in [low, high); of complex numbers both parts in [0, 1), before they are scaled.

    Example:
        >>> import ambos as am
        >>> am.random.uniform(am.random.key(0), (2, 3)).shape
        (2, 3)
    """
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and not low <= high:
        raise ArgumentError(f"uniform: [{low}, {high}) holds no numbers; need low <= high")
    sizes = shape_of("uniform", (shape,))
    kind = _float("uniform", dtype)
    node = _drawn(draws.uniform, _next("uniform", key, generator), sizes, kind)
    return _finish(_scaled(node, low, high), requires_grad)


def _scaled(node: Node, low: Any, high: Any) -> Node:
    if isinstance(low, (int, float)) and isinstance(high, (int, float)):
        if (low, high) == (0, 1):
            return node
        width = binary(ops.multiply, node, float(high) - float(low))
        return binary(ops.add, width, float(low)) if low else width
    bottom = operand_of(low)
    width = binary(ops.subtract, operand_of(high), bottom)
    return binary(ops.add, binary(ops.multiply, node, width), bottom)


@public
def normal(
    key: Any = None, shape: Any = (), mean: Any = 0.0, std: Any = 1.0, dtype: Any = float32,
    generator: Generator | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Normal with a mean and a standard deviation, to which both parts of a complex number give
    half of the variance."""
    require_from("normal", std=std)
    kind, sizes = _float("normal", dtype), shape_of("normal", (shape,))
    node = _drawn(draws.normal, _next("normal", key, generator), sizes, kind)
    std = std * math.sqrt(0.5) if kind.is_complex else std
    if not (isinstance(std, (int, float)) and std == 1):
        node = binary(ops.multiply, node, operand_of(std))
    if not (isinstance(mean, (int, float)) and mean == 0):
        node = binary(ops.add, node, operand_of(mean))
    return _finish(node, requires_grad)


@public
def bernoulli(
    key: Any = None, p: Any = 0.5, shape: Any = None, generator: Generator | None = None
) -> Tensor:
    """True with probability p, bool; `shape` defaults to that of `p`."""
    require_from("bernoulli", 0, 1, p=p)
    chance = floating(node_of(p))
    sizes = chance.shape if shape is None else shape_of("bernoulli", (shape,))
    kind = chance.dtype if chance.dtype is float64 else float32
    drawn = draws.uniform(_next("bernoulli", key, generator), sizes, kind)
    bound = scalar(p, kind) if isinstance(p, (int, float)) else convert(chance, kind)
    return wrap(ops.less(drawn, expand_to(bound, sizes)))


@public
def integers(
    key: Any = None, low: int = 0, high: int | None = None, shape: Any = (), dtype: Any = int64,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Uniform integers in [low, high); with one bound in [0, low).

    The upper half of a product with random bits: 64 of them where the range has more than 16
    bits, so that no number is preferred by more than one part in 2**16.
    """
    if high is None:
        low, high = 0, low
    span = high - low
    kind = as_dtype(dtype)
    if span < 1:
        raise ArgumentError(f"integers: [{low}, {high}) holds no numbers; need low < high")
    if span > 1 << 63:
        raise ArgumentError(f"integers: [{low}, {high}) holds more than 2**63 numbers; need fewer")
    if not _holds(kind, low) or not _holds(kind, high - 1):
        raise ArgumentError(f"integers: [{low}, {high}) as {kind.name}; need a dtype that holds "
                            "them all")  # fmt: skip
    sizes = shape_of("integers", (shape,))
    node = _bounded(_next("integers", key, generator), sizes, span)
    if low:
        node = binary(ops.add, node, low)
    return wrap(convert(node, kind))


def _holds(kind: DType, number: int) -> bool:
    """Does the dtype hold the number, and all that are nearer to 0, exactly?"""
    if kind.is_floating:
        return abs(number) <= 1 << DIGITS[kind.name]
    return kind.is_integer and int(kind.min) <= number <= int(kind.max)


def _bounded(key: Node, shape: Shape, span: int) -> Node:
    """Integers in [0, span), int64: floor(word * span / 2**bits)."""
    words = convert(draws.bits(key, (2, *shape)), uint64)
    high, low = (
        reshaped(
            slice_(
                words, attrs=((i, *(0,) * len(shape)), (i + 1, *shape), (1,) * (len(shape) + 1))
            ),
            shape,
        )
        for i in (0, 1)
    )

    def times(node: Node, factor: int) -> Node:
        return ops.multiply(node, scalar(factor, uint64, shape))

    def upper(node: Node) -> Node:
        return ops.bitwise_right_shift(node, scalar(32, uint64, shape))

    def lower(node: Node) -> Node:
        return ops.bitwise_and(node, scalar(0xFFFFFFFF, uint64, shape))

    # The 128-bit product (high, low) * span, its upper 64 bits, by 32-bit digits.
    small, large = span & 0xFFFFFFFF, span >> 32
    carry = upper(times(low, small))
    middle = ops.add(times(high, small), carry)
    if not large:
        return convert(upper(middle), int64)
    cross = ops.add(times(low, large), lower(middle))
    top = ops.add(times(high, large), ops.add(upper(middle), upper(cross)))
    return convert(top, int64)


@public
def permutation(key: Any = None, x: Any = 0, generator: Generator | None = None) -> Tensor:
    """A random order of range(x), or of the first axis of a tensor."""
    node_key = _next("permutation", key, generator)
    if isinstance(x, int):
        return wrap(draws.permutation(node_key, x))
    source = wrap(node_of(x))
    if source.ndim == 0:
        raise ShapeError("permutation: got a scalar tensor; need a count or at least one axis")
    return getitem(source, wrap(draws.permutation(node_key, source.shape[0])))


@public
def choice(
    key: Any = None, x: Any = 0, shape: Any = (), replace: bool = True, p: Any = None,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Elements of range(x) or of the first axis of a tensor; `p` weighs them (with replacement)."""
    source = None if isinstance(x, int) else wrap(node_of(x))
    count = x if source is None else source.shape[0]
    sizes = shape_of("choice", (shape,))
    node_key = _next("choice", key, generator)
    if p is not None:
        if not replace:
            raise ArgumentError("choice: weights without replacement are not possible; need "
                                "replace=True or p=None")  # fmt: skip
        weights = floating(node_of(p))
        if weights.shape != (count,):
            raise ShapeError(f"choice: p is {weights.shape} for {count} elements; need a weight "
                             f"for each: ({count},)")  # fmt: skip
        require_weights("choice", weights, 1)
        index = _weighted(node_key, weights, sizes)
    elif replace:
        index = wrap(_bounded(node_key, sizes, count))
    else:
        if size_of(sizes) > count:
            raise ArgumentError(f"choice: {size_of(sizes)} of {count} without replacement; need "
                                "at most as many as there are")  # fmt: skip
        order = draws.permutation(node_key, count)
        cut = slice_(order, attrs=((0,), (size_of(sizes),), (1,)))
        index = wrap(reshaped(cut, sizes))
    return index if source is None else getitem(source, index)


def _weighted(key: Node, weights: Node, shape: Shape) -> Tensor:
    """Positions drawn by weight: the last axis' running total that a uniform number reaches."""
    total = wrap(weights).cumsum(-1)
    drawn = wrap(draws.uniform(key, shape, float32)).unsqueeze(-1) * total[-1]
    found: Tensor = (total <= drawn).sum(-1).clip(max=weights.shape[-1] - 1)
    return found


# --- PyTorch's names, on the global stream ----------------------------------------------------


@public
def rand(
    *shape: Any, dtype: Any = float32, requires_grad: bool = False,
    generator: Generator | None = None, device: Any = None,
) -> Tensor:  # fmt: skip
    """Uniform in [0, 1) from the global stream."""
    return uniform(None, shape_of("rand", shape), dtype=dtype, generator=generator,
                   requires_grad=requires_grad)  # fmt: skip


@public
def randn(
    *shape: Any, dtype: Any = float32, requires_grad: bool = False,
    generator: Generator | None = None, device: Any = None,
) -> Tensor:  # fmt: skip
    """Standard normal from the global stream."""
    return normal(None, shape_of("randn", shape), dtype=dtype, generator=generator,
                  requires_grad=requires_grad)  # fmt: skip


@public
def randint(
    low: int, high: Any = None, shape: Any = None, dtype: Any = int64,
    generator: Generator | None = None, device: Any = None,
) -> Tensor:  # fmt: skip
    """Uniform integers: randint(high, shape) or randint(low, high, shape)."""
    if isinstance(low, Tensor) and low.shape == (2,) and low.dtype is uint32:
        raise ArgumentError("randint: the first argument is a key; need numbers, or "
                            "am.random.integers(key, low, high, shape)")  # fmt: skip
    if shape is None:
        low, high, shape = 0, low, high
    if shape is None:
        raise ArgumentError("randint: no shape was given; need randint(low, high, shape)")
    return integers(None, low, high, shape, dtype, generator)


@public
def randint_like(x: Any, low: int, high: int | None = None, dtype: Any = None) -> Tensor:
    """Uniform integers from low (0) to high - 1 in the shape (and dtype) of `x`."""
    node, bounds = node_of(x), (0, low) if high is None else (low, high)
    whole = integers(None, *bounds, node.shape, int64)
    return wrap(convert(whole._node, as_dtype(dtype or node.dtype)))


@public
def randperm(n: int, dtype: Any = int64, generator: Generator | None = None) -> Tensor:
    """A random order of range(n) from the global stream."""
    return wrap(convert(permutation(None, n, generator)._node, as_dtype(dtype)))


@public
def rand_like(x: Any, dtype: Any = None) -> Tensor:
    """Uniform in [0, 1) in the shape (and dtype) of `x`."""
    node = node_of(x)
    return rand(node.shape, dtype=dtype or node.dtype)


@public
def randn_like(x: Any, dtype: Any = None) -> Tensor:
    """Standard normal in the shape (and dtype) of `x`."""
    node = node_of(x)
    return randn(node.shape, dtype=dtype or node.dtype)


def uniform_(self: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform numbers from the global stream in every element."""
    return self._rebind(uniform(None, self.shape, low, high, self.dtype)._node, "uniform_")


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal numbers from the global stream in every element."""
    return self._rebind(normal(None, self.shape, mean, std, self.dtype)._node, "normal_")


def bernoulli_(self: Tensor, p: float = 0.5) -> Tensor:
    """1 with probability p, else 0, in every element."""
    drawn = bernoulli(None, p, self.shape)
    return self._rebind(drawn._node, "bernoulli_")


__all__ = [
    "bernoulli", "rand",
    "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm",
]  # fmt: skip
