"""What `compile` settles: the optimizer, its schedule, losses and metrics of every output."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ambos import nn, optim
from ambos.core import tree
from ambos.core.arguments import number
from ambos.core.errors import ArgumentError, suggest
from ambos.nn import functional as F
from ambos.optim import Optimizer
from ambos.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR
from ambos.tensor.handle import Tensor
from ambos.train import metrics as known_metrics
from ambos.train.alignment import Kind, aligned, changed, changes, weighed
from ambos.train.names import Score, find_loss
from ambos.train.order import TruthFirst
from ambos.train.totals import Measured

PER_UPDATE = (OneCycleLR, CyclicLR)  # schedules that count updates rather than epochs


@dataclass
class Plan:
    """What `compile` settled. `jit` says whether steps are recorded."""

    optimizer: Optimizer
    losses: Losses
    metrics: Metrics
    config: dict[str, Any]
    schedule: Schedule | None = None
    jit: bool = True
    loss: Any = None  # as it was given, for whoever prints it
    fitted: dict[str, Any] = field(default_factory=dict)  # what the last `fit` was given


class Losses:
    """One loss for all outputs, or one for each, with weights in their sum."""

    def __init__(self, loss: Any, weights: Any = None) -> None:
        self.spec = _each(loss, find_loss) if loss is not None else None
        self.weights = weights
        # What was done to targets of each kind: a recorded step does it again without being here.
        self.changes: dict[Kind, tuple[str, ...]] = {}
        self.has_several = isinstance(self.spec, (Mapping, list, tuple))
        self.takes_classes = any(takes_classes(one) for one in tree.leaves(self.spec))
        if isinstance(weights, (int, float)):
            self.weights = [float(weights)]
        if weights is not None and not isinstance(self.weights, (Mapping, list, tuple)):
            raise ArgumentError(
                f"compile: loss_weights is {type(weights).__name__}; need numbers in a list or a "
                "dict by output"
            )

    def __call__(self, outputs: dict[str, Any], targets: Any, weights: Any) -> dict[str, Tensor]:
        """The weighted sum of the outputs' losses under "loss"; each of several by its name."""
        if self.spec is None:
            raise ArgumentError(
                "compile: no loss; need one, for example loss='cross_entropy', or a train_step of "
                "your own that does not ask for it"
            )
        found: dict[str, Tensor] = {}
        total: Tensor | None = None
        self.has_several |= len(outputs) > 1
        for place, (name, output) in enumerate(outputs.items()):
            loss = part_of(self.spec, name, place, outputs, "loss")
            if loss is None:
                continue
            target = part_of(targets, name, place, outputs, "y")
            if target is None:
                raise ArgumentError(
                    f"fit: no target{f' for output {name!r}' if name else ''}, which the loss "
                    "needs; need y, or a train_step that does without"
                )
            weight = weighed(part_of(weights, name, place, outputs, "sample_weight"))
            needed = changes(output, target, takes_classes(loss))
            if takes_classes(loss) and _are_wider(target, output):
                needed = (*needed, ".to(output.dtype)")
            if isinstance(target, Tensor) and target.ndim:
                self.changes[Kind.of(target)] = needed
            target = changed(target, output, needed)
            value = found[f"{name}_loss"] = measured(loss, output, target, weight)
            share = part_of(self.weights, name, place, outputs, "loss_weights")
            if share is not None:
                value = value * share
            total = value if total is None else total + value
        if total is None:
            raise ArgumentError(f"compile: no loss for any of {', '.join(outputs)}; need one")
        return {"loss": total} | (found if len(found) > 1 else {})


def _each(spec: Any, find: Callable[[Any], Any]) -> Any:
    if isinstance(spec, Mapping):
        return {name: None if one is None else find(one) for name, one in spec.items()}
    if isinstance(spec, (list, tuple)):
        return [None if one is None else find(one) for one in spec]
    return find(spec)


def check_names(outputs: Mapping[str, Any], **specs: Any) -> None:
    """Refuse what is said by name of outputs that a model has not, as soon as these are known."""
    for what, spec in specs.items():
        for place, name in enumerate(outputs if isinstance(spec, Mapping) else ()):
            part_of(spec, name, place, outputs, what, "compile")


