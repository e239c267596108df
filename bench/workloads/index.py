"""Moving and finding elements: embedding, gather, transpose, concat, cumsum, sort, top-k, one-hot.

The least that must move: what is read and written once, indices included (8 bytes; JAX's and
MLX's have 4).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.formula import COTANGENT, Formula
from bench.workload import Data, integers, normal

TOKENS, VOCABULARY, WIDTH = 16384, 50_000, 384
ROWS, LENGTH = 4096, 1024
MOVED = 4.0 * ROWS * LENGTH  # bytes of one such matrix


class Embedding(Formula):
    """Rows of a table; backward adds them up into a gradient as large as the table."""

    keeps_result = False

    def __init__(self, backward: bool) -> None:
        self.name = f"embedding-{'b' if backward else 'f'}"
        self.title = (
            f"embedding {VOCABULARY} x {WIDTH}, {TOKENS} tokens, "
            f"{'backward' if backward else 'forward'}"
        )
        self.wanted = ("weight",) if backward else ()
        rows = 4.0 * TOKENS * WIDTH
        self.bytes = 8.0 * TOKENS + (rows + 4.0 * VOCABULARY * WIDTH if backward else 2 * rows)

    def data(self) -> Data:
        found = {
            "weight": normal(0, VOCABULARY, WIDTH),
            "tokens": integers(1, VOCABULARY, TOKENS // 1024, 1024),
        }
        return found | ({COTANGENT: normal(2, TOKENS // 1024, 1024, WIDTH)} if self.wanted else {})

    def ambos(self, weight: Any, tokens: Any) -> Any:
        import ambos.nn.functional as F

        return F.embedding(tokens, weight)

    def torch(self, weight: Any, tokens: Any) -> Any:
        import torch.nn.functional as F

        return F.embedding(tokens, weight)

    def jax(self, weight: Any, tokens: Any) -> Any:
        return weight.at[tokens].get(mode="promise_in_bounds")

    def tensorflow(self, weight: Any, tokens: Any) -> Any:
        import tensorflow as tf

        return tf.gather(weight, tokens)

    def mlx(self, weight: Any, tokens: Any) -> Any:
        return weight[tokens]


class Gather(Formula):
    """Elements of each row, wherever an index says."""

    name = "gather"
    title = f"gather along rows, {ROWS} x {LENGTH}"
    bytes = 2 * MOVED + 2 * MOVED  # the indices have eight bytes

    def data(self) -> Data:
        return {"x": normal(0, ROWS, LENGTH), "index": integers(1, LENGTH, ROWS, LENGTH)}

    def ambos(self, x: Any, index: Any) -> Any:
        import ambos as am

        return am.gather(x, 1, index)

    def torch(self, x: Any, index: Any) -> Any:
        import torch

        return torch.gather(x, 1, index)

    def jax(self, x: Any, index: Any) -> Any:
        import jax.numpy as jnp

        return jnp.take_along_axis(x, index, 1, mode="promise_in_bounds")

    def tensorflow(self, x: Any, index: Any) -> Any:
        import tensorflow as tf

        return tf.gather(x, index, axis=1, batch_dims=1)

    def mlx(self, x: Any, index: Any) -> Any:
        import mlx.core as mx

        return mx.take_along_axis(x, index, 1)


class Matrix(Formula):
    """An operation on one matrix; most of them read it and write another."""

    shape = (ROWS, LENGTH)

    def data(self) -> Data:
        return {"x": normal(0, *self.shape)}


class Transpose(Matrix):
    """Into memory: flattened, so that nobody may answer with a view."""

    name = "transpose"
    title = f"{ROWS} x {LENGTH}, transposed in memory"
    bytes = 2 * MOVED

    def ambos(self, x: Any) -> Any:
        return x.T.reshape(-1)

    def torch(self, x: Any) -> Any:
        return x.T.reshape(-1)

    def jax(self, x: Any) -> Any:
        return x.T.reshape(-1)

    def tensorflow(self, x: Any) -> Any:
        import tensorflow as tf

        return tf.reshape(tf.transpose(x), (-1,))

    def mlx(self, x: Any) -> Any:
        return x.T.reshape(-1)


class Concat(Formula):
    """Four matrices side by side."""

    name = "concat"
    title = f"4 matrices {ROWS} x {LENGTH // 4} side by side"
    bytes = 2 * MOVED

    def data(self) -> Data:
        return {name: normal(seed, ROWS, LENGTH // 4) for seed, name in enumerate("abcd")}

    def ambos(self, **parts: Any) -> Any:
        import ambos as am

        return am.cat(list(parts.values()), 1)

    def torch(self, **parts: Any) -> Any:
        import torch

        return torch.cat(list(parts.values()), 1)

    def jax(self, **parts: Any) -> Any:
        import jax.numpy as jnp

        return jnp.concatenate(list(parts.values()), 1)

    def tensorflow(self, **parts: Any) -> Any:
        import tensorflow as tf

        return tf.concat(list(parts.values()), 1)

    def mlx(self, **parts: Any) -> Any:
        import mlx.core as mx

        return mx.concatenate(list(parts.values()), 1)


class Cumsum(Matrix):
    name = "cumsum"
    title = f"running sum along rows, {ROWS} x {LENGTH}"
    bytes = 2 * MOVED

    def ambos(self, x: Any) -> Any:
        import ambos as am

        return am.cumsum(x, 1)

    def torch(self, x: Any) -> Any:
        import torch

        return torch.cumsum(x, 1)

    def jax(self, x: Any) -> Any:
        import jax.numpy as jnp

        return jnp.cumsum(x, 1)

    def tensorflow(self, x: Any) -> Any:
        import tensorflow as tf

        return tf.cumsum(x, 1)

    def mlx(self, x: Any) -> Any:
        import mlx.core as mx

        return mx.cumsum(x, 1)


class Sort(Matrix):
    """The sorted values and where they were; every framework is asked for both."""

    name = "sort"
    title = f"sort along rows with indices, {ROWS // 4} x {LENGTH}"
    shape = (ROWS // 4, LENGTH)

    def data(self) -> Data:
        """Distinct numbers in a row: which of two equal ones comes first is nobody's promise."""
        rows = np.tile(np.linspace(-3, 3, LENGTH, dtype=np.float32), (self.shape[0], 1))
        return {"x": np.random.default_rng(0).permuted(rows, axis=1)}

    def ambos(self, x: Any) -> Any:
        import ambos as am

        return am.sort(x, dim=1)

    def torch(self, x: Any) -> Any:
        import torch

        return torch.sort(x, dim=1)

    def jax(self, x: Any) -> Any:
        import jax
        import jax.numpy as jnp

        places = jax.lax.broadcasted_iota(jnp.int32, x.shape, 1)
        return jax.lax.sort((x, places), dimension=1, is_stable=False, num_keys=1)

    def tensorflow(self, x: Any) -> Any:
        import tensorflow as tf

        places = tf.argsort(x, 1)
        return tf.gather(x, places, axis=1, batch_dims=1), places

    def mlx(self, x: Any) -> Any:
        import mlx.core as mx

        places = mx.argsort(x, 1)
        return mx.take_along_axis(x, places, 1), places


