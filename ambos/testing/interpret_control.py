"""Loops and branches on the interpreter's memory: the parts' kernels, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ambos.compiler.inside import ControlKernel
from ambos.compiler.launches import Step
from ambos.compiler.layout import Ref
from ambos.core.errors import IndexingError
from ambos.core.program import ARENA, TABLES, Control, Part, Pointer, Watch

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Run = Callable[[Any, Sequence[int | float], Mapping[int, np.ndarray[Any, Any]]], None]


class Place(NamedTuple):
    """Where an address points to: byte `offset` of a block."""

    block: Bytes
    offset: int = 0

    def moved(self, nbytes: int) -> Place:
        return Place(self.block, self.offset + nbytes)

    def number(self, kind: str) -> int:
        return int(
            self.block[self.offset :].view(np.uint8)[: np.dtype(kind).itemsize].view(kind)[0]
        )

    def copy(self, source: Place, nbytes: int) -> None:
        taken = source.block[source.offset : source.offset + nbytes].copy()
        self.block[self.offset : self.offset + nbytes] = taken

    def is_at(self, other: Place) -> bool:
        return self.block is other.block and self.offset == other.offset


def interpret_control(
    kernel: ControlKernel, memory: Mapping[int, np.ndarray[Any, Any]], run: Run
) -> None:
    """Run `kernel` on `memory`, which changes in place; `run` interprets the kernels inside.

    Errors:
        IndexingError: an index inside is out of range.
    """
    words = {word: Place(array.view(np.uint8)) for word, array in memory.items()}
    Interpreted(kernel, words, run).start()


class Interpreted:
    """A loop or branch that runs."""

    def __init__(self, kernel: ControlKernel, words: Mapping[int, Place], run: Run) -> None:
        self.control: Control = kernel.control
        self.steps, self.words, self.run = kernel.steps, words, run
        self.cells: dict[int, Place] = {}

    def start(self) -> None:
        control, words, cells = self.control, self.words, self.cells
        for cell, word, offset in control.begins:
            cells[cell] = words[word].moved(offset)
        for to, source, nbytes in control.copies:
            words[to].copy(words[source], nbytes)
        if control.how == "choose":
            number = words[control.number].number("int32")
            self.step(min(max(number, 0), len(control.parts) - 1))
        elif control.how == "repeat":
            for left in reversed(range(control.length)):
                self.step(0)
                self.advance(left)
        else:
            self.step(0)
            while cells[control.flag].number("uint8"):
                self.step(1)
                self.advance(1)
                self.step(0)
        for word, cell, nbytes in control.settles:
            if not words[word].is_at(cells[cell]):
                words[word].copy(cells[cell], nbytes)

    def advance(self, left: int) -> None:
        if not left:
            return
        for cell, step in self.control.slides:
            self.cells[cell] = self.cells[cell].moved(step)
        for read, written, one, two in self.control.swaps:
            result = self.cells[written]
            other = two if result.is_at(self.words[one]) else one
            self.cells[read], self.cells[written] = result, self.words[other]

    def step(self, number: int) -> None:
        """All launches of a part, and its check."""
        part, steps = self.control.parts[number], self.steps[number]
        for step, launch in zip(steps, part.program.launches, strict=True):
            assert isinstance(step, Step)
            words: list[int | float] = []
            memory = {}
            for place, word in enumerate(launch.words):
                if isinstance(word, Pointer):
                    memory[place] = self.typed(part, step.words[place], word)
                words.append(0 if isinstance(word, Pointer | Watch) else word)
            self.run(step.kernel, words, memory)
        if part.check is not None:
            complaint = self.cells[part.check].number("int32")
            if complaint:
                raise IndexingError(part.complaints[complaint - 1].text)

    def typed(self, part: Part, symbolic: object, pointer: Pointer) -> np.ndarray[Any, Any]:
        """What a pointer of a part's launch points to, up to the end of its block of memory."""
        if pointer.slot == TABLES:
            return np.frombuffer(part.program.tables, np.int64, offset=pointer.offset)
        assert isinstance(symbolic, Ref)
        cell = part.cells[0 if pointer.slot == ARENA else pointer.slot - 1]
        place, memory = self.cells[cell].moved(pointer.offset), symbolic.memory
        nbytes = min(memory.nbytes - symbolic.offset, place.block.size - place.offset)
        kind = "uint16" if memory.dtype.name == "bfloat16" else memory.dtype.name
        whole = nbytes // np.dtype(kind).itemsize * np.dtype(kind).itemsize
        return place.block[place.offset : place.offset + whole].view(kind)
