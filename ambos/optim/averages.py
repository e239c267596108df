"""Moving averages in the state of an optimizer, and what else rules have in common."""

from __future__ import annotations

from functools import cache

import numpy as np

from ambos.core.dtype import DType, bfloat16, float16
from ambos.ops.arithmetic import absolute, less, where
from ambos.ops.kinds import constant_like
from ambos.optim.settings import Group
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.limits import finfo


def faded(average: Tensor) -> Tensor:
    """`average`, its subnormal numbers replaced by zero.

    Where no gradient comes any more (a dead unit, a word that does not occur), an average shrinks
    by a constant factor a step, reaches the subnormal numbers and, rounded, stays there for ever.
    Processors need a hundred times longer for those: a step of a small network took 4.5 times
    as long from its 600th step on (docs/performance/steps.md). What is lost is below 1.2e-38.
    Those of float16 stay: they begin at 6e-5, where squares of usual gradients are, and are
    ordinary numbers of the float32 in which it computes.

    Example:
        >>> import ambos as am
        >>> faded(am.tensor([1e-40, -0.5, 2.0])).tolist()
        [0.0, -0.5, 2.0]
    """
    if average.dtype is float16:
        return average
    node = average._node  # nodes, not tensors: this is half of what a rule records
    small = less(absolute(node), constant_like(node, _tiny(node.dtype)))
    return wrap(where(small, constant_like(node, 0.0), node))


@cache
def _tiny(dtype: DType) -> float:
    return finfo(dtype).tiny


def drawn(average: Tensor, value: Tensor, weight: Tensor) -> Tensor:
    """`average` drawn towards `value` by `weight`, between 0 and 1.

    Example:
        >>> import ambos as am
        >>> drawn(am.tensor([1.0]), am.tensor([3.0]), am.tensor(0.25)).tolist()
        [1.5]
    """
    return faded(average + (value - average) * weight)


def squared(average: Tensor, grad: Tensor, kept: Tensor, weight: Tensor) -> Tensor:
    """The average of squares that keeps `kept` of itself and takes in `weight` of `grad` squared.

    Example:
        >>> import ambos as am
        >>> squared(am.tensor([4.0]), am.tensor([2.0]), am.tensor(0.5), am.tensor(0.25)).tolist()
        [3.0]
    """
    return faded(average * kept + grad * weight * grad)


def penalized(grad: Tensor, parameter: Tensor, decay: Tensor | float) -> Tensor:
    """The gradient with that of `decay / 2` times the squared parameter added.

    Example:
        >>> import ambos as am
        >>> penalized(am.tensor([1.0]), am.tensor([4.0]), 0.5).tolist()
        [3.0]
    """
    return grad + parameter * decay


def decay_of(group: Group) -> Tensor | float:
    """What a step multiplies parameters by, where their decay is decoupled; else `penalized`'s."""
    decay: Tensor | float = group["weight_decay"]
    return 1.0 - group["lr"] * decay if group["decoupled_weight_decay"] else decay


def alike(parameter: Tensor, value: complex) -> Tensor:
    """`value` for every element of `parameter`: as data, since a constant would give the first
    step a graph of its own.

    Example:
        >>> import ambos as am
        >>> alike(am.zeros(2), 0.5).tolist()
        [0.5, 0.5]
    """
    kind = "float32" if parameter.dtype is bfloat16 else parameter.dtype.name
    return Tensor(np.full(tuple(parameter.shape), value, kind)).to(parameter.dtype)
