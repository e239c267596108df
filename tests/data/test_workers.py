"""Worker processes: the same data as without them, errors say where, nothing is left."""

import functools
import gc
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, WorkerError
from ambos.data import DataLoader, Dataset, get_worker_info
from ambos.data.worker import seed_globals
from ambos.tensor.random import default_generator
from tests.data.samples import (
    Bad,
    Listening,
    Marked,
    Noisy,
    Numbers,
    Shared,
    Unloadable,
    ctrl_c,
    describe,
    drawn,
    mark,
    mixed,
    pair,
)

# A fork server imports pytest anew for each worker; most tests need not wait for that.
Forking = functools.partial(DataLoader, multiprocessing_context="fork")

X, Y = np.arange(46, dtype=np.float32).reshape(23, 2), np.arange(23)


def values(loader):
    return [{k: v.tolist() if hasattr(v, "tolist") else v for k, v in b.items()} for b in loader]


def children():
    """Living processes of ours; the fork server and the resource tracker stay."""
    return multiprocessing.active_children()


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert children() == []
    gc.collect()
    assert "memfd:ambos" not in Path("/proc/self/maps").read_text()
    assert not [link for link in Path("/proc/self/fd").iterdir() if "memfd" in _target(link)]


def _target(link):
    return os.readlink(link) if link.is_symlink() else ""


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(workers):
    settings = {"batch_size": 4, "shuffle": True, "seed": 5}
    alone = DataLoader(Noisy(), **settings)
    expected = [values(alone), values(alone)]
    assert expected[0] != expected[1]
    helped = DataLoader(Noisy(), num_workers=workers, persistent_workers=True, **settings)
    assert [values(helped), values(helped)] == expected
    del helped


def test_resumed_in_the_middle_the_rest_is_the_same_bit_for_bit():
    settings = {"batch_size": 4, "shuffle": True, "seed": 5}
    whole = DataLoader(Noisy(), **settings)
    epochs = [values(whole) for _ in range(3)]
    for workers in (0, 2):
        loader = Forking(Noisy(), num_workers=workers, **settings)
        values(loader)
        batches = iter(loader)
        for _ in range(2):
            next(batches)
        state = loader.state_dict()
        batches.close()
        for other in (0, 2):
            again = Forking(Noisy(), num_workers=other, batch_size=4, shuffle=True, seed=99)
            again.load_state_dict(state)
            assert values(again) == epochs[1][2:]
            assert values(again) == epochs[2]


def test_what_is_random_for_a_batch():
    settings = {"batch_size": 4, "seed": 5, "collate_fn": mixed}
    alone = list(DataLoader(Noisy(), **settings))
    assert list(Forking(Noisy(), num_workers=2, **settings)) == alone
    assert len({share for _, share in alone}) == len(alone)
    settings["collate_fn"] = drawn
    assert torch.get_num_threads()  # it is there when workers fork
    first = list(Forking(Noisy(), num_workers=2, **settings))
    assert len({number for numbers in first for number in numbers}) == 4 * len(first)
    assert list(Forking(Noisy(), num_workers=3, **settings)) == first


def test_order_may_be_given_up():
    loader = Forking(Noisy(), batch_size=2, num_workers=2, in_order=False, seed=5)
    batches = iter(loader)
    found = [next(batches) for _ in range(3)]
    state = loader.state_dict()
    batches.close()
    rest = Forking(Noisy(), batch_size=2, num_workers=2, in_order=False)
    rest.load_state_dict(state)
    labels = [y for b in [*found, *rest] for y in b["y"].tolist()]
    assert sorted(labels) == list(range(23))


def test_what_comes_through_shared_memory():
    """Custom batches with arrays, tensors and long text; batches that grow."""
    loader = Forking(Noisy(size=5000), batch_size=3, num_workers=1, collate_fn=describe, seed=0)
    for count, x, text, ones in loader:
        assert (type(x), x.shape, len(text), ones.tolist()) == (
            np.ndarray, (count, 5000), 8000, [1.0, 1.0])  # fmt: skip
    batches = list(DataLoader((X, Y), batch_sampler=[[0], [1, 2], list(range(20))], num_workers=1))
    assert [y.tolist() for _, y in batches] == [[0], [1, 2], list(range(20))]
    np.testing.assert_array_equal(batches[2][0].numpy(), X[:20])


def test_streams_are_shared_without_repeats():
    expected = [b.tolist() for b in DataLoader(Numbers(), batch_size=4)]
    loader = Forking(Numbers(), batch_size=4, num_workers=3)
    assert [b.tolist() for b in loader] == expected
    batches = iter(loader)
    next(batches), next(batches)
    state = loader.state_dict()
    batches.close()
    for workers in (0, 3):
        again = Forking(Numbers(), batch_size=4, num_workers=workers)
        again.load_state_dict(state)
        assert [b.tolist() for b in again] == expected[2:]


