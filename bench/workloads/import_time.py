"""Starting Python and importing the framework. What counts is the distance to NumPy."""

from __future__ import annotations

import subprocess
import sys

from bench.workload import Call, Data, Workload

WORKLOAD = Workload(title="python -c 'import ...', interpreter start included")


def data() -> Data:
    return {}


def importing(name: str) -> Call:
    command = [sys.executable, "-c", f"import {name}"]

    def call() -> None:
        subprocess.run(command, check=True)

    return call


def with_ambos(data: Data) -> Call:
    return importing("ambos")


def with_numpy(data: Data) -> Call:
    return importing("numpy")


def with_torch(data: Data) -> Call:
    return importing("torch")


def with_jax(data: Data) -> Call:
    return importing("jax")
