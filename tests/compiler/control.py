"""Loops and branches built by hand from nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ambos.core.dtype import DType, as_dtype, int32
from ambos.graph import substitute, toposort
from ambos.graph.body import Body
from ambos.graph.node import Node
from ambos.ops import registry
from ambos.ops.control import BranchSpec, LoopSpec, ScanSpec, branch, scan, while_loop
from ambos.ops.sources import argument, data
from tests.ops.evaluators import on_device

RNG = np.random.default_rng(5)


def op(name: str, *inputs: Node, attrs: tuple[Any, ...] = ()) -> Node:
    return registry[name](*inputs, attrs=attrs)


def numbers(*shape: int, dtype: str = "float32") -> Node:
    """Data of the graph, as NumPy."""
    if dtype.startswith("complex"):
        values = RNG.uniform(-1, 1, shape) + 1j * RNG.uniform(-1, 1, shape)
    elif dtype == "bool":
        values = RNG.random(shape) < 0.5
    else:
        values = RNG.uniform(-1, 1, shape) * (1 if dtype.startswith("float") else 100)
    values = np.asarray(values).astype(dtype)
    return data.leaf(values, shape, as_dtype(dtype))


def function(
    call: Callable[..., Sequence[Node]], *facts: tuple[tuple[int, ...], DType | str]
) -> Body:
    """The body of a Python function of nodes."""
    arguments = [argument.leaf(shape, as_dtype(dtype)) for shape, dtype in facts]
    return Body(arguments, call(*arguments))


def scanned(
    call: Callable[..., Sequence[Node]], constants: Sequence[Node] = (),
    carry: Sequence[Node] = (), xs: Sequence[Node] = (), length: int | None = None,
    reverse: bool = False,
) -> tuple[Node, ...]:  # fmt: skip
    length = xs[0].shape[0] if length is None else length
    facts = [(n.shape, n.dtype) for n in (*constants, *carry)]
    body = function(call, *facts, *((x.shape[1:], x.dtype) for x in xs))
    spec = ScanSpec(body, len(constants), len(carry), length, reverse)
    return scan.parts(*constants, *carry, *xs, spec=spec)


def looped(
    condition: Callable[..., Node], call: Callable[..., Sequence[Node]], carry: Sequence[Node],
    asked: Sequence[Node] = (), constants: Sequence[Node] = (),
) -> tuple[Node, ...]:  # fmt: skip
    facts, own, more = ([(n.shape, n.dtype) for n in nodes] for nodes in (carry, asked, constants))
    spec = LoopSpec(
        function(lambda *x: [condition(*x)], *own, *facts), function(call, *more, *facts),
        len(own), len(more),
    )  # fmt: skip
    return while_loop.parts(*asked, *constants, *carry, spec=spec)


def chosen(
    number: Node, calls: Sequence[Callable[..., Sequence[Node]]], operands: Sequence[Node]
) -> tuple[Node, ...]:
    facts = [(n.shape, n.dtype) for n in operands]
    spec = BranchSpec(tuple(function(call, *facts) for call in calls))
    return branch.parts(number, *operands, spec=spec)


def whole(value: int) -> Node:
    return data.leaf(np.asarray(value, np.int32), (), int32)


def on_machine(nodes: Sequence[Node]) -> list[Node]:
    """The same graph on data of the runtime."""
    moved = {
        node: data.leaf(on_device(node.value, node), node.shape, node.dtype)
        for node in toposort(nodes)
        if isinstance(node.value, np.ndarray | np.generic)
    }
    return substitute(nodes, moved)
