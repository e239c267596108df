"""Where examples come from: arrays in memory, or anything with a length and an index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import positive
from ambos.core.errors import (
    ArgumentError,
    ArgumentTypeError,
    FormatError,
    IndexingError,
    ShapeError,
)
from ambos.data.cardinality import UNKNOWN_CARDINALITY
from ambos.data.fluent import Fluent
from ambos.data.indices import numbers_in, place_in
from ambos.data.randomness import Late, Seed, begin, end
from ambos.data.selection import Selection
from ambos.data.values import strings
from ambos.tensor.handle import Tensor

Array = NDArray[Any]


class Dataset(Fluent):
    """Base for examples of your own: define `__len__` and `__getitem__`.

    Every dataset has the stages of a pipeline as methods: `map`, `batch`, `shuffle`, ...

    Example:
        >>> class Squares(Dataset):
        ...     def __len__(self):
        ...         return 5
        ...
        ...     def __getitem__(self, index):
        ...         return index * index
        >>> list(Squares().map(lambda x: x + 1))
        [1, 2, 5, 10, 17]
    """

    epoch = 0  # what is read by index belongs to this pass
    next_epoch = 0  # the next `for` loop's
    latest: Place | None = None  # where the latest pass is
    resumed: Place | None = None  # where the next one begins, if not at the beginning
    sources: tuple[Any, ...] = ()  # where a stage takes its elements from

    def __len__(self) -> int:
        raise ArgumentTypeError(f"{type(self).__name__}: has no __len__; need the number of "
                                "examples")  # fmt: skip

    def cardinality(self) -> int:
        """The number of elements, or `am.data.INFINITE_CARDINALITY` where they do not end, or
        `am.data.UNKNOWN_CARDINALITY` where only reading them tells, as after `filter`.

        Example:
            >>> numbers = Dataset.range(5)
            >>> numbers.batch(2).cardinality(), numbers.repeat().cardinality()
            (3, -1)
        """
        try:
            return len(self)
        except TypeError:
            return UNKNOWN_CARDINALITY

    def __getitem__(self, index: int) -> Any:
        raise ArgumentError(f"{type(self).__name__}: has no __getitem__; need example `index`")

    def __class_getitem__(cls, kind: Any) -> type:  # Dataset[T], as PyTorch's are written
        return cls

    @property
    def indexable(self) -> bool:
        """Can any example be read by its number?"""
        return True

    @property
    def batched(self) -> bool | None:
        """Are the elements batches? None where only they can tell, as those of a generator."""
        if self.sources:
            found = {getattr(source, "batched", False) for source in self.sources}
            return found.pop() if len(found) == 1 else None
        return False if self.indexable else None

    def __iter__(self) -> Iterator[Any]:
        return Cursor(self)

    def state_dict(self) -> dict[str, Any]:
        """Where the latest pass is: what comes after it is decided by this alone."""
        return (self.resumed or self.latest or Place(self.next_epoch)).state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The next `for` loop goes on where `state_dict` was called, with the next element.

        Errors: FormatError for what is no such state.
        """
        self.resumed = Place.of(state)
        self.next_epoch = self.resumed.epoch

    def set_epoch(self, epoch: int) -> None:
        """The next pass is this epoch: what is shuffled or random follows it."""
        epoch = positive(f"{type(self).__name__}.set_epoch: epoch", epoch, least=0)
        self.epoch = self.next_epoch = epoch
        self.latest = self.resumed = None
        for source in self.sources:
            if hasattr(source, "set_epoch"):
                source.set_epoch(epoch)

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        """The selected elements of an epoch, for stages of a pipeline and for the DataLoader."""
        count, self.epoch = len(self), epoch
        for number in selection.numbers():
            if number >= count:
                return
            begun = begin(seed, epoch, number)
            try:
                element = self[number]
            finally:
                end(begun)
            yield element


