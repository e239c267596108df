"""A recorded model as TensorFlow's GraphDef, whose names with slashes TensorBoard folds into boxes.

Source: tensorboard/compat/proto: graph.proto, node_def.proto, attr_value.proto, types.proto.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ambos.core.dtype import DType
from ambos.graph.listing import literal
from ambos.graph.node import Node
from ambos.nn.scopes import Call, Recording
from ambos.viz.messages import shape
from ambos.viz.wire import blob, integer, many, message, table, text

DTYPES = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "complex64": 8,
    "int64": 9, "bool": 10, "bfloat16": 14, "uint16": 17, "complex128": 18, "float16": 19,
    "uint32": 22, "uint64": 23,
}  # fmt: skip
PRODUCER = 1  # GraphDef's version
LONGEST = 200  # characters of attributes that are shown


def graph_def(recording: Recording) -> bytes:
    """The graph of a model: its arguments, its modules, and what it returns."""
    return message(many(1, _nodes(recording)), blob(4, integer(1, PRODUCER)))


def _nodes(recording: Recording) -> Iterator[bytes]:
    writer = _Writer(recording)
    for node in recording.nodes():
        if not literal(node):
            yield from writer.node(node)
    for place, node in enumerate(recording.outputs):
        yield from writer.output(node, place)


class _Writer:
    """Nodes with their names, each after what it reads."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.scopes = _scopes(recording.root)
        self.names: dict[Node, str] = {}
        self.numbers: dict[tuple[str, Node], str] = {}
        self.taken: Counter[str] = Counter()

    def node(self, node: Node) -> Iterator[bytes]:
        recording = self.recording
        if node in recording.arguments:
            name, op = f"inputs/{recording.arguments[node]}", "Placeholder"
        elif node in recording.state:
            name, op = _state_name(recording.state[node], self.scopes), "Variable"
        else:
            name, op = f"{self.scopes[recording.owner[node]]}/{node.op.name}", node.op.name
        name = self.names[node] = self.unique(name)
        sources: list[str] = []
        yield from self.sources(recording.sources(node), name.rpartition("/")[0], sources)
        details = " ".join(map(_attr, node.attrs))[:LONGEST]
        yield _node(name, op, sources, node, details)

    def output(self, node: Node, place: int) -> Iterator[bytes]:
        sources: list[str] = []
        yield from self.sources((node,), "outputs", sources)
        numbered = "result" if len(self.recording.outputs) == 1 else str(place)
        name = self.recording.output_names[place] or numbered
        yield _node(self.unique(f"outputs/{name}"), "Output", sources, node, "")

    def sources(self, nodes: Sequence[Node], scope: str, names: list[str]) -> Iterator[bytes]:
        """Fill in the names of what is read. A number is one node wherever it is used, which would
        tie modules together that share nothing else: each scope writes its own."""
        for node in nodes:
            number = literal(node)
            if not number:
                names.append(self.names[node])
                continue
            known = self.numbers.get((scope, node))
            if known is None:
                known = self.numbers[scope, node] = self.unique(f"{scope}/Const")
                yield _node(known, "Const", [], node, number)
            names.append(known)

    def unique(self, name: str) -> str:
        name = _clean(name)
        self.taken[name] += 1
        return name if self.taken[name] == 1 else f"{name}_{self.taken[name] - 1}"


def _scopes(root: Call) -> dict[Call, str]:
    """A path for each call: the second call of a module has a box of its own."""
    scopes: dict[Call, str] = {}
    taken: Counter[str] = Counter()
    for call in root.walk():
        if call.parent is None:
            scope = call.name
        else:
            outer, own = scopes[call.parent], call.path
            inner = own.removeprefix(f"{call.parent.path}.") if call.parent.path else own
            scope = f"{outer}/{inner.replace('.', '/')}"
        taken[scope] += 1
        scopes[call] = scope if taken[scope] == 1 else f"{scope}_{taken[scope] - 1}"
    return scopes


def _state_name(name: str, scopes: dict[Call, str]) -> str:
    """Beside what its module does."""
    owner, _, own = name.rpartition(".")
    for call, scope in scopes.items():
        if call.path == owner:
            return f"{scope}/{own}"
    return f"{next(iter(scopes.values()))}/{name.replace('.', '/')}"


def _clean(name: str) -> str:
    """A name as TensorFlow allows it."""
    kept = "".join(letter if letter.isalnum() or letter in "_./-" else "_" for letter in name)
    return kept if kept[:1].isalnum() else f"n{kept}"


def _attr(value: object) -> str:
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else str(value)


def _node(name: str, op: str, sources: list[str], node: Node, details: str) -> bytes:
    attrs = {
        "_output_shapes": blob(1, blob(7, shape(node.shape))),
        "dtype": integer(6, _dtype(node.dtype)),
    }
    if details:
        attrs["attr"] = blob(2, details.encode())
    return message(text(1, name), text(2, op), many(3, (s.encode() for s in sources)),
                   table(5, sorted(attrs.items())))  # fmt: skip


def _dtype(dtype: DType) -> int:
    return DTYPES.get(dtype.name, 0)
