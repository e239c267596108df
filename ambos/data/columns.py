"""Tables in files: CSV, Parquet and Arrow, read by pyarrow a piece at a time."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import checked
from ambos.core.errors import ArgumentError, FormatError, suggest
from ambos.data.cardinality import UNKNOWN_CARDINALITY
from ambos.data.collate import Empty
from ambos.data.dataset import Dataset
from ambos.data.opened import Handle, library, paths_of
from ambos.data.randomness import Seed
from ambos.data.selection import Selection
from ambos.data.stages import Stage

Columns = dict[str, NDArray[Any]]


def as_columns(table: Any) -> Columns:
    """A piece of a table as NumPy arrays: numbers as they are (a missing one is NaN), text and the
    like as objects, lists of one length as a second axis."""
    return {name: _as_array(table.column(name)) for name in table.schema.names}


def _as_array(column: Any) -> NDArray[Any]:
    chunked = hasattr(column, "combine_chunks")  # always copies, and does not want to be asked
    array: NDArray[Any] = column.to_numpy(**({} if chunked else {"zero_copy_only": False}))
    lists = array.dtype == object and all(isinstance(row, np.ndarray) for row in array)
    if lists and len({row.shape for row in array}) == 1:
        return np.stack(list(array))
    return array


def row_of(columns: Columns, number: int) -> dict[str, Any]:
    """One row, as a dictionary."""
    return {name: array[number] for name, array in columns.items()}


class Pieces(Dataset):
    """Tables of which each piece (a row group, a record batch) is decoded as a whole.

    By index the piece that was used last is at hand; so read in order, or shuffle with a buffer.
    """

    def __init__(self, files: list[Any], columns: Sequence[str] | None) -> None:
        self.files, self.columns = files, columns
        sizes = [(number, piece, size) for number, file in enumerate(files)
                 for piece, size in enumerate(file.sizes())]  # fmt: skip
        self.places = [(number, piece) for number, piece, _ in sizes]
        self.ends = list(itertools.accumulate(size for _, _, size in sizes))
        self._latest: tuple[int, Columns] = (-1, {})

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_latest": (-1, {})}

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def piece(self, place: int) -> Columns:
        """A piece, decoded."""
        if self._latest[0] != place:
            number, piece = self.places[place]
            self._latest = place, as_columns(self.files[number].read(piece, self.columns))
        return self._latest[1]

    def _place(self, index: int) -> tuple[int, int]:
        place = bisect.bisect_right(self.ends, index)
        return place, index - (self.ends[place - 1] if place else 0)

    def __getitem__(self, index: int) -> dict[str, Any]:
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"row {index} of {count}")
        place, number = self._place(index % count)
        return row_of(self.piece(place), number)

    def rows_at(self, indices: NDArray[np.int64], empty: Empty = np.empty) -> dict[str, Any]:
        """Many rows; every piece is decoded once for them."""
        places = np.searchsorted(self.ends, indices, side="right")
        found: dict[str, Any] = {}
        for place in np.unique(places):
            wanted = np.flatnonzero(places == place)
            start = self.ends[place - 1] if place else 0
            for name, array in self.piece(int(place)).items():
                if name not in found:
                    make = empty if array.dtype.kind in "biufc" else np.empty
                    found[name] = make((len(indices), *array.shape[1:]), array.dtype)
                elif found[name].dtype != array.dtype:  # numbers are missing in some pieces only
                    kind = np.result_type(found[name].dtype, array.dtype)
                    found[name] = found[name].astype(kind)
                found[name][wanted] = array[indices[wanted] - start]
        return {name: array.tolist() if array.dtype == object else array
                for name, array in found.items()}  # fmt: skip


class ParquetFile:
    """A Parquet file, whose row groups are its pieces."""

    def __init__(self, path: str, columns: Sequence[str] | None) -> None:
        self.handle = Handle(path, _open_parquet)
        _check_columns("from_parquet", path, columns, self.names())

    def sizes(self) -> list[int]:
        """Rows in each piece."""
        facts = self.handle().metadata
        return [facts.row_group(number).num_rows for number in range(facts.num_row_groups)]

    def read(self, piece: int, columns: Sequence[str] | None) -> Any:
        """A piece as pyarrow's table, of these columns only."""
        chosen = None if columns is None else list(columns)
        try:
            return self.handle().read_row_group(piece, columns=chosen)
        except (OSError, ValueError) as error:  # pyarrow's own are kinds of these
            raise FormatError(f"from_parquet: {self.handle.path}: row group {piece} cannot be "
                              f"read: {error}") from error  # fmt: skip

    def names(self) -> list[str]:
        """The columns."""
        found: list[str] = self.handle().schema_arrow.names
        return found


