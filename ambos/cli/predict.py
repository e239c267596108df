"""`ambos predict RUN`: outputs of a trained model for rows of a file."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError, FormatError

HELP = "outputs of a run's model for the rows of a file"
EXAMPLES = (
    "ambos predict runs/iris_mlp --input examples/configs/flowers.csv --classes",
    "ambos predict runs/iris_mlp --input examples/configs/flowers.csv --output scores.npy",
)
WRITTEN = (".npy", ".csv")
READ = (".npy", ".csv", ".parquet")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The folder, and two files."""
    parser.add_argument("run", type=Path, help="the folder that `ambos train` wrote")
    parser.add_argument("--input", type=Path, required=True, help=f"a file: {', '.join(READ)}")
    parser.add_argument("--output", type=Path, help=f"a file: {', '.join(WRITTEN)} (else printed)")
    parser.add_argument("--classes", action="store_true", help="the likeliest class of each row")


def run(options: argparse.Namespace) -> int:
    """Write them, or print them."""
    from ambos.cli.runs import Run

    output = options.output
    if output is not None and output.suffix not in WRITTEN:
        raise ArgumentError(f"--output is {str(output)!r}; need a name with {' or '.join(WRITTEN)}")
    found = Run.opened(options.run)
    x = rows_of(options.input, found)
    scores = found.trained().predict(x)
    if not isinstance(scores, np.ndarray):
        raise ArgumentError(
            f"the model gives {type(scores).__name__}; need one output, or a program of your own"
        )
    if options.classes:
        scores = classes_of(scores, found.facts.get("classes"))
    if output is None:
        print(as_csv(scores), end="")
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.suffix == ".npy":
            np.save(output, scores)
        else:
            output.write_text(as_csv(scores), encoding="utf-8")
        print(f"{output}: {len(scores)} rows", file=sys.stderr)
    return 0


def rows_of(path: Path, run: Any) -> Any:
    """The model's inputs, from a file: an array, or the columns that it was trained with.

    Errors: ArgumentError, FormatError.
    """
    from ambos.cli.sources import columns, matrix

    if not path.is_file():
        raise ArgumentError(f"--input: there is no file {str(path)!r}; need one")
    if path.suffix == ".npy":
        try:
            return np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise FormatError(f"{path} is no file of numbers: {error}") from error
    if path.suffix not in READ:
        raise ArgumentError(f"--input is {str(path)!r}; need a name with {', '.join(READ)}")
    table = columns(path, path.suffix == ".parquet")
    return matrix(path, table, run.examples().features or list(table))


def classes_of(scores: Any, names: list[str] | None) -> Any:
    """The likeliest class of each row, by name where classes have names; of one logit, whether it
    is positive."""
    if scores.ndim == 1 or scores.shape[1] == 1:
        numbers = (scores.reshape(-1) > 0).astype(np.int64)
    else:
        numbers = scores.argmax(1)
    return np.asarray(names)[numbers] if names else numbers


def as_csv(rows: Any) -> str:
    """A line for each row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows.reshape(len(rows), -1).tolist():
        writer.writerow(row)
    return text.getvalue()
