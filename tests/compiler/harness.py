"""Runs LLVM IR text of kernels in process, for the tests of the compiler's back end.

The runtime has its own loader; these tests must not depend on it. Each `Machine` compiles for one
processor, so that the bits of AVX2 and AVX-512 code can be compared on one machine.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from ambos.compiler.emit import PASSES, emit_loop
from ambos.compiler.emit_scan import emit_scan
from ambos.compiler.emit_sort import emit_sort
from ambos.compiler.loops import UNIT, Buffer, Index, LoopKernel, Map, ScanKernel, SortKernel
from ambos.core import dtype as dt
from ambos.core.dtype import bfloat16, bool_, float32
from ambos.testing.interpret import interpret

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
llvm.set_option("ambos", "-disable-lsr")  # as runtime.loader does: see compiler.emit.PASSES

LIBC = ctypes.CDLL(None)
CPUS = ("x86-64-v3", "native")
KEEP: list[object] = []  # engines own their machine code; functions must not outlive them


def target_machine(cpu: str, opt: int = 2) -> llvm.TargetMachine:
    """A target machine for `cpu` ("native": this processor with all it has)."""
    target = llvm.Target.from_default_triple()
    if cpu == "native":
        features = llvm.get_host_cpu_features().flatten()
        return target.create_target_machine(llvm.get_host_cpu_name(), features, opt)
    return target.create_target_machine(cpu, "", opt)


def optimise(module: llvm.ModuleRef, machine: llvm.TargetMachine) -> None:
    """The short pass list of `ambos.compiler.emit.PASSES`."""
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    builder = llvm.create_pass_builder(machine, options)
    manager = llvm.create_new_module_pass_manager()
    for name in PASSES:
        getattr(manager, f"add_{name}_pass")()
    manager.run(module, builder)


@cache
def compile_kernel(text: str, name: str, cpu: str = "native", opt: int = 2) -> int:
    """The address of @name, compiled for `cpu`: once, since many sizes share a kernel."""
    module = llvm.parse_assembly(text)
    module.verify()
    machine = target_machine(cpu, opt)
    optimise(module, machine)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    KEEP.append(engine)
    return int(engine.get_function_address(name))


def pack(words: Sequence[int | float]) -> np.ndarray:
    """Argument words: ints as int64, floats as the bits of a float64."""
    return np.array(
        [
            struct.unpack("<q", struct.pack("<d", w))[0] if isinstance(w, float) else w
            for w in words
        ],
        np.int64,
    )


def launch(
    address: int, words: Sequence[int | float], items: int, scratch: int = 0, begin: int = 0
) -> None:
    """Call a kernel on items begin..items."""
    args = pack(words)
    memory = np.full(scratch + 64, 0xCD, np.uint8)
    signature = ctypes.CFUNCTYPE(
        None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p
    )
    start = memory.ctypes.data + (-memory.ctypes.data % 64)
    signature(address)(args.ctypes.data, begin, items, start)


def guarded(array: np.ndarray) -> np.ndarray:
    """A copy of `array` that ends where unreadable memory begins: one element too far crashes."""
    size = max(array.nbytes, 1)
    pages = -(-size // mmap.PAGESIZE)
    region = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    whole = np.frombuffer(region, np.uint8)
    guard = whole.ctypes.data + pages * mmap.PAGESIZE
    assert LIBC.mprotect(ctypes.c_void_p(guard), mmap.PAGESIZE, 0) == 0
    start = pages * mmap.PAGESIZE - array.nbytes
    copy = whole[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    KEEP.append(region)
    return copy


def same_bits(a: np.ndarray, b: np.ndarray, is_bfloat16: bool = False) -> bool:
    """Whether all bits agree; any NaN is like any other."""
    if is_bfloat16:
        a, b = (np.where((x & 0x7FFF) > 0x7F80, np.uint16(0x7FC0), x) for x in (a, b))
    if a.dtype.kind == "f":
        both = np.isnan(a) & np.isnan(b)
        a, b = np.where(both, 0, a), np.where(both, 0, b)
    return a.tobytes() == b.tobytes()


def bfloat16_words(kernel: LoopKernel | SortKernel | ScanKernel) -> set[int | None]:
    """The words of the bfloat16 memory that `kernel` writes."""
    stages = kernel.stages if isinstance(kernel, LoopKernel) else ()
    stores = [store for stage in stages if isinstance(stage, Map) for store in stage.stores]
    return {store.buffer.word for store in stores if store.buffer.dtype is bfloat16}


def check(
    kernel: LoopKernel | SortKernel | ScanKernel,
    words: Sequence[int | float | np.ndarray],
    lower: Callable[[str], Callable[..., Any]] = dict.get,  # type: ignore[assignment]
    items: int = 1,
    scratch: int = 0,
) -> dict[int, np.ndarray]:
    """Run `kernel` on every CPU and in the interpreter; all must leave the same bits.

    Arrays among `words` stand for pointers to copies of them. Returns the copies, by word.
    For brevity `kernel.grain` is the grain itself here; it becomes the last word.
    """
    if isinstance(kernel, LoopKernel) and kernel.grain is not None:
        words = [*words, kernel.grain]
        kernel = replace(kernel, grain=len(words) - 1, num_words=len(words))
    if isinstance(kernel, SortKernel):
        text = emit_sort(kernel, "k")
    else:
        emit = emit_loop if isinstance(kernel, LoopKernel) else emit_scan
        text = emit(kernel, "k", lower)
    flat = {w: np.ravel(a).copy() for w, a in enumerate(words) if isinstance(a, np.ndarray)}
    interpret(kernel, [0 if isinstance(w, np.ndarray) else w for w in words], flat, lower)
    halves = bfloat16_words(kernel)
    for cpu in CPUS:
        ours = {w: guarded(a) for w, a in enumerate(words) if isinstance(a, np.ndarray)}
        address = compile_kernel(text, "k", cpu)
        middle = items // 2  # two calls, as two threads would make
        filled = [ours[w].ctypes.data if w in ours else v for w, v in enumerate(words)]
        launch(address, filled, middle, scratch)
        launch(address, filled, items, scratch, begin=middle)
        for word, array in ours.items():
            same = same_bits(array.ravel(), flat[word], word in halves)
            assert same, f"{cpu}: word {word}"
    return {word: array.reshape(words[word].shape) for word, array in flat.items()}


# --- parts of test kernels -----------------------------------------------------------------------

RULES = {
    "add": lambda b, x, y: x + y,
    "sub": lambda b, x, y: x - y,
    "mul": lambda b, x, y: x * y,
    "div": lambda b, x, y: x / y,
    "rem": lambda b, x, y: x % y,
    "sqrt": lambda b, x: b.sqrt(x),
    "less": lambda b, x, y: x < y,
    "and": lambda b, x, y: x & y,
    "neg": lambda b, x: -x,
    "cube": lambda b, x: x * x * x,
    "positive": lambda b, x: x * x + 1.0,
}


def f32(word: int | None) -> Buffer:
    return Buffer(word, float32)


def at(*terms: tuple[int, int], offset: int | None = None) -> Index:
    return Index(offset, terms)


def along(axis: int) -> Index:
    return at((axis, UNIT))


def storage(dtype: dt.DType) -> np.dtype:
    return np.dtype("uint16" if dtype is bfloat16 else dtype.name)


def numbers(dtype: dt.DType, size: int, seed: int = 0) -> np.ndarray:
    """Random elements of `dtype` as they lie in memory (bfloat16: bits), special ones included."""
    random = np.random.default_rng(seed)
    if dtype is bool_:
        return random.integers(0, 2, size).astype(bool)
    if dtype.is_integer:
        low, high = max(dtype.min, -(2**62)), min(dtype.max, 2**62)
        array = random.integers(low, high, size, endpoint=True).astype(dtype.name)
        array[::7] = dtype.min
        return array
    array = random.standard_normal(size) * 10.0 ** random.integers(-3, 4, size)
    array[3::11], array[5::13], array[1::17] = np.nan, np.inf, -0.0
    if dtype is bfloat16:
        return (array.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return array.astype(dtype.name)


def items(size: int, grain: int) -> int:
    return -(-size // grain)
