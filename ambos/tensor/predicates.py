"""Questions about each element."""

from __future__ import annotations

import math
from typing import Any

from ambos.core.dtype import bool_
from ambos.ops import arithmetic as ops
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import scalar


def _is_limit(x: Any, limit: float) -> Tensor:
    node = node_of(x)
    if not node.dtype.is_floating:
        return wrap(scalar(False, bool_, node.shape))
    return wrap(ops.equal(node, scalar(limit, node.dtype, node.shape)))


@public
def isposinf(x: Any) -> Tensor:
    """Is it plus infinity?

    Example:
        >>> import ambos as am
        >>> am.isposinf(am.tensor([1.0, float("inf"), float("-inf")])).tolist()
        [False, True, False]
    """
    return _is_limit(x, math.inf)


@public
def isneginf(x: Any) -> Tensor:
    """Is it minus infinity?"""
    return _is_limit(x, -math.inf)


__all__ = ["isneginf", "isposinf"]
