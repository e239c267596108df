"""Reductions over every choice of axes: the last, one in the middle, the first, the ends, all.

Sixteen MiB are read, so that nothing stays in a private cache, and little is written.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.formula import Formula
from bench.workload import Data, normal

SHAPE = (64, 256, 256)
AXES: dict[str, tuple[int, ...]] = {
    "last": (2,), "middle": (1,), "first": (0,), "ends": (0, 2), "all": (0, 1, 2),
}  # fmt: skip


class Reduction(Formula):
    """`op` of a block of numbers over `axes`, called alike in every framework but for spelling."""

    bytes = 4.0 * np.prod(SHAPE)

    def __init__(self, op: str, where: str) -> None:
        self.op, self.axes = op, AXES[where]
        self.name = f"{op}-{where}"
        self.title = f"{op} of {' x '.join(map(str, SHAPE))} over axes {self.axes}"

    def data(self) -> Data:
        return {"x": normal(0, *SHAPE)}

    def ambos(self, x: Any) -> Any:
        import ambos as am

        if self.op == "var":
            return am.var(x, self.axes, correction=0)
        return getattr(am, self.op)(x, axis=self.axes)

    def torch(self, x: Any) -> Any:
        import torch

        if self.op == "var":
            return torch.var(x, self.axes, correction=0)
        return getattr(torch, {"max": "amax"}.get(self.op, self.op))(x, self.axes)

    def jax(self, x: Any) -> Any:
        import jax.numpy as jnp

        return getattr(jnp, self.op)(x, self.axes)

    def tensorflow(self, x: Any) -> Any:
        import tensorflow as tf

        names = {"sum": "reduce_sum", "max": "reduce_max", "var": "reduce_variance"}
        return getattr(tf.math, names[self.op])(x, self.axes)

    def mlx(self, x: Any) -> Any:
        import mlx.core as mx

        return getattr(mx, self.op)(x, self.axes)


class Position(Reduction):
    """The position of the largest element, along one axis or among all."""

    def along(self, x: Any) -> tuple[Any, int]:
        """What is searched, and along which axis: all is one long axis."""
        return (x.reshape(-1), 0) if len(self.axes) > 1 else (x, self.axes[0])

    def ambos(self, x: Any) -> Any:
        import ambos as am

        return am.argmax(*self.along(x))

    def torch(self, x: Any) -> Any:
        import torch

        return torch.argmax(*self.along(x))

    def jax(self, x: Any) -> Any:
        import jax.numpy as jnp

        return jnp.argmax(*self.along(x))

    def tensorflow(self, x: Any) -> Any:
        import tensorflow as tf

        whole = len(self.axes) > 1
        return tf.argmax(tf.reshape(x, [-1]) if whole else x, 0 if whole else self.axes[0])

    def mlx(self, x: Any) -> Any:
        import mlx.core as mx

        return mx.argmax(*self.along(x))


CASES = [
    *(Reduction(op, where) for op in ("sum", "max", "var") for where in AXES),
    *(Position("argmax", where) for where in ("last", "middle", "first", "all")),
]
