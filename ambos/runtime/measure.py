"""What this machine can do at best: the yardsticks of `ambos info`, the demo and the benchmarks."""

from __future__ import annotations

import time
from functools import partial

from ambos.core.config import config
from ambos.core.program import Kernel, Launch, Pointer, Program
from ambos.runtime.executor import Executable
from ambos.runtime.machine import host_features
from ambos.runtime.memory import Storage

LANES = 16  # the logical vector of every kernel
STREAM_BLOCK = 1 << 20  # bytes of one work item of the bandwidth kernel


class Yardstick:
    """A program that does a known amount of work, kept to be run again and again."""

    def __init__(
        self, program: Program, inputs: list[Storage], outputs: list[Storage], work: float
    ) -> None:
        self._executable = Executable(program)
        self._storages = (inputs, outputs)  # the addresses below are theirs
        self._read = [storage.address for storage in inputs]
        self._written = [storage.address for storage in outputs]
        self._work = work
        self._executable.run(self._read, self._written)

    def best(self, seconds: float) -> float:
        """Work per second in the fastest of the runs that `seconds` allow; of one at least."""
        best, start = float("inf"), time.perf_counter()
        while True:
            before = time.perf_counter()
            self._executable.run(self._read, self._written)
            now = time.perf_counter()
            best = min(best, now - before)
            if now - start > seconds:
                return self._work / best


def peak_yardstick(threads: int = 1) -> Yardstick:
    """Its work is floating-point operations of fused multiply-adds, on `threads` threads at once.

    Example:
        >>> peak_yardstick().best(0.001) > 1e8
        True
    """
    features = host_features()
    chains = max(1, min(12, (features.registers - 4) * features.vector_bytes // (4 * LANES)))
    output = Storage(4 * LANES)  # every item writes there, and the same numbers
    turns = 10_000
    kernel = Kernel(f"ambos_peak_{chains}", lambda: _peak_text(chains), "peak")
    launch = Launch(kernel, (Pointer(2), turns), threads, serial=threads == 1)
    program = Program((launch,), 0, (output.nbytes,))
    return Yardstick(program, [], [output], 2.0 * LANES * chains * turns * threads)


def bandwidth_yardstick(nbytes: int = 64 << 20, past_caches: bool = False) -> Yardstick:
    """Its work is bytes, read and written together, of a copy of `nbytes` to other memory.
    `past_caches`: caches need not read a line before it is written. Large copies are faster then.

    Example:
        >>> bandwidth_yardstick(1 << 20).best(0.001) > 1e7
        True
    """
    items = max(1, nbytes // STREAM_BLOCK)
    source, target = Storage(items * STREAM_BLOCK), Storage(items * STREAM_BLOCK)
    source.numpy("uint8", (source.nbytes,))[:] = 1  # untouched pages would all be the zero page
    name = "ambos_stream_past" if past_caches else "ambos_stream"
    kernel = Kernel(name, partial(_stream_text, name, past_caches), name)
    program = Program((Launch(kernel, (Pointer(3), Pointer(2)), items),), 1, (target.nbytes,))
    return Yardstick(program, [source], [target], 2.0 * source.nbytes)


def best_seconds(
    program: Program, inputs: list[Storage], outputs: list[Storage], seconds: float
) -> float:
    """The shortest of the runs that fit into `seconds`."""
    return 1.0 / Yardstick(program, inputs, outputs, 1.0).best(seconds)


def measure_peak(seconds: float = 0.1, threads: int = 1) -> float:
    """GFLOP/s of fused multiply-adds on one core (or `threads`), the best of several tries.

    Example:
        >>> measure_peak(0.001) > 0.1
        True
    """
    return peak_yardstick(threads).best(seconds) / 1e9


def measure_bandwidth(nbytes: int = 64 << 20, seconds: float = 0.2, threads: int = 1) -> float:
    """GB/s read and written together while copying `nbytes` with `threads` threads.

    Example:
        >>> measure_bandwidth(1 << 20, 0.001) > 0.01
        True
    """
    before = config.threads
    config.threads = threads
    try:
        return bandwidth_yardstick(nbytes).best(seconds) / 1e9
    finally:
        config.threads = before


def _peak_text(chains: int) -> str:
    """`chains` independent sums a = fma(x, a, x), as many as registers hold."""
    vector = f"<{LANES} x float>"
    lines = [
        "define void @NAME(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {",
        "entry:",
        "  %out = load ptr, ptr %args",
        "  %turns_at = getelementptr i64, ptr %args, i64 1",
        "  %turns_of_item = load i64, ptr %turns_at",
        "  %items = sub i64 %end, %begin",
        "  %turns = mul i64 %turns_of_item, %items",
        "  %nothing = sub i64 %turns_of_item, 10000  ; zero, which the optimiser cannot know",
        "  %half = sitofp i64 %nothing to float",
        f"  %x0 = insertelement {vector} poison, float %half, i64 0",
        f"  %x = shufflevector {vector} %x0, {vector} poison, <{LANES} x i32> zeroinitializer",
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [0, %entry], [%i_next, %loop]",
    ]
    lines += [f"  %a{k} = phi {vector} [%x, %entry], [%b{k}, %loop]" for k in range(chains)]
    lines += [
        f"  %b{k} = call {vector} @llvm.fma.v{LANES}f32({vector} %x, {vector} %a{k}, {vector} %x)"
        for k in range(chains)
    ]
    lines += [
        "  %i_next = add i64 %i, 1",
        "  %more = icmp slt i64 %i_next, %turns",
        "  br i1 %more, label %loop, label %done",
        "done:",
        f"  %s0 = fadd {vector} %b0, %x",
    ]
    lines += [f"  %s{k} = fadd {vector} %s{k - 1}, %b{k}" for k in range(1, chains)]
    lines += [
        f"  store {vector} %s{chains - 1}, ptr %out, align 4",
        "  ret void",
        "}",
        f"declare {vector} @llvm.fma.v{LANES}f32({vector}, {vector}, {vector})",
    ]
    return "\n".join(lines).replace("@NAME", f"@ambos_peak_{chains}")


def _stream_text(name: str, past_caches: bool) -> str:
    """Item i copies block i."""
    vector = f"<{LANES} x float>"
    hint = ", !nontemporal !0" if past_caches else ""
    return f"""
define void @{name}(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {{
entry:
  %out = load ptr, ptr %args
  %in_at = getelementptr i64, ptr %args, i64 1
  %in = load ptr, ptr %in_at
  %from = mul i64 %begin, {STREAM_BLOCK}
  %to = mul i64 %end, {STREAM_BLOCK}
  br label %loop
loop:
  %at = phi i64 [%from, %entry], [%next, %loop]
  %read = getelementptr i8, ptr %in, i64 %at
  %written = getelementptr i8, ptr %out, i64 %at
  %x = load {vector}, ptr %read, align 64
  store {vector} %x, ptr %written, align 64{hint}
  %next = add i64 %at, {4 * LANES}
  %more = icmp slt i64 %next, %to
  br i1 %more, label %loop, label %done
done:
  fence seq_cst
  ret void
}}
!0 = !{{i32 1}}
"""
