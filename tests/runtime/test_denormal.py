"""Subnormal numbers are flushed in every thread of a run, and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import llvmlite.binding as llvm
import numpy as np
import pytest

import ambos as am
from ambos.core.config import config
from ambos.core.errors import TracingError
from ambos.runtime import denormal, native, pool
from ambos.runtime.machine import host_features

SUBNORMAL = np.float32(1e-40)
CAN_FLUSH = denormal.can_flush(host_features().triple)
needs_flushing = pytest.mark.skipif(not CAN_FLUSH, reason="this processor has no such mode")


@pytest.fixture(autouse=True)
def _restore_config() -> Iterator[None]:
    flush, threads = config.flush_denormal, config.threads
    yield
    config.flush_denormal, config.threads = flush, threads


def halves(size: int = 8) -> am.Tensor:
    """Numbers whose halves are subnormal."""
    return am.tensor(np.full(size, 1.2e-38, np.float32))


def keeps_subnormals() -> bool:
    """Does NumPy in this thread compute with subnormal numbers, as operands and as results?"""
    operand = np.full(64, SUBNORMAL) * np.float32(2.0**20)
    result = np.full(64, 1.2e-38, np.float32) * np.float32(0.5)
    return bool((operand != 0).all() and (result != 0).all())


def test_the_answer_says_whether_this_machine_can() -> None:
    assert am.set_flush_denormal(True) is CAN_FLUSH
    assert am.get_flush_denormal() is CAN_FLUSH
    assert am.set_flush_denormal(False) is CAN_FLUSH
    assert am.get_flush_denormal() is False


@needs_flushing
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_operands_and_results(dtype: str) -> None:
    info = np.finfo(dtype)
    small = np.array([info.tiny / 8, -info.tiny / 8, info.tiny], dtype)
    x = am.tensor(small)
    one, half = am.tensor(np.ones(3, dtype)), am.tensor(np.full(3, 0.5, dtype))
    assert am.set_flush_denormal(False)
    kept = (x * one).numpy(), (x * half).numpy()
    np.testing.assert_array_equal(kept[0], small)
    np.testing.assert_array_equal(kept[1], small / 2)
    am.set_flush_denormal(True)
    flushed = (x * one).numpy(), (x * half).numpy()
    np.testing.assert_array_equal(flushed[0], [0, 0, info.tiny])
    np.testing.assert_array_equal(flushed[1], [0, 0, 0])
    assert np.signbit(flushed[1]).tolist() == [False, True, False]


@needs_flushing
def test_what_only_moves_keeps_its_bits() -> None:
    am.set_flush_denormal(True)
    x = am.tensor(np.array([[SUBNORMAL, 2.0], [-SUBNORMAL, 3.0]], np.float32))
    found = am.concat([x.T, x.abs(), am.where(x < 1, x, x)]).numpy()
    assert (found[:, 0] != 0).all()


@needs_flushing
def test_the_callers_mode_is_not_touched() -> None:
    am.set_flush_denormal(True)
    for _ in range(50):
        assert (halves() * 0.5).numpy().max() == 0
        assert keeps_subnormals()
    answers = []
    other = threading.Thread(target=lambda: answers.append(keeps_subnormals()))
    other.start()
    other.join()
    assert answers == [True]


@needs_flushing
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_thread_flushes_and_stops_flushing(threads: int) -> None:
    config.threads = threads
    x = am.tensor(np.full(1 << 20, 1.2e-38, np.float32))
    for flush in (False, True, False, True, True, False):
        am.set_flush_denormal(flush)
        found = (x * 0.5).numpy()
        assert (found == 0).all() if flush else (found != 0).all()
        assert keeps_subnormals()


@needs_flushing
def test_workers_that_were_asleep() -> None:
    config.threads = 2
    x = am.tensor(np.full(1 << 18, 1.2e-38, np.float32))
    pause = threading.Event()
    for flush in (True, False) * 3:
        am.set_flush_denormal(flush)
        pause.wait(0.005)
        assert ((x * 0.5).numpy() == 0).all() == flush


@needs_flushing
def test_between_calls_of_one_jitted_function() -> None:
    step = am.jit(lambda x: x * 0.5)
    for flush in (False, True, False, True):
        am.set_flush_denormal(flush)
        assert (step(halves()).numpy() == 0).all() == flush


@needs_flushing
def test_pending_work_is_done_in_the_mode_it_was_recorded_in() -> None:
    am.set_flush_denormal(False)
    before = halves() * 0.5
    am.set_flush_denormal(True)
    after = halves() * 0.25
    am.set_flush_denormal(False)
    assert (before.numpy() != 0).all()
    assert (after.numpy() == 0).all()


@needs_flushing
def test_an_equal_expression_is_computed_anew() -> None:
    x, numbers = halves(), am.full((8,), 1.2e-38)
    am.set_flush_denormal(False)
    kept = [x * 0.5, numbers * 0.5]
    am.evaluate(kept)
    am.set_flush_denormal(True)
    flushed = [x * 0.5, numbers * 0.5]
    assert all((tensor.numpy() == 0).all() for tensor in flushed)
    assert all((tensor.numpy() != 0).all() for tensor in kept)


@needs_flushing
def test_numbers_agree_with_data() -> None:
    """Whatever is worked out about numbers beforehand is what a run would find."""
    for flush in (False, True):
        am.set_flush_denormal(flush)
        tiny = am.full((4,), 1.2e-38)
        data = am.tensor(np.full(4, 1.2e-38, np.float32))
        for rule in (lambda t: t * 0.5, lambda t: (t * 0.5) * 4.0, lambda t: t - 1.18e-38):
            np.testing.assert_array_equal(rule(tiny).numpy(), rule(data).numpy())


@needs_flushing
def test_a_mode_that_others_have_set_does_not_reach_kernels() -> None:
    """torch changes the mode of the calling thread: with flushing off, results stay the same."""
    torch = pytest.importorskip("torch")
    am.set_flush_denormal(False)
    x = halves()
    torch.set_flush_denormal(True)
    try:
        found = (x * 0.5).numpy()
        theirs = (torch.full((8,), 1.2e-38) * 0.5 == 0).all().item()  # still as they set it
    finally:
        torch.set_flush_denormal(False)
    assert theirs
    assert (found != 0).all()


def test_not_while_a_function_is_traced() -> None:
    @am.jit
    def step(x: am.Tensor) -> am.Tensor:
        am.set_flush_denormal(True)
        return x + 1

    with pytest.raises(TracingError, match="set_flush_denormal"):
        step(am.ones(2))


@pytest.mark.parametrize("triple", [
    "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "arm64-apple-darwin",
    "x86_64-pc-windows-msvc", "riscv64-unknown-linux-gnu",
])  # fmt: skip
def test_the_engine_of_every_target_is_valid(triple: str) -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    kernel = native.engine(triple, native.has_futex(triple))
    module = llvm.parse_assembly(kernel.emit())
    module.verify()
    machine = llvm.Target.from_triple(triple).create_target_machine()
    module.triple = triple
    text = machine.emit_assembly(module)
    arm = triple.startswith(("aarch64", "arm64"))
    assert ("ldmxcsr" in text.lower()) == triple.startswith("x86_64")
    assert ("msr" in text.lower().split() and "fpcr" in text.lower()) == arm
    assert denormal.can_flush(triple) == (arm or triple.startswith("x86_64"))


def test_the_pool_follows_the_setting() -> None:
    features = host_features()
    for flush in (True, False):
        config.flush_denormal = flush
        (halves() * 0.5).numpy()
        assert pool.pool._control.mode == denormal.mode(features.triple, flush)
