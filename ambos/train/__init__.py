"""Training in ten lines: Model and Sequential with compile, fit, evaluate, predict, save."""

from typing import TYPE_CHECKING

from ambos.core.arguments import answering
from ambos.train.callbacks import Callback, EarlyStopping, History, ModelCheckpoint
from ambos.train.model import Model, Sequential
from ambos.train.open_loop import loop
from ambos.train.step import Step

__all__ = [
    "Callback",
    "EarlyStopping",
    "History",
    "Model",
    "ModelCheckpoint",
    "Sequential",
    "Step",
    "loop",
]

if not TYPE_CHECKING:  # a type checker knows the names, and would take this for any name
    __getattr__ = answering(__name__, __all__)
