"""`ambos train config.toml`: a training that a file describes."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

from ambos.core.errors import ArgumentError

HELP = "train what a TOML file describes"
EXAMPLES = (
    "ambos train examples/configs/iris_mlp.toml",
    "ambos train examples/configs/digits_cnn.toml --epochs 1 --output runs/short --quiet",
)

MORE = """\
a file to begin with:
  loss = "cross_entropy"
  metrics = ["accuracy"]
  epochs = 20

  [model]
  name = "mlp"
  in_channels = 4
  hidden_channels = [16, 3]

  [data]
  name = "iris" # or csv = "flowers.csv" and target = "species", with a column for each number
  test_fraction = 0.2

  [optimizer]
  name = "adam"
  lr = 0.01

"""
INTERRUPTED = 128 + signal.SIGINT  # what shells report


def arguments(parser: argparse.ArgumentParser) -> None:
    """The file, and what to do otherwise than it says."""
    parser.description = (
        "Train what a TOML file describes (docs/cli.md),\nand leave a folder with the file, "
        "checkpoints, history.csv and model.safetensors."
    )
    parser.add_argument("config", type=Path, help="the TOML file")
    parser.add_argument("--output", type=Path, help="the run's folder (runs/NAME_OF_FILE)")
    usual(parser)


def usual(parser: argparse.ArgumentParser) -> None:
    """What `resume` takes as well."""
    parser.add_argument("--epochs", type=int, help="train for so many, whatever the file says")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")


def check_epochs(options: argparse.Namespace) -> None:
    """Refuse less than one.

    Errors: ArgumentError.
    """
    if options.epochs is not None and options.epochs < 1:
        raise ArgumentError(f"--epochs is {options.epochs}; need at least 1")


def run(options: argparse.Namespace) -> int:
    """Train; 130 where it was interrupted."""
    from ambos.cli.runs import fresh

    check_epochs(options)
    return trained(fresh(options.config, options.output, options.epochs), options.quiet)


def trained(run: Any, quiet: bool) -> int:
    """Train a run to its end, and say what came out."""
    try:
        history = run.fit(0 if quiet else "auto")
    except KeyboardInterrupt:  # before training began, or a second time, in the middle of a batch
        if run.is_begun:
            print(f"interrupted; `ambos resume {run.folder}` goes on", file=sys.stderr)
        raise
    last = {name: values[-1] for name, values in history.history.items() if values}
    if last:
        print(f"{run.folder}: {len(history.epoch)} epochs  {shown(last)}")
    if history.interrupted:
        print(f"interrupted; `ambos resume {run.folder}` goes on")
        return INTERRUPTED
    if not run.epochs_begun:
        more = f"`ambos resume {run.folder} --epochs {2 * run.epochs}`"
        print(f"nothing was left to train; {more} trains on")
    return 0


def shown(logs: dict[str, Any]) -> str:
    """Numbers by name, in a line.

    Example:
        >>> shown({"loss": 0.12345, "accuracy": 1.0})
        'loss 0.1235  accuracy 1'
    """
    return "  ".join(f"{name} {value:.4g}" if isinstance(value, (int, float)) else f"{name} {value}"
                     for name, value in logs.items())  # fmt: skip
