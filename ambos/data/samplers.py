"""The order in which examples come."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import Checked, flag, positive
from ambos.core.errors import ArgumentError, ArgumentTypeError
from ambos.data.indices import numbers_in
from ambos.data.randomness import seed_of

Indices = NDArray[np.int64]


def stream_of(seed: int, epoch: int) -> np.random.RandomState:
    """NumPy's frozen stream (unlike default_rng it never changes) of an epoch."""
    return np.random.RandomState(_words(seed, epoch))


def _words(seed: int, epoch: int) -> list[int]:
    return [seed % 2**32, epoch] if seed < 2**32 else [seed % 2**32, epoch, seed >> 32]


class _Own(threading.local):
    """A stream for each thread, to be seeded again: a new one first asks the system for a seed,
    which takes five times as long as the order of 2,000 rows."""

    def __init__(self) -> None:
        self.stream = np.random.RandomState(0)


_own = _Own()


def permutation(seed: int, epoch: int, count: int) -> Indices:
    """All numbers before `count` in the order of an epoch: the same everywhere and for ever."""
    stream = _own.stream
    stream.seed(_words(seed, epoch))
    return stream.permutation(count).astype(np.int64, copy=False)


class Sampler(metaclass=Checked):
    """Base for orders of your own: define `__iter__`, which gives indices, and `__len__`."""

    def __init__(self, data_source: Any = None) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[Any]:
        raise ArgumentError(f"{type(self).__name__}: has no __iter__; need one that gives indices")

    def __class_getitem__(cls, kind: Any) -> type:  # Sampler[int], as PyTorch's are written
        return cls


