"""`am.autograd`: PyTorch's names for gradients and grad modes."""

from ambos.tensor.backward import backward, grad
from ambos.tensor.functions import Function
from ambos.tensor.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

__all__ = [
    "Function", "backward", "enable_grad", "grad", "inference_mode", "is_grad_enabled", "no_grad",
    "set_grad_enabled",
]  # fmt: skip