def part_of(
    spec: Any, name: str, place: int, outputs: Mapping[str, Any], what: str, op: str = "fit"
) -> Any:
    """What `spec` (one for all, a list by position, a dict by name) says of an output."""
    if isinstance(spec, Mapping):
        strange = [key for key in spec if key not in outputs]
        if strange and not (len(outputs) == 1 and "" in outputs):
            raise ArgumentError(
                f"{op}: {what} names {strange[0]!r}, which is no output; known: "
                f"{', '.join(outputs)}{suggest(str(strange[0]), outputs)}"
            )
        return spec.get(name, next(iter(spec.values())) if name == "" else None)
    if isinstance(spec, (list, tuple)):
        if len(spec) != len(outputs):
            raise ArgumentError(
                f"fit: {what} has {len(spec)} parts and the model {len(outputs)} outputs; need one "
                "for each"
            )
        return spec[place]
    return spec


def _are_wider(target: Any, output: Any) -> bool:
    """Are these probabilities of classes, which a narrow model's steps get as they were?"""
    if not isinstance(target, Tensor) or not isinstance(output, Tensor):
        return False
    is_other = target.dtype.is_floating and target.dtype is not output.dtype
    return is_other and target.shape == output.shape


def measured(loss: Score, output: Any, target: Any, weight: Any = None) -> Tensor:
    """The loss of a batch, one number: the mean over all values, each times its row's weight."""
    value: Any = loss(output, target) if weight is None else by_row(loss)(output, target)
    if not isinstance(value, Tensor):
        raise ArgumentError(
            f"fit: the loss is {type(value).__name__}; need a tensor: one number, or one a row"
        )
    if weight is not None:
        if value.ndim == 0:
            name = getattr(loss, "__name__", type(loss).__name__)
            raise ArgumentError(
                f"fit: the loss {name} gives one number for the whole batch, so rows cannot be "
                "weighted; need a loss that gives one for each row, or takes reduction='none'"
            )
        if weight.ndim > value.ndim or value.shape[: weight.ndim] != weight.shape:
            raise ArgumentError(
                f"fit: sample_weight is {tuple(weight.shape)} and the loss {tuple(value.shape)}; "
                "need one weight for each row"
            )
        value = value * weight.reshape(*weight.shape, *[1] * (value.ndim - weight.ndim))
    return value.mean() if value.ndim else value


def takes_classes(loss: Score) -> bool:
    """Does `loss` compare scores by class with labels?"""
    return loss in (F.cross_entropy, F.nll_loss) or isinstance(
        loss, (nn.CrossEntropyLoss, nn.NLLLoss)
    )


def by_row(loss: Score) -> Score:
    """The same loss, without the mean over rows, where it can be told."""
    if isinstance(loss, TruthFirst):
        return TruthFirst(by_row(loss.function))
    if isinstance(loss, nn.Module):
        if getattr(loss, "reduction", "none") == "none":
            return loss
        twin = copy.copy(loss)
        object.__setattr__(twin, "reduction", "none")
        return twin
    try:
        known = inspect.signature(loss).parameters
    except (TypeError, ValueError):
        return loss
    if "reduction" not in known:
        return loss
    plain: Callable[..., Tensor] = loss
    return partial(plain, reduction="none")