class Ordered(Sampler):
    """A sampler whose order is a function of its epoch, all of it known beforehand.

    Iterating counts epochs; `set_epoch` sets the one that comes next.
    """

    seed = 0
    epoch = 0

    def order(self, epoch: int) -> Indices:
        """The indices of an epoch."""
        raise ArgumentError(f"{type(self).__name__}: has no order; need one")

    def __iter__(self) -> Iterator[int]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return iter(self.order(epoch).tolist())

    def set_epoch(self, epoch: int) -> None:
        """Go on with the order of this epoch."""
        self.epoch = positive(f"{type(self).__name__}.set_epoch: epoch", epoch, least=0)

    def state_dict(self) -> dict[str, int]:
        """What decides the orders from here on."""
        return {"seed": self.seed, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state_dict` was called."""
        self.seed, self.epoch = int(state["seed"]), int(state["epoch"])


def is_ordered(sampler: Any) -> bool:
    """Is the `order` of `sampler` what its `__iter__` gives? That of a subclass comes first."""
    for kind in type(sampler).__mro__:
        if "order" in vars(kind):
            return isinstance(sampler, Ordered)
        if "__iter__" in vars(kind):
            return False
    return False


def _sized(op: str, source: Any) -> int:
    if not isinstance(source, Sized):
        raise ArgumentTypeError(
            f"{op}: {type(source).__name__} has no __len__; need one for the number of batches"
        )
    return len(source)


class SequentialSampler(Ordered):
    """0, 1, 2, ...

    Example:
        >>> list(SequentialSampler("abc"))
        [0, 1, 2]
    """

    def __init__(self, data_source: Any) -> None:
        _sized("SequentialSampler", data_source)
        super().__init__(data_source)

    def __len__(self) -> int:
        return len(self.data_source)

    def order(self, epoch: int) -> Indices:
        return np.arange(len(self))


class RandomSampler(Ordered):
    """A random order; with `replacement` each index is drawn from all, `num_samples` times.

    The seed comes from `seed`, else from `generator` (ours, NumPy's, PyTorch's or an integer), else
    from the global stream. Epoch e of a seed has the same order everywhere.

    Example:
        >>> sorted(RandomSampler(range(4), seed=0))
        [0, 1, 2, 3]
    """

    def __init__(
        self, data_source: Any, replacement: bool = False, num_samples: int | None = None,
        generator: Any = None, seed: int | None = None,
    ) -> None:  # fmt: skip
        count = _sized("RandomSampler", data_source)
        super().__init__(data_source)
        self.replacement = flag("RandomSampler: replacement", replacement)
        if num_samples is not None:
            positive("RandomSampler: num_samples", num_samples)
        elif not count:
            raise ArgumentError("RandomSampler: the dataset has no samples; need at least one")
        self._num_samples = num_samples
        self.seed = seed_of("RandomSampler", generator if seed is None else seed)

    @property
    def num_samples(self) -> int:
        """How many indices an epoch has."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __len__(self) -> int:
        return self.num_samples

    def order(self, epoch: int) -> Indices:
        count, wanted = len(self.data_source), self.num_samples
        stream = stream_of(self.seed, epoch)
        if self.replacement:
            return stream.randint(0, count, wanted, dtype=np.int64)
        rounds = [stream.permutation(count) for _ in range(-(-wanted // count))]
        return np.concatenate(rounds)[:wanted].astype(np.int64)


class SubsetRandomSampler(Ordered):
    """Given indices, each once, in a random order.

    Example:
        >>> sorted(SubsetRandomSampler([7, 2, 5], seed=0))
        [2, 5, 7]
    """

    def __init__(
        self, indices: Sequence[int], generator: Any = None, seed: int | None = None
    ) -> None:
        super().__init__(None)
        self.indices = indices
        self._indices = numbers_in("SubsetRandomSampler", indices)
        self.seed = seed_of("SubsetRandomSampler", generator if seed is None else seed)

    def __len__(self) -> int:
        return len(self._indices)

    def order(self, epoch: int) -> Indices:
        return self._indices[permutation(self.seed, epoch, len(self))]


class WeightedRandomSampler(Ordered):
    """Indices drawn with probabilities in proportion to `weights`, which need not sum to one.

    Errors: ArgumentError for weights that are negative or not finite, or of which fewer are
        positive than are drawn without replacement.

    Example:
        >>> list(WeightedRandomSampler([0.0, 1.0, 0.0], 2, seed=0))
        [1, 1]
    """

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True,
        generator: Any = None, seed: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(None)
        op = "WeightedRandomSampler"
        self.weights = np.asarray(weights, np.float64)
        self.num_samples = positive(f"{op}: num_samples", num_samples)
        self.replacement = flag(f"{op}: replacement", replacement)
        fine = self.weights.ndim == 1 and np.isfinite(self.weights).all()
        if not fine or not (self.weights >= 0).all() or not self.weights.sum() > 0:
            raise ArgumentError(f"{op}: weights are {weights!r:.60}; need one finite number of at "
                                "least 0 for each sample, not all 0")  # fmt: skip
        drawable = int((self.weights > 0).sum())
        if not replacement and num_samples > drawable:
            raise ArgumentError(f"{op}: num_samples is {num_samples} without replacement; need at "
                                f"most {drawable}, the number of positive weights")  # fmt: skip
        self.seed = seed_of(op, generator if seed is None else seed)

    def __len__(self) -> int:
        return self.num_samples

    def order(self, epoch: int) -> Indices:
        stream = stream_of(self.seed, epoch)
        shares = self.weights / self.weights.sum()
        found = stream.choice(len(shares), self.num_samples, self.replacement, shares)
        return found.astype(np.int64)


class BatchSampler(Sampler):
    """Lists of `batch_size` indices each, from another sampler.

    Example:
        >>> list(BatchSampler(SequentialSampler(range(5)), 2, drop_last=False))
        [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool = False) -> None:
        super().__init__(None)
        self.sampler = sampler
        self.batch_size = positive("BatchSampler: batch_size", batch_size)
        self.drop_last = flag("BatchSampler: drop_last", drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        whole, rest = divmod(_sized("BatchSampler", self.sampler), self.batch_size)
        return whole + bool(rest and not self.drop_last)

    def set_epoch(self, epoch: int) -> None:
        """Tell the sampler inside."""
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)


class DistributedSampler(Ordered):
    """This process's share of the examples: rank, rank + num_replicas, ... of the epoch's order.

    Without `drop_last` the order is continued from its beginning until all shares are equally long.

    Example:
        >>> [list(DistributedSampler(range(5), 2, rank, shuffle=False)) for rank in (0, 1)]
        [[0, 2, 4], [1, 3, 0]]
    """

    def __init__(
        self, dataset: Any, num_replicas: int = 1, rank: int = 0, shuffle: bool = True,
        seed: int = 0, drop_last: bool = False,
    ) -> None:  # fmt: skip
        op = "DistributedSampler"
        _sized(op, dataset)
        super().__init__(dataset)
        self.dataset = dataset
        self.num_replicas = positive(f"{op}: num_replicas", num_replicas)
        self.rank = positive(f"{op}: rank", rank, least=0)
        if rank >= num_replicas:
            raise ArgumentError(f"{op}: rank is {rank} of {num_replicas}; need 0 <= rank < "
                                "num_replicas")  # fmt: skip
        self.shuffle, self.drop_last = flag(f"{op}: shuffle", shuffle), flag(op, drop_last)
        self.seed = seed_of(op, seed)

    def __len__(self) -> int:
        count = len(self.dataset)
        return count // self.num_replicas if self.drop_last else -(-count // self.num_replicas)

    @property
    def num_samples(self) -> int:
        """The length of this share."""
        return len(self)

    def order(self, epoch: int) -> Indices:
        count = len(self.dataset)
        everything = permutation(self.seed, epoch, count) if self.shuffle else np.arange(count)
        total = len(self) * self.num_replicas
        if total:
            everything = np.resize(everything, total)  # repeats it as often as needed
        return everything[:total][self.rank :: self.num_replicas]

    def __iter__(self) -> Iterator[int]:  # as in PyTorch, only set_epoch changes the epoch
        return iter(self.order(self.epoch).tolist())