def test_a_stream_that_shares_by_itself():
    expected = [[0, 2], [1, 3], [4, 6], [5, 7], [8, 10], [9]]
    loader = Forking(Shared(), batch_size=2, num_workers=2)
    assert [b.tolist() for b in loader] == expected
    again = Forking(Shared(), batch_size=2, num_workers=2)
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    again.load_state_dict(loader.state_dict())
    batches.close()
    assert [b.tolist() for b in again] == expected[3:]


def test_workers_know_themselves_and_draw_different_numbers():
    loader = Forking(Marked(), num_workers=2, worker_init_fn=mark, seed=1)
    found = [tuple(v.item() for v in batch) for batch in loader]
    assert {(a, b, c) for a, b, c, _ in found} == {(0, 2, 0), (1, 2, 1)}
    assert len({r for *_, r in found}) == 4
    again = [batch[3].item() for batch in loader]  # the next epoch has others
    assert not set(again) & {r for *_, r in found}
    assert get_worker_info() is None


def test_an_error_says_which_sample_and_where():
    with pytest.raises(WorkerError, match=r"worker 0 failed at sample 5: KeyError: ") as caught:
        list(Forking(Bad("raise"), batch_size=4, num_workers=1))
    assert isinstance(caught.value.__cause__, KeyError)
    assert "raise KeyError(" in str(caught.value)  # the line of the user's file
    assert (caught.value.worker, list(caught.value.sample)) == (0, [4, 5, 6, 7])
    with pytest.raises(WorkerError, match=r"batch 1: ShapeError: default_coll.*5 has shape"):
        list(Forking(Bad("shape"), batch_size=4, num_workers=1))
    with pytest.raises(WorkerError, match="worker 0 failed at sample 5: Unusual: no"):
        list(Forking(Bad("unusual"), batch_size=4, num_workers=1))
    with pytest.raises(KeyError) as here:
        list(DataLoader(Bad("raise"), batch_size=4))
    assert here.value.__notes__ == ["DataLoader: at sample 5, batch 1"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("kill", r"was killed by SIGKILL, which is .* out.*batch 1 \(samples 4, 5, 6, 7\)"),
        ("exit", "ended with exit code 3"),
        ("sleep", "no batch within timeout=0.3 seconds"),
    ],
)
def test_a_worker_that_dies_or_hangs_is_an_error(how, message):
    timeout = 0.3 if how == "sleep" else 0
    loader = Forking(Bad(how), batch_size=4, num_workers=1, timeout=timeout)
    batches = iter(loader)
    if how != "sleep":
        next(batches)
    with pytest.raises(WorkerError, match=message):
        list(batches)


def test_an_interrupt_in_a_worker_is_one_here():
    """Whatever handles Ctrl-C there. Who leaves the program in a worker leaves the worker."""
    with pytest.raises(KeyboardInterrupt):
        list(Forking(Bad("interrupt"), batch_size=4, num_workers=2))
    model = am.Sequential([am.nn.Linear(2, 2)])
    model.compile("sgd", "mse")
    pairs = Forking(Bad("interrupt"), batch_size=4, num_workers=2, collate_fn=pair)
    history = model.fit(pairs, verbose=0)
    assert history.interrupted
    assert model.run.batch == 1
    with pytest.raises(WorkerError, match="worker 0 failed at sample 5: SystemExit: 3"):
        list(Forking(Bad("leave"), batch_size=4, num_workers=1))


@pytest.mark.parametrize("start", ["forkserver", "fork", "spawn"])
def test_who_hears_of_ctrl_c(start):
    """The program and what it starts itself; workers ignore it, and hand on neither."""
    (found,) = DataLoader(Listening(), batch_size=2, num_workers=1, multiprocessing_context=start)
    assert found.tolist() == [[True, True]] * 2
    assert ctrl_c() == [True, False]
    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context(start).Process(target=ctrl_c, args=(theirs,))
    other.start()
    assert ours.poll(60)
    assert ours.recv() == [True, False]
    other.join()


def test_where_a_worker_or_a_stream_failed_is_told():
    def broken():
        yield from range(3)
        raise ValueError("bad row")

    stream = Dataset.from_generator(broken)
    with pytest.raises(ValueError, match="bad row") as caught:
        list(DataLoader(stream, batch_size=2))
    assert caught.value.__notes__ == ["DataLoader: at batch 1"]
    with pytest.raises(WorkerError, match="worker 1 failed at its batch 0: ValueError: bad row"):
        list(Forking(stream, batch_size=2, num_workers=2))
    with pytest.raises(WorkerError, match="worker 0 failed at worker_init_fn: TypeError"):
        list(Forking(X, num_workers=1, worker_init_fn=len))


def test_more_workers_than_files_may_be_open():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    now = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (now + 20, hard))
    try:
        with pytest.raises(OSError, match="Too many open files") as caught:
            list(Forking(X, num_workers=40))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "40 workers with 2 batches ahead need some 240 open files" in caught.value.__notes__[0]


