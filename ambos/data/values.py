"""Columns of a table as the preprocessing layers take them: strings, integers, numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import integer
from ambos.core.dtype import int64
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.tensor.gaps import without_gaps
from ambos.tensor.handle import Tensor

LARGEST = 2**63 - 1


def strings(op: str, values: Any) -> tuple[list[str], tuple[int, ...]]:
    """The strings of a list, an array or a column, one after the other, and their shape.

    Errors: ArgumentError for anything else, with its row; ShapeError for lists of several lengths.

    Example:
        >>> strings("look", [["a", b"b"]])
        (['a', 'b'], (1, 2))
    """
    refuse_tensor(op, values)
    array = _array(op, values, object)
    flat = array.reshape(-1).tolist()
    if set(map(type, flat)) != {str}:
        flat = [_text(op, value, place, array.shape) for place, value in enumerate(flat)]
    return flat, array.shape


def refuse_tensor(op: str, values: Any) -> None:
    """An ArgumentError for a tensor where strings are needed, as that of an `am.Input`."""
    if isinstance(values, Tensor):
        raise ArgumentError(
            f"{op}: got a tensor, and no tensor has strings; need them in the data: "
            "dataset.map(lambda words, target: (lookup(words), target))"
        )


def integers(op: str, values: Any) -> NDArray[np.int64]:
    """The integers of a list, an array or a column; floats that are whole are integers too.

    Errors: ArgumentError for anything else, with its row.

    Example:
        >>> integers("look", [1.0, 2.0])
        array([1, 2])
    """
    array = _plain(op, values, "integers", (int, np.integer), np.int64)
    if array.dtype.kind == "f":
        without_gaps(op, array)
        broken = np.flatnonzero(array.reshape(-1) % 1)
        if len(broken):
            raise ArgumentError(
                f"{op}: {array.reshape(-1)[broken[0]]} in {place_of(int(broken[0]), array.shape)}; "
                "need integers: Discretization makes these of numbers"
            )
    if array.size and (array.max() > LARGEST or array.min() < -LARGEST):
        raise ArgumentError(f"{op}: got {array.max()}; need integers that fit into 64 bits")
    return array.astype(np.int64)


def integer_tensor(op: str, values: Tensor) -> Tensor:
    """Integers as int64.

    Errors: DTypeError for floats, which may be of a model's input that was meant for integers.
    """
    if values.dtype.is_inexact:
        raise DTypeError(f"{op}: got {values.dtype.name}; need integers: x.to('int64'), or "
                         "am.Input(shape, dtype='int64')")  # fmt: skip
    return values.to(int64)


def floats(op: str, values: Any, first_row: int = 0) -> NDArray[Any]:
    """The numbers of a list, an array or a column, as they are.

    Errors: ArgumentError for what is no number, for NaN and infinities, with their rows.
    """
    array = _plain(op, values, "numbers", (int, float, np.integer, np.floating), np.float64)
    without_gaps(op, array, first_row, getattr(values, "columns", None))
    return array


def salted(owner: str, salt: Any) -> tuple[int, int] | None:
    """Two integers; one is both.

    Errors: ArgumentError for anything else.
    """
    if salt is None:
        return None
    pair = salt if isinstance(salt, (tuple, list)) else (salt, salt)
    if len(pair) != 2:
        raise ArgumentError(f"{owner}: salt is {salt!r}; need an integer, or two")
    first, second = (integer(f"{owner}: salt", each) for each in pair)
    return first, second


def texts(op: str, values: Any) -> tuple[list[str], tuple[int, ...]]:
    """Strings, or integers as strings, one after the other, and their shape.

    Errors: ArgumentError for anything else, with its row.

    Example:
        >>> texts("look", [2, -1])
        (['2', '-1'], (2,))
    """
    if _array(op, values).dtype.kind in "OSUT":
        return strings(op, values)
    found = integers(op, values)
    return [str(each) for each in found.reshape(-1).tolist()], found.shape


def place_of(number: int, shape: Sequence[int]) -> str:
    """Where element `number` of an array is, in words.

    Example:
        >>> place_of(5, (3, 2)), place_of(5, (9,))
        ('row 2, column 1', 'row 5')
    """
    if not shape:
        return "the input"
    at = [int(index) for index in np.unravel_index(number, shape)]
    column = f", column {at[1]}" if len(shape) == 2 and shape[1] > 1 else ""
    return f"row {at[0]}{column}"


def _array(op: str, values: Any, dtype: Any = None) -> NDArray[Any]:
    if isinstance(values, Tensor):
        values = values.numpy()
    if isinstance(values, Mapping):
        raise ArgumentError(f"{op}: got a dict of {', '.join(map(str, values))}; need one column: "
                            "dataset.map(lambda row: row[name])")  # fmt: skip
    try:
        return np.asarray(values, dtype)
    except ValueError as error:
        raise ShapeError(f"{op}: got rows of several lengths; need equally many in each") from error


def _plain(
    op: str, values: Any, need: str, kinds: tuple[type, ...], dtype: type[np.generic]
) -> NDArray[Any]:
    """An array of numbers, also of objects that are numbers."""
    array = _array(op, values)
    if array.dtype.kind in "biuf":
        return array
    for number, value in enumerate(array.reshape(-1).tolist()):
        if not isinstance(value, kinds) or array.dtype.kind != "O":
            place = place_of(number, array.shape)
            raise ArgumentError(f"{op}: {value!r:.80} in {place}; need {need}")
    try:
        return array.astype(dtype)
    except OverflowError as error:
        raise ArgumentError(f"{op}: got {max(array.reshape(-1), key=abs)}; need numbers that fit "
                            "into 64 bits") from error  # fmt: skip


def _text(op: str, value: Any, number: int, shape: Sequence[int]) -> str:
    if isinstance(value, str):
        return str(value)
    place = place_of(number, shape)
    if isinstance(value, bytes):
        return decoded(op, value, f"bytes in {place}")
    if isinstance(value, (list, tuple)):
        raise ShapeError(f"{op}: got rows of several lengths; need equally many in each")
    raise ArgumentError(f"{op}: {value!r:.80} in {place}; need strings: str(value) of numbers, and "
                        "some word, as '', where nothing is known")  # fmt: skip


def decoded(op: str, value: bytes, which: str) -> str:
    """The text of bytes, called `which` in the message.

    Errors: ArgumentError for what is no UTF-8.
    """
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ArgumentError(f"{op}: {which} that are no UTF-8 ({error}); need "
                            "value.decode(encoding)") from error  # fmt: skip
