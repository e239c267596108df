"""How a user of JAX trains and asks a network: pure functions of dictionaries, one jit a step."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench.models.weights import batches_of, channels_last, is_running, of
from bench.workload import Call, Data

Tree = dict[str, Any]
Forward = Callable[["Kit", Any], Any]


class Kit:
    """Layers by the names of their weights. `moved` collects running statistics in training."""

    relu, relu6 = staticmethod(jax.nn.relu), staticmethod(jax.nn.relu6)
    sigmoid, tanh = staticmethod(jax.nn.sigmoid), staticmethod(jnp.tanh)
    reshape, transpose = staticmethod(jnp.reshape), staticmethod(jnp.transpose)
    zeros = staticmethod(jnp.zeros)

    def __init__(self, weights: Tree, training: bool = False) -> None:
        self.weights, self.training = weights, training
        self.moved: Tree = {}

    def __getitem__(self, name: str) -> Any:
        return self.weights[name]

    def take(self, table: Any, index: Any) -> Any:
        return table[index]

    def concat(self, parts: list[Any], axis: int) -> Any:
        return jnp.concatenate(parts, axis)

    def split(self, x: Any, parts: int) -> Any:
        return jnp.split(x, parts, -1)

    def gelu(self, x: Any) -> Any:
        return jax.nn.gelu(x, approximate=False)

    def dense(self, x: Any, weight: Any) -> Any:
        return x @ weight

    def linear(self, name: str, x: Any) -> Any:
        y = x @ self[f"{name}.weight"]
        return y + self[f"{name}.bias"] if f"{name}.bias" in self.weights else y

    def conv(
        self, name: str, x: Any, stride: int = 1, padding: int | None = None, groups: int = 1
    ) -> Any:
        weight = self[f"{name}.weight"]
        around = (weight.shape[0] - 1) // 2 if padding is None else padding
        y = lax.conv_general_dilated(
            x, weight, (stride, stride), [(around, around)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups,
        )  # fmt: skip
        return y + self[f"{name}.bias"] if f"{name}.bias" in self.weights else y

    def grow(self, name: str, x: Any) -> Any:
        """Every pixel becomes two by two: a transposed convolution with stride 2."""
        batch, height, width, _ = x.shape
        y = jnp.einsum("bhwc,ijoc->bhiwjo", x, self[f"{name}.weight"])
        return y.reshape(batch, 2 * height, 2 * width, -1) + self[f"{name}.bias"]

    def max_pool(self, x: Any, size: int, stride: int, padding: int = 0) -> Any:
        around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
        window, steps = (1, size, size, 1), (1, stride, stride, 1)
        return lax.reduce_window(x, -jnp.inf, lax.max, window, steps, around)

    def mean_pixels(self, x: Any) -> Any:
        return x.mean((1, 2))

    def flat_channels_first(self, x: Any) -> Any:
        return x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)

    def batch_norm(self, name: str, x: Any) -> Any:
        mean, variance = self[f"{name}.running_mean"], self[f"{name}.running_var"]
        if self.training:
            count = x.size // x.shape[-1]
            old = mean, variance
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
            self.moved[f"{name}.running_mean"] = 0.9 * old[0] + 0.1 * mean
            self.moved[f"{name}.running_var"] = 0.9 * old[1] + 0.1 * variance * (
                count / (count - 1)
            )
        scale = self[f"{name}.weight"] * lax.rsqrt(variance + 1e-5)
        return x * scale + (self[f"{name}.bias"] - mean * scale)

    def layer_norm(self, name: str, x: Any) -> Any:
        away = x - x.mean(-1, keepdims=True)
        scale = lax.rsqrt((away * away).mean(-1, keepdims=True) + 1e-5)
        return away * scale * self[f"{name}.weight"] + self[f"{name}.bias"]

    def causal(self, layer: int, q: Any, k: Any, v: Any) -> Any:
        q, k, v = (part.transpose(0, 2, 1, 3) for part in (q, k, v))
        return jax.nn.dot_product_attention(q, k, v, is_causal=True).transpose(0, 2, 1, 3)

    def attention(self, q: Any, k: Any, v: Any, mask: Any = None) -> Any:
        q, k, v = (part.transpose(0, 2, 1, 3) for part in (q, k, v))
        return jax.nn.dot_product_attention(q, k, v, mask=mask).transpose(0, 2, 1, 3)

    def scan(self, step: Any, state: Any, inputs: Any) -> Any:
        return lax.scan(lambda carry, x: (step(carry, x), None), state, inputs)[0]


def image(x: Any) -> Any:
    """Images become NHWC; everything else stays."""
    return jnp.asarray(np.moveaxis(x, 1, -1) if x.ndim == 4 else x)


def cross_entropy(logits: Any, y: Any) -> Any:
    logs = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(logs, y[..., None], -1).mean()


def updated(rule: str, lr: float, t: Any, p: Tree, slots: list[Tree], g: Tree) -> Any:
    """Parameters and slots after one step of "sgd" (momentum 0.9), "adam" or "adamw"."""
    if rule == "sgd":
        (v,) = slots
        v = jax.tree.map(lambda v, g: 0.9 * v + g, v, g)
        return jax.tree.map(lambda p, v: p - lr * v, p, v), [v]
    m, v = slots
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    rate, spread = lr / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
    keep = 1 - lr * 0.01 if rule == "adamw" else 1.0
    new = jax.tree.map(lambda p, m, v: keep * p - rate * m / (jnp.sqrt(v) / spread + 1e-8), p, m, v)
    return new, [m, v]


def train(forward: Forward, data: Data, rule: str, lr: float) -> Call:
    """One step a call; returns its loss. Everything that changes is donated."""
    weights = jax.tree.map(jnp.asarray, channels_last(of(data)))
    running = {name: value for name, value in weights.items() if is_running(name)}
    p = {name: value for name, value in weights.items() if not is_running(name)}
    slots = [jax.tree.map(jnp.zeros_like, p) for _ in range(1 if rule == "sgd" else 2)]
    batches = cycle([(image(x), jnp.asarray(y)) for x, y in batches_of(data)])

    def step(p: Tree, slots: list[Tree], running: Tree, t: Any, x: Any, y: Any) -> Any:
        def loss_of(p: Tree) -> Any:
            kit = Kit(p | running, training=True)
            return cross_entropy(forward(kit, x), y), kit.moved

        (loss, running), g = jax.value_and_grad(loss_of, has_aux=True)(p)
        p, slots = updated(rule, lr, t + 1, p, slots, g)
        return p, slots, running, t + 1, loss

    run = jax.jit(step, donate_argnums=(0, 1, 2, 3))
    state = [p, slots, running, jnp.float32(0)]

    def call() -> float:
        *state[:], loss = run(*state, *next(batches))
        return float(loss)

    return call


def infer(forward: Forward, data: Data) -> Call:
    """One forward pass a call; returns its logits."""
    weights = jax.tree.map(jnp.asarray, channels_last(of(data)))
    x = image(data["x"])
    run = jax.jit(lambda weights, x: forward(Kit(weights), x))
    return lambda: run(weights, x).block_until_ready()
