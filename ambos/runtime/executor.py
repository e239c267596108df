"""Program -> native tables -> results: one native call per run."""

from __future__ import annotations

import _thread
import ctypes
import struct
import time
from collections.abc import Sequence

from ambos.core.errors import AmbosError, CompilerError
from ambos.core.program import Program
from ambos.runtime.host import HostFailure
from ambos.runtime.loader import load
from ambos.runtime.machine import host_features
from ambos.runtime.native_control import INTERRUPTED
from ambos.runtime.pool import Pool, pool
from ambos.runtime.tables import Tables

LEAST_SECONDS = 1e-8  # what a clock can tell from nothing
_Execute = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


class Executable:
    """A Program that is ready to run. Any thread may call `run`; runs take turns.

    Errors: CompilerError for a Program that contradicts itself.
    """

    def __init__(self, program: Program, pool: Pool = pool) -> None:
        self.program = program
        addresses = load(program.kernels, host_features())
        self._pool = pool
        self._execute = _Execute(pool.entry("execute"))
        self._num_launches = len(program.launches)
        self._arena_bytes = program.arena_bytes
        self._scratch_bytes = program.scratch
        self._slots = struct.Struct(f"={program.num_slots - 2}Q")
        self._tables = Tables(program, addresses, pool)
        self._header, self._hosts = self._tables.header, self._tables.hosts
        self._may_end_early = program.may_end_early
        # Made once: turning numbers into these takes as long as the rest of a native call.
        self._all = [ctypes.c_int64(n) for n in (self._header, 0, self._num_launches)]

    def run(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Compute, given the addresses of the inputs and of memory for the outputs.

        Errors:
            CompilerError: a wrong number of addresses.
            HostFailure: what Python computes had to give up; outputs are not to be used.
        """
        self._call(inputs, outputs, 0, self._num_launches)

    def run_slots(self, slots: ctypes.c_void_p) -> None:
        """`run` with the addresses of inputs and outputs in one table that the caller keeps."""
        pool = self._pool
        with pool.lock:
            pool.prepare(self._arena_bytes, self._scratch_bytes)
            if self._may_end_early:
                self._walk(slots, 0, self._num_launches)
            else:
                self._execute(self._all[0], slots, self._all[1], self._all[2])

    def _walk(self, slots: object, first: int, last: int) -> None:
        """Launches `first` to `last`, native ones between those that Python computes. Where one of
        these fails, nothing after it runs."""
        for number, host in self._hosts:
            if first <= number < last:
                self._native(slots, first, number)
                try:
                    with self._pool.lending():
                        host.run()
                except AmbosError as error:
                    raise HostFailure(host.sources, error) from error
                first = number + 1
        self._native(slots, first, last)

    def _native(self, slots: object, first: int, last: int) -> None:
        """Launches `first` to `last`, all of them native, and what they complained about."""
        self._execute(self._header, slots, first, last)
        failure = self._pool.take_failure()
        if failure:
            self._raise(failure)

    def _raise(self, failure: int) -> None:
        for number, loop in self._tables.controls:
            found = loop.error(failure)
            if found is None:
                continue
            sources, error = found
            if not isinstance(error, AmbosError):
                raise error
            around = self.program.launches[number].work.sources
            raise HostFailure(sources or around, error) from error
        if failure == INTERRUPTED:
            _thread.interrupt_main()  # what Ctrl-C does is the user's affair; at least it ends this
        raise KeyboardInterrupt

    def profile(self, inputs: Sequence[int], outputs: Sequence[int]) -> list[tuple[float, float]]:
        """Compute launch by launch; when each began (perf_counter) and the seconds it took, less
        those of an empty call."""
        with self._pool.lock:  # the arena holds what one launch leaves for the next
            empty = min(self._timed(inputs, outputs, 0, 0)[1] for _ in range(3))
            spans = []
            for index in range(self._num_launches):
                start, seconds = self._timed(inputs, outputs, index, index + 1)
                spans.append((start, max(seconds - empty, LEAST_SECONDS)))
        return spans

    def _timed(
        self, inputs: Sequence[int], outputs: Sequence[int], first: int, last: int
    ) -> tuple[float, float]:
        start = time.perf_counter()
        self._call(inputs, outputs, first, last)
        return start, time.perf_counter() - start

    def _call(self, inputs: Sequence[int], outputs: Sequence[int], first: int, last: int) -> None:
        try:
            slots = self._slots.pack(*inputs, *outputs)
        except struct.error as error:
            program = self.program
            raise CompilerError(
                f"run: {len(inputs)} inputs and {len(outputs)} outputs ({error}); need "
                f"{program.num_inputs} and {len(program.output_bytes)} addresses"
            ) from error
        with self._pool.lock:
            self._pool.prepare(self._arena_bytes, self._scratch_bytes)
            self._walk(slots, first, last)
