"""Arrays in files: NumPy's own, mapped into memory, and HDF5."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import checked
from ambos.core.errors import ArgumentError, FormatError, IndexingError, ShapeError, suggest
from ambos.data.collate import Empty
from ambos.data.dataset import ArrayDataset, Dataset
from ambos.data.opened import Handle, library, paths_of


class Mapped(ArrayDataset):
    """Arrays in .npy files: pages are read when rows are, and shared by all workers."""

    def __init__(self, paths: list[str], single: bool) -> None:
        self.paths, self.is_single = paths, single
        arrays = []
        for path in paths:
            try:
                arrays.append(np.load(path, mmap_mode="r", allow_pickle=False))
            except (ValueError, OSError, EOFError) as error:
                raise FormatError(f"from_npy: {path} is no file of numbers that NumPy wrote: "
                                  f"{error}") from error  # fmt: skip
        super().__init__(*arrays)

    def _named(self, values: tuple[Any, ...]) -> Any:
        return values[0] if self.is_single else values

    def __reduce__(self) -> Any:
        return Mapped, (self.paths, self.is_single)


@checked
def from_npy(path: Any) -> Dataset:
    """The rows of a .npy file, or tuples of the rows of several, without reading all of it.

    Errors: ArgumentError for a missing file, FormatError for another kind of file.

    Example:
        >>> import tempfile
        >>> file = tempfile.NamedTemporaryFile(suffix=".npy")
        >>> np.save(file.name, np.arange(6).reshape(3, 2))
        >>> from_npy(file.name)[-1].tolist()
        [4, 5]
    """
    return Mapped(paths_of("from_npy", path), not isinstance(path, (list, tuple)))


@checked
def from_npz(path: Any, names: Sequence[str] | None = None) -> ArrayDataset:
    """The arrays of a .npz file as dictionaries with a row of each, read into memory.

    Errors: ArgumentError for a missing file or name, FormatError for another kind of file.
    """
    (found,) = paths_of("from_npz", path)
    arrays = npz_arrays("from_npz", found, names)
    counts = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    _check_counts("from_npz", found, counts)
    return ArrayDataset(**arrays)


def npz_arrays(op: str, path: str, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The arrays of a .npz file, all of them or those of `names`.

    Errors: FormatError for another kind of file; ArgumentError for a name that is not there.
    """
    from zipfile import BadZipFile, is_zipfile

    problem: Any = "it is no archive"
    try:
        if is_zipfile(path):
            # NumPy does not close a file of its own where the archive turns out to be damaged.
            with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                known = list(file.keys())
                for name in names or ():
                    _check_name(op, path, name, known)
                return {name: file[name] for name in names or known}
    except ArgumentError:
        raise
    except (ValueError, OSError, EOFError, TypeError, BadZipFile, zlib.error) as error:
        problem = error
    raise FormatError(f"{op}: {path} is no .npz file of numbers: {problem}; need one that np.savez "
                      "wrote")  # fmt: skip


def _check_counts(op: str, path: str, counts: dict[str, int]) -> int:
    """How many rows all arrays of a file have.

    Errors: ShapeError where some have more.
    """
    if len(set(counts.values())) != 1:
        told = ", ".join(f"{name!r} {count}" for name, count in counts.items()) or "no arrays"
        raise ShapeError(f"{op}: {path} has of rows: {told}; need equally many: choose some by "
                         "names=")  # fmt: skip
    return next(iter(counts.values()))


def _check_name(op: str, path: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise ArgumentError(f"{op}: {path} has no {name!r}; need some of {', '.join(known)}"
                            f"{suggest(str(name), known)}")  # fmt: skip


class HDF5(Dataset):
    """Rows of HDF5 datasets; every process opens the file for itself."""

    def __init__(self, path: str, names: Sequence[str]) -> None:
        self.handle = Handle(path, _open_hdf5)
        file = self.handle()
        known: list[str] = []
        file.visititems(lambda name, item: known.append(name) if hasattr(item, "shape") else None)
        self.names = list(names) or known
        for name in self.names:
            _check_name("from_hdf5", path, name, known)
        counts = {name: len(file[name]) if file[name].shape else 0 for name in self.names}
        self.count = _check_counts("from_hdf5", path, counts)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not -self.count <= index < self.count:
            raise IndexingError(f"from_hdf5: index {index} of {self.count}; need {-self.count} <= "
                                f"index < {self.count}")  # fmt: skip
        return {name: self._read(name, index % self.count) for name in self.names}

    def _read(self, name: str, chosen: Any) -> Any:
        try:
            return self.handle()[name][chosen]
        except OSError as error:
            raise FormatError(f"from_hdf5: {self.handle.path}: {name!r} cannot be read: "
                              f"{error}") from error  # fmt: skip

    def rows_at(self, indices: NDArray[np.int64], empty: Empty = np.empty) -> dict[str, Any]:
        """Many rows in one read of each array; the library wants them sorted and once only."""
        found: dict[str, Any] = {}
        wanted, back = np.unique(indices % self.count, return_inverse=True)
        run = len(wanted) and wanted[-1] - wanted[0] == len(wanted) - 1
        chosen = slice(int(wanted[0]), int(wanted[-1]) + 1) if run else wanted
        for name in self.names:
            read = self._read(name, chosen)
            rows = empty((len(indices), *read.shape[1:]), read.dtype) if (
                read.dtype.kind in "biufc") else np.empty(len(indices), read.dtype)  # fmt: skip
            rows[...] = read[back]
            found[name] = rows
        return found


def _open_hdf5(path: str) -> Any:
    h5py = library("from_hdf5", "h5py")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise FormatError(f"from_hdf5: {path} is no HDF5 file: {error}") from error


@checked
def from_hdf5(path: Any, names: Sequence[str] = ()) -> Dataset:
    """Rows of the arrays of an HDF5 file, as dictionaries; `names` chooses some of them.

    Errors: ArgumentError for a missing file or name, ShapeError for arrays of several lengths,
        FormatError for another kind of file.
    """
    (found,) = paths_of("from_hdf5", path)
    return HDF5(found, names)
