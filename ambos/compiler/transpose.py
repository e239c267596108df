"""Turning LANES vectors of LANES elements in registers."""

from __future__ import annotations

from collections.abc import Sequence

from ambos.compiler.loops import LANES
from ambos.compiler.scalar import LLVMBuilder
from ambos.compiler.values import vector_type

LANE_BYTES = 16  # registers interleave bytes within lanes of this size


def transpose(b: LLVMBuilder, lines: Sequence[str], element: str, itemsize: int) -> list[str]:
    """The transpose of LANES vectors of LANES elements, as vectors.

    Blocks as wide as a register lane of 16 bytes are swapped first, from large to small; within
    lanes, rows are interleaved pairwise: element by element, then two by two, and so on. All
    shuffles are ones that AVX2, AVX-512 and NEON have as one instruction (or as a renaming).
    """
    inner = min(LANES, LANE_BYTES // itemsize)
    found, size = list(lines), LANES // 2
    while size >= inner:
        for first in range(LANES):
            if not first & size:
                low, high = found[first], found[first + size]
                found[first] = _shuffle(b, low, high, element, [
                    lane - size + LANES if lane & size else lane for lane in range(LANES)
                ])  # fmt: skip
                found[first + size] = _shuffle(b, low, high, element, [
                    lane + LANES if lane & size else lane + size for lane in range(LANES)
                ])  # fmt: skip
        size //= 2
    parts = (found[start : start + inner] for start in range(0, LANES, inner))
    return [line for part in parts for line in _interleave(b, part, element, inner)]


def _interleave(b: LLVMBuilder, lines: Sequence[str], element: str, inner: int) -> list[str]:
    """The transposes of the square blocks that lie side by side in `lines`."""
    if len(lines) == 1:
        return list(lines)
    chunk = len(lines) // 2
    halves = (_interleave(b, part, element, inner) for part in (lines[:chunk], lines[chunk:]))
    found = []
    for low, high in zip(*halves, strict=True):
        for start in (0, inner // 2):
            order = [
                source
                for block in range(0, LANES, inner)
                for place in range(block + start, block + start + inner // 2, chunk)
                for side in (0, LANES)
                for source in range(place + side, place + side + chunk)
            ]
            found.append(_shuffle(b, low, high, element, order))
    return found


def _shuffle(b: LLVMBuilder, low: str, high: str, element: str, order: Sequence[int]) -> str:
    kind = vector_type(element)
    lanes = ", ".join(f"i32 {lane}" for lane in order)
    return b.here(f"shufflevector {kind} {low}, {kind} {high}, <{LANES} x i32> <{lanes}>")
