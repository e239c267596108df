"""What `ambos predict` reads: files and folders of any size, some rows at a time."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ambos.cli.sources import Pixels, matrix
from ambos.core.errors import ArgumentError, FormatError, suggest
from ambos.data.columns import check_names
from ambos.data.folders import EXTENSIONS

ROWS, IMAGES = 1024, 64  # of which a piece is made
TABLES = (".npy", ".csv", ".parquet")
TRUTHS = {"true": 1.0, "false": 0.0}


class Piece(NamedTuple):
    """Inputs of the model, and what they are called, where they have names."""

    x: Any
    names: Sequence[str] | None = None


def pieces_of(path: Path, run: Any) -> Iterator[Piece]:
    """The model's inputs, a piece at a time: rows of a file, the columns that the model was trained
    with, or images.

    Errors: ArgumentError, FormatError; also while rows are read, with their line.
    """
    kind = path.suffix.lower()
    if path.is_dir():
        return _images(path, sorted(found for found in path.rglob("*") if is_image(found)), run)
    if not path.is_file():
        raise ArgumentError(f"--input: there is no {str(path)!r}; need a file or folder that is")
    if kind in EXTENSIONS:
        return _images(path, [path], run)
    if kind not in TABLES:
        raise ArgumentError(f"--input is {str(path)!r}; need a name with {', '.join(TABLES)}, an "
                            "image or a folder of images")  # fmt: skip
    readers: dict[str, Callable[[Path, Any], Iterator[Piece]]] = {
        ".npy": _arrays, ".csv": _lines, ".parquet": _columns,
    }  # fmt: skip
    return readers[kind](path, run)


def is_image(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() in EXTENSIONS and path.is_file()


def _arrays(path: Path, run: Any) -> Iterator[Piece]:
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise FormatError(f"{path} is no file of numbers: {error}") from error
    if rows.ndim == 0 or not len(rows):
        raise ArgumentError(f"{path} has the shape {rows.shape}; need rows")
    return (Piece(rows[start : start + ROWS]) for start in range(0, len(rows), ROWS))


def _lines(path: Path, run: Any) -> Iterator[Piece]:
    """Of a CSV file; read here, so that nothing has to be installed and a line can be named."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        try:
            header = next(reader, [])
            wanted = _places(path, header, run.features())
            count = 0
            while rows := [_row(path, reader, header, wanted, cells)
                           for cells in islice(filter(None, reader), ROWS)]:  # fmt: skip
                count += len(rows)
                yield Piece(np.asarray(rows, np.float32))
        except (csv.Error, UnicodeDecodeError) as error:
            raise FormatError(f"{path}, line {reader.line_num + 1}: {error}") from error
    if not count:
        raise FormatError(f"{path} has no rows; need a line of names and then rows")


def _places(path: Path, header: list[str], features: list[str] | None) -> list[int]:
    for name in features or ():
        if name not in header:
            others = [other for other in header if other not in (features or ())]
            raise ArgumentError(f"{path} has no column {name!r}; need all that the model takes: "
                                f"{', '.join(features or ())}{suggest(name, others)}")  # fmt: skip
    check_names(str(path), header, features or header)
    return [header.index(name) for name in features or header]


def _row(
    path: Path, reader: Any, header: list[str], wanted: list[int], cells: list[str]
) -> list[float]:
    if len(cells) != len(header):
        raise FormatError(f"{path}, line {reader.line_num}: {len(cells)} cells; need "
                          f"{len(header)}, as in the first line")  # fmt: skip
    try:
        return [float(cells[place]) for place in wanted]
    except ValueError:
        return [_number(path, reader.line_num, header[place], cells[place]) for place in wanted]


def _number(path: Path, line: int, name: str, cell: str) -> float:
    try:
        return TRUTHS[cell.lower()] if cell.lower() in TRUTHS else float(cell)
    except ValueError:
        raise FormatError(f"{path}, line {line}: column {name!r} is {cell!r}; need a number") from (
            None
        )


def _columns(path: Path, run: Any) -> Iterator[Piece]:
    from ambos.data import from_parquet

    rows, features = from_parquet(path), run.features()
    if not len(rows):
        raise FormatError(f"{path} has no rows; need some")
    for columns in rows.batch(ROWS):
        table = {name: np.asarray(values) for name, values in columns.items()}
        yield Piece(matrix(path, table, features or list(table)))


def _images(path: Path, files: list[Path], run: Any) -> Iterator[Piece]:
    from ambos.data.folders import picture

    if not files:
        raise ArgumentError(f"--input: there are no images in {str(path)!r}; need files that end "
                            f"with {', '.join(EXTENSIONS)}")  # fmt: skip
    as_array, shape = Pixels(run.config["data"].get("size")), None
    for some in _parts(files, IMAGES):
        images = []
        for file in some:
            images.append(as_array(picture(file)))
            shape = shape or images[0].shape
            if images[-1].shape != shape:
                raise ArgumentError(f"{file} has {images[-1].shape[1:]} pixels, {files[0]} "
                                    f"{shape[1:]}; need one size")  # fmt: skip
        yield Piece(np.stack(images), [str(file) for file in some])


def _parts(whole: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (whole[start : start + size] for start in range(0, len(whole), size))
