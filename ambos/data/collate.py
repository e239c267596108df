"""Samples become a batch: numbers are stacked, tuples and dictionaries keep their structure."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import checked
from ambos.core.dtype import as_dtype
from ambos.core.errors import ArgumentError, ArgumentTypeError, ShapeError
from ambos.core.program import ALIGNMENT
from ambos.core.shape import row_major
from ambos.runtime.memory import Storage, storage_of
from ambos.runtime.rows import Taking
from ambos.tensor.array import Array
from ambos.tensor.handle import Tensor
from ambos.tensor.values import tensor_on

Empty = Callable[[tuple[int, ...], Any], NDArray[Any]]


def native_empty(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Room in native memory, which `adopted` turns into a tensor without a copy."""
    kind = np.dtype(dtype)
    count = kind.itemsize
    for extent in shape:
        count *= extent
    return Storage(count).numpy(kind, shape)


def adopted(array: NDArray[Any]) -> Tensor:
    """A tensor on an array that nobody else will write to; copied only if it is not aligned."""
    storage = storage_of(array)
    if storage is None:
        address = array.__array_interface__["data"][0]
        if address % ALIGNMENT or not array.flags.c_contiguous or not array.dtype.isnative:
            return Tensor(array)
        storage = Storage.from_address(address, array.nbytes, array)
    shape = array.shape
    return tensor_on(Array(storage, 0, shape, row_major(shape), _dtype_of(array.dtype)))


def kept(array: NDArray[Any]) -> Tensor:
    """A tensor of an array that others hold, too: on its memory if nobody can write there, a copy
    otherwise, since no tensor changes with an array."""
    flags = array.flags
    plain = flags.c_contiguous and flags.aligned and array.dtype.isnative
    if flags.writeable or not plain or not _is_frozen(array):
        return copied(array)
    address, shape = array.__array_interface__["data"][0], array.shape
    storage = Storage.from_address(address, array.nbytes, array, readonly=True)
    return tensor_on(Array(storage, 0, shape, row_major(shape), _dtype_of(array.dtype)))


def _is_frozen(array: NDArray[Any]) -> bool:
    """Is there no way to write to this memory, through what it is a view of neither? So it is with
    arrays that are not writeable, bytes, and files mapped for reading. (Columns of Arrow may lie in
    an array of NumPy's.)"""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return False
        owner = owner.base
    if owner is None:
        return True
    try:
        return memoryview(memoryview(owner).obj).readonly
    except TypeError:  # somebody's memory, of which nothing is known
        return False


def copied(array: NDArray[Any]) -> Tensor:
    """A tensor with memory of its own."""
    kind, shape = array.dtype, array.shape
    kind = kind if kind.isnative else kind.newbyteorder("=")
    storage = Storage(array.nbytes)
    storage.numpy(kind, shape)[...] = array
    return tensor_on(Array(storage, 0, shape, row_major(shape), _dtype_of(kind)))


_dtype_of = cache(as_dtype)  # of NumPy's: asking for the name takes longer than all else here


class Rows:
    """Rows of C-contiguous arrays as tensors: one copy, and the little Python that a batch needs.

    Example:
        >>> rows, order = Rows([np.arange(6).reshape(3, 2)]), np.array([2, 0, 1])
        >>> [tensor.tolist() for tensor in rows(1, 2, order.ctypes.data)]
        [[[0, 1], [2, 3]]]
    """

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        self.take = Taking(arrays, [0] * len(arrays), takes_nan=True)
        self.kinds = [
            (array.itemsize * math.prod(array.shape[1:]), array.shape[1:], row_major(array.shape),
             as_dtype(array.dtype))
            for array in arrays
        ]  # fmt: skip

    def __call__(self, first: int, count: int, order: int) -> list[Tensor]:
        """Those that a list of numbers (int64, which must exist) at the address `order` has from
        place `first` on."""
        made = [Storage(count * nbytes) for nbytes, *_ in self.kinds]
        self.take.aim([storage.address for storage in made])
        self.take(first, count, order)
        return [
            tensor_on(Array(storage, 0, (count, *shape), strides, dtype))
            for storage, (_, shape, strides, dtype) in zip(made, self.kinds, strict=True)
        ]


