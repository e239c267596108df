"""Seeded weights under PyTorch's names, and counts of the FLOPs that layers need."""

from __future__ import annotations

import numpy as np

from bench.workload import Data

TABLES = ("words.weight", "places.weight")  # embeddings: looked up, never multiplied
NET = "net."  # what weights are called among the data: "net.fc.weight"


class Weights(dict[str, np.ndarray]):
    """Weights of a network, added layer by layer, with the scale that PyTorch starts from."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._generator = np.random.default_rng(seed)

    def uniform(self, name: str, shape: tuple[int, ...], fan_in: int) -> None:
        values = self._generator.random(shape, np.float32) * 2 - 1
        self[name] = values / np.float32(fan_in**0.5)

    def linear(self, name: str, inputs: int, outputs: int, bias: bool = True) -> None:
        self.uniform(f"{name}.weight", (outputs, inputs), inputs)
        if bias:
            self.uniform(f"{name}.bias", (outputs,), inputs)

    def conv(self, name: str, inputs: int, outputs: int, kernel: int, bias: bool = False) -> None:
        """`inputs` are those of one group. He's scale, so that deep networks keep their signal."""
        fan_in = inputs * kernel * kernel
        self.uniform(f"{name}.weight", (outputs, inputs, kernel, kernel), fan_in)
        self[f"{name}.weight"] *= np.float32(6**0.5)
        if bias:
            self.uniform(f"{name}.bias", (outputs,), fan_in)

    def norm(self, name: str, features: int, running: bool = True) -> None:
        self[f"{name}.weight"] = np.ones(features, np.float32)
        self[f"{name}.bias"] = np.zeros(features, np.float32)
        if running:
            # Not the 0 and 1 they begin with, so that leaving them out would be noticed.
            self.normal(f"{name}.running_mean", (features,), 0.1)
            self[f"{name}.running_var"] = self._generator.uniform(0.5, 2, features).astype("f4")
            self[f"{name}.num_batches_tracked"] = np.zeros((), np.int64)

    def normal(self, name: str, shape: tuple[int, ...], scale: float = 0.02) -> None:
        self[name] = self._generator.standard_normal(shape, np.float32) * np.float32(scale)

    def data(self, **others: np.ndarray) -> Data:
        """The weights and other arrays as one dictionary."""
        return {NET + name: value for name, value in self.items()} | others


def of(data: Data) -> dict[str, np.ndarray]:
    """The weights among `data`."""
    return {k.removeprefix(NET): v for k, v in data.items() if k.startswith(NET)}


def batches_of(data: Data) -> list[tuple[np.ndarray, np.ndarray]]:
    """The batches that a training loop goes round, in turn; "sizes", if any, shortens them."""
    pairs = list(zip(data["x"], data["y"], strict=True))
    sizes = data.get("sizes", np.array([], int)).tolist()
    return [(x[:n], y[:n]) for (x, y), n in zip(pairs, sizes, strict=True)] if sizes else pairs


def is_running(name: str) -> bool:
    """Is this a running statistic, which no gradient changes?"""
    return name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked")


def channels_last(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights as JAX and TensorFlow users keep them, without counters of batches.

    Matrices are (in, out), filters (height, width, in, out)."""
    turned = {}
    for name, value in weights.items():
        if value.ndim == 4:
            value = value.transpose(2, 3, 1, 0)
        elif value.ndim == 2 and name not in TABLES:
            value = value.T
        if not name.endswith("num_batches_tracked"):
            turned[name] = np.ascontiguousarray(value)
    return turned


def num_parameters(weights: dict[str, np.ndarray]) -> int:
    return sum(value.size for name, value in weights.items() if not is_running(name))


def reach(size: int, kernel: int, stride: int) -> int:
    """Along one axis with padding (kernel - 1) // 2: how many (output, tap) pairs read inside."""
    pad = (kernel - 1) // 2
    starts = range(-pad, size + pad - kernel + 1, stride)
    return sum(min(size, at + kernel) - max(0, at) for at in starts)


def conv_flops(
    batch: int, size: int, inputs: int, outputs: int, kernel: int, stride: int = 1
) -> float:
    """FLOPs of a square convolution; what padding would multiply by zero is not counted."""
    return 2.0 * batch * inputs * outputs * reach(size, kernel, stride) ** 2
