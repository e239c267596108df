"""How a user of TensorFlow trains and asks a network: variables, and one compiled tf.function."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
import tensorflow as tf

from bench.models.weights import batches_of, channels_last, is_running, of
from bench.workload import Call, Data

Forward = Callable[["Kit", Any], Any]


class Kit:
    """Layers by the names of their weights. In training running statistics move in place."""

    relu, relu6 = staticmethod(tf.nn.relu), staticmethod(tf.nn.relu6)
    sigmoid, tanh = staticmethod(tf.sigmoid), staticmethod(tf.tanh)
    reshape, transpose = staticmethod(tf.reshape), staticmethod(tf.transpose)
    zeros, take = staticmethod(tf.zeros), staticmethod(tf.gather)

    def __init__(self, weights: dict[str, Any], training: bool = False) -> None:
        self.weights, self.training = weights, training

    def __getitem__(self, name: str) -> Any:
        return self.weights[name]

    def concat(self, parts: list[Any], axis: int) -> Any:
        return tf.concat(parts, axis)

    def split(self, x: Any, parts: int) -> Any:
        return tf.split(x, parts, -1)

    def gelu(self, x: Any) -> Any:
        return tf.nn.gelu(x, approximate=False)

    def dense(self, x: Any, weight: Any) -> Any:
        return tf.matmul(x, weight)

    def linear(self, name: str, x: Any) -> Any:
        weight = self[f"{name}.weight"]
        flat = tf.reshape(x, (-1, weight.shape[0]))
        y = tf.reshape(tf.matmul(flat, weight), (*x.shape[:-1], weight.shape[1]))
        return y + self[f"{name}.bias"] if f"{name}.bias" in self.weights else y

    def conv(
        self, name: str, x: Any, stride: int = 1, padding: int | None = None, groups: int = 1
    ) -> Any:
        weight = self[f"{name}.weight"]
        pad = (weight.shape[0] - 1) // 2 if padding is None else padding
        steps, around = (1, stride, stride, 1), [[0, 0], [pad, pad], [pad, pad], [0, 0]]
        if groups > 1:  # depthwise is all that there is here
            turned = tf.transpose(weight, (0, 1, 3, 2))
            y = tf.nn.depthwise_conv2d(x, turned, steps, around)
        else:
            y = tf.nn.conv2d(x, weight, steps, around)
        return y + self[f"{name}.bias"] if f"{name}.bias" in self.weights else y

    def grow(self, name: str, x: Any) -> Any:
        """Every pixel becomes two by two: a transposed convolution with stride 2."""
        batch, height, width, _ = x.shape
        weight = self[f"{name}.weight"]
        shape = (batch, 2 * height, 2 * width, weight.shape[2])
        return tf.nn.conv2d_transpose(x, weight, shape, 2, "VALID") + self[f"{name}.bias"]

    def max_pool(self, x: Any, size: int, stride: int, padding: int = 0) -> Any:
        around = [[0, 0], [padding, padding], [padding, padding], [0, 0]]
        if padding:  # XLA pools no padding of its own
            x = tf.pad(x, around, constant_values=x.dtype.min)
        return tf.nn.max_pool2d(x, size, stride, "VALID")

    def mean_pixels(self, x: Any) -> Any:
        return tf.reduce_mean(x, (1, 2))

    def flat_channels_first(self, x: Any) -> Any:
        return tf.reshape(tf.transpose(x, (0, 3, 1, 2)), (x.shape[0], -1))

    def batch_norm(self, name: str, x: Any) -> Any:
        mean, variance = self[f"{name}.running_mean"], self[f"{name}.running_var"]
        scale, shift = self[f"{name}.weight"], self[f"{name}.bias"]
        if not self.training:
            return tf.nn.batch_normalization(x, mean, variance, shift, scale, 1e-5)
        old = mean, variance
        mean, variance = tf.nn.moments(x, (0, 1, 2))
        count = x.shape.num_elements() // x.shape[-1]
        old[0].assign(0.9 * old[0] + 0.1 * tf.stop_gradient(mean))
        old[1].assign(0.9 * old[1] + (0.1 * count / (count - 1)) * tf.stop_gradient(variance))
        return tf.nn.batch_normalization(x, mean, variance, shift, scale, 1e-5)

    def layer_norm(self, name: str, x: Any) -> Any:
        mean, variance = tf.nn.moments(x, (-1,), keepdims=True)
        scale, shift = self[f"{name}.weight"], self[f"{name}.bias"]
        return tf.nn.batch_normalization(x, mean, variance, shift, scale, 1e-5)

    def causal(self, layer: int, q: Any, k: Any, v: Any) -> Any:
        length = q.shape[-2]
        scores = tf.matmul(q, k, transpose_b=True) * q.shape[-1] ** -0.5
        hidden = np.triu(np.full((length, length), -np.inf, np.float32), 1)
        return tf.matmul(tf.nn.softmax(scores + hidden), v)

    def attention(self, q: Any, k: Any, v: Any, mask: Any = None) -> Any:
        scores = tf.matmul(q, k, transpose_b=True) * q.shape[-1] ** -0.5
        if mask is not None:
            scores += tf.where(mask, 0.0, -np.inf)
        return tf.matmul(tf.nn.softmax(scores), v)

    def scan(self, step: Any, state: Any, inputs: Any) -> Any:
        def body(t: Any, *carry: Any) -> Any:
            return (t + 1, *step(carry, inputs[t]))

        length = inputs.shape[0]
        start = (tf.constant(0), *state)
        return tf.while_loop(lambda t, *carry: t < length, body, start, maximum_iterations=length)[
            1:
        ]


def image(x: Any) -> Any:
    """Images become NHWC; everything else stays."""
    return tf.constant(np.ascontiguousarray(np.moveaxis(x, 1, -1)) if x.ndim == 4 else x)


def update(rule: str, lr: float, t: Any, p: Any, slots: list[Any], g: Any) -> None:
    """One step of "sgd" (momentum 0.9), "adam" or "adamw", in place."""
    if rule == "sgd":
        p.assign_sub(lr * slots[0].assign(0.9 * slots[0] + g))
        return
    m, v = slots
    m.assign(0.9 * m + 0.1 * g)
    v.assign(0.999 * v + 0.001 * g * g)
    rate, spread = lr / (1 - 0.9**t), tf.sqrt(1 - 0.999**t)
    keep = 1 - lr * 0.01 if rule == "adamw" else 1.0
    p.assign(keep * p - rate * m / (tf.sqrt(v) / spread + 1e-8))


def variables(data: Data) -> dict[str, Any]:
    return {
        name: tf.Variable(value, trainable=not is_running(name))
        for name, value in channels_last(of(data)).items()
    }


def train(forward: Forward, data: Data, rule: str, lr: float, xla: bool = True) -> Call:
    """One step a call; returns its loss."""
    weights = variables(data)
    p = [value for value in weights.values() if value.trainable]
    count = 1 if rule == "sgd" else 2
    slots = [[tf.Variable(tf.zeros_like(v), trainable=False) for _ in range(count)] for v in p]
    time = tf.Variable(0.0, trainable=False)
    batches = cycle([(image(x), tf.constant(y)) for x, y in batches_of(data)])

    @tf.function(jit_compile=xla)
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = forward(Kit(weights, training=True), x)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
            )
        time.assign_add(1.0)
        for v, own, g in zip(p, slots, tape.gradient(loss, p), strict=True):
            update(rule, lr, time, v, own, tf.convert_to_tensor(g))
        return loss

    return lambda: float(step(*next(batches)))


def infer(forward: Forward, data: Data, xla: bool = True) -> Call:
    """One forward pass a call; returns its logits."""
    weights, x = variables(data), image(data["x"])

    @tf.function(jit_compile=xla)
    def run(x: Any) -> Any:
        return forward(Kit(weights), x)

    return lambda: run(x).numpy()