def tensors(batch: Any, convert: Callable[[NDArray[Any]], Tensor] = adopted) -> Any:
    """Every array of numbers in a batch as a tensor; the rest stays."""
    if isinstance(batch, np.ndarray):
        return convert(batch) if batch.dtype.kind in "biufc" else batch
    if isinstance(batch, np.generic) and batch.dtype.kind in "biufc":
        return convert(np.asarray(batch))
    if isinstance(batch, (tuple, list)):
        return rebuilt(batch, [tensors(value, convert) for value in batch])
    if isinstance(batch, Mapping):
        return like(batch, {key: tensors(value, convert) for key, value in batch.items()})
    return batch


def received(sample: Any) -> Any:
    """What another process has sent, as tensors on the memory in which it arrived. An array that
    stands there twice is copied the second time, since each tensor has memory of its own."""
    known: set[int] = set()

    def convert(array: NDArray[Any]) -> Tensor:
        if id(array) in known:
            return copied(array)
        known.add(id(array))
        return adopted(array)

    return tensors(sample, convert)


def rebuilt(sample: Any, values: list[Any]) -> Any:
    """`values` in a list, tuple or named tuple as `sample` is one."""
    if hasattr(sample, "_fields"):
        return type(sample)(*values)
    if type(sample) is list or not isinstance(sample, list):
        return values if type(sample) is list else tuple(values)
    found = copy.copy(sample)
    found[:] = values
    return found


def like(sample: Mapping[Any, Any], values: dict[Any, Any]) -> Any:
    """`values` in a mapping of the sample's type, where that can be made from one."""
    if type(sample) is dict:
        return values
    try:
        if isinstance(sample, MutableMapping):  # with what else it has: a defaultdict's default
            found = copy.copy(sample)
            found.update(values)
            return found
        return type(sample)(values)  # type: ignore[call-arg]
    except TypeError:
        return values


NUMBERS = (bool, int, float, complex, np.generic)


