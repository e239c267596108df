"""Elements of folds of which somebody else says where they are, and with them their derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.ops.arithmetic import where
from ambos.ops.custom import CustomSpec, Rule, custom
from ambos.ops.kinds import Grads, constant_like
from ambos.ops.reductions import is_at, keep, sum_
from ambos.tensor.own_rules import ForExamples


def found_at(value: Node, x: Node, place: Node, axes: Shape) -> Node:
    """`value`, an element of `x` along `axes`, whose derivatives are those of the element at
    `place`, row by row."""
    (found,) = custom.parts(value, x, place, spec=_found(axes))
    return found


@dataclass(frozen=True)
class Found:
    """The derivatives of the elements: nothing comes from the others."""

    axes: Shape
    is_spent = False

    def pull_back(
        self, operands: Sequence[Node], given: Sequence[Node | None], needed: Sequence[bool],
        results: Sequence[Node],
    ) -> Grads:  # fmt: skip
        (x, place), (g,) = operands, given
        assert g is not None, "it has one result"
        return self._chosen(x, place, keep(g, self.axes, x.shape)), None

    def push_forward(
        self, operands: Sequence[Node], given: Sequence[Node | None], results: Sequence[Node]
    ) -> Sequence[Node | None]:
        (x, place), (tangent, _) = operands, given
        assert tangent is not None, "nothing else has one"
        return (sum_(self._chosen(x, place, tangent), attrs=(self.axes,)),)

    def for_examples(self, which: Sequence[bool], operands: Sequence[Node], size: int) -> Rule:
        return ForExamples(self, which, size, self.is_spent)

    def _chosen(self, x: Node, place: Node, values: Node) -> Node:
        """`values` where the elements are, zeros elsewhere."""
        return where(is_at(place, self.axes, x.shape), values, constant_like(values, 0))


@lru_cache
def _found(axes: Shape) -> CustomSpec:
    return CustomSpec(1, Found(axes))
