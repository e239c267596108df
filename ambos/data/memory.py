"""Memory that two processes see: how batches travel from workers without being copied on the way.

The memory has no name. Blocks in /dev/shm have one and stay behind when a process is killed; this
goes away with the last process that holds it, however that ends, and it is not bounded by the size
of /dev/shm (64 MiB in most containers, where PyTorch's workers die of a bus error).
"""

from __future__ import annotations

import math
import mmap
import os
import pickle
import tempfile
from collections.abc import Callable
from multiprocessing import reduction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.errors import OutOfMemoryError

ALIGNMENT = 64
PAGE = 1 << 16


def _anonymous() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("ambos", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def aligned(nbytes: int) -> int:
    """The next multiple of 64.

    Example:
        >>> aligned(1), aligned(64)
        (64, 64)
    """
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class Memory:
    """A shared block that grows; its descriptor travels to a child with the child's arguments."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _anonymous() if descriptor is None else descriptor
        self._map: NDArray[np.uint8] = np.empty(0, np.uint8)

    def bytes(self, needed: int, private: bool = False) -> NDArray[np.uint8]:
        """At least `needed` bytes; arrays on an older view stay valid. `private`: what is written
        is seen by this process only.

        Errors: OutOfMemoryError where the system has no more.
        """
        if len(self._map) < needed:
            there = os.fstat(self.descriptor).st_size
            size = there if there >= needed else -(-needed // PAGE) * PAGE
            access = mmap.ACCESS_COPY if private else mmap.ACCESS_WRITE
            try:
                if there < size:  # now, not when a page is written: that would be a bus error
                    os.posix_fallocate(self.descriptor, 0, size)
                mapped = mmap.mmap(self.descriptor, size, access=access)
            except OSError as error:
                raise OutOfMemoryError(
                    f"DataLoader: {size:,} bytes of shared memory for a batch: {error}; need "
                    "smaller batches, fewer workers or a smaller prefetch_factor"
                ) from error
            self._map = np.frombuffer(mapped, np.uint8)
        return self._map

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.descriptor)  # at the end of the program modules may be gone before it

    def __reduce__(self) -> Any:
        return _received, (reduction.DupFd(self.descriptor),)


def _received(handle: Any) -> Memory:
    return Memory(handle.detach())


def in_order(sizes: list[int]) -> tuple[list[int], int]:
    """Where blocks of these sizes lie one after the other, and where the last one ends.

    Example:
        >>> in_order([3, 70, 1])
        ([0, 64, 192], 256)
    """
    starts, end = [], 0
    for size in sizes:
        starts.append(end)
        end += aligned(size)
    return starts, end


class Parcel:
    """An object laid down once in shared memory, which any number of processes open: their arrays
    lie in the same pages until somebody writes, and then the writer has a copy of that page.

    Errors: what pickle raises for objects that it cannot take.
    """

    def __init__(self, content: Any) -> None:
        buffers: list[pickle.PickleBuffer] = []
        text = pickle.dumps(content, protocol=5, buffer_callback=buffers.append)
        parts = [
            np.frombuffer(text, np.uint8),
            *(np.frombuffer(b.raw(), np.uint8) for b in buffers),
        ]
        self.sizes = [part.nbytes for part in parts]
        starts, end = in_order(self.sizes)
        self.memory = Memory()
        room = self.memory.bytes(max(1, end))
        for start, part in zip(starts, parts, strict=True):
            room[start : start + part.nbytes] = part

    def open(self) -> Any:
        """The object, again."""
        starts, end = in_order(self.sizes)
        room = self.memory.bytes(max(1, end), private=True)
        parts = [room[a : a + n] for a, n in zip(starts, self.sizes, strict=True)]
        return pickle.loads(parts[0].tobytes(), buffers=parts[1:])


class Slot:
    """Room for one batch in shared memory. The worker collates right into it."""

    SMALL = 1 << 12  # a pickle up to here goes through the pipe

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.used = self.wanted = 0

    def clear(self) -> None:
        """Begin the next batch, with room for the one before."""
        self._room = self.memory.bytes(max(1, self.wanted))
        self.used = self.wanted = 0

    def empty(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Room for an array: in the slot, or elsewhere as long as the slot is too small."""
        kind = np.dtype(dtype)
        nbytes = math.prod(shape) * kind.itemsize
        start, self.wanted = self.wanted, self.wanted + aligned(nbytes)
        if self.wanted > len(self._room):
            return np.empty(shape, kind)
        self.used = self.wanted
        return self._room[start : start + nbytes].view(kind).reshape(shape)

    def pack(self, batch: Any) -> tuple[bytes | None, list[tuple[int, int]]]:
        """A pickle of the batch and where its arrays lie in the slot; a large pickle is put there
        too, as the last part, so that what goes through the pipe is always small."""
        buffers: list[pickle.PickleBuffer] = []
        text: bytes | None = pickle.dumps(batch, protocol=5, buffer_callback=buffers.append)
        parts = [np.frombuffer(b.raw(), np.uint8) for b in buffers]
        assert text is not None
        if len(text) > self.SMALL:
            parts.append(np.frombuffer(text, np.uint8))
            text = None
        base = _address(self._room)
        places, moved = [], []
        end = self.used
        for part in parts:
            start = _address(part) - base
            if not 0 <= start < self.used or not part.nbytes:
                start, end = end, end + aligned(part.nbytes)
                moved.append((start, part))
            places.append((start, part.nbytes))
        room = self.memory.bytes(max(1, end))
        for start, part in moved:
            room[start : start + part.nbytes] = part
        self.wanted = max(self.wanted, end)
        return text, places

    def unpack(self, text: bytes | None, places: list[tuple[int, int]], empty: Any) -> Any:
        """The batch, its arrays copied into memory from `empty`."""
        end = max((start + size for start, size in places), default=0)
        room = self.memory.bytes(max(1, end))
        if text is None:
            start, size = places[-1]
            text, places = room[start : start + size].tobytes(), places[:-1]
        parts = []
        for start, size in places:
            part = empty((size,), np.uint8)
            part[...] = room[start : start + size]
            parts.append(part)
        return pickle.loads(text, buffers=parts)


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])
