"""`ambos demo`: a network on real handwritten digits."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "train a network on handwritten digits"
EXAMPLES = ("ambos demo --epochs 5 --out runs/demo",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """How long, and where to."""
    parser.description = (
        "Train a small network on real handwritten digits, save it, reload it and draw what it "
        "sees."
    )
    parser.add_argument("--epochs", type=int, help="how long to train")
    parser.add_argument("--seed", type=int, default=0, help="0 by default")
    parser.add_argument("--out", type=Path, help="where to save (runs/demo)")


def run(options: argparse.Namespace) -> int:
    """Run it; 130 where it was interrupted."""
    from ambos.train import demo

    accuracy = demo.run(options.epochs or demo.EPOCHS, options.seed, options.out or demo.PLACE)
    return 0 if accuracy == accuracy else 130  # NaN: interrupted
