"""What a transform differentiates by: tensors of their own identity in place of a function's
arguments. And what it makes of the function's results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambos.core import tree
from ambos.core.errors import ArgumentError, ArgumentTypeError, GradientError
from ambos.graph.constants import is_constant
from ambos.graph.node import Node, toposort, tracking
from ambos.ops.control import Control, with_insides
from ambos.ops.custom import CustomSpec, custom, without_rules
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.identity import alias
from ambos.tensor.modes import enable_grad
from ambos.tensor.operands import SCALARS, convert, scalar

VALUES = (Tensor, np.ndarray, np.generic, *SCALARS)


def constants_of(results: Sequence[Node], arguments: Sequence[Node]) -> list[Node]:
    """What is read on the way from `arguments` to `results` and does not depend on them."""
    depends = dict.fromkeys(arguments, True)
    found: dict[Node, None] = {}
    for node in toposort(results, stop=set(arguments).__contains__):
        if node in depends:
            continue
        depends[node] = any(depends[source] for source in node.inputs)
        if depends[node]:
            inside = [s for s in node.inputs if not depends[s] and not is_constant(s)]
            found |= dict.fromkeys(inside)
    return list(found)


# --- arguments -----------------------------------------------------------------------------------


class Variables:
    """The leaves of some arguments, given by their names. The buffers of modules are constants,
    and the function sees them themselves: it may renew them."""

    def __init__(self, op: str, arguments: Mapping[str, Any]) -> None:
        self.op, self.names = op, list(arguments)
        self.structures: list[tree.Structure] = []
        self.given: list[Node] = []
        self.nodes: list[Node] = []  # stand for those given
        self.buffers: dict[int, Any] = {}  # by their number among the leaves
        for name, value in arguments.items():
            leaves, structure = tree.flatten(value)
            self.structures.append(structure)
            states = structure.states()
            for found, path, is_state in zip(leaves, structure.paths(), states, strict=True):
                if is_state:
                    self.buffers[len(self.given)] = found
                node = node_of(found) if is_state else self._node(f"{name}{path}", found)
                self.given.append(node)
                self.nodes.append(node if is_state else alias(node))

    def _node(self, name: str, value: Any) -> Node:
        tree.refuse_unregistered(self.op, value, name)
        if isinstance(value, str):
            raise GradientError(f"{self.op}: {name} is {value!r}; need tensors or numbers")
        node = Tensor(value)._node if isinstance(value, SCALARS) else node_of(value)
        if not node.dtype.is_inexact:
            raise GradientError(f"{self.op}: {name} is {node.dtype.name}; need a floating dtype: "
                                f"use x.float(), or {_leave_out(self.op)}")  # fmt: skip
        return node

    def arguments(self) -> list[Any]:
        """The arguments with what stands for their leaves."""
        self.inner = [
            self.buffers[n] if n in self.buffers else wrap(node)
            for n, node in enumerate(self.nodes)
        ]
        return self._packed(self.inner)

    def refuse_changes(self, built: Sequence[Any]) -> None:
        """Raise where the function has changed containers among the arguments `built` for it."""
        start = 0
        for name, structure, now in zip(self.names, self.structures, built, strict=True):
            stop = start + structure.num_leaves
            leaves = self.inner[start:stop]
            tree.refuse_changes(self.op, structure, leaves, now, f"{name}{{}}".format)
            start = stop

    def trees(self, nodes: Sequence[Node | None]) -> list[Any]:
        """A tree for each argument, from a node for each leaf (None: zeros)."""
        pairs = zip(nodes, self.given, strict=True)
        return self._packed([wrap(zeros_like(own) if x is None else x) for x, own in pairs])

    def _packed(self, leaves: Sequence[Any]) -> list[Any]:
        each = iter(leaves)
        return [structure.build(each) for structure in self.structures]

    def tangents(self, given: Sequence[Any], what: str) -> list[Node | None]:
        """A node for each leaf, from trees like the arguments."""
        found: list[Node | None] = []
        for number, (structure, one) in enumerate(zip(self.structures, given, strict=True)):
            start = len(found)
            names = (f"{what}[{number}]", f"primals[{number}]")
            stop = start + structure.num_leaves
            found += matched(self.op, one, structure, self.given[start:stop], names)
        return [None if n in self.buffers else x for n, x in enumerate(found)]


def _refuse_kind(op: str, name: str, value: Any) -> None:
    raise ArgumentTypeError(f"{op}: {name} is a {type(value).__name__}; need tensors or numbers: "
                            f"{_leave_out(op)}")  # fmt: skip


def _leave_out(op: str) -> str:
    if op in ("grad", "jacrev", "jacfwd", "hessian"):
        return "argnums= for other arguments"
    return "a closure for what is not differentiated by: lambda x: f(x, n)"


def matched(
    op: str, given: Any, structure: tree.Structure, like: Sequence[Node], names: tuple[str, str]
) -> list[Node]:
    """The leaves of `given`, a tree of `structure` with the shapes and dtypes of `like`. `names`
    are what it and that tree are called."""
    leaves, own = tree.flatten(given)
    if own != structure:
        where = tree.difference(structure, own, (names[1], names[0])) or "the trees differ"
        raise ArgumentError(f"{op}: {where}: {names[0]} is {own}, {names[1]} is {structure}; need "
                            "one structure")  # fmt: skip
    found = []
    for value, node, path in zip(leaves, like, structure.paths(), strict=True):
        if not isinstance(value, VALUES):
            _refuse_kind(op, f"{names[0]}{path}", value)
        x = node_of(value)
        if isinstance(value, SCALARS) and (node.dtype.is_complex or not x.dtype.is_complex):
            x = convert(x, node.dtype)
        if x.shape != node.shape or x.dtype is not node.dtype:
            raise ArgumentError(
                f"{op}: {names[0]}{path} is {facts(x)}, {names[1]}{path} is {facts(node)}; need "
                "equal shapes and dtypes"
            )
        found.append(x)
    return found


def facts(node: Node) -> str:
    return f"{node.dtype.name}{list(node.shape)}"


def zeros_like(node: Node) -> Node:
    return scalar(0, node.dtype, node.shape)


# --- results -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Results:
    """What a function made of the variables: the leaves' nodes, the structure, and the rest."""

    nodes: list[Node]
    structure: tree.Structure
    aux: Any

    def tree(self, nodes: Iterable[Node]) -> Any:
        """Other leaves in their place."""
        return tree.unflatten(self.structure, [wrap(node) for node in nodes])


