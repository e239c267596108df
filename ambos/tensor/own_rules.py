"""Derivatives of one's own, between functions of tensors and nodes: what `custom_vjp`,
`custom_jvp` and `autograd.Function` share.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambos.autodiff.batch import batched
from ambos.core import tree
from ambos.graph.node import Node, tracking
from ambos.ops.custom import CustomSpec, Rule, custom
from ambos.ops.kinds import Grads, repeated
from ambos.ops.reductions import sum_
from ambos.ops.sources import argument
from ambos.tensor.closure import close
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.operands import SCALARS

VALUES = (Tensor, np.ndarray, np.generic)
RESULTS = (*VALUES, *SCALARS)


class Layout:
    """The shape of a tree without its tensors; whatever else it holds stays as it is."""

    def __init__(self, leaves: list[Any], structure: tree.Structure) -> None:
        self.structure = structure
        self.places = [n for n, leaf in enumerate(leaves) if isinstance(leaf, VALUES)]
        tensors = {*self.places}
        self.leaves = [None if n in tensors else leaf for n, leaf in enumerate(leaves)]

    def __len__(self) -> int:
        return len(self.places)

    def on(self, nodes: Sequence[Node]) -> Any:
        """The tree with these tensors."""
        return self.structure.build(iter(self.leaves_on(nodes)))

    def leaves_on(self, nodes: Sequence[Node]) -> list[Any]:
        """The leaves of that tree."""
        leaves = list(self.leaves)
        for place, node in zip(self.places, nodes, strict=True):
            leaves[place] = wrap(node)
        return leaves

    def names(self) -> list[str]:
        """The way to each tensor."""
        paths = list(self.structure.paths())
        return [str(paths[place]) for place in self.places]


def taken_apart(value: Any) -> tuple[list[Node], Layout]:
    """The tensors of a tree, and the rest."""
    leaves, structure = tree.flatten(value)
    layout = Layout(leaves, structure)
    return [node_of(leaves[place]) for place in layout.places], layout


def is_tracked(nodes: Sequence[Node]) -> bool:
    """Do gradients flow through any of them?"""
    return tracking.enabled and any(node.tracked for node in nodes)


def attach(results: Sequence[Node], layout: Layout, operands: Sequence[Node], rule: Rule) -> Any:
    """The tree of `results`, whose derivatives by `operands` are the rule's."""
    spec = CustomSpec(len(results), rule)
    return layout.on(custom.parts(*results, *operands, spec=spec))


class _Running(threading.local):
    """Functions whose rule is being run in this thread: they mean their plain selves inside."""

    def __init__(self) -> None:
        self.functions: list[list[Any]] = []


_running = _Running()


@contextmanager
def inside(function: object) -> Iterator[list[Any]]:
    """`function` called from now on is its plain self. Gives a list that then has a second
    element."""
    notes: list[Any] = [function]
    _running.functions.append(notes)
    try:
        yield notes
    finally:
        _running.functions.pop()


def is_inside(function: object) -> bool:
    """Is `function` called by its own rule?"""
    for notes in _running.functions:
        if notes[0] is function:
            notes.append(True)
            return True
    return False


@dataclass(frozen=True, eq=False, slots=True)
class ForExamples:
    """A rule for each of `size` examples at once. `which` of the operands have the examples in
    front; all results have."""

    rule: Rule
    which: Sequence[bool]
    size: int
    is_spent: bool

    def pull_back(
        self, operands: Sequence[Node], given: Sequence[Node | None], needed: Sequence[bool],
        results: Sequence[Node],
    ) -> Grads:  # fmt: skip
        found = self._on_one(
            lambda own, g, r: self.rule.pull_back(own, g, needed, r), operands, given,
            [True] * len(given), results,
        )  # fmt: skip
        return tuple(
            None if pair is None else self._summed(*pair, shared=not own)
            for pair, own in zip(found, self.which, strict=True)
        )

    def push_forward(
        self, operands: Sequence[Node], given: Sequence[Node | None], results: Sequence[Node]
    ) -> list[Node | None]:  # fmt: skip
        found = self._on_one(self.rule.push_forward, operands, given, self.which, results)
        return [None if pair is None else self._summed(*pair, shared=False) for pair in found]

    def for_examples(self, which: Sequence[bool], operands: Sequence[Node], size: int) -> Rule:
        return ForExamples(self, which, size, self.is_spent)

    def _summed(self, node: Node, depends: bool, shared: bool) -> Node:
        whole = node if depends else repeated(node, self.size)
        return sum_(whole, attrs=((0,),)) if shared else whole

    def _on_one(
        self, rule: Callable[..., Sequence[Node | None]], operands: Sequence[Node],
        given: Sequence[Node | None], spread: Sequence[bool], results: Sequence[Node],
    ) -> list[tuple[Node, bool] | None]:  # fmt: skip
        """What `rule` makes of one example, for all of them."""
        examples: dict[Node, Node] = {}

        def one(node: Node | None, has_examples: bool) -> Node | None:
            if node is None or not has_examples:
                return node
            found = argument.leaf(node.shape[1:], node.dtype, node.tracked)
            examples[found] = node
            return found

        own = [one(node, depends) for node, depends in zip(operands, self.which, strict=True)]
        moved = [one(node, depends) for node, depends in zip(given, spread, strict=True)]
        plain = [one(node, True) for node in results]
        made: Sequence[Node | None] = []

        def call(tensors: list[Tensor]) -> Any:
            nonlocal made
            del tensors
            made = rule(own, moved, plain)
            return [wrap(node) for node in made if node is not None]

        close("vmap", call, list(examples))
        present = iter(batched([node for node in made if node is not None], examples, self.size))
        return [None if node is None else next(present) for node in made]


def bound(
    signature: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Any, ...]:  # fmt: skip
    """All arguments by position, defaults filled in."""
    found = signature.bind(*args, **kwargs)
    found.apply_defaults()
    return tuple(found.args)
