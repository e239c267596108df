"""This machine, as the code generator must know it."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

from ambos.core.config import config
from ambos.core.errors import ArgumentError, DeviceError, suggest
from ambos.core.features import Features
from ambos.runtime import loader

# Architecture levels to ask for by AMBOS_CPU: register width, registers, what the host must have.
LEVELS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "x86-64": (16, 16, ()),
    "x86-64-v2": (16, 16, ("sse4.2", "ssse3")),
    "x86-64-v3": (32, 16, ("avx2", "fma", "bmi2", "f16c")),
    "x86-64-v4": (64, 32, ("avx512f", "avx512vl", "avx512dq", "avx512bw")),
}
WIDE = "-prefer-256-bit"  # some processors are tuned for half registers; our kernels ask for whole


def host_features() -> Features:
    """The target of `config.cpu`: "native" or one of the x86-64 levels.

    Errors: ArgumentError for an unknown name, DeviceError for a level this machine lacks.

    Example:
        >>> host_features().vector_bytes in (16, 32, 64)
        True
    """
    return _features(config.cpu)


@cache
def _features(cpu: str) -> Features:
    triple, name, has = loader.host()
    l1_bytes, l2_bytes = _cache_bytes()
    if cpu != "native":
        known = ["native", *(LEVELS if triple.startswith("x86_64") else ())]
        if cpu not in known:
            raise ArgumentError(
                f"AMBOS_CPU: unknown processor {cpu!r}; known here: {', '.join(known)}"
                + suggest(cpu, known)
            )
        width, registers, needed = LEVELS[cpu]
        lacking = [feature for feature in needed if not has.get(feature)]
        if lacking:
            raise DeviceError(
                f"AMBOS_CPU: this processor ({name}) has no {', '.join(lacking)}, which "
                f"{cpu} needs; leave AMBOS_CPU unset"
            )
        attributes = WIDE if width == 64 else ""
        return Features(triple, cpu, attributes, width, registers, l1_bytes, l2_bytes)
    attributes = ",".join(f"{'+' if on else '-'}{key}" for key, on in sorted(has.items()))
    if not triple.startswith("x86_64"):
        return Features(triple, name, attributes, 16, 32, l1_bytes, l2_bytes)
    if all(has.get(feature) for feature in LEVELS["x86-64-v4"][2]):
        attributes += "," + WIDE
        return Features(triple, name, attributes, 64, 32, l1_bytes, l2_bytes)
    width = 32 if has.get("avx2") and has.get("fma") else 16
    return Features(triple, name, attributes, width, 16, l1_bytes, l2_bytes)


def host_name() -> str:
    """The processor's name for people.

    Example:
        >>> len(host_name()) > 0
        True
    """
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown processor"


def num_cores() -> int:
    """Cores that this process may use.

    Example:
        >>> num_cores() >= 1
        True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cache_bytes() -> tuple[int, int]:
    """First- and second-level data cache of the first core, or usual sizes where unknown."""
    found = {"1": 32 << 10, "2": 512 << 10}
    units = {"K": 1 << 10, "M": 1 << 20}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind, level, size = (
                (index / name).read_text().strip() for name in ("type", "level", "size")
            )
            if kind != "Instruction" and level in found:
                found[level] = int(size.rstrip("KM")) * units.get(size[-1], 1)
        except (OSError, ValueError):
            continue
    return found["1"], found["2"]
