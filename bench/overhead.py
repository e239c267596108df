"""What `fit` adds to the recorded step alone: `python -m bench.overhead`.

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


if __name__ == "__main__":
    main()
