"""Update rules and learning-rate schedules, under PyTorch's names."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ambos.core.arguments import answering
from ambos.core.errors import ArgumentError, suggest
from ambos.optim import lr_scheduler
from ambos.optim.adadelta import Adadelta
from ambos.optim.adafactor import Adafactor
from ambos.optim.adagrad import Adagrad
from ambos.optim.adam import Adam, AdamW
from ambos.optim.adamax import Adamax
from ambos.optim.asgd import ASGD
from ambos.optim.lbfgs import LBFGS
from ambos.optim.lion import Lion
from ambos.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, StepLR, warmup_cosine
from ambos.optim.muon import Muon
from ambos.optim.nadam import NAdam
from ambos.optim.optimizer import Optimizer
from ambos.optim.radam import RAdam
from ambos.optim.rmsprop import RMSprop
from ambos.optim.rprop import Rprop
from ambos.optim.schedule_free import AdamWScheduleFree
from ambos.optim.sgd import SGD
from ambos.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD", "LBFGS", "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW",
    "AdamWScheduleFree", "Adamax", "CosineAnnealingLR", "LRScheduler", "Lion", "Muon",
    "NAdam", "Optimizer", "RAdam", "RMSprop", "Rprop", "SparseAdam", "StepLR", "by_name",
    "lr_scheduler", "warmup_cosine",
]  # fmt: skip

RULES = (
    SGD, Adam, AdamW, Adamax, NAdam, RAdam, Adagrad, Adadelta, RMSprop, Rprop, ASGD, Adafactor,
    Muon, Lion, AdamWScheduleFree, SparseAdam,
)  # fmt: skip
BY_NAME: dict[str, Callable[[], Optimizer]] = {rule.__name__.lower(): rule for rule in RULES}


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
    __getattr__ = answering(__name__, __all__, ["swa_utils"])