class ArrowFile:
    """An Arrow (Feather) file, mapped into memory, whose record batches are its pieces."""

    def __init__(self, path: str, columns: Sequence[str] | None) -> None:
        self.handle = Handle(path, _open_arrow)
        _check_columns("from_arrow", path, columns, self.names())

    def sizes(self) -> list[int]:
        """Rows in each piece."""
        reader = self.handle()
        return [reader.get_batch(n).num_rows for n in range(reader.num_record_batches)]

    def read(self, piece: int, columns: Sequence[str] | None) -> Any:
        """A piece, of these columns only."""
        try:
            batch = self.handle().get_batch(piece)
        except (OSError, ValueError) as error:  # as above
            raise FormatError(f"from_arrow: {self.handle.path}: batch {piece} cannot be read: "
                              f"{error}") from error  # fmt: skip
        return batch if columns is None else batch.select(list(columns))

    def names(self) -> list[str]:
        """The columns."""
        found: list[str] = self.handle().schema.names
        return found


def _open_parquet(path: str) -> Any:
    parquet, arrow = library("from_parquet", "pyarrow.parquet", "pyarrow"), library("", "pyarrow")
    try:
        return parquet.ParquetFile(path, memory_map=True)
    except arrow.ArrowInvalid as error:
        raise FormatError(f"from_parquet: {path} is no Parquet file: {error}") from error


def _open_arrow(path: str) -> Any:
    arrow = library("from_arrow", "pyarrow")
    try:
        return arrow.ipc.open_file(arrow.memory_map(path))
    except arrow.ArrowInvalid as error:
        raise FormatError(f"from_arrow: {path} is no Arrow file: {error}") from error


def _check_columns(op: str, path: str, columns: Sequence[str] | None, known: Sequence[str]) -> None:
    for name in columns or ():
        if name not in known:
            raise ArgumentError(f"{op}: {path} has no column {name!r}; need some of "
                                f"{', '.join(known)}{suggest(str(name), known)}")  # fmt: skip
    check_names(f"{op}: {path}", known, columns or known)


def check_names(where: str, known: Sequence[str], wanted: Sequence[str]) -> None:
    """Which column is meant has to be clear.

    Errors: FormatError for a wanted one that several are called.
    """
    for name in wanted:
        if (count := list(known).count(name)) > 1:
            raise FormatError(f"{where}: {count} columns are called {name!r}; need names of their "
                              "own")  # fmt: skip


def _check_texts(path: str, block: Any, given: Mapping[str, Any]) -> None:
    """Refuse what pyarrow takes for bytes because it is no UTF-8, but not what was asked for."""
    for field, column in zip(block.schema, block.columns, strict=True):
        if str(field.type) == "binary" and field.name not in given:
            for number, value in enumerate(column.to_pylist()):
                try:
                    (value or b"").decode("utf-8")
                except UnicodeDecodeError as error:
                    raise FormatError(f"from_csv: {path}: column {field.name!r}, row {number}: "
                                      f"{value!r} is no text ({error.reason}); need UTF-8: write "
                                      "the file again in that encoding") from error  # fmt: skip


