"""What the nodes of loops and branches carry, and the passes that their rules are given.

A rule works on bodies with the pass that asks for it, which lives above this room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from ambos.graph.body import Body
from ambos.graph.node import Node

Item = TypeVar("Item")
Change = Callable[[Body], Body]


@dataclass(frozen=True, slots=True)
class ScanSpec:
    """`length` steps of `body`: (*constants, *carry, *slices of xs) -> (*carry, *slices of ys).

    The node's inputs are (*constants, *initial carry, *xs), its results (*last carry, *ys). xs and
    ys have the steps along their first axis, visited from the last one if `reverse`.
    """

    body: Body
    num_constants: int
    num_carry: int
    length: int
    reverse: bool = False

    @property
    def bodies(self) -> tuple[Body, ...]:
        return (self.body,)

    def with_bodies(self, change: Change) -> ScanSpec:
        """The same loop of other bodies, which take and give the same."""
        return replace(self, body=change(self.body))

    def split(self, items: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item], Sequence[Item]]:
        """What belongs to (constants, carry, xs), of inputs or arguments."""
        first, second = self.num_constants, self.num_constants + self.num_carry
        return items[:first], items[first:second], items[second:]


@dataclass(frozen=True, slots=True)
class LoopSpec:
    """`body` as long as `condition`: inputs are (*constants of the condition, *constants of the
    body, *initial carry); both take their own constants and the carry; results are the carry."""

    condition: Body
    body: Body
    num_condition: int
    num_body: int

    @property
    def bodies(self) -> tuple[Body, ...]:
        return self.condition, self.body

    def with_bodies(self, change: Change) -> LoopSpec:
        """The same loop of other bodies, which take and give the same."""
        return replace(self, condition=change(self.condition), body=change(self.body))

    def split(self, items: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item], Sequence[Item]]:
        """What belongs to (constants of the condition, constants of the body, carry)."""
        first, second = self.num_condition, self.num_condition + self.num_body
        return items[:first], items[first:second], items[second:]


@dataclass(frozen=True, slots=True)
class BranchSpec:
    """One of `branches`, which take the same operands and give results of the same shapes. Inputs
    are (number of the branch, int32 and within range; *operands)."""

    branches: tuple[Body, ...]

    @property
    def bodies(self) -> tuple[Body, ...]:
        return self.branches

    def with_bodies(self, change: Change) -> BranchSpec:
        """The same branch of other bodies, which take and give the same."""
        return BranchSpec(tuple(map(change, self.branches)))


class Gradients(Protocol):
    """`autodiff.reverse.gradients`."""

    def __call__(
        self, outputs: Sequence[Node], seeds: Sequence[Node], wanted: Sequence[Node], /
    ) -> list[Node | None]: ...


class Tangents(Protocol):
    """`autodiff.forward.tangents`."""

    def __call__(
        self, outputs: Sequence[Node], inputs: Sequence[Node], moved: Sequence[Node | None], /
    ) -> list[Node | None]: ...


class Batched(Protocol):
    """`autodiff.batch.batched`."""

    def __call__(
        self, results: Sequence[Node], examples: Mapping[Node, Node], size: int, /
    ) -> list[tuple[Node, bool]]: ...
