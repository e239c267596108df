"""Branches in the graph: `cond`, `switch`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ambos.core.dtype import bool_, int32
from ambos.core.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError
from ambos.graph.body import Body
from ambos.graph.node import Node
from ambos.ops.arithmetic import cast, maximum, minimum
from ambos.ops.bodies import argument_like, depending, enclose
from ambos.ops.branch_rules import branched
from ambos.ops.kinds import constant, constant_like
from ambos.tensor.carrying import (
    Packed,
    facts,
    given_way,
    packed,
    packed_leaves,
    rank_of,
    require_all_false,
    require_function,
    require_structure,
)
from ambos.tensor.closure import Closure, close
from ambos.tensor.handle import Tensor
from ambos.tensor.loops import require_predicate
from ambos.tensor.names import public
from ambos.tensor.tracing import Draws, current


@public
def cond(
    pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any
) -> Any:
    """true_fun(*operands) where `pred`, a bool scalar, is true, else false_fun(*operands).

    Only one of them is computed, as far as it records anything itself. Operands and results are
    trees; both functions give the same structure, shapes and dtypes, and may also use tensors from
    outside. With a Python bool the one function is called and nothing else happens. Gradients flow
    to operands and to tensors from outside. Under `am.vmap` with a predicate for each example both
    are computed and each example gets its own. Each side draws from the global random stream what
    it would draw alone; afterwards the stream stands where the side that draws more leaves it.

    Errors: DTypeError and ShapeError for a predicate that is no bool scalar; ArgumentError,
        ShapeError and DTypeError where results differ; TracingError where a function looks at a
        value that depends on operands, keeps a tensor, or changes one from outside.

    Example:
        >>> import ambos as am
        >>> x = am.tensor(-4.0)
        >>> am.cond(x > 0, am.sqrt, lambda x: x - 1, x)
        tensor(-5.)
    """
    require_function("cond", "true_fun", true_fun)
    require_function("cond", "false_fun", false_fun)
    if isinstance(pred, bool | np.bool_):
        return (true_fun if pred else false_fun)(*operands)
    if not isinstance(pred, Tensor):
        raise ArgumentTypeError(f"cond: pred is a {type(pred).__name__}; need a bool scalar")
    number = cast(require_predicate("cond", "pred is", pred._node), attrs=(int32,))
    return _branches("cond", number, (false_fun, true_fun), ("false_fun", "true_fun"), operands)


@public
def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """branches[index](*operands); an index outside is clamped to the first or the last.

    Otherwise as `am.cond`.

    Errors: ArgumentError without branches; DTypeError and ShapeError for an index that is no
        integer scalar; the rest as `am.cond`.

    Example:
        >>> import ambos as am
        >>> branches = [am.sin, am.cos, am.neg]
        >>> am.switch(am.tensor(2), branches, am.tensor(3.0)).item()
        -3.0
    """
    if not isinstance(branches, list | tuple) or not branches:
        raise ArgumentError(f"switch: branches is {branches!r}; need a list of functions")
    names = [f"branches[{place}]" for place in range(len(branches))]
    for name, branch in zip(names, branches, strict=True):
        require_function("switch", name, branch)
    most = len(branches) - 1
    if isinstance(index, int | np.integer) and not isinstance(index, bool):
        return branches[min(max(int(index), 0), most)](*operands)
    if not isinstance(index, Tensor):
        raise ArgumentTypeError(f"switch: index is a {type(index).__name__}; need an integer "
                                "scalar")  # fmt: skip
    node = index._node
    if not node.dtype.is_integer:
        raise DTypeError(f"switch: index is {facts(node)}; need an integer: am.cond takes a bool")
    if node.shape:
        raise ShapeError(f"switch: index is {facts(node)}; need a scalar")
    # Clamped before it is narrowed; the largest number of a narrow dtype bounds it from above.
    node = minimum(maximum(node, constant_like(node, 0)),
                   constant_like(node, min(most, int(node.dtype.max))))  # fmt: skip
    return _branches("switch", cast(node, attrs=(int32,)), branches, names, operands)


@dataclass(frozen=True)
class Side:
    """What one branch gives."""

    name: str
    closure: Closure
    results: Packed


def _branches(
    op: str, number: Node, functions: Sequence[Callable[..., Any]], names: Sequence[str],
    operands: tuple[Any, ...],
) -> Any:  # fmt: skip
    given = packed(op, "operands", operands)
    arguments = [argument_like(node) for node in given.nodes]

    def call(function: Callable[..., Any], tensors: list[Tensor]) -> Any:
        with given.lent(op, tensors) as own:
            return function(*own)

    sides: list[Side] = []
    outer = Draws() if current.trace is None else current.trace.draws
    draws = [outer.again() for _ in functions]
    try:
        for name, function, drawn in zip(names, functions, draws, strict=True):
            closure = close(op, partial(call, function), arguments, apart=True, draws=drawn)
            found = packed_leaves(op, f"the result of {name}", closure.leaves, closure.structure)
            sides.append(Side(name, closure, found))
        rows = _alike(op, sides)
    except BaseException:
        for side in reversed(sides):
            side.closure.forget()
        raise
    for drawn in draws:
        outer.counts |= drawn.counts
    checks = [check for side in sides for check in side.closure.checks]
    for row, side in zip(rows, sides, strict=True):
        own = {check[0] for check in side.closure.checks}
        row += [node if node in own else constant(False, bool_) for node, _, _ in checks]
    values, bodies = _closed(arguments, sides, rows)
    parts = branched(number, [*values, *given.nodes], bodies)
    first = sides[0].results
    count = len(first.nodes)
    require_all_false(checks, parts[count:])
    return first.build(parts[:count])


def _alike(op: str, sides: Sequence[Side]) -> list[list[Node]]:
    """The results of all branches in the same structure, shapes and dtypes; a Python number takes
    the dtype that another branch has."""
    first = sides[0]
    for side in sides[1:]:
        names = (f"the result of {first.name}", f"the result of {side.name}")
        require_structure(op, first.results.structure, side.results.structure, names)
    rows: list[list[Node]] = [[] for _ in sides]
    for place in range(len(first.results.nodes)):
        nodes = [side.results.nodes[place] for side in sides]
        numbers = [side.results.numbers[place] for side in sides]
        fixed = [node for node, number in zip(nodes, numbers, strict=True) if number is None]
        widest = max(fixed or nodes, key=lambda node: rank_of(node.dtype)).dtype
        for row, node, number in zip(rows, nodes, numbers, strict=True):
            row.append(given_way(node, number, widest))
        for row, side in zip(rows, sides, strict=True):
            _require_like(op, first, rows[0][place], side, row[place], place)
    return rows


def _require_like(op: str, first: Side, one: Node, side: Side, node: Node, place: int) -> None:
    if node.shape == one.shape and node.dtype is one.dtype:
        return
    error = ShapeError if node.shape != one.shape else DTypeError
    raise error(
        f"{op}: {side.results.names[place]} is {facts(node)}, {first.results.names[place]} "
        f"{facts(one)}; need the same shape and dtype of every branch: "
        "am.broadcast_to or x.to(dtype) in one of them"
    )


def _closed(
    arguments: Sequence[Node], sides: Sequence[Side], rows: Sequence[Sequence[Node]]
) -> tuple[list[Node], list[Body]]:
    """(what the branches take from outside, their bodies, which all take it and the arguments)."""
    taken: dict[Node, None] = {}
    found = []
    for side, row in zip(sides, rows, strict=True):
        made = {node for node in side.closure.made if node.value is None}
        inner = depending([*arguments, *made], row)
        operands, body = enclose(arguments, row, inner.__contains__)
        taken |= dict.fromkeys(operands)
        found.append((dict(zip(operands, body.arguments, strict=False)), body))
    values = list(taken)
    return values, [
        Body([*(own.get(node) or argument_like(node) for node in values),
              *body.arguments[len(own) :]], body.results)
        for own, body in found
    ]  # fmt: skip


__all__ = ["cond", "switch"]
