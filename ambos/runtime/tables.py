"""A Program as native tables: argument words, launch records, and what has to be patched.

Every launch has its argument words in one table. Pointers among them are patched natively: those
into the arena when the arena has moved, those into inputs and outputs at every run. A Program
inside a loop or branch has its arena, inputs and outputs in cells of the loop's table; what stays
where it is there is patched once before the first step.
"""

from __future__ import annotations

import ctypes
import operator
import struct
from collections.abc import Mapping, Sequence

from ambos.core.errors import AmbosError, CompilerError, IndexingError
from ambos.core.program import ARENA, TABLES, Control, Launch, Part, Pointer, Program, Watch, Word
from ambos.runtime import native_control
from ambos.runtime.host import HostLaunch
from ambos.runtime.memory import Storage
from ambos.runtime.native_control import NO_CELL, Call, Inside, Loop
from ambos.runtime.native_state import Header
from ambos.runtime.pool import Pool

_MASK = (1 << 64) - 1
_Function = ctypes.CFUNCTYPE(None)


class Tables:
    """The native tables of one Program. `hosts` are the launches that Python computes between
    native ones: inside a loop or branch (`part`) native code calls them itself."""

    def __init__(
        self, program: Program, addresses: Mapping[str, int], pool: Pool, part: Part | None = None
    ) -> None:
        self.program, self.pool = program, pool
        self.hosts: list[tuple[int, HostLaunch]] = []
        self.calls: list[Consultation] = []
        # Launches that are loops or branches.
        self.controls: list[tuple[int, LoopTables | Watched]] = []
        self._held: list[object] = []
        constants = Storage.from_buffer(program.tables, copy=True)
        memory = Storage(8 * sum(len(launch.words) for launch in program.launches))
        self.patches = Patches(part)
        words: list[int] = []
        records: list[int] = []
        for number, launch in enumerate(program.launches):
            if launch.items < 0:
                raise CompilerError(f"executor: {launch.kernel.label}: {launch.items} items")
            args = memory.address + 8 * len(words)
            records += self._record(number, launch, args, addresses, part is not None)
            for word in launch.words:
                place = memory.address + 8 * len(words)
                words.append(self._word(word, place, constants.address))
        fill(memory, words)
        self.records = store(records)
        self._held += (constants, memory, self.records)
        self.header = self._header(self.patches.arena, self.patches.moving)

    def _word(self, word: Word, place: int, constants: int) -> int:
        """What stands at first in an argument word that lies at `place`."""
        if isinstance(word, Watch):
            return self.controls[-1][1].address
        if not isinstance(word, Pointer):
            return _bits(word)
        _check(self.program, word)
        if word.slot == TABLES:
            return constants + word.offset
        self.patches.add(place, word)
        return 0

    def _record(
        self, number: int, launch: Launch, args: int, addresses: Mapping[str, int], inside: bool
    ) -> tuple[int, int, int, int]:
        """Function, arguments, items, and whether one thread does it."""
        kernel = launch.kernel
        if kernel.control is not None and kernel.control.woven:
            self.controls.append((number, Watched(kernel.control, self.pool)))
        elif kernel.control is not None:
            loop = LoopTables(kernel.control, args, addresses, self.pool)
            self.controls.append((number, loop))
            return self.pool.entry(kernel.control.how), loop.address, 1, 1
        if kernel.host is None:
            return addresses[kernel.name], args, launch.items, int(launch.serial)
        host = HostLaunch(launch, kernel.host, args)
        if not inside:
            self.hosts.append((number, host))
            return 0, args, 0, 1  # nothing for native code
        call = Consultation(host, self.pool)
        self.calls.append(call)
        return self.pool.entry("consult"), call.address, 1, 1

    def _header(self, arena: Sequence[int], patches: Sequence[int]) -> int:
        """The address of a header that patches this much."""
        header, held = Storage(ctypes.sizeof(Header)), [store(arena), store(patches)]
        fields = Header.from_address(header.address)
        fields.control, fields.arena = self.pool.control, 0
        fields.arena_patches, fields.patches = (table.address for table in held)
        fields.num_arena_patches, fields.num_patches = len(arena) // 2, len(patches) // 3
        fields.records = self.records.address
        self._held += (header, *held)
        return header.address

    def fixed_header(self) -> int:
        """The header that patches what stays between steps."""
        return self._header((), self.patches.fixed)


class Patches:
    """Addresses of words that wait for an address: (word, offset) into the arena, (word, slot,
    offset) into what moves and what does not."""

    def __init__(self, part: Part | None) -> None:
        self.part = part
        self.arena: list[int] = []
        self.fixed: list[int] = []
        self.moving: list[int] = []

    def add(self, place: int, word: Pointer) -> None:
        if self.part is None:
            if word.slot == ARENA:
                self.arena += (place, word.offset)
            else:
                self.moving += (place, word.slot - 2, word.offset)
            return
        cell = self.part.cells[0 if word.slot == ARENA else word.slot - 1]
        table = self.moving if cell in self.part.moving else self.fixed
        table += (place, cell, word.offset)


