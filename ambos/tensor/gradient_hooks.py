"""What is called with the gradient of a tensor, or once a leaf has one."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from ambos.core.errors import GradientError
from ambos.graph.node import Node
from ambos.ops.arithmetic import add
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.hooks import Removable, enroll
from ambos.tensor.identity import set_apart
from ambos.tensor.live import leaf_handle
from ambos.tensor.operands import binary
from ambos.tensor.tracing import current, guard, likenesses

Hook = Callable[[Tensor], Any]
Table = dict[int, Hook]

_of_nodes: WeakKeyDictionary[Node, Table] = WeakKeyDictionary()
# Leaves by id: an update gives them other nodes, and comparing tensors compares their elements.
_of_leaves: dict[int, Table] = {}
_after: dict[int, Table] = {}
NONE: Mapping[Node, Tensor] = {}


def register_hook(self: Tensor, hook: Hook) -> Removable:
    """Call `hook(gradient)` whenever the gradient of this tensor is computed; what it returns,
    unless None, takes its place, for this tensor and for all that it was computed from.

    Errors: GradientError where the tensor does not require grad, and for a gradient of another
        shape.

    Example:
        >>> import ambos as am
        >>> x = am.ones(2, requires_grad=True)
        >>> handle = x.register_hook(lambda gradient: gradient * 2)
        >>> (x * 3).sum().backward()
        >>> x.grad
        tensor([6., 6.])
    """
    _need("register_hook", self, self.requires_grad, "one that does")
    if self.is_leaf:
        return enroll(_table(_of_leaves, self), hook)
    set_apart(self)
    return enroll(_of_nodes.setdefault(self._node, {}), hook)


def register_post_accumulate_grad_hook(self: Tensor, hook: Hook) -> Removable:
    """Call `hook(tensor)` whenever `backward()` has added to `.grad` of this leaf.

    Errors: GradientError for what is no leaf that requires grad.

    Example:
        >>> import ambos as am
        >>> x = am.ones(2, requires_grad=True)
        >>> handle = x.register_post_accumulate_grad_hook(lambda x: print(x.grad))
        >>> (x * 3).sum().backward()
        tensor([3., 3.])
    """
    is_one = self.requires_grad and self.is_leaf
    _need("register_post_accumulate_grad_hook", self, is_one, "a leaf that does")
    return enroll(_table(_after, self), hook)


def _need(name: str, x: Tensor, holds: bool, what: str) -> None:
    if not holds:
        how = "is the result of an operation" if x.requires_grad else "does not require grad"
        raise GradientError(f"{name}: the tensor {how}; need {what}")


def _table(tables: dict[int, Table], x: Tensor) -> Table:
    number = id(x)
    if number not in tables:
        weakref.finalize(x, tables.pop, number, None)
    return tables.setdefault(number, {})


def turned(leaves: Mapping[Node, Tensor] = NONE) -> Callable[[Node, Node], Node]:
    """What hooks make of the gradient of a node, of a leaf among `leaves` or of another."""
    if current.trace is not None:
        _guard(leaves.values())
    if not _of_nodes and not _of_leaves:
        return lambda node, gradient: gradient

    def turn(node: Node, gradient: Node) -> Node:
        tables = [_of_nodes.get(node, {})]
        if node in leaves:
            tables.append(_of_leaves.get(id(leaves[node]), {}))
        return turned_by(tables, gradient)

    return turn


def turned_by(tables: Iterable[Table], gradient: Node) -> Node:
    """What the hooks in `tables` make of a gradient, one after the other."""
    for hook in [hook for table in tables for hook in [*table.values()]]:
        found = hook(wrap(gradient))
        if found is None:
            continue
        if not isinstance(found, Tensor) or (found._node.shape, found._node.dtype) != (
            gradient.shape,
            gradient.dtype,
        ):
            shown = found.shape if isinstance(found, Tensor) else type(found).__name__
            raise GradientError(
                f"register_hook: a hook returned {shown} for the gradient "
                f"{gradient.dtype.name}{list(gradient.shape)}; need a tensor like it, or None"
            )
        gradient = found._node
    return gradient


def hooks_within(nodes: Iterable[Node]) -> dict[Node, list[Table]]:
    """The hooks of those of `nodes` that have any, and what fills the `.grad` that others retain:
    for whoever computes gradients of copies of them."""
    found: dict[Node, list[Table]] = {}
    for node in nodes:
        if node in _of_nodes:
            found[node] = [_of_nodes[node]]
        handle = leaf_handle(node)
        if handle is not None and handle.retains_grad:
            found.setdefault(node, []).append({0: partial(_retain, weakref.ref(handle))})
    return found


def _retain(of: weakref.ref[Tensor], gradient: Tensor) -> None:
    handle = of()
    if handle is not None:
        add_to_grad(handle, gradient._node)


def add_to_grad(handle: Tensor, gradient: Node) -> None:
    """Add to `.grad` of a handle, which may be None yet."""
    known = handle.grad
    if known is not None:
        gradient = binary(add, known._node, gradient)
    handle.grad = wrap(gradient)
    likenesses[gradient] = handle._node


def accumulated(leaf: Tensor) -> None:
    """`leaf` has got its gradient."""
    for hook in [*_after.get(id(leaf), {}).values()]:
        hook(leaf)


def _guard(leaves: Iterable[Tensor]) -> None:
    """A jitted function is recorded again when somebody hooks in."""
    numbers = [id(leaf) for leaf in leaves]

    def hooks() -> list[Any]:
        return [
            [*tables[number].values()]
            for tables in (_of_leaves, _after)
            for number in numbers
            if tables.get(number)
        ]

    guard(hooks, structural=True)