class Metrics:
    """Metrics of every output; those of `weighted` look at sample weights."""

    def __init__(self, metrics: Any, weighted: Any, loss: Any = None) -> None:
        self.given = [(_listed("metrics", metrics), False), (_listed("weighted_metrics", weighted),
                                                             True)]  # fmt: skip
        known_metrics.learn_from(loss, self.each())

    def __call__(
        self, outputs: dict[str, Any], targets: Any, weights: Any
    ) -> dict[str, Measured]:  # fmt: skip
        """What each metric measures on a batch."""
        found = {}
        for spec, is_weighted in self.given:
            for place, (name, output) in enumerate(outputs.items()):
                target = part_of(targets, name, place, outputs, "y")
                weight = weighed(part_of(weights, name, place, outputs, "sample_weight"))
                for metric in self._of(spec, name, place, outputs):
                    title = f"{name}_{metric.name}" if len(outputs) > 1 else metric.name
                    if title in found and is_weighted:
                        title = f"weighted_{title}"
                    number, base = 1, title
                    while title in found:
                        title, number = f"{base}_{number}", number + 1
                    fitting = aligned(output, target, getattr(metric, "takes_classes", False))
                    statistics = metric.measure(output, fitting, weight if is_weighted else None)
                    found[title] = Measured(metric, statistics)
        return found

    def _of(
        self, spec: Any, name: str, place: int, outputs: Mapping[str, Any]
    ) -> Sequence[Any]:  # fmt: skip
        nested = isinstance(spec, list) and any(isinstance(one, list) for one in spec)
        by_output = len(outputs) > 1 and len(spec) > 1  # one alone is for all
        if isinstance(spec, Mapping) or nested or by_output:
            found = part_of(spec, name, place, outputs, "metrics")
            return found if isinstance(found, list) else [] if found is None else [found]
        return spec  # of the only output, or one for every output

    def each(self) -> list[Any]:
        """All metrics, in the order in which they were given."""
        return [metric for spec, _ in self.given for metric in _flat(spec)]


def _listed(what: str, metrics: Any) -> Any:
    """Metrics as objects, in the lists and dicts that they were given in."""
    if metrics is None:
        return []
    if isinstance(metrics, str) or not isinstance(metrics, (Mapping, Iterable)):
        raise ArgumentError(f"compile: {what} is {metrics!r}; need a list, e.g. ['accuracy']")
    if isinstance(metrics, Mapping):
        return {name: _several(one) for name, one in metrics.items()}
    items = list(metrics)
    if any(one is None or isinstance(one, (list, tuple)) for one in items):
        return [_several(one) for one in items]
    return [known_metrics.find(one) for one in items]


def _several(one: Any) -> list[Any]:
    if one is None:
        return []
    return [known_metrics.find(each) for each in (one if isinstance(one, (list, tuple)) else [one])]


def _flat(spec: Any) -> Iterable[Any]:
    for one in spec.values() if isinstance(spec, Mapping) else spec:
        yield from one if isinstance(one, list) else [one]


class Schedule:
    """A learning rate that changes: a schedule of `optim.lr_scheduler`, or a function of the
    number of updates."""

    def __init__(self, given: Any, each: str | None) -> None:
        if not isinstance(given, LRScheduler) and not callable(given):
            raise ArgumentError(
                f"compile: schedule is {type(given).__name__}; need one of optim.lr_scheduler, or "
                "a function of the number of updates that gives the learning rate"
            )
        if each not in (None, "epoch", "update"):
            raise ArgumentError(f"compile: schedule_each is {each!r}; need 'epoch' or 'update'")
        self.given, self.is_function = given, not isinstance(given, LRScheduler)
        by_update = self.is_function or isinstance(given, PER_UPDATE)
        self.each = each or ("update" if by_update else "epoch")

    def begin(self, optimizer: Optimizer, updates: int) -> None:
        """Before the first update, and before going on after `updates`."""
        if self.is_function:
            optimizer.lr = self._rate(updates)

    def step(self, optimizer: Optimizer, count: int) -> None:
        """`count` updates (or epochs) are done."""
        if self.is_function:
            optimizer.lr = self._rate(count)
        else:
            self.given.step()

    def _rate(self, updates: int) -> float:
        return number(f"compile: schedule({updates})", self.given(updates))

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on."""
        return {} if self.is_function else self.given.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        if not self.is_function:
            self.given.load_state_dict(state)


def optimizer_of(optimizer: Any) -> Optimizer:
    """The optimizer itself, or a new one by name or class.

    Errors: ArgumentError for anything else.
    """
    rule = optim.by_name(optimizer) if isinstance(optimizer, str) else optimizer
    rule = rule() if isinstance(rule, type) else rule
    if not isinstance(rule, Optimizer):
        raise ArgumentError(
            f"compile: the optimizer is {type(rule).__name__}; need a name such as 'adam', or "
            "an optimizer such as optim.SGD(lr=0.1)"
        )
    return rule
