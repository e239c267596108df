"""Stages that keep numbers: element n of the result comes from known elements of the source."""

from __future__ import annotations

import inspect
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ambos.core.arguments import flag, integer, positive
from ambos.core.config import config
from ambos.core.errors import ArgumentError, ArgumentTypeError, ShapeError
from ambos.data.cardinality import (
    INFINITE_CARDINALITY,
    UNKNOWN_CARDINALITY,
    cardinality_of,
    without_length,
)
from ambos.data.collate import padded, stack
from ambos.data.dataset import ArrayDataset, Dataset, Slices, rows_of
from ambos.data.fluent import AUTOTUNE, stage
from ambos.data.indices import place_in
from ambos.data.randomness import Seed, begin, end
from ambos.data.samplers import permutation
from ambos.data.selection import ALL, Selection


class Stage(Dataset):
    """What is made of other datasets. A stage defines `stream`, `counted` where it changes the
    number of elements, and `element` where its sources can be read by index."""

    operation = ""  # the method that makes it

    def __init__(self, *sources: Any) -> None:
        self.sources = sources
        self.source = sources[0]

    def __repr__(self) -> str:
        stages: list[str] = []
        source: Any = self
        while isinstance(source, Stage):
            stages.append(source.operation or type(source).__name__)
            source = source.source
        count = self.cardinality()
        known = {INFINITE_CARDINALITY: "without end", UNKNOWN_CARDINALITY: "as many as are read"}
        return (f"<{type(source).__name__}.{'.'.join(reversed(stages))}: "
                f"{known.get(count, f'{count} elements')}>")  # fmt: skip

    @property
    def indexable(self) -> bool:
        return all(source.indexable for source in self.sources)

    def counted(self, count: int) -> int:
        """The number of elements, of so many of the source's."""
        return count

    def cardinality(self) -> int:
        count = cardinality_of(self.source)
        return count if count < 0 else self.counted(count)

    def __len__(self) -> int:
        count = self.cardinality()
        if count < 0:
            raise ArgumentTypeError(f"{self.operation}: {without_length(self)}")
        return count

    def element(self, number: int) -> Any:
        """Element `number`, which exists."""
        raise ArgumentTypeError(f"{type(self).__name__}: has no index; need `for`")

    def __getitem__(self, index: int) -> Any:
        if not self.indexable:
            raise ArgumentTypeError(
                f"{type(self).__name__}: is a stream and has no index; need `for`"
            )
        return self.element(place_in(self.operation, index, len(self)))


def calling(op: str, function: Any) -> Callable[[Any], Any]:
    """`function` of an element: tuples become arguments if it needs several."""
    if not callable(function):
        raise ArgumentTypeError(f"{op}: got {type(function).__name__}; need a function")
    return Spread(function) if _takes_several(function) else function


