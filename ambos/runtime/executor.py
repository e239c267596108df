"""Program -> native tables -> results: one native call per run.

Every launch has its argument words in one table. Pointers among them are patched natively: those
into the arena when the arena has moved, those into inputs and outputs at every run.
"""

from __future__ import annotations

import ctypes
import operator
import struct
import time
from collections.abc import Sequence

from ambos.core.errors import AmbosError, CompilerError
from ambos.core.program import ARENA, TABLES, Pointer, Program
from ambos.runtime.host import HostFailure, HostLaunch
from ambos.runtime.loader import load
from ambos.runtime.machine import host_features
from ambos.runtime.memory import Storage
from ambos.runtime.native import Header
from ambos.runtime.pool import Pool, pool

LEAST_SECONDS = 1e-8  # what a clock can tell from nothing
_MASK = (1 << 64) - 1
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
        self._scratch_bytes = max((launch.scratch for launch in program.launches), default=0)
        self._slots = struct.Struct(f"={program.num_slots - 2}Q")
        self._tables = Storage.from_buffer(program.tables, copy=True)
        self._build(addresses)

    def _build(self, addresses: dict[str, int]) -> None:
        program = self.program
        words: list[int] = []
        arena_patches: list[int] = []
        patches: list[int] = []
        records: list[int] = []
        memory = Storage(8 * sum(len(launch.words) for launch in program.launches))
        self._hosts: list[tuple[int, HostLaunch]] = []
        for number, launch in enumerate(program.launches):
            if launch.items < 0:
                raise CompilerError(f"executor: {launch.kernel.label}: {launch.items} items")
            args = memory.address + 8 * len(words)
            if launch.kernel.host is None:
                records += (addresses[launch.kernel.name], args, launch.items, int(launch.serial))
            else:
                records += (0, args, 0, 1)  # nothing for native code
                self._hosts.append((number, HostLaunch(launch, launch.kernel.host, args)))
            for word in launch.words:
                if isinstance(word, Pointer):
                    place = memory.address + 8 * len(words)
                    self._check(word)
                    if word.slot == ARENA:
                        arena_patches += (place, word.offset)
                    elif word.slot != TABLES:
                        patches += (place, word.slot - 2, word.offset)
                    words.append(self._tables.address + word.offset if word.slot == TABLES else 0)
                else:
                    words.append(_bits(word))
        _fill(memory, words)
        held = [_store(table) for table in (arena_patches, patches, records)]
        header = Storage(ctypes.sizeof(Header))
        fields = Header.from_address(header.address)
        fields.control = self._pool.control
        fields.arena = 0
        fields.arena_patches, fields.patches, fields.records = (table.address for table in held)
        fields.num_arena_patches = len(arena_patches) // 2
        fields.num_patches = len(patches) // 3
        self._header = header.address
        self._memory = (memory, header, *held)

    def _check(self, pointer: Pointer) -> None:
        program = self.program
        if not 0 <= pointer.slot < program.num_slots:
            raise CompilerError(
                f"executor: a pointer into slot {pointer.slot}; the program has {program.num_slots}"
            )
        first_output = 2 + program.num_inputs
        limit = None
        if pointer.slot == ARENA:
            limit = program.arena_bytes
        elif pointer.slot == TABLES:
            limit = len(program.tables)
        elif pointer.slot >= first_output:
            limit = program.output_bytes[pointer.slot - first_output]
        if pointer.offset < 0 or (limit is not None and pointer.offset > limit):
            raise CompilerError(
                f"executor: a pointer to byte {pointer.offset} of slot {pointer.slot}, "
                f"which has {limit} bytes"
            )

    def run(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Compute, given the addresses of the inputs and of memory for the outputs.

        Errors:
            CompilerError: a wrong number of addresses.
            HostFailure: what Python computes had to give up; outputs are not to be used.
        """
        self._call(inputs, outputs, 0, self._num_launches)

    def run_slots(self, slots: ctypes.Array[ctypes.c_uint64]) -> None:
        """`run` with the addresses of inputs and outputs in one table that the caller keeps."""
        with self._pool.lock:
            self._pool.prepare(self._arena_bytes, self._scratch_bytes)
            if self._hosts:
                self._walk(slots, 0, self._num_launches)
            else:
                self._execute(self._header, slots, 0, self._num_launches)

    def _walk(self, slots: object, first: int, last: int) -> None:
        """Launches `first` to `last`, native ones between those that Python computes. Where one of
        these fails, nothing after it runs."""
        for number, host in self._hosts:
            if first <= number < last:
                self._execute(self._header, slots, first, number)
                try:
                    with self._pool.lending():
                        host.run()
                except AmbosError as error:
                    raise HostFailure(self.program.launches[number].work, error) from error
                first = number + 1
        self._execute(self._header, slots, first, last)

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


def _bits(word: int | float) -> int:
    """A number as 64 bits: a float as a float64, an integer in two's complement."""
    if isinstance(word, float):
        return int(struct.unpack("=Q", struct.pack("=d", word))[0])
    return operator.index(word) & _MASK


def _store(values: list[int]) -> Storage:
    storage = Storage(8 * len(values))
    _fill(storage, values)
    return storage


def _fill(storage: Storage, values: list[int]) -> None:
    ctypes.memmove(storage.address, struct.pack(f"={len(values)}Q", *values), 8 * len(values))
