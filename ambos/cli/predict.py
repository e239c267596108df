"""`ambos predict RUN`: outputs of a trained model for rows of a file, or for images."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from ambos.core.errors import AmbosError, ArgumentError

HELP = "outputs of a run's model for the rows of a file, or for images"
EXAMPLES = (
    "ambos predict runs/iris_mlp --input examples/configs/flowers.csv --classes",
    "ambos predict runs/iris_mlp --input examples/configs/flowers.csv --output scores.npy",
)
WRITTEN = (".npy", ".csv")
TEXT: dict[str, Any] = {"encoding": "utf-8", "newline": ""}
READ = ".npy, .csv, .parquet, an image, or a folder of images"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The folder, and two files."""
    parser.description = (
        "Outputs of a run's model, read, computed and written some rows at a time. Columns are "
        "found by the names that the model was trained with; images are named before their outputs."
    )
    parser.add_argument("run", type=Path, help="the folder that `ambos train` wrote")
    parser.add_argument("--input", type=Path, required=True, help=READ)
    parser.add_argument("--output", type=Path, help=f"a file: {', '.join(WRITTEN)} (else printed)")
    parser.add_argument("--classes", action="store_true", help="the likeliest class of each row")


def run(options: argparse.Namespace) -> int:
    """Write them, or print them."""
    from ambos.cli.classes import Classes
    from ambos.cli.inputs import pieces_of
    from ambos.cli.runs import Run

    output = options.output
    if output is not None and output.suffix not in WRITTEN:
        raise ArgumentError(f"--output is {str(output)!r}; need a name with {' or '.join(WRITTEN)}")
    found = Run.opened(options.run)
    pieces = pieces_of(options.input, found)
    model = found.trained()
    classes = Classes(found, model.plan.losses.spec) if options.classes else None
    with written(output) as write:
        for piece in pieces:
            scores = outputs_of(model, piece.x, options.input)
            if classes is not None:
                called = write.count if piece.names is None else piece.names
                scores = classes(scores, options.input, called)
            write(scores, piece.names)
    if output is not None:
        print(f"{output}: {write.count} rows", file=sys.stderr)
    return 0


def outputs_of(model: Any, x: Any, path: Path) -> Any:
    """A row for each row.

    Errors: ArgumentError for inputs that do not fit the model, and for a model of several outputs.
    """
    facts = f"{path}: rows of {x.dtype} and shape {x.shape[1:]}"
    try:
        scores = model.predict(x)
    except AmbosError as error:
        raise ArgumentError(f"{facts} do not fit the model: {error.message}") from error
    if not isinstance(scores, np.ndarray):
        raise ArgumentError(f"the model gives {type(scores).__name__}; need one output, or a "
                            "program of your own")  # fmt: skip
    if len(scores) != len(x):
        raise ArgumentError(f"{facts} do not fit the model: it gives {len(scores)} outputs for "
                            f"{len(x)} of them; need one each")  # fmt: skip
    return scores


class Lines:
    """Rows as lines of CSV."""

    def __init__(self, file: IO[Any]) -> None:
        self.writer, self.count = csv.writer(file, lineterminator="\n"), 0

    def __call__(self, rows: Any, names: Any) -> None:
        cells = rows.reshape(len(rows), -1).tolist()
        self.writer.writerows(
            cells if names is None else ([n, *r] for n, r in zip(names, cells, strict=True))
        )
        self.count += len(rows)

    def finish(self) -> None:
        """Nothing is missing."""


class Numbers:
    """Rows as a .npy file, whose beginning says how many there are: it is written again."""

    def __init__(self, file: IO[Any]) -> None:
        self.file, self.count, self.first = file, 0, np.empty(0)

    def __call__(self, rows: Any, names: Any) -> None:
        if not self.count:
            self.first = rows[:0]
            self.finish()
        self.file.write(np.ascontiguousarray(rows, self.first.dtype).tobytes())
        self.count += len(rows)

    def finish(self) -> None:
        """NumPy leaves room for more digits, so that the rows stay where they are."""
        facts = np.lib.format.header_data_from_array_1_0(self.first)
        self.file.seek(0)
        facts["shape"] = (self.count, *self.first.shape[1:])
        np.lib.format.write_array_header_1_0(self.file, facts)


@contextmanager
def written(output: Path | None) -> Iterator[Lines | Numbers]:
    """Where rows go: a file that is there when all of them are, or the terminal."""
    if output is None:
        yield Lines(sys.stdout)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(f"{output.name}.part")
    as_text = output.suffix == ".csv"
    try:
        with unfinished.open("w" if as_text else "wb", **TEXT if as_text else {}) as file:
            rows = Lines(file) if as_text else Numbers(file)
            yield rows
            rows.finish()
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