class Cursor:
    """One pass over a dataset, which can be left and gone on with elsewhere.

    Example:
        >>> numbers = Dataset.range(4)
        >>> first = iter(numbers)
        >>> next(first), next(first)
        (np.int64(0), np.int64(1))
        >>> again = iter(numbers)
        >>> again.load_state_dict(first.state_dict())
        >>> list(again) == list(first)
        True
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.place = dataset, dataset.resumed or Place(dataset.next_epoch)
        dataset.latest, dataset.resumed = self.place, None
        dataset.next_epoch = self.place.epoch + 1
        self._elements: Iterator[Any] | None = None

    def __iter__(self) -> Cursor:
        return self

    def __next__(self) -> Any:
        place = self.place
        if self._elements is None:
            begin_at = Selection(place.position)
            self._elements = self.dataset.stream(place.epoch, place.seed, begin_at)
        try:
            element = next(self._elements)
        except StopIteration:
            place.is_finished = True
            raise
        place.position += 1
        return element

    def close(self) -> None:
        """End threads that prepare elements, now rather than when this is collected."""
        self._elements = None

    def state_dict(self) -> dict[str, Any]:
        """The place in the pass."""
        return self.place.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the element after those that were read when `state_dict` was called.

        Errors: FormatError for what is no such state.
        """
        place = Place.of(state)
        self.close()
        self.place = self.dataset.latest = place
        self.dataset.next_epoch = place.epoch + 1


class Place:
    """How far a pass has come."""

    def __init__(self, epoch: int, position: int = 0, seed: int | None = None) -> None:
        self.epoch, self.position, self.seed = epoch, position, Late(seed)
        self.is_finished = False

    def state_dict(self) -> dict[str, Any]:
        """As plain numbers; the end of an epoch is the beginning of the next. A seed that nobody
        has asked for stays undrawn: to save changes nothing."""
        if self.is_finished:
            return {"epoch": self.epoch + 1, "position": 0, "seed": None}
        return {"epoch": self.epoch, "position": self.position, "seed": self.seed.seed}

    @staticmethod
    def of(state: Mapping[str, Any]) -> Place:
        """From `state_dict`.

        Errors: FormatError for anything else.
        """
        try:
            seed = state["seed"]
            place = Place(int(state["epoch"]), int(state["position"]),
                          None if seed is None else int(seed))  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"load_state_dict: got {state!r:.80}; need what state_dict() gave"
            ) from error
        if place.epoch < 0 or place.position < 0:
            raise FormatError("load_state_dict: epoch or position is negative")
        return place


class IterableDataset(Dataset):
    """Base for streams of your own: define `__iter__`.

    In a DataLoader with workers each of them takes every n-th batch, so that nothing comes twice;
    a dataset whose `__iter__` asks `am.data.get_worker_info()` shares by itself, as in PyTorch.

    Example:
        >>> class Countdown(IterableDataset):
        ...     def __iter__(self):
        ...         return iter([3, 2, 1])
        >>> list(Countdown())
        [3, 2, 1]
    """

    def __iter__(self) -> Iterator[Any]:
        raise ArgumentError(f"{type(self).__name__}: has no __iter__; need one that gives examples")

    @property
    def state_dict(self) -> Any:  # not there, unless a subclass has one
        raise AttributeError(f"{type(self).__name__}: a DataLoader knows where a stream is; or "
                             "define state_dict and load_state_dict")  # fmt: skip

    @property
    def indexable(self) -> bool:
        return False

    def __getitem__(self, index: int) -> Any:
        raise ArgumentTypeError(
            f"{type(self).__name__}: is a stream and has no index; need `for` or next(iter(...))"
        )

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        self.set_epoch(epoch)
        return selection.of(self)


