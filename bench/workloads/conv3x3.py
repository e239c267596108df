"""A 3 x 3 convolution, 64 -> 64 channels on 56 x 56 pixels: the core of a ResNet."""

from __future__ import annotations

import numpy as np

from bench.workload import Call, Data, Workload

BATCH, CHANNELS, SIDE = 8, 64, 56
PIXELS = BATCH * SIDE * SIDE

WORKLOAD = Workload(
    title=f"conv2d 3x3, {CHANNELS} -> {CHANNELS}, {SIDE} x {SIDE}, batch {BATCH}, float32",
    flops=2.0 * PIXELS * CHANNELS * CHANNELS * 9,
    bytes=4.0 * (2 * PIXELS * CHANNELS + 9 * CHANNELS * CHANNELS),
    threads=1,
    tolerance=1e-5,
)


def data() -> Data:
    generator = np.random.RandomState(0)
    return {
        "x": generator.randn(BATCH, CHANNELS, SIDE, SIDE).astype(np.float32),
        "w": (generator.randn(CHANNELS, CHANNELS, 3, 3) / 24).astype(np.float32),
    }


def with_ambos(data: Data) -> Call:
    import ambos as am
    import ambos.nn.functional as F

    x, w = am.tensor(data["x"]), am.tensor(data["w"])

    def call() -> am.Tensor:
        y = F.conv2d(x, w, padding=1)
        am.evaluate(y)
        return y

    return call


def with_torch(data: Data) -> Call:
    import torch
    import torch.nn.functional as F

    x, w = torch.from_numpy(data["x"]), torch.from_numpy(data["w"])
    return lambda: F.conv2d(x, w, padding=1)


def with_torch_channels_last(data: Data) -> Call:
    import torch
    import torch.nn.functional as F

    layout = torch.channels_last
    x = torch.from_numpy(data["x"]).contiguous(memory_format=layout)
    w = torch.from_numpy(data["w"]).contiguous(memory_format=layout)
    return lambda: F.conv2d(x, w, padding=1)


def with_jax(data: Data) -> Call:
    import jax

    x, w = jax.numpy.asarray(data["x"]), jax.numpy.asarray(data["w"])
    convolve = jax.jit(lambda x, w: jax.lax.conv(x, w, (1, 1), "SAME"))
    return lambda: convolve(x, w).block_until_ready()
