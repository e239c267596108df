"""Programs run: every item exactly once, pointers where they belong, any threads."""

import itertools
import threading
import time

import numpy as np
import pytest

from ambos.core.config import config
from ambos.core.errors import CompilerError
from ambos.core.program import ARENA, TABLES, Kernel, Launch, Pointer
from ambos.runtime import loader, pool
from ambos.runtime.executor import Executable
from ambos.runtime.memory import Storage
from ambos.runtime.pool import Pool

from .kernels import counting, kernel, program

ITEMS = [0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, 1000, 4097]


@pytest.fixture(params=["futex", "naps"], scope="module")
def threads(request):
    """The pool of the process, or one with the waiting of other systems."""
    if request.param == "futex":
        yield pool.pool
    else:
        other = Pool(futex=False)
        yield other
        other.stop()


def counts(executable: Executable, items: int, runs: int = 1) -> np.ndarray:
    output = Storage(8 * items)
    view = output.numpy("int64", (items,))
    view[:] = 0
    for _ in range(runs):
        executable.run([], [output.address])
    return view


@pytest.mark.parametrize("num_threads", [1, 2, 3, 4])
def test_every_item_exactly_once(threads, monkeypatch, num_threads):
    monkeypatch.setattr(config, "threads", num_threads)
    for items in ITEMS:
        executable = Executable(counting(items, times=20), threads)
        assert (counts(executable, items, runs=5) == 100).all(), items


def test_every_item_exactly_once_after_sleep(threads, monkeypatch):
    monkeypatch.setattr(config, "threads", 3)
    executable = Executable(counting(50), threads)
    pause = threading.Event()
    for _ in range(20):
        assert (counts(executable, 50) == 1).all()
        pause.wait(0.003)  # longer than workers poll


def test_launches_see_what_earlier_ones_wrote(threads, monkeypatch):
    items, length = 100, 300
    monkeypatch.setattr(config, "threads", 4)
    step = kernel("increment")
    launches = [Launch(step, (Pointer(ARENA, 0), Pointer(2)), items)]
    for i in range(length):
        source, target = Pointer(ARENA, 1024 * (i % 2)), Pointer(ARENA, 1024 * ((i + 1) % 2))
        launches.append(Launch(step, (target, source), items, serial=i % 7 == 0))
    launches.append(Launch(step, (Pointer(3, 8), Pointer(ARENA, 1024 * (length % 2))), items))
    executable = Executable(
        program(*launches, inputs=1, outputs=(8 * items + 8,), arena_bytes=2048), threads
    )
    source = Storage.from_buffer(np.arange(items))
    output = Storage(8 * items + 8)
    for _ in range(20):
        view = output.numpy("int64", (items,), offset=8)
        view[:] = -1
        executable.run([source.address], [output.address])
        np.testing.assert_array_equal(view, np.arange(items) + length + 2)


@pytest.mark.parametrize("serial", [True, False])
def test_chunks(monkeypatch, serial):
    monkeypatch.setattr(config, "threads", 2)
    output = Storage(8 * 330)
    launch = Launch(kernel("chunk"), (Pointer(2), 0), 330, serial=serial)
    Executable(program(launch, outputs=(8 * 330,))).run([], [output.address])
    begins = np.unique(output.numpy("int64", (330,))).tolist()
    assert begins == ([0] if serial else list(range(0, 330, 20)))


def helpers(executable: Executable, items: int) -> set[int]:
    """The scratch memories, hence the threads, that took part in runs of "slow".

    Runs go on until there are two: on a busy machine a worker may have to wait for a core.
    """
    output = Storage(8 * items)
    places: set[int] = set()
    deadline = time.monotonic() + 30
    while len(places) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)  # longer than workers poll
        executable.run([], [output.address])
        places |= set(output.numpy("int64", (items,)).tolist())
    return places


def test_scratch_is_private_aligned_and_large_enough(monkeypatch):
    monkeypatch.setattr(config, "threads", 4)
    launch = Launch(kernel("slow"), (Pointer(2), 100_000), 64, scratch=5000)
    places = helpers(Executable(program(launch, outputs=(8 * 64,))), 64)
    assert 2 <= len(places) <= 4
    assert all(place % 64 == 0 for place in places)
    assert all(b - a >= 5000 for a, b in itertools.pairwise(sorted(places)))


def test_sleeping_workers_are_woken(threads, monkeypatch):
    monkeypatch.setattr(config, "threads", 2)
    launch = Launch(kernel("slow"), (Pointer(2), 100_000), 64, scratch=64)
    assert len(helpers(Executable(program(launch, outputs=(8 * 64,)), threads), 64)) == 2


