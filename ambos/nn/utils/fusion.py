"""A normalisation by known statistics is an affine map: it goes into the layer before it."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from ambos.core.errors import ArgumentError
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter
from ambos.tensor.creation import ones_like, zeros_like
from ambos.tensor.handle import Tensor
from ambos.tensor.modes import no_grad

Layer = TypeVar("Layer", bound=Module)


def fuse_conv_bn_eval(conv: Layer, bn: Any, transpose: bool = False) -> Layer:
    """A convolution that computes what `bn(conv(x))` does, both in evaluation; `transpose` says
    that it is a transposed one.

    Errors: ArgumentError in training, and where `bn` has no running statistics.

    Example:
        >>> from ambos import nn
        >>> pair = nn.Conv2d(3, 4, 3, bias=False).eval(), nn.BatchNorm2d(4).eval()
        >>> nn.utils.fuse_conv_bn_eval(*pair).bias.shape
        (4,)
    """
    return _fused(conv, bn, fuse_conv_bn_weights, transpose=transpose)


def fuse_linear_bn_eval(linear: Layer, bn: Any) -> Layer:
    """A linear layer that computes what `bn(linear(x))` does, both in evaluation.

    Errors: ArgumentError in training, and where `bn` has no running statistics or is for another
        number of features.

    Example:
        >>> from ambos import nn
        >>> nn.utils.fuse_linear_bn_eval(nn.Linear(2, 3).eval(), nn.BatchNorm1d(3).eval())
        Linear(in_features=2, out_features=3, bias=True)
    """
    return _fused(linear, bn, fuse_linear_bn_weights)


def _fused(layer: Layer, bn: Any, weights: Any, **settings: Any) -> Layer:
    if layer.training or bn.training:
        raise ArgumentError("fuse: a layer is in training; need both in evaluation: layer.eval()")
    if bn.running_mean is None:
        raise ArgumentError("fuse: the normalisation has no running statistics; need "
                            "track_running_stats=True")  # fmt: skip
    outputs = getattr(layer, "out_channels", None) or getattr(layer, "out_features", None)
    if bn.num_features != outputs:
        raise ArgumentError(
            f"fuse: {outputs} outputs and a normalisation of {bn.num_features}; need as many"
        )
    fused: Any = copy.deepcopy(layer)
    fused.weight, fused.bias = weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        **settings,
    )  # fmt: skip
    return fused


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """The weight and the bias of the convolution that `fuse_conv_bn_eval` gives.

    Example:
        >>> import ambos as am
        >>> w, one = am.ones(1, 1, 1), am.ones(1)
        >>> fuse_conv_bn_weights(w, None, one, one * 3, 1.0, None, None)[1].item()
        -0.5
    """
    with no_grad():
        bias = zeros_like(bn_rm) if conv_b is None else conv_b
        scale = (ones_like(bn_rm) if bn_w is None else bn_w) * (bn_rv + bn_eps).rsqrt()
        shape = [1] * conv_w.ndim
        shape[1 if transpose else 0] = -1
        shift = zeros_like(bn_rm) if bn_b is None else bn_b
        made = conv_w * scale.reshape(shape), (bias - bn_rm) * scale + shift
        grown = conv_w.requires_grad, conv_w.requires_grad if conv_b is None else bias.requires_grad
        weight, moved = (
            Parameter(value.to(conv_w.dtype), needed)
            for value, needed in zip(made, grown, strict=True)
        )
    return weight, moved


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """The weight and the bias of the linear layer that `fuse_linear_bn_eval` gives.

    Example:
        >>> import ambos as am
        >>> one = am.ones(1)
        >>> fuse_linear_bn_weights(am.ones(1, 1), None, one, one * 3, 1.0, None, None)[0].item()
        0.5
    """
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
