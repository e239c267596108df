"""Layers and losses as functions, under PyTorch's names: `import ambos.nn.functional as F`."""

from typing import TYPE_CHECKING

from ambos.core.arguments import answering, checked_all
from ambos.nn.functional.activation import (
    gelu,
    log_softmax,
    relu,
    relu6,
    sigmoid,
    silu,
    softmax,
    tanh,
)
from ambos.nn.functional.alignment import ctc_loss
from ambos.nn.functional.attention import scaled_dot_product_attention
from ambos.nn.functional.bags import embedding, embedding_bag
from ambos.nn.functional.convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from ambos.nn.functional.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from ambos.nn.functional.folding import (
    channel_shuffle,
    fold,
    pixel_shuffle,
    pixel_unshuffle,
    unfold,
)
from ambos.nn.functional.groups import (
    group_norm,
    instance_norm,
    local_response_norm,
    normalize,
    rms_norm,
)
from ambos.nn.functional.interpolation import (
    interpolate,
    upsample,
    upsample_bilinear,
    upsample_nearest,
)
from ambos.nn.functional.linear import bilinear, linear, one_hot
from ambos.nn.functional.losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    l1_loss,
    linear_cross_entropy,
    mse_loss,
    nll_loss,
)
from ambos.nn.functional.lp_pooling import lp_pool1d, lp_pool2d, lp_pool3d
from ambos.nn.functional.margins import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from ambos.nn.functional.multihead import multi_head_attention_forward
from ambos.nn.functional.normalization import batch_norm, layer_norm
from ambos.nn.functional.padding import pad
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
from ambos.nn.functional.rectifiers import (
    celu,
    elu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    prelu,
    rrelu,
    selu,
    softshrink,
    threshold,
)
from ambos.nn.functional.regression import (
    binary_cross_entropy,
    gaussian_nll_loss,
    huber_loss,
    kl_div,
    poisson_nll_loss,
    smooth_l1_loss,
)
from ambos.nn.functional.rotary import rotary_embedding
from ambos.nn.functional.sampling import affine_grid, grid_sample
from ambos.nn.functional.smooth import (
    glu,
    gumbel_softmax,
    logsigmoid,
    mish,
    softmin,
    softplus,
    softsign,
    tanhshrink,
)
from ambos.nn.functional.unpooling import (
    fractional_max_pool2d,
    fractional_max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from ambos.tensor.distances import cosine_similarity, pairwise_distance, pdist

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "affine_grid", "alpha_dropout", "avg_pool1d",
    "avg_pool2d", "avg_pool3d", "batch_norm", "bilinear", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "celu", "channel_shuffle", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cosine_embedding_loss",
    "cosine_similarity", "cross_entropy", "ctc_loss", "dropout", "dropout1d", "dropout2d",
    "dropout3d", "elu", "embedding", "embedding_bag", "feature_alpha_dropout", "fold",
    "fractional_max_pool2d", "fractional_max_pool3d", "gaussian_nll_loss", "gelu", "glu",
    "grid_sample", "group_norm", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish",
    "hardtanh", "hinge_embedding_loss", "huber_loss", "instance_norm", "interpolate", "kl_div",
    "l1_loss", "layer_norm", "leaky_relu", "linear", "linear_cross_entropy", "local_response_norm",
    "log_softmax", "logsigmoid", "lp_pool1d", "lp_pool2d", "lp_pool3d", "margin_ranking_loss",
    "max_pool1d", "max_pool2d", "max_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d",
    "mish", "mse_loss", "multi_head_attention_forward", "multi_margin_loss",
    "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "normalize", "one_hot",
    "pad", "pairwise_distance", "pdist", "pixel_shuffle", "pixel_unshuffle", "poisson_nll_loss",
    "prelu", "relu", "relu6", "rms_norm", "rotary_embedding", "rrelu",
    "scaled_dot_product_attention", "selu",
    "sigmoid", "silu", "smooth_l1_loss", "soft_margin_loss", "softmax", "softmin", "softplus",
    "softshrink", "softsign", "tanh", "tanhshrink", "threshold", "triplet_margin_loss",
    "triplet_margin_with_distance_loss", "unfold", "upsample", "upsample_bilinear",
    "upsample_nearest",
]  # fmt: skip

checked_all(__all__, globals())
if not TYPE_CHECKING:  # a type checker knows the names, and would take this for any name
    __getattr__ = answering(__name__, __all__)
