"""Why fusion stopped where it did: noted by `fuse` when somebody asks, for `am.explain`."""

from __future__ import annotations

from typing import Any

from ambos.core.shape import Shape
from ambos.graph.node import Node

AFRESH = "one of the two is computed again, later, to save memory"
WOVEN = "a sum needs its axes whole, and phases are woven together here"
TAPPED = "many taps are read here, fastest by a kernel that does not reduce"
ROW_LAYOUT = "it is laid out row by row for a reader that needs that"


class Reasons:
    """What one fusion decided. Groups are compared by identity."""

    def __init__(self) -> None:
        self.stored: dict[Node, list[str]] = {}  # why a node has memory, or a kernel, of its own
        self.apart: dict[Node, list[tuple[Any, str]]] = {}  # (producer's group, why not in there)

    def clear(self) -> None:
        """A new fusion begins."""
        self.stored.clear()
        self.apart.clear()

    def keep(self, node: Node, why: str) -> None:
        known = self.stored.setdefault(node, [])
        if why not in known:
            known.append(why)

    def part(self, node: Node, group: Any, why: str) -> None:
        self.apart.setdefault(node, []).append((group, why))


def space_reason(group: Any, shape: Shape, reduced: Shape) -> str:
    """Why a node over `shape` with `reduced` axes finds no place in the space of `group`."""
    if group.kind not in ("loop", "contract"):
        return f"a {group.kind} has its kernel to itself"
    if group.kind == "contract":
        if reduced:
            return "a reduction does not run inside a contraction's tiles"
        return f"its shape {list(shape)} is not the contraction's {list(group.shape)}"
    if reduced and group.reduced and shape == group.shape and reduced != group.reduced:
        return f"reduction over another axis: {list(reduced)}, there {list(group.reduced)}"
    if shape != group.shape:
        return f"it runs over {list(shape)}, that kernel over {list(group.shape)}"
    if reduced and not (shape and len(shape) - 1 in reduced):
        return f"reduction over {list(reduced)}: not along the rows that kernel walks"
    return "the rows are too long to stay in a core's cache between two passes"