def as_array(value: Any) -> NDArray[Any] | None:
    """A sample that is numbers as an array, or None: text, images and other objects."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, NUMBERS):
        return np.asarray(value)
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        found: NDArray[Any] = value.detach().cpu().numpy()
        return found
    return None


def stack(
    samples: Sequence[Any], indices: Sequence[int] | None = None, empty: Empty = np.empty,
    path: str = "",
) -> Any:  # fmt: skip
    """A batch of NumPy arrays from samples. `indices`, their numbers, serve messages; `empty` says
    where room for the arrays comes from.

    Errors: ShapeError where samples differ in shape or structure, ArgumentTypeError for what
        cannot be stacked.
    """
    first = samples[0]
    kinds = set(map(type, samples))
    if isinstance(first, (str, bytes)):
        if any(not issubclass(kind, (str, bytes)) for kind in kinds):
            place = next(n for n, one in enumerate(samples) if not isinstance(one, (str, bytes)))
            raise ShapeError(
                f"default_collate: {_number(place, indices)}{path} is "
                f"{type(samples[place]).__name__}, {_number(0, indices)}{path} text; need one kind"
            )
        return list(samples)
    if isinstance(first, NUMBERS) and len(kinds) == 1:
        found = _of_numbers(samples, empty)
        if found is not None:
            return found
    if as_array(first) is not None:
        return _stacked(samples, kinds, indices, empty, path)
    if isinstance(first, Mapping):
        if len(kinds) > 1 or any(sample.keys() != first.keys() for sample in samples):
            _check_alike(samples, indices, path, lambda sample: set(sample), "keys")
        columns = {}
        for key in first:
            column = [sample[key] for sample in samples]
            columns[key] = stack(column, indices, empty, f"{path}[{key!r}]")
        return like(first, columns)
    if isinstance(first, (tuple, list)):
        if len(kinds) > 1 or len(set(map(len, samples))) > 1:
            _check_alike(samples, indices, path, len, "entries")
        return rebuilt(first, [
            stack(column, indices, empty, f"{path}[{place}]")
            for place, column in enumerate(zip(*samples, strict=True))
        ])  # fmt: skip
    raise ArgumentTypeError(_unfit(first, path))


def _are_sequences(samples: Sequence[Any]) -> bool:
    """Are all of them lists of Python's or NumPy's numbers?"""
    return all(type(sample) is list and all(isinstance(one, NUMBERS) for one in sample)
               for sample in samples)  # fmt: skip


def _sequences(samples: Sequence[list[Any]]) -> list[NDArray[Any]]:
    """Lists of numbers as arrays of one dtype, the one that `stack` gives their numbers."""
    numbers = [one for sample in samples for one in sample]
    kind = np.float32 if _is_python(numbers) or not numbers else np.asarray(numbers).dtype
    return [np.asarray(sample, kind) for sample in samples]


def _unfit(value: Any, path: str) -> str:
    kind = type(value).__name__
    where = f"sample{path} is" if path else "a sample is"
    fix = "return arrays, numbers, text, or tuples and dicts of them, or pass collate_fn"
    if value is None:
        fix = "leave it out, return a number such as -1, or pass collate_fn"
    elif type(value).__module__.startswith("PIL."):
        fix = "return np.asarray(image), or pass collate_fn"
    return f"default_collate: {where} {kind}, which cannot be stacked; {fix}"


def _number(place: int, indices: Sequence[int] | None) -> str:
    return f"sample {place if indices is None else int(indices[place])}"


def _check_alike(
    samples: Sequence[Any], indices: Sequence[int] | None, path: str,
    fact: Callable[[Any], Any], what: str, op: str = "default_collate",
) -> None:  # fmt: skip
    """Refuse samples of several structures, or of which `fact` tells several things.

    Errors: ShapeError.
    """
    first = samples[0]
    fix = ": np.array(...) of what is a sequence" if what == "entries" else ""
    for place, sample in enumerate(samples):
        if not isinstance(sample, (Mapping if isinstance(first, Mapping) else (tuple, list))):
            raise ShapeError(
                f"{op}: {_number(place, indices)}{path} is {type(sample).__name__}, "
                f"{_number(0, indices)}{path} {type(first).__name__}; need one structure"
            )
        if fact(sample) != fact(first):
            raise ShapeError(
                f"{op}: {_number(place, indices)}{path} has {what} {fact(sample)}, "
                f"{_number(0, indices)}{path} {fact(first)}; need the same in all samples{fix}"
            )


def _of_numbers(samples: Sequence[Any], empty: Empty) -> NDArray[Any] | None:
    """Numbers of one type as a vector; None for what needs a closer look, as dates and integers
    too large for int64."""
    numbers: NDArray[Any] = np.array(samples)
    is_odd = isinstance(samples[0], int) and numbers.dtype.kind not in "bi"
    if is_odd or numbers.dtype.kind not in "biufc":
        return None
    found = empty(numbers.shape, np.float32 if type(samples[0]) is float else numbers.dtype)
    found[...] = numbers
    return found


def _stacked(
    samples: Sequence[Any], kinds: set[type], indices: Sequence[int] | None, empty: Empty,
    path: str,
) -> NDArray[Any]:  # fmt: skip
    plain = kinds == {np.ndarray}
    arrays: Any = samples if plain else [as_array(sample) for sample in samples]
    first = arrays[0]
    if not plain and any(array is None for array in arrays):
        place = next(n for n, array in enumerate(arrays) if array is None)
        raise ShapeError(
            f"default_collate: {_number(place, indices)}{path} is {type(samples[place]).__name__}, "
            f"{_number(0, indices)}{path} numbers; need one kind"
        )
    if len({array.shape for array in arrays}) > 1:
        place = next(n for n, array in enumerate(arrays) if array.shape != first.shape)
        raise ShapeError(
            f"default_collate: {_number(place, indices)}{path} has shape {arrays[place].shape}, "
            f"{_number(0, indices)}{path} {first.shape}; need one shape in a batch: crop or pad "
            "the samples, use padded_batch, or pass collate_fn"
        )
    if first.dtype.kind not in "biufc":  # dates, text in arrays, objects
        return np.stack(arrays)
    dtypes = {array.dtype for array in arrays}
    dtype = first.dtype if len(dtypes) == 1 else np.result_type(*dtypes)
    if not plain and _is_python(samples):
        dtype = np.dtype(np.float32)
    native = dtype if dtype.isnative else dtype.newbyteorder("=")
    room = empty((len(arrays), *first.shape), native)
    if first.ndim:  # what np.stack does, without its checks
        np.concatenate([array[None] for array in arrays], out=room, casting="unsafe")
    else:
        room[...] = arrays
    return room


def _is_python(samples: Sequence[Any]) -> bool:
    """Python's own numbers, some with a fraction: float32, as in am.tensor."""
    return any(type(sample) is float for sample in samples) and all(
        type(sample) in (float, int, bool) for sample in samples
    )