class LoopTables:
    """The native tables of a loop or branch whose argument words lie at `words`."""

    def __init__(
        self, control: Control, words: int, addresses: Mapping[str, int], pool: Pool
    ) -> None:
        self.control = control
        self.parts = [Tables(part.program, addresses, pool, part) for part in control.parts]
        self._cells = store([0] * control.num_cells)
        self._insides = store([
            number
            for part, tables in zip(control.parts, self.parts, strict=True)
            for number in (
                tables.fixed_header(), tables.header, len(part.program.launches),
                NO_CELL if part.check is None else part.check,
            )
        ])  # fmt: skip
        assert self._insides.nbytes >= len(self.parts) * ctypes.sizeof(Inside)
        self._loop = Storage(ctypes.sizeof(Loop))
        self.fields = fields = Loop.from_address(self._loop.address)
        fields.words, fields.cells, fields.parts = words, self._cells.address, self._insides.address
        fields.num_parts, fields.length = len(self.parts), control.length
        fields.flag, fields.number = control.flag, control.number
        self._tables = []
        for name in ("begins", "copies", "slides", "swaps", "settles"):
            entries: tuple[tuple[int, ...], ...] = getattr(control, name)
            table = store([number for entry in entries for number in entry])
            setattr(fields, name, table.address)
            setattr(fields, f"num_{name}", len(entries))
            self._tables.append(table)

    @property
    def address(self) -> int:
        """Of the arguments for native code."""
        return self._loop.address

    def error(self, failure: int) -> tuple[tuple[int, ...], BaseException] | None:
        """What went wrong in this loop or one inside, if it was one of these, and which nodes were
        being computed. `failure` is the address of the loop whose check complained, where none of
        Python's functions gave up."""
        if failure == self.address:
            return self._complaint()
        for tables in self.parts:
            for call in tables.calls:
                error, call.error = call.error, None
                if error is not None:
                    return call.host.sources, error
            for _, loop in tables.controls:
                found = loop.error(failure)
                if found is not None:
                    return found
        return None

    def _complaint(self) -> tuple[tuple[int, ...], AmbosError]:
        part = self.control.parts[self.fields.failed_part]
        assert part.check is not None
        cells = (ctypes.c_int64 * self.control.num_cells).from_address(self._cells.address)
        number = ctypes.c_int32.from_address(cells[part.check]).value
        complaint = part.complaints[number - 1]
        return complaint.sources, IndexingError(complaint.text)


class Watched:
    """What a kernel that is a whole loop or branch shares with the pool."""

    def __init__(self, control: Control, pool: Pool) -> None:
        self.control = control
        self._memory = Storage(ctypes.sizeof(native_control.Watch))
        self.fields = fields = native_control.Watch.from_address(self.address)
        fields.ask, fields.complaint, fields.control = pool.entry("ask"), 0, pool.control

    @property
    def address(self) -> int:
        """Of the words that are shared."""
        return self._memory.address

    def error(self, failure: int) -> tuple[tuple[int, ...], AmbosError] | None:
        """As that of LoopTables."""
        if failure != self.address:
            return None
        number, self.fields.complaint = self.fields.complaint, 0
        complaint = self.control.complaints[number - 1]
        return complaint.sources, IndexingError(complaint.text)


class Consultation:
    """A launch inside a loop or branch that Python computes: native code calls it, and goes on with
    its next launch unless there is an `error`."""

    def __init__(self, host: HostLaunch, pool: Pool) -> None:
        self.host, self.pool = host, pool
        self.error: BaseException | None = None
        self._function = _Function(self._run)
        self._call = Storage(ctypes.sizeof(Call))
        fields = Call.from_address(self.address)
        fields.function = ctypes.cast(self._function, ctypes.c_void_p).value
        fields.control = pool.control

    @property
    def address(self) -> int:
        """Of the arguments for native code."""
        return self._call.address

    def _run(self) -> None:
        try:
            with self.pool.lending():
                self.host.run()
        except BaseException as error:  # raised again by Executable, whatever it is
            self.error = error
        self.pool.answer(self.error is None)


def _check(program: Program, pointer: Pointer) -> None:
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


def _bits(word: int | float) -> int:
    """A number as 64 bits: a float as a float64, an integer in two's complement."""
    if isinstance(word, float):
        return int(struct.unpack("=Q", struct.pack("=d", word))[0])
    return operator.index(word) & _MASK


def store(values: Sequence[int]) -> Storage:
    """Memory that holds these 64-bit numbers."""
    storage = Storage(8 * len(values))
    fill(storage, values)
    return storage


def fill(storage: Storage, values: Sequence[int]) -> None:
    """Write 64-bit numbers to the start of `storage`."""
    packed = struct.pack(f"={len(values)}Q", *(value & _MASK for value in values))
    ctypes.memmove(storage.address, packed, 8 * len(values))
