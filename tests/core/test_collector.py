"""The collector is off inside and afterwards as it was, also where contexts overlap."""

from __future__ import annotations

import gc
import os
import threading
import warnings
from collections.abc import Iterator

import pytest

from ambos.core.collector import held_off


@pytest.fixture(autouse=True)
def running() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_it_runs_again_afterwards_also_after_an_error() -> None:
    def fail() -> None:
        with held_off():
            assert not gc.isenabled()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert gc.isenabled()


def test_who_has_switched_it_off_keeps_it_off() -> None:
    gc.disable()
    with held_off():
        pass
    assert not gc.isenabled()


def test_nested_and_overlapping_contexts_leave_it_running() -> None:
    with held_off():
        with held_off():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with held_off():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with held_off():
        thread.start()
        inside.wait(10)
    leave.set()
    thread.join()
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system starts no process by forking")
def test_a_forked_child_collects_whoever_held_it_off() -> None:
    with held_off(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests have left threads
        child = os.fork()
        if child == 0:
            os._exit(0 if gc.isenabled() else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
