"""Random numbers of a sample: a function of seed, epoch and the sample's number, and of nothing
else, so that neither the number of workers nor their order changes what augmentation does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from ambos.core.arguments import checked
from ambos.core.errors import ArgumentError
from ambos.tensor.random import default_generator

Seed = int | Callable[[], int]
MASK = (1 << 64) - 1


class _Place(threading.local):
    """Which sample this thread is making."""

    seed: Seed | None = None
    epoch = sample = stage = 0
    generator: np.random.Generator | None = None


_place = _Place()


def fresh_seed() -> int:
    """A seed from the global stream, which `am.manual_seed` sets."""
    return int(default_generator.next_key().numpy()[0])


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


def enter(seed: Seed, epoch: int, sample: int, stage: int = 0) -> None:
    """From now on this thread makes sample `sample`, until `leave`."""
    place = _place
    place.seed, place.epoch, place.sample, place.stage = seed, epoch, sample, stage
    place.generator = None


def leave() -> None:
    """This thread makes no sample any more."""
    _place.seed = _place.generator = None


def begin(seed: Seed, epoch: int, sample: int, stage: int = 0) -> bool:
    """A sample is made from here to `end`; inside of another one, this is a part of it."""
    if _place.seed is not None:
        return False
    enter(seed, epoch, sample, stage)
    return True


def end(begun: bool) -> None:
    """What `begin` began is over."""
    if begun:
        _place.seed = _place.generator = None


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
    if _place.generator is None:
        seed = _place.seed
        if seed is None:
            return np.random.Generator(np.random.Philox(fresh_seed()))
        words = [(seed() if callable(seed) else seed) & MASK, _place.epoch & MASK]
        counter = [0, 0, _place.stage, _place.sample & MASK]
        bits = np.random.Philox(key=np.array(words, np.uint64),
                                counter=np.array(counter, np.uint64))  # fmt: skip
        _place.generator = np.random.Generator(bits)
    return _place.generator
