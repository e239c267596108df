"""Helpers around modules, under PyTorch's names."""

from ambos.nn.utils import clip_grad, parametrizations, parametrize, rnn, swa_utils
from ambos.nn.utils.clip_grad import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from ambos.nn.utils.vectors import parameters_to_vector, vector_to_parameters

__all__ = [
    "clip_grad", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm",
    "parameters_to_vector", "parametrizations", "parametrize", "rnn", "swa_utils",
    "vector_to_parameters",
]  # fmt: skip
