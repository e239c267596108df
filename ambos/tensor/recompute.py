"""`checkpoint`: less memory for the backward pass, for computing a part of the forward again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ambos.autodiff.forward import tangents
from ambos.autodiff.reverse import gradients
from ambos.core import tree
from ambos.graph.node import Node, toposort, tracking
from ambos.graph.rewrite import Trail, substitute
from ambos.ops.custom import Rule
from ambos.ops.kinds import Grads
from ambos.ops.movement import afresh
from ambos.ops.sources import argument
from ambos.tensor.gradient_hooks import Table, hooks_within, turned_by
from ambos.tensor.identity import alias
from ambos.tensor.modes import enable_grad
from ambos.tensor.names import public
from ambos.tensor.own_rules import ForExamples, attach, taken_apart
from ambos.tensor.signature import argument_name
from ambos.tensor.variables import constants_of, require_function


@public
def checkpoint(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, a function or a module, but what it computes on the way to its results is not kept for
    the backward pass: that computes it again from the arguments, when it is there.

    Results and gradients have the same bits as without. Memory falls where `fn` makes much on the
    way to little: wrap the blocks of a deep network, each of which then keeps its input only.

    Hooks of tensors inside (`register_hook`, `retain_grad`) see the gradients of what is computed
    again; of an argument, the gradient that comes through `fn`. Hooks of modules around a forward
    are called once: `fn` is not, only what it computes runs again.

    Example:
        >>> import ambos as am
        >>> am.grad(am.checkpoint(lambda x: am.sin(am.sin(x))))(am.tensor(0.0))
        tensor(1.)
    """
    require_function("checkpoint", fn, "am.checkpoint(f)(x)")

    @functools.wraps(fn, updated=())
    def transformed(*args: Any, **kwargs: Any) -> Any:
        if not tracking.enabled:
            return fn(*args, **kwargs)
        given, layout = taken_apart((args, kwargs))
        starts = [alias(node, node.tracked) for node in given]
        leaves = layout.leaves_on(starts)
        inner = layout.structure.build(iter(leaves))
        found = fn(*inner[0], **inner[1])
        name = lambda path: "argument " + argument_name(fn, path)
        tree.refuse_changes("checkpoint", layout.structure, leaves, inner, name)
        results, value = taken_apart(found)
        outside = constants_of(results, starts)
        if not any(node.tracked for node in results):
            return found
        arguments = [argument.leaf(x.shape, x.dtype, x.tracked) for x in (*starts, *outside)]
        moved = dict(zip((*starts, *outside), arguments, strict=True))
        hooks = hooks_within(_between(results, starts, outside))
        places: Trail = {node: number for number, node in enumerate(hooks)}
        template = substitute(results, moved, places)
        inside = {node: place for node, place in places.items() if node not in hooks}
        rule = Again(tuple(arguments), tuple(template), inside, tuple(hooks.values()))
        return attach(results, value, [*given, *outside], rule)

    return transformed


def _between(
    results: Sequence[Node], starts: Sequence[Node], outside: Sequence[Node]
) -> Iterator[Node]:
    """What a function computed on the way from its arguments and from what it took from outside:
    where gradients pass."""
    ends = {*starts, *outside}
    order = toposort(results, stop=lambda node: node in ends or not node.tracked)
    theirs = {*outside}
    return (node for node in order if node.tracked and node not in theirs)


@dataclass(frozen=True, eq=False, slots=True)
class Again:
    """The rule: `results` as a function of `arguments`. Hooks number `places[node]` are those of a
    node between them."""

    arguments: tuple[Node, ...]
    results: tuple[Node, ...]
    places: Trail
    hooks: tuple[Sequence[Table], ...]
    is_spent: bool = False

    def on(self, operands: Sequence[Node], places: Trail | None = None) -> list[Node]:
        """The results, computed from `operands`; `places` says where hooks are then, too."""
        with enable_grad():
            new = dict(zip(self.arguments, operands, strict=True))
            return substitute(self.results, new, places)

    def pull_back(
        self, operands: Sequence[Node], given: Sequence[Node | None], needed: Sequence[bool],
        results: Sequence[Node],
    ) -> Grads:  # fmt: skip
        variables = [alias(afresh(x), x.tracked) for x in operands]
        places = dict(self.places)
        again = self.on(variables, places)

        def turn(node: Node, gradient: Node) -> Node:
            place = places.get(node)
            return gradient if place is None else turned_by(self.hooks[place], gradient)

        pairs = [(y, g) for y, g in zip(again, given, strict=True) if g is not None and y.tracked]
        found = gradients([y for y, _ in pairs], [g for _, g in pairs], variables, turn)
        return tuple(g if wanted else None for g, wanted in zip(found, needed, strict=True))

    def push_forward(
        self, operands: Sequence[Node], given: Sequence[Node | None], results: Sequence[Node]
    ) -> list[Node | None]:  # fmt: skip
        variables = [alias(x, x.tracked) for x in operands]
        return tangents(self.on(variables), variables, given)

    def for_examples(self, which: Sequence[bool], operands: Sequence[Node], size: int) -> Rule:
        return ForExamples(self, which, size, self.is_spent)


__all__ = ["checkpoint"]
