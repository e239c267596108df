"""Stages whose elements depend on each other or on threads: they are read from the beginning."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ambos.core.arguments import flag, positive
from ambos.core.errors import ArgumentError, ArgumentTypeError, ShapeError
from ambos.data.cardinality import UNKNOWN_CARDINALITY, without_length
from ambos.data.collate import as_array, rebuilt
from ambos.data.dataset import Dataset
from ambos.data.fluent import AUTOTUNE, stage
from ambos.data.randomness import Seed, seed_of
from ambos.data.samplers import stream_of
from ambos.data.selection import ALL, Selection
from ambos.data.stages import Permuted, Stage, calling

DRAWS = 1024  # random numbers that are drawn at a time
PATIENCE = 0.05  # seconds after which a thread looks whether it is still wanted


class Stream(Stage):
    """A stage without numbers: `elements` makes all of them."""

    @property
    def indexable(self) -> bool:
        return False

    def cardinality(self) -> int:
        return UNKNOWN_CARDINALITY

    def elements(self, epoch: int, seed: Seed) -> Iterator[Any]:
        """All elements of an epoch."""
        raise ArgumentTypeError(f"{type(self).__name__}: has no elements")

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        return selection.of(self.elements(epoch, seed))


@stage("filter")
class Filtered(Stream):
    """The elements for which a predicate holds."""

    def __init__(self, source: Any, predicate: Callable[..., Any]) -> None:
        super().__init__(source)
        self.predicate = calling("filter", predicate)

    def elements(self, epoch: int, seed: Seed) -> Iterator[Any]:
        for number, element in enumerate(self.source.stream(epoch, seed, ALL)):
            try:
                found = self.predicate(element)
                if found is None:
                    raise ArgumentTypeError("filter: the function gave None; need True or False")
                kept = bool(found)
            except Exception as error:
                error.add_note(f"filter: at element {number}")
                raise
            if kept:
                yield element


@stage("unbatch")
class Unbatched(Stream):
    """The rows of each element."""

    batched = False

    def elements(self, epoch: int, seed: Seed) -> Iterator[Any]:
        for batch in self.source.stream(epoch, seed, ALL):
            yield from rows_in(batch)


def rows_in(batch: Any) -> Iterator[Any]:
    """The rows of arrays in tuples and dictionaries.

    Errors: ShapeError where arrays have unequally many rows or none.

    Example:
        >>> list(rows_in(([1, 2], {"a": "xy"})))
        [(1, {'a': 'x'}), (2, {'a': 'y'})]
    """
    if isinstance(batch, dict):
        columns = [rows_in(value) for value in batch.values()]
        return (dict(zip(batch, row, strict=True)) for row in _zipped(columns))
    if isinstance(batch, tuple):
        return (rebuilt(batch, list(row)) for row in _zipped([rows_in(v) for v in batch]))
    array = as_array(batch)
    rows = batch if array is None else array
    if not hasattr(rows, "__len__") or (array is not None and not array.ndim):
        raise ShapeError(f"unbatch: an element is {type(batch).__name__}; need arrays with rows")
    return iter(rows)


def _zipped(columns: list[Iterator[Any]]) -> Iterator[Any]:
    try:
        yield from zip(*columns, strict=True)
    except ValueError as error:
        raise ShapeError("unbatch: arrays of one element have unequally many rows; need equally "
                         "many") from error  # fmt: skip


class Buffered(Stream):
    """Each element is drawn from the next ones."""

    operation = "shuffle"

    def __init__(self, source: Any, buffer: int, seed: int, reshuffle: bool) -> None:
        super().__init__(source)
        self.buffer, self.seed, self.reshuffle = buffer, seed, reshuffle

    def cardinality(self) -> int:
        return Stage.cardinality(self)

    def elements(self, epoch: int, seed: Seed) -> Iterator[Any]:
        stream = stream_of(self.seed, epoch if self.reshuffle else 0)
        source = self.source.stream(epoch, seed, ALL)
        held = list(itertools.islice(source, self.buffer))
        while len(held) == self.buffer:
            for place in stream.randint(0, self.buffer, DRAWS):
                chosen = held[place]
                try:
                    held[place] = next(source)
                except StopIteration:
                    held[place] = held[-1]
                    held.pop()
                    yield chosen
                    break
                yield chosen
        for place in stream.permutation(len(held)):
            yield held[place]


@stage("shuffle")
def shuffled(source: Any, buffer: int | None, seed: int | None, reshuffle: bool) -> Stage:
    """A permutation of all, or draws from a buffer."""
    flag("shuffle: reshuffle", reshuffle)
    seed = seed_of("shuffle", seed)
    if buffer is not None:
        return Buffered(source, positive("shuffle: buffer", buffer), seed, reshuffle)
    if not source.indexable:
        raise ArgumentError(f"shuffle: {type(source).__name__} is a stream; need buffer, the "
                            "number of elements to draw from, as in shuffle(1000)")  # fmt: skip
    return Permuted(source, seed, reshuffle)


@stage("prefetch")
class Prefetched(Stage):
    """A thread that is ahead of whoever reads."""

    def __init__(self, source: Any, count: int) -> None:
        super().__init__(source)
        self.count = positive("prefetch: count", 2 if count == AUTOTUNE else count, least=0)

    def element(self, number: int) -> Any:
        return self.source[number]

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        source = self.source.stream(epoch, seed, selection)
        return ahead(source, self.count) if self.count else source


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error


END = object()


def ahead(source: Iterator[Any], count: int) -> Iterator[Any]:
    """The elements of `source`, which a thread takes up to `count` in advance; an error comes in
    its place. The thread ends with whoever reads."""
    ready: queue.Queue[Any] = queue.Queue(count)
    unwanted = threading.Event()

    def put(element: Any) -> bool:
        while not unwanted.is_set():
            try:
                ready.put(element, timeout=PATIENCE)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for element in source:
                if not put(element):
                    return
            put(END)
        except BaseException as error:  # whatever it is, it is raised where the element is read
            put(_Raised(error))

    thread = threading.Thread(target=run, name="prefetch", daemon=True)
    thread.start()
    try:
        while (element := ready.get()) is not END:
            if isinstance(element, _Raised):
                raise element.error
            yield element
    finally:
        unwanted.set()
        if thread is not threading.current_thread():  # where the collector may run
            thread.join()


@stage("interleave")
class Interleaved(Stream):
    """Datasets made of elements, several of them read in turn."""

    batched = None  # the function knows

    def __init__(self, source: Any, function: Callable[..., Any], cycle: int, block: int) -> None:
        super().__init__(source)
        self.function = calling("interleave", function)
        self.cycle = positive("interleave: cycle_length", cycle)
        self.block = positive("interleave: block_length", block)

    def elements(self, epoch: int, seed: Seed) -> Iterator[Any]:
        more = self.source.stream(epoch, seed, ALL)
        slots: list[Iterator[Any] | None] = [None] * self.cycle
        place, number, exhausted = 0, 0, False
        while not exhausted or any(slots):
            current = slots[place]
            if current is None and not exhausted:
                for element in itertools.islice(more, 1):
                    try:
                        slots[place] = current = self._opened(self.function(element), epoch, seed)
                    except Exception as error:
                        error.add_note(f"{self.operation}: at element {number}")
                        raise
                    number += 1
                exhausted = current is None
            if current is not None:
                found = 0
                for element in itertools.islice(current, self.block):
                    found += 1
                    yield element
                if found < self.block:
                    slots[place] = None  # filled again in its next turn, as in tf.data
            place = (place + 1) % self.cycle

    @staticmethod
    def _opened(found: Any, epoch: int, seed: Seed) -> Iterator[Any]:
        if isinstance(found, Dataset):
            return found.stream(epoch, seed, ALL)
        if not hasattr(found, "__iter__"):
            raise ArgumentTypeError(f"interleave: the function gave {type(found).__name__}; need a "
                                    "dataset or something to iterate")  # fmt: skip
        return iter(found)


@stage("from_generator")
class Generated(Dataset):
    """What a generator function yields."""

    operation = "from_generator"

    def __init__(
        self, function: Callable[..., Iterable[Any]], args: tuple[Any, ...], length: int | None
    ) -> None:
        if not callable(function):
            raise ArgumentTypeError(
                f"from_generator: got {type(function).__name__}; need a function that is called "
                "for each epoch: lambda: generator(...)"
            )
        self.function, self.args = function, args
        self.count = None if length is None else positive("from_generator: length", length, least=0)

    @property
    def indexable(self) -> bool:
        return False

    def __len__(self) -> int:
        if self.count is None:
            raise ArgumentTypeError(f"from_generator: {without_length(self)}")
        return self.count

    def cardinality(self) -> int:
        return UNKNOWN_CARDINALITY if self.count is None else self.count

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        found = self.function(*self.args)
        if not isinstance(found, Iterable):
            raise ArgumentTypeError(f"from_generator: the function gave {type(found).__name__}; "
                                    "need something to iterate: yield the elements")  # fmt: skip
        return selection.of(found)
