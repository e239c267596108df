"""Memory over long trainings and many predictions: `make memory ARGS="--steps 100000"`.

A line for each case: the process in MiB after each tenth. It leaks if every one of the last windows
adds more than the bytes of an object a call; what fills once (plans, kernels, free lists) does not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

import ambos as am
from ambos import nn
from ambos.data import DataLoader
from tests.public.leaks import BYTES_A_CALL, resident

PARTS = 10
SETTLED = 3  # windows in which stores may still fill
MIB = 1 << 20


def model() -> am.Model:
    am.manual_seed(0)
    found = am.Sequential([nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 4)])
    found.compile("adam", "cross_entropy", ["accuracy"])
    return found


def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.RandomState(0)
    return rng.randn(count, 16).astype(np.float32), rng.randint(0, 4, count)


class Noting(am.Callback):
    """Notes the memory each `every` steps, at the end of a batch, with all that is alive then."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every, self.steps, self.found = every, 0, [resident()]

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.steps += 1
        if self.steps % self.every == 0:
            self.found.append(resident())


def steps(count: int) -> list[int]:
    """One training of so many steps: shuffled arrays, a short last batch, validation."""
    x, y = rows(1000)
    noting, net = Noting(max(1, count // PARTS)), model()
    epochs = -(-count // 32)  # of 31 whole batches and one of 8 rows
    net.fit(x, y, epochs=epochs, validation_data=(x[:50], y[:50]), callbacks=[noting], verbose=0)
    return noting.found


def loaded(count: int) -> list[int]:
    """The same from a loader of single samples."""
    x, y = rows(1000)
    samples = [(row, int(label)) for row, label in zip(x, y, strict=True)]
    noting, net = Noting(max(1, count // PARTS)), model()
    loader = DataLoader(samples, batch_size=32, shuffle=True, seed=0)
    net.fit(loader, epochs=-(-count // 32), callbacks=[noting], verbose=0)
    return noting.found


def trainings(count: int) -> list[int]:
    """Trainings of three steps, one after another."""
    (x, y), net = rows(70), model()
    return [*_noted(count, lambda: net.fit(x, y, verbose=0))]


def predicts(count: int) -> list[int]:
    """Single items, each an array of its own."""
    net, (x, _) = model(), rows(64)
    return [*_noted(count, lambda: net.predict(x[np.random.randint(64)][None]))]


def _noted(count: int, call: object) -> Iterator[int]:
    assert callable(call)
    yield resident()
    for _ in range(PARTS):
        for _ in range(max(1, count // PARTS)):
            call()
        yield resident()


def grows(found: list[int], count: int) -> float:
    """Bytes a call by which memory grew in each window, once it had settled; else 0."""
    later = found[SETTLED:]
    least = min(after - before for before, after in pairwise(later))
    lost = least / max(1, count // PARTS)
    return lost if lost > BYTES_A_CALL else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="memory", description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--predicts", type=int, default=100_000)
    options = parser.parse_args()
    cases = {
        steps: options.steps, loaded: options.steps, trainings: options.steps // 3,
        predicts: options.predicts,
    }  # fmt: skip
    failed = 0
    for case, count in cases.items():
        found = case(count)
        lost = grows(found, count)
        failed += bool(lost)
        shown = " ".join(f"{bytes_ / MIB:.1f}" for bytes_ in found)
        print(f"{case.__name__} {count}: {shown} MiB; {lost:.0f} bytes a call", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
