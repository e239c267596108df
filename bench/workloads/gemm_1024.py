"""A 1024 x 1024 matrix product on one thread."""

from bench.gemm import matrices, square, with_ambos, with_jax, with_numpy, with_torch
from bench.workload import Data

__all__ = ["WORKLOAD", "data", "with_ambos", "with_jax", "with_numpy", "with_torch"]

WORKLOAD = square(1024)


def data() -> Data:
    return matrices(1024)
