"""What a workload file declares, and how its twins are found."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from bench import workloads

Data = Mapping[str, np.ndarray]
Call = Callable[[], Any]  # does `steps` steps to the end and returns what the twins compare
Twin = Callable[[Data], Call]

PREFIX = "with_"


@dataclass(frozen=True, slots=True)
class Workload:
    """The facts of one workload.

    `flops` and `bytes` are the least that one step must compute and move between memory and
    processor, whatever the method; zero means that no floor is claimed. `threads` is the number the
    workload is defined for; None takes every core. Outputs of two twins agree when their largest
    difference is at most `tolerance` times the largest magnitude.
    """

    title: str
    flops: float = 0.0
    bytes: float = 0.0
    steps: int = 1  # in one call
    threads: int | None = None
    tolerance: float = 1e-4


def names() -> list[str]:
    """The workloads there are."""
    return sorted(module.name for module in pkgutil.iter_modules(workloads.__path__))


def load(name: str) -> ModuleType:
    """The module of a workload: `WORKLOAD`, `data()` and `with_<framework>(data)` functions."""
    return importlib.import_module(f"{workloads.__name__}.{name}")


def twins(module: ModuleType) -> dict[str, Twin]:
    """Twins in the order of the file: `with_ambos_fit` is called "ambos fit"."""
    return {
        name.removeprefix(PREFIX).replace("_", " "): function
        for name, function in vars(module).items()
        if name.startswith(PREFIX)
    }


def framework(twin: str) -> str:
    """The module that the twin "torch channels last" imports."""
    return twin.split()[0]


def is_ours(twin: str) -> bool:
    return framework(twin) == "ambos"
