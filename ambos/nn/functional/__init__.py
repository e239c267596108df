"""Layers and losses as functions, under PyTorch's names: `import ambos.nn.functional as F`."""

from typing import TYPE_CHECKING

from ambos.core.arguments import answering, checked_all
from ambos.nn.functional.activation import (
    dropout,
    gelu,
    log_softmax,
    relu,
    relu6,
    sigmoid,
    silu,
    softmax,
    tanh,
)
from ambos.nn.functional.attention import scaled_dot_product_attention
from ambos.nn.functional.convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    pad,
)
from ambos.nn.functional.linear import embedding, linear, one_hot
from ambos.nn.functional.losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    l1_loss,
    mse_loss,
    nll_loss,
)
from ambos.nn.functional.normalization import batch_norm, layer_norm
from ambos.nn.functional.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "batch_norm", "binary_cross_entropy_with_logits", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cross_entropy", "dropout",
    "embedding", "gelu", "l1_loss", "layer_norm", "linear", "log_softmax", "max_pool1d",
    "max_pool2d", "max_pool3d", "mse_loss", "nll_loss", "one_hot", "pad", "relu", "relu6",
    "scaled_dot_product_attention", "sigmoid", "silu", "softmax", "tanh",
]  # fmt: skip

checked_all(__all__, globals())
if not TYPE_CHECKING:  # a type checker knows the names, and would take this for any name
    __getattr__ = answering(__name__, __all__)
