"""Where temporaries live: apart while both are needed, together where that saves memory."""

from __future__ import annotations

import random
import struct
from typing import cast

import pytest

from ambos.compiler.launches import Step
from ambos.compiler.layout import Memory, Ref, TableRef
from ambos.compiler.loops import SortKernel
from ambos.compiler.plan import plan_memory, resolve
from ambos.core.dtype import float32
from ambos.core.program import ALIGNMENT, ARENA, TABLES, Pointer

KERNEL = cast(SortKernel, object())  # placing memory does not look at it


def steps_of(count: int, seed: int) -> tuple[list[Step], list[tuple[Memory, int, int]]]:
    """A forward and a backward pass: every third temporary is needed again, the last first."""
    dice = random.Random(seed)
    words: list[list[Ref]] = [[] for _ in range(2 * count)]
    lives = []
    for start in range(2 * count):
        memory = Memory(float32, (dice.choice([1, 16, 1000, dice.randrange(1, 10_000)]),), (1,))
        end = min(2 * count - 1, start + dice.randrange(1, 5))
        if start < count and dice.random() < 0.3:
            end = 2 * count - 1 - start
        for place in (start, end):
            words[place].append(Ref(memory, 0))
        lives.append((memory, start, end))
    return [Step(KERNEL, list(w), 1, 0, False, "") for w in words], lives


@pytest.mark.parametrize("seed", range(5))
def test_what_lives_at_once_lies_apart(seed: int) -> None:
    steps, lives = steps_of(40, seed)
    placement = plan_memory(steps)
    spans = []
    for memory, start, end in lives:
        offset = placement.offsets[id(memory)]
        assert offset % ALIGNMENT == 0
        assert offset + memory.nbytes <= placement.arena_bytes
        spans.append((offset, offset + memory.nbytes, start, end))
    for i, (low, high, start, end) in enumerate(spans):
        for other_low, other_high, other_start, other_end in spans[:i]:
            if start <= other_end and other_start <= end:
                assert high <= other_low or other_high <= low
    assert placement.arena_bytes < sum(memory.nbytes for memory, _, _ in lives)


def test_equal_tables_exist_once() -> None:
    square = TableRef(((2, 10), (3, -2)))
    words = [square, TableRef(), TableRef(((2, 10), (3, -2)))]
    assert square.values == (0, -2, -4, 10, 8, 6)
    step = Step(KERNEL, [*words, Ref(Memory(float32, (3,), (1,)), 4)], 1, 0, False, "")
    placement = plan_memory([step])
    assert placement.tables == struct.pack("<7q", *square.values, 0)
    assert resolve(step, placement, 0) == (
        Pointer(TABLES, 0), Pointer(TABLES, 48), Pointer(TABLES, 0), Pointer(ARENA, 4),
    )  # fmt: skip
