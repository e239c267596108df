"""Where every buffer lives: liveness over the steps, one arena, first fit."""

from __future__ import annotations

import struct
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

from ambos.compiler.launches import Step
from ambos.compiler.layout import Memory, Ref, TableRef
from ambos.core.program import ALIGNMENT, ARENA, TABLES, Pointer, Word


@dataclass(slots=True)
class Placement:
    """Arena offsets of temporary buffers, and the constant tables."""

    offsets: dict[int, int]  # id(memory) -> byte offset
    spans: dict[int, tuple[int, int]]  # id(memory) -> first and last step that use it
    arena_bytes: int
    tables: bytes
    table_offsets: dict[tuple[int, ...], int]


def plan_memory(steps: Sequence[Step]) -> Placement:
    """Give each temporary the lowest arena range that is free from its first use to its last."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    memories: dict[int, Memory] = {}
    tables: dict[tuple[int, ...], int] = {}
    blob = bytearray()
    for number, step in enumerate(steps):
        for word in step.words:
            if isinstance(word, Ref):
                key = id(word.memory)
                memories[key] = word.memory
                first.setdefault(key, number)
                last[key] = number
            elif isinstance(word, TableRef) and (values := word.values) not in tables:
                tables[values] = len(blob)
                blob += struct.pack(f"<{len(values)}q", *values)
    temporary = [k for k, m in memories.items() if m.input is None and m.output is None]
    temporary.sort(key=lambda k: (-memories[k].nbytes, first[k]))
    placed: list[tuple[int, int, int, int]] = []  # (offset, end, first, last), lowest first
    offsets: dict[int, int] = {}
    top = 0
    for key in temporary:
        size = -(-memories[key].nbytes // ALIGNMENT) * ALIGNMENT
        born, gone = first[key], last[key]
        offset = 0
        for start, end, since, until in placed:
            if since <= gone and born <= until:
                if offset + size <= start:
                    break
                if end > offset:
                    offset = end
        offsets[key] = offset
        insort(placed, (offset, offset + size, born, gone))
        top = max(top, offset + size)
    spans = {key: (first[key], last[key]) for key in offsets}
    return Placement(offsets, spans, top, bytes(blob), tables)


def resolve(step: Step, placement: Placement, num_inputs: int) -> tuple[Word, ...]:
    """The step's words with every address as a slot and an offset."""
    words: list[Word] = []
    for word in step.words:
        if isinstance(word, TableRef):
            words.append(Pointer(TABLES, placement.table_offsets[word.values]))
        elif isinstance(word, Ref):
            memory = word.memory
            if memory.input is not None:
                words.append(Pointer(2 + memory.input, word.offset))
            elif memory.output is not None:
                words.append(Pointer(2 + num_inputs + memory.output, word.offset))
            else:
                words.append(Pointer(ARENA, placement.offsets[id(memory)] + word.offset))
        else:
            words.append(word)
    return tuple(words)