class ArrayDataset(Dataset):
    """Arrays with one row for each example, kept as NumPy arrays.

    Positional arrays make tuples, named ones dictionaries. Columns of strings may be among them;
    those of a batch are a list.

    Errors: ShapeError unless all have equally many rows.

    Example:
        >>> data = ArrayDataset(np.zeros((3, 2)), np.arange(3))
        >>> len(data), data[2]
        (3, (array([0., 0.]), np.int64(2)))
    """

    def __init__(self, /, *arrays: Any, **named: Any) -> None:
        if bool(arrays) == bool(named):
            what = "both positional and named arrays" if arrays else "no arrays"
            raise ArgumentError(f"ArrayDataset: got {what}; need at least one, all of one kind")
        self.names = tuple(named)
        self.arrays = arrays or tuple(named.values())

    @property
    def arrays(self) -> tuple[Array, ...]:
        """The columns."""
        return self._arrays

    @arrays.setter
    def arrays(self, given: Iterable[Any]) -> None:
        if not isinstance(given, (tuple, list)) or (self.names and len(given) != len(self.names)):
            count = len(self.names) or "some"
            raise ArgumentError(
                f"ArrayDataset: arrays is {type(given).__name__}; need a tuple of {count} columns"
            )
        columns = tuple(_column(array) for array in given)
        counts = [len(array) for array in columns]
        if len(set(counts)) != 1:
            rows = " and ".join(map(str, counts)) or "no"
            raise ShapeError(f"ArrayDataset: the arrays have {rows} rows; need equally many")
        self._arrays = columns

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} elements>"

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> Any:
        if type(index) is int or not _are_several(index):
            index = place_in("ArrayDataset", index, len(self))
        elif isinstance(index, Tensor):
            index = index.numpy()
        return self._named(tuple(array[index] for array in self.arrays))

    @property
    def contiguous(self) -> bool:
        """Are all arrays numbers, with their rows one after the other?"""
        return all(a.flags.c_contiguous and a.dtype.kind != "O" for a in self.arrays)

    def _named(self, values: tuple[Any, ...]) -> Any:
        return dict(zip(self.names, values, strict=True)) if self.names else values

    def rows_at(self, indices: Array, empty: Callable[..., Array] = np.empty) -> Any:
        """Several examples at once, in room from `empty`.

        Errors: IndexingError for rows that are not there.
        """
        count, indices = len(self), numbers_in("ArrayDataset", indices)
        if len(indices) and not -count <= indices.min() <= indices.max() < count:
            raise IndexingError(f"ArrayDataset: rows {indices.min()} to {indices.max()} of {count}"
                                " examples; need rows that exist")  # fmt: skip
        found: list[Any] = []
        for array in self.arrays:
            if array.dtype.kind == "O":  # text
                found.append(array[indices].tolist())
                continue
            rows = empty((len(indices), *array.shape[1:]), array.dtype)
            if array.flags.c_contiguous:
                array.take(indices, 0, rows, "wrap")
            else:  # `take` would copy all of it
                rows[...] = array[indices]
            found.append(rows)
        return self._named(tuple(found))


def _are_several(index: Any) -> bool:
    """Does it choose several rows at once, as that of PyTorch's TensorDataset may?"""
    return isinstance(index, (slice, list)) or bool(getattr(index, "shape", ()))


class Slices(ArrayDataset):
    """The rows of one array, each an example by itself."""

    def _named(self, values: tuple[Any, ...]) -> Any:
        return values[0]


def rows_of(dataset: Any) -> Callable[..., Any] | None:
    """How a dataset gives many examples at once, if it can."""
    found: Callable[..., Any] | None = getattr(dataset, "rows_at", None)
    return found


TensorDataset = ArrayDataset  # PyTorch's name


def _other_columns(table: Any) -> str:
    """Which columns of a table of pandas have no numbers, for a message."""
    kinds: Any = getattr(table, "dtypes", None)
    named = kinds.items() if hasattr(kinds, "items") else ()
    others = ", ".join(repr(name) for name, kind in named if kind.kind not in "biuf")
    fix = "leave them out, or make numbers of them: pandas.get_dummies does of classes"
    return f", and these columns have none: {others}; {fix}" if others else ""


def as_rows(value: Any) -> Array:
    """`value` as a NumPy array with at least one axis: arrays, tensors (also torch's), lists."""
    array = _as_array(value)
    if array.dtype.kind not in "biuf":
        raise ArgumentError(
            f"data: got {type(value).__name__} ({array.dtype}); need numbers"
            f"{_other_columns(value) or _words(array)}"
        )
    if array.ndim == 0:
        raise ShapeError("data: got a single number; need one row for each example")
    # Kernels read numbers as this machine has them.
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _words(array: Array) -> str:
    first = array.reshape(-1)[0] if array.size else None
    if not isinstance(first, (str, bytes)):
        return ""
    is_sentence = len(first.split()) > 1
    return (": am.data.TextVectorization makes these of sentences" if is_sentence
            else ": am.data.StringLookup makes these of words")  # fmt: skip


def _column(value: Any) -> Array:
    """Numbers as `as_rows` has them; strings as an array of objects."""
    array = _as_array(value)
    is_table = hasattr(value, "columns")  # of pandas, in which some column has no numbers
    first = array.reshape(-1)[0] if array.ndim and array.size and not is_table else None
    if not isinstance(first, (str, bytes)):
        return as_rows(value)
    flat, shape = strings("data", value)
    found = np.empty(shape, object)
    found.reshape(-1)[:] = flat
    return found


def _as_array(value: Any) -> Array:
    if isinstance(value, Tensor):
        return value.numpy()
    if type(value).__module__.partition(".")[0] == "torch":
        found: Array = value.detach().cpu().numpy()
        return found
    array = np.asarray(value)
    given = isinstance(value, np.ndarray) or hasattr(value, "dtype")
    # Python numbers are float32, as in am.tensor.
    return array if array.dtype != np.float64 or given else array.astype(np.float32)
