"""What this machine can do at best, as the yardstick of profiles: measured once, kept on disk.

No launch can take less time than its arithmetic at the measured peak, nor than its bytes at the
measured bandwidth. Bandwidth depends on where data lie: it is measured for three sizes (in the
first cache, in the second, in neither), apart for reading and for writing, and interpolated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from ambos.core.config import config
from ambos.core.program import Kernel, Launch, Pointer, Program
from ambos.runtime.cache import Cache
from ambos.runtime.machine import host_features, host_name
from ambos.runtime.measure import LANES, best_seconds, measure_peak
from ambos.runtime.memory import Storage

LARGE = 32 << 20  # bytes a thread, for data in no cache of its own
SECONDS = 0.015  # for each number
UNROLLED = 8


@dataclass(frozen=True, slots=True)
class Speed:
    """GB/s of reading and of writing (lines fetched first included) `nbytes` a thread."""

    nbytes: int
    read: float
    write: float


@dataclass(frozen=True, slots=True)
class Roofline:
    """The limits of `threads` threads working together: GFLOP/s, and speeds by bytes a thread."""

    threads: int
    peak: float
    speeds: tuple[Speed, ...]

    def seconds(self, flops: int, read: int, written: int) -> float:
        """The least time for this much work."""
        return max(self.compute_seconds(flops), self.memory_seconds(read, written))

    def compute_seconds(self, flops: int) -> float:
        return flops / self.peak / 1e9

    def memory_seconds(self, read: int, written: int) -> float:
        """Example:
        >>> slow = Roofline(1, 100.0, (Speed(1000, 4.0, 2.0), Speed(100_000, 2.0, 1.0)))
        >>> slow.memory_seconds(500, 0) == 500 / 4e9, slow.memory_seconds(0, 10**9)
        (True, 1.0)
        """
        speed = self.speed((read + written) / self.threads)
        return read / speed.read / 1e9 + written / speed.write / 1e9

    def better(self, other: Roofline) -> Roofline:
        """The higher of both in each number."""
        speeds = tuple(
            Speed(a.nbytes, max(a.read, b.read), max(a.write, b.write))
            for a, b in zip(self.speeds, other.speeds, strict=True)
        )
        return Roofline(self.threads, max(self.peak, other.peak), speeds)

    def speed(self, nbytes: float) -> Speed:
        """Between the measured sizes, linear in the size's logarithm."""
        low = high = self.speeds[0]
        for high in self.speeds:
            if high.nbytes >= nbytes:
                break
            low = high
        if low.nbytes >= high.nbytes:
            return low
        part = math.log(nbytes / low.nbytes) / math.log(high.nbytes / low.nbytes)
        return Speed(
            int(nbytes),
            low.read + part * (high.read - low.read),
            low.write + part * (high.write - low.write),
        )


_known: dict[int, Roofline] = {}


def roofline(threads: int, again: bool = False) -> Roofline:
    """This machine's limits with `threads` threads: from the disk cache, or measured (a quarter of
    a second). `again` measures anew and keeps the better of each number, for a machine that was
    busy the first time.

    Example:
        >>> roofline(1).peak > 0.1
        True
    """
    found = _known.get(threads)
    if found is not None and not again:
        return found
    place = Cache(f"roofline|{host_name()}|{host_features().key}")
    name = f"roofline{threads}"
    found = found or _parse(place.read(name))
    if found is None or again:
        fresh = measure_roofline(threads)
        found = fresh if found is None else found.better(fresh)
        place.write(name, json.dumps(asdict(found)).encode())
    _known[threads] = found
    return found


def _parse(stored: bytes | None) -> Roofline | None:
    with suppress(ValueError, TypeError, KeyError):
        fields = json.loads(stored or b"")
        speeds = tuple(Speed(**speed) for speed in fields["speeds"])
        return Roofline(fields["threads"], fields["peak"], speeds)
    return None