class Spread:
    """A function called with the entries of a tuple."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, element: Any) -> Any:
        return self.function(*element) if isinstance(element, tuple) else self.function(element)


def _takes_several(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some functions in C do not say
        return False
    needed = [p for p in parameters if p.default is p.empty and p.kind in (0, 1)]
    return len(needed) > 1 or any(p.kind == p.VAR_POSITIONAL for p in parameters)


@stage("map")
class Mapped(Stage):
    """A function of each element, by this thread or by several."""

    def __init__(self, source: Any, function: Callable[..., Any], workers: int = 0) -> None:
        super().__init__(source)
        self.function = calling("map", function)
        workers = config.threads if workers == AUTOTUNE else workers
        self.workers = positive("map: workers", workers, least=0)
        # Random numbers of two maps of one element must not be the same.
        below: Any = source
        while isinstance(below, Stage) and not isinstance(below, Mapped):
            below = below.source
        self.number: int = below.number + 1 if isinstance(below, Mapped) else 1

    def element(self, number: int) -> Any:
        return self.function(self.source[number])

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        elements = self.source.stream(epoch, seed, selection)
        numbered = selection.numbered(elements)

        def apply(entry: tuple[int, Any]) -> Any:
            number, element = entry
            begun = begin(seed, epoch, number, self.number)
            try:
                return self.function(element)
            except Exception as error:
                error.add_note(f"map: at element {number}")
                raise
            finally:
                end(begun)

        if not self.workers:
            return map(apply, numbered)
        return self._ahead(apply, numbered)

    def _ahead(self, apply: Callable[[Any], Any], entries: Iterator[Any]) -> Iterator[Any]:
        from concurrent.futures import Future, ThreadPoolExecutor  # as much as all else here

        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="map")
        try:
            waiting: deque[Future[Any]] = deque()
            for entry in entries:
                waiting.append(pool.submit(apply, entry))
                if len(waiting) >= 2 * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@stage("batch")
class Batched(Stage):
    """`batch_size` elements stacked."""

    batched = True

    def __init__(self, source: Any, batch_size: int, drop_last: bool = False) -> None:
        super().__init__(source)
        self.batch_size = positive("batch: batch_size", batch_size)
        self.drop_last = flag("batch: drop_last", drop_last)

    def counted(self, count: int) -> int:
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def together(self, samples: Sequence[Any], indices: Sequence[int]) -> Any:
        """A batch of these elements."""
        return stack(samples, indices)

    def element(self, number: int) -> Any:
        first = number * self.batch_size
        indices = range(first, min(first + self.batch_size, len(self.source)))
        rows = rows_of(self.source)
        if rows is not None and type(self) is Batched:
            return rows(np.arange(indices.start, indices.stop))
        return self.together([self.source[index] for index in indices], indices)

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        if type(self) is Batched and rows_of(self.source) is not None:
            self.source.epoch = epoch
            yield from super().stream(epoch, seed, selection)
            return
        elements = self.source.stream(epoch, seed, selection.times(self.batch_size))
        for number in selection.numbers():
            samples = list(itertools.islice(elements, self.batch_size))
            if not samples or (self.drop_last and len(samples) < self.batch_size):
                return
            first = number * self.batch_size
            yield self.together(samples, range(first, first + len(samples)))


@stage("padded_batch")
class PaddedBatched(Batched):
    """Elements of several sizes, padded and stacked."""

    def __init__(self, source: Any, batch_size: int, padding: float, drop_last: bool) -> None:
        super().__init__(source, batch_size, drop_last)
        self.padding = padding

    def together(self, samples: Sequence[Any], indices: Sequence[int]) -> Any:
        return padded(samples, self.padding, indices)


class Permuted(Stage):
    """All elements in a random order, another in each epoch."""

    operation = "shuffle"

    def __init__(self, source: Any, seed: int, reshuffle: bool) -> None:
        super().__init__(source)
        self.seed, self.reshuffle = seed, reshuffle
        self._known: tuple[int, int, Any] = (-1, -1, None)

    def order(self, epoch: int) -> Any:
        """The source's numbers in the order of an epoch."""
        count, epoch = len(self.source), epoch if self.reshuffle else 0
        if self._known[:2] != (epoch, count):
            self._known = epoch, count, permutation(self.seed, epoch, count)
        return self._known[2]

    def element(self, number: int) -> Any:
        return self.source[int(self.order(self.epoch)[number])]

    @property
    def rows_at(self) -> Callable[..., Any] | None:
        """Several at once, where the source can."""
        rows = rows_of(self.source)
        if rows is None:
            return None
        return lambda indices, *empty: rows(self.order(self.epoch)[indices], *empty)

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        order = self.order(epoch)
        for number in selection.numbers():
            if number >= len(order):
                return
            index = int(order[number])
            begun = begin(seed, epoch, index)
            try:
                element = self.source[index]
            finally:
                end(begun)
            yield element


