"""Transforms on functions: `grad`, `value_and_grad`.

Arguments are trees of tensors. Gradients of gradients work: results of a transformed function are
recorded like any others, and may be differentiated by an outer transform.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ambos.autodiff.reverse import gradients, ones_like
from ambos.core import tree
from ambos.core.errors import ArgumentError, GradientError
from ambos.graph.node import Node, leaf, toposort, tracking
from ambos.ops.movement import reshape
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.modes import enable_grad, set_grad_enabled
from ambos.tensor.names import public
from ambos.tensor.operands import SCALARS, scalar


@public
def value_and_grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns (fn's value, gradients by arguments `argnums`).

    `fn` returns a scalar (with `has_aux` a pair: scalar, anything else). Each gradient has the
    structure of its argument. Every other tensor counts as a constant unless it requires grad.

    Errors: GradientError when the value is no floating scalar or an argument is not floating.

    Example:
        >>> import ambos as am
        >>> am.value_and_grad(lambda x: (x**2).sum())(am.tensor([1.0, 2.0]))
        (tensor(5.), tensor([2., 4.]))
    """
    _require_function("value_and_grad", fn)
    single = isinstance(argnums, int)
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(fn)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        inner, variables, structures = list(args), [], []
        for place in (_place(n, len(args)) for n in numbers):
            leaves, structure = tree.flatten(args[place])
            fresh = [*_inner(leaves, structure, place)]
            inner[place] = structure.build(iter(fresh))
            variables += [tensor._node for tensor in fresh]
            structures.append(structure)
        recording = tracking.enabled
        with enable_grad():
            result = fn(*inner, **kwargs)
        value, aux = result if has_aux else (result, None)
        node = _scalar_value(value)
        keep = recording and _has_other_ends(node, set(variables))
        found = _derive(node, variables, keep)
        grads = _packed(found, structures)
        shown = value if keep else value.detach()
        if has_aux:
            shown = (shown, aux if keep else tree.map(_detached, aux))
        return shown, grads[0] if single else tuple(grads)

    return transformed


@public
def grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradients of fn's scalar value by arguments `argnums` (with
    `has_aux` a pair: gradients, the rest of fn's result).

    Example:
        >>> import ambos as am
        >>> am.grad(am.grad(lambda x: x**3))(am.tensor(2.0)).item()
        12.0
    """
    _require_function("grad", fn)
    both = value_and_grad(fn, argnums, has_aux)

    @functools.wraps(fn)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return transformed


def _require_function(op: str, fn: Any) -> None:
    if not callable(fn):
        raise ArgumentError(f"{op}: got {type(fn).__name__}; need a function: am.{op}(f)(x), or "
                            "y.backward() for a tensor")  # fmt: skip


def _place(number: int, count: int) -> int:
    if not -count <= number < count:
        raise ArgumentError(f"grad: argnums names argument {number} of {count}; need "
                            f"{-count} <= argnums < {count} (keywords do not count)")  # fmt: skip
    return number % count


def _inner(leaves: Sequence[Any], structure: tree.Structure, place: int) -> Iterator[Tensor]:
    """What the function sees of an argument: aliases, but for the buffers of modules, which are
    constants, and are renewed as always."""
    found = zip(leaves, structure.paths(), structure.states(), strict=True)
    for given, path, is_state in found:
        if is_state:
            yield given
            continue
        where = f"argument {place}{path}"
        tree.refuse_unregistered("grad", given, where)
        if isinstance(given, str):
            raise GradientError(f"grad: {where} is {given!r}; need tensors or numbers")
        node = Tensor(given)._node if isinstance(given, SCALARS) else node_of(given)
        if not node.dtype.is_inexact:
            raise GradientError(f"grad: {where} is {node.dtype.name}; need a floating dtype: use "
                                "x.float(), or argnums= for another argument")  # fmt: skip
        yield wrap(alias(node))


def alias(node: Node) -> Node:
    """A node of its own identity with the value of `node`, through which gradients flow on.

    Differentiating by the alias leaves out what reaches `node` by other ways (a closure, another
    argument that is the same tensor), and an outer transform sees through it.
    """
    fresh = leaf(reshape, (node.shape,), node.shape, node.dtype, True, None)
    fresh.inputs = (node,)
    return fresh


def _scalar_value(value: Any) -> Node:
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.dtype.is_floating:
        what = repr(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise GradientError(f"grad: the function returned {what}; need a floating scalar tensor: "
                            "reduce it with .sum() or .mean(), or say has_aux=True")  # fmt: skip
    return value._node


def _has_other_ends(node: Node, variables: set[Node]) -> bool:
    """Do gradients flow beyond `variables`: to an outer transform's or to a leaf's?"""
    for inner in toposort([node], stop=lambda n: not n.tracked):
        is_end = inner.tracked and not any(source.tracked for source in inner.inputs)
        if is_end and inner not in variables:
            return True
    return False


def _derive(node: Node, wanted: list[Node], keep: bool) -> list[Node]:
    with set_grad_enabled(keep):
        found = gradients([node], [ones_like(node)], wanted) if node.tracked else []
    zeros = [scalar(0, w.dtype, w.shape) for w in wanted]
    if not found:
        return zeros
    return [z if g is None else g for g, z in zip(found, zeros, strict=True)]


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, Tensor) else leaf


def _packed(nodes: list[Node], structures: list[tree.Structure]) -> list[Any]:
    grads, start = [], 0
    for structure in structures:
        stop = start + structure.num_leaves
        grads.append(tree.unflatten(structure, [wrap(node) for node in nodes[start:stop]]))
        start = stop
    return grads


__all__ = ["grad", "value_and_grad"]
