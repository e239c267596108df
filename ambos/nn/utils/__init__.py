"""Helpers around modules, under PyTorch's names."""

from typing import Any

from ambos.nn.module import Module
from ambos.nn.utils import clip_grad, fusion, parametrizations, parametrize, rnn, swa_utils
from ambos.nn.utils.clip_grad import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from ambos.nn.utils.fusion import (
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)
from ambos.nn.utils.older_norms import (
    remove_spectral_norm,
    remove_weight_norm,
    spectral_norm,
    weight_norm,
)
from ambos.nn.utils.vectors import parameters_to_vector, vector_to_parameters

__all__ = [
    "clip_grad", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_",
    "fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights",
    "fusion", "get_total_norm", "parameters_to_vector", "parametrizations", "parametrize",
    "remove_spectral_norm", "remove_weight_norm", "rnn", "skip_init", "spectral_norm", "swa_utils",
    "vector_to_parameters", "weight_norm",
]  # fmt: skip


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Module:
    """A module whose numbers may be anything, since they are replaced: here its initial ones.

    Example:
        >>> from ambos import nn
        >>> nn.utils.skip_init(nn.Linear, 2, 3)
        Linear(in_features=2, out_features=3, bias=True)
    """
    return module_cls(*args, **kwargs)
