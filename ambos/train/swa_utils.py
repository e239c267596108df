"""Averages of weights along a training: `am.optim.swa_utils`, as in PyTorch.

The model is a module and the schedule is one of an optimizer's, so this is the first room that
knows both.
"""

from ambos.nn.utils.swa_utils import (
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
    get_swa_avg_fn,
    get_swa_multi_avg_fn,
    update_bn,
)
from ambos.optim.lr_scheduler import SWALR

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
    "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip
