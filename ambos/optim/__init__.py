"""Update rules and learning-rate schedules, under PyTorch's names."""

from typing import TYPE_CHECKING

from ambos.core.arguments import answering
from ambos.core.errors import ArgumentError, suggest
from ambos.optim.adam import Adam, AdamW
from ambos.optim.optimizer import Optimizer
from ambos.optim.schedules import CosineAnnealingLR, Schedule, StepLR
from ambos.optim.sgd import SGD

__all__ = [
    "SGD", "Adam", "AdamW", "CosineAnnealingLR", "Optimizer", "Schedule", "StepLR", "by_name",
]  # fmt: skip

BY_NAME: dict[str, type[SGD] | type[Adam]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def by_name(name: str) -> Optimizer:
    """A new optimizer with its usual settings, without parameters yet.

    Errors: ArgumentError for an unknown name.

    Example:
        >>> by_name("sgd")
        SGD(lr=0.001, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False)
    """
    rule = BY_NAME.get(name.lower())
    if rule is None:
        raise ArgumentError(f"optimizer: unknown name {name!r}; known: {', '.join(BY_NAME)}"
                            f"{suggest(name.lower(), BY_NAME)}")  # fmt: skip
    return rule()


if not TYPE_CHECKING:  # a type checker knows the names, and would take this for any name
    __getattr__ = answering(__name__, __all__)
