"""The cost of growth: forward and backward of stacks of layers against batch, width and depth.

Not part of the table: `python -m bench --growth` runs it and draws `growth.png`. Time should grow
linearly with batch and depth and with the square of the width, once a stack fills the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from bench.formula import COTANGENT, Formula
from bench.workload import Data, normal

LENGTH, HEAD = 64, 64
PEERS = ("torch", "jax")


class Words(NamedTuple):
    """What a framework calls the things that layers are made of."""

    gelu: Callable[[Any], Any]
    norm: Callable[[Any], Any]  # layer normalisation of the last axis, without parameters
    attend: Callable[[Any, Any, Any], Any]  # causal; (batch, heads, length, HEAD)


class Stack(Formula):
    """`depth` layers of one width; `axis` says what grows from case to case."""

    kind: str
    rows: int  # of one example

    def __init__(self, axis: str, batch: int, width: int, depth: int) -> None:
        self.axis, self.size = axis, {"batch": batch, "width": width, "depth": depth}[axis]
        self.batch, self.width, self.depth = batch, width, depth
        self.name = f"{self.kind}-{axis}-{self.size}"
        self.title = f"{self.kind}, batch {batch}, width {width}, depth {depth}"
        self.shape = (batch, width) if self.rows == 1 else (batch, self.rows, width)
        self.wanted = tuple(self.weights())
        products = sum(a * b for a, b in self.weights().values())
        self.flops = 3 * 2.0 * batch * self.rows * products
        self.keeps_result = False

    def weights(self) -> dict[str, tuple[int, int]]:
        """Shapes of the matrices, by name."""
        raise NotImplementedError

    def layer(self, words: Words, x: Any, weights: dict[str, Any], number: int) -> Any:
        """One layer."""
        raise NotImplementedError

    def data(self) -> Data:
        found = {"x": normal(0, *self.shape), COTANGENT: normal(1, *self.shape)}
        # Numbers keep their size at any depth: where they grow, the tails of GELU's derivative are
        # subnormal, and then time says nothing about the work (docs/performance/steps.md).
        for seed, (name, shape) in enumerate(self.weights().items()):
            found[name] = normal(seed + 2, *shape, scale=shape[0] ** -0.5 / self.depth)
        return found

    def stack(self, words: Words, x: Any, weights: dict[str, Any]) -> Any:
        """All layers."""
        for number in range(self.depth):
            x = self.layer(words, x, weights, number)
        return x

    def ambos(self, x: Any, **weights: Any) -> Any:
        import ambos.nn.functional as F

        attend = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)
        words = Words(F.gelu, lambda x: F.layer_norm(x, (self.width,)), attend)
        return self.stack(words, x, weights)

    def torch(self, x: Any, **weights: Any) -> Any:
        import torch.nn.functional as F

        attend = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)
        words = Words(F.gelu, lambda x: F.layer_norm(x, (self.width,)), attend)
        return self.stack(words, x, weights)

    def jax(self, x: Any, **weights: Any) -> Any:
        import jax

        def norm(x: Any) -> Any:
            centred = x - x.mean(-1, keepdims=True)
            return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5)

        def attend(*heads: Any) -> Any:
            turned = [y.transpose(0, 2, 1, 3) for y in heads]
            return jax.nn.dot_product_attention(*turned, is_causal=True).transpose(0, 2, 1, 3)

        words = Words(lambda x: jax.nn.gelu(x, approximate=False), norm, attend)
        return self.stack(words, x, weights)


class Perceptron(Stack):
    """x + gelu(x @ w)."""

    kind = "mlp"
    rows = 1

    def weights(self) -> dict[str, tuple[int, int]]:
        return {f"w{number}": (self.width, self.width) for number in range(self.depth)}

    def layer(self, words: Words, x: Any, weights: dict[str, Any], number: int) -> Any:
        return x + words.gelu(x @ weights[f"w{number}"])


class Transformer(Stack):
    """Blocks of attention and a perceptron, normalised before."""

    kind = "transformer"
    rows = LENGTH

    def weights(self) -> dict[str, tuple[int, int]]:
        width = self.width
        shapes = {"qkv": (width, 3 * width), "out": (width, width),
                  "up": (width, 4 * width), "down": (4 * width, width)}  # fmt: skip
        return {f"{name}{i}": shape for i in range(self.depth) for name, shape in shapes.items()}

    def layer(self, words: Words, x: Any, weights: dict[str, Any], number: int) -> Any:
        batch, width = self.batch, self.width
        both = words.norm(x) @ weights[f"qkv{number}"]
        heads = [
            both[..., i * width : (i + 1) * width]
            .reshape(batch, LENGTH, width // HEAD, HEAD)
            .swapaxes(1, 2)
            for i in range(3)
        ]
        mixed = words.attend(*heads).swapaxes(1, 2).reshape(batch, LENGTH, width)
        x = x + mixed @ weights[f"out{number}"]
        hidden = words.gelu(words.norm(x) @ weights[f"up{number}"])
        return x + hidden @ weights[f"down{number}"]


CASES: list[Stack] = [
    *(Perceptron("batch", 2**i, 512, 4) for i in range(3, 12)),
    *(Perceptron("width", 128, 2**i, 4) for i in range(5, 12)),
    *(Perceptron("depth", 128, 256, 2**i) for i in range(6)),
    *(Transformer("batch", 2**i, 256, 2) for i in range(6)),
    *(Transformer("width", 4, 2**i, 2) for i in range(6, 11)),
    *(Transformer("depth", 4, 256, 2**i) for i in range(5)),
]
