"""Reductions along rows: softmax, losses and normalisations, forward and with gradients.

Some four million elements a case, so that nothing stays in a private cache. The least that must
move: every operand and every result once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.formula import COTANGENT, Formula
from bench.workload import Data, integers, normal

ELEMENTS = 1 << 22
LENGTHS = (64, 1000, 50257)
COMPILED = 1000  # the row length at which torch.compile takes part: it costs seconds a case


class Rows(Formula):
    """Forward, or forward and backward, of a function of (rows, length)."""

    what: str
    extra: tuple[str, ...] = ()  # parameters of one row, which get gradients as well

    def __init__(self, length: int, backward: bool) -> None:
        self.shape: tuple[int, ...] = (ELEMENTS // length, length)
        self.compiled = length == COMPILED
        self.name = f"{self.what}-{length}-{'fb' if backward else 'f'}"
        self.describe(backward)

    def describe(self, backward: bool) -> None:
        """The facts that are alike for every case here."""
        sizes = " x ".join(map(str, self.shape))
        word = "forward and backward" if backward else "forward"
        self.title = f"{self.what.replace('_', ' ')}, {sizes}, {word}"
        self.wanted = ("x", *self.extra) if backward else ()
        self.bytes = self.traffic(backward) * 4.0 * int(np.prod(self.shape))
        self.backward = backward

    def traffic(self, backward: bool) -> int:
        """How many arrays of the size of x are read or written."""
        return 4 if backward else 2

    def data(self) -> Data:
        found = {"x": normal(0, *self.shape)}
        for seed, name in enumerate(self.extra):
            found[name] = normal(seed + 1, self.shape[1])
        if self.backward:
            found[COTANGENT] = normal(9, *self.shape)
        return found


class Softmax(Rows):
    what = "softmax"

    def ambos(self, x: Any) -> Any:
        import ambos as am

        return am.softmax(x, -1)

    def torch(self, x: Any) -> Any:
        import torch

        return torch.softmax(x, -1)

    def jax(self, x: Any) -> Any:
        import jax

        return jax.nn.softmax(x, -1)

    def tensorflow(self, x: Any) -> Any:
        import tensorflow as tf

        return tf.nn.softmax(x, -1)

    def mlx(self, x: Any) -> Any:
        import mlx.core as mx

        return mx.softmax(x, -1)


class CrossEntropy(Rows):
    """The mean over the rows of log_softmax at a label."""

    what = "cross_entropy"

    def traffic(self, backward: bool) -> int:
        return 2 if backward else 1

    def data(self) -> Data:
        rows, length = self.shape
        return {"x": normal(0, rows, length), "labels": integers(1, length, rows)}

    def ambos(self, x: Any, labels: Any) -> Any:
        import ambos.nn.functional as F

        return F.cross_entropy(x, labels)

    def torch(self, x: Any, labels: Any) -> Any:
        import torch.nn.functional as F

        return F.cross_entropy(x, labels)

    def jax(self, x: Any, labels: Any) -> Any:
        import jax

        chosen = jax.numpy.take_along_axis(x, labels[:, None], axis=1)[:, 0]
        return (jax.nn.logsumexp(x, -1) - chosen).mean()

    def tensorflow(self, x: Any, labels: Any) -> Any:
        import tensorflow as tf

        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=x)
        return tf.reduce_mean(losses)

    def mlx(self, x: Any, labels: Any) -> Any:
        import mlx.nn as nn

        return nn.losses.cross_entropy(x, labels, reduction="mean")


class LayerNorm(Rows):
    what = "layer_norm"
    extra = ("weight", "bias")

    def ambos(self, x: Any, weight: Any, bias: Any) -> Any:
        import ambos.nn.functional as F

        return F.layer_norm(x, self.shape[1:], weight, bias)

    def torch(self, x: Any, weight: Any, bias: Any) -> Any:
        import torch.nn.functional as F

        return F.layer_norm(x, self.shape[1:], weight, bias)

    def jax(self, x: Any, weight: Any, bias: Any) -> Any:
        import jax

        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * weight + bias

    def tensorflow(self, x: Any, weight: Any, bias: Any) -> Any:
        import tensorflow as tf

        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, bias, weight, 1e-5)

    def mlx(self, x: Any, weight: Any, bias: Any) -> Any:
        import mlx.core as mx

        return mx.fast.layer_norm(x, weight, bias, 1e-5)


class RMSNorm(Rows):
    what = "rms_norm"
    extra = ("weight",)

    def ambos(self, x: Any, weight: Any) -> Any:
        import ambos as am

        return x * am.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5) * weight

    def torch(self, x: Any, weight: Any) -> Any:
        import torch.nn.functional as F

        return F.rms_norm(x, self.shape[1:], weight, 1e-5)

    def jax(self, x: Any, weight: Any) -> Any:
        import jax

        return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * weight

    def tensorflow(self, x: Any, weight: Any) -> Any:
        import tensorflow as tf

        return x * tf.math.rsqrt(tf.reduce_mean(x * x, -1, keepdims=True) + 1e-5) * weight

    def mlx(self, x: Any, weight: Any) -> Any:
        import mlx.core as mx

        return mx.fast.rms_norm(x, weight, 1e-5)


class BatchNorm(Rows):
    """With the statistics of the batch, as in training."""

    what = "batch_norm"
    extra = ("weight", "bias")
    tolerance = 5e-4  # sums of 65536 elements

    def __init__(self, shape: tuple[int, ...], backward: bool) -> None:
        self.shape = shape
        self.axes = (0, *range(2, len(shape)))
        self.row = (-1,) + (1,) * (len(shape) - 2)  # how a parameter meets x
        self.compiled = len(shape) == 2
        self.name = f"batch_norm-{'x'.join(map(str, shape))}-{'fb' if backward else 'f'}"
        self.describe(backward)

    def ambos(self, x: Any, weight: Any, bias: Any) -> Any:
        import ambos.nn.functional as F

        return F.batch_norm(x, None, None, weight, bias, training=True)

    def torch(self, x: Any, weight: Any, bias: Any) -> Any:
        import torch.nn.functional as F

        return F.batch_norm(x, None, None, weight, bias, training=True)

    def jax(self, x: Any, weight: Any, bias: Any) -> Any:
        import jax

        mean = x.mean(self.axes, keepdims=True)
        variance = ((x - mean) ** 2).mean(self.axes, keepdims=True)
        y = (x - mean) * jax.lax.rsqrt(variance + 1e-5)
        return y * weight.reshape(self.row) + bias.reshape(self.row)

    def tensorflow(self, x: Any, weight: Any, bias: Any) -> Any:
        import tensorflow as tf

        mean, variance = tf.nn.moments(x, self.axes, keepdims=True)
        scale, shift = tf.reshape(weight, self.row), tf.reshape(bias, self.row)
        return tf.nn.batch_normalization(x, mean, variance, shift, scale, 1e-5)


KINDS = (Softmax, CrossEntropy, LayerNorm, RMSNorm)
SHAPES = ((16, 64, 64, 64), (16, 256, 32, 32), (4096, 1024))
CASES: list[Rows] = [
    kind(length, back) for kind in KINDS for length in LENGTHS for back in (False, True)
]
CASES += [BatchNorm(shape, back) for shape in SHAPES for back in (False, True)]
