"""Streams of random keys: a 64-bit seed and a counter, shared by all threads."""

from __future__ import annotations

import operator
import secrets
import threading
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.names import public
from ambos.tensor.tracing import current, host_value

MASK = (1 << 64) - 1


def scattered(value: int) -> int:
    """A bijection of 64-bit words that scatters them (SplitMix64's finalizer)."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def word_of(op: str, name: str, value: Any) -> int:
    """An integer as 64 bits."""
    try:
        return operator.index(value) & MASK
    except TypeError:
        raise ArgumentError(f"{op}: {name} is {value!r}; need an integer") from None


class Generator:
    """A stream of keys: the n-th is a function of the seed and n.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
    """

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.RLock()
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed`; returns self."""
        self.set_state((word_of("manual_seed", "seed", seed), 0))
        return self

    def next_key(self) -> Tensor:
        """The next key. A jitted function takes one at every call, as it would without jit."""
        trace = current.trace
        if trace is None:
            return wrap(host_value("uint32", (2,), self._next_word))
        counts = trace.draws.counts
        key, place = trace.draws.take(self), counts[self] - 1
        known, after = trace.draws.keys[self], None
        if key is None:
            with self._lock:
                key = host_value("uint32", (2,), self._next_word)
                after = self.get_state()
            known.append(key)
        else:
            trace.hosts[key] = self._next_word

        def undo() -> None:
            counts[self] = place
            if after is not None:
                del known[place:]
                self._give_back(after)

        trace.undos.append(undo)
        return wrap(key)

    def _give_back(self, after: tuple[int, int]) -> None:
        """The stream as it was before the key that left it as `after`. Where other threads have
        taken keys since, that one is skipped: no key is given out twice."""
        with self._lock:
            if self.get_state() == after:
                self.count -= 1

    def next_seed(self) -> int:
        """32 bits of the next key as a number, for what draws elsewhere."""
        if current.trace is not None:
            return int(self.next_key().numpy()[0])
        return self._next_word() & 0xFFFF_FFFF

    def _next_word(self) -> int:
        with self._lock:
            seed, count = self.get_state()
            self.count += 1
        return scattered(scattered(seed) ^ count)

    def initial_seed(self) -> int:
        """The seed that the stream started from."""
        return self.seed

    def get_state(self) -> tuple[int, int]:
        """(seed, keys taken), to be given to `set_state`."""
        with self._lock:
            return self.seed, self.count

    def set_state(self, state: tuple[int, int]) -> None:
        """Go on from where `get_state` was called."""
        with self._lock:
            self.seed, self.count = int(state[0]) & MASK, int(state[1])


default_generator = Generator()


@public
def manual_seed(seed: int) -> Generator:
    """Start the global stream from `seed`. All threads draw from it: no number is drawn twice, and
    who gets which depends on who comes first, as in PyTorch. What is to be the same again beside
    other threads takes keys, or a Generator of its own.

    Example:
        >>> import ambos as am
        >>> _ = am.manual_seed(7)
        >>> first = am.rand(3)
        >>> _ = am.manual_seed(7)
        >>> am.array_equal(first, am.rand(3))
        True
    """
    return default_generator.manual_seed(seed)


@public
def seed() -> int:
    """A seed from the operating system; also starts the global stream from it."""
    found = secrets.randbits(64)
    manual_seed(found)
    return found


__all__ = ["Generator", "default_generator", "manual_seed"]