def test_words(monkeypatch):
    output = Storage(8)
    for word, expected in [
        (5, np.int64(5)),
        (-5, np.int64(-5)),
        (2**63 + 1, np.uint64(2**63 + 1)),
        (1.5, np.float64(1.5)),
        (float("-inf"), np.float64(-np.inf)),
        (True, np.int64(1)),
        (Pointer(TABLES, 3), None),
        (Pointer(3, 0), np.int64(12345)),
    ]:
        launch = Launch(kernel("constant"), (Pointer(2), word), 1)
        executable = Executable(program(launch, outputs=(8, 8), tables=b"abcdef"))
        executable.run([], [output.address, 12345])
        if expected is not None:
            assert bytes(output.memoryview()) == expected.tobytes()
    with pytest.raises(TypeError):
        Executable(
            program(Launch(kernel("constant"), (Pointer(2), np.float32(1)), 1), outputs=(8,))
        )


def test_tables_are_the_programs_own():
    table = np.arange(10, dtype=np.int64)
    launch = Launch(kernel("increment"), (Pointer(2), Pointer(TABLES, 16)), 8)
    executable = Executable(program(launch, outputs=(64,), tables=table.tobytes()))
    output = Storage(64)
    executable.run([], [output.address])
    np.testing.assert_array_equal(output.numpy("int64", (8,)), table[2:] + 1)


def test_the_arena_may_move_between_runs():
    step = kernel("increment")

    def chain(arena: int) -> Executable:
        middle = Pointer(ARENA, arena - 64)
        launches = (Launch(step, (middle, Pointer(2)), 8), Launch(step, (Pointer(3), middle), 8))
        return Executable(program(*launches, inputs=1, outputs=(64,), arena_bytes=arena))

    small, large = chain(64), chain(1 << 22)
    source, output = Storage.from_buffer(np.arange(8)), Storage(64)
    for executable in (small, large, small, "release", small, large):
        if executable == "release":
            pool.pool.release()
            continue
        output.numpy("int64", (8,))[:] = 0
        executable.run([source.address], [output.address])
        np.testing.assert_array_equal(output.numpy("int64", (8,)), np.arange(8) + 2)


def test_failing_to_get_memory_harms_no_later_run():
    fine, output = Executable(counting(4, 1)), Storage(32)
    greedy = Executable(program(arena_bytes=1 << 60))
    ragged = Executable(
        program(Launch(kernel("scratch"), (Pointer(2), 0), 1, scratch=1 << 58), outputs=(8,))
    )
    for executable, outputs in ((greedy, []), (ragged, [output.address])):
        with pytest.raises(MemoryError):
            executable.run([], outputs)
        assert (counts(fine, 4) == 1).all()
    test_the_arena_may_move_between_runs()


def test_several_python_threads_at_once(monkeypatch):
    monkeypatch.setattr(config, "threads", 2)
    shared = Executable(counting(100, times=10))
    wrong = []

    def work() -> None:
        own = Executable(counting(33, times=3))
        for _ in range(50):
            if not (counts(shared, 100) == 10).all() or not (counts(own, 33) == 3).all():
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_a_program_without_launches():
    Executable(program()).run([], [])


def test_another_size_compiles_nothing():
    counts(Executable(counting(10)), 10)
    before = loader.statistics.compiled
    for items in range(11, 40):
        assert (counts(Executable(counting(items)), items) == 1).all()
    assert loader.statistics.compiled == before


def test_profile_computes_too():
    output = Storage(8 * 5)
    output.numpy("int64", (5,))[:] = 0
    spans = Executable(counting(5, times=7)).profile([], [output.address])
    assert len(spans) == 7
    assert all(seconds > 0 for _, seconds in spans)
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)
    assert (output.numpy("int64", (5,)) == 7).all()


def test_wrong_numbers_of_addresses():
    executable = Executable(counting(3))
    for inputs, outputs in (([], []), ([1], [2]), ([], [1, 2])):
        with pytest.raises(CompilerError, match="need 0 and 1 addresses"):
            executable.run(inputs, outputs)


@pytest.mark.parametrize(
    "pointer",
    [Pointer(3), Pointer(-1), Pointer(ARENA, 1), Pointer(TABLES, 1), Pointer(2, 9), Pointer(2, -8)],
)
def test_a_pointer_to_nowhere(pointer):
    with pytest.raises(CompilerError, match="executor: a pointer"):
        Executable(program(Launch(kernel("constant"), (pointer, 0), 1), outputs=(8,)))


def test_negative_items():
    with pytest.raises(CompilerError, match="-1 items"):
        Executable(counting(-1))


def test_a_kernel_that_cannot_be_compiled():
    bad = Kernel("executor_bad", lambda: "nonsense")
    with pytest.raises(CompilerError, match="executor_bad"):
        Executable(program(Launch(bad, (), 1)))
