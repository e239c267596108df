"""Elementwise chains and optimizer updates, out of cache: what counts is moving bytes once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bench.formula import COTANGENT, Formula, filled
from bench.workload import Call, Case, Data, normal

ROWS, WIDTH = 4096, 1024
DROPPED = 0.1
PARTS, PART = 10, (1000, 1000)  # ten million parameters
RATE, DECAY, EPSILON = 1e-3, 1e-2, 1e-8
BETAS = (0.9, 0.999)


class Epilogue(Formula):
    """residual + dropout(gelu(x + bias)).

    Every framework draws its own random numbers. For the comparison, elements that were dropped
    get the value they would have had; how many were dropped is compared to two digits.
    """

    compiled = random = True

    def __init__(self, backward: bool) -> None:
        self.name = f"bias_gelu_dropout_residual-{'fb' if backward else 'f'}"
        word = "forward and backward" if backward else "forward"
        self.title = f"bias + GELU + dropout + residual, {ROWS} x {WIDTH}, {word}"
        self.wanted = ("x", "bias") if backward else ()
        # Forward reads x and the residual and writes y; backward reads g and writes dx. (The
        # residual's gradient is g itself.)
        self.bytes = (5 if backward else 3) * 4.0 * ROWS * WIDTH

    def data(self) -> Data:
        found = {
            "x": normal(0, ROWS, WIDTH),
            "bias": normal(1, WIDTH),
            "residual": normal(2, ROWS, WIDTH),
        }
        return found | ({COTANGENT: normal(3, ROWS, WIDTH)} if self.wanted else {})

    def comparable(
        self, twin: str, arrays: list[np.ndarray], data: Data
    ) -> list[np.ndarray | float]:
        import torch  # the oracle of what dropped elements would have been

        z = torch.from_numpy(data["x"] + data["bias"]).requires_grad_()
        kept = torch.nn.functional.gelu(z) / (1 - DROPPED)
        residual = data["residual"]
        dropped = arrays[0] == residual
        whole = filled(arrays[0], dropped, residual + kept.detach().numpy())
        results: list[np.ndarray | float] = [whole, round(float(dropped.mean()), 2)]
        if self.wanted:
            (slope,) = torch.autograd.grad(kept, z, torch.from_numpy(data[COTANGENT]))
            results.append(filled(arrays[1], dropped, slope.numpy()))
            sums = arrays[1].astype(np.float64).sum(0)
            scale = np.abs(arrays[1]).sum(0)
            results.append(1.0 + (arrays[2] - sums) / scale)  # the bias's is the sum of x's
        return results

    def ambos(self, x: Any, bias: Any, residual: Any) -> Any:
        import ambos.nn.functional as F

        return residual + F.dropout(F.gelu(x + bias), DROPPED)

    def torch(self, x: Any, bias: Any, residual: Any) -> Any:
        import torch.nn.functional as F

        return residual + F.dropout(F.gelu(x + bias), DROPPED)

    def jax(self, x: Any, bias: Any, residual: Any, seed: Any) -> Any:
        import jax

        y = jax.nn.gelu(x + bias, approximate=False)
        kept = jax.random.bernoulli(jax.random.key(seed), 1 - DROPPED, y.shape)
        return residual + jax.numpy.where(kept, y / (1 - DROPPED), 0.0)

    def tensorflow(self, x: Any, bias: Any, residual: Any) -> Any:
        import tensorflow as tf

        return residual + tf.nn.dropout(tf.nn.gelu(x + bias), DROPPED)

    def mlx(self, x: Any, bias: Any, residual: Any) -> Any:
        import mlx.core as mx
        import mlx.nn as nn

        y = nn.gelu(x + bias)
        return residual + mx.where(mx.random.bernoulli(1 - DROPPED, y.shape), y / (1 - DROPPED), 0)


class Chain(Formula):
    """Twelve elementwise operations, one after the other."""

    compiled = True
    name = "chain-12"
    title = f"12 elementwise operations, {ROWS} x {WIDTH}"
    bytes = 3 * 4.0 * ROWS * WIDTH

    def data(self) -> Data:
        return {"x": normal(0, ROWS, WIDTH), "y": normal(1, ROWS, WIDTH)}

    def chain(self, m: Any, x: Any, y: Any) -> Any:
        """In the names that the frameworks share; `m` is the framework."""
        t = m.abs((x * y + x) - y) + 1.0
        t = 1.0 / m.sqrt(t)
        return m.maximum(m.tanh(t * x) + y, x) * 0.5

    def ambos(self, x: Any, y: Any) -> Any:
        import ambos as am

        return self.chain(am, x, y)

    def torch(self, x: Any, y: Any) -> Any:
        import torch

        return self.chain(torch, x, y)

    def jax(self, x: Any, y: Any) -> Any:
        import jax.numpy as jnp

        return self.chain(jnp, x, y)

    def tensorflow(self, x: Any, y: Any) -> Any:
        import tensorflow as tf

        return self.chain(tf, x, y)

    def mlx(self, x: Any, y: Any) -> Any:
        import mlx.core as mx

        return self.chain(mx, x, y)


def of_resnet50() -> list[tuple[int, ...]]:
    """The shapes of ResNet-50's parameters: 161, from 64 numbers to two million."""
    found: list[tuple[int, ...]] = [(64, 3, 7, 7), (64,), (64,)]
    inputs = 64
    for planes, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            layers = [(planes, inputs, 1), (planes, planes, 3), (4 * planes, planes, 1)]
            layers += [(4 * planes, inputs, 1)] if block == 0 else []
            for outputs, channels, size in layers:
                found += [(outputs, channels, size, size), (outputs,), (outputs,)]
            inputs = 4 * planes
    return [*found, (1000, inputs), (1000,)]


