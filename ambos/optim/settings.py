"""Settings of parameter groups: as plain data, and within their range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError
from ambos.tensor.handle import Tensor

Group = dict[str, Any]
Scalars = tuple[Any, ...]  # what the parameters of a group have in common in a step

EXTRAS = frozenset(("name", "param_names", "initial_lr"))  # what else a group may say


@dataclass(frozen=True)
class Limit:
    """The numbers that a setting may be."""

    low: float
    high: float = math.inf
    count: int = 0  # so many numbers in a tuple; 0: one number
    optional: bool = False

    def __contains__(self, value: object) -> bool:
        if not self.count:
            return self._holds(value)
        return (
            isinstance(value, tuple) and len(value) == self.count and all(map(self._holds, value))
        )

    def _holds(self, value: object) -> bool:
        if value is None:
            return self.optional
        return isinstance(value, (int, float)) and self.low <= value < self.high

    def __str__(self) -> str:
        below = "" if self.high == math.inf else f" and < {self.high:g}"
        what = f"{self.count} numbers, each" if self.count else "a number"
        return f"{what} >= {self.low:g}{below}"


POSITIVE = Limit(0.0)
FRACTION = Limit(0.0, 1.0)
LIMITS = {
    "lr": POSITIVE,
    "momentum": POSITIVE,
    "weight_decay": POSITIVE,
    "eps": POSITIVE,
    "betas": Limit(0.0, 1.0, count=2),
}


def refuse(name: str, settings: Mapping[str, Any], limits: Mapping[str, Limit]) -> None:
    """An ArgumentError for a setting outside of its range.

    Example:
        >>> refuse("SGD", {"lr": 0.5}, LIMITS)
    """
    for key, limit in limits.items():
        if key in settings and settings[key] not in limit:
            raise ArgumentError(f"{name}: {key} is {settings[key]!r}; need {limit}")
    if settings.get("differentiable"):
        raise ArgumentError(
            f"{name}: differentiable=True, but a step changes its parameters outside of any "
            "gradient; need am.grad of a function that computes the update from its arguments"
        )
    if settings.get("foreach") and settings.get("fused"):
        raise ArgumentError(f"{name}: foreach and fused are both True; need at most one of them")


def plain(settings: Mapping[str, Any]) -> Group:
    """Settings with Python's numbers in place of arrays of one, so that they can be written as
    JSON. A learning rate that is a tensor stays one: whoever changes it changes the rate.

    Example:
        >>> plain({"lr": np.float64(0.5), "betas": (np.float64(0.5), 0.75)})
        {'lr': 0.5, 'betas': (0.5, 0.75)}
    """

    def one(value: Any) -> Any:
        if isinstance(value, (tuple, list)):  # a list could be changed in place
            return tuple(map(one, value))
        if isinstance(value, (np.generic, np.ndarray, Tensor)):
            return value.item() if math.prod(value.shape) == 1 else value
        return value

    return {
        key: value if key in ("lr", "initial_lr") and isinstance(value, Tensor) else one(value)
        for key, value in settings.items()
    }


def rate_of(name: str, value: Any, fix: str = "") -> float:
    """The number that a learning rate is.

    Errors: ArgumentError for a tensor of more than one.

    Example:
        >>> rate_of("SGD", 0.5)
        0.5
    """
    if isinstance(value, Tensor) and math.prod(value.shape) != 1:
        raise ArgumentError(
            f"{name}: lr is a tensor of shape {tuple(value.shape)}; need a number or a tensor of "
            "one, for example am.tensor(0.1)"
        )
    found = value.item() if isinstance(value, (Tensor, np.generic)) else value
    if found not in POSITIVE:
        raise ArgumentError(f"{name}: lr is {found!r}; need {POSITIVE}{fix}")
    return float(found)


def rates(lr: Any, learning_rate: Any, default: float) -> Any:
    """The learning rate under either of its names.

    Errors: ArgumentError when both are given and differ.

    Example:
        >>> rates(0.1, 0.5, default=0.1)
        0.5
    """
    if learning_rate is None:
        return lr
    if lr is not default and lr != learning_rate:
        raise ArgumentError(f"lr={lr} and learning_rate={learning_rate} differ; need one of them")
    return learning_rate


def listed(group: Mapping[str, Any]) -> list[Any]:
    """The parameters of a group as somebody wrote it: one or several, with names or without.

    Example:
        >>> listed({"params": [("weight", 1), 2]})
        [1, 2]
    """
    given = group["params"]
    entries = [given] if isinstance(given, Tensor) else given
    return [entry[1] if isinstance(entry, tuple) else entry for entry in entries]


def names_of(group: Mapping[str, Any]) -> list[str] | None:
    """The names that came with the parameters of a group, if all have one.

    Example:
        >>> names_of({"params": [("weight", 1), ("bias", 2)]})
        ['weight', 'bias']
    """
    given = group["params"]
    entries = [given] if isinstance(given, Tensor) else list(given)
    if not entries or not all(isinstance(entry, tuple) for entry in entries):
        return None
    return [str(entry[0]) for entry in entries]
