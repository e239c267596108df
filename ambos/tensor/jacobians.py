"""Jacobians and Hessians: `jacfwd`, `jacrev`, `hessian`. Each is one pass for all rows or columns
at once (`vmap`)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from ambos.core import tree
from ambos.core.shape import Shape, size_of
from ambos.graph.node import Node
from ambos.ops.arithmetic import cast, equal
from ambos.ops.kinds import constant_like
from ambos.ops.movement import expand, permute, reshape, slice_
from ambos.ops.sources import iota
from ambos.tensor.handle import Tensor, reshaped, wrap
from ambos.tensor.linearization import pulled, pushing
from ambos.tensor.names import public
from ambos.tensor.transforms import places_of, put
from ambos.tensor.variables import require_function
from ambos.tensor.vmap import vmap


@public
def jacrev(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:  # fmt: skip
    """A function that returns the Jacobian of `fn` by arguments `argnums`, row by row in reverse
    mode: for few results of many arguments.

    For each leaf of fn's result there is a tree like the argument (with several `argnums` a tuple
    of them), whose leaves have the shape of the result followed by that of the argument. With
    `has_aux` it returns a pair: the Jacobian, the rest of fn's result. `chunk_size` rows at a time
    take less memory than all at once.

    Example:
        >>> import ambos as am
        >>> am.jacrev(lambda x: x**2)(am.tensor([1.0, 2.0]))
        tensor([[2., 0.],
                [0., 4.]])
    """
    require_function("jacrev", fn, "am.jacrev(f)(x)")

    @functools.wraps(fn, updated=())
    def transformed(*args: Any, **kwargs: Any) -> Any:
        places, inner = _partial("jacrev", fn, argnums, args, kwargs)
        given = {f"argument {place}": args[place] for place in places}
        value, pull, *aux = pulled("jacrev", inner, given, has_aux)
        leaves, structure = tree.flatten(value)

        def row(unit: Sequence[Tensor]) -> Any:
            return pull(tree.unflatten(structure, unit))

        rows = _for_each(row, leaves, chunk_size)
        found = []
        for own, start in zip(leaves, _starts(leaves), strict=True):
            cut = functools.partial(_rows, start=start, shape=own.shape)
            blocks = tree.map(cut, rows)
            found.append(blocks[0] if isinstance(argnums, int) else blocks)
        jacobian = tree.unflatten(structure, found)
        return (jacobian, *aux) if has_aux else jacobian

    return transformed


@public
def jacfwd(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:  # fmt: skip
    """A function that returns the Jacobian of `fn` by arguments `argnums`, column by column in
    forward mode: for many results of few arguments. Otherwise it is as `jacrev`.

    Example:
        >>> import ambos as am
        >>> am.jacfwd(lambda x: am.stack([x[0] * x[1], x[0]]))(am.tensor([3.0, 4.0]))
        tensor([[4., 3.],
                [1., 0.]])
    """
    require_function("jacfwd", fn, "am.jacfwd(f)(x)")

    @functools.wraps(fn, updated=())
    def transformed(*args: Any, **kwargs: Any) -> Any:
        places, inner = _partial("jacfwd", fn, argnums, args, kwargs)
        given = {f"argument {place}": args[place] for place in places}
        _, push, *aux = pushing("jacfwd", inner, given, has_aux)
        leaves, structure = tree.flatten(tuple(given.values()))
        whole = [leaf if isinstance(leaf, Tensor) else Tensor(leaf) for leaf in leaves]

        def column(unit: Sequence[Tensor]) -> Any:
            return push(*tree.unflatten(structure, unit))

        columns = _for_each(column, whole, chunk_size)

        def blocks(all_columns: Tensor) -> Any:
            parts = [
                _columns(all_columns, start, own.shape)
                for own, start in zip(whole, _starts(whole), strict=True)
            ]
            found = tree.unflatten(structure, parts)
            return found[0] if isinstance(argnums, int) else found

        jacobian = tree.map(blocks, columns)
        return (jacobian, *aux) if has_aux else jacobian

    return transformed


@public
def hessian(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the second derivatives of `fn`: `jacfwd` of `jacrev`. For each leaf
    of the argument there is a tree like the argument.

    Example:
        >>> import ambos as am
        >>> am.hessian(lambda x: (x**3).sum())(am.tensor([1.0, 2.0]))
        tensor([[ 6.,  0.],
                [ 0., 12.]])
    """
    return jacfwd(jacrev(fn, argnums, has_aux), argnums, has_aux)


def _partial(
    op: str, fn: Callable[..., Any], argnums: int | Sequence[int], args: Sequence[Any],
    kwargs: dict[str, Any],
) -> tuple[list[int], Callable[..., Any]]:  # fmt: skip
    """The places of the arguments that are differentiated by, and the function of them alone."""
    places = places_of(op, argnums, len(args))
    return places, lambda *own: fn(*put(args, places, own), **kwargs)


def _starts(leaves: Sequence[Tensor]) -> list[int]:
    """Where each leaf's elements begin when all are counted."""
    sizes = [leaf._node.size for leaf in leaves]
    return list(itertools.accumulate(sizes[:-1], initial=0)) if sizes else []


def one_hot(number: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    """Zeros like `leaves`, but for a one at element `number` of all of them counted through."""
    found = []
    for leaf, start in zip(leaves, _starts(leaves), strict=True):
        node = leaf._node
        own = (number - start if start else number)._node
        single = reshape(own, attrs=((1,),))
        hit = equal(iota(attrs=(node.size,)), expand(single, attrs=((node.size,),)))
        found.append(wrap(reshaped(cast(hit, attrs=(node.dtype,)), node.shape)))
    return found


def _for_each(
    function: Callable[[Sequence[Tensor]], Any], leaves: Sequence[Tensor], chunk_size: int | None
) -> Any:
    """`function` of every unit vector in the shapes of `leaves`, along a new first axis."""
    count = sum(leaf._node.size for leaf in leaves)
    if count == 1:  # a loss: its one row needs no axis on the way
        row = function([wrap(constant_like(leaf._node, 1)) for leaf in leaves])
        return tree.map(lambda x: wrap(reshaped(x._node, (1, *x.shape))), row)
    each = vmap(lambda number: function(one_hot(number, leaves)), chunk_size=chunk_size)
    return each(wrap(iota(attrs=(count,))))


def _rows(whole: Tensor, start: int, shape: Shape) -> Tensor:
    """The rows of one leaf of the result, in its shape."""
    rest = whole.shape[1:]
    return wrap(reshaped(_cut(whole._node, start, shape), (*shape, *rest)))


def _columns(whole: Tensor, start: int, shape: Shape) -> Tensor:
    """The columns of one leaf of the argument: they are the last axes, in its shape."""
    part = _cut(whole._node, start, shape)
    turned = permute(part, attrs=((*range(1, part.rank), 0),))
    return wrap(reshaped(turned, (*turned.shape[:-1], *shape)))


def _cut(node: Node, start: int, shape: Shape) -> Node:
    size = size_of(shape)
    if size == node.shape[0]:
        return node
    first = (start, *(0 for _ in node.shape[1:]))
    last = (start + size, *node.shape[1:])
    return slice_(node, attrs=(first, last, (1,) * node.rank))


__all__ = ["hessian", "jacfwd", "jacrev"]
