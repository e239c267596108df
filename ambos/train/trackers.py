"""Metrics that a model keeps for its own steps, as Keras's guides do: each pass begins anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from ambos.nn import Module
from ambos.train.metrics import Metric

RESETS = ("reset_state", "reset_states", "reset")
OF_MODULES = frozenset(vars(Module()))  # parameters, hooks and the like, none of which are metrics


def trackers_of(model: Any) -> list[Any]:
    """What its property `metrics` lists; without one, each Metric that it or a layer has as an
    attribute, also in a list or a dict."""
    if isinstance(getattr(type(model), "metrics", None), property):
        found = list(model.metrics)
    else:
        inner = model.__dict__.get("network")
        modules = [*model.modules(), *(() if inner is None else [inner])]
        found = [each for module in modules for name, value in vars(module).items()
                 if name not in OF_MODULES and (of := _metrics_in(value.__class__))
                 for each in of(value)]  # fmt: skip
    return list({id(each): each for each in found}.values())


@cache  # each evaluation of a batch looks at all attributes of all layers
def _metrics_in(kind: type) -> Callable[[Any], Iterable[Metric]] | None:
    """What gives the metrics in a value of this type; None where there are none."""
    if issubclass(kind, Metric):
        return lambda value: (value,)
    if issubclass(kind, Mapping):
        return lambda value: [each for each in value.values() if isinstance(each, Metric)]
    if issubclass(kind, (list, tuple)):
        return lambda value: [each for each in value if isinstance(each, Metric)]
    return None


def reset(model: Any) -> None:
    """Let the model's metrics forget what they have measured."""
    for metric in trackers_of(model):
        name = next((name for name in RESETS if hasattr(metric, name)), None)
        if name is not None:
            getattr(metric, name)()


@contextmanager
def passing(model: Any) -> Iterator[None]:
    """A pass of its own, which begins anew; what a training that is under way has measured comes
    back after it."""
    before = state_of(model) if model.engine.training.is_under_way else None
    reset(model)
    try:
        yield
    finally:
        if before is not None:
            load(model, before)


def state_of(model: Any) -> dict[str, Any]:
    """What the metrics have measured (None for those that do not say it), and the names under which
    the training reports them."""
    found = trackers_of(model)
    places = {id(metric): place for place, metric in enumerate(found)}
    standing = model.engine.training.standing.items()
    return {
        "measured": [m.state_dict() if isinstance(m, Metric) else None for m in found],
        "standing": {name: places[id(m)] for name, m in standing if id(m) in places},
    }


def load(model: Any, state: Mapping[str, Any]) -> None:
    """Go on with what `state_of` gave."""
    found = trackers_of(model)
    for metric, measured in zip(found, state["measured"], strict=False):
        if measured is not None:
            metric.load_state_dict(measured)
    for name, place in state["standing"].items():
        model.engine.training.standing[name] = found[place]
