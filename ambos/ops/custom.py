"""Results whose derivatives are somebody's own: `am.custom_vjp`, `am.custom_jvp`,
`am.autograd.Function`, `am.checkpoint`.

Such a node is one of its inputs, and is gone before anything is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from ambos.graph.body import Body, Facts
from ambos.graph.node import Attrs, Node, make, toposort
from ambos.graph.rewrite import Trail, rewrite
from ambos.ops.control import Control, branch, scan, while_loop
from ambos.ops.control_specs import Batched, Gradients, Tangents
from ambos.ops.kinds import Grads, repeated


class Rule(Protocol):
    """The derivatives, on nodes. `operands` are the inputs behind the results."""

    @property
    def is_spent(self) -> bool:
        """Is it asked once only? An outer transform then sees the plain results."""

    def pull_back(
        self, operands: Sequence[Node], given: Sequence[Node | None], needed: Sequence[bool],
        results: Sequence[Node],
    ) -> Grads:  # fmt: skip
        """The gradients of the operands that are `needed`, from those `given` of the results."""

    def push_forward(
        self, operands: Sequence[Node], given: Sequence[Node | None], results: Sequence[Node]
    ) -> Sequence[Node | None]:
        """The tangents of the results, from those `given` of the operands."""

    def for_examples(self, which: Sequence[bool], operands: Sequence[Node], size: int) -> Rule:
        """The rule for `size` examples; `which` of the `operands` have them in front."""


@dataclass(frozen=True, slots=True, eq=False)
class CustomSpec:
    """The first `count` inputs are the results, the others what `rule` needs."""

    count: int
    rule: Rule
    bodies: ClassVar[tuple[Body, ...]] = ()


Rules = frozenset[CustomSpec] | None  # None: all


class Custom(Control):
    """One of the inputs, with derivatives of its own; attrs: (part, CustomSpec)."""

    ref = lambda np, *inputs_attrs: inputs_attrs[inputs_attrs[-2]]

    def results(self, inputs: tuple[Node, ...], spec: CustomSpec) -> list[Facts]:
        return [(node.shape, node.dtype) for node in inputs[: spec.count]]

    def pull_back(
        self, inputs: tuple[Node, ...], spec: CustomSpec, given: Sequence[Node | None],
        needed: Sequence[bool], gradients: Gradients,
    ) -> Grads:  # fmt: skip
        count = spec.count
        results = self.parts(*inputs, spec=spec)
        found = spec.rule.pull_back(inputs[count:], given, needed[count:], results)
        return (*[None] * count, *found)

    def push_forward(
        self, inputs: tuple[Node, ...], spec: CustomSpec, given: Sequence[Node | None],
        tangents: Tangents,
    ) -> list[Node | None]:  # fmt: skip
        count = spec.count
        if all(tangent is None for tangent in given[count:]):
            return [None] * count
        return list(spec.rule.push_forward(inputs[count:], given[count:], inputs[:count]))

    def spread(
        self, inputs: tuple[Node, ...], spec: CustomSpec, which: Sequence[bool], size: int,
        batched: Batched,
    ) -> list[tuple[Node, bool]]:  # fmt: skip
        count = spec.count
        results = [
            node if depends else repeated(node, size)
            for node, depends in zip(inputs[:count], which, strict=False)
        ]
        operands = inputs[count:]
        rule = spec.rule.for_examples(tuple(which[count:]), operands, size)
        made = self.parts(*results, *operands, spec=CustomSpec(count, rule))
        return [(node, True) for node in made]


custom = Custom()


def plain(node: Node) -> Node:
    """The result itself, without the derivatives."""
    return node.inputs[node.attrs[0]]


def without_rules(
    roots: Sequence[Node], of: Rules = None, trail: Trail | None = None
) -> list[Node]:
    """`roots` with the plain results in place of custom nodes (`of` these rules, or all), those
    inside loops and branches as well."""

    def drop(node: Node) -> Node | None:
        return plain(node) if of is None or node.attrs[1] in of else None

    def inside(node: Node) -> Node | None:
        attrs = plain_attrs(node.attrs, of)
        return None if attrs is node.attrs else make(node.op, node.inputs, attrs, node.tracked)

    loops = dict.fromkeys((op.name for op in (scan, while_loop, branch)), (inside,))
    return rewrite(roots, {"custom": (drop,), **loops}, trail)


def plain_attrs(attrs: Attrs, of: Rules = None) -> Attrs:
    """The attributes of a loop or branch without rules in its bodies: what tells what it
    computes."""
    part, spec = attrs
    if all(plain_body(body, of) is body for body in spec.bodies):
        return attrs
    return part, spec.with_bodies(lambda body: plain_body(body, of))


def plain_body(body: Body, of: Rules = None) -> Body:
    """The body without rules (itself, where it has none)."""
    if not _has_rules(body):
        return body
    results = without_rules(body.results, of)
    return body if tuple(results) == body.results else Body(body.arguments, results)


MAX_PLAIN = 512
_plain: set[Body] = set()  # bodies without rules; others would keep the user's functions alive


def _has_rules(body: Body) -> bool:
    if body in _plain:
        return False
    for node in toposort(body.results):
        if node.op is custom:
            return True
        if isinstance(node.op, Control) and any(map(_has_rules, node.attrs[1].bodies)):
            return True
    if len(_plain) >= MAX_PLAIN:
        _plain.clear()
    _plain.add(body)
    return False
