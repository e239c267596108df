"""Code that runs at fixed points of `fit`, `evaluate` and `predict`; hooks have Keras's names."""

from typing import TYPE_CHECKING

from ambos.core.arguments import answering
from ambos.train.callbacks.base import Callback
from ambos.train.callbacks.dispatch import CallbackList
from ambos.train.callbacks.early_stopping import EarlyStopping
from ambos.train.callbacks.history import History
from ambos.train.callbacks.model_checkpoint import ModelCheckpoint
from ambos.train.callbacks.progress_bar import ProgressBar

__all__ = [
    "Callback", "CallbackList", "EarlyStopping", "History", "ModelCheckpoint", "ProgressBar",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker knows the names, and would take this for any name
    __getattr__ = answering(__name__, __all__)
