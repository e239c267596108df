"""Sums over batches that stay tensors until somebody reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambos.core.dtype import float64
from ambos.core.errors import ArgumentError
from ambos.tensor.handle import Tensor
from ambos.tensor.resting import zeroed
from ambos.tensor.tracing import paused
from ambos.train.metrics.standing import Asked

TOTAL, ROWS = "total", "rows"


@dataclass(repr=False)
class Measured:
    """What a metric found in a batch, which adds up over batches; `item` is that of this one."""

    metric: Any
    statistics: dict[str, Tensor]

    def item(self) -> Any:
        """The metric of this batch alone."""
        return self.metric.result(self.statistics)

    def __float__(self) -> float:
        return float(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec)

    def __repr__(self) -> str:
        return repr(self.item())


class Totals:
    """Statistics of a pass by name. Inside of a recorded step `add` records the sums; what cannot
    be summed (rows that a metric keeps, numbers of Python) it returns for `collect`."""

    def __init__(self) -> None:
        self.sums: dict[str, dict[str, Tensor]] = {}
        self.metrics: dict[str, Any] = {}  # None: a mean, weighted by rows
        self.kept: dict[str, dict[str, list[Tensor]]] = {}
        self.means: dict[str, tuple[float, int]] = {}  # numbers of Python: sum over rows, rows
        self.last: dict[str, Any] = {}  # anything else, as it came last
        self.standing: dict[str, Any] = {}  # metrics of the model's own, which add up by themselves
        self.is_under_way = False

    def add(self, logs: Any, rows: int, asked: Asked | None = None) -> dict[str, Any]:
        """Add what a step on so many rows returned, but for the results that it asked metrics
        for; gives back what `collect` has to take."""
        if logs is None:
            return {}
        if not isinstance(logs, Mapping):
            raise ArgumentError(
                f"train_step: returned {type(logs).__name__}; need a dict of numbers by name"
            )
        rest: dict[str, Any] = {}
        for name, value in logs.items():
            if asked and id(value) in asked:
                self.standing[name] = asked[id(value)][1]
                continue
            self.standing.pop(name, None)
            if isinstance(value, Measured):
                self.metrics[name] = value.metric
                kept = getattr(value.metric, "kept", ())
                sums = {k: v for k, v in value.statistics.items() if k not in kept}
                if kept:
                    rest[name] = {k: value.statistics[k].detach() for k in kept}
            elif isinstance(value, Tensor):
                if value.ndim:
                    raise ArgumentError(
                        f"train_step: {name} is {tuple(value.shape)}; need one number"
                    )
                self.metrics[name] = None
                sums = {TOTAL: value.to(float64) * float(rows)}
                self._grow(name, ROWS, None, float(rows))
            else:
                rest[name] = value
                continue
            for key, statistic in sums.items():
                self._grow(name, key, statistic.detach())
        return rest

    def _grow(self, name: str, key: str, value: Tensor | None, number: float = 0.0) -> None:
        held = self.sums.setdefault(name, {})
        if key not in held:
            with paused():  # it stays: not part of the step that made it
                shape = () if value is None else value.shape
                held[key] = Tensor(np.zeros(shape))
        grown = held[key] + (number if value is None else value)
        held[key]._rebind(grown._node)

    def collect(self, rest: Mapping[str, Any], rows: int) -> None:
        """Take what `add` could not sum in a step on so many rows."""
        for name, value in rest.items():
            if name in self.metrics:
                for key, part in value.items():
                    self.kept.setdefault(name, {}).setdefault(key, []).append(part)
            elif np.ndim(value) == 0 and np.asarray(value).dtype.kind in "iuf":
                total, seen = self.means.get(name, (0.0, 0))
                self.means[name] = total + float(value) * rows, seen + rows
            else:
                self.last[name] = value

    def zero(self) -> None:
        """Begin a new pass; the sums stay the same tensors, which a recorded step knows."""
        for held in self.sums.values():
            for tensor in held.values():
                if not zeroed(tensor):
                    tensor.data = Tensor(np.zeros(tensor.shape))
        self.kept, self.last, self.means = {}, {}, {}

    @contextmanager
    def passing(self) -> Iterator[None]:
        """A pass of its own: the sums of one that is under way, in whose callback this may be, come
        back after it."""
        outer, before = self.is_under_way, None
        if outer:
            before = {
                name: {key: tensor.numpy().copy() for key, tensor in held.items()}
                for name, held in self.sums.items()
            }
        rest, self.is_under_way = (self.kept, self.last, self.means), True
        try:
            yield
        finally:
            self.is_under_way = outer
            if before is not None:
                self.zero()
                self.kept, self.last, self.means = rest
                for name, held in before.items():
                    for key, value in held.items():
                        self.sums[name][key].data = Tensor(value)

    def tensors(self) -> list[Tensor]:
        """All sums."""
        return [tensor for held in self.sums.values() for tensor in held.values()]

    def results(self, checked: bool = False) -> dict[str, Any]:
        """The numbers so far, by name; `checked`, metrics complain of what they cannot mean."""
        found: dict[str, Any] = {}
        for name, held in self.sums.items():
            metric = self.metrics[name]
            if metric is None:
                rows = held[ROWS].item()
                if rows:  # else it is of another pass: nobody measures it now
                    found[name] = held[TOTAL].item() / rows
                continue
            statistics: dict[str, Any] = {key: tensor.numpy() for key, tensor in held.items()}
            statistics |= self._rows(name)
            if checked and hasattr(metric, "check"):
                metric.check(statistics, allow_nan=True)
            found[name] = metric.result(statistics)
        for name, metric in self.metrics.items():
            if metric is not None and name not in found:  # a metric that only keeps rows
                found[name] = metric.result(self._rows(name))
        found |= {name: total / rows for name, (total, rows) in self.means.items()}
        found |= {name: _plain(value) for name, value in self.last.items()}
        for name, metric in self.standing.items():
            statistics = metric.statistics()
            if checked:
                metric.check(statistics, allow_nan=True)
            found[name] = metric.result(statistics)
        return found

    def rows(self, name: str) -> float:
        """How many rows a mean is of so far."""
        if name in self.means:
            return self.means[name][1]
        found: float = self.sums[name][ROWS].item()
        return found

    def _rows(self, name: str) -> dict[str, Any]:
        kept = self.kept.get(name, {})
        return {key: np.concatenate([p.numpy() for p in parts]) for key, parts in kept.items()}

    def state_dict(self, metrics: Sequence[Any] = ()) -> dict[str, Any]:
        """Sums and kept rows; which of the `metrics` of a plan each is of."""
        known = {id(metric): place for place, metric in enumerate(metrics)}
        return {
            "metrics": {name: known.get(id(metric)) for name, metric in self.metrics.items()},
            "sums": {
                name: {key: tensor.numpy().copy() for key, tensor in held.items()}
                for name, held in self.sums.items()
            },
            "kept": {
                name: {key: [part.numpy() for part in parts] for key, parts in each.items()}
                for name, each in self.kept.items()
            },
            "last": dict(self.last), "means": dict(self.means),
            "told": {
                name: {each: getattr(metric, each) for each in getattr(metric, "settled", ())}
                for name, metric in self.metrics.items()
            },
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any], metrics: Sequence[Any] = ()) -> None:
        """Go on with these sums."""
        for name, place in state["metrics"].items():
            self.metrics[name] = None if place is None else metrics[place]
        for name, held in state["sums"].items():
            for key, value in held.items():
                known = self.sums.setdefault(name, {})
                if key in known:
                    known[key].data = Tensor(np.asarray(value))
                else:
                    known[key] = Tensor(np.asarray(value))
        self.kept = {
            name: {key: [Tensor(part) for part in parts] for key, parts in each.items()}
            for name, each in state["kept"].items()
        }
        self.last, self.means = dict(state["last"]), dict(state.get("means", {}))
        for name, told in state.get("told", {}).items():  # what a first batch told the metric
            for each, value in told.items():
                if getattr(self.metrics[name], each) is None:
                    setattr(self.metrics[name], each, value)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
