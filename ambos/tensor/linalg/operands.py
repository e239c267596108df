"""Operands on the way into linear algebra: dtypes, and batches that broadcast."""

from __future__ import annotations

from typing import Any

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import broadcast
from ambos.core.unknown import larger
from ambos.graph.node import Node
from ambos.ops import matrices
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.operands import common_dtype, convert, expand_to, floating

EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52, "complex64": 2.0**-23,
           "complex128": 2.0**-52}  # fmt: skip


def matrix(name: str, x: Any, square: bool = False) -> Node:
    """`x` as a batch of floating matrices; integers become float32."""
    node = floating(node_of(x))
    if node.rank < 2:
        raise ShapeError(f"linalg.{name}: got shape {node.shape}; need at least two dimensions, "
                         "(..., m, n): add one with x[None]")  # fmt: skip
    if square and node.shape[-1] != node.shape[-2]:
        raise ShapeError(f"linalg.{name}: got shape {node.shape}; need square matrices, "
                         "(..., n, n)")  # fmt: skip
    return node


def together(name: str, *arrays: Any) -> tuple[Node, ...]:
    """Floating nodes of one dtype."""
    nodes = tuple(floating(node_of(x)) for x in arrays)
    del name
    dtype = common_dtype(nodes)
    return tuple(convert(node, dtype) for node in nodes)


def batched(name: str, *nodes: Node, rank: int = 2) -> tuple[Node, ...]:
    """The same nodes with equal leading axes; the last `rank` stay."""
    batch = broadcast(f"linalg.{name}", *(node.shape[: node.rank - rank] for node in nodes))
    return tuple(expand_to(node, (*batch, *node.shape[node.rank - rank :])) for node in nodes)


def adjoint(x: Tensor) -> Tensor:
    """The conjugate transpose."""
    return wrap(matrices.adjoint(x._node))


def real_size(x: Tensor) -> Tensor:
    """The magnitude of complex numbers, which norms are taken of."""
    return x.abs() if x.dtype.is_complex else x


def default_tolerance(node: Node) -> float:
    """Relative to the largest singular value, what counts as zero: NumPy's and PyTorch's choice."""
    return larger(*node.shape[-2:]) * EPSILON[node.dtype.name]


def choice(name: str, argument: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """`value`, or an ArgumentError unless it is one of `allowed`."""
    if value not in allowed:
        raise ArgumentError(f"linalg.{name}: {argument} is {value!r}; need one of "
                            f"{', '.join(map(repr, allowed))}")  # fmt: skip
    return value
