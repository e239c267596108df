"""What `fit` adds to the recorded step alone, and what calls for one batch take beside what they
compute: `python -m bench.overhead`.

Each call is cut into segments, one a step. The sum over them of the shortest time that each ever
took needs no moment in which the machine is idle for long, so it holds on a busy one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

import ambos as am
from ambos import optim
from ambos.train.engine import Recorded
from bench.models import lenet, mlp
from bench.models.ambos_lane import F, load, nn
from bench.workload import Data
from bench.workloads.fit import SLOW, STEPS, Epoch

EPOCHS = 8


def bare(case: Epoch, data: Data, ends: list[float]) -> Callable[[], object]:
    """An epoch of the jitted step on tensors that are there."""
    step, parts = case.recorded(data)

    def call() -> float:
        losses = []
        for part in parts:
            losses.append(step(*part))
            ends.append(time.perf_counter())
        return float(np.mean([loss.item() for loss in losses]))

    return call


def each_call(case: Epoch, data: Data, model: Any, rounds: int) -> None:
    """Calls for one batch, and for one row, beside what they have to do at least."""
    x, y = data["x"][: case.batch], data["y"][: case.batch]
    row, parts = x[:1], (am.tensor(x), am.tensor(y))
    net, (step, _) = load(case.model.module(nn, F), data).eval(), case.recorded(data)
    forward = am.jit(lambda x: net(x))
    look = am.jit(lambda x, y: F.cross_entropy(net(x), y))
    given = am.tensor(row)
    calls: dict[str, Callable[[], object]] = {
        "bare step": lambda: step(*parts).item(),
        "train_on_batch": lambda: model.train_on_batch(x, y),
        "bare loss": lambda: look(*parts).item(),
        "test_on_batch": lambda: model.test_on_batch(x, y),
        "evaluate": lambda: model.evaluate(x, y),
        "jit(net)(row)": lambda: forward(given).numpy(),
        "net(row)": lambda: net(given).numpy(),
        "predict, a row": lambda: model.predict(row),
    }
    least = dict.fromkeys(calls, 1.0)
    for _ in range(rounds + 2):
        for name, call in calls.items():
            call()  # what the others have left cold is no part of it
            for _ in range(3):
                start = time.perf_counter()
                call()
                least[name] = min(least[name], time.perf_counter() - start)
    for name, seconds in least.items():
        print(f"{name:14} {1e6 * seconds:8.1f} us")


def main() -> None:
    parser = argparse.ArgumentParser(prog="overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--model", choices=["mlp", "lenet"], default="mlp")
    options = parser.parse_args()
    case = Epoch(mlp, 32) if options.model == "mlp" else Epoch(lenet, 64)
    data = case.data()
    ends: list[float] = []
    model = am.Model(load(case.model.module(nn, F), data))
    model.compile(optim.Adam(lr=SLOW), "cross_entropy")

    def fit(**settings: Any) -> Callable[[], object]:
        x, y = data["x"], data["y"]
        return lambda: model.fit(x, y, batch_size=case.batch, verbose=0, **settings)

    loader = am.data.DataLoader((data["x"], data["y"]), case.batch, shuffle=True)
    calls = {"bare step": bare(case, data, ends), "fit, in order": fit(shuffle=False),
             "fit, shuffled": fit(), f"fit, {EPOCHS} epochs": fit(epochs=EPOCHS),
             "fit, a loader": lambda: model.fit(loader, verbose=0)}  # fmt: skip
    plain, least = Recorded.__call__, dict[str, Any]()

    def noted(self: Any, *batch: Any) -> Any:
        rest = plain(self, *batch)
        ends.append(time.perf_counter())
        return rest

    with mock.patch.object(Recorded, "__call__", noted):
        for _ in range(options.rounds + 2):
            for name, call in calls.items():
                ends.clear()
                start = time.perf_counter()
                call()
                found = np.diff([start, *ends, time.perf_counter()])
                known = least.get(name, found)
                least[name] = np.minimum(known, found) if len(known) == len(found) else found
    base = 1e6 * least["bare step"].sum() / STEPS
    for name, segments in least.items():
        each = 1e6 * segments.sum() / (len(segments) - 1)
        middle = 1e6 * np.median(segments)
        print(f"{name:14} {each:8.1f} us a step, {each - base:+6.1f}; in the middle {middle:8.1f}")

    each_call(case, data, model, options.rounds)


if __name__ == "__main__":
    main()
