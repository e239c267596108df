"""`ambos resume RUN`: go on where a training was."""

from __future__ import annotations

import argparse
from pathlib import Path

from ambos.cli.train import check_epochs, trained, usual

HELP = "go on with a training that was interrupted, or for more epochs"
EXAMPLES = ("ambos resume runs/iris_mlp --epochs 40",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The folder, and how long."""
    parser.add_argument("run", type=Path, help="the folder that `ambos train` wrote")
    usual(parser)


def run(options: argparse.Namespace) -> int:
    """Train on from the newest checkpoint; 130 where it was interrupted."""
    from ambos.cli.runs import Run

    check_epochs(options)
    found = Run.opened(options.run)
    if options.epochs is not None:
        found.facts["epochs"] = options.epochs
    return trained(found, options.quiet)
