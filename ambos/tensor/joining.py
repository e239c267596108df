"""Several tensors into one, and one into several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import normalize_axis
from ambos.graph.node import Node
from ambos.ops import movement as ops
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, wrap
from ambos.tensor.movement import cut_axis, swapaxes
from ambos.tensor.names import public
from ambos.tensor.operands import common_dtype, convert, expand_to, scalar


def _aligned(op: str, arrays: Any) -> list[Node]:
    """Operands of one dtype (shapes are the op's to check)."""
    if isinstance(arrays, Tensor):
        arrays = list(arrays)
    if not isinstance(arrays, Iterable) or isinstance(arrays, str):
        raise ArgumentError(f"{op}: got {arrays!r}; need a list of tensors: am.{op}([a, b])")
    operands = [operand_of(a) for a in arrays]
    if not operands:
        raise ArgumentError(f"{op}: got no tensors; need at least one")
    dtype = common_dtype(tuple(operands))
    return [convert(v, dtype) if isinstance(v, Node) else scalar(v, dtype) for v in operands]


@public
def concat(arrays: Any, axis: int | None = 0) -> Tensor:
    """Tensors one after the other along an existing axis (None: flattened).

    Example:
        >>> import ambos as am
        >>> am.cat([am.zeros(2, 3), am.ones(1, 3)]).shape
        (3, 3)
    """
    nodes = _aligned("concat", arrays)
    if axis is None:
        nodes, axis = [reshaped(n, (n.size,)) for n in nodes], 0
    if nodes[0].rank == 0:
        raise ShapeError("concat: got scalars; need at least one dimension: use stack")
    at = normalize_axis("concat", axis, nodes[0].rank)
    nodes = [n for n in nodes if n.shape != (0,)] or nodes[:1]  # as PyTorch: empty lists join all
    return wrap(ops.concat(*nodes, attrs=(at,)) if len(nodes) > 1 else nodes[0])


cat = concatenate = concat


@public
def stack(arrays: Any, axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    nodes = _aligned("stack", arrays)
    shape = nodes[0].shape
    for node in nodes:
        if node.shape != shape:
            raise ShapeError(f"stack: shapes {shape} and {node.shape} differ; need equal shapes: "
                             "use concat along an existing axis")  # fmt: skip
    at = normalize_axis("stack", axis, len(shape) + 1)
    lifted = [reshaped(n, (*shape[:at], 1, *shape[at:])) for n in nodes]
    return wrap(ops.concat(*lifted, attrs=(at,)) if len(lifted) > 1 else lifted[0])


@public
def hstack(arrays: Any) -> Tensor:
    """Joined along axis 1 (vectors along axis 0)."""
    nodes = [n if n.rank else reshaped(n, (1,)) for n in _aligned("hstack", arrays)]
    return concat([wrap(n) for n in nodes], min(1, nodes[0].rank - 1))


@public
def vstack(arrays: Any) -> Tensor:
    """Joined along axis 0; vectors are rows."""
    nodes = _aligned("vstack", arrays)
    rows = [n if n.rank > 1 else reshaped(n, (1, n.size)) for n in nodes]
    return concat([wrap(n) for n in rows], 0)


@public
def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Pieces along an axis: of this size each (the last may be smaller), or of these sizes."""
    node = node_of(x)
    at = normalize_axis("split", axis, node.rank)
    extent = node.shape[at]
    if isinstance(indices_or_sections, int):
        size = indices_or_sections
        if size < 1:
            raise ArgumentError(f"split: pieces of {size}; need at least 1 element each")
        sizes = [min(size, extent - s) for s in range(0, extent, size)] or [0]
    else:
        sizes = list(indices_or_sections)
        if sum(sizes) != extent:
            raise ShapeError(f"split: sizes {sizes} on axis {axis} of {node.shape}; need a total "
                             f"of {extent}")  # fmt: skip
    pieces, start = [], 0
    for count in sizes:
        pieces.append(wrap(cut_axis(node, at, start, start + count)))
        start += count
    return tuple(pieces)


@public
def chunk(x: Any, chunks: int, axis: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size along an axis (the last may be smaller)."""
    node = node_of(x)
    if chunks < 1:
        raise ArgumentError(f"chunk: {chunks} chunks; need at least 1")
    extent = node.shape[normalize_axis("chunk", axis, node.rank)]
    return split(x, max(1, -(-extent // chunks)), axis)


@public
def unbind(x: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, without that axis."""
    node = node_of(x)
    at = normalize_axis("unbind", axis, node.rank)
    rest = (*node.shape[:at], *node.shape[at + 1 :])
    return tuple(wrap(reshaped(cut_axis(node, at, i, i + 1), rest)) for i in range(node.shape[at]))


unstack = unbind


@public
def meshgrid(*arrays: Any, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Coordinate grids from vectors; `indexing` "xy" (NumPy's default) or "ij"."""
    nodes = [node_of(a) for a in arrays]
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing {indexing!r}; need 'xy' or 'ij'")
    shape = tuple(n.size for n in nodes)
    grids = []
    for axis, node in enumerate(nodes):
        single = tuple(n if a == axis else 1 for a, n in enumerate(shape))
        grid = wrap(expand_to(reshaped(node, single), shape))
        grids.append(swapaxes(grid, 0, 1) if indexing == "xy" and len(nodes) > 1 else grid)
    return tuple(grids)


__all__ = [
    "cat", "chunk", "concat", "concatenate", "hstack", "meshgrid", "split", "stack", "unbind",
    "unstack", "vstack",
]  # fmt: skip
