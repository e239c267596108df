"""The life of the threads: start, change, fork, spawn, sleep, end."""

import multiprocessing
import os
import signal
import threading
import time

import pytest

from ambos.core.config import config
from ambos.runtime import native
from ambos.runtime.executor import Executable
from ambos.runtime.memory import Storage
from ambos.runtime.pool import Pool, pool

from .kernels import counting, python

START = """
from ambos.core.config import config
config.threads = 3
from tests.runtime.kernels import counting
from ambos.runtime.executor import Executable
from ambos.runtime.memory import Storage
from ambos.runtime.pool import pool
output = Storage(800)
view = output.numpy("int64", (100,))
def compute():
    view[:] = 0
    executable.run([], [output.address])
    return bool((view == 50).all())
executable = Executable(counting(100, times=50))
assert compute()
"""


def compute(items: int = 100) -> bool:
    output = Storage(8 * items)
    view = output.numpy("int64", (items,))
    view[:] = 0
    Executable(counting(items, times=50)).run([], [output.address])
    return bool((view == 50).all())


def workers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("ambos-")]


def test_threads_follow_the_setting(monkeypatch):
    for count in (3, 1, 4, 2, 0, 2):
        monkeypatch.setattr(config, "threads", count)
        assert compute()
        assert len(workers()) == max(0, count - 1)
    pool.stop()
    assert workers() == []
    assert compute()


def test_fewer_threads_where_none_can_be_had(monkeypatch):
    def refuse(self) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(config, "threads", 4)
    other = Pool()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        other.prepare(0, 0)
    output = Storage(80)
    output.numpy("int64", (10,))[:] = 0
    Executable(counting(10), other).run([], [output.address])
    assert (output.numpy("int64", (10,)) == 1).all()
    assert other._workers == []
    other.stop()


@pytest.mark.parametrize("futex", [True, False])
def test_idle_workers_sleep(monkeypatch, futex):
    monkeypatch.setattr(config, "threads", 2)
    other = Pool(futex=futex and None)
    with other.lock:
        other.prepare(0, 0)
    time.sleep(0.05)  # well past the polling
    before = time.process_time()
    time.sleep(0.4)
    assert time.process_time() - before < 0.1  # a polling worker would use all of it
    other.stop()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_computes(monkeypatch):
    monkeypatch.setattr(config, "threads", 3)
    assert compute()
    child = os.fork()
    if child == 0:
        os._exit(0 if compute() and len(workers()) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert compute()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forking_while_others_compute(monkeypatch):
    monkeypatch.setattr(config, "threads", 2)
    stop = threading.Event()
    good: list[bool] = []

    def work() -> None:
        while not stop.is_set():
            good.append(compute())

    other = threading.Thread(target=work)
    other.start()
    codes = []
    for _ in range(10):
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            os._exit(0 if compute() else 1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    stop.set()
    other.join()
    assert codes == [0] * 10
    assert all(good)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(monkeypatch, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    monkeypatch.setattr(config, "threads", 2)
    assert compute()
    done = python(
        START
        + f"""
import multiprocessing, sys
if __name__ == "__main__":
    pass
context = multiprocessing.get_context({method!r})
from tests.runtime.test_pool import compute as work
with context.Pool(2) as processes:
    assert processes.map(work, [10, 100, 1000, 50]) == [True] * 4
assert compute()
"""
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "ending",
    [
        "",  # workers still polling
        "import time; time.sleep(0.05)",  # workers asleep
        "import sys; sys.exit(7)",
        "raise SystemExit(7)",
        "import os; os._exit(7)",
        "import atexit; atexit.register(lambda: print('late', compute()))",
        "import threading; threading.Thread(target=lambda: print('late', compute())).start()",
        "pool.stop()",
        "import gc; del executable, output, view; gc.collect()",
    ],
)
def test_a_process_ends_cleanly(ending):
    for naps in (False, True):
        change = "import ambos.runtime.pool as p; p.has_futex = lambda triple: False\n"
        done = python((change if naps else "") + START + ending)
        assert done.returncode == (7 if "7" in ending else 0), done.stderr
        assert done.stderr == ""
        assert done.stdout == ("late True\n" if "late" in ending else "")


def test_a_process_ends_while_a_daemon_thread_computes():
    done = python(
        START
        + """
import threading, time
def forever():
    while True:
        executable.run([], [output.address])
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.1)
"""
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_leaves_the_pool_usable():
    done = python(
        START
        + """
import os, signal, threading, time
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    while True:
        executable.run([], [output.address])
except KeyboardInterrupt:
    print("interrupted", compute())
"""
    )
    assert (done.returncode, done.stdout) == (0, "interrupted True\n"), done.stderr


def test_a_signal_handler_may_compute():
    done = python(
        START
        + """
import signal
results = []
other = Executable(counting(7, times=50))
small = Storage(56)
def handler(*ignored):
    small.numpy("int64", (7,))[:] = 0
    other.run([], [small.address])
    results.append((small.numpy("int64", (7,)) == 50).all())
    if len(results) < 100:  # the next one when this one is done, however long that takes
        signal.setitimer(signal.ITIMER_REAL, 0.001)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001)
while len(results) < 100:
    assert compute()
print(all(results))
"""
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_the_engine_is_emitted_for_other_systems():
    import llvmlite.binding as llvm

    texts = set()
    for triple in (
        "x86_64-unknown-linux-gnu",
        "aarch64-unknown-linux-gnu",
        "arm64-apple-darwin23",
        "x86_64-pc-windows-msvc",
        "riscv64-unknown-linux-gnu",
    ):
        engine = native.engine(triple, native.has_futex(triple))
        text = engine.emit()
        assert "$" not in text
        assert f"@{engine.name} = constant" in text
        llvm.parse_assembly(text, llvm.create_context()).verify()
        texts.add(text.replace(engine.name, ""))
    assert len(texts) == 5
    assert not native.has_futex("arm64-apple-darwin23")
    assert native.engine("x86_64-linux", True).name != native.engine("x86_64-linux", False).name


def test_lines_lie_apart():
    assert native.ctypes.sizeof(native.Line) == 128
    for first, second in (("done", "epoch"), ("epoch", "threads")):
        apart = getattr(native.Control, second).offset - getattr(native.Control, first).offset
        assert apart >= 128
