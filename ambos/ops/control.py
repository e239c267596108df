"""Control flow: loops and branches whose insides are bodies (`graph.body`).

Such a node may have several results; each is a node of its own whose first attribute says which,
the second what the loop or branch is. One launch computes all that are wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ambos.core.dtype import DType, bool_, int32
from ambos.core.errors import CompilerError, GradientError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.body import Facts
from ambos.graph.node import Attrs, Node, toposort
from ambos.ops.branch_rules import branch_examples, branch_gradients, branch_tangents
from ambos.ops.control_specs import (
    Batched,
    BranchSpec,
    Gradients,
    LoopSpec,
    ScanSpec,
    Tangents,
)
from ambos.ops.kinds import Grads, Op
from ambos.ops.scan_forward import scan_examples, scan_tangents
from ambos.ops.scan_reverse import scan_gradients
from ambos.ops.while_rules import while_examples, while_tangents


class Control(Op, abstract=True):
    """Facts: `results(inputs, spec)`, shape and dtype of each; `pull_back`, `push_forward` and
    `spread`, the rules for all parts at once, each of which is given the pass that asks, to be
    used on bodies."""

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

    def pull_back(
        self, inputs: tuple[Node, ...], spec: Any, given: Sequence[Node | None],
        needed: Sequence[bool], gradients: Gradients,
    ) -> Grads:  # fmt: skip
        """The gradients of the inputs that are `needed`, from those `given` of the results."""
        raise NotImplementedError(self.name)

    def push_forward(
        self, inputs: tuple[Node, ...], spec: Any, given: Sequence[Node | None], tangents: Tangents
    ) -> list[Node | None]:
        """The tangents of the results, from those `given` of the inputs."""
        raise NotImplementedError(self.name)

    def spread(
        self, inputs: tuple[Node, ...], spec: Any, which: Sequence[bool], size: int,
        batched: Batched,
    ) -> list[tuple[Node, bool]]:  # fmt: skip
        """The results for `size` examples, along a new first axis of those that depend on them,
        and which these are. `which` of the inputs have that axis."""
        raise NotImplementedError(self.name)


def same_parts(node: Node) -> Any:
    """What the parts of one loop or branch have in common."""
    return node.op, node.inputs, node.attrs[1]


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

    pull_back = staticmethod(scan_gradients)
    push_forward = staticmethod(scan_tangents)
    spread = staticmethod(scan_examples)


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

    push_forward = staticmethod(while_tangents)
    spread = staticmethod(while_examples)

    def pull_back(
        self, inputs: tuple[Node, ...], spec: LoopSpec, given: Sequence[Node | None],
        needed: Sequence[bool], gradients: Gradients,
    ) -> Grads:  # fmt: skip
        raise GradientError(
            "while_loop: no gradient leads back through it, since nobody knows how many steps "
            "would have to be kept; need a number of steps that is known before: am.scan, or "
            "am.fori_loop with bounds that are Python ints (with am.where for steps that should "
            "change nothing); or forward mode, am.jvp"
        )


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

    pull_back = staticmethod(branch_gradients)
    push_forward = staticmethod(branch_tangents)
    spread = staticmethod(branch_examples)


scan, while_loop, branch = Scan(), While(), Branch()


def with_insides(order: Sequence[Node]) -> list[Node]:
    """`order`, and behind it the nodes in the bodies of its loops and branches."""
    found = list(order)
    seen: set[Any] = set()
    for node in found:  # which grows meanwhile
        if isinstance(node.op, Control) and node.attrs[1] not in seen:
            seen.add(node.attrs[1])
            for body in node.attrs[1].bodies:
                found += toposort(body.results)
    return found


__all__ = [
    "Branch", "BranchSpec", "Control", "LoopSpec", "Scan", "ScanSpec", "While", "branch",
    "same_parts", "scan", "while_loop", "with_insides",
]  # fmt: skip
