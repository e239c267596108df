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


def fingerprint(text: Bytes) -> Words:
    """FarmHash's Fingerprint64 of each row.

    Source: https://github.com/google/farmhash (farmhashna::Hash64).
    """
    length = text.shape[1]
    if length == 0:
        return np.full(len(text), K2, np.uint64)
    if length < 4:
        first, middle, last = (text[:, at].astype(np.uint64) for at in (0, length >> 1, length - 1))
        return _shifted((first + (middle << 8)) * K2 ^ (length + (last << 2)) * K0) * K2
    factor = (K2 + 2 * length) & MASK
    if length < 8:
        return _mixed(length + (_word(text, 0, 4) << 3), _word(text, length - 4, 4), factor)
    if length <= 16:
        a, b = _word(text, 0) + K2, _word(text, length - 8)
        return _mixed(_turned(b, 37) * factor + a, (_turned(a, 25) + b) * factor, factor)
    if length > 64:
        return _long(text)
    a, b = _word(text, 0) * K1 if length <= 32 else _word(text, 0) * K2, _word(text, 8)
    c, d = _word(text, length - 8) * factor, _word(text, length - 16) * K2
    y, z = _turned(a + b, 43) + _turned(c, 30) + d, a + _turned(b + K2, 18) + c
    if length <= 32:
        return _mixed(y, z, factor)
    z = _mixed(y, z, factor)
    e, f = _word(text, 16) * factor, _word(text, 24)
    g, h = (y + _word(text, length - 32)) * factor, (z + _word(text, length - 24)) * factor
    return _mixed(_turned(e + f, 43) + _turned(g, 30) + h, e + _turned(f + a, 18) + g, factor)


def _long(text: Bytes) -> Words:
    """Of more than 64 bytes: blocks of 64, the last of which overlaps the one before."""
    seed, last = 81, text.shape[1] - 1
    x = _word(text, 0) + (seed * K2 & MASK)
    y = np.full(len(text), (seed * K1 + 113) & MASK, np.uint64)
    z = _shifted(y * K2 + 113) * K2
    v: Pair = (np.zeros_like(x), np.zeros_like(x))
    w: Pair = v
    for at in range(0, last // 64 * 64, 64):
        x = _turned(x + y + v[0] + _word(text, at + 8), 37) * K1 ^ w[1]
        y = _turned(y + v[1] + _word(text, at + 48), 42) * K1 + v[0] + _word(text, at + 40)
        z = _turned(z + w[0], 33) * K1
        v = _weak(text, at, v[1] * K1, x + w[0])
        w = _weak(text, at + 32, z + w[1], y + _word(text, at + 16))
        z, x = x, z
    factor = K1 + ((z & 0xFF) << 1)
    at = last - 63
    w = (w[0] + (last & 63), w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    x = _turned(x + y + v[0] + _word(text, at + 8), 37) * factor ^ w[1] * 9
    y = _turned(y + v[1] + _word(text, at + 48), 42) * factor + v[0] * 9 + _word(text, at + 40)
    z = _turned(z + w[0], 33) * factor
    v = _weak(text, at, v[1] * factor, x + w[0])
    w = _weak(text, at + 32, z + w[1], y + _word(text, at + 16))
    z, x = x, z
    return _mixed(
        _mixed(v[0], w[0], factor) + _shifted(y) * K0 + z, _mixed(v[1], w[1], factor) + x, factor
    )


def _word(text: Bytes, at: int, size: int = 8) -> Words:
    """Little-endian words of each row."""
    return np.ascontiguousarray(text[:, at : at + size]).view(f"<u{size}")[:, 0].astype(np.uint64)


def _turned(word: Words, bits: int) -> Words:
    """Rotated to the right."""
    return word >> bits | word << (64 - bits)


def _shifted(word: Words) -> Words:
    return word ^ word >> 47


def _mixed(u: Words, v: Words, factor: Any) -> Words:
    return _shifted((v ^ _shifted((u ^ v) * factor)) * factor) * factor


def _weak(text: Bytes, at: int, a: Words, b: Words) -> Pair:
    first, second, third, fourth = (_word(text, at + 8 * place) for place in range(4))
    a = a + first
    b = _turned(b + a + fourth, 21)
    c = a
    a = a + second + third
    return a + fourth, b + _turned(a, 44) + c


def siphash(text: Bytes, salt: Sequence[int]) -> Words:
    """SipHash-2-4 of each row, with the two words of `salt` as its key.

    Source: Aumasson and Bernstein, SipHash: a fast short-input PRF (2012).
    """
    count, length = text.shape
    padded = np.zeros((count, length // 8 * 8 + 8), np.uint8)
    padded[:, :length] = text
    padded[:, -1] = length & 0xFF
    words = [int.from_bytes(SIP[at : at + 8], "big") for at in range(0, 32, 8)]
    keys = [key & MASK for key in salt] * 2
    state: list[Words] = [
        np.full(count, word ^ key, np.uint64) for word, key in zip(words, keys, strict=True)
    ]
    for at in range(0, padded.shape[1], 8):
        word = _word(padded, at)
        state[3] = state[3] ^ word
        state = _round(*_round(*state))
        state[0] = state[0] ^ word
    state[2] = state[2] ^ 0xFF
    for _ in range(4):
        state = _round(*state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _round(a: Words, b: Words, c: Words, d: Words) -> list[Words]:
    a, c = a + b, c + d
    b, d = _turned(b, 51) ^ a, _turned(d, 48) ^ c
    a = _turned(a, 32)
    c, a = c + b, a + d
    b, d = _turned(b, 47) ^ c, _turned(d, 43) ^ a
    return [a, b, _turned(c, 32), d]