class CSV(Stage):
    """Lines of CSV files, read a block at a time, from the beginning."""

    operation = "from_csv"

    def __init__(
        self, paths: list[str], columns: Sequence[str] | None, facts: dict[str, Any]
    ) -> None:
        self.paths, self.columns, self.facts = paths, columns, facts

    @property
    def indexable(self) -> bool:
        return False

    def cardinality(self) -> int:
        return UNKNOWN_CARDINALITY

    def _blocks(self) -> Iterator[tuple[Columns, int]]:
        reader = library("from_csv", "pyarrow.csv", "pyarrow")
        arrow = library("from_csv", "pyarrow")
        facts = dict(self.facts)
        names, delimiter = facts.pop("column_names"), facts.pop("delimiter")
        read = reader.ReadOptions(column_names=names)
        parse = reader.ParseOptions(delimiter=delimiter)
        convert = reader.ConvertOptions(include_columns=list(self.columns or ()), **facts)
        first: list[str] = []
        for path in self.paths:
            count = 0
            try:
                if self.columns:
                    whole = reader.open_csv(path, read, parse)
                    _check_columns("from_csv", path, self.columns, whole.schema.names)
                opened = reader.open_csv(path, read, parse, convert)
                known = opened.schema.names
                check_names(f"from_csv: {path}", known, known)
                first = first or known
                if set(known) != set(first):
                    raise FormatError(_unlike("from_csv", path, known, self.paths[0], first))
                for block in opened:
                    _check_texts(path, block, convert.column_types)
                    yield as_columns(block), block.num_rows
                    count += block.num_rows
            except (arrow.ArrowInvalid, UnicodeDecodeError) as error:
                raise FormatError(f"from_csv: {path}: {error}") from error
            except OSError as error:
                raise FormatError(f"from_csv: {path} cannot be read after {count} rows: "
                                  f"{error}") from error  # fmt: skip

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        blocks = self._blocks()
        return selection.of(row_of(table, n) for table, count in blocks for n in range(count))


def _unlike(op: str, path: str, names: Sequence[str], other: str, others: Sequence[str]) -> str:
    return (f"{op}: {path} has the columns {', '.join(names)}; {other} {', '.join(others)}; need "
            "the same: choose by columns=")  # fmt: skip


def pieces(op: str, files: list[Any], columns: Sequence[str] | None) -> Pieces:
    """The rows of files with the same columns.

    Errors: ArgumentError.
    """
    known = files[0].names()
    for file in files[1:]:
        if columns is None and set(file.names()) != set(known):
            paths = file.handle.path, files[0].handle.path
            raise ArgumentError(_unlike(op, paths[0], file.names(), paths[1], known))
    return Pieces(files, columns)


@checked
def from_parquet(path: Any, columns: Sequence[str] | None = None) -> Dataset:
    """The rows of Parquet files as dictionaries; only `columns` are read.

    Errors: ArgumentError for a missing file or column, FormatError for another kind of file.

    Example:
        >>> import pyarrow as pa, pyarrow.parquet, tempfile
        >>> file = tempfile.NamedTemporaryFile(suffix=".parquet")
        >>> pa.parquet.write_table(pa.table({"x": [1, 2], "name": ["a", "b"]}), file.name)
        >>> from_parquet(file.name)[1]
        {'x': np.int64(2), 'name': 'b'}
    """
    found = paths_of("from_parquet", path)
    return pieces("from_parquet", [ParquetFile(one, columns) for one in found], columns)


@checked
def from_arrow(path: Any, columns: Sequence[str] | None = None) -> Dataset:
    """The rows of Arrow (Feather version 2) files as dictionaries, mapped into memory.

    Errors: ArgumentError for a missing file or column, FormatError for another kind of file.
    """
    found = paths_of("from_arrow", path)
    return pieces("from_arrow", [ArrowFile(one, columns) for one in found], columns)


@checked
def from_csv(
    path: Any, columns: Sequence[str] | None = None, delimiter: str = ",",
    column_names: Sequence[str] | None = None, column_types: Any = None,
) -> Dataset:  # fmt: skip
    """The lines of CSV files as dictionaries, read a block at a time.

    The first line names the columns unless `column_names` does; `column_types` are pyarrow's, for
    columns whose type the first block does not tell.

    Errors: ArgumentError for a missing file, FormatError for lines that do not fit.
    """
    facts = {"delimiter": delimiter, "column_names": column_names, "column_types": column_types}
    return CSV(paths_of("from_csv", path), columns, facts)
