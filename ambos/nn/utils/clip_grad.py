"""Gradients cut to a size before a step, within the graph of that step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.tensor.creation import zeros
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import stack
from ambos.tensor.linalg.functions import vector_norm
from ambos.tensor.modes import no_grad


def get_total_norm(
    tensors: Any,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of all `tensors`, as of one vector.

    Shapes: any -> ().
    Errors: ArgumentError for what are no tensors and, with `error_if_nonfinite`, where the norm is
        infinite or NaN (which looks at it, so not inside of `am.jit`).

    Example:
        >>> import ambos as am
        >>> get_total_norm([am.tensor([3.0]), am.tensor([4.0])]).item()
        5.0
    """
    found = _listed("get_total_norm", tensors)
    with no_grad():
        if not found:
            return zeros(())
        total = vector_norm(stack([vector_norm(x, float(norm_type)) for x in found]), norm_type)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise ArgumentError(
            f"get_total_norm: the norm is {total.item()}; need finite gradients: look for what "
            "overflows (am.debugging), or pass error_if_nonfinite=False"
        )
    return total


def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale the gradients of `parameters`, whose norm is `total_norm`, down to `max_norm`.

    Errors: ArgumentError for what are no tensors, and unless max_norm >= 0.

    Example:
        >>> import ambos as am
        >>> weight = am.ones(2, requires_grad=True)
        >>> weight.grad = am.tensor([3.0, 4.0])
        >>> clip_grads_with_norm_([weight], 10.0, am.tensor(40.0))
        >>> weight.grad.tolist()
        [0.75, 1.0]
    """
    _require_size("clip_grads_with_norm_: max_norm", max_norm)
    with no_grad():
        share = (float(max_norm) / (total_norm + 1e-6)).clip(max=1.0)
        for parameter in _with_gradients("clip_grads_with_norm_", parameters):
            parameter.grad = parameter.grad * share.to(parameter.grad.dtype)


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients by one factor, so that their norm is at most `max_norm`; returns the norm
    that they had. Call it between `backward()` and `step()`.

    Errors: ArgumentError as of `get_total_norm`, and unless max_norm >= 0.
    Source: Pascanu, Mikolov, Bengio (2013), "On the difficulty of training recurrent neural
        networks".

    Example:
        >>> import ambos as am
        >>> weight = am.ones(2, requires_grad=True)
        >>> weight.grad = am.tensor([3.0, 4.0])
        >>> clip_grad_norm_([weight], 1.0).item()
        5.0
        >>> weight.grad.numpy().round(3)
        array([0.6, 0.8], dtype=float32)
    """
    _require_size("clip_grad_norm_: max_norm", max_norm)
    found = _with_gradients("clip_grad_norm_", parameters)
    total = get_total_norm([p.grad for p in found], norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(found, max_norm, total, foreach)
    return total


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Cut every element of every gradient to between `-clip_value` and `clip_value`.

    Errors: ArgumentError for what are no tensors, and unless clip_value >= 0.

    Example:
        >>> import ambos as am
        >>> weight = am.ones(2, requires_grad=True)
        >>> weight.grad = am.tensor([0.5, -4.0])
        >>> clip_grad_value_([weight], 1.0)
        >>> weight.grad.tolist()
        [0.5, -1.0]
    """
    _require_size("clip_grad_value_: clip_value", clip_value)
    limit = float(clip_value)
    with no_grad():
        for parameter in _with_gradients("clip_grad_value_", parameters):
            parameter.grad = parameter.grad.clip(-limit, limit)


def _with_gradients(name: str, parameters: Any) -> list[Any]:
    return [p for p in _listed(name, parameters) if p.grad is not None]


def _listed(name: str, tensors: Any) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        return [tensors]
    if hasattr(tensors, "parameters"):
        kind = type(tensors).__name__
        raise ArgumentError(f"{name}: got a {kind}; need its parameters: pass module.parameters()")
    found = list(tensors) if isinstance(tensors, Iterable) else [tensors]
    for entry in found:
        if not isinstance(entry, Tensor):
            raise ArgumentError(f"{name}: got {type(entry).__name__}; need tensors")
    return found


def _require_size(name: str, value: Any) -> None:
    if not isinstance(value, (int, float)) or not value >= 0:
        raise ArgumentError(f"{name} is {value!r}; need a number >= 0")
