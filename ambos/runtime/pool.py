"""The fork-join pool: Python threads that stay inside machine code and drop the GIL.

There is one pool in a process. Its threads start with the first program that wants them, follow
`config.threads`, end before a fork and before the interpreter does, and start again when needed.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ambos.core.config import config
from ambos.core.program import ALIGNMENT
from ambos.runtime import denormal, loader
from ambos.runtime.machine import host_features, num_cores
from ambos.runtime.memory import Storage
from ambos.runtime.native import ENTRIES, engine, has_futex
from ambos.runtime.native_state import Control, Line

SPIN_SECONDS = 100e-6  # how long an idle worker polls before it sleeps
CROWDED_SPIN_SECONDS = 1e-6  # the same when there are more threads than cores
EXIT_SECONDS = 2.0  # how long the end of the process waits for a run in another thread

_Worker = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)


class Pool:
    """Worker threads and the memory that runs share. Everything but `stop` needs `lock` held."""

    def __init__(self, futex: bool | None = None) -> None:
        self.lock = threading.RLock()
        self.threads = 0  # as many as were asked for; 0: not running
        self.flushes: bool | None = None  # are subnormal numbers flushed? None: not settled
        self.arena_bytes = 0
        self.scratch_bytes = 0
        self._futex = futex
        self._workers: list[threading.Thread] = []
        self._memory = Storage(ctypes.sizeof(Control))
        ctypes.memset(self._memory.address, 0, self._memory.nbytes)
        self._control = Control.from_address(self._memory.address)
        self._control.lock = _address(ctypes.pythonapi.PyGILState_Ensure)
        self._control.interrupted = _address(ctypes.pythonapi.PyOS_InterruptOccurred)
        self._control.unlock = _address(ctypes.pythonapi.PyGILState_Release)
        self._arena = Storage(0)
        self._scratch = Storage(0)
        self._lines = Storage(0)
        self._entries: dict[str, int] = {}

    @property
    def control(self) -> int:
        """Address of the native state."""
        return self._memory.address

    def entry(self, name: str) -> int:
        """Address of a native function of `native.ENTRIES`."""
        if not self._entries:
            features = host_features()
            futex = has_futex(features.triple) if self._futex is None else self._futex
            kernel = engine(features.triple, futex)
            table = loader.load([kernel], features)[kernel.name]
            addresses = (ctypes.c_uint64 * len(ENTRIES)).from_address(table)
            self._entries = dict(zip(ENTRIES, addresses, strict=True))
        return self._entries[name]

    def prepare(self, arena_bytes: int, scratch_bytes: int) -> None:
        """Have as many threads as `config.threads` says, in the mode that `config.flush_denormal`
        asks for, and at least this much memory."""
        if self.flushes is not config.flush_denormal:
            self.flushes = config.flush_denormal
            self._control.mode = denormal.mode(host_features().triple, self.flushes)
        if self.threads != config.threads:
            self.stop()
            self._start(max(1, config.threads))
        if arena_bytes > self.arena_bytes:
            self.arena_bytes = 0  # should the next lines run out of memory
            self._arena = Storage(0)  # the old one goes first: the new one may need its room
            self._arena = Storage(arena_bytes)
            self.arena_bytes = arena_bytes
            self._control.arena = self._arena.address
        if scratch_bytes > self.scratch_bytes:
            self._share_scratch(scratch_bytes)

    @contextmanager
    def lending(self) -> Iterator[None]:
        """While Python computes for the run in progress, the arena is that run's alone: a program
        that runs meanwhile on this thread (a signal handler's) gets another."""
        held = self._arena, self.arena_bytes
        self._arena, self.arena_bytes = Storage(0), 0
        try:
            yield
        finally:
            self._arena, self.arena_bytes = held
            self._control.arena = self._arena.address

    def answer(self, good: bool) -> None:
        """Has Python computed what native code asked of it?"""
        self._control.answered = int(good)

    def take_failure(self) -> int:
        """What has made the last run end early (0: nothing)."""
        failure = int(self._control.failed)
        if failure:
            self._control.failed = 0
        return failure

    def release(self) -> None:
        """Drop the arena and the scratch memory; the next run takes what it needs."""
        with self.lock:
            self._arena = self._scratch = Storage(0)
            self.arena_bytes = self.scratch_bytes = 0
            self._control.arena = self._control.scratch = 0

    def _share_scratch(self, nbytes: int) -> None:
        # An odd number of cache lines apart, so that equal offsets do not share a cache set.
        lines = -(-nbytes // ALIGNMENT) | 1
        self.scratch_bytes = 0
        self._scratch = Storage(0)
        self._scratch = Storage(lines * ALIGNMENT * max(1, self._control.threads))
        self.scratch_bytes = nbytes
        self._control.scratch = self._scratch.address
        self._control.scratch_stride = lines * ALIGNMENT

    def _start(self, count: int) -> None:
        worker = _Worker(self.entry("worker"))
        control = self._control
        self._lines = Storage(ctypes.sizeof(Line) * count)
        ctypes.memset(self._lines.address, 0, self._lines.nbytes)
        control.lines = self._lines.address
        control.done = control.sleepers = control.stop = 0
        control.spins = self._spins(count)
        for number in range(1, count):
            thread = threading.Thread(
                target=worker, args=(self.control, number), name=f"ambos-{number}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # no more threads, or the interpreter is ending: fewer will do
                break
            self._workers.append(thread)
        control.threads = 1 + len(self._workers)
        self.threads = config.threads
        if self.scratch_bytes:
            self._share_scratch(self.scratch_bytes)

    def _spins(self, count: int) -> int:
        """Idle turns before sleeping. Processors differ in how long a turn takes (12 ns here)."""
        spin, turns = _Worker(self.entry("spin")), 500
        seconds = 1.0
        for _ in range(3):
            start = time.perf_counter()
            spin(self.control, turns)
            seconds = min(seconds, time.perf_counter() - start)
        limit = SPIN_SECONDS if count <= num_cores() else CROWDED_SPIN_SECONDS
        return max(1, int(limit / max(seconds / turns, 1e-9)))

    def stop(self, timeout: float = -1.0) -> None:
        """End the worker threads; the next run starts them again. At most `timeout` seconds are
        spent waiting for a run to end (negative: any time)."""
        if not self.lock.acquire(timeout=timeout):
            return
        try:
            self.threads = 0
            self._control.stop = 1
            if self._workers:
                ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.entry("wake"))(self.control)
            while self._workers:
                self._workers.pop().join(None if timeout < 0 else timeout)
        finally:
            self.lock.release()


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


pool = Pool()
atexit.register(pool.stop, EXIT_SECONDS)


def _before_fork() -> None:
    """A child has only the thread that forked: end the others first, so that none is missed.

    It also keeps Python from warning that a process with threads forks."""
    pool.lock.acquire()
    pool.stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=pool.lock.release, after_in_child=pool.lock.release
    )
