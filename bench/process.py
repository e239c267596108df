"""The parent's side of a worker: its environment, its pipe, its end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0  # seconds without an answer


class WorkerError(RuntimeError):
    """A twin failed. `missing` says that its framework is not installed."""

    def __init__(self, message: str, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


def cores(threads: int) -> list[int]:
    """The cores that every twin is confined to, so that no framework quietly takes more."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(threads))
    return sorted(os.sched_getaffinity(0))[:threads]


def environment(threads: int, cache: str) -> dict[str, str]:
    """The same number of threads in every framework's own words, and caches of their own."""
    count = str(threads)
    single = "" if threads > 1 else "--xla_cpu_multi_thread_eigen=false"
    return os.environ | {
        "AMBOS_THREADS": count,
        "AMBOS_CACHE": f"{cache}/ambos",
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "TORCHINDUCTOR_CACHE_DIR": f"{cache}/torch",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "XLA_FLAGS": single,
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": f"{cache}/jax",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
        "DEV": "CPU",  # tinygrad
        "CACHEDB": f"{cache}/tinygrad.db",
        "PYTHONHASHSEED": "0",
        # The byte code of what pip installs is there; ours may be written as well.
        "PYTHONDONTWRITEBYTECODE": "",
    }


class Worker:
    """One `bench.worker` process. It runs only while it is asked something: libraries let idle
    threads spin for up to 0.2 s, which would take the core from whoever is timed next."""

    def __init__(self, family: str, framework: str, threads: int, cache: str) -> None:
        pinned = ",".join(str(core) for core in cores(threads))
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the worker)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", family, framework, pinned],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            cwd=ROOT, env=environment(threads, cache),
        )  # fmt: skip
        self._halt(True)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def ask(self, do: str, patience: float = PATIENCE, **arguments: Any) -> dict[str, Any]:
        """Send one request and wait for its answer; a worker that does not answer ends."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._halt(False)
        try:
            print(json.dumps({"do": do} | arguments), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise self._ended() from None
        if not select.select([self.process.stdout], [], [], patience)[0]:
            self.process.kill()
            self.process.wait()
            raise WorkerError(f"no answer to {do!r} in {patience:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise self._ended()
        self._halt(True)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"], answer["missing"])
        return answer

    def build(
        self, case: str, twin: str, patience: float = PATIENCE
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Seconds of the import and of the first call, and what that call returned."""
        with tempfile.TemporaryDirectory(prefix="ambos-bench-") as folder:
            output = os.path.join(folder, "output.npz")
            seconds = self.ask("build", patience, case=case, twin=twin, output=output)
            with np.load(output) as arrays:
                return seconds, [arrays[name] for name in arrays.files]

    def _halt(self, halt: bool) -> None:
        """Stop the process, or let it run on, where the system can."""
        if hasattr(signal, "SIGSTOP"):
            self.process.send_signal(signal.SIGSTOP if halt else signal.SIGCONT)

    def _ended(self) -> WorkerError:
        code = self.process.wait()
        self.log.seek(0)
        lines = self.log.read().strip().splitlines() or ["it wrote nothing"]
        return WorkerError(f"the worker ended with {code}: {lines[-1]}")

    def close(self) -> None:
        """End the process: politely by closing its input, then by force."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._halt(False)
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
