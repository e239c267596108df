"""Counter-based random numbers: Philox2x32-10 of (key, position).

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
A random tensor is a pure function of a key and of each element's position, so it fuses into its
consumers and is recomputed in the backward pass instead of being stored.
"""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import DType, bfloat16, float16, float32, float64, uint32
from ambos.core.errors import DTypeError
from ambos.core.shape import Shape, size_of
from ambos.graph.node import Attrs, Node
from ambos.ops.arithmetic import add, bitwise_right_shift, cast, multiply
from ambos.ops.elementary import normal_pair, uniform_float32, uniform_float64
from ambos.ops.indexing import argsort
from ambos.ops.kinds import Pointwise, constant_like
from ambos.ops.movement import expand, reshape, slice_
from ambos.ops.sources import iota

MULTIPLIER, WEYL, ROUNDS = 0xD256D193, 0x9E3779B9, 10
HALF_DIGITS = {float16: 11, bfloat16: 8}


def philox_rounds(b: Any, key: Any, high: Any, low: Any) -> tuple[Any, Any]:
    """Philox2x32-10: two random words from a key and a 64-bit counter."""
    for round_number in range(ROUNDS):
        if round_number:
            key = key + WEYL
        low, high = b.mul_high(low, b.const(MULTIPLIER, uint32)) ^ key ^ high, low * MULTIPLIER
    return low, high


class Random(Pointwise, abstract=True):
    """Functions of (key, stream, position), all uint32, without gradient."""

    kind = "random"
    arity, accepts, differentiable, cost = 3, "u", False, 60

    def infer_dtype(self, inputs: tuple[Node, ...], attrs: Attrs) -> DType:
        if any(node.dtype is not uint32 for node in inputs):
            raise DTypeError(f"{self.name}: key, stream and position must be uint32")
        return self.result or uint32


def _scalar_philox(np: Any, key: Any, stream: Any, position: Any) -> tuple[Any, Any]:
    """Philox on NumPy, in 64-bit arithmetic."""
    mask = np.uint64(0xFFFFFFFF)
    k, high, low = (np.asarray(v).astype(np.uint64) for v in (key, stream, position))
    for round_number in range(ROUNDS):
        if round_number:
            k = (k + np.uint64(WEYL)) & mask
        wide = low * np.uint64(MULTIPLIER)
        low, high = (wide >> np.uint64(32)) ^ k ^ high, wide & mask
    return low.astype(np.uint32), high.astype(np.uint32)


class RandomBits(Random):
    """32 random bits."""

    lower = lambda b, key, stream, position: philox_rounds(b, key, stream, position)[0]
    ref = lambda np, key, stream, position: _scalar_philox(np, key, stream, position)[0]


class RandomUniform32(Random):
    """Uniform float32 in [0, 1), multiples of 2**-24."""

    name, result = "random_uniform_float32", float32
    ref = lambda np, *words: (
        (_scalar_philox(np, *words)[0] >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
    )

    def lower(b: Any, *words: Any) -> Any:
        return uniform_float32(b, philox_rounds(b, *words)[0])


class RandomUniform64(Random):
    """Uniform float64 in [0, 1), multiples of 2**-53."""

    name, result = "random_uniform_float64", float64

    def lower(b: Any, *words: Any) -> Any:
        low, high = philox_rounds(b, *words)
        return uniform_float64(b, high, low)

    def ref(np: Any, *words: Any) -> Any:
        low, high = (w.astype(np.uint64) for w in _scalar_philox(np, *words))
        bits = ((high << np.uint64(32)) | low) >> np.uint64(11)
        return bits.astype(np.float64) * 2.0**-53


class RandomNormal32(Random):
    """Standard normal float32."""

    name, result, cost = "random_normal_float32", float32, 100

    def lower(b: Any, *words: Any) -> Any:
        low, high = philox_rounds(b, *words)
        return normal_pair(b, low, high, float32)[0]

    def ref(np: Any, *words: Any) -> Any:
        return _box_muller(np, *words).astype(np.float32)


class RandomNormal64(Random):
    """Standard normal float64."""

    name, result, cost = "random_normal_float64", float64, 100

    def lower(b: Any, *words: Any) -> Any:
        low, high = philox_rounds(b, *words)
        return normal_pair(b, low, high, float64)[0]

    ref = lambda np, *words: _box_muller(np, *words)


def _box_muller(np: Any, *words: Any) -> Any:
    low, high = (w.astype(np.float64) for w in _scalar_philox(np, *words))
    radius = np.sqrt(-2.0 * np.log((low + 0.5) * 2.0**-32))
    return radius * np.cos(2.0 * np.pi * (high + 0.5) * 2.0**-32)


BITS, UNIFORM32, UNIFORM64 = RandomBits(), RandomUniform32(), RandomUniform64()
NORMAL32, NORMAL64 = RandomNormal32(), RandomNormal64()


def draw(op: Random, key: Node, shape: Shape, *parameters: Node) -> Node:
    """`op` at every position of `shape`. `key`: uint32 of shape (2,); `parameters` have `shape`."""
    count = size_of(shape)

    def word(i: int) -> Node:
        return expand(slice_(key, attrs=((i,), (i + 1,), (1,))), attrs=((count,),))

    position, stream = iota(attrs=(count,)), word(1)
    if count > 1 << 32:
        upper = bitwise_right_shift(position, constant_like(position, 32))
        stream = add(stream, cast(upper, attrs=(uint32,)))
    flattened = [reshape(parameter, attrs=((count,),)) for parameter in parameters]
    flat = op(word(0), stream, cast(position, attrs=(uint32,)), *flattened)
    return reshape(flat, attrs=(shape,))


def bits(key: Node, shape: Shape) -> Node:
    """Uniform uint32."""
    return draw(BITS, key, shape)


def uniform(key: Node, shape: Shape, dtype: DType) -> Node:
    """Uniform in [0, 1); a half precision gets as many bits as it holds: none rounds to 1."""
    if dtype is float64:
        return draw(UNIFORM64, key, shape)
    if dtype is float32:
        return draw(UNIFORM32, key, shape)
    digits = HALF_DIGITS[dtype]
    sample = bits(key, shape)
    upper = bitwise_right_shift(sample, constant_like(sample, 32 - digits))
    whole = cast(upper, attrs=(dtype,))
    return multiply(whole, constant_like(whole, 2.0**-digits))


def normal(key: Node, shape: Shape, dtype: DType) -> Node:
    """Standard normal."""
    if dtype is float64:
        return draw(NORMAL64, key, shape)
    sample = draw(NORMAL32, key, shape)
    return sample if dtype is float32 else cast(sample, attrs=(dtype,))


def permutation(key: Node, count: int) -> Node:
    """A random order of range(count), int64: positions sorted by random bits."""
    return argsort(bits(key, (count,)), attrs=(count, False))
