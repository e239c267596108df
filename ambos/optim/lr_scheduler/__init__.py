"""Learning rates that change from step to step, under PyTorch's names."""

from typing import TYPE_CHECKING

from ambos.core.arguments import answering
from ambos.optim.lr_scheduler.base import LRScheduler
from ambos.optim.lr_scheduler.chains import ChainedScheduler, SequentialLR, warmup_cosine
from ambos.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from ambos.optim.lr_scheduler.cycles import CyclicLR, OneCycleLR
from ambos.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from ambos.optim.lr_scheduler.plateau import ReduceLROnPlateau
from ambos.optim.lr_scheduler.swa import SWALR

__all__ = [
    "SWALR", "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts",
    "CyclicLR", "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR",
    "MultiplicativeLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "SequentialLR", "StepLR",
    "warmup_cosine",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker knows the names, and would take this for any name
    __getattr__ = answering(__name__, __all__)
