"""Where batches come from: arrays in memory, or anything that can be iterated.

A batch is a tuple: (x,), (x, y) or (x, y, sample_weight), each a tensor or a tree of tensors;
(x, None) where x alone came in a tuple. `handed` and `parts_in` say what steps make of it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core import tree
from ambos.core.dtype import DType
from ambos.core.errors import AmbosError, ArgumentError, ShapeError, depth_of_user, user_line
from ambos.data.cardinality import INFINITE_CARDINALITY, cardinality_of
from ambos.data.collate import copied
from ambos.data.dataset import as_rows
from ambos.data.loader import DataLoader
from ambos.data.randomness import fresh_seed
from ambos.data.row_spans import has_rows, spans
from ambos.data.samplers import permutation
from ambos.tensor.handle import Tensor
from ambos.train.buffers import Columns
from ambos.train.finite import has_finite, host_name, narrowed, refuse_nan

Batch = tuple[Any, ...]
PARTS = ("x", "y", "sample_weight")
BATCH = re.compile(r"\b(batch \d+ of \w+(?: \d+)?)")
END = object()  # of an iterator
ENDING = re.compile(r" \[([^\[\]]*:\d+[^\[\]]*)\]$")  # the user's line, which ends a message


class Source:
    """Batches, again for each epoch. `op` and `name` are what messages say of it.

    A pass over the data is an epoch, unless there is a `limit`: then so many batches are, an epoch
    goes on where the last one stopped, and one in which a pass comes to its end is short.
    """

    op = "fit"
    name = "x"
    limit: int | None = None
    once: Iterator[Any] | None = None  # what can be read once: that is the only pass
    turn: int | None = None  # the pass that epochs of `limit` batches are parts of
    taken = 0  # batches of it that were handed out
    begun = 0  # those of epochs before
    under_way: Iterator[Batch] | None = None  # the rest of it

    def length(self) -> int | None:
        """The number of batches of a pass, where it is known beforehand."""
        raise NotImplementedError

    def one_pass(self, turn: int, start: int) -> Iterator[Batch]:
        """The batches of a pass, from number `start` on."""
        raise NotImplementedError

    @property
    def steps(self) -> int | None:
        """The number of batches of an epoch that is not cut short, where it is known."""
        return self.length() if self.limit is None else self.limit

    def count(self) -> int | None:
        """The number of batches of the epoch that was begun last, where it is certain: loaders may
        go on in the middle, and samplers give more or fewer than they say."""
        return None

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from number `start` on."""
        if self.limit is None:
            return self.one_pass(epoch, start)
        if self.turn is None:
            self.turn, self.taken = epoch, start
        elif self.taken == self.length() and not start and self.once is None:
            more = self._next()  # loaders count a pass that is read to its end
            if more is None:
                self._turn()
            else:
                self.under_way = chain([more], self.under_way or ())
        self.begun = self.taken - start
        if start and self.under_way is None:  # now, before a validation reads the same loader
            self.under_way = self.one_pass(self.turn or 0, self.taken)
        return self._part(epoch, start, self.limit)

    def _part(self, epoch: int, start: int, limit: int) -> Iterator[Batch]:
        """What comes next, up to `limit` batches in this epoch."""
        for number in range(start, limit):
            batch = self._next()
            if batch is None and not number and self.taken and self.once is None:
                # so the last epoch ended with the pass
                self._turn()
                batch = self._next()
            if batch is None:
                self.ran_out(epoch, number, limit)
                self._turn()
                return
            self.taken += 1
            yield batch
            del batch

    def _next(self) -> Batch | None:
        if self.under_way is None:
            self.under_way = self.one_pass(self.turn or 0, self.taken)
        return next(self.under_way, None)

    def taken_from(
        self, columns: Columns, order: NDArray[np.int64] | None, spans: Iterable[tuple[int, int]],
        number: int,
    ) -> Generator[Batch, None, int]:  # fmt: skip
        """Batch `number` of a pass and those after it: (first, count) of each, in `order`. Returns
        the number after the last."""
        address = None if order is None else order.__array_interface__["data"][0]
        for first, count in spans:
            try:
                batch = columns.batch(first, count, address)
            except ArgumentError as error:
                raise placed(error, f"batch {number - self.begun} of {self.name}") from None
            yield batch
            del batch  # a batch that nobody holds gives its memory to a later one
            number += 1
        return number

    def _turn(self) -> None:
        """Begin the next pass."""
        self.turn, self.taken, self.begun = (self.turn or 0) + 1, 0, 0
        self.under_way = None

    @property
    def trains(self) -> bool:
        """Are these the batches of a training, which has epochs?"""
        return self.op in ("fit", "loop") and self.name == "x"

    def ran_out(self, epoch: int, number: int, limit: int) -> None:
        """Say that a pass ended after so many batches of an epoch."""
        said = f"; epoch {epoch} is short, the next one begins anew" if self.trains else ""
        warnings.warn(
            f"{self.op}: {self.name} ran out of batches after {number} of {limit}: it has "
            f"{self.taken} in all{said}",
            stacklevel=depth_of_user(),
        )

    def rewind(self) -> None:
        """The next epoch begins with the first batch."""
        self.turn, self.taken, self.under_way = None, 0, None

    def close(self) -> None:
        """Let go of a pass that is under way."""
        self.under_way = None

    def state_dict(self) -> dict[str, Any]:
        """What is needed to see the same batches again."""
        return {} if self.limit is None else {"turn": self.turn, "taken": self.taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the batches of `state_dict`."""
        self.turn, self.taken = state.get("turn"), state.get("taken", 0)
        self.under_way = None


class Arrays(Source):
    """Rows of arrays, shuffled by a seed: epoch e of seed s has the same order everywhere. Parts
    that have `names` are looked at for NaN on the way, where that takes no time."""

    def __init__(
        self, parts: Batch, batch_size: int, shuffle: bool, seed: int | None, op: str,
        limit: int | None = None, names: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.op, self.limit, self.batch_size = op, limit, batch_size
        self.columns = Columns(parts, op, names)
        self.rows = len(self.columns)
        self.seed = fresh_seed() if shuffle and seed is None else seed
        self.shuffle = shuffle

    def length(self) -> int:
        return -(-self.rows // self.batch_size)

    def count(self) -> int:
        whole = self.length()
        return whole if self.limit is None else min(self.limit, whole - self.begun)

    def one_pass(self, turn: int, start: int) -> Iterator[Batch]:
        size, rows = self.batch_size, self.rows
        order = permutation(self.seed or 0, turn, rows) if self.shuffle else None
        spans = ((first, min(size, rows - first)) for first in range(start * size, rows, size))
        return self.taken_from(self.columns, order, spans, start)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "seed": self.seed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.seed = state["seed"]


class Stream(Source):
    """Batches of an iterable, a Dataset of batches or a loader, as tensors. An iterator can be read
    once: that is its only pass. Targets may be missing unless they are `paired`, and are not read
    unless the batch is taken `whole`."""

    def __init__(
        self, source: Any, dtype: DType, op: str, limit: int | None = None, name: str = "x",
        takes_nan: bool = False, whole: bool = True, check: Any = None, paired: bool = True,
    ) -> None:  # fmt: skip
        if not hasattr(source, "__iter__") and not hasattr(source, "__getitem__"):
            raise ArgumentError(
                f"{op}: got {type(source).__name__}; need arrays or an iterable of batches"
            )
        if whole and limit is None and cardinality_of(source) == INFINITE_CARDINALITY:
            steps = "validation_steps" if name == "validation_data" else "steps_per_epoch"
            raise ArgumentError(
                f"{op}: {name} goes on without end; need {steps if op == 'fit' else 'steps'}, the "
                "number of batches after which to stop"
            )
        self.source, self.dtype, self.op, self.limit, self.name = source, dtype, op, limit, name
        self.takes_nan, self.whole, self.paired = takes_nan, whole, paired
        self.check = check  # of a first batch
        self.once = iter(source) if hasattr(source, "__next__") else None
        self.is_placed = False  # is the source itself where a resumed training goes on?
        self.place: Any = None  # of the pass over a loader that is under way
        self.later: Any = None  # the loader's state after that pass, where others have begun more

    def length(self) -> int | None:
        try:
            return len(self.source)
        except TypeError:
            return None

    def one_pass(self, turn: int, start: int) -> Iterator[Batch]:
        number, self.is_placed = start if self.is_placed else 0, False
        if self._has_rows():
            self.place = self.source.passes.begin(self.source.sampler)
            batches = self._rows(number, start)
        else:
            found = iter(self.source) if self.once is None else self.once
            self.place = self.source.passes.latest if isinstance(self.source, DataLoader) else None
            batches = self._read(found, number, start)
        if self.later is not None:
            self.source.load_state_dict(self.later)
            self.later = None
        return batches

    def _read(self, found: Iterator[Any], number: int, start: int) -> Iterator[Batch]:
        """Batches from `start` on of what gives batch `number` next."""
        while (batch := next(found, END)) is not END:
            number += 1
            if self.check is not None:
                self.check(batch)
                self.check = None
            parts = self._parts(batch, number - 1 - self.begun) if number > start else None
            del batch  # `for` and `enumerate` would hold it while the next one is made
            if parts is not None:
                yield parts
            del parts
        if not number:
            raise self._empty()

    def _has_rows(self) -> bool:
        """Is it a loader of rows of arrays? These are taken as if the arrays had been given."""
        loader = self.source
        return (
            type(loader) is DataLoader and has_rows(loader) and self.whole
            and not loader.dataset.names and len(loader.dataset.arrays) in (2, 3)
        )  # fmt: skip

    def _rows(self, number: int, start: int) -> Iterator[Batch]:
        """The same of such a loader."""
        loader, names = self.source, () if self.takes_nan else PARTS
        columns = Columns(loader.dataset.arrays, self.op, names, self.dtype)
        if self.check is not None:
            self.check(columns.arrays)
            self.check = None
        self.place.batch += start - number
        order, left = spans(loader, self.place)
        if not (yield from self.taken_from(columns, order, left, start)):
            raise self._empty()

    def _empty(self) -> ArgumentError:
        fix = "; need at least one"
        if self.once is not None:
            fix = (" left; a generator can be read once: need a list, a DataLoader, or "
                   "steps_per_epoch with a generator that does not end")  # fmt: skip
        return ArgumentError(f"{self.op}: {self.name} has no batches{fix}")

    def ran_out(self, epoch: int, number: int, limit: int) -> None:
        if self.once is None:
            super().ran_out(epoch, number, limit)
            return
        after, needed = f"{self.taken} batches", str(limit)
        if self.trains:
            after = f"batch {number - 1} of epoch {epoch}" if number else f"epoch {epoch - 1}"
            needed = f"{limit} batches in every epoch"
        raise ArgumentError(
            f"{self.op}: {self.name} ended after {after}; need {needed}: a source that goes on, "
            "or fewer steps"
        )

    def _parts(self, batch: Any, number: int) -> Batch:
        is_pair = isinstance(batch, (tuple, list)) and 2 <= len(batch) <= 3
        is_alone = not isinstance(batch, (tuple, list)) or len(batch) == 1
        if self.whole and not is_pair and (self.paired or not is_alone):
            raise ArgumentError(
                f"{self.op}: batch {number} of {self.name} is {type(batch).__name__}"
                + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else "")
                + "; need pairs (x, y), or (x, y, sample_weight)"
                + _mapped(batch)
            )
        parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
        if not self.whole:
            parts = parts[:1] if len(parts) in (2, 3) else parts
        try:
            found = tuple(
                self._ready(part, name)
                if isinstance(part, Tensor)
                else tree.map(lambda leaf, name=name: self._ready(leaf, name), _grouped(part))
                for name, part in zip(PARTS, parts, strict=False)
                if part is not None
            )
            if self.whole and is_alone and isinstance(batch, (tuple, list)):
                found = (*found, None)  # a step gets (x,) then, as in Keras, and x where that came
        except AmbosError as error:
            raise placed(error, f"batch {number} of {self.name}") from None
        except ValueError as error:
            raise ShapeError(
                f"{self.op}: batch {number} of {self.name} is no array ({error}); need rows of one "
                "shape"
            ) from None
        if not found:
            raise ArgumentError(
                f"{self.op}: batch {number} of {self.name} has no inputs (None); need an array, or "
                "pairs (x, y)"
            )
        if self.whole and not size_of(found):  # a mean over nothing is NaN
            raise ArgumentError(
                f"{self.op}: batch {number} of {self.name} has no rows; need at least one example "
                "in every batch"
            )
        return found

    def _ready(self, value: Any, name: str) -> Tensor:
        """A tensor; float64, NumPy's default, becomes the model's dtype."""
        if isinstance(value, Tensor):
            if not self.takes_nan and not has_finite(value, host_name(self.dtype)):
                refuse_nan(narrowed(np.atleast_1d(value), self.dtype), name, self.op)
            return value
        rows = narrowed(value, self.dtype)
        if not self.takes_nan:
            refuse_nan(rows, name, self.op)
        return copied(rows)

    def state_dict(self) -> dict[str, Any]:
        source, state = self.source, super().state_dict()
        if hasattr(source, "state_dict"):
            state["source"] = source.state_dict()
        place = self.place
        if place is None or place.finished or place is source.passes.latest:
            return state
        return state | {"source": source.state_at(place), "later": state["source"]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if "source" in state:
            self.source.load_state_dict(state["source"])
            self.later, self.is_placed = state.get("later"), True


def _mapped(batch: Any) -> str:
    """How rows of a table become pairs."""
    if not isinstance(batch, Mapping) or len(batch) < 2:
        return ""
    first, *_, last = batch
    return f": dataset.map(lambda row: (row[{first!r}], row[{last!r}]))"


def _grouped(part: Any) -> Any:
    """Several inputs as a tuple; a nest of numbers is one array."""
    if isinstance(part, (tuple, list)) and any(hasattr(value, "shape") for value in part):
        return tuple(part)
    if isinstance(part, Mapping):
        return dict(part)
    return part if isinstance(part, Tensor) or hasattr(part, "__array__") else as_rows(part)


def is_arrays(x: Any) -> bool:
    """Is `x` data itself, rather than an iterable of batches?"""
    if isinstance(x, (Tensor, np.ndarray)) or hasattr(x, "__array__"):
        return True
    if isinstance(x, Mapping):
        return all(is_arrays(value) for value in x.values())
    if not isinstance(x, (list, tuple)):
        return False
    if not x:
        return True  # no rows
    return not isinstance(x[0], (list, tuple, Mapping)) or not _is_nest_of_arrays(x[0])


def _is_nest_of_arrays(batch: Any) -> bool:
    first = next(iter(batch.values() if isinstance(batch, Mapping) else batch), None)
    if isinstance(first, (tuple, list, Mapping)) and not hasattr(first, "shape"):
        return _is_nest_of_arrays(first)
    return hasattr(first, "shape")


def columns_of(value: Any, dtype: DType, op: str, name: str, takes_nan: bool = False) -> Any:
    """Arrays of one argument, in their tree: rows, floating ones in the model's dtype."""
    if isinstance(value, Mapping):
        return {
            key: columns_of(each, dtype, op, f"{name}[{key!r}]", takes_nan)
            for key, each in value.items()
        }
    if value is None:  # of an output that has none
        return None
    if isinstance(value, (tuple, list)):
        parts = [part for part in value if part is not None]
        if parts and all(hasattr(part, "shape") and len(part.shape) for part in parts):
            return tuple(
                columns_of(each, dtype, op, f"{name}[{place}]", takes_nan)
                for place, each in enumerate(value)
            )
    try:
        rows = narrowed(value, dtype)
    except ValueError as error:
        if isinstance(error, AmbosError):
            raise placed(error, name) from None
        raise ShapeError(f"{op}: {name} is no array ({error}); need rows of one shape") from None
    if not takes_nan:
        refuse_nan(rows, name, op)
    return rows


def arrays_of(
    given: Mapping[str, Any], dtype: DType, op: str, takes_nan: bool = False
) -> Batch:  # fmt: skip
    """The arguments of `op` as columns, with equally many rows in all of them.

    Errors: ShapeError where their rows differ in number; ArgumentError for NaN in them.
    """
    parts = {
        name: columns_of(value, dtype, op, name, takes_nan)
        for name, value in given.items()
        if value is not None
    }
    counts = {name: {len(leaf) for leaf in tree.leaves(part)} for name, part in parts.items()}
    if len(set().union(*counts.values())) > 1:
        rows = ", ".join(f"{name} has {' and '.join(map(str, sorted(found)))} rows"
                         for name, found in counts.items())  # fmt: skip
        is_ragged = any(len(found) > 1 for found in counts.values())
        fix = "; rows of several lengths are padded: nn.utils.rnn.pad_sequence" * is_ragged
        raise ShapeError(f"{op}: {rows}; need equally many, one for each example{fix}")
    return tuple(parts.values())


def placed(error: AmbosError, where: str) -> AmbosError:
    """The same error, with the batch or argument where it was met."""
    text, line = str(error), ""
    found = ENDING.search(text)  # `message` need not be what is shown: layers add their names
    if found is not None:
        text, line = text[: found.start()], found[1]
    named = BATCH.search(text)  # the source of batches knows better which one it was
    if named is not None and BATCH.fullmatch(where):
        if "epoch" not in where or named[1] == where:
            return error
        if text.endswith(f" ({named[1]})"):
            text = text[: -len(f" ({named[1]})")]
            where = f"{named[1]}, {where.partition(' of ')[2]}"
    error.message = f"{text} ({where})"
    line = line or user_line()
    error.args = (f"{error.message} [{line}]" if line else error.message,)
    return error


def handed(batch: Batch) -> Any:
    """What a model's `train_step` gets of a batch, as in Keras: without targets x itself, unless it
    came in a tuple or has several inputs in one."""
    if len(batch) == 1 and not isinstance(batch[0], tuple):
        return batch[0]
    return batch[:1] if len(batch) == 2 and batch[1] is None else batch


def parts_in(data: Any) -> Batch:
    """The batch of which `handed` made `data`."""
    return tuple(data) if isinstance(data, (tuple, list)) else (data,)


def size_of(batch: Batch) -> int:
    """The number of examples in a batch."""
    first = batch[:1]
    for leaf in first if first and isinstance(first[0], Tensor) else tree.leaves(batch):
        if hasattr(leaf, "shape"):
            return int(leaf.shape[0]) if leaf.shape else 1
    return 1
