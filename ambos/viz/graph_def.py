"""A recorded model as TensorFlow's GraphDef, whose names with slashes TensorBoard folds into boxes.

Source: tensorboard/compat/proto: graph.proto, node_def.proto, attr_value.proto, types.proto.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

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


def graph_def(recording: Recording) -> bytes:
    """The graph of a model: its arguments, its modules, and what it returns."""
    return message(many(1, _nodes(recording)), blob(4, integer(1, PRODUCER)))


def _nodes(recording: Recording) -> Iterator[bytes]:
    names: dict[Node, str] = {}
    taken: Counter[str] = Counter()

    def unique(name: str) -> str:
        taken[name] += 1
        return name if taken[name] == 1 else f"{name}_{taken[name] - 1}"

    scopes = _scopes(recording.root)
    for node in recording.nodes():
        number = literal(node)
        if number and node.op.name != "constant":
            continue  # a number spread over a shape: its readers read the number
        if node in recording.arguments:
            name, op = f"inputs/{recording.arguments[node]}", "Placeholder"
        elif node in recording.state:
            name, op = _state_name(recording.state[node], scopes), "Variable"
        else:
            scope = scopes[recording.owner[node]]
            name, op = f"{scope}/{node.op.name}", node.op.name
        names[node] = unique(_clean(name))
        sources = [names[_number(source)] for source in recording.sources(node)]
        yield _node(names[node], op, sources, node, _details(node, number))
    for place, node in enumerate(recording.outputs):
        name = unique("outputs/" + (str(place) if len(recording.outputs) > 1 else "result"))
        yield _node(name, "Output", [names[_number(node)]], node, "")


def _number(node: Node) -> Node:
    """The constant behind a number that is spread over a shape; other nodes are themselves."""
    if literal(node):
        while node.inputs:
            node = node.inputs[0]
    return node


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


def _details(node: Node, number: str) -> str:
    if number:
        return number
    return " ".join(_attr(attr) for attr in node.attrs)[:200]


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
