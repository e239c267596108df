"""Code that runs at fixed points of `fit`, `evaluate` and `predict`; hooks have Keras's names."""

from typing import TYPE_CHECKING

from ambos.core.arguments import answering
from ambos.train.callbacks.backup_and_restore import BackupAndRestore
from ambos.train.callbacks.base import Callback
from ambos.train.callbacks.batch_size_finder import BatchSizeFinder
from ambos.train.callbacks.csv_logger import CSVLogger
from ambos.train.callbacks.dispatch import CallbackList
from ambos.train.callbacks.early_stopping import EarlyStopping
from ambos.train.callbacks.gradient_norms import GradientNorms
from ambos.train.callbacks.history import History
from ambos.train.callbacks.lambda_callback import LambdaCallback
from ambos.train.callbacks.learning_rate_scheduler import LearningRateScheduler
from ambos.train.callbacks.lr_finder import LRFinder
from ambos.train.callbacks.model_checkpoint import ModelCheckpoint
from ambos.train.callbacks.profiler import Profiler
from ambos.train.callbacks.progress_bar import ProgressBar
from ambos.train.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from ambos.train.callbacks.stochastic_weight_averaging import StochasticWeightAveraging
from ambos.train.callbacks.swap_ema_weights import EMA, SwapEMAWeights
from ambos.train.callbacks.terminate_on_nan import TerminateOnNaN
from ambos.train.callbacks.timer import Timer

__all__ = [
    "EMA", "BackupAndRestore", "BatchSizeFinder", "CSVLogger", "Callback", "CallbackList",
    "EarlyStopping", "GradientNorms", "History", "LRFinder", "LambdaCallback",
    "LearningRateScheduler", "ModelCheckpoint", "Profiler", "ProgressBar", "ReduceLROnPlateau",
    "StochasticWeightAveraging", "SwapEMAWeights", "TerminateOnNaN", "Timer",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker knows the names, and would take this for any name
    __getattr__ = answering(__name__, __all__)
