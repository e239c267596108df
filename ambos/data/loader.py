"""Batches of a dataset: in order or shuffled by a seed, by this process or by workers."""

from __future__ import annotations

import copy
import itertools
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ambos.core.arguments import Checked, flag, positive
from ambos.core.errors import ArgumentError, ArgumentTypeError, FormatError
from ambos.data.cardinality import UNKNOWN_CARDINALITY, cardinality_of
from ambos.data.collate import (
    Rows,
    default_collate,
    default_convert,
    native_empty,
    received,
    tensors,
)
from ambos.data.dataset import ArrayDataset, Dataset
from ambos.data.fetch import Fetcher, check_positive
from ambos.data.position import Passes, Position
from ambos.data.randomness import fresh_seed, seed_of
from ambos.data.row_spans import has_rows, spans
from ambos.data.samplers import (
    BatchSampler,
    Indices,
    RandomSampler,
    SequentialSampler,
    is_ordered,
)
from ambos.tensor.handle import Tensor

PREFETCH = 2
SETTLED = (
    "dataset", "batch_size", "shuffle", "sampler", "batch_sampler", "drop_last", "num_workers",
    "persistent_workers",
)  # fmt: skip


class DataLoader(metaclass=Checked):
    """Batches of tensors from a dataset, once through for each `for` loop.

    `dataset` is an array, a tuple or dict of arrays with equally many rows, anything with `__len__`
    and `__getitem__`, or an iterable. The arguments are PyTorch's; `seed` is ours. Epoch e of seed
    s has the same order everywhere and for ever; without a seed one is drawn from `generator`, or
    from the global stream, which `am.manual_seed` sets. What workers deliver is the same, bit for
    bit, as without them, if the dataset draws its random numbers from `am.data.random()`.

    `batch_size=None` takes samples as they are (a dataset that gives batches). `num_workers`
    processes prepare `prefetch_factor` batches each; batches come through shared memory, in order
    unless `in_order=False`. `pin_memory` is accepted and changes nothing on a CPU.

    Errors: ArgumentError, ShapeError where samples do not fit into one batch, WorkerError for what
        goes wrong in a worker, with the sample's number and the traceback.

    Example:
        >>> loader = DataLoader((np.arange(5.0), np.arange(5)), batch_size=2)
        >>> [y.tolist() for x, y in loader]
        [[0, 1], [2, 3], [4]]
    """

    _is_made = False

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        seed: int | None = None,
    ) -> None:
        self.dataset, self.single = as_dataset(dataset)
        self.is_stream = is_stream(self.dataset)
        self.batch_size = None if batch_size is None else positive(
            "DataLoader: batch_size", batch_size)  # fmt: skip
        self.shuffle = flag("DataLoader: shuffle", bool(shuffle) if shuffle is None else shuffle)
        self.drop_last = flag("DataLoader: drop_last", drop_last)
        self.num_workers = positive("DataLoader: num_workers", num_workers, least=0)
        self.timeout = check_positive("DataLoader: timeout", timeout)
        self.in_order = flag("DataLoader: in_order", in_order)
        self.persistent_workers = flag("DataLoader: persistent_workers", persistent_workers)
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.prefetch_factor = PREFETCH if prefetch_factor is None else positive(
            "DataLoader: prefetch_factor", prefetch_factor)  # fmt: skip
        self.worker_init_fn, self.generator = worker_init_fn, generator
        self.multiprocessing_context = multiprocessing_context
        for name, function in (("collate_fn", collate_fn), ("worker_init_fn", worker_init_fn)):
            if function is not None and not callable(function):
                raise ArgumentError(f"DataLoader: {name} is {function!r:.60}; need a function")
        self.collate_fn = collate_fn
        self._seed = (
            seed_of("DataLoader", seed if generator is None else generator)
            if (seed is not None or generator is not None or self.shuffle or num_workers)
            else None
        )
        if seed is not None:
            self._seed = seed_of("DataLoader", seed)
        self._choose_sampler(sampler, batch_sampler)
        self._crew: Any = None
        self.passes = Passes()
        self._is_made = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in SETTLED and self._is_made:
            raise ArgumentError(
                f"DataLoader: {name} is settled when a loader is made; need another one: "
                f"DataLoader(..., {name}=...)"
            )
        super().__setattr__(name, value)

    # The order

    def _choose_sampler(self, sampler: Any, batch_sampler: Any) -> None:
        self.sampler: Any = None
        self.batch_sampler: Any = None
        if self.is_stream:
            given = {"sampler": sampler, "batch_sampler": batch_sampler,
                     "shuffle": self.shuffle or None}  # fmt: skip
            for name, value in given.items():
                if value is not None:
                    raise ArgumentError(
                        f"DataLoader: got an iterable dataset and {name}; a stream has its own "
                        "order: shuffle it by dataset.shuffle(buffer), or need a dataset with "
                        "__len__ and __getitem__"
                    )
            return
        if not len(self.dataset):
            raise ArgumentError("DataLoader: the dataset has no samples; need at least one")
        if sampler is not None and self.shuffle:
            raise ArgumentError("DataLoader: got sampler and shuffle=True; the sampler decides the "
                                "order: leave shuffle out")  # fmt: skip
        for name, given in (("sampler", sampler), ("batch_sampler", batch_sampler)):
            if given is not None and not hasattr(given, "__iter__"):
                raise ArgumentError(f"DataLoader: {name} is {given!r:.60}; need indices, or what "
                                    "gives them in a `for` loop")  # fmt: skip
        if batch_sampler is not None:
            if self.batch_size != 1 or self.shuffle or sampler is not None or self.drop_last:
                raise ArgumentError("DataLoader: got batch_sampler and one of batch_size, shuffle, "
                                    "sampler, drop_last; it decides all of these")  # fmt: skip
            self.sampler, self.batch_sampler, self.batch_size = None, batch_sampler, 0
            return
        if self.batch_size is None and self.drop_last:
            raise ArgumentError("DataLoader: drop_last needs batches; got batch_size=None")
        if sampler is None:
            sampler = (RandomSampler(self.dataset, seed=self.seed) if self.shuffle
                       else SequentialSampler(self.dataset))  # fmt: skip
        self.sampler = sampler
        self.batch_sampler = None if self.batch_size is None else BatchSampler(
            sampler, self.batch_size, self.drop_last)  # fmt: skip

    @property
    def _source(self) -> Any:
        """What gives the order."""
        return self.batch_sampler if self.sampler is None else self.sampler

    @property
    def seed(self) -> int:
        """What decides the order and the samples' random numbers."""
        if self._seed is None:
            self._seed = fresh_seed()
        return self._seed

    def __len__(self) -> int:
        """The number of batches.

        Errors: TypeError where it is not known, as that of a stream.
        """
        if self.is_stream:
            count = len(self.dataset)
            if self.batch_size is None:
                return count
            return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
        return len(self.sampler if self.batch_size is None else self.batch_sampler)

    def cardinality(self) -> int:
        """The number of batches, as `Dataset.cardinality` tells that of elements."""
        count = cardinality_of(self.dataset) if self.is_stream else 0
        if count < 0:
            return count
        try:
            return len(self)
        except TypeError:  # a sampler of one's own
            return UNKNOWN_CARDINALITY

    def order(self, epoch: int) -> Indices:
        """The examples' order in an epoch."""
        if not is_ordered(self.sampler):
            raise ArgumentError("DataLoader: order is known beforehand for samplers of ambos only")
        return self.sampler.order(epoch)

    def set_epoch(self, epoch: int) -> None:
        """The next `for` loop is this epoch, from its beginning."""
        epoch = positive("DataLoader.set_epoch: epoch", epoch, least=0)
        self.passes.set_epoch(epoch)

    @property
    def epoch(self) -> int:
        """The epoch of the next `for` loop."""
        return self.passes.latest.next_epoch

    def batches(self, epoch: int) -> Iterator[Any]:
        """The indices of each batch of an epoch; of each sample, where there are no batches."""
        if is_ordered(self.sampler):
            order = self.sampler.order(epoch)
            if self.batch_size is None:
                return iter(order.tolist())
            stop = len(order) - len(order) % self.batch_size if self.drop_last else len(order)
            size = self.batch_size
            return (order[start : start + size] for start in range(0, stop, size))
        source = self.sampler if self.batch_size is None else self.batch_sampler
        if hasattr(source, "set_epoch"):
            source.set_epoch(epoch)
        return iter(source) if self.batch_size is None else map(_some, itertools.count(), source)

    # Passes

    def __iter__(self) -> Iterator[Any]:
        position = self.passes.begin(self._source)
        count = None if self.is_stream else len(self.dataset)
        plain = self.collate_fn if self.collate_fn is not default_collate else None
        fetcher = Fetcher(self.dataset, self.batch_size, self.drop_last, plain, count)
        if self.num_workers:
            return self._with_workers(fetcher, position)
        return self._here(fetcher, position)

    def _here(self, fetcher: Fetcher, position: Position) -> Iterator[Any]:
        dataset, epoch = self.dataset, position.epoch
        seed = lambda: self.seed  # drawn when somebody asks for random numbers
        if self.is_stream:
            batches = fetcher.stream(seed, epoch, position.selection(self), native_empty)
        else:
            if has_rows(self):
                yield from self._rows(position)
                return
            if hasattr(dataset, "set_epoch"):
                dataset.set_epoch(epoch)
            indices = itertools.islice(self.batches(epoch), position.batch, None)
            batches = (fetcher.batch(seed, epoch, chosen, native_empty) for chosen in indices)
        try:
            for batch in batches:
                position.batch += 1
                yield self._ready(batch)
        except Exception as error:
            where = [fetcher.explain(error), f"batch {position.batch}"]
            error.add_note(f"DataLoader: at {', '.join(filter(None, where))}")
            raise
        if epoch and not position.batch:
            self._check_not_used_up()
        position.finished = True

    def _check_not_used_up(self) -> None:
        """An ArgumentError where a later pass is empty because the first one has read it all."""
        for name in ("dataset", "sampler", "batch_sampler"):
            given = getattr(self, name)
            if isinstance(given, Iterator):
                fix = "Dataset.from_generator(function)" if name == "dataset" else "a list"
                raise ArgumentError(f"DataLoader: {name} is a {type(given).__name__}, which gives "
                                    f"its elements once; need {fix}")  # fmt: skip

    def _rows(self, position: Position) -> Iterator[Any]:
        """Their batches."""
        names, rows = self.dataset.names, Rows(self.dataset.arrays)
        order, left = spans(self, position)
        address = order.__array_interface__["data"][0]
        for first, count in left:
            found = rows(first, count, address)
            if self.single:
                yield found.pop()
            else:
                yield dict(zip(names, found, strict=True)) if names else tuple(found)
            del found

    def _with_workers(self, fetcher: Fetcher, position: Position) -> Iterator[Any]:
        # Processes are a third of the import, and most loaders have none.
        from ambos.data.crew import Crew
        from ambos.data.deliveries import Deliveries

        crew = self._crew
        if crew is None:
            crew = Crew((fetcher, self.worker_init_fn), self.num_workers, self.prefetch_factor,
                        self.seed, self.multiprocessing_context)  # fmt: skip
            if self.persistent_workers:
                self._crew = crew
                weakref.finalize(self, crew.close)
        try:
            crew.drain()
            for batch in Deliveries(self, crew, position):
                yield self._ready(batch, received)
            position.finished = True
        except BaseException as error:
            if not isinstance(error, GeneratorExit) or not self.persistent_workers:
                self._crew = None
                crew.close()
            raise
        if not self.persistent_workers:
            crew.close()

    def _ready(self, batch: Any, convert: Callable[[Any], Any] = default_convert) -> Any:
        if self.collate_fn is not None and self.collate_fn is not default_collate:
            return batch
        if self.batch_size is None:
            return convert(batch)
        found = tensors(batch)
        return found[0] if self.single else found

    # Going on later

    def state_dict(self) -> dict[str, Any]:
        """Where the latest pass is: what comes after it is decided by this alone."""
        return self.state_at(self.passes.latest)

    def state_at(self, position: Position) -> dict[str, Any]:
        """The same of a pass that is or was under way."""
        state, source = position.state_dict(), self._source
        state["seed"] = self._seed
        if position.sampler is not None and not position.finished:
            state["sampler"] = position.sampler
        elif hasattr(source, "state_dict"):
            state["sampler"] = copy.deepcopy(source.state_dict())
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The next `for` loop goes on where `state_dict` was called, with the next batch.

        Errors: FormatError for what is no such state; nothing is changed then.
        """
        position = Position.of(state)
        seed = state.get("seed")
        source = self._source
        if "sampler" in state and hasattr(source, "load_state_dict"):
            try:
                source.load_state_dict(state["sampler"])
            except (KeyError, TypeError, ValueError) as error:
                raise FormatError(
                    f"DataLoader.load_state_dict: the sampler does not take its state: {error}"
                ) from error
        self._seed = self._seed if seed is None else int(seed)
        if self._crew is not None:  # its workers know the old seed
            self._crew.close()
            self._crew = None
        self.passes.resume(position)


def _some(number: int, indices: Any) -> Any:
    """A batch of a sampler, which has to have indices."""
    try:
        found = indices if hasattr(indices, "__len__") else list(indices)
        if len(found):
            return found
    except TypeError:
        pass
    raise ArgumentError(f"DataLoader: batch {number} of batch_sampler is {indices!r:.60}; need a "
                        "list of at least one index")  # fmt: skip


def as_dataset(given: Any) -> tuple[Any, bool]:
    """A dataset, and whether its samples are single arrays."""
    if isinstance(given, (tuple, Mapping)) and not hasattr(given, "_fields"):
        return (ArrayDataset(*given) if isinstance(given, tuple) else ArrayDataset(**given)), False
    if isinstance(given, type):
        raise ArgumentTypeError(f"DataLoader: got the class {given.__name__}; need a dataset: "
                                f"{given.__name__}(...)")  # fmt: skip
    is_table = hasattr(given, "to_numpy")  # of pandas, whose index is no number of a row
    if (
        isinstance(given, (np.ndarray, Tensor))
        or is_table
        or (not isinstance(given, Dataset) and hasattr(given, "shape") and hasattr(given, "dtype"))
    ):
        return ArrayDataset(given), True
    if is_stream(given) or (hasattr(given, "__len__") and hasattr(given, "__getitem__")):
        return given, False
    raise ArgumentTypeError(
        f"DataLoader: got {type(given).__name__}; need an array, a tuple or dict of arrays, a "
        "dataset with __len__ and __getitem__, or an iterable"
    )


def is_stream(dataset: Any) -> bool:
    """Can it be read in its own order only?"""
    if isinstance(dataset, Dataset):
        return not dataset.indexable
    # PyTorch's streams inherit a __getitem__ that only raises.
    named = any(base.__name__ == "IterableDataset" for base in type(dataset).__mro__)
    return hasattr(dataset, "__iter__") and (named or not hasattr(dataset, "__getitem__"))
