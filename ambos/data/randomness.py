"""Random numbers of a sample: a function of seed, epoch and the sample's number, and of nothing
else, so that neither the number of workers nor their order changes what augmentation does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ambos.core.arguments import checked
from ambos.core.errors import ArgumentError
from ambos.tensor.random import default_generator

Seed = int | Callable[[], int]
MASK = (1 << 64) - 1


class Making:
    """What a thread is making: `sample`, a number or whatever else is an index."""

    __slots__ = ("epoch", "generator", "outer", "sample", "seed", "stage")

    def __init__(
        self, seed: Seed, epoch: int, sample: Any, stage: int, outer: Making | None
    ) -> None:  # fmt: skip
        self.seed, self.epoch, self.stage, self.outer = seed, epoch, stage, outer
        self.begin(sample)

    def begin(self, sample: Any) -> None:
        """The next sample."""
        self.sample: Any = sample
        self.generator: np.random.Generator | None = None  # made when somebody asks for it


class _Place(threading.local):
    """What this thread is making."""

    making: Making | None = None


_place = _Place()


def fresh_seed() -> int:
    """A seed from the global stream, which `am.manual_seed` sets."""
    return default_generator.next_seed()


class Late:
    """A seed that is drawn when somebody first asks for it."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self) -> int:
        if self.seed is None:
            self.seed = fresh_seed()
        return self.seed


def seed_of(op: str, generator: object) -> int:
    """A seed from what people have: None, an integer, a generator of ours, NumPy's or PyTorch's.

    Errors: ArgumentError for anything else.
    """
    if generator is None:
        return fresh_seed()
    if isinstance(generator, int) and not isinstance(generator, bool):
        return generator & MASK
    if isinstance(generator, np.random.Generator):
        return int(generator.integers(0, 1 << 32))
    if isinstance(generator, np.random.RandomState):
        return int(generator.randint(0, 1 << 32, dtype=np.uint64))
    next_key = getattr(generator, "next_key", None)
    if next_key is not None:
        return int(next_key().numpy()[0])
    initial = getattr(generator, "initial_seed", None)
    if initial is not None:
        return int(initial()) & MASK
    raise ArgumentError(
        f"{op}: generator is {type(generator).__name__}; need an integer, am.random.Generator, or "
        "one of NumPy's or PyTorch's generators"
    )


def enter(seed: Seed, epoch: int, sample: Any, stage: int = 0) -> Making:
    """From now on this thread makes `sample`, until `leave`; others may follow by `begin` of what
    is returned."""
    making = _place.making = Making(seed, epoch, sample, stage, _place.making)
    return making


def leave() -> None:
    """What `enter` began is over; a sample whose dataset reads another loader goes on."""
    if _place.making is not None:
        _place.making = _place.making.outer


def begin(seed: Seed, epoch: int, sample: int, stage: int = 0) -> bool:
    """A sample is made from here to `end`; inside of another one, this is a part of it."""
    if _place.making is not None:
        return False
    enter(seed, epoch, sample, stage)
    return True


def end(begun: bool) -> None:
    """What `begin` began is over."""
    if begun:
        leave()


def number_of(index: Any) -> int:
    """Text may be an index as well: its stream of random numbers is that of its first bytes."""
    if isinstance(index, (int, np.integer)):
        return int(index)
    return int.from_bytes(str(index).encode()[:8])


@checked
def random() -> np.random.Generator:
    """The random numbers of the sample that is being made, for augmentation.

    Inside of a dataset that a DataLoader or a pipeline reads, this is NumPy's generator with a
    stream of its own for each (seed, epoch, sample): the numbers are the same with any number of
    workers, and after resuming. Elsewhere it draws a stream from `am.manual_seed`.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), Philox 4x64.

    Example:
        >>> import ambos as am
        >>> class Noisy(am.data.Dataset):
        ...     def __len__(self):
        ...         return 4
        ...
        ...     def __getitem__(self, index):
        ...         return index + am.data.random().uniform(-0.5, 0.5)
        >>> first, again = (am.data.DataLoader(Noisy(), batch_size=4, seed=1) for _ in range(2))
        >>> next(iter(first)).tolist() == next(iter(again)).tolist()
        True
    """
    making = _place.making
    if making is None:
        return np.random.Generator(np.random.Philox(fresh_seed()))
    if making.generator is None:
        seed = making.seed
        words = [(seed() if callable(seed) else seed) & MASK, making.epoch & MASK]
        counter = [0, 0, making.stage, number_of(making.sample) & MASK]
        bits = np.random.Philox(key=np.array(words, np.uint64),
                                counter=np.array(counter, np.uint64))  # fmt: skip
        making.generator = np.random.Generator(bits)
    return making.generator
