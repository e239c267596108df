"""Dear values that several stages of a row kernel need are computed once, into scratch memory.

Softmax is the pattern: exp(x - max) is summed by one stage and divided by the next. The row is
small enough for a core's cache, so a store and a load cost less than another exponential.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ambos.compiler import loops
from ambos.compiler.finish import Axes, Words
from ambos.core.shape import row_major
from ambos.ops.kinds import registry

DEAR = 8  # additions; cheaper values are computed again
SCRATCH_BYTES = 1 << 18  # what a thread's scratch may take of its cache

Stage = loops.Map | loops.Fold


def share_dear_values(
    tape: list[loops.Instr], stages: list[Stage], inner: Sequence[int], axes: Axes, words: Words,
    lanes: int,
) -> tuple[list[loops.Instr], list[Stage], int]:  # fmt: skip
    """Tape and stages with the dear shared values kept in scratch, and its size in bytes."""
    volume, taken = lanes, 0
    for axis in inner:
        volume *= axes.extent(axis)
    strides = row_major([axes.extent(axis) for axis in inner])
    number = 0
    while number < len(tape):
        instruction = tape[number]
        if (
            isinstance(instruction, loops.Apply)
            and _cost(instruction.op) >= DEAR
            and _varies(tape, number, inner)
        ):
            users = [
                i
                for i, stage in enumerate(stages)
                if stage.axes == tuple(inner) and number in loops.closure(tape, loops.roots(stage))
            ]
            size = -(-volume * instruction.dtype.itemsize // 64) * 64
            if len(users) > 1 and taken + size <= SCRATCH_BYTES:
                # Scratch is addressed in elements of the buffer's own type, from its start.
                offset = words.add(taken // (instruction.dtype.itemsize * lanes))
                terms = tuple(
                    (axis, loops.UNIT if stride == 1 and lanes == 1 else words.add(stride))
                    for axis, stride in zip(inner, strides, strict=True)
                )
                index = loops.Index(offset, terms)
                buffer = loops.Buffer(None, instruction.dtype)
                tape, stages = _insert(tape, stages, number, users[0], buffer, index, inner)
                taken += -(-size // (64 * lanes)) * 64 * lanes
        number += 1
    return tape, stages, taken


def _cost(op: str) -> int:
    return int(getattr(registry[op], "cost", 0))


def _varies(tape: Sequence[loops.Instr], number: int, inner: Sequence[int]) -> bool:
    """Does instruction `number` change along the inner axes?"""
    return any(axis in inner for n in loops.closure(tape, [number]) for axis in _axes(tape[n]))


def _axes(instruction: loops.Instr) -> list[int]:
    """The axes that an instruction itself mentions."""
    if isinstance(instruction, loops.Position):
        return [instruction.axis]
    if isinstance(instruction, loops.Load):
        return [axis for axis, _ in instruction.index.terms]
    return []


def _insert(
    tape: list[loops.Instr], stages: list[Stage], number: int, first: int, buffer: loops.Buffer,
    index: loops.Index, inner: Sequence[int],
) -> tuple[list[loops.Instr], list[Stage]]:  # fmt: skip
    """Store instruction `number` before stage `first`; everything after reads it back."""
    moved = Moved(number, first)
    rest = [moved.instruction(instruction) for instruction in tape[number + 1 :]]
    head = [moved.instruction(instruction, own=True) for instruction in tape[: number + 1]]
    keep = loops.Map(tuple(inner), (loops.Store(buffer, index, number),))
    new_stages: list[Stage] = [moved.stage(stage) for stage in stages]
    new_stages.insert(first, keep)
    return [*head, loops.Load(buffer, index), *rest], new_stages


@dataclass(frozen=True, slots=True)
class Moved:
    """New numbers after a load was put behind instruction `number` and a stage before `first`.

    Whoever read `number` now reads the load."""

    number: int
    first: int

    def value(self, old: int) -> int:
        return old + 1 if old >= self.number else old

    def instruction(self, instruction: loops.Instr, own: bool = False) -> loops.Instr:
        """`own`: up to and including `number`, operands keep their places."""
        if isinstance(instruction, loops.Result):
            stage = instruction.stage
            return replace(instruction, stage=stage + 1 if stage >= self.first else stage)
        if own:
            return instruction
        if isinstance(instruction, loops.Apply):
            return replace(instruction, args=tuple(self.value(a) for a in instruction.args))
        if isinstance(instruction, loops.Load):
            mask = None if instruction.mask is None else self.value(instruction.mask)
            return replace(instruction, index=self.index(instruction.index), mask=mask)
        return instruction

    def index(self, index: loops.Index) -> loops.Index:
        return replace(index, gathers=tuple((self.value(v), t) for v, t in index.gathers))

    def stage(self, stage: Stage) -> Stage:
        if isinstance(stage, loops.Fold):
            return replace(stage, value=self.value(stage.value))
        stores = tuple(
            replace(
                s,
                value=self.value(s.value),
                mask=None if s.mask is None else self.value(s.mask),
                index=self.index(s.index),
            )
            for s in stage.stores
        )
        return replace(stage, stores=stores)
