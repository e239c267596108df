"""A graph as text for people: one line an operation, names for what comes in, insides of loops
indented, the user's lines at the right."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ambos.graph.body import Body
from ambos.graph.lines import line_of
from ambos.graph.node import Node, toposort

WIDTH = 100  # where the user's lines end
INDENT = "  "
SPREADS = ("reshape", "expand", "permute")


class Listing:
    """Writes nodes down; `names` are those of nodes that come from elsewhere."""

    def __init__(self, names: Mapping[Node, str], depth: int = 1) -> None:
        self.names = dict(names)
        self.depth = depth
        self.lines: list[str] = []
        self.count = 0

    def write(self, roots: Sequence[Node]) -> None:
        """All that `roots` consist of, but for what has a name already."""
        order = toposort(roots, stop=self.names.__contains__)
        together: dict[Any, list[Node]] = {}
        for node in order:
            if _spec(node) is not None and node not in self.names:
                together.setdefault((node.op, node.inputs, node.attrs[1:]), []).append(node)
        for node in order:
            if node in self.names:
                continue
            number = literal(node)
            if number:
                self.names[node] = number
                continue
            parts = together.get((node.op, node.inputs, node.attrs[1:])) or [node]
            self._statement(sorted(parts, key=lambda part: part.attrs[:1]) if parts[1:] else parts)

    def name(self, node: Node) -> str:
        """What the node is called."""
        return self.names[node]

    def add(self, text: str, line: object = "") -> None:
        """One line of text."""
        text = INDENT * self.depth + text
        where = str(line) if line else ""
        self.lines.append(f"{text}{where:>{max(len(where) + 2, WIDTH - len(text))}}".rstrip())

    def _statement(self, parts: Sequence[Node]) -> None:
        node = parts[0]
        for part in parts:
            self.count += 1
            self.names[part] = f"%{self.count}"
        left = ", ".join(f"{self.names[part]}: {kind_of(part)}" for part in parts)
        operands = ", ".join(self.names[source] for source in node.inputs)
        spec = _spec(node)
        if spec is None:
            attrs = "".join(f" {_attr(a)}" for a in node.attrs)
            self.add(f"{left} = {node.op.name}({operands}){attrs}", line_of(node))
            return
        fields = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
        plain = "".join(f" {name}={value!r}" for name, value in fields.items()
                        if not any(True for _ in _bodies(name, value)))  # fmt: skip
        self.add(f"{left} = {node.op.name}({operands}){plain}", line_of(node))
        for name, value in fields.items():
            for title, body in _bodies(name, value):
                self._body(title, body)

    def _body(self, title: str, body: Body) -> None:
        names = {node: f"{title}.{number}" for number, node in enumerate(body.arguments)}
        inner = Listing(names, self.depth + 1)
        inner.write(body.results)
        heads = ", ".join(f"{name}: {kind_of(node)}" for node, name in names.items())
        self.add(f"{title}({heads}):")
        self.lines += inner.lines
        self.add(f"{INDENT}return {', '.join(map(inner.name, body.results)) or 'nothing'}")


def literal(node: Node) -> str:
    """A number, or one spread over a shape, as it is written; nothing for other nodes."""
    while node.op.name in SPREADS and not node.tracked:
        node = node.inputs[0]
    return repr(node.attrs[0]) if node.op.name == "constant" else ""


def kind_of(node: Node) -> str:
    """Dtype and shape."""
    return f"{node.dtype.name}{list(node.shape)}"


def _spec(node: Node) -> Any:
    """What a loop or branch is, as its second attribute says; None for other operations."""
    if len(node.attrs) < 2 or not dataclasses.is_dataclass(node.attrs[1]):
        return None
    spec = node.attrs[1]
    return spec if any(True for _ in _all_bodies(spec)) else None


def _all_bodies(spec: Any) -> Iterator[tuple[str, Body]]:
    for field in dataclasses.fields(spec):
        yield from _bodies(field.name, getattr(spec, field.name))


def _bodies(name: str, value: Any) -> Iterator[tuple[str, Body]]:
    if isinstance(value, Body):
        yield name, value
    elif isinstance(value, tuple) and value and all(isinstance(part, Body) for part in value):
        yield from ((f"{name}[{number}]", part) for number, part in enumerate(value))


def _attr(value: Any) -> str:
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else str(value)


def nodes_below(roots: Iterable[Node]) -> list[Node]:
    """Nodes without inputs, in order."""
    return [node for node in toposort(roots) if not node.inputs]
