"""What a workload file declares: a list of cases, each with a twin for every framework."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from bench import workloads

Data = Mapping[str, np.ndarray]
Call = Callable[[], Any]  # does `steps` steps to the end and returns what the twins compare
Twin = Callable[[Data], Call]

PREFIX = "with_"
APART = {"growth"}  # families that are no part of the table


class Case:
    """One line of the table. A subclass sets the facts and writes `data` and the twins.

    A twin is a method `with_<framework>(data)` that imports its framework, prepares what a user
    prepares once, and returns a function that does one call: to the end, however lazy or
    asynchronous the framework is. What that function returns is compared: an array, a number, or
    a list, tuple or dict of them; gradients and results alike.

    `flops` and `bytes` are the least that one step must compute and move between memory and
    processor, whatever the method; zero claims no floor. No bytes where the data may stay in a
    cache from call to call.
    """

    name: str  # unique in its family; "512-nt" makes "gemm/512-nt"
    title: str
    flops: float = 0.0
    bytes: float = 0.0
    steps: int = 1  # in one call; times are reported for one
    threads: tuple[int, ...] = (1, 2)
    # Two outputs agree when their largest difference is at most this times the largest magnitude.
    tolerance: float = 1e-4
    compared: int = 1  # calls whose outputs are compared; a step shows its update in the next loss
    # Whether the first call (with a cold and a warm cache) and the peak memory are of interest.
    # Such a case gets processes of its own for every twin, so it costs seconds.
    starts: bool = False
    calls_for_memory: int = 3  # calls after which the peak memory is read
    patience: float = 60.0  # seconds that a twin may take to answer
    # Fix these where calls are not alike (each is a new batch size, for example).
    rounds: int | None = None
    calls: int | None = None  # in a burst
    # Twins that this case leaves out, and why: {"mlx": "no such convolution on the CPU"}.
    without: Mapping[str, str] = MappingProxyType({})

    def data(self) -> Data:
        """The inputs, the same in every process."""
        return {}

    def comparable(
        self, twin: str, arrays: list[np.ndarray], data: Data
    ) -> Sequence[np.ndarray | float]:
        """What must agree, from what the twin returned: the same axes in all, no randomness."""
        return arrays


def normal(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Float32 numbers from a normal distribution, always the same.

    Example:
        >>> normal(0, 2, 3).shape
        (2, 3)
    """
    return np.random.default_rng(seed).standard_normal(shape, np.float32) * np.float32(scale)


def integers(seed: int, end: int, *shape: int) -> np.ndarray:
    """Integers from 0 to before `end`, always the same.

    Example:
        >>> int(integers(0, 5, 100).max())
        4
    """
    return np.random.default_rng(seed).integers(0, end, shape)


def families() -> list[str]:
    """The families of the table, in the order of the report."""
    found = {module.name for module in pkgutil.iter_modules(workloads.__path__)} - APART
    order = [
        "gemm",
        "conv",
        "pointwise",
        "rows",
        "reductions",
        "attention",
        "index",
        "steps",
        "transforms",
        "loops",
        "inference",
    ]
    return [name for name in order if name in found] + sorted(found - set(order))


def load(family: str) -> list[Case]:
    """The cases of a family."""
    cases: list[Case] = importlib.import_module(f"{workloads.__name__}.{family}").CASES
    return cases


def find(family: str, name: str) -> Case:
    """The case called `name`."""
    return next(case for case in load(family) if case.name == name)


def twins(case: Case) -> dict[str, Twin]:
    """Twins in the order of the class: `with_torch_compile` is called "torch compile"."""
    names = {name: None for kind in reversed(type(case).__mro__) for name in vars(kind)}
    found = {
        name.removeprefix(PREFIX).replace("_", " "): getattr(case, name)
        for name in names
        if name.startswith(PREFIX)
    }
    return {twin: function for twin, function in found.items() if twin not in case.without}


def framework(twin: str) -> str:
    """The module that the twin "torch channels last" imports."""
    return twin.split()[0]


def is_ours(twin: str) -> bool:
    return framework(twin) == "ambos"


def select(patterns: list[str]) -> list[tuple[str, Case]]:
    """The cases that a word names: a family, or a case, or how a case begins or continues.

    Example:
        >>> [case.name for _, case in select(["gemm/512-nt"])]
        ['512-nt']
    """
    every = [(family, case) for family in families() for case in load(family)]
    chosen: dict[str, tuple[str, Case]] = {}
    for word in patterns:
        found = [(f, c) for f, c in every if word in (f, c.name, f"{f}/{c.name}")]
        if not found:  # no exact name: the beginning of a name will do
            found = [
                (f, c)
                for f, c in every
                if f"{f}/{c.name}".startswith(word) or c.name.startswith(word)
            ]
        if not found:
            raise LookupError(f"no case is called {word!r}; families: {', '.join(families())}")
        chosen |= {f"{f}/{c.name}": (f, c) for f, c in found}
    return [(f, c) for f, c in every if not patterns or f"{f}/{c.name}" in chosen]
