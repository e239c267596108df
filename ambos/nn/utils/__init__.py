"""Helpers around modules, under PyTorch's names."""

from ambos.nn.utils import clip_grad, rnn
from ambos.nn.utils.clip_grad import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)

__all__ = [
    "clip_grad", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm",
    "rnn",
]  # fmt: skip
