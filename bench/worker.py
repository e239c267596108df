"""A process that holds the twins of one framework and runs bursts of calls when it is told to.

Requests and answers are JSON lines on stdin and on the original stdout; whatever a framework
prints goes to stderr. The parent has set every environment variable before this process began.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from bench import workload

if TYPE_CHECKING:
    from bench.gauge import Gauge

MACHINE = "machine"  # the framework that measures the machine's limits instead of a workload


def leaves(value: Any) -> Iterator[Any]:
    """The arrays and numbers inside lists, tuples and dicts; nothing at all has none."""
    if value is None:
        return
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def to_numpy(value: Any) -> np.ndarray:
    """A copy of what a twin returned; numbers that NumPy does not know become float32."""
    if hasattr(value, "detach"):
        value = value.detach()
    if hasattr(value, "numpy"):
        value = value.numpy()
    found = np.asarray(value)
    return found if found.dtype.kind in "biuf" else found.astype(np.float32)


def absent(error: Exception, framework: str) -> bool:
    """Whether a peer is simply not installed here. ambos is: what it lacks is a fault."""
    return (
        isinstance(error, ModuleNotFoundError)
        and (error.name or "").partition(".")[0] == framework
        and framework != "ambos"
    )


def resident() -> int:
    """Bytes of memory that this process has in use."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return high_water()


def high_water() -> int:
    """The most bytes that this process had in use since `forget_high_water`."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) << 10
    unit = 1 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_high_water() -> None:
    """Let `high_water` begin anew, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


class Subjects:
    """Twins of one family, built on request, then called, then dropped."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.calls: dict[str, workload.Call] = {}
        self.before = 0

    def build(self, case: str, twin: str, output: str) -> dict[str, float]:
        """Build a twin and make its first calls, whose outputs go to the file `output`."""
        chosen = workload.find(self.family, case)
        start = time.perf_counter()
        importlib.import_module(workload.framework(twin).replace("mlx", "mlx.core"))
        imported = time.perf_counter()
        forget_high_water()
        self.before = resident()
        data = chosen.data()
        begin = time.perf_counter()
        call = workload.twins(chosen)[twin](data)
        results = [call()]
        done = time.perf_counter()
        results += [call() for _ in range(chosen.compared - 1)]
        arrays = [to_numpy(leaf) for leaf in leaves(results)]
        np.savez(output, *chosen.comparable(twin, arrays, data))
        self.calls[twin] = call
        return {"import": imported - start, "first": done - begin}

    def run(self, twin: str, calls: int) -> dict[str, float]:
        """Seconds that `calls` calls took together."""
        assert twin in self.calls, "build comes before run"
        call = self.calls[twin]
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return {"seconds": time.perf_counter() - start}

    def memory(self) -> dict[str, float]:
        """Bytes in use at most since the build began, less those in use after the import."""
        return {"bytes": high_water() - self.before}

    def drop(self) -> dict[str, float]:
        """Forget every twin."""
        self.calls.clear()
        gc.collect()
        return {}


def serve(framework: str, subject: Subjects | Gauge, requests: IO[str], answers: IO[str]) -> None:
    """Answer requests until there are no more; an exception is an answer too."""
    for line in requests:
        request: dict[str, Any] = json.loads(line)
        answer: dict[str, Any]
        try:
            answer = getattr(subject, request.pop("do"))(**request)
        except Exception as error:
            answer = {
                "error": f"{type(error).__name__}: {error}",
                "missing": absent(error, framework),
            }
        print(json.dumps(answer), file=answers, flush=True)


def main() -> None:
    family, framework, cores = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    subject: Subjects | Gauge
    if framework == MACHINE:
        from bench.gauge import Gauge  # imports ambos, which no peer's process should

        subject = Gauge()
    else:
        subject = Subjects(family)
    serve(framework, subject, sys.stdin, answers)


if __name__ == "__main__":
    main()