def run(op: str, fn: Callable[..., Any], variables: Variables, has_aux: bool) -> Results:
    """Call `fn`, which returns tensors, or with `has_aux` a pair of them and anything else."""
    built = variables.arguments()
    with enable_grad():
        value, aux = split(op, fn(*built), has_aux)
    variables.refuse_changes(built)
    leaves, structure = tree.flatten(value)
    if not leaves:
        raise GradientError(f"{op}: the function returned {value!r}; need a tensor (or a tree of "
                            "them): is a return missing?")  # fmt: skip
    for found, path in zip(leaves, structure.paths(), strict=True):
        if not isinstance(found, VALUES):
            raise ArgumentTypeError(
                f"{op}: the function's result{path} is a {type(found).__name__}; need tensors: "
                "return (value, the rest) and say has_aux=True"
            )
    return Results([node_of(found) for found in leaves], structure, aux)


def split(op: str, result: Any, has_aux: bool) -> tuple[Any, Any]:
    """(value, aux) of what a function returned."""
    if not has_aux:
        return result, None
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        what = type(result).__name__
        if isinstance(result, (tuple, list)):
            what = f"a {what} of {len(result)}"
        raise ArgumentError(f"{op}: has_aux=True, but the function returned {what}; need a pair: "
                            "(value, anything else)")  # fmt: skip
    value, aux = result
    return value, aux


def reaches_out(nodes: Iterable[Node], variables: Iterable[Node]) -> bool:
    """Do gradients flow beyond `variables`: to an outer transform's or to a leaf's?"""
    own = set(variables)
    for inner in toposort(nodes, stop=lambda n: not n.tracked):
        is_end = inner.tracked and not any(source.tracked for source in inner.inputs)
        if is_end and inner not in own:
            return True
    return False


def keeps(nodes: Iterable[Node], variables: Variables) -> bool:
    """Are derivatives recorded, for whoever differentiates again?"""
    return tracking.enabled and reaches_out(nodes, variables.nodes)


def finished(parts: Sequence[Any], variables: Variables, keep: bool) -> list[Any]:
    """Trees of results for outside: cut off from the variables where nothing else leads on, and
    else without the rules that served these variables."""
    if not keep:
        return [tree.map(detached, part) for part in parts]
    leaves, structure = tree.flatten(list(parts))
    places = [n for n, found in enumerate(leaves) if isinstance(found, Tensor)]
    nodes = [leaves[n]._node for n in places]
    spent = _spent_rules(nodes, variables)
    if not spent:
        return list(parts)
    plain_nodes = without_rules(nodes, spent)
    for n, node in zip(places, plain_nodes, strict=True):
        leaves[n] = wrap(node)
    found: list[Any] = tree.unflatten(structure, leaves)
    return found


def _spent_rules(nodes: Sequence[Node], variables: Variables) -> frozenset[CustomSpec]:
    """The rules of one's own that were asked for derivatives by `variables` and that an outer
    transform does not ask again: it differentiates what they consist of, as in JAX."""
    order = toposort(nodes, stop=lambda node: not node.tracked)
    if not any(isinstance(node.op, Control) for node in order):
        return frozenset()
    depends = set(variables.nodes)
    for node in order:
        if any(source in depends for source in node.inputs):
            depends.add(node)
    asked = [node for node in order if isinstance(node.op, Control) and node in depends]
    return frozenset(
        node.attrs[1]
        for node in with_insides(asked)
        if node.op is custom and node.attrs[1].rule.is_spent
    )


def detached(found: Any) -> Any:
    return found.detach() if isinstance(found, Tensor) else found


def require_function(op: str, fn: Any, example: str) -> None:
    if not callable(fn):
        raise ArgumentTypeError(f"{op}: got {type(fn).__name__}; need a function: {example}")
