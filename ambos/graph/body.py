"""Body: a graph closed over nothing, as a value that nodes can carry (the inside of a loop)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ambos.core.dtype import DType
from ambos.core.errors import CompilerError
from ambos.core.shape import Shape
from ambos.graph.node import Node, exact, toposort
from ambos.graph.rewrite import substitute

Facts = tuple[Shape, DType]


class Body:
    """`results` as a function of `arguments` (leaves) and of nothing else.

    Two bodies are equal if they compute the same in the same way; the text of one says all of it.
    """

    __slots__ = ("_hash", "arguments", "key", "results")

    def __init__(self, arguments: Sequence[Node], results: Sequence[Node]) -> None:
        self.arguments, self.results = tuple(arguments), tuple(results)
        self.key = _key(self.arguments, self.results)
        self._hash = hash(self.key)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Body) and self._hash == other._hash and self.key == other.key
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Body{self.key!r}"

    @property
    def takes(self) -> list[Facts]:
        """Shape and dtype of each argument."""
        return [(node.shape, node.dtype) for node in self.arguments]

    @property
    def gives(self) -> list[Facts]:
        """Shape and dtype of each result."""
        return [(node.shape, node.dtype) for node in self.results]

    def on(self, values: Sequence[Node]) -> list[Node]:
        """The results with `values` in place of the arguments."""
        return substitute(self.results, dict(zip(self.arguments, values, strict=True)))


def work(arguments: Sequence[Node], results: Sequence[Node]) -> tuple[Any, ...]:
    """What two graphs share if they compute the same, whether gradients flow through or not."""
    return _key(arguments, results, is_tracked=lambda node: False)


def _key(
    arguments: Sequence[Node],
    results: Sequence[Node],
    is_tracked: Callable[[Node], bool] = lambda node: node.tracked,
) -> tuple[Any, ...]:
    """What two bodies share if they compute the same: the graph, its nodes numbered."""
    number = {node: place for place, node in enumerate(arguments)}
    lines: list[Any] = [(node.dtype.name, node.shape, is_tracked(node)) for node in arguments]
    for node in toposort(results, stop=number.__contains__):
        if node in number:
            continue
        if node.value is not None and not node.inputs and node.op.name == "data":
            raise CompilerError("body: data inside; need it as an argument")
        number[node] = len(number)
        operands = [number[source] for source in node.inputs]
        lines.append((node.op.name, node.attrs, exact(node.attrs), is_tracked(node), *operands))
    return (len(arguments), *lines, tuple(number[node] for node in results))