class Update(Case):
    """One step of Adam or AdamW with given gradients."""

    tolerance = 1e-5

    def __init__(
        self, name: str, title: str, shapes: list[tuple[int, ...]], decoupled: bool
    ) -> None:
        self.name, self.title, self.shapes = name, title, shapes
        self.decay = DECAY if decoupled else 0.0
        # Parameters, gradients and both moments are read; all but the gradients are written.
        self.bytes = 7 * 4.0 * sum(map(math.prod, shapes))

    def data(self) -> Data:
        count = len(self.shapes)
        found = {f"p{i}": normal(i, *shape) for i, shape in enumerate(self.shapes)}
        return found | {
            f"g{i}": normal(count + i, *shape, scale=0.1) for i, shape in enumerate(self.shapes)
        }

    def parts(self, data: Data, wrap: Any) -> tuple[list[Any], list[Any]]:
        """Parameters and gradients."""
        count = range(len(self.shapes))
        return [wrap(data[f"p{i}"]) for i in count], [wrap(data[f"g{i}"]) for i in count]

    def with_ambos(self, data: Data) -> Call:
        import ambos as am

        optimizer, parameters = self.ours(data)
        update = am.jit(optimizer.step)

        def call() -> list[Any]:
            update()
            return parameters

        return call

    def with_ambos_eager(self, data: Data) -> Call:
        optimizer, parameters = self.ours(data)

        def call() -> list[Any]:
            optimizer.step()
            return parameters

        return call

    def ours(self, data: Data) -> tuple[Any, list[Any]]:
        """Our optimizer and its parameters, whose gradients are there."""
        import ambos as am
        from ambos import nn, optim

        values, gradients = self.parts(data, am.tensor)
        parameters = [nn.Parameter(value) for value in values]
        optimizer: Any
        if self.decay:
            optimizer = optim.AdamW(parameters, lr=RATE, weight_decay=self.decay)
        else:
            optimizer = optim.Adam(parameters, lr=RATE)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        return optimizer, parameters

    def with_torch(self, data: Data) -> Call:
        import torch

        parameters, gradients = self.parts(data, lambda a: torch.from_numpy(a.copy()))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.requires_grad_().grad = gradient
        optimizer: Any
        if self.decay:
            optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=self.decay, fused=True)
        else:
            optimizer = torch.optim.Adam(parameters, lr=RATE, fused=True)

        def call() -> list[Any]:
            optimizer.step()
            return parameters

        return call

    def rule(self, sqrt: Any, p: Any, g: Any, m: Any, v: Any, t: Any) -> tuple[Any, Any, Any]:
        """The update in the arithmetic that all share; `t` counts from one."""
        m = BETAS[0] * m + (1 - BETAS[0]) * g
        v = BETAS[1] * v + (1 - BETAS[1]) * g * g
        bias = sqrt(1 - BETAS[1] ** t)
        step = RATE / (1 - BETAS[0] ** t) * m / (sqrt(v) / bias + EPSILON)
        return p * (1 - RATE * self.decay) - step, m, v

    def with_jax(self, data: Data) -> Call:
        import functools

        import jax
        import jax.numpy as jnp

        p, g = self.parts(data, jnp.array)
        state = [p, [jnp.zeros_like(x) for x in p], [jnp.zeros_like(x) for x in p], jnp.ones(())]

        @functools.partial(jax.jit, donate_argnums=(0, 1, 2, 3))
        def update(p: Any, m: Any, v: Any, t: Any, g: Any) -> Any:
            new = [self.rule(jnp.sqrt, *x, t) for x in zip(p, g, m, v, strict=True)]
            return *map(list, zip(*new, strict=True)), t + 1

        def call() -> list[Any]:
            state[:] = update(*state, g)
            jax.block_until_ready(state)
            return state[0]

        return call

    def with_tensorflow(self, data: Data) -> Call:
        import tensorflow as tf

        p, g = self.parts(data, tf.Variable)
        m = [tf.Variable(tf.zeros_like(x)) for x in p]
        v = [tf.Variable(tf.zeros_like(x)) for x in p]
        t = tf.Variable(1.0)

        @tf.function(jit_compile=True)
        def update() -> None:
            for variables in zip(p, g, m, v, strict=True):
                a, b, c = self.rule(tf.sqrt, *variables, t)
                variables[0].assign(a)
                variables[2].assign(b)
                variables[3].assign(c)
            t.assign_add(1.0)

        def call() -> list[Any]:
            update()
            return p

        return call


SIZE = f"{PARTS} x {PART[0]} x {PART[1]}"
CASES: list[Case] = [
    Epilogue(False),
    Epilogue(True),
    Chain(),
    Update("adam-10m", f"Adam over {SIZE}", [PART] * PARTS, False),
    Update("adamw-10m", f"AdamW over {SIZE}", [PART] * PARTS, True),
    Update("adamw-resnet50", "AdamW over the 161 tensors of ResNet-50", of_resnet50(), True),
]
