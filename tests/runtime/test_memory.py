"""Storage: alignment, reuse, sharing with NumPy, and the accounts."""

import copy
import gc
import itertools
import threading
from pickle import dumps, loads

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambos.core.errors import ArgumentError
from ambos.runtime import memory
from ambos.runtime.memory import Storage

from .kernels import python


@given(st.integers(0, 1 << 40))
def testsize_classes_waste_little(nbytes):
    size = memory.size_class(nbytes)
    assert size % 64 == 0
    assert nbytes <= size <= max(64, nbytes * 1.25 + 64)
    assert memory.size_class(size) == size


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 4096, 1 << 20])
def test_aligned_and_disjoint(nbytes):
    storages = [Storage(nbytes) for _ in range(8)]
    spans = sorted((s.address, s.address + max(s.nbytes, 1)) for s in storages)
    assert all(s.address % 64 == 0 for s in storages)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    for number, storage in enumerate(storages):
        storage.numpy("uint8", (nbytes,))[:] = number
    for number, storage in enumerate(storages):
        assert (storage.numpy("uint8", (nbytes,)) == number).all()


def test_a_freed_block_is_reused():
    first = Storage(1000)
    address = first.address
    del first
    assert Storage(1001).address == address  # the same size class


def test_a_view_keeps_the_memory():
    storage = Storage(800)
    view = storage.numpy("float64", (100,))
    view[:] = np.arange(100)
    part, raw = view[10:20], storage.memoryview()
    address = storage.address
    del storage, view
    gc.collect()
    others = [Storage(800) for _ in range(4)]
    assert address not in [other.address for other in others]
    np.testing.assert_array_equal(part, np.arange(10, 20))
    del part
    assert bytes(raw[:8]) == np.float64(0).tobytes()
    del raw
    assert Storage(800).address == address


def test_accounts():
    memory.release()
    before = memory.statistics.live_bytes
    storages = [Storage(1 << 20) for _ in range(3)]
    assert memory.statistics.live_bytes == before + (3 << 20)
    assert memory.statistics.peak_bytes >= before + (3 << 20)
    assert memory.statistics.retained_bytes == 0
    storages.clear()
    assert memory.statistics.live_bytes == before
    assert memory.statistics.retained_bytes == 3 << 20
    assert memory.release() == 3 << 20
    assert memory.statistics.retained_bytes == 0
    assert memory.statistics.owned_bytes == before


def test_retained_memory_is_bounded(monkeypatch):
    memory.release()
    small = [Storage(1024) for _ in range(100)]
    monkeypatch.setattr(memory, "retain_limit", 5 << 20)
    storages = [Storage(1 << 20) for _ in range(10)]
    storages.clear()
    assert memory.statistics.retained_bytes == 5 << 20
    small.clear()
    assert memory.statistics.retained_bytes == (5 << 20) + 100 * 1024
    again = Storage(3000)  # a new block looks at the limit, too
    assert memory.statistics.retained_bytes <= 5 << 20
    assert again.nbytes == 3000


def test_views_with_strides_are_numpys():
    source = np.arange(24, dtype=np.float32)
    storage = Storage.from_buffer(source)
    for shape, strides, offset in [((4, 6), None, 0), ((6, 4), (4, 24), 0), ((3,), (-8,), 40)]:
        steps = strides or (24, 4)
        expected = np.lib.stride_tricks.as_strided(source[offset // 4 :], shape, steps)
        np.testing.assert_array_equal(storage.numpy("float32", shape, strides, offset), expected)
    assert storage.numpy("float32", ()).shape == ()
    assert storage.numpy("float32", (0, 5)).shape == (0, 5)
    readonly = storage.numpy("float32", (24,), readonly=True)
    with pytest.raises(ValueError, match="read-only"):
        readonly[0] = 1


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((25,), None, 0), ((24,), None, 4), ((2,), (96,), 0), ((2,), (-4,), 0), ((1,), None, -4)],
)
def test_a_view_outside_the_memory(shape, strides, offset):
    with pytest.raises(ArgumentError, match="the storage has 96"):
        Storage(96).numpy("float32", shape, strides, offset)


def aligned(count: int) -> np.ndarray:
    raw = np.zeros(count * 8 + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count * 8].view(np.int64)


def test_sharing_an_array():
    array = aligned(10)
    storage = Storage.from_buffer(array)
    assert storage.address == array.ctypes.data
    array[3] = 5
    assert storage.numpy("int64", (10,))[3] == 5
    address = storage.address
    del array
    gc.collect()
    assert storage.numpy("int64", (10,))[3] == 5
    assert Storage.from_buffer(storage.memoryview(), copy=False).address == address
    assert Storage.from_buffer(storage.numpy("int64", (10,)), copy=True).address != address


