"""The elementary functions of complex numbers as ops on their parts.

Each function is two real ops, one for each part of its result, with the same scalar code; what
both compute a kernel computes once. They come into being in `pairs.py` only, behind gradients, so
they have none of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ambos.graph.node import Node
from ambos.ops.complex.pair import Pair
from ambos.ops.elementary.complex import RULES, Rule, in_float64
from ambos.ops.kinds import Op, Pointwise
from ambos.ops.kinds import op as op_named


class Half(Pointwise, abstract=True):
    """One part of a function of complex numbers, from the parts of its operands."""

    accepts, differentiable, smooth, cost = "f", False, False, 60

    @staticmethod
    def reference(function: str, side: int) -> Callable[..., Any]:
        """The part of what the op on complex numbers gives."""

        def ref(np: Any, *parts: Any) -> Any:
            numbers = []
            for x, y in zip(parts[::2], parts[1::2], strict=True):
                z = np.empty(x.shape, np.result_type(x.dtype, np.complex64))
                z.real, z.imag = x, y
                numbers.append(z)
            found = op_named(function).ref(np, *numbers)
            return np.ascontiguousarray((found.real, found.imag)[side])

        return ref


def _declare(function: str, rule: Rule, side: int) -> Op:
    name = f"complex_{function}_{('real', 'imag')[side]}"
    count = rule.__code__.co_argcount - 1
    widened = in_float64(rule)
    facts: dict[str, Any] = {
        "name": name,
        "__doc__": f"The {('real', 'imaginary')[side]} part of `{function}` of complex numbers.",
        "arity": count,
        "lower": lambda b, *parts: widened(b, *parts)[side],
        "ref": Half.reference(function, side),
    }
    kind: type[Op] = type(name, (Half,), facts)
    return kind()


HALVES = {
    function: (_declare(function, rule, 0), _declare(function, rule, 1))
    for function, rule in RULES.items()
}


def of_parts(function: str, *operands: Pair) -> Pair:
    """`function` of complex operands."""
    parts: list[Node] = [part for operand in operands for part in operand]
    real, imag = HALVES[function]
    return Pair(real(*parts), imag(*parts))
