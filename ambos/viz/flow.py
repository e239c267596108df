"""What flows where in a recorded model: boxes for modules and for operations between them.

A module is one box where it has no modules inside, or at the depth at which the drawing ends; what
containers compute themselves (a residual sum, a concatenation) are boxes of operations. Parameters
and constants are no boxes, and what only changes a shape belongs to what it is applied to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from ambos.core.shape import Shape, size_of
from ambos.graph.node import Node
from ambos.nn.scopes import Call, Recording
from ambos.ops.kinds import kind_of

SHOWN = 3  # operations that a box names
SILENT = ("cast", "constant", "iota", "data")  # what no box is named after
SPOKEN = {"contract": "matmul", "where": "select"}


@dataclass(eq=False)
class Box:
    """A place of the drawing: `kind` is "input", "output", "module" or "op"."""

    kind: str
    title: str
    path: str = ""
    call: Call | None = None
    outputs: list[Node] = field(default_factory=list)

    @property
    def shapes(self) -> list[Shape]:
        """What leaves it; of what a module returns, the first (of an LSTM, not its state)."""
        nodes = self.outputs if self.call is None else self.call.outputs[:1]
        return [node.shape for node in nodes]

    @property
    def parameters(self) -> int:
        """Numbers that it holds."""
        if self.call is None:
            return 0
        return sum(size_of(parameter.shape) for parameter in self.call.module.parameters())


Edge = tuple[Box, Box]


@dataclass
class Flow:
    """Boxes in the order in which they are computed, and the edges between them."""

    boxes: list[Box]
    edges: list[Edge]


def flow_of(recording: Recording, depth: int | None = None) -> Flow:
    """The drawing of a recorded model, its modules opened down to `depth` levels."""
    return _Collapsing(recording, depth).flow()


class _Collapsing:
    """Boxes for nodes, in the order of the graph.

    Operations of a container join one box only if no path between them leaves it: `age` counts how
    often a path changed its zone (a module's box, or a container's own operations), and operations
    join where zone and age agree. So boxes never make a cycle.
    """

    def __init__(self, recording: Recording, depth: int | None) -> None:
        self.recording, self.depth = recording, depth
        self.modules: dict[Call, Box] = {}
        self.place: dict[Node, Box] = {}
        self.zone: dict[Node, object] = {}
        self.age: dict[Node, int] = {}
        self.joined: dict[Box, Box] = {}
        self.inside: dict[Box, list[Node]] = {}

    def flow(self) -> Flow:
        nodes = self.recording.nodes()
        for node in nodes:
            self._settle(node)
        boxes = list(dict.fromkeys(self._find(box) for box in self.place.values()))
        edges: dict[Edge, None] = {}
        for node in nodes:
            if node not in self.place:
                continue
            for source in self.recording.sources(node):
                self._connect(edges, source, self._find(self.place[node]))
        outputs, names = self.recording.outputs, self.recording.output_names
        for place, (node, name) in enumerate(zip(outputs, names, strict=True)):
            numbered = f"output {place}" if len(outputs) > 1 else "output"
            box = Box("output", name or numbered, outputs=[node])
            boxes.append(box)
            self._connect(edges, node, box)
        self._name(boxes)
        return Flow(_in_order(boxes, list(edges)), list(edges))

    def _connect(self, edges: dict[Edge, None], source: Node, box: Box) -> None:
        if source in self.place:
            found = self._find(self.place[source])
            if found is not box:
                edges[found, box] = None
            if source not in found.outputs and found is not box:
                found.outputs.append(source)

    def _settle(self, node: Node) -> None:
        recording = self.recording
        if node in recording.arguments:
            self._put(node, Box("input", recording.arguments[node]), object(), 0)
            return
        call = recording.owner.get(node)
        box = None if node in recording.state or call is None else self._module(call)
        sources = [s for s in recording.sources(node) if s in self.place]
        if box is not None:
            # Without data it is a constant or made of parameters, which equal calls share; a
            # module that returns such (the embedding of positions) is drawn all the same.
            if sources or (box.call is not None and node in box.call.outputs):
                self._put(node, box, box, self._aged(sources, box))
        elif sources:
            if kind_of(node) == "move" and len({self._find(self.place[s]) for s in sources}) == 1:
                source = sources[0]  # a view shows what it is a view of
                self._put(node, self.place[source], self.zone[source], self.age[source])
            else:
                self._operation(node, call, sources)

    def _operation(self, node: Node, call: Call | None, sources: list[Node]) -> None:
        age = self._aged(sources, call)
        own = Box("op", "", "" if call is None else call.path)
        self._put(node, own, call, age)
        self.inside[own] = [node]
        for source in sources:
            if self.zone[source] is call and self.age[source] == age:
                self._join(self._find(self.place[source]), self._find(own))

    def _aged(self, sources: list[Node], zone: object) -> int:
        return max((self.age[s] + (self.zone[s] is not zone) for s in sources), default=0)

    def _put(self, node: Node, box: Box, zone: object, age: int) -> None:
        self.place[node], self.zone[node], self.age[node] = box, zone, age

    def _module(self, call: Call) -> Box | None:
        """The box of the outermost call around a node that is drawn as one."""
        line: list[Call] = []
        outer: Call | None = call
        while outer is not None:
            line.append(outer)
            outer = outer.parent
        for found in reversed(line):
            if not found.calls or (self.depth is not None and found.depth >= self.depth):
                box = self.modules.get(found)
                if box is None:
                    box = Box("module", found.name, found.path, found)
                    self.modules[found] = box
                return box
        return None

    def _find(self, box: Box) -> Box:
        while box in self.joined:
            box = self.joined[box]
        return box

    def _join(self, first: Box, second: Box) -> None:
        if first is not second:
            self.joined[second] = first
            self.inside[first] += self.inside.pop(second)

    def _name(self, boxes: list[Box]) -> None:
        for box in boxes:
            if box.kind == "op":
                names = list(dict.fromkeys(_names(self.inside[box])))
                more = " ..." if len(names) > SHOWN else ""
                box.title = " · ".join(names[:SHOWN]) + more


def _in_order(boxes: list[Box], edges: list[Edge]) -> list[Box]:
    """Those that are connected, each after what it depends on. (Nodes that two calls share could
    make a cycle; the box that comes first then goes first.)"""
    waiting = Counter(box for _, box in edges)
    readers: dict[Box, list[Box]] = {box: [] for edge in edges for box in edge}
    for source, box in edges:
        readers[source].append(box)
    left = dict.fromkeys(box for box in boxes if box in readers)
    ready = [box for box in left if not waiting[box]][::-1]
    found: list[Box] = []
    while left:
        box = ready.pop() if ready else next(iter(left))
        if box not in left:
            continue
        del left[box]
        found.append(box)
        for reader in readers[box]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    return found


def _names(nodes: list[Node]) -> Iterator[str]:
    """What the operations of a box are called; views only where there is nothing else."""
    loud = [n for n in nodes if n.op.name not in SILENT and kind_of(n) != "move"]
    for node in loud or nodes:
        yield SPOKEN.get(node.op.name, node.op.name).replace("_", " ")