def test_copying_an_array():
    array = aligned(20)[1:]
    array[:] = range(19)
    with pytest.raises(ArgumentError, match="pass copy=None"):
        Storage.from_buffer(array, copy=False)
    with pytest.raises(ArgumentError, match="need C order"):
        Storage.from_buffer(aligned(20)[::2], copy=False)
    storage = Storage.from_buffer(array)
    array[:] = 0
    np.testing.assert_array_equal(storage.numpy("int64", (19,)), range(19))
    turned = np.arange(6).reshape(2, 3).T
    np.testing.assert_array_equal(
        Storage.from_buffer(turned).numpy("int64", (6,)), [0, 3, 1, 4, 2, 5]
    )
    single = Storage.from_buffer(np.array(3.5))
    assert single.numpy("float64", ()) == 3.5


def test_read_only_memory_is_never_written():
    array = aligned(4)
    array.flags.writeable = False
    copied = Storage.from_buffer(array)
    assert copied.address != array.ctypes.data
    copied.numpy("int64", (4,))[:] = 7
    shared = Storage.from_buffer(array, copy=False)
    assert (shared.address, shared.readonly) == (array.ctypes.data, True)
    with pytest.raises(ValueError, match="read-only"):
        shared.numpy("int64", (4,))[0] = 7
    assert shared.memoryview().readonly
    constants = [bytes([65 + i % 26]) * (40 + i % 16) for i in range(300)]  # some lie aligned
    for constant in constants:
        storage = Storage.from_buffer(constant)
        storage.numpy("uint8", (storage.nbytes,))[:] = 0
    assert all(constant[0] != 0 for constant in constants)
    np.testing.assert_array_equal(array, 0)


def test_other_buffers():
    assert bytes(Storage.from_buffer(b"hello").memoryview()) == b"hello"
    assert Storage.from_buffer(b"").nbytes == 0
    with pytest.raises(ArgumentError, match=r"from_buffer: list.*need an object"):
        Storage.from_buffer([1, 2])
    with pytest.raises(ArgumentError, match="nbytes is -1"):
        Storage(-1)


def test_too_much_memory_is_a_memory_error():
    with pytest.raises(MemoryError):
        Storage(1 << 60)
    assert Storage(64).nbytes == 64


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: loads(dumps(x))])
def test_a_copy_has_its_own_memory(duplicate):
    storage = Storage.from_buffer(b"hello")
    other = duplicate(storage)
    assert other.address != storage.address
    storage.numpy("uint8", (5,))[:] = 0
    assert bytes(other.memoryview()) == b"hello"


def test_threads_never_share_a_block():
    wrong = []

    def work(number: int) -> None:
        for turn in range(300):
            storage = Storage(64 + turn % 3 * 64)
            view = storage.numpy("int64", (8,))
            view[:] = number
            if not (view == number).all():
                wrong.append(turn)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_storages_that_live_to_the_end_of_the_process():
    done = python(
        "from ambos.runtime.memory import Storage\n"
        "a = Storage(100); b = [Storage(8)]; b.append(b); v = Storage(800).numpy('f8', (100,))\n"
        "class K: pass\n"
        "k = K(); k.me = k; k.storage = Storage(5); Storage.keep = k\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_new_block_sends_most_idle_ones_back():
    memory.release()
    held = memory.Storage(8 << 20)
    left_over = [memory.Storage(size << 20) for size in (3, 5, 7)]
    left_over.clear()
    assert memory.statistics.retained_bytes >= 15 << 20
    another = memory.Storage(10 << 20)
    assert held.nbytes + another.nbytes <= memory.statistics.live_bytes  # other tests' as well
    limit = memory.statistics.live_bytes // memory.IDLE_SHARE
    assert memory.statistics.retained_bytes <= limit + (1 << 20)


def test_large_blocks_come_warm_and_aligned():
    first = memory.Storage(9 << 20)
    address = first.address
    assert address % 64 == 0
    del first
    assert memory.Storage(9 << 20).address == address


@pytest.mark.parametrize("nbytes", [0, 100, memory.LARGE, memory.HUGE + 1])
def test_zeros_are_zeros_in_new_and_in_used_memory(nbytes):
    memory.release()
    for _ in range(2):  # the second time in what the first has left behind
        storage = Storage.zeros(nbytes)
        content = storage.numpy("uint8", (nbytes,))
        assert not content.any()
        content[...] = 255
        del content, storage
