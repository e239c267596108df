"""`ambos evaluate RUN`: loss and metrics of a trained model."""

from __future__ import annotations

import argparse
from pathlib import Path

from ambos.cli.train import shown

HELP = "loss and metrics of a run's model on its test data"
EXAMPLES = ("ambos evaluate runs/iris_mlp",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The folder."""
    parser.add_argument("run", type=Path, help="the folder that `ambos train` wrote")


def run(options: argparse.Namespace) -> int:
    """Print them, and which data they are of."""
    from ambos.cli.runs import Run

    found = Run.opened(options.run)
    model, examples = found.trained(), found.examples()
    if not model.takes_nan:
        examples.require_finite(found.config)
    part = "test data" if examples.test is not None else "training data; [data] has no test part"
    logs = model.evaluate(**(examples.test or examples.train))
    print(f"{shown(logs)}  ({part})")
    return 0