def test_leaving_early_leaves_nothing():
    for batch in Forking(Bad("sleep"), num_workers=2):
        assert batch.shape == (1, 2)
        break
    assert children() == []
    kept = Forking(Noisy(), batch_size=4, num_workers=2, persistent_workers=True, seed=5)
    for _ in kept:
        break
    pids = {process.pid for process in children()}
    assert len(pids) == 2
    kept.set_epoch(0)
    assert values(kept) == values(DataLoader(Noisy(), batch_size=4, seed=5))
    assert {process.pid for process in children()} == pids
    first, second = iter(kept), iter(kept)
    next(first), next(second)
    with pytest.raises(ArgumentError, match="another `for` loop"):
        next(first)
    del first, second, kept


SCRIPT = """
import multiprocessing, sys
from ambos.data import DataLoader
if __name__ == "__main__":
    for batch in DataLoader(range(10**6), num_workers=2, multiprocessing_context=sys.argv[1]):
        print(*(process.pid for process in multiprocessing.active_children()), flush=True)
        sys.stdin.readline()
"""


@pytest.mark.parametrize(
    ("how", "start"), [(signal.SIGINT, "forkserver"), (signal.SIGKILL, "fork")]
)
def test_workers_end_with_the_program(how, start, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(SCRIPT)
    root = str(Path(__file__).parents[2])
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = {**os.environ, "PYTHONPATH": root}
    command = [sys.executable, script, start]
    program = subprocess.Popen(command, env=environment, text=True, **pipes)
    workers = [int(pid) for pid in program.stdout.readline().split()]
    assert len(workers) == 2
    program.send_signal(how)
    _, complaint = program.communicate(timeout=60)
    if how == signal.SIGINT:
        assert complaint.strip().endswith("KeyboardInterrupt")
        assert "ForkServerProcess" not in complaint  # workers do not complain as well
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.01)


SOON = """
import sys
from ambos.data import DataLoader, crew
if __name__ == "__main__":
    print("begin", flush=True)
    for batch in DataLoader(range(10**6), num_workers=3, multiprocessing_context=sys.argv[1]):
        pass
"""


@pytest.mark.parametrize(("start", "wait"), [("forkserver", 0.2), ("fork", 0.02), ("spawn", 0.2)])
def test_ctrl_c_while_workers_start(start, wait, tmp_path):
    """A terminal sends it to all processes of a program; the program alone says so."""
    script = tmp_path / "program.py"
    script.write_text(SOON)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    program = subprocess.Popen([sys.executable, script, start], env=environment, text=True,
                               start_new_session=True, **pipes)  # fmt: skip
    assert program.stdout.readline() == "begin\n"
    time.sleep(wait)
    os.killpg(program.pid, signal.SIGINT)
    _, complaint = program.communicate(timeout=60)  # until every process has closed its ends
    assert program.returncode == -signal.SIGINT
    assert complaint.count("\nKeyboardInterrupt") == 1
    assert "ambos-worker" not in complaint
    assert "leaked" not in complaint


def test_what_cannot_be_sent_is_inherited_or_refused(monkeypatch):
    class Local(Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return index

    monkeypatch.setattr(threading, "enumerate", lambda: [threading.main_thread()])
    loader = DataLoader(Local(), num_workers=1, collate_fn=lambda batch: batch)
    gc.collect()
    gc.disable()
    assert list(loader) == [[0], [1], [2]]  # forked: there is no other thread
    left = [place for place in Path("/proc/self/fd").iterdir() if "memfd" in _target(place)]
    gc.enable()
    assert left == []  # nothing waits for the collector
    mine = threading.Thread(name="mine")
    monkeypatch.setattr(threading, "enumerate", lambda: [threading.main_thread(), mine])
    with pytest.raises(ArgumentError, match="it has other threads \\(mine\\)"):
        list(loader)
    with pytest.raises(ArgumentError, match="cannot be sent to workers"):
        list(DataLoader(Local(), num_workers=1, multiprocessing_context="forkserver"))
    with pytest.raises(ArgumentError, match="need one of"):
        list(DataLoader(Noisy(), num_workers=1, multiprocessing_context="threads"))
    with pytest.raises(WorkerError, match=r"could not start: ValueError(.|\n)*no file"):
        list(DataLoader(Unloadable(), num_workers=1))


class Twice(Dataset):
    """What an autoencoder is given, input and target alike."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        x = np.full(2000, index)
        return x, {"y": x, "z": x[:1000]}


def test_samples_without_batches_arrive_in_memory_of_their_own():
    for x, more in Forking(Twice(), batch_size=None, num_workers=1):
        wanted = x.tolist()
        tensors = [x, more["y"], more["z"]]
        assert len({tensor._node.value.address for tensor in tensors}) == 3
        x += 1
        assert more["y"].tolist() == wanted


def test_streams_of_torch_are_seeded_without_asking_all_devices(monkeypatch):
    def refused(*_):
        raise AssertionError  # 200 us a batch, where the CPU's generator takes one

    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    ours = default_generator.get_state()
    try:
        monkeypatch.setattr(torch, "manual_seed", refused)
        found = []
        for number in (3, 4, 3):
            seed_globals(1, 0, number)
            found.append(torch.rand(2).tolist())
        assert found[0] == found[2] != found[1]
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])
        default_generator.set_state(ours)
