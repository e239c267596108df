"""Functions of rows: `map` one after the other, `associative_scan` in a tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ambos.core import tree
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import normalize_axis
from ambos.graph.node import Node
from ambos.ops.bodies import part_of
from ambos.ops.movement import concat, flip, permute, reshape
from ambos.tensor.carrying import (
    Packed,
    facts,
    packed,
    packed_leaves,
    require_function,
    require_structure,
)
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.loops import agreed_length, run_scan, whole_number
from ambos.tensor.names import public
from ambos.tensor.vmap import vmap

NOTHING = Packed("nothing", [], [], [], tree.structure(()))


@public
def map(f: Callable[[Any], Any], xs: Any, batch_size: int | None = None) -> Any:
    """`f` of each row (along the first axis) of a tree, results stacked: a scan without a carry.

    One row after the other takes little memory; `batch_size` rows at a time, by `am.vmap`, take
    more of it and less time. `am.vmap` takes all of them at once.

    Errors: as those of `am.scan`; ArgumentError for a batch size below 1.

    Example:
        >>> import ambos as am
        >>> am.map(lambda row: row.sum(), am.ones(2, 3))
        tensor([3., 3.])
    """
    require_function("map", "f", f)
    rows = packed("map", "xs", xs)
    length = agreed_length("map", rows, None)
    if batch_size is None:
        return _one_by_one(f, rows, length)
    size = whole_number(batch_size)
    if size is None or size < 1:
        raise ArgumentError(f"map: batch_size is {batch_size!r}; need an integer >= 1")
    many, full = vmap(f), length // size
    if not full:
        return many(rows.build(rows.nodes))
    whole = [part_of(node, 0, full * size) for node in rows.nodes]
    groups = [reshape(node, attrs=((full, size, *node.shape[1:]),)) for node in whole]
    found = _one_by_one(many, rows.around(groups), full)
    found = tree.map(lambda x: wrap(_merged(x._node)), found)
    if full * size == length:
        return found
    rest = many(rows.build([part_of(node, full * size, length) for node in rows.nodes]))
    return tree.map(lambda a, b: wrap(concat(a._node, b._node, attrs=(0,))), found, rest)


def _one_by_one(f: Callable[[Any], Any], rows: Packed, length: int) -> Any:
    def call(tensors: list[Tensor]) -> Any:
        with rows.lent("map", tensors) as given:
            return (), f(given)

    return run_scan("map", call, NOTHING, rows, length, False)[1]


def _merged(node: Node) -> Node:
    """The first two axes as one."""
    return reshape(node, attrs=((node.shape[0] * node.shape[1], *node.shape[2:]),))


@public
def associative_scan(
    fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:  # fmt: skip
    """Running results: elems[0], fn(elems[0], elems[1]), fn of that and elems[2], ... along `axis`.

    `fn` takes two trees like `elems` whose tensors hold many elements along `axis`, and combines
    them one by one; it must be associative. So what takes n steps in `am.scan` takes 2 log2(n)
    operations on whole arrays, which are recorded one after the other. `reverse` begins at the end.
    `fn` is called with other sizes each time, so it may not depend on them.

    Errors: ArgumentError where lengths or the structure of what `fn` returns differ, or for an axis
        that does not exist; ShapeError and DTypeError where `fn` returns another shape or dtype.

    Source: Blelloch, "Prefix sums and their applications" (1990).

    Example:
        >>> import ambos as am
        >>> am.associative_scan(am.multiply, am.tensor([1.0, 2.0, 3.0, 4.0]))
        tensor([ 1.,  2.,  6., 24.])
    """
    require_function("associative_scan", "fn", fn)
    given = packed("associative_scan", "elems", elems)
    if not given.nodes:
        return elems
    moved = [_first("associative_scan", node, axis) for node in given.nodes]
    whole = given.around([_turned(node) if reverse else node for node in moved])
    agreed_length("associative_scan", whole, None)

    def combine(a: Sequence[Node], b: Sequence[Node]) -> list[Node]:
        return _combined(fn, given, a, b, axis)

    found = _running(combine, whole.nodes)
    found = [_turned(node) if reverse else node for node in found]
    return given.build([_back(node, axis) for node in found])


def _turned(node: Node) -> Node:
    return flip(node, attrs=((0,),))


def _first(op: str, node: Node, axis: int) -> Node:
    """`axis` in front."""
    place = normalize_axis(op, axis, node.rank)
    order = (place, *(i for i in range(node.rank) if i != place))
    return permute(node, attrs=(order,)) if place else node


def _back(node: Node, axis: int) -> Node:
    """The first axis where `axis` says."""
    place = axis % node.rank
    order = (*range(1, place + 1), 0, *range(place + 1, node.rank))
    return permute(node, attrs=(order,)) if place else node


Combine = Callable[[Sequence[Node], Sequence[Node]], list[Node]]


def _combined(
    fn: Callable[[Any, Any], Any], given: Packed, a: Sequence[Node], b: Sequence[Node], axis: int
) -> list[Node]:
    """`fn` of rows a and the rows b behind them."""
    op = "associative_scan"
    one, other = ([wrap(_back(node, axis)) for node in nodes] for nodes in (a, b))
    with given.lent(op, one) as first, given.lent(op, other) as second:
        leaves, structure = tree.flatten(fn(first, second))
    require_structure(op, given.structure, structure, ("elems", "what fn returns"))
    found = packed_leaves(op, "what fn returns", leaves, structure)
    result = []
    for name, node, like in zip(found.names, found.nodes, b, strict=True):
        expected = _back(like, axis)
        if node.shape != expected.shape or node.dtype is not like.dtype:
            error = ShapeError if node.shape != expected.shape else DTypeError
            raise error(f"{op}: {name} is {facts(node)} of elements {facts(expected)}; need one "
                        "shape and dtype: fn combines each element with another")  # fmt: skip
        result.append(_first(op, node, axis))
    return result


def _running(combine: Combine, elems: Sequence[Node]) -> list[Node]:
    """Of pairs of neighbours the running results, which are every second one of all; the others
    are one step from these."""
    length = elems[0].shape[0]
    if length < 2:
        return list(elems)
    stop = length // 2 * 2
    odd = _running(combine, combine([part_of(x, 0, stop, 2) for x in elems],
                                    [part_of(x, 1, stop, 2) for x in elems]))  # fmt: skip
    even = [part_of(x, 0, 1) for x in elems]
    if length > 2:
        before = [part_of(x, 0, (length - 1) // 2) for x in odd]
        more = combine(before, [part_of(x, 2, length, 2) for x in elems])
        even = [concat(a, b, attrs=(0,)) for a, b in zip(even, more, strict=True)]
    return [_woven(a, b) for a, b in zip(even, odd, strict=True)]


def _woven(even: Node, odd: Node) -> Node:
    """Rows of both in turn; `even` may have one more."""
    count = odd.shape[0]
    pair = (count, 1, *odd.shape[1:])
    sides = (reshape(node, attrs=(pair,)) for node in (part_of(even, 0, count), odd))
    both = reshape(concat(*sides, attrs=(1,)), attrs=((2 * count, *odd.shape[1:]),))
    if even.shape[0] == count:
        return both
    return concat(both, part_of(even, count, count + 1), attrs=(0,))


__all__ = ["associative_scan", "map"]
