"""What a metric is: statistics of batches that add up, and the number that they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from ambos.core.arguments import Checked
from ambos.core.dtype import float64
from ambos.core.errors import ArgumentError
from ambos.tensor.handle import Tensor
from ambos.tensor.jit import jit
from ambos.tensor.modes import no_grad
from ambos.tensor.resting import zeroed
from ambos.tensor.tracing import current, paused
from ambos.train.metrics.faults import complaint, spoiled
from ambos.train.metrics.standing import Standing, is_asked, noted

Statistics = dict[str, Tensor]
Numbers = Mapping[str, Any]


class MetricType(Checked):
    """Metaclass of metrics: each knows what it was made with, so that a file can say it."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        metric = super().__call__(*args, **kwargs)
        vars(metric)["_made_with"] = args, kwargs
        return metric


class Metric(metaclass=MetricType):
    """Base of the metrics: a batch gives statistics (`measure`), statistics of batches are added,
    and `result` makes the number of their sums. So parts of any size, merged in any grouping, give
    what the whole gives.

    A metric of your own says `added` (or `kept`), `measure` and `value`. `measure` is a function of
    tensors alone, which `fit` records inside its step; `value` works on NumPy arrays. Sums are
    float64: counts are exact to 2^53. Statistics named in `kept` are not added: their rows are
    collected.

    Errors: ArgumentError where nothing was measured, and for numbers that a metric would take for
        something else: NaN, labels out of range, probabilities for logits; the message says the
        fix. The measured parts stay as they were.

    Example:
        >>> class Largest(Metric):
        ...     kept = ("top",)
        ...
        ...     def measure(self, output, target=None, weight=None):
        ...         return {"top": output.max().reshape(1)}
        ...
        ...     def value(self, sums):
        ...         return float(sums["top"].max())
        >>> largest = Largest()
        >>> for batch in ([1.0, 5.0], [2.0, 3.0, 4.0]):
        ...     largest.update(np.array(batch))
        >>> largest.compute()
        5.0
    """

    added: tuple[str, ...] = ()  # statistics that are sums
    kept: tuple[str, ...] = ()  # statistics whose rows are collected
    faults: tuple[str, ...] = ()  # statistics that count what must not be; see faults.py
    settled: tuple[str, ...] = ()  # settings that a first batch can tell
    better: str = ""  # "max" or "min", where one end is the better one
    from_logits: bool | None = None  # see faults.py
    jitted = True  # a metric that calls functions of the user may not be

    def __init__(self, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise ArgumentError(f"{type(self).__name__}: name is {name!r}; need text")
        self.name = name or snake(type(self).__name__)
        self._sums: dict[str, Any] = {}
        self._rows: dict[str, list[Any]] = {}
        self._recorded: Any = None

    # What a metric says

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of the added statistic of this name."""
        return ()

    def measure(self, output: Any, target: Any = None, weight: Any = None) -> Statistics:
        """The statistics of a batch: a function of tensors, which looks at no value."""
        raise NotImplementedError(f"{type(self).__name__} has no measure")

    def value(self, sums: Numbers) -> Any:
        """The number (or arrays) that the sums make."""
        raise NotImplementedError(f"{type(self).__name__} has no value")

    def settle(self, output: Any, target: Any = None) -> None:
        """Learn from the shapes of a first batch what was not said, such as the classes."""

    # What the loop uses

    def zero(self, output: Any = None, target: Any = None) -> Statistics:
        """The added statistics of no batch at all; a first batch tells sizes that were not said.

        Errors: ArgumentError where a size is not known yet.
        """
        if output is not None:
            self.settle(output, target)
        shapes = {name: self.shape(name) for name in self.added} | dict.fromkeys(self.faults, ())
        return {name: Tensor(np.zeros(shape)) for name, shape in shapes.items()}

    def result(self, statistics: Numbers | None = None) -> Any:
        """The number of these sums, NaN where an output was NaN; without sums, as `compute`."""
        if statistics is None:
            return self.compute()
        sums = {name: host(value) for name, value in statistics.items()}
        with np.errstate(divide="ignore", invalid="ignore"):
            if spoiled(sums):
                return np.nan
            return plain(self.value(sums))

    def check(self, statistics: Numbers, allow_nan: bool = False) -> None:
        """Complain where the sums are of numbers that this metric takes for something else."""
        sums = {name: host(statistics[name]) for name in self.faults}
        problem = complaint(sums, self.from_logits, allow_nan)
        if problem:
            raise ArgumentError(f"{self.name}: {problem}")

    # What a loop of your own uses

    def update(self, output: Any, target: Any = None, weight: Any = None) -> None:
        """Take a batch in: outputs, targets, and a weight for each row or each target."""
        self._add(self._measured(output, target, weight))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """`update` in Keras's order: targets first."""
        self.update(y_pred, y_true, sample_weight)

    def __call__(self, output: Any, target: Any = None, weight: Any = None) -> Any:
        """Take a batch in; returns the number of this batch alone."""
        found = self._measured(output, target, weight)
        self._add(found)
        return self.result(found)

    def compute(self) -> Any:
        """The number of all batches so far. In a model's step `fit` reports it as it stands."""
        if current.trace is not None and is_asked() and self._sums:
            return noted(self, Standing(self))
        sums = self.statistics()
        if not sums or self._is_zeroed(sums):
            raise ArgumentError(f"{self.name}: nothing was measured; need update(output, target)")
        self.check(sums, allow_nan=is_asked())
        return noted(self, self.result(sums))

    def statistics(self) -> dict[str, Any]:
        """Sums and collected rows so far, as NumPy arrays."""
        rows = {name: np.concatenate(parts) for name, parts in self._rows.items()}
        return {name: host(value) for name, value in self._sums.items()} | rows

    def _is_zeroed(self, sums: Numbers) -> bool:
        """Are there only the places for sums that recorded steps have, and nothing in them?"""
        places = [isinstance(self._sums.get(name), Tensor) for name in sums]
        return all(places) and not any(value.any() for value in sums.values())

    def merge(self, other: Metric) -> Self:
        """Take the batches of another part in; returns this metric."""
        if type(other) is not type(self):
            raise ArgumentError(f"merge: got {other!r}; need another {type(self).__name__}")
        self._adopt("merge", other.settings())
        self._add(other.statistics())
        return self

    def reset(self) -> None:
        """Forget all batches."""
        self._rows = {}
        # Those that are tensors stay these tensors, which a recorded step knows.
        self._sums = {n: held for n, held in self._sums.items() if isinstance(held, Tensor)}
        for held in self._sums.values():
            if not zeroed(held):
                held.data = Tensor(np.zeros(held.shape))

    def reset_state(self) -> None:
        """`reset`, as Keras calls it."""
        self.reset()

    def state_dict(self) -> dict[str, Any]:
        """Settings, sums and collected rows; `load_state_dict` goes on from there."""
        copies = {name: value.copy() for name, value in self.statistics().items()}
        return {"settings": self.settings(), "statistics": copies}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Errors: ArgumentError for the state of a metric of another kind; nothing is changed.
        """
        op = "load_state_dict"
        known = sorted((*self.added, *self.kept, *self.faults))
        found = sorted(state.get("statistics", ["no statistics"]))
        if found and found != known:
            raise ArgumentError(f"{op}: got {found} for {self.name}; need {known}")
        self._adopt(op, state["settings"])
        self.reset()
        self._add({name: np.array(value) for name, value in state["statistics"].items()})

    def settings(self) -> dict[str, Any]:
        """What was said at construction or told by a first batch, apart from the name."""
        own = vars(self).items()
        return {name: value for name, value in own if name[0] != "_" and name != "name"}

    def _adopt(self, op: str, settings: Mapping[str, Any]) -> None:
        """Take over what batches have told another metric; all else must be the same."""
        mine = self.settings()
        told = {n: v for n, v in settings.items() if n in self.settled and mine.get(n) is None}
        differing = [n for n, v in (mine | told).items() if settings.get(n) not in (v, None)]
        differing += [n for n, v in mine.items() if v is not None and settings.get(n) is None
                      and n not in self.settled]  # fmt: skip
        if differing:
            said = ", ".join(f"{n}={settings.get(n)!r}" for n in differing)
            raise ArgumentError(f"{op}: got {said} for {self!r}; need the same settings")
        vars(self).update(told)

    def _measured(self, output: Any, target: Any, weight: Any) -> dict[str, Any]:
        given = [None if v is None else tensor_of(v) for v in (output, target, weight)]
        if self._recorded is None:
            self._recorded = jit(self._silently) if self.jitted else self._silently
        found: dict[str, Tensor] = self._recorded(*given)
        if current.trace is not None and not self.kept:  # part of what is being recorded
            return found
        return {name: value.numpy() for name, value in found.items()}

    def _silently(self, output: Any, target: Any, weight: Any) -> Statistics:
        with no_grad():
            return self.measure(output, target, weight)

    def _add(self, statistics: Numbers) -> None:
        for name, value in statistics.items():
            held = self._sums.get(name, 0.0)
            if name in self.kept:
                self._rows.setdefault(name, []).append(value)
            elif isinstance(value, Tensor):
                if not isinstance(held, Tensor):
                    with paused():  # it stays: not part of the step that made it
                        held = self._sums[name] = Tensor(np.zeros(value.shape) + held)
                held._rebind((held + value)._node)
            elif isinstance(held, Tensor):
                held.data = Tensor(held.numpy() + value)
            else:
                self._sums[name] = held + value

    def __getstate__(self) -> dict[str, Any]:
        sums = {name: np.array(host(value)) for name, value in self._sums.items()}
        return vars(self) | {"_recorded": None, "_sums": sums}

    def __repr__(self) -> str:
        said = ", ".join(f"{n}={v!r}" for n, v in self.settings().items() if v is not None)
        return f"{type(self).__name__}({said})"


def tensor_of(value: Any) -> Tensor:
    """Tensors as they are; arrays and lists as tensors of the same numbers."""
    if isinstance(value, Tensor):
        return value.detach()
    return Tensor(value if isinstance(value, np.ndarray) else np.asarray(value))


def host(value: Any) -> Any:
    """A NumPy array of it."""
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def plain(value: Any) -> Any:
    """Python's number for an array of one; containers of arrays as they are."""
    is_number = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and not value.shape)
    return value.item() if is_number else value


def ratio(total: Any, weight: Any) -> Any:
    """A weighted mean of its sums, 0 where nothing had any weight, as Keras's is.

    Example:
        >>> ratio(np.array([6.0, 0.0]), np.array([3.0, 0.0])).tolist()
        [2.0, 0.0]
    """
    return np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), 0.0)


def doubled(value: Tensor) -> Tensor:
    """In float64, in which sums lose nothing."""
    return value if value.dtype is float64 else value.to(float64)


def snake(name: str) -> str:
    """`top_k_accuracy` of `TopKAccuracy`, `auroc` of `AUROC`, `mean_iou` of `MeanIoU`."""
    if name.isupper():
        return name.lower()
    name = name.replace("IoU", "Iou")
    spaced = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return spaced.lstrip("_")
