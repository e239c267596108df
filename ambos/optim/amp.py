"""`am.amp`: mixed precision under PyTorch's name for it."""

from ambos.optim.grad_scaler import GradScaler
from ambos.tensor.autocast import autocast

__all__ = ["GradScaler", "autocast"]
