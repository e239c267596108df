"""Orthogonal polynomials of degree n.

A Python integer n is unrolled into the recurrence, which has gradients of every order; a tensor of
degrees is one op that counts for each element, without a gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.ops.elementary.orthogonal import POLYNOMIALS
from ambos.ops.kinds import op as op_named
from ambos.tensor.handle import Tensor, node_of, operand_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import floating, quotient

UNROLLED = 64  # degrees above are counted by the op
VALUES = {  # of degree 3 at 0.75, for the example
    "chebyshev_polynomial_t": "-0.5625", "chebyshev_polynomial_u": "0.3750",
    "chebyshev_polynomial_v": "-0.8750", "chebyshev_polynomial_w": "1.6250",
    "shifted_chebyshev_polynomial_t": "-1.0000", "shifted_chebyshev_polynomial_u": "-1.0000",
    "shifted_chebyshev_polynomial_v": "-1.0000", "shifted_chebyshev_polynomial_w": "-1.0000",
    "hermite_polynomial_h": "-5.6250", "hermite_polynomial_he": "-1.8281",
    "laguerre_polynomial_l": "-0.4766", "legendre_polynomial_p": "-0.0703",
}  # fmt: skip

exported: dict[str, Callable[..., Tensor]] = {}


def _degree(name: str, n: Any) -> int | None:
    """n as a number to unroll, or None for the op."""
    if isinstance(n, bool) or not isinstance(n, (int, float)):
        return None
    if n != int(n):
        raise ArgumentError(f"{name}: n is {n}; need a whole number")
    return int(n) if n <= UNROLLED else None


def _unrolled(name: str, x: Tensor, n: int) -> Tensor:
    first, step, shifted = POLYNOMIALS[name]
    value: Any = x * 2.0 - 1.0 if shifted else x
    before: Any = x * 0.0 + 1.0
    last: Any = first(value)
    if n < 1:
        return before if n == 0 else before * 0.0
    number: Any
    for number in range(1, n):
        before, last = last, step(value, number, last, before)
    found: Tensor = last
    return found


def _publish(name: str) -> None:
    def function(x: Any, n: Any) -> Tensor:
        degree = _degree(name, n)
        if degree is not None:
            return _unrolled(name, wrap(floating(node_of(x))), degree)
        return wrap(quotient(op_named(name), operand_of(x), operand_of(n)))

    kind = name.replace("_polynomial_", "'s polynomial ").replace("_", " ").capitalize()
    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__doc__ = (
        f"{kind} of degree n; 0 for n < 0.\n\nExample:\n    >>> import ambos as am\n"
        f"    >>> f'{{am.special.{name}(0.75, 3):.4f}}'\n    '{VALUES[name]}'"
    )
    exported[name] = public(function)


for _name in POLYNOMIALS:
    _publish(_name)
globals().update(exported)
__all__ = sorted(exported)
