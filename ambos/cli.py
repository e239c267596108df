"""The `ambos` command: `ambos demo` and `ambos info`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ambos.core.config import config
from ambos.core.errors import AmbosError, suggest
from ambos.core.version import __version__

FEATURES = ("sse4.2", "avx", "avx2", "fma", "f16c", "bmi2", "avx512f", "avx512bw", "avx512vl",
            "avx512dq", "avx512vnni", "avx512bf16", "amx-tile", "neon", "sve", "dotprod",
            "bf16")  # fmt: skip


class Parser(argparse.ArgumentParser):
    """Proposes the nearest command for one that does not exist."""

    def error(self, message: str) -> NoReturn:
        found = message.partition("invalid choice: '")[2].partition("'")[0]
        hint = suggest(found, COMMANDS) if found else ""
        self.print_usage(sys.stderr)
        text = f"unknown command {found!r}{hint}" if found else message
        self.exit(2, f"{self.prog}: {text}\n")


COMMANDS = ("demo", "info")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = Parser(prog="ambos", description="One deep-learning framework for every style.")
    parser.add_argument("--version", action="version", version=f"ambos {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="{demo,info}")
    demo = commands.add_parser(
        "demo", help="train a network on handwritten digits", description="Train a small network "
        "on real handwritten digits, save it, reload it and draw what it sees."
    )  # fmt: skip
    demo.add_argument("--epochs", type=int, help="how long to train")
    demo.add_argument("--seed", type=int, default=0, help="0 by default")
    demo.add_argument("--out", type=Path, help="where to save (runs/demo)")
    commands.add_parser("info", help="versions, processor, threads and cache")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "demo":
            return run_demo(chosen.epochs, chosen.seed, chosen.out)
        if chosen.command == "info":
            print(info())
            return 0
    except AmbosError as error:
        print(f"ambos: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader has seen enough: `ambos info | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    parser.print_help()
    return 0


def run_demo(epochs: int | None, seed: int, out: Path | None) -> int:
    """`ambos demo`."""
    from ambos.train import demo

    accuracy = demo.run(epochs or demo.EPOCHS, seed, out or demo.PLACE)
    return 0 if accuracy == accuracy else 130  # NaN: interrupted


def info() -> str:
    """`ambos info`: what a report of a problem needs."""
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


if __name__ == "__main__":
    sys.exit(main())
