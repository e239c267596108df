"""What goes through loops and branches: trees of tensors, taken apart, checked and put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from ambos.core import tree
from ambos.core.dtype import DType, Number, bool_
from ambos.core.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError
from ambos.core.structure import Structure, difference
from ambos.graph.node import Node, toposort
from ambos.graph.rewrite import substitute
from ambos.ops.arithmetic import bitwise_or
from ambos.ops.bodies import argument_like
from ambos.ops.kinds import constant
from ambos.ops.steps import Carried
from ambos.tensor.closure import Check, Closure, close, is_key
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.operands import scalar
from ambos.tensor.random.basic import fold_in
from ambos.tensor.refusals import require_false

NUMBERS = (int, float, complex)
VALUES = (Tensor, np.ndarray, np.generic, bool, *NUMBERS)


@dataclass(frozen=True)
class Packed:
    """A tree taken apart. Leaves with one of `numbers` were this in Python: their dtype gives
    way."""

    name: str
    names: list[str]
    nodes: list[Node]
    numbers: list[Number | None]
    structure: Structure

    def build(self, nodes: Sequence[Node]) -> Any:
        """The same tree around other nodes."""
        return tree.unflatten(self.structure, [wrap(node) for node in nodes])

    def own(self, tensors: Sequence[Tensor]) -> Any:
        """The same tree around other tensors. A function may change it: what it returns counts."""
        return tree.unflatten(self.structure, tensors)

    @contextmanager
    def lent(self, op: str, tensors: Sequence[Tensor]) -> Iterator[Any]:
        """The same tree around other tensors, for a function that has to leave it as it is."""
        given = self.own(tensors)
        yield given
        name = lambda path: f"{self.name}{path}"
        tree.refuse_changes(op, self.structure, tensors, given, name)

    def around(self, nodes: Sequence[Node]) -> Packed:
        """The same names and structure for other nodes."""
        return replace(self, nodes=list(nodes))


def packed(op: str, name: str, value: Any) -> Packed:
    """`value`, which `op` calls `name`, taken apart.

    Errors: ArgumentTypeError for leaves that are neither tensors nor numbers.
    """
    leaves, structure = tree.flatten(value)
    return packed_leaves(op, name, leaves, structure)


def packed_leaves(op: str, name: str, leaves: Sequence[Any], structure: Structure) -> Packed:
    """The same of a tree that is taken apart already."""
    names = [f"{name}{path}" for path in structure.paths()]
    for one, leaf in zip(names, leaves, strict=True):
        if not isinstance(leaf, VALUES):
            raise ArgumentTypeError(f"{op}: {one} is a {type(leaf).__name__}; need tensors or "
                                    "numbers")  # fmt: skip
    numbers = [
        leaf if isinstance(leaf, NUMBERS) and not isinstance(leaf, bool) else None
        for leaf in leaves
    ]
    return Packed(name, names, [node_of(leaf) for leaf in leaves], numbers, structure)


def facts(node: Node) -> str:
    """Dtype and shape in words."""
    return f"{node.dtype.name}{list(node.shape)}"


def require_function(op: str, name: str, function: Any) -> None:
    """An ArgumentTypeError unless `function` can be called."""
    if not callable(function):
        raise ArgumentTypeError(f"{op}: {name} is a {type(function).__name__}; need a function")


def require_structure(op: str, one: Structure, other: Structure, names: tuple[str, str]) -> None:
    """An ArgumentError that tells where two trees differ."""
    found = difference(one, other, names) or difference(other, one, names[::-1])
    if found:
        raise ArgumentError(f"{op}: the structures of {names[0]} and {names[1]} differ: {found}")


def rank_of(dtype: DType) -> int:
    """Which numbers a dtype holds: bool, integers, floating, complex ones."""
    return {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}[dtype.kind]


@dataclass(frozen=True)
class Step:
    """One step of a loop: its arguments, what it leaves in the carry, what else it returns."""

    closure: Closure
    carry: Packed
    arguments: list[Node]
    ends: list[Node]
    rest: Packed | None


def traced_step(
    op: str, carry: Packed, others: Sequence[Node], call: Callable[[list[Tensor]], Any],
    returned: str, has_rest: bool = False,
) -> Step:  # fmt: skip
    """`call(tensors of the carry and of others)`, which gives the next carry (`has_rest`: and
    something else), as a graph. Python numbers in the carry have the dtype that comes out.

    Errors: where the next carry is not like the carry.
    """
    while True:
        arguments = [argument_like(node) for node in carry.nodes]
        closure = close(op, call, [*arguments, *others])
        try:
            leaves, structure, rest = closure.leaves, closure.structure, None
            if has_rest:
                structure, below = structure.children
                rest = packed_leaves(op, "ys", leaves[structure.num_leaves :], below)
                leaves = leaves[: structure.num_leaves]
            require_structure(op, carry.structure, structure, ("the carry", returned))
            found = packed_leaves(op, "carry", leaves, structure)
            wider = _widened(carry, found)
            if wider is None:
                rows = zip(carry.names, carry.nodes, found.nodes, found.numbers, strict=True)
                ends = [_fitting(op, *row) for row in rows]
                return Step(closure, carry, arguments, ends, rest)
        except BaseException:
            closure.forget()
            raise
        closure.forget()
        carry = wider


def _widened(carry: Packed, found: Packed) -> Packed | None:
    """The carry with the dtypes that come out for Python numbers; None where nothing changes."""
    nodes = [
        given_way(node, number, end.dtype)
        for node, number, end in zip(carry.nodes, carry.numbers, found.nodes, strict=True)
    ]
    return None if nodes == carry.nodes else carry.around(nodes)


def given_way(node: Node, number: Number | None, dtype: DType) -> Node:
    """`node`, which may have been a Python number, as `dtype` if that holds such numbers."""
    if number is None or rank_of(dtype) < rank_of(node.dtype):
        return node
    return scalar(number, dtype)


def _fitting(op: str, name: str, start: Node, end: Node, number: Number | None) -> Node:
    """`end`, which replaces `start` in the carry."""
    end = given_way(end, number, start.dtype)
    if end.shape != start.shape:
        raise ShapeError(f"{op}: {name} goes in as {facts(start)} and comes out as {facts(end)}; "
                         "need one shape at every step: start with the shape that comes out, or "
                         "collect what grows as ys")  # fmt: skip
    if end.dtype is not start.dtype:
        raise DTypeError(f"{op}: {name} goes in as {facts(start)} and comes out as {facts(end)}; "
                         f"need one dtype at every step: start with {end.dtype.name}, or return "
                         f"x.to({start.dtype.name!r})")  # fmt: skip
    return end


def has_keys(closure: Closure, results: Sequence[Node]) -> list[Node]:
    """The keys of the global random stream that `results` draw from."""
    keys = set(filter(is_key, closure.hosts))
    return [node for node in toposort(results) if node in keys] if keys else []


def drawn_anew(results: Sequence[Node], keys: Sequence[Node], step: Node) -> list[Node]:
    """`results` with each of `keys` folded with the number of the step."""
    fresh = {key: fold_in(wrap(key), wrap(step))._node for key in keys}
    return substitute(results, fresh)


def flags(wrong: Sequence[Node]) -> list[Carried]:
    """Carries that say whether any of `wrong`, bool scalars, has been true at some step."""
    start = constant(False, bool_)
    arguments = [argument_like(start) for _ in wrong]
    return [Carried(flag, start, bitwise_or(flag, found))
            for flag, found in zip(arguments, wrong, strict=True)]  # fmt: skip


def require_all_false(checks: Sequence[Check], found: Sequence[Node]) -> None:
    """What a loop or branch found out about the checks inside of it."""
    for node, (_, error, message) in zip(found, checks, strict=True):
        require_false(node, error, message)


def refuse_extra(op: str, name: str, result: Any) -> NoReturn:
    raise ArgumentTypeError(f"{op}: {name} returned {described(result)}; need a pair: the next "
                            "carry and what to collect (None for nothing)")  # fmt: skip


def described(value: Any) -> str:
    """A result of the user's function in a few words."""
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
