"""Hashes of integers in tensors: those of their decimals, as operations of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ambos.core.dtype import int64, uint64
from ambos.data.hashing import SHORT, sip_add, sip_begin, sip_end
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where

DIGITS = 19  # of the largest int64
POWERS = 10 ** np.arange(DIGITS, dtype=np.uint64)
PLACES = np.uint64(8) * np.arange(8, dtype=np.uint64)  # of bytes in a word
ZERO, MINUS = b"0-"


class Decimals:
    """Integers as text, in three words of eight characters with zeros behind: what `hashing.Texts`
    is for texts of one length. Lengths are tensors."""

    def __init__(self, numbers: Tensor) -> None:
        is_negative = numbers < 0
        size = where(is_negative, -numbers, numbers).to(uint64)  # of the least int64 as well
        powers = Tensor(POWERS)
        count = 1 + (size[..., None] >= powers[1:]).to(int64).sum(-1)
        first = size * powers[DIGITS - count]  # digits from the left
        digits = first[..., None] // Tensor(POWERS[::-1].copy()) % 10 + ZERO
        place = Tensor(np.arange(DIGITS))
        text = where(place < count[..., None], digits, 0).to(uint64)
        words = [
            (text[..., at : at + 8] << Tensor(PLACES[: DIGITS - at])).sum(-1).to(uint64)
            for at in range(0, DIGITS, 8)
        ]
        before = [Tensor(np.uint64(MINUS)), *(word >> 56 for word in words)]
        self.words = [
            where(is_negative, word << 8 | left, word)
            for word, left in zip(words, before, strict=False)
        ]
        self.length = (count + is_negative.to(int64)).to(uint64)

    def word(self, at: Any, size: int = 8) -> Tensor:
        """The `size` characters from place `at` on; anything where there are not so many."""
        first, second, third = self.words
        if isinstance(at, int):  # 0 or 8
            found = self.words[at // 8]
        else:
            from_second, from_third = at >= 8, at >= 16
            low = where(from_third, third, where(from_second, second, first))
            high = where(from_second, third, second)
            bits = (at & 7) << 3
            found = low >> bits | (high << 1) << (63 - bits)
        return found if size == 8 else found & (1 << 8 * size) - 1


def buckets(numbers: Tensor, count: int, salt: Sequence[int] | None = None) -> Tensor:
    """Which of `count` buckets each integer falls into, as `hashing.buckets` of its decimals.

    Dtypes: int64, kept.

    Example:
        >>> buckets(Tensor(np.array([1, -20])), 5).tolist()
        [4, 0]
    """
    text = Decimals(numbers)
    hashed = _fingerprint(text) if salt is None else _siphash(text, salt)
    return (hashed % count).to(int64)


def _fingerprint(text: Decimals) -> Tensor:
    (_, found), *shorter = [(most, of_up_to(text)) for most, of_up_to in reversed(SHORT)]
    for most, hashed in shorter:
        found = where(text.length <= most, hashed, found)
    return found


def _siphash(text: Decimals, salt: Sequence[int]) -> Tensor:
    last, length = text.length >> 3, text.length << 56
    state = sip_begin(text.length ^ text.length, salt)
    ends = []
    for place, word in enumerate(text.words):
        state = sip_add(state, where(last == place, word | length, word))
        ends.append(sip_end(state))
    first, second, third = ends
    return where(last == 0, first, where(last == 1, second, third))