@stage("take")
class Taken(Stage):
    """The first elements."""

    def __init__(self, source: Any, count: int) -> None:
        super().__init__(source)
        self.count = positive("take: count", count, least=0)

    def counted(self, count: int) -> int:
        return min(count, self.count)

    def cardinality(self) -> int:
        is_infinite = cardinality_of(self.source) == INFINITE_CARDINALITY
        return self.count if is_infinite or not self.count else super().cardinality()

    def element(self, number: int) -> Any:
        return self.source[number]

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        elements = self.source.stream(epoch, seed, selection)
        return (element for _, element in selection.numbered(elements, self.count))


@stage("skip")
class Skipped(Stage):
    """All but the first elements."""

    def __init__(self, source: Any, count: int) -> None:
        super().__init__(source)
        self.count = positive("skip: count", count, least=0)

    def counted(self, count: int) -> int:
        return max(0, count - self.count)

    def element(self, number: int) -> Any:
        return self.source[number + self.count]

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        found: Iterator[Any] = self.source.stream(epoch, seed, selection.after(self.count))
        return found


@stage("shard")
class Sharded(Stage):
    """Every n-th element."""

    def __init__(self, source: Any, num_shards: int, index: int) -> None:
        super().__init__(source)
        self.num_shards = positive("shard: num_shards", num_shards)
        self.index = positive("shard: index", index, least=0)
        if self.index >= self.num_shards:
            raise ArgumentError(f"shard: index is {index} of {num_shards}; need less")

    def counted(self, count: int) -> int:
        return max(0, -(-(count - self.index) // self.num_shards))

    def element(self, number: int) -> Any:
        return self.source[self.index + number * self.num_shards]

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        if selection.gap:
            own = Selection(self.index, 1, self.num_shards - 1)
            return selection.of(self.source.stream(epoch, seed, own))
        first = self.index + selection.start * self.num_shards
        own = Selection(first, 1, self.num_shards - 1)
        found: Iterator[Any] = self.source.stream(epoch, seed, own)
        return found


@stage("enumerate")
class Enumerated(Stage):
    """Pairs of number and element."""

    def __init__(self, source: Any, start: int) -> None:
        super().__init__(source)
        self.start = integer("enumerate: start", start)

    def element(self, number: int) -> Any:
        return self.start + number, self.source[number]

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        elements = self.source.stream(epoch, seed, selection)
        return ((self.start + n, element) for n, element in selection.numbered(elements))


@stage("zip")
class Zipped(Stage):
    """An element of each source."""

    def __init__(self, *sources: Any) -> None:
        if len(sources) == 1 and isinstance(sources[0], (tuple, list)):
            sources = tuple(sources[0])  # Dataset.zip((a, b)), as in TensorFlow
        for source in sources:
            if not isinstance(source, Dataset):
                raise ArgumentTypeError(f"zip: got {type(source).__name__}; need datasets")
        super().__init__(*sources)

    def cardinality(self) -> int:
        counts = [cardinality_of(source) for source in self.sources]
        if UNKNOWN_CARDINALITY in counts:
            return UNKNOWN_CARDINALITY
        known = [count for count in counts if count != INFINITE_CARDINALITY]
        return min(known, default=INFINITE_CARDINALITY)

    def element(self, number: int) -> Any:
        return tuple(source[number] for source in self.sources)

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        return zip(*(s.stream(epoch, seed, selection) for s in self.sources), strict=False)


@stage("repeat")
class Repeated(Stage):
    """Several epochs in one."""

    def __init__(self, source: Any, count: int | None) -> None:
        super().__init__(source)
        is_endless = count is None or count == -1
        self.count = None if is_endless else positive("repeat: count", count, least=0)

    @property
    def indexable(self) -> bool:
        return self.count is not None and bool(self.source.indexable)

    def cardinality(self) -> int:
        if self.count == 0:
            return 0
        is_endless = self.count is None and cardinality_of(self.source) != 0
        return INFINITE_CARDINALITY if is_endless else super().cardinality()

    def counted(self, count: int) -> int:
        return count * (self.count or 0)

    def inner(self, epoch: int, turn: int) -> int:
        """The source's epoch: no two turns share one."""
        return turn + epoch * (1 if self.count is None else self.count)

    def element(self, number: int) -> Any:
        turn, number = divmod(number, len(self.source))
        inner = self.inner(self.epoch, turn)
        if self.source.epoch != inner:
            self.source.set_epoch(inner)
        return self.source[number]

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        count = cardinality_of(self.source)
        if selection.gap or count <= 0:
            yield from selection.of(self._turns(epoch, seed, 0, 0))
        else:
            yield from self._turns(epoch, seed, *divmod(selection.start, count))

    def _turns(self, epoch: int, seed: Seed, turn: int, start: int) -> Iterator[Any]:
        while self.count is None or turn < self.count:
            inner, found = self.inner(epoch, turn), False
            for element in self.source.stream(inner, seed, Selection(start)):
                found = True
                yield element
            if not found and not start:
                return  # an empty source, again and again
            turn, start = turn + 1, 0


@stage("window")
class Windowed(Stage):
    """Neighbours, stacked."""

    def __init__(
        self, source: Any, size: int, shift: int | None, stride: int, drop_last: bool
    ) -> None:
        super().__init__(source)
        self.size = positive("window: size", size)
        self.shift = self.size if shift is None else positive("window: shift", shift)
        self.stride = positive("window: stride", stride)
        self.drop_last = flag("window: drop_last", drop_last)

    @property
    def reach(self) -> int:
        """From the first element of a window to after its last."""
        return (self.size - 1) * self.stride + 1

    def counted(self, count: int) -> int:
        starts = count - self.reach + 1 if self.drop_last else count
        return max(0, -(-starts // self.shift))

    def element(self, number: int) -> Any:
        first = number * self.shift
        indices = range(first, min(first + self.reach, len(self.source)), self.stride)
        rows = rows_of(self.source)
        if rows is not None:
            return rows(np.asarray(indices))
        return stack([self.source[index] for index in indices], indices)

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        if selection.gap:
            yield from selection.of(self.stream(epoch, seed, ALL))
            return
        start = selection.start * self.shift
        elements = self.source.stream(epoch, seed, ALL.after(start))
        window: deque[Any] = deque(itertools.islice(elements, self.reach))
        while window and (len(window) == self.reach or not self.drop_last):
            indices = range(start, start + len(window), self.stride)
            yield stack([window[index - start] for index in indices], indices)
            start += self.shift
            for _ in range(min(self.shift, len(window))):
                window.popleft()
            if not window:
                for _ in itertools.islice(elements, max(0, self.shift - self.reach)):
                    pass
            window.extend(itertools.islice(elements, self.reach - len(window)))


@stage("range")
def numbers(*bounds: int) -> Dataset:
    """The numbers of `range`."""
    try:
        return Slices(np.asarray(range(*bounds), np.int64))
    except TypeError as error:
        raise ArgumentTypeError(f"range: {error}; need one to three integers") from error


@stage("from_tensor_slices")
def slices(arrays: Any) -> Dataset:
    """Rows of arrays."""
    if isinstance(arrays, dict):
        return ArrayDataset(**arrays)
    if isinstance(arrays, tuple) and any(isinstance(part, (dict, tuple)) for part in arrays):
        parts = [slices(part) for part in arrays]  # ({"age": ..., "size": ...}, targets)
        if len(counts := {len(part) for part in parts}) > 1:
            raise ShapeError(f"from_tensor_slices: the parts have {sorted(counts)} rows; need "
                             "equally many")  # fmt: skip
        return Zipped(*parts)
    return ArrayDataset(*arrays) if isinstance(arrays, tuple) else Slices(arrays)
