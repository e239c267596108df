"""Native memory: aligned, warm (freed blocks are kept and reused), shared with NumPy.

Touching a fresh page costs about 0.5 to 1 us per 4 KiB, more than most kernels need to compute on
it; so a freed block goes to a free list of its size class, up to a limit.

A block of a new size class first sends idle ones back to the system, all but a quarter of what is
in use: else what building a model left over would add to the peak of training it. Large blocks are
mappings of their own, because the C library keeps much of what it is given back, and ask for huge
pages: the first touch of 256 MiB took 0.12 s with them and 0.31 s without (a virtual machine).

Taking and giving back a warm block use the free lists only, whose `pop` and `append` are atomic:
no lock, no counters. What the lists hold is added up when somebody asks.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError, OutOfMemoryError
from ambos.core.program import ALIGNMENT

LARGE = 1 << 20  # giving back a block this large looks at the limit; it is a mapping of its own
HUGE = 4 << 20  # from here on pages of 2 MiB cost little
IDLE_SHARE = 4  # a quarter of the bytes in use may lie idle when a new block is made


def _physical() -> int:
    """The bytes of memory that the machine has, 0 where that is not known."""
    try:
        return max(0, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return 0


def _retain_limit() -> int:
    """An eighth of the machine's memory."""
    return max(64 << 20, physical // 8) if physical else 1 << 30


def available() -> int:
    """The bytes that the system could give now without writing other memory to disk."""
    with suppress(OSError, ValueError, IndexError), open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    return physical


class Statistics:
    """Bytes held by this process for Storages.

    `owned_bytes` is all of it, `peak_bytes` the most there ever was, `retained_bytes` the part in
    free blocks kept warm, `live_bytes` the part in use.
    """

    owned_bytes = 0
    peak_bytes = 0

    @property
    def retained_bytes(self) -> int:
        return sum(size * len(blocks) for size, blocks in list(_free.items()))

    @property
    def live_bytes(self) -> int:
        return self.owned_bytes - self.retained_bytes


@dataclass(frozen=True, slots=True)
class _Block:
    address: int
    nbytes: int
    memory: Any  # owns the bytes


statistics = Statistics()
physical = _physical()
retain_limit = _retain_limit()
_free: dict[int, list[_Block]] = {}  # size class -> blocks
_lock = threading.RLock()  # re-entrant: the collector may drop a Storage anywhere


def _after_fork() -> None:
    """Another thread of the parent may have held the lock: a child takes a new one."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Storage:
    """`nbytes` of native memory at `address`, a multiple of 64, freed when dropped.

    Its content is whatever was there before.

    Errors: ArgumentError for a negative size, OutOfMemoryError where there is not enough.

    Example:
        >>> storage = Storage(12)
        >>> storage.nbytes, storage.address % 64
        (12, 0)
    """

    __slots__ = ("__weakref__", "_block", "_owner", "address", "nbytes", "readonly")

    def __init__(self, nbytes: int, _new: _Block | None = None) -> None:
        self._block: _Block | None = None
        self._owner: Any = None
        if nbytes < 0:
            raise ArgumentError(f"Storage: nbytes is {nbytes}; need a size of 0 or more")
        if _new is None:
            size = size_class(nbytes)
            try:
                _new = _free[size].pop()
            except (KeyError, IndexError):
                _new = _allocate(size)
        self._block = _new
        self.address = _new.address
        self.nbytes = nbytes
        self.readonly = False  # nobody may write here: no output, and no donated input

    @classmethod
    def zeros(cls, nbytes: int) -> Storage:
        """`nbytes` of zeros. New memory of the system is zeros already and not touched here.

        Example:
            >>> Storage.zeros(2).numpy("int8", (2,))
            array([0, 0], dtype=int8)
        """
        size = size_class(nbytes)
        if _is_mapping(size) and not _free.get(size):
            return cls(nbytes, _allocate(size))
        storage = cls(nbytes)
        ctypes.memset(storage.address, 0, nbytes)
        return storage

    @classmethod
    def from_address(cls, address: int, nbytes: int, owner: Any, readonly: bool = False) -> Storage:
        """Foreign memory, used in place; `owner` is kept alive as long as the Storage."""
        storage = cls.__new__(cls)
        storage._block = None
        storage._owner = owner
        storage.address = address
        storage.nbytes = nbytes
        storage.readonly = readonly
        return storage

    @classmethod
    def from_buffer(cls, source: Any, copy: bool | None = None) -> Storage:
        """The bytes of a C-contiguous NumPy array or buffer, in row-major order.

        `copy`: None shares writable memory aligned to 64 bytes and copies other memory, True
        always copies, False never does. A Storage that shares read-only memory is `readonly`.

        Errors: ArgumentError for `copy=False` where sharing is impossible.

        Example:
            >>> Storage.from_buffer(np.arange(3, dtype=np.int8)).numpy("int8", (3,))
            array([0, 1, 2], dtype=int8)
        """
        array = np.asarray(source) if isinstance(source, np.ndarray) else _as_bytes(source)
        address = array.__array_interface__["data"][0]
        shareable = array.flags.c_contiguous and (address % ALIGNMENT == 0 or array.nbytes == 0)
        if copy is False and not shareable:
            raise ArgumentError(
                f"from_buffer: memory at {address:#x} with strides {array.strides}; need C order "
                f"and a multiple of {ALIGNMENT} bytes to share it; pass copy=None"
            )
        writable = array.flags.writeable
        if shareable and (copy is False or (copy is None and writable)):
            return cls.from_address(address, array.nbytes, array, readonly=not writable)
        storage = cls(array.nbytes)
        storage.numpy(array.dtype, array.shape)[...] = array
        return storage

    def numpy(
        self,
        dtype: Any,
        shape: tuple[int, ...],
        strides: tuple[int, ...] | None = None,
        offset: int = 0,
        readonly: bool = False,
    ) -> np.ndarray:
        """A NumPy array on this memory (no copy), which keeps the Storage alive.

        `dtype` is NumPy's; `strides` and `offset` are in bytes.

        Errors: ArgumentError where the array would leave the memory.

        Example:
            >>> Storage(8).numpy("float32", (2,)).shape
            (2,)
        """
        kind = np.dtype(dtype)
        first, last = _span(shape, strides, kind.itemsize)
        if offset + first < 0 or offset + last > self.nbytes:
            raise ArgumentError(
                f"numpy: shape {shape} of {kind}, strides {strides}, offset {offset} covers bytes "
                f"{offset + first} to {offset + last}; the storage has {self.nbytes}"
            )
        return np.asarray(_View(self, kind, shape, strides, offset, readonly or self.readonly))

    def memoryview(self, readonly: bool = False) -> memoryview:
        """All bytes, as a memoryview that keeps the Storage alive.

        Example:
            >>> len(Storage(5).memoryview())
            5
        """
        return self.numpy("uint8", (self.nbytes,), readonly=readonly).data

    def __del__(self) -> None:
        # As the interpreter ends, this module's names may be gone before the last Storage.
        if self._block is not None and _give_back is not None:
            _give_back(self._block)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy or a pickle has memory of its own, with the same bytes."""
        return Storage.from_buffer, (bytes(self.memoryview()), True)

    def __repr__(self) -> str:
        return f"<Storage of {self.nbytes} bytes at {self.address:#x}>"


class _View:
    """What NumPy asks for the memory of an array; the array keeps it, it keeps the Storage."""

    __slots__ = ("__array_interface__", "storage")

    def __init__(
        self,
        storage: Storage,
        dtype: np.dtype,
        shape: tuple[int, ...],
        strides: tuple[int, ...] | None,
        offset: int,
        readonly: bool,
    ) -> None:
        self.storage = storage
        self.__array_interface__ = {
            "data": (storage.address + offset, readonly),
            "typestr": dtype.str,
            "shape": shape,
            "strides": strides,
            "version": 3,
        }


def storage_of(array: np.ndarray) -> Storage | None:
    """The Storage whose memory `array` shows from its beginning, if `Storage.numpy` made it; None
    for views of such arrays, and for all others.

    Example:
        >>> storage = Storage(8)
        >>> storage_of(storage.numpy("float32", (2,))) is storage
        True
    """
    base = array.base
    if not isinstance(base, _View) or not array.flags.c_contiguous:
        return None
    storage = base.storage  # NumPy takes a microsecond to say where an array begins
    return storage if base.__array_interface__["data"][0] == storage.address else None


def release() -> int:
    """Give the free blocks back to the system; how many bytes that was.

    Example:
        >>> release() >= 0
        True
    """
    return _trim(0)


@lru_cache(4096)
def size_class(nbytes: int) -> int:
    """`nbytes` rounded up to a size with three significant bits, or by at most HUGE: a block that
    is reused for others of about its size leaves at most a quarter unused.

    Example:
        >>> [size_class(n) for n in (0, 1, 64, 65, 300, 1000, 5000)]
        [64, 64, 64, 128, 320, 1024, 5120]
        >>> size_class(500 << 20) >> 20
        500
    """
    step = max(ALIGNMENT, min(HUGE, 1 << max(0, (nbytes - 1).bit_length() - 3)))
    return max(ALIGNMENT, -(-nbytes // step) * step)


def _give_back(block: _Block) -> None:
    _free[block.nbytes].append(block)
    if block.nbytes >= LARGE:
        _trim(retain_limit)


def _allocate(size: int) -> _Block:
    with _lock:
        _free.setdefault(size, [])
        if size >= LARGE:
            _trim(min(retain_limit, (statistics.live_bytes + size) // IDLE_SHARE))
        elif statistics.owned_bytes + size > retain_limit:
            _trim(retain_limit)
        try:
            address, memory = _obtain(size)
        except MemoryError:
            release()
            address, memory = _obtain(size)
        statistics.owned_bytes += size
        statistics.peak_bytes = max(statistics.peak_bytes, statistics.owned_bytes)
    return _Block(address + -address % ALIGNMENT, size, memory)


def _is_mapping(size: int) -> bool:
    """Is a block of this size a mapping of its own, whose bytes the system has made zero?"""
    return size >= LARGE and hasattr(mmap, "MAP_ANONYMOUS")


def _obtain(size: int) -> tuple[int, Any]:
    """The address of new memory with room for `size` bytes at a multiple of ALIGNMENT, and what
    keeps it."""
    if not _is_mapping(size):
        memory = np.empty(size + ALIGNMENT, np.uint8)
        return memory.__array_interface__["data"][0], memory
    # The system promises more than it has, and ends a process that believes it.
    if size > retain_limit and physical and size > available():
        raise _refused(size)
    try:
        mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        raise _refused(size) from error
    if size >= HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without huge pages
            mapping.madvise(mmap.MADV_HUGEPAGE)
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping)), mapping


def _refused(size: int) -> OutOfMemoryError:
    room = f"of {in_words(physical)} this machine has {in_words(available())} left"
    return OutOfMemoryError(f"memory: {in_words(size)} are needed ({size:,} bytes); {room}: "
                            "compute in parts, or with a smaller dtype")  # fmt: skip


def in_words(nbytes: int) -> str:
    """
    Example:
        >>> in_words(3 << 29)
        '1.5 GiB'
    """
    size, unit = nbytes / 2**10, "KiB"
    for larger in ("MiB", "GiB", "TiB", "PiB", "EiB"):
        if size >= 1024:
            size, unit = size / 1024, larger
    return f"{size:.1f} {unit}"


def _trim(limit: int) -> int:
    """Drop free blocks, the largest first, until they hold at most `limit` bytes."""
    with _lock:
        retained = before = statistics.retained_bytes
        for size in sorted(_free, reverse=True):
            blocks = _free[size]
            while retained > limit and blocks:
                try:
                    blocks.pop()
                except IndexError:  # another thread took the last one
                    break
                retained -= size
                statistics.owned_bytes -= size
    return before - retained


def _as_bytes(source: Any) -> np.ndarray:
    try:
        return np.frombuffer(source, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise ArgumentError(
            f"from_buffer: {type(source).__name__}: {error}; need an object with a contiguous "
            "buffer, such as bytes or a NumPy array"
        ) from error


def _span(
    shape: tuple[int, ...], strides: tuple[int, ...] | None, itemsize: int
) -> tuple[int, int]:
    """First byte and end of the bytes that an array covers, relative to its first element."""
    if 0 in shape:
        return 0, 0
    if strides is None:
        count = 1
        for extent in shape:
            count *= extent
        return 0, count * itemsize
    reach = [(extent - 1) * stride for extent, stride in zip(shape, strides, strict=True)]
    return sum(min(0, r) for r in reach), sum(max(0, r) for r in reach) + itemsize
