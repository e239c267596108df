"""How much memory a Program needs, for what, and how many examples would fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ambos.core.config import config
from ambos.core.dtype import DType
from ambos.core.errors import OutOfMemoryError, user_line
from ambos.core.shape import Shape
from ambos.graph.lines import Line
from ambos.runtime import memory
from ambos.runtime.memory import in_words, size_class
from ambos.tensor.array import Array

if TYPE_CHECKING:  # it belongs to the compiler, which importing ambos should not load
    from ambos.compiler.compiled import Compiled

SHOWN = 3  # buffers in an error


@dataclass(frozen=True, slots=True)
class Holding:
    """One block of memory: "argument" and "state" are there before the Program runs, a "temporary"
    while it runs, a "result" from then on."""

    role: str
    nbytes: int
    dtype: DType
    shape: Shape
    line: Line | None
    op: str = ""

    def __str__(self) -> str:
        where = f" ({self.line})" if self.line else ""
        what = f"{self.op}'s " if self.op else ""
        return f"{what}{self.dtype.name}{list(self.shape)}, {in_words(self.nbytes)}{where}"


@dataclass(frozen=True, slots=True)
class Room:
    """What a Program holds when it holds most. `temporary_bytes` may be more than the temporaries
    together, which do not always fit without gaps."""

    holdings: tuple[Holding, ...]
    temporary_bytes: int
    peak_bytes: int
    batch: int  # the leading size of the largest argument

    def bytes_of(self, role: str) -> int:
        """What blocks of a role take, each in its size class."""
        if role == "temporary":
            return self.temporary_bytes
        return sum(size_class(h.nbytes) for h in self.holdings if h.role == role)

    def largest(self, count: int) -> list[Holding]:
        """The largest blocks."""
        return sorted(self.holdings, key=lambda holding: -holding.nbytes)[:count]

    def examples_within(self, nbytes: int) -> int:
        """About how many examples take `nbytes` at the peak, what does not depend on their number
        included: blocks with an axis of (a multiple of) the batch's size grow with it."""
        if self.batch < 2:
            return 0
        state = {holding.shape for holding in self.holdings if holding.role == "state"}
        growing = sum(
            size_class(h.nbytes) for h in self.holdings
            if h.shape not in state and any(n and n % self.batch == 0 for n in h.shape)
        )  # fmt: skip
        growing = min(growing, self.peak_bytes)
        if not growing:
            return 0
        return max(0, (nbytes - self.peak_bytes + growing) * self.batch // growing)


def room_for(
    compiled: Compiled, leaves: Sequence[tuple[str, Array]], lines: Sequence[Line | None]
) -> Room:
    """The room that a Program takes, with `leaves` (roles and data) as its inputs. `lines[i]` is
    where number i of its graph was recorded."""
    program = compiled.program
    inputs = {id(array.storage): (role, array) for role, array in leaves}
    holdings = [Holding(role, array.storage.nbytes, array.dtype, array.shape, None)
                for role, array in inputs.values()]  # fmt: skip
    # A tensor that the caller holds is never written over.
    in_place = {output for output, place in program.donated if leaves[place][0] == "state"}
    for held in compiled.held:
        if held.output not in in_place:
            role = "temporary" if held.output is None else "result"
            line = lines[held.source] if 0 <= held.source < len(lines) else None
            holdings.append(Holding(role, held.nbytes, held.dtype, held.shape, line, held.op))
    scratch = max((launch.scratch for launch in program.launches), default=0) * config.threads
    temporary = size_class(program.arena_bytes) + size_class(scratch) + len(program.tables)
    lasting = sum(size_class(h.nbytes) for h in holdings if h.role != "temporary")
    arguments = [h for h in holdings if h.role == "argument" and h.shape]
    largest = max(arguments, key=lambda holding: holding.nbytes, default=None)
    batch = largest.shape[0] if largest is not None else 0
    return Room(tuple(holdings), temporary, lasting + temporary, batch)


def told(error: OutOfMemoryError, room: Room, limit: int | None = None) -> OutOfMemoryError:
    """The same error with the largest blocks, where they were recorded, and how many examples would
    fit into `limit` bytes (what is free)."""
    blocks = "; ".join(map(str, room.largest(SHOWN)))
    if limit is None:
        limit = memory.available() + room.bytes_of("argument") + room.bytes_of("state")
    fit = room.examples_within(limit)
    examples = f"; of {room.batch} examples about {fit} would fit" if 0 < fit < room.batch else ""
    error.message += f"; {in_words(room.peak_bytes)} in all, the largest are {blocks}{examples}"
    return error.at(user_line())
