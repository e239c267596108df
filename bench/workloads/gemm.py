"""Matrix products: squares and skinny ones, in all four transpositions.

"t" says that the operand lies transposed in memory and its transposed view is multiplied.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.workload import Call, Case, Data, normal

CACHE = 32 << 20  # bytes; operands of less than that stay in a cache from call to call


class Product(Case):
    """C = A @ B, A of m x k and B of k x n."""

    tolerance = 1e-5

    def __init__(self, m: int, k: int, n: int, layout: str) -> None:
        self.m, self.k, self.n = m, k, n
        self.transposed = (layout[0] == "t", layout[1] == "t")
        sizes = f"{m}" if m == k == n else f"{m}x{k}x{n}"
        self.name = f"{sizes}-{layout}"
        self.title = f"sgemm {m} x {k} x {n}"
        self.flops = 2.0 * m * k * n
        moved = 4.0 * (m * k + k * n + m * n)
        self.bytes = moved if moved > CACHE else 0.0
        self.without = {"mlx": "takes 3 s a call"} if self.flops > 1e10 else {}

    def data(self) -> Data:
        shapes = {"a": (self.m, self.k), "b": (self.k, self.n)}
        return {
            name: normal(seed, *(shape[::-1] if turned else shape))
            for seed, ((name, shape), turned) in enumerate(
                zip(shapes.items(), self.transposed, strict=True)
            )
        }

    def views(self, a: Any, b: Any) -> tuple[Any, Any]:
        """The operands as the product takes them."""
        return (a.T if self.transposed[0] else a), (b.T if self.transposed[1] else b)

    def with_ambos(self, data: Data) -> Call:
        import ambos as am

        a, b = am.tensor(data["a"]), am.tensor(data["b"])
        am.evaluate(a, b)

        @am.jit
        def multiply() -> am.Tensor:
            left, right = self.views(a, b)
            return left @ right

        return multiply

    def with_torch(self, data: Data) -> Call:
        import torch

        a, b = torch.from_numpy(data["a"]), torch.from_numpy(data["b"])
        left, right = self.views(a, b)
        return lambda: left @ right

    def with_jax(self, data: Data) -> Call:
        import jax

        a, b = jax.numpy.asarray(data["a"]), jax.numpy.asarray(data["b"])

        @jax.jit
        def multiply(a: Any, b: Any) -> Any:
            left, right = self.views(a, b)
            return left @ right

        return lambda: multiply(a, b).block_until_ready()

    def with_tensorflow(self, data: Data) -> Call:
        import tensorflow as tf

        a, b = tf.constant(data["a"]), tf.constant(data["b"])
        first, second = self.transposed

        @tf.function(jit_compile=True)
        def multiply(a: Any, b: Any) -> Any:
            return tf.matmul(a, b, transpose_a=first, transpose_b=second)

        return lambda: multiply(a, b)  # eager TensorFlow waits for the end

    def with_mlx(self, data: Data) -> Call:
        import mlx.core as mx

        a, b = mx.array(data["a"]), mx.array(data["b"])
        mx.eval(a, b)

        def call() -> Any:
            left, right = self.views(a, b)
            c = left @ right
            mx.eval(c)
            return c

        return call

    def with_numpy(self, data: Data) -> Call:
        left, right = self.views(data["a"], data["b"])
        return lambda: np.matmul(left, right)


SIZES = [(size, size, size) for size in (256, 512, 1024, 2048)]
SKINNY = [(1, 768, 3072), (32, 784, 128), (1024, 64, 1024), (64, 4096, 64)]
CASES = [Product(*size, layout) for size in SIZES + SKINNY for layout in ("nn", "nt", "tn", "tt")]
