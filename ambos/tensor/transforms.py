"""Gradients of functions: `grad`, `value_and_grad`, `hvp`; `stop_gradient`.

Arguments are trees of tensors. Gradients of gradients work: results of a transformed function are
recorded like any others, and may be differentiated by an outer transform.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ambos.autodiff.reverse import gradients, ones_like
from ambos.core import tree
from ambos.core.errors import ArgumentError, GradientError
from ambos.graph.node import Node
from ambos.tensor.gradient_hooks import turned
from ambos.tensor.handle import Tensor
from ambos.tensor.modes import enable_grad, set_grad_enabled
from ambos.tensor.names import public
from ambos.tensor.variables import (
    Variables,
    detached,
    finished,
    keeps,
    require_function,
    split,
)


@public
def value_and_grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns (fn's value, gradients by arguments `argnums`).

    `fn` returns a scalar (with `has_aux` a pair: scalar, anything else). Each gradient has the
    structure of its argument: a tensor, a tree, a module (whose buffers count as constants).
    Keyword arguments are passed on. Every other tensor counts as a constant unless it requires
    grad. By a complex argument x + iy the gradient is d/dx + i d/dy, as in PyTorch.

    Errors: GradientError when the value is no floating scalar or an argument is not floating.

    Example:
        >>> import ambos as am
        >>> am.value_and_grad(lambda x: (x**2).sum())(am.tensor([1.0, 2.0]))
        (tensor(5.), tensor([2., 4.]))
    """
    return _value_and_grad("value_and_grad", fn, argnums, has_aux)


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
    both = _value_and_grad("grad", fn, argnums, has_aux)

    @functools.wraps(fn, updated=())
    def transformed(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return transformed


@public
def stop_gradient(x: Any) -> Any:
    """The tensors of a tree as constants to every derivative.

    Example:
        >>> import ambos as am
        >>> am.grad(lambda x: x * am.stop_gradient(x))(am.tensor(3.0)).item()
        3.0
    """
    return tree.map(detached, x)


def _value_and_grad(
    op: str, fn: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool
) -> Callable[..., Any]:
    require_function(op, fn, f"am.{op}(f)(x), or y.backward() for a tensor")

    @functools.wraps(fn, updated=())
    def transformed(*args: Any, **kwargs: Any) -> Any:
        places = places_of("grad", argnums, len(args))
        variables = Variables("grad", {f"argument {n}": args[n] for n in places})
        built = variables.arguments()
        inner = put(args, places, built)
        with enable_grad():
            value, aux = split(op, fn(*inner, **kwargs), has_aux)
        variables.refuse_changes(built)
        node = _scalar_value(value)
        keep = keeps([node], variables)
        found = variables.trees(_derive(node, variables.nodes, keep))
        value, aux, *found = finished([value, aux, *found], variables, keep)
        grads = found[0] if isinstance(argnums, int) else tuple(found)
        return ((value, aux) if has_aux else value), grads

    return transformed


def places_of(op: str, argnums: int | Sequence[int], count: int) -> list[int]:
    """The arguments, of `count` positional ones, that are differentiated by."""
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for number in numbers:
        if not -count <= number < count:
            raise ArgumentError(
                f"{op}: argnums names argument {number!r} of {count}; need "
                f"{-count} <= argnums < {count} (keywords do not count)"
            )
    places = [number % count for number in numbers]
    if len({*places}) < len(places):
        raise ArgumentError(f"{op}: argnums {argnums} names an argument twice; need each once")
    return places


def put(args: Sequence[Any], places: Sequence[int], new: Sequence[Any]) -> list[Any]:
    """`args` with other ones at some places."""
    found = list(args)
    for place, value in zip(places, new, strict=True):
        found[place] = value
    return found


def _scalar_value(value: Any) -> Node:
    if isinstance(value, Tensor) and value.numel() == 1 and value.dtype.is_complex:
        raise GradientError(
            f"grad: the function returned {value.dtype.name}; need a real scalar: .abs(), .real or "
            ".imag of it; the derivative of a holomorphic function is "
            "am.jvp(f, (z,), (am.ones_like(z),))[1]"
        )
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.dtype.is_floating:
        what = repr(value.shape) if isinstance(value, Tensor) else type(value).__name__
        fix = "reduce it with .sum() or .mean(), or say has_aux=True"
        if value is None:
            fix = "is a return missing?"
        elif isinstance(value, Tensor) and value.numel() == 1:
            what, fix = value.dtype.name, "whole numbers have no derivative: use x.float()"
        raise GradientError(f"grad: the function returned {what}; need a floating scalar tensor: "
                            f"{fix}")  # fmt: skip
    return value._node


def _derive(node: Node, wanted: list[Node], keep: bool) -> list[Node | None]:
    if not node.tracked:
        return [None] * len(wanted)
    with set_grad_enabled(keep):
        return gradients([node], [ones_like(node)], wanted, turned())


__all__ = ["grad", "stop_gradient", "value_and_grad"]
