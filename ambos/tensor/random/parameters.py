"""What distributions are told: parameters as numbers or tensors, of one shape and dtype, in the
range where the distribution exists."""

from __future__ import annotations

import math
from typing import Any

from ambos.core.dtype import DType, float32, float64
from ambos.core.errors import ArgumentError
from ambos.core.shape import Shape, broadcast
from ambos.graph.node import Node
from ambos.tensor.checks import require_between
from ambos.tensor.handle import operand_of, shape_of
from ambos.tensor.operands import align, common_dtype, expand_to


def common_shape(op: str, shape: Any, *parameters: Any) -> Shape:
    """The shape asked for, or that of the parameters together."""
    nodes = [operand_of(p) for p in parameters]
    found = [n.shape for n in nodes if isinstance(n, Node)]
    if shape is not None:
        sizes = shape_of(op, (shape,))
        if found and broadcast(op, sizes, *found) != sizes:
            raise ArgumentError(f"{op}: the parameters' shape {broadcast(op, *found)} does not "
                                f"broadcast to {sizes}; need a shape that holds it")  # fmt: skip
        return sizes
    return broadcast(op, *found) if found else ()


def common_parameters(
    op: str, shape: Shape, *values: Any, wanted: DType | None = None
) -> tuple[Node, ...]:
    """Parameters of one dtype in `shape`: float64 where they have it or the result is `wanted` so,
    else float32."""
    given = tuple(operand_of(v) for v in values)
    wide = wanted is float64 or common_dtype(given) is float64
    return tuple(expand_to(x, shape) for x in align(op, given, float64 if wide else float32))


def require_above(op: str, low: float = 0.0, high: float = math.inf, **values: Any) -> None:
    """An ArgumentError for a parameter that does not lie in (low, high]."""
    _require(op, low, high, True, values)


def require_from(op: str, low: float = 0.0, high: float = math.inf, **values: Any) -> None:
    """An ArgumentError for a parameter that does not lie in [low, high]."""
    _require(op, low, high, False, values)


def _require(op: str, low: float, high: float, above: bool, values: dict[str, Any]) -> None:
    """Numbers, and tensors whose values are known; what is to be computed is not waited for."""
    least = f"above {low:g}" if above else f"of at least {low:g}"
    range_ = least + (f" and at most {high:g}" if high < math.inf else "")
    for name, value in values.items():
        given = operand_of(value)
        if isinstance(given, Node):
            start = f"{op}: {name} holds "
            require_between(given, low, high, above, start, f"; need numbers {range_}")
        elif (
            isinstance(given, complex)
            or not (given > low if above else given >= low)
            or given > high
        ):
            raise ArgumentError(f"{op}: {name} is {given}; need a number {range_}")