class TopK(Matrix):
    """The largest values and where they are, as a language model samples."""

    name = "topk"
    count = 50
    shape = (64, 50257)
    title = f"the {count} largest of each row, 64 x 50257"
    bytes = 4.0 * 64 * 50257

    def ambos(self, x: Any) -> Any:
        import ambos as am

        return am.topk(x, self.count)

    def torch(self, x: Any) -> Any:
        import torch

        return torch.topk(x, self.count)

    def jax(self, x: Any) -> Any:
        import jax

        return jax.lax.top_k(x, self.count)

    def tensorflow(self, x: Any) -> Any:
        import tensorflow as tf

        return tf.math.top_k(x, self.count)


class OneHot(Formula):
    name = "one_hot"
    classes = 128
    title = f"one-hot rows in float32, {ROWS * 8} x {classes}"
    bytes = 8.0 * ROWS * 8 + 4.0 * ROWS * 8 * classes

    def data(self) -> Data:
        return {"labels": integers(0, self.classes, ROWS * 8)}

    def ambos(self, labels: Any) -> Any:
        import ambos as am
        import ambos.nn.functional as F

        return F.one_hot(labels, self.classes).to(am.float32)

    def torch(self, labels: Any) -> Any:
        import torch

        hot = torch.zeros(labels.shape[0], self.classes)
        return hot.scatter_(1, labels[:, None], 1.0)

    def jax(self, labels: Any) -> Any:
        import jax

        return jax.nn.one_hot(labels, self.classes)

    def tensorflow(self, labels: Any) -> Any:
        import tensorflow as tf

        return tf.one_hot(labels, self.classes)

    def mlx(self, labels: Any) -> Any:
        import mlx.core as mx

        return (labels[:, None] == mx.arange(self.classes)).astype(mx.float32)


CASES: list[Formula] = [
    Embedding(False), Embedding(True), Gather(), Transpose(), Concat(), Cumsum(), Sort(), TopK(),
    OneHot(),
]  # fmt: skip
