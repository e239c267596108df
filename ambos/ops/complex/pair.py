"""A complex number in parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ambos.graph.node import Node
from ambos.ops.arithmetic import add, multiply, subtract


class Pair(NamedTuple):
    """The parts of a complex node."""

    real: Node
    imag: Node

    def each(self, function: Callable[[Node], Node]) -> Pair:
        """`function` of either part."""
        return Pair(function(self.real), function(self.imag))


def product(z: Pair, w: Pair, times: Callable[[Node, Node], Node] = multiply) -> Pair:
    """z * w, without a look at infinities: as NumPy and PyTorch multiply."""
    return Pair(
        subtract(times(z.real, w.real), times(z.imag, w.imag)),
        add(times(z.real, w.imag), times(z.imag, w.real)),
    )
