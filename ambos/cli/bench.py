"""`ambos bench`: the races against other frameworks, which only a checkout has."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from ambos.core.errors import ArgumentError

HELP = "race ambos against other frameworks (in a checkout)"
EXAMPLES = ("ambos bench --list", "ambos bench --list --only gemm")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Everything is handed on."""
    parser.description = f"{HELP[0].upper()}{HELP[1:]}; options are those of `python -m bench`."


def run(options: argparse.Namespace) -> int:
    """Hand the options on."""
    here = str(Path.cwd())
    if Path("bench/race.py").is_file() and here not in sys.path:
        sys.path.insert(0, here)
    if find_spec("bench") is None or find_spec("bench.race") is None:
        raise ArgumentError(
            "bench: the benchmarks are not in the installed package; need a checkout of ambos: "
            "change into its folder and run `ambos bench --list` there"
        )
    status: int = import_module("bench.__main__").main(options.rest)
    return status
