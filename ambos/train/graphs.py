"""Graphs of functional models as plain data and back: what is read can run nothing but operations
and layers that the reader knows by name."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ambos.core import tree
from ambos.core.dtype import DType, as_dtype, float32
from ambos.core.errors import FormatError
from ambos.core.unknown import HOW, Size, is_unknown, made
from ambos.graph.node import Node, make, toposort
from ambos.nn.symbolic import EXAMPLES, Input
from ambos.ops import registry
from ambos.ops.contraction import Spec
from ambos.tensor.handle import Tensor, wrap
from ambos.train.older import modern

Json = Any
VERSION = 2  # 1 had a number in place of sizes that are not known
RECORDS = {"Spec": Spec}  # attributes of operations that are no plain data


class Numbers:
    """The number of each node, and of each size the node and axis where data tells it."""

    def __init__(self) -> None:
        self.nodes: dict[Node, int] = {}
        self.sizes: dict[Size, tuple[int, int]] = {}

    def __getitem__(self, node: Node) -> int:
        return self.nodes[node]

    def add(self, node: Node) -> None:
        number = self.nodes[node] = len(self.nodes)
        for axis, size in enumerate(node.shape):
            if isinstance(size, Size) and not size.made:
                self.sizes.setdefault(size, (number, axis))


class Undescribed(Exception):
    """Of what there is no description."""


def described(graph: Any) -> Json:
    """The calls of `graph` (a `functional.Graph`) and the operations between them, by number.

    Errors: Undescribed for a graph with functions of Python in it (loops, calls).
    """
    number = Numbers()
    steps: list[Json] = []

    def add(node: Node) -> int:
        for part in toposort([node], stop=number.nodes.__contains__):
            if part not in number.nodes:
                steps.append(_operation(part, number))
                number.add(part)
        return number[node]

    for name, node in zip(graph.input_names, graph.inputs, strict=True):
        number.add(node)
        steps.append({"input": name, **_shape(node, number), "dtype": node.dtype.name})
    for call in graph.calls:
        for part in call.arguments:
            if isinstance(part, Node):
                add(part)
        given = call.structure.build(iter(call.arguments))
        steps.append({"call": graph.names[id(call.module)], "given": _written(given, number)})
        for node in call.results:
            number.add(node)
    for node in graph.outputs:
        add(node)
    taken = graph.taken.build(iter(graph.inputs))
    returned = graph.returned.build(iter(graph.outputs))
    return {
        "version": VERSION, "steps": steps, "inputs": _written(taken, number),
        "outputs": _written(returned, number),
    }  # fmt: skip


def _shape(node: Node, number: Numbers) -> Json:
    """That of an input: None for each size that it tells first, others by where they are told."""
    shown: tuple[Any, ...] = node.shape  # of Sizes, too
    batch, *sizes = shown
    own = number[node]
    shape: list[Json] = []
    for axis, size in enumerate(sizes, 1):
        if isinstance(size, Size) and number.sizes.get(size) == (own, axis):
            shape.append(None)
            continue
        parts = size.parts if isinstance(size, Size) else ()
        if any(number.sizes.get(part, ())[:1] == (own,) and part != batch for part in parts):
            raise Undescribed(f"a size {size} of an input, which it tells itself,")
        shape.append(_written(size, number))
    return {"shape": shape, "batch_size": None if is_unknown(batch) else batch}


def _operation(node: Node, number: Numbers) -> Json:
    if node.value is not None:
        values = wrap(node)
        wide = values if node.dtype.name != "bfloat16" else values.to(float32)
        array = np.ascontiguousarray(wide.detach().numpy())
        return {"data": base64.b64encode(array.tobytes()).decode(), "dtype": node.dtype.name,
                "kind": array.dtype.name, "shape": list(node.shape)}  # fmt: skip
    if registry.get(node.op.name) is not node.op:
        raise Undescribed(node.op.name)
    return {"op": node.op.name, "attrs": [_written(each, number) for each in node.attrs],
            "of": [number[source] for source in node.inputs]}  # fmt: skip


def _written(value: Any, number: Numbers) -> Json:
    """A tree of plain values and nodes as JSON."""
    if isinstance(value, Size):
        if not value.made:
            if value not in number.sizes:
                raise Undescribed(f"a size {value} that no input has")
            return {"size": list(number.sizes[value])}
        name, *operands = value.made
        return {"made": name, "of": [_written(each, number) for each in operands]}
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, complex):
        return {"complex": [str(value.real), str(value.imag)]}
    if isinstance(value, Node):
        return {"node": number[value]}
    if isinstance(value, DType):
        return {"dtype": value.name}
    if type(value) in (tuple, list):
        return {type(value).__name__: [_written(each, number) for each in value]}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: _written(each, number) for key, each in value.items()}}
    if RECORDS.get(type(value).__name__) is type(value):
        parts = {f.name: _written(getattr(value, f.name), number)
                 for f in dataclasses.fields(value)}  # fmt: skip
        return {"record": type(value).__name__, "parts": parts}
    raise Undescribed(type(value).__name__)


def symbolic(description: Json, modules: Mapping[str, Any]) -> tuple[Any, Any]:
    """Inputs and outputs, symbolic, of what `described` wrote, with these modules.

    Errors: FormatError for an unknown operation or layer; LookupError, TypeError, ValueError and
        AmbosError for what does not fit.
    """
    nodes: list[Node] = []
    for step in modern(description)["steps"]:
        if "input" in step:
            shape = tuple(_read(each, nodes) for each in step["shape"])
            given = Input(shape, step["batch_size"], step["dtype"], step["input"])
            nodes.append(given._node)
        elif "call" in step:
            if step["call"] not in modules:
                raise FormatError(
                    f"load: the graph calls {step['call']!r}, which is no layer of it"
                )
            args, kwargs = _read(step["given"], nodes)
            found = modules[step["call"]](*args, **kwargs)
            nodes += [leaf._node for leaf in tree.leaves(found)]
        elif "data" in step:
            nodes.append(_data(step))
        else:
            if step["op"] not in registry:
                raise FormatError(f"load: the graph needs {step['op']!r}, no operation of ambos")
            attrs = tuple(_read(each, nodes) for each in step["attrs"])
            taken = tuple(nodes[place] for place in step["of"])
            nodes.append(make(registry[step["op"]], taken, attrs))
    return _read(description["inputs"], nodes), _read(description["outputs"], nodes)


def _data(step: Json) -> Node:
    raw = base64.b64decode(step["data"], validate=True)
    array = np.frombuffer(raw, np.dtype(step["kind"])).reshape(step["shape"])
    return Tensor(array.copy()).to(as_dtype(step["dtype"])).detach()._node


def _read(value: Json, nodes: list[Node]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, inner), *more) = value.items()
    if kind == "node":
        return wrap(nodes[inner])
    if kind == "size":
        place, axis = inner
        return nodes[place].shape[axis] if axis or place < len(nodes) else EXAMPLES  # its own
    if kind == "made" and inner in HOW:
        return made(inner, *(_read(each, nodes) for each in dict(more)["of"]))
    if kind == "dtype":
        return as_dtype(inner)
    if kind == "float":
        return float(inner)
    if kind == "complex":
        return complex(*map(float, inner))
    if kind == "tuple":
        return tuple(_read(each, nodes) for each in inner)
    if kind == "list":
        return [_read(each, nodes) for each in inner]
    if kind == "dict":
        return {key: _read(each, nodes) for key, each in inner.items()}
    if kind == "record":
        return RECORDS[inner](**{k: _read(each, nodes) for k, each in dict(more)["parts"].items()})
    raise FormatError(f"load: the graph has a {kind!r}, which is unknown")