def measure_roofline(threads: int, seconds: float = SECONDS) -> Roofline:
    """Measure now, on threads that all work at once."""
    features = host_features()
    before = config.threads
    config.threads = threads
    try:
        peak = measure_peak(2 * seconds, threads)
        sizes = (features.l1_bytes // 2, features.l2_bytes // 2, LARGE)
        speeds = tuple(_speed(size, threads, seconds) for size in sizes)
    finally:
        config.threads = before
    return Roofline(threads, peak, speeds)


def _speed(nbytes: int, threads: int, seconds: float) -> Speed:
    """Each thread reads, then copies, `nbytes` of its own: what copying takes beyond the reading
    of its half is the writing of the other."""
    step = 4 * LANES * UNROLLED
    half = max(step, nbytes // 2 // step * step)
    source, target = Storage(2 * half * threads), Storage(half * threads)
    for storage in (source, target):
        storage.numpy("uint8", (storage.nbytes,))[:] = 1  # fresh pages are all the zero page
    turns = max(1, (1 << 20) // half)
    inputs, outputs = [source], [target]

    def run(label: str, writes: bool, block: int) -> float:
        kernel = Kernel(f"ambos_{label}", lambda: _text(label, writes), label)
        launch = Launch(kernel, (Pointer(3), Pointer(2), block, turns), threads)
        program = Program((launch,), 1, (target.nbytes,))
        return best_seconds(program, inputs, outputs, seconds) / turns

    read = 2 * half * threads / run("read", False, 2 * half)
    copied = run("copy", True, half)
    written = half * threads / max(copied - half * threads / read, copied / 10)
    return Speed(nbytes, read / 1e9, written / 1e9)


def _text(label: str, writes: bool) -> str:
    """Item i visits block i of the input `turns` times, and copies it or adds it up."""
    vector = f"<{LANES} x i32>"
    steps: list[str] = []
    for k in range(UNROLLED):
        at = f"%at{k}"
        steps += [
            f"  {at} = add i64 %at, {4 * LANES * k}",
            f"  %from{k} = getelementptr i8, ptr %in, i64 {at}",
            f"  %x{k} = load {vector}, ptr %from{k}, align 64",
        ]
        if writes:
            steps += [
                f"  %to{k} = getelementptr i8, ptr %out, i64 {at}",
                f"  store {vector} %x{k}, ptr %to{k}, align 64",
            ]
    sums = [] if writes else [f"  %b{k} = add {vector} %a{k}, %x{k}" for k in range(UNROLLED)]
    phis = [] if writes else [
        f"  %a{k} = phi {vector} [zeroinitializer, %entry], [%b{k}, %loop]" for k in range(UNROLLED)
    ]  # fmt: skip
    ends: Sequence[Any] = ()
    if not writes:
        ends = [
            "  %s0 = add " + vector + " %b0, zeroinitializer",
            *(f"  %s{k} = add {vector} %s{k - 1}, %b{k}" for k in range(1, UNROLLED)),
            "  %result = getelementptr i8, ptr %out, i64 %first",
            f"  store {vector} %s{UNROLLED - 1}, ptr %result, align 64",
        ]
    return "\n".join([
        f"define void @ambos_{label}(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {{",
        "entry:",
        "  %out = load ptr, ptr %args",
        "  %in_at = getelementptr i64, ptr %args, i64 1",
        "  %in = load ptr, ptr %in_at",
        "  %block_at = getelementptr i64, ptr %args, i64 2",
        "  %block = load i64, ptr %block_at",
        "  %turns_at = getelementptr i64, ptr %args, i64 3",
        "  %turns = load i64, ptr %turns_at",
        "  %from = mul i64 %begin, %block",
        "  %to = mul i64 %end, %block",
        f"  %first = mul i64 %begin, {4 * LANES}",
        "  br label %loop",
        "loop:",
        "  %turn = phi i64 [0, %entry], [%turn_next, %loop]",
        "  %at = phi i64 [%from, %entry], [%at_next, %loop]",
        *phis,
        *steps,
        *sums,
        f"  %next = add i64 %at, {4 * LANES * UNROLLED}",
        "  %wrap = icmp sge i64 %next, %to",
        "  %at_next = select i1 %wrap, i64 %from, i64 %next",
        "  %one = zext i1 %wrap to i64",
        "  %turn_next = add i64 %turn, %one",
        "  %again = icmp slt i64 %turn_next, %turns",
        "  br i1 %again, label %loop, label %done",
        "done:",
        *ends,
        "  ret void",
        "}",
    ])  # fmt: skip
