"""Graphs as text: one line a node, operands by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from ambos.graph.body import Body
from ambos.graph.node import Node, toposort


def show(roots: Sequence[Node]) -> str:
    """A listing of the graph below `roots`, which are marked with `*`.

    Example of a line: `%3* = add(%1, %2)  float32[2, 3]`. The insides of a loop or branch follow
    the first of its results, each a graph of its own.
    """
    return "\n".join(_lines(toposort(roots), roots, {}))


def _lines(order: Sequence[Node], roots: Sequence[Node], names: dict[Node, str]) -> list[str]:
    """`names` are those of arguments."""
    number = {node: names.get(node, f"%{i}") for i, node in enumerate(order)}
    marked = set(roots)
    lines: list[str] = []
    seen: set[Any] = set()
    for node in order:
        if node in names:
            continue
        operands = ", ".join(number[i] for i in node.inputs)
        attrs = "".join(f" {_plain(a)}" for a in node.attrs)
        star = "*" if node in marked else ""
        kind = f"{node.dtype.name}{list(node.shape)}"
        lines.append(f"{number[node]}{star} = {node.op.name}({operands}){attrs}  {kind}")
        for attr in node.attrs:
            bodies: tuple[Body, ...] = getattr(attr, "bodies", ())
            if bodies and attr not in seen:
                seen.add(attr)
                lines += [f"    {line}" for body in bodies for line in _body(body)]
    return lines


def _plain(attr: Any) -> str:
    """An attribute without the graphs in it."""
    if not hasattr(attr, "bodies"):
        return repr(attr)
    shown = ((f.name, getattr(attr, f.name)) for f in fields(attr))
    facts = (f"{name}={value!r}" for name, value in shown if isinstance(value, bool | int))
    return f"{type(attr).__name__}({', '.join(facts)})"


def _body(body: Body) -> list[str]:
    names = {node: f"%a{i}" for i, node in enumerate(body.arguments)}
    takes = (f"{name}: {node.dtype.name}{list(node.shape)}" for node, name in names.items())
    order = toposort(body.results)
    found = {node: names.get(node, f"%{i}") for i, node in enumerate(order)}
    gives = ", ".join(found[node] for node in body.results)
    return [f"({', '.join(takes)}) -> ({gives})", *_lines(order, body.results, names)]
