"""The worker processes that are at work: one for a framework, a family and a number of threads."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, suppress
from types import TracebackType

from bench.process import Worker, WorkerError
from bench.worker import MACHINE

STRIKES = 3  # a framework whose process ends so often in a family is left alone


class Crew:
    """Workers, started when they are needed and kept for the next case of the family."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._cache = self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="ambos-bench-", ignore_cleanup_errors=True)
        )
        self._workers: dict[str, Worker] = {}
        self._gauges: dict[int, Worker] = {}
        self._place: tuple[str, int] | None = None
        self._missing: dict[str, WorkerError] = {}  # frameworks that are not installed
        self._strikes: dict[str, int] = {}

    def worker(self, family: str, framework: str, threads: int) -> Worker:
        """The worker for this; asking for another family or number of threads ends the others.

        Errors: WorkerError for a framework that is not there or has failed too often.
        """
        if framework in self._missing:
            raise self._missing[framework]
        if self._place != (family, threads):
            self.rest()
            self._place = (family, threads)
        found = self._workers.get(framework)
        if found is not None and found.alive:
            return found
        if found is not None:
            self._workers.pop(framework).close()
            self._strikes[framework] = self._strikes.get(framework, 0) + 1
        if self._strikes.get(framework, 0) >= STRIKES:
            raise WorkerError(f"left alone after {STRIKES} processes that ended or hung")
        self._workers[framework] = Worker(family, framework, threads, self._cache)
        return self._workers[framework]

    def failed(self, framework: str, error: WorkerError) -> None:
        """Remember a framework that is not installed."""
        if error.missing:
            self._missing[framework] = error

    def gauge(self, threads: int) -> Worker:
        """The worker that measures the machine; it stays for the whole benchmark."""
        if threads not in self._gauges:
            self._gauges[threads] = Worker("", MACHINE, threads, self._cache)
        return self._gauges[threads]

    def drop(self) -> None:
        """Let every worker forget the twins of the last case."""
        for worker in self._workers.values():
            with suppress(WorkerError):
                worker.ask("drop")

    def rest(self) -> None:
        """End the workers of the family; the gauges stay."""
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()
        self._strikes.clear()

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.rest()
        for gauge in self._gauges.values():
            gauge.close()
        self._stack.close()
