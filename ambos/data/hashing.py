"""Stable hashes of texts, many at a time: FarmHash's Fingerprint64, and SipHash with a salt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[Any]  # uint64
Bytes = NDArray[np.uint8]  # (N, length)
Pair = tuple[Any, Any]

K0, K1, K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F
MASK = 2**64 - 1
SIP = b"somepseudorandomlygeneratedbytes"  # what the four words of its state begin with


def buckets(
    texts: Iterable[str], count: int, salt: Sequence[int] | None = None
) -> NDArray[np.int64]:
    """Which of `count` buckets each text falls into, the same ones on every machine and as
    TensorFlow's `to_hash_bucket_fast` (`to_hash_bucket_strong` with a `salt` of two integers).

    Example:
        >>> buckets("ABCDE", 3).tolist(), buckets("ABCDE", 3, (133, 137)).tolist()
        ([1, 0, 1, 1, 2], [1, 2, 1, 0, 2])
    """
    coded = [text.encode() for text in texts]
    hashed: Callable[[Bytes], Words] = fingerprint if salt is None else lambda b: siphash(b, salt)
    lengths = np.array([len(text) for text in coded], np.int64)
    found: Words = np.empty(len(coded), np.uint64)
    for length in np.unique(lengths):  # texts of one length take the same steps
        places = np.flatnonzero(lengths == length)
        joined = b"".join([coded[place] for place in places])
        rows = np.frombuffer(joined, np.uint8).reshape(len(places), length)
        found[places] = hashed(rows)
    return (found % np.uint64(count)).astype(np.int64)


class Texts:
    """Texts of one length, a row of bytes each: what the hashes read of them. Those that are made
    of tensors are `decimals.Decimals`, with a length for each."""

    def __init__(self, rows: Bytes) -> None:
        self.rows, self.length = rows, rows.shape[1]

    def word(self, at: int, size: int = 8) -> Words:
        """Little-endian words of each row."""
        part = np.ascontiguousarray(self.rows[:, at : at + size])
        return part.view(f"<u{size}")[:, 0].astype(np.uint64)


def fingerprint(rows: Bytes) -> Words:
    """FarmHash's Fingerprint64 of each row.

    Source: https://github.com/google/farmhash (farmhashna::Hash64).
    """
    text = Texts(rows)
    if not text.length:
        return np.full(len(rows), K2, np.uint64)
    for most, of_up_to in SHORT:
        if text.length <= most:
            return of_up_to(text)
    return _of_33_to_64(text) if text.length <= 64 else _long(text)


def _of_1_to_3(text: Any) -> Any:
    last = text.length - 1
    first, middle, end = (text.word(at, 1) for at in (0, text.length >> 1, last))
    return _shifted((first + (middle << 8)) * K2 ^ ((end << 2) + text.length) * K0) * K2


def _of_4_to_7(text: Any) -> Any:
    length = text.length
    return _mixed((text.word(0, 4) << 3) + length, text.word(length - 4, 4), _factor(length))


def _of_8_to_16(text: Any) -> Any:
    factor = _factor(text.length)
    a, b = text.word(0) + K2, text.word(text.length - 8)
    return _mixed(_turned(b, 37) * factor + a, (_turned(a, 25) + b) * factor, factor)


def _of_17_to_32(text: Any) -> Any:
    factor = _factor(text.length)
    return _mixed(*_quarters(text, text.word(0) * K1, factor), factor)


SHORT = ((3, _of_1_to_3), (7, _of_4_to_7), (16, _of_8_to_16), (32, _of_17_to_32))


def _of_33_to_64(text: Texts) -> Words:
    length, factor = text.length, _factor(text.length)
    y, z = _quarters(text, text.word(0) * K2, factor)
    z = _mixed(y, z, factor)
    e, f = text.word(16) * factor, text.word(24)
    g, h = (y + text.word(length - 32)) * factor, (z + text.word(length - 24)) * factor
    return _mixed(
        _turned(e + f, 43) + _turned(g, 30) + h, e + _turned(f + text.word(0) * K2, 18) + g, factor
    )


def _quarters(text: Any, a: Any, factor: Any) -> Pair:
    b = text.word(8)
    c, d = text.word(text.length - 8) * factor, text.word(text.length - 16) * K2
    return _turned(a + b, 43) + _turned(c, 30) + d, a + _turned(b + K2, 18) + c


def _factor(length: Any) -> Any:
    return 2 * length + K2 & MASK


def _long(text: Texts) -> Words:
    """Of more than 64 bytes: blocks of 64, the last of which overlaps the one before."""
    seed, last, count = 81, text.length - 1, len(text.rows)
    x = text.word(0) + (seed * K2 & MASK)
    y = np.full(count, (seed * K1 + 113) & MASK, np.uint64)
    z = _shifted(y * K2 + 113) * K2
    v: Pair = (np.zeros_like(x), np.zeros_like(x))
    w: Pair = v
    for at in range(0, last // 64 * 64, 64):
        x = _turned(x + y + v[0] + text.word(at + 8), 37) * K1 ^ w[1]
        y = _turned(y + v[1] + text.word(at + 48), 42) * K1 + v[0] + text.word(at + 40)
        z = _turned(z + w[0], 33) * K1
        v = _weak(text, at, v[1] * K1, x + w[0])
        w = _weak(text, at + 32, z + w[1], y + text.word(at + 16))
        z, x = x, z
    factor = K1 + ((z & 0xFF) << 1)
    at = last - 63
    w = (w[0] + (last & 63), w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    x = _turned(x + y + v[0] + text.word(at + 8), 37) * factor ^ w[1] * 9
    y = _turned(y + v[1] + text.word(at + 48), 42) * factor + v[0] * 9 + text.word(at + 40)
    z = _turned(z + w[0], 33) * factor
    v = _weak(text, at, v[1] * factor, x + w[0])
    w = _weak(text, at + 32, z + w[1], y + text.word(at + 16))
    z, x = x, z
    return _mixed(
        _mixed(v[0], w[0], factor) + _shifted(y) * K0 + z, _mixed(v[1], w[1], factor) + x, factor
    )


def _turned(word: Any, bits: int) -> Any:
    """Rotated to the right."""
    return word >> bits | word << (64 - bits)


def _shifted(word: Any) -> Any:
    return word ^ word >> 47


def _mixed(u: Any, v: Any, factor: Any) -> Any:
    return _shifted((v ^ _shifted((u ^ v) * factor)) * factor) * factor


def _weak(text: Texts, at: int, a: Words, b: Words) -> Pair:
    first, second, third, fourth = (text.word(at + 8 * place) for place in range(4))
    a = a + first
    b = _turned(b + a + fourth, 21)
    c = a
    a = a + second + third
    return a + fourth, b + _turned(a, 44) + c


def siphash(rows: Bytes, salt: Sequence[int]) -> Words:
    """SipHash-2-4 of each row, with the two words of `salt` as its key.

    Source: Aumasson and Bernstein, SipHash: a fast short-input PRF (2012).
    """
    count, length = rows.shape
    padded = np.zeros((count, length // 8 * 8 + 8), np.uint8)
    padded[:, :length] = rows
    padded[:, -1] = length & 0xFF
    text = Texts(padded)
    state = sip_begin(np.zeros(count, np.uint64), salt)
    for at in range(0, text.length, 8):
        state = sip_add(state, text.word(at))
    return sip_end(state)


def sip_begin(zeros: Any, salt: Sequence[int]) -> list[Any]:
    """The state of SipHash before the first word, of as many texts as there are `zeros`."""
    words = [int.from_bytes(SIP[at : at + 8], "big") for at in range(0, 32, 8)]
    keys = [key & MASK for key in salt] * 2
    return [zeros + (word ^ key) for word, key in zip(words, keys, strict=True)]


def sip_add(state: list[Any], word: Any) -> list[Any]:
    """The state after one more word; the last one has the text's length as its highest byte."""
    a, b, c, d = state
    a, b, c, d = _round(*_round(a, b, c, d ^ word))
    return [a ^ word, b, c, d]


def sip_end(state: list[Any]) -> Any:
    """The hash."""
    a, b, c, d = state
    state = [a, b, c ^ 0xFF, d]
    for _ in range(4):
        state = _round(*state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _round(a: Any, b: Any, c: Any, d: Any) -> list[Any]:
    a, c = a + b, c + d
    b, d = _turned(b, 51) ^ a, _turned(d, 48) ^ c
    a = _turned(a, 32)
    c, a = c + b, a + d
    b, d = _turned(b, 47) ^ c, _turned(d, 43) ^ a
    return [a, b, _turned(c, 32), d]
