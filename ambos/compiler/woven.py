"""A whole loop or branch as one kernel: what its text is written from (`weave`, `emit_woven`)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ambos.core.program import Kernel


@dataclass(frozen=True, slots=True)
class Given:
    """What stands in a word of the launch."""

    word: int


Number = int | Given  # one that is part of the code, or one of the run


@dataclass(frozen=True, slots=True)
class Place:
    """An address `offset` bytes from the one in a cell."""

    cell: int
    offset: Number


@dataclass(frozen=True, slots=True)
class Local:
    """An address `offset` bytes into temporary number `number` of the kernel's own."""

    number: int
    offset: int


Argument = Number | Place | Local


@dataclass(frozen=True, slots=True)
class Call:
    """A launch of a step. `base` is what the numbers of its complaints begin after, if it is a loop
    or branch itself."""

    kernel: Kernel = field(repr=False, compare=False)
    name: str
    arguments: tuple[Argument, ...]
    items: Number
    base: int | None = None


@dataclass(frozen=True, slots=True)
class Few:
    """So many elements of a type of LLVM's."""

    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that begins `offset` bytes from the address at `word`; or, if it is its `own`, memory
    of the kernel's own that takes its first value from the address at `source` and leaves its last
    one at `target`, if these are given."""

    word: int
    offset: Number = 0
    own: Few | None = None
    source: int | None = None
    target: int | None = None


@dataclass(frozen=True, slots=True)
class Weft:
    """The calls of a part, and the cell and the number before the first of its complaints."""

    calls: tuple[Call, ...]
    check: int | None
    base: int


@dataclass(frozen=True, slots=True)
class Woven:
    """A `core.program.Control`, whose words these are, as one kernel. `watch` is the word of its
    `core.program.Watch`."""

    how: str
    parts: tuple[Weft, ...]
    cells: tuple[Cell, ...]
    temporaries: tuple[Few, ...]
    copies: tuple[tuple[int, int, Number], ...]
    slides: tuple[tuple[int, Number], ...]
    swaps: tuple[tuple[int, int, int, int], ...]
    settles: tuple[tuple[int, int, Number], ...]
    length: Number
    flag: int
    number: int
    watch: int
    num_instructions: int

    @property
    def is_innermost(self) -> bool:
        """Are there no loops or branches inside?"""
        return all(call.base is None for part in self.parts for call in part.calls)
