"""The Program: everything the compiler says and the runtime knows of one graph.

A Program is data. Its launches name kernels (machine-code symbols) with argument words; its slots
name memory: slot 0 is the arena, slot 1 the constant tables, then come inputs and outputs.

Kernel ABI: `void kernel(ptr args, i64 begin, i64 end, ptr scratch)`. `args` points to 64-bit
words; the kernel does work items `begin <= item < end`; `scratch` is private to the thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ambos.core.dtype import DType

ARENA, TABLES = 0, 1
ALIGNMENT = 64  # bytes; every slot and every arena block starts on a cache line


class TextMissing(Exception):
    """A kernel that was pickled has lost its text, and nobody has its machine code."""


def no_text() -> str:
    raise TextMissing


class Block(NamedTuple):
    """A whole array, row-major: word `word` is its address, its extents are the next `rank`."""

    word: int
    rank: int
    dtype: DType


@dataclass(frozen=True, slots=True)
class Host:
    """What stands in a launch in place of machine code where Python computes: the rule of op `op`
    on whole arrays. `results` are the blocks that take result number so and so of the rule."""

    op: str
    attrs: tuple[Any, ...]
    operands: tuple[Block, ...]
    results: tuple[tuple[int, Block], ...]


@dataclass(frozen=True, slots=True)
class Kernel:
    """One machine-code function, or what stands in its place: what Python computes (`host`), a loop
    or branch over Programs (`control`). `name` is a digest of everything that shapes its code.

    Pickling keeps no text: machine code is found by its name, or TextMissing is raised."""

    name: str
    emit: Callable[[], str] = field(compare=False)  # LLVM IR text of a module that defines @name
    label: str = field(compare=False, default="")  # for people
    host: Host | None = field(compare=False, default=None)
    control: Control | None = field(compare=False, default=None)

    def __reduce__(self) -> tuple[type[Kernel], tuple[Any, ...]]:
        return Kernel, (self.name, no_text, self.label, self.host, self.control)


class Pointer(NamedTuple):
    """The address of byte `offset` of `slot`, filled in at every run."""

    slot: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Watch:
    """The address of words that a kernel which may run for long shares with the runtime. Word 0 is
    a function `i64 ask(ptr words)`, to be called now and then: not 0 means to give up at once. A
    kernel that has a complaint puts its number (from 1, of `Control.complaints`) into word 1 and
    asks."""


Word = int | float | Pointer | Watch  # a float travels as the bits of a float64


@dataclass(frozen=True, slots=True)
class Work:
    """What a launch is for and has to do at least. People and profiles read it, no run does.

    `flops` counts a product and its addition as two and an elementwise op as the additions it is
    worth; `read` and `written` are bytes, each counted once however often it is used; `sources`
    are the positions, in the graph as it was handed to the compiler, of what is computed here.
    """

    flops: int = 0
    read: int = 0
    written: int = 0
    sources: tuple[int, ...] = ()

    @property
    def nbytes(self) -> int:
        return self.read + self.written


@dataclass(frozen=True, slots=True)
class Launch:
    """One parallel region: `items` independent work items of `kernel`."""

    kernel: Kernel
    words: tuple[Word, ...]
    items: int
    scratch: int = 0  # bytes that each thread needs
    serial: bool = False  # too small to be worth waking the other threads
    work: Work = field(default=Work(), compare=False)


@dataclass(frozen=True, slots=True)
class Program:
    """Launches in order. Inputs are slots 2..2+num_inputs, outputs follow."""

    launches: tuple[Launch, ...]
    num_inputs: int
    output_bytes: tuple[int, ...]
    arena_bytes: int = 0
    tables: bytes = b""
    donated: tuple[tuple[int, int], ...] = ()  # (output, input): the output may reuse that memory

    @property
    def num_slots(self) -> int:
        return 2 + self.num_inputs + len(self.output_bytes)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Distinct machine-code functions, in order of first use, those inside loops as well."""
        found: dict[str, Kernel] = {}
        for launch in self.launches:
            kernel = launch.kernel
            if kernel.control is not None and not kernel.control.woven:
                for part in kernel.control.parts:
                    found |= {inner.name: inner for inner in part.program.kernels}
            elif kernel.host is None:
                found.setdefault(kernel.name, kernel)
        return tuple(found.values())

    @property
    def may_fail(self) -> bool:
        """Can a run end early: by an error in Python, or an index out of range inside a loop?"""
        return any(
            launch.kernel.host is not None
            or (launch.kernel.control is not None and launch.kernel.control.may_fail)
            for launch in self.launches
        )

    @property
    def may_end_early(self) -> bool:
        """The same, or by Ctrl-C, which ends loops."""
        kernels = (launch.kernel for launch in self.launches)
        return any(kernel.host is not None or kernel.control is not None for kernel in kernels)

    @property
    def scratch(self) -> int:
        """Bytes that each thread needs, whatever it computes."""
        inner = (
            part.program.scratch
            for launch in self.launches if launch.kernel.control is not None
            for part in launch.kernel.control.parts
        )  # fmt: skip
        return max((*(launch.scratch for launch in self.launches), *inner), default=0)


# --- loops and branches --------------------------------------------------------------------------


class Complaint(NamedTuple):
    """What to say when a check finds something, and what it looks at (as `Work.sources`)."""

    text: str
    sources: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A Program inside a loop or branch. Its memory is that of cells of a table which all parts
    share: cell `cells[0]` is its arena, the rest its inputs and outputs, in order. Cells in
    `moving` change between steps.

    `check` is the cell of an int32 that it writes: 0, or n where the loop has to end with the n-th
    of `complaints`, which say what index was out of range.
    """

    program: Program
    cells: tuple[int, ...]
    moving: frozenset[int] = frozenset()
    check: int | None = None
    complaints: tuple[Complaint, ...] = ()


@dataclass(frozen=True, slots=True)
class Control:
    """What stands in a launch in place of machine code where other Programs run: a "repeat" of
    `length` steps of one part; "until": the second part as long as the first leaves True in cell
    `flag`; "choose": the part whose number (int32) is at word `number`.

    A table of addresses has `num_cells` cells. Before the first step cell c of `begins` (c, word,
    offset) is `offset` bytes from the address at that word of the launch, and `copies` (to, from,
    bytes) are made between such addresses. After each step but the last cell c of `slides` (c,
    stride) moves on by so many bytes, and of `swaps` (in, out, word, word) cell `in` takes the
    address of cell `out`, which gets the other one of two. In the end cells of `settles` (word,
    cell, bytes) are copied to where the word says, should they not lie there.

    `woven`: the kernel has machine code that does all of this by itself (compiler.weave).
    """

    how: str
    parts: tuple[Part, ...]
    num_cells: int
    begins: tuple[tuple[int, int, int], ...] = ()
    copies: tuple[tuple[int, int, int], ...] = ()
    slides: tuple[tuple[int, int], ...] = ()
    swaps: tuple[tuple[int, int, int, int], ...] = ()
    settles: tuple[tuple[int, int, int], ...] = ()
    length: int = 1
    flag: int = 0
    number: int = 0
    woven: bool = False

    @property
    def complaints(self) -> tuple[Complaint, ...]:
        """Those of each part, each followed by those of the loops and branches in that part."""
        found: list[Complaint] = []
        for part in self.parts:
            found += part.complaints
            for launch in part.program.launches:
                if launch.kernel.control is not None:
                    found += launch.kernel.control.complaints
        return tuple(found)

    @property
    def may_fail(self) -> bool:
        """Can it end early?"""
        return any(part.check is not None or part.program.may_fail for part in self.parts)
