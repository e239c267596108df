"""A process that holds one twin and runs a burst of calls whenever it is told to.

Requests and answers are JSON lines on stdin and on the original stdout; whatever a framework
prints goes to stderr. The parent has set every environment variable before this process began.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from typing import IO, Any

import numpy as np

from bench import workload

MACHINE = "machine"  # the twin that measures peak and bandwidth instead of a workload


def to_numpy(value: Any) -> np.ndarray:
    """A NumPy copy of what a twin returned, in float64; nothing at all becomes an empty array."""
    if value is None:
        return np.empty(0)
    if hasattr(value, "detach"):
        value = value.detach()
    if hasattr(value, "numpy"):
        value = value.numpy()
    return np.asarray(value, dtype=np.float64)


def absent(error: Exception) -> bool:
    """Whether a peer is simply not installed here. ambos is: what it lacks is a fault."""
    return isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] not in (
        "ambos",
        "bench",
    )


class Subject:
    """One twin, built on request and then called."""

    def __init__(self, name: str, twin: str) -> None:
        self.name, self.twin = name, twin
        self.call: workload.Call | None = None

    def build(self, output: str) -> dict[str, float]:
        """Build the twin and make its first call, whose output goes to the file `output`."""
        module = workload.load(self.name)
        data = module.data()
        start = time.perf_counter()
        importlib.import_module(workload.framework(self.twin))
        imported = time.perf_counter()
        self.call = workload.twins(module)[self.twin](data)
        result = self.call()
        done = time.perf_counter()
        np.save(output, to_numpy(result))
        return {"import": imported - start, "first": done - imported}

    def run(self, calls: int) -> dict[str, float]:
        """Seconds that `calls` calls took together."""
        assert self.call is not None, "build comes before run"
        call = self.call
        gc.collect()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return {"seconds": time.perf_counter() - start}


class MachineSubject:
    """The measured limits of this machine, on as many threads as the workload has."""

    def build(self, output: str) -> dict[str, float]:
        return self.run(1)

    def run(self, calls: int) -> dict[str, float]:
        from ambos.runtime.measure import measure_bandwidth, measure_peak

        threads = int(os.environ["AMBOS_THREADS"])
        return {
            "peak": measure_peak() * threads * 1e9,  # FLOP/s; one core is measured
            "bandwidth": measure_bandwidth(seconds=0.1, threads=threads) * 1e9,  # bytes/s
        }


def serve(subject: Subject | MachineSubject, requests: IO[str], answers: IO[str]) -> None:
    """Answer requests until there are no more; an exception is an answer too."""
    for line in requests:
        request: dict[str, Any] = json.loads(line)
        answer: dict[str, Any]
        try:
            answer = getattr(subject, request.pop("do"))(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}", "missing": absent(error)}
        print(json.dumps(answer), file=answers, flush=True)


def main() -> None:
    name, twin, cores = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(MachineSubject() if twin == MACHINE else Subject(name, twin), sys.stdin, answers)


if __name__ == "__main__":
    main()
