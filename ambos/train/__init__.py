"""Training in ten lines: Model and Sequential with compile, fit, evaluate, predict, save."""

from ambos.train.callbacks import Callback, EarlyStopping, ModelCheckpoint
from ambos.train.history import History
from ambos.train.model import Model, Sequential

__all__ = ["Callback", "EarlyStopping", "History", "Model", "ModelCheckpoint", "Sequential"]
