"""Control flow: loops and branches whose insides are bodies (`graph.body`).

Such a node may have several results; each is a node of its own whose first attribute says which,
the second what the loop or branch is. One launch computes all that are wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ambos.core.dtype import DType, bool_, int32
from ambos.core.errors import CompilerError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.body import Body, Facts
from ambos.graph.node import Attrs, Node
from ambos.ops.kinds import Op

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


class Control(Op, abstract=True):
    """Facts: `results(inputs, spec)`, shape and dtype of each."""

    kind: ClassVar[str] = "control"

    def parts(self, *inputs: Node, spec: Any) -> tuple[Node, ...]:
        """A node for each result."""
        count = len(self.results(inputs, spec))
        return tuple(self(*inputs, attrs=(part, spec)) for part in range(count))

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        part, spec = attrs
        return self.results(inputs, spec)[part]

    def results(self, inputs: tuple[Node, ...], spec: Any) -> list[Facts]:
        raise NotImplementedError(self.name)


def _facts(nodes: tuple[Node, ...]) -> list[Facts]:
    return [(node.shape, node.dtype) for node in nodes]


class Scan(Control):
    """A loop of known length; attrs: (part, ScanSpec)."""

    def results(self, inputs: tuple[Node, ...], spec: ScanSpec) -> list[Facts]:
        body, first = spec.body, spec.num_constants + spec.num_carry
        sliced = [(node.shape[1:], node.dtype) for node in inputs[first:]]
        if body.takes != [*_facts(inputs[:first]), *sliced]:
            raise CompilerError(f"scan: inputs {_facts(inputs)} do not fit {body.takes}")
        carry, ys = body.gives[: spec.num_carry], body.gives[spec.num_carry :]
        if carry != body.takes[spec.num_constants : first]:
            raise ShapeError(f"scan: the carry goes in as {body.takes} and comes out as {carry}")
        return [*carry, *(((spec.length, *shape), dtype) for shape, dtype in ys)]


class While(Control):
    """A loop that ends when its condition does not hold; attrs: (part, LoopSpec)."""

    name = "while_loop"

    def results(self, inputs: tuple[Node, ...], spec: LoopSpec) -> list[Facts]:
        first = spec.num_condition + spec.num_body
        carry = _facts(inputs[first:])
        if spec.condition.takes != [*_facts(inputs[: spec.num_condition]), *carry]:
            raise CompilerError(f"while_loop: {_facts(inputs)} do not fit {spec.condition.takes}")
        if spec.body.takes != [*_facts(inputs[spec.num_condition : first]), *carry]:
            raise CompilerError(f"while_loop: {_facts(inputs)} do not fit {spec.body.takes}")
        if spec.body.gives != carry or spec.condition.gives != [((), bool_)]:
            raise ShapeError(f"while_loop: the carry goes in as {carry} and comes out as "
                             f"{spec.body.gives}")  # fmt: skip
        return carry


class Branch(Control):
    """One of several bodies; attrs: (part, BranchSpec)."""

    def results(self, inputs: tuple[Node, ...], spec: BranchSpec) -> list[Facts]:
        first = spec.branches[0]
        if _facts(inputs[:1]) != [((), int32)]:
            raise CompilerError(f"branch: the number is {_facts(inputs[:1])}; need an int32 scalar")
        for body in spec.branches:
            if body.takes != _facts(inputs[1:]) or body.gives != first.gives:
                raise ShapeError(f"branch: {body.takes} -> {body.gives} and {first.takes} -> "
                                 f"{first.gives} differ")  # fmt: skip
        return first.gives


scan, while_loop, branch = Scan(), While(), Branch()
