"""Results of metrics that a step asks for: they stand as they are, and are averaged by nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Asked = dict[int, tuple[Any, Any]]  # the id of a result -> the result, and its metric


class Standing:
    """The result of a metric in a step that is being recorded: a number once somebody reads it.
    The recording itself cannot, and one that does is given up."""

    def __init__(self, metric: Any) -> None:
        self.metric = metric

    def item(self) -> Any:
        """The number as it is now."""
        return self.metric.result(self.metric.statistics())

    def __repr__(self) -> str:
        return repr(self.item())

    __hash__ = object.__hash__


def _of_the_number(name: str) -> Any:
    return lambda self, *args: getattr(self.item(), name)(*args)


for _name in (
    "__float__", "__int__", "__bool__", "__format__", "__neg__", "__abs__", "__round__",
    "__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__", "__add__", "__radd__", "__sub__",
    "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__", "__pow__", "__rpow__",
):  # fmt: skip
    setattr(Standing, _name, _of_the_number(_name))


class _Step(threading.local):
    asked: Asked | None = None


_step = _Step()


@contextmanager
def asking() -> Iterator[Asked]:
    """Notes the results that metrics give meanwhile."""
    before, _step.asked = _step.asked, {}
    try:
        yield _step.asked
    finally:
        _step.asked = before


def is_asked() -> bool:
    """Does a step of a model run, which may return results?"""
    return _step.asked is not None


def noted(metric: Any, result: Any) -> Any:
    """The result, which a step that runs now is known to have from the metric."""
    if _step.asked is not None:
        _step.asked[id(result)] = result, metric
    return result
