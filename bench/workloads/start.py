"""What it costs to begin: the import, and batch sizes that were not seen before.

First steps with a cold and a warm cache are columns of the cases in `steps.py`.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np

from bench.models import mlp
from bench.workload import Call, Case, Data


class Import(Case):
    """`import` in a fresh interpreter, whose own start is part of it."""

    name = "import"
    title = "import in a fresh interpreter"
    threads = (1,)
    rounds, calls = 5, 1

    def imports(self, module: str) -> Call:
        return lambda: subprocess.run([sys.executable, "-c", f"import {module}"], check=True) and 0

    def with_ambos(self, data: Data) -> Call:
        return self.imports("ambos")

    def with_torch(self, data: Data) -> Call:
        return self.imports("torch")

    def with_jax(self, data: Data) -> Call:
        return self.imports("jax, jax.numpy")

    def with_tensorflow(self, data: Data) -> Call:
        return self.imports("tensorflow")

    def with_mlx(self, data: Data) -> Call:
        return self.imports("mlx.core")

    def with_numpy(self, data: Data) -> Call:
        return self.imports("numpy")


class NewSizes(Case):
    """Steps of the MLP at batch sizes that were not seen before, one step each.

    Two calls at the size that the network has been compiled for come first: the one that is
    compared, and the one from which the race learns how long a call takes.
    """

    threads = (1,)
    rounds, calls = 1, 1
    patience = 240.0
    base = 32

    def __init__(self, name: str, title: str, sizes: list[int]) -> None:
        self.name, self.title, self.sizes = name, title, sizes

    def data(self) -> Data:
        whole = mlp.step_data(max(self.base, *self.sizes), batches=1)
        sizes = [self.base, self.base, *self.sizes]
        again = np.zeros(len(sizes), int)
        x, y = whole["x"][again], whole["y"][again]
        return {**whole, "x": x, "y": y, "sizes": np.array(sizes)}

    def turns(self, step: Call) -> Call:
        """Two calls of one step, then one call of all other sizes."""
        made = 0

        def call() -> Any:
            nonlocal made
            made += 1
            return [step() for _ in range(1 if made < 3 else len(self.sizes))][-1]

        return call

    def with_ambos(self, data: Data) -> Call:
        from bench.models.ambos_lane import F, nn, train

        return self.turns(train(mlp.module(nn, F), data, "adam", 1e-3, jit=True))

    def with_ambos_eager(self, data: Data) -> Call:
        from bench.models.ambos_lane import F, nn, train

        return self.turns(train(mlp.module(nn, F), data, "adam", 1e-3))

    def with_torch(self, data: Data) -> Call:
        from bench.models.torch_lane import F, nn, train

        return self.turns(train(mlp.module(nn, F), data, "adam", 1e-3))

    def with_torch_compile(self, data: Data) -> Call:
        from bench.models.torch_lane import F, nn, train

        return self.turns(train(mlp.module(nn, F), data, "adam", 1e-3, compile=True))

    def with_jax(self, data: Data) -> Call:
        from bench.models.jax_lane import train

        return self.turns(train(mlp.forward, data, "adam", 1e-3))

    def with_tensorflow(self, data: Data) -> Call:
        from bench.models.tensorflow_lane import train

        return self.turns(train(mlp.forward, data, "adam", 1e-3))


CASES = [
    Import(),
    NewSizes("second_batch_size", "MLP step at a second batch size, the first time", [48]),
    NewSizes("50_batch_sizes", "MLP, one step at each of 50 new batch sizes", list(range(40, 90))),
]