def padded(
    samples: Sequence[Any], padding: float = 0, indices: Sequence[int] | None = None, path: str = ""
) -> Any:
    """Samples stacked, with arrays and lists of numbers padded at their ends to the largest of each
    axis. `indices`, their numbers, serve messages.

    Errors: ShapeError where arrays differ in the number of axes, or samples in structure.

    Example:
        >>> padded([[1, 2], [3]]).tolist()
        [[1, 2], [3, 0]]
    """
    first = samples[0]

    def alike(fact: Callable[[Any], Any], what: str) -> None:
        _check_alike(samples, indices, path, fact, what, "padded_batch")

    if isinstance(first, dict):
        alike(set, "keys")
        return {
            key: padded([sample[key] for sample in samples], padding, indices, f"{path}[{key!r}]")
            for key in first
        }
    if _are_sequences(samples):
        samples = _sequences(samples)
    elif isinstance(first, (tuple, list)):
        alike(len, "entries")
        return rebuilt(first, [
            padded(column, padding, indices, f"{path}[{place}]")
            for place, column in enumerate(zip(*samples, strict=True))
        ])  # fmt: skip
    arrays = [as_array(sample) for sample in samples]
    if any(array is None or not array.ndim for array in arrays):
        return stack(samples, indices, path=path)
    found: list[Any] = arrays
    if len({array.ndim for array in found}) > 1:
        return stack(found, indices, path=path)  # which says what is wrong
    shape = [max(sizes) for sizes in zip(*(array.shape for array in found), strict=True)]
    dtype = np.result_type(*found)
    bounds = np.iinfo(dtype) if dtype.kind in "iu" else None
    if bounds and (padding % 1 or not bounds.min <= padding <= bounds.max):
        raise ArgumentError(f"padded_batch: padding is {padding}, which no {dtype} can be; need "
                            "another one, or arrays of another dtype")  # fmt: skip
    batch = np.full((len(found), *shape), padding, dtype)
    for row, array in zip(batch, found, strict=True):
        row[tuple(slice(0, size) for size in array.shape)] = array
    return batch


@checked
def default_collate(batch: Sequence[Any]) -> Any:
    """A batch of tensors from a list of samples, as PyTorch's function of this name.

    Arrays, tensors and numbers are stacked, text becomes a list, tuples, named tuples, lists and
    dictionaries keep their structure.

    Dtypes: Python floats become float32, ints int64; arrays keep theirs.
    Errors: ShapeError where samples differ in shape or structure, ArgumentTypeError for what cannot
        be stacked.

    Example:
        >>> x, names = default_collate([(np.zeros(3), "a"), (np.ones(3), "b")])
        >>> x.shape, names
        ((2, 3), ['a', 'b'])
    """
    samples: Any = batch
    kind = type(batch).__name__
    if not isinstance(samples, Sequence) or not samples:
        raise ArgumentTypeError(
            f"default_collate: got {'no samples' if isinstance(samples, list) else kind}; need "
            "a list of at least one sample"
        )
    return tensors(stack(batch, None, native_empty))


@checked
def default_convert(data: Any) -> Any:
    """The arrays in one sample as tensors, the rest as it is (PyTorch's function).

    Arrays are copied unless nobody can write to them: those that are not writeable
    (`array.flags.writeable = False`), and rows of files that are mapped for reading, lend their
    memory.

    Example:
        >>> default_convert({"x": np.arange(3), "name": "a"})
        {'x': tensor([0, 1, 2]), 'name': 'a'}
    """
    return tensors(data, kept)
