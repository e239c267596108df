"""The twins of square matrix products; gemm_512 and gemm_1024 give the size."""

from __future__ import annotations

import numpy as np

from bench.workload import Call, Data, Workload


def square(size: int) -> Workload:
    """C = A @ B of float32 matrices on one thread."""
    return Workload(
        title=f"sgemm {size} x {size} x {size}, float32",
        flops=2.0 * size**3,
        threads=1,
        tolerance=1e-5,
    )


def matrices(size: int) -> Data:
    generator = np.random.RandomState(0)
    return {name: generator.randn(size, size).astype(np.float32) for name in "ab"}


def with_ambos(data: Data) -> Call:
    import ambos as am

    a, b = am.tensor(data["a"]), am.tensor(data["b"])

    def call() -> am.Tensor:
        c = a @ b
        am.evaluate(c)
        return c

    return call


def with_numpy(data: Data) -> Call:
    a, b = data["a"], data["b"]
    return lambda: a @ b


def with_torch(data: Data) -> Call:
    import torch

    a, b = torch.from_numpy(data["a"]), torch.from_numpy(data["b"])
    return lambda: a @ b


def with_jax(data: Data) -> Call:
    import jax

    a, b = jax.numpy.asarray(data["a"]), jax.numpy.asarray(data["b"])
    multiply = jax.jit(lambda a, b: a @ b)
    return lambda: multiply(a, b).block_until_ready()
