"""`ambos info`: versions, processor, threads and cache."""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

from ambos.core.config import config
from ambos.core.version import __version__

HELP = "versions, processor, threads and cache"
EXAMPLES = ("ambos info",)
FEATURES = ("sse4.2", "avx", "avx2", "fma", "f16c", "bmi2", "avx512f", "avx512bw", "avx512vl",
            "avx512dq", "avx512vnni", "avx512bf16", "amx-tile", "neon", "sve", "dotprod",
            "bf16")  # fmt: skip


def arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(options: argparse.Namespace) -> int:
    """Print it."""
    print(info())
    return 0


def info() -> str:
    """What a report of a problem needs."""
    import numpy

    from ambos.runtime import loader, machine

    _, _, has = loader.host()
    features = machine.host_features()
    known = [name for name in FEATURES if has.get(name)]
    files, size = cache_size(config.cache_dir)
    rows = [
        ("ambos", __version__),
        ("Python", f"{platform.python_version()} ({platform.platform()})"),
        ("NumPy", numpy.__version__),
        ("llvmlite", version_of("llvmlite")),
        ("processor", machine.host_name()),
        ("features", ", ".join(known) or "none that matter here"),
        ("target", f"{features.cpu}, vectors of {features.vector_bytes * 8} bits"),
        ("cores", str(machine.num_cores())),
        ("threads", f"{config.threads} (AMBOS_THREADS)"),
        ("cache", f"{config.cache_dir} (AMBOS_CACHE)"),
        ("cache size", f"{size / 2**20:.1f} MiB in {files} files"),
    ]
    return "\n".join(f"{name:<12}{value}" for name, value in rows)


def version_of(package: str) -> str:
    """The installed version of a package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def cache_size(place: Path) -> tuple[int, int]:
    """(files, bytes) below a directory; what cannot be read counts as nothing."""
    count = total = 0
    for folder, _, names in os.walk(place):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_size
                count += 1
            except OSError:
                continue
    return count, total
