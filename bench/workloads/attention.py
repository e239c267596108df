"""Causal attention, 6 heads of 64, forward and with gradients of queries, keys and values."""

from __future__ import annotations

from typing import Any

from bench.formula import COTANGENT, Formula
from bench.workload import Data, normal

HEADS, WIDTH = 6, 64
BATCHES = {128: 16, 512: 4, 2048: 1}  # by length


class Attention(Formula):
    """Arrays are (batch, heads, length, width), as PyTorch and ambos have them."""

    def __init__(self, length: int, backward: bool) -> None:
        self.shape = (BATCHES[length], HEADS, length, WIDTH)
        self.name = f"{length}-{'fb' if backward else 'f'}"
        word = "forward and backward" if backward else "forward"
        self.title = f"causal attention, {' x '.join(map(str, self.shape))}, {word}"
        self.wanted = ("q", "k", "v") if backward else ()
        # Scores and values, for half of all pairs; backward recomputes the scores and has four
        # products more.
        product = 2.0 * BATCHES[length] * HEADS * length * (length + 1) / 2 * WIDTH
        self.flops = product * (2 + (5 if backward else 0))

    def data(self) -> Data:
        names = ["q", "k", "v"] + ([COTANGENT] if self.wanted else [])
        return {name: normal(seed, *self.shape) for seed, name in enumerate(names)}

    def ambos(self, q: Any, k: Any, v: Any) -> Any:
        import ambos.nn.functional as F

        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def torch(self, q: Any, k: Any, v: Any) -> Any:
        import torch.nn.functional as F

        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def jax(self, q: Any, k: Any, v: Any) -> Any:
        import jax

        turned = [x.transpose(0, 2, 1, 3) for x in (q, k, v)]
        return jax.nn.dot_product_attention(*turned, is_causal=True).transpose(0, 2, 1, 3)

    def tensorflow(self, q: Any, k: Any, v: Any) -> Any:
        import tensorflow as tf

        scores = tf.matmul(q, k, transpose_b=True) * WIDTH**-0.5
        mask = tf.linalg.band_part(tf.ones(scores.shape[-2:], tf.bool), -1, 0)
        return tf.matmul(tf.nn.softmax(tf.where(mask, scores, -1e30)), v)

    def mlx(self, q: Any, k: Any, v: Any) -> Any:
        import mlx.core as mx

        return mx.fast.scaled_dot_product_attention(q, k, v, scale=WIDTH**-0.5, mask="causal")


CASES = [Attention(length, back) for length in BATCHES for back in (False, True)]
