"""Nodes without inputs: data, program inputs, arguments, constants, positions."""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import DType, int64
from ambos.core.errors import CompilerError
from ambos.core.shape import Shape
from ambos.graph.node import Attrs, Node, leaf
from ambos.ops.kinds import Source


class Data(Source):
    """Realised data; its node's `value` holds it."""

    ref = lambda np, node: np.asarray(node.value)

    def leaf(self, value: Any, shape: Shape, dtype: DType, tracked: bool = False) -> Node:
        return leaf(self, (), shape, dtype, tracked, value)


class Input(Source):
    """The argument number `attrs[0]` of a program; `attrs[1]` are its strides in elements."""

    def leaf(self, number: int, strides: Shape, shape: Shape, dtype: DType) -> Node:
        return leaf(self, (number, strides), shape, dtype, False, None)

    def ref(np: Any, node: Node) -> Any:
        raise CompilerError("input: a program's input has no value of its own")


class Argument(Source):
    """What a function that is being traced is called with: it has no value. Each is its own."""

    def leaf(self, shape: Shape, dtype: DType, tracked: bool = False) -> Node:
        return leaf(self, (), shape, dtype, tracked, None)

    def ref(np: Any, node: Node) -> Any:
        raise CompilerError("argument: what a traced function is called with has no value")


class Constant(Source):
    """One number; attrs: (value, dtype)."""

    ref = lambda np, value, dtype: np.asarray(value, dtype)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        return (), attrs[1]


class Iota(Source):
    """0, 1, 2, ... along one axis, int64; attrs: (extent,)."""

    ref = lambda np, extent: np.arange(extent)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        return (attrs[0],), int64


data, input_, argument, constant_op, iota = Data(), Input(), Argument(), Constant(), Iota()
