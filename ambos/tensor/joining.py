"""Several tensors into one, and one into several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape, agree, normalize_axis
from ambos.graph.node import Node
from ambos.ops import movement as ops
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, wrap
from ambos.tensor.movement import cut_axis, ravel, swapaxes
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
    nodes = [n for n in nodes if n.shape != (0,)] or nodes[:1]  # as PyTorch: empty lists join all
    at = normalize_axis("concat", axis, nodes[0].rank)
    return wrap(ops.concat(*nodes, attrs=(at,)) if len(nodes) > 1 else nodes[0])


cat = concatenate = concat


@public
def stack(arrays: Any, axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    nodes = _aligned("stack", arrays)
    shape = nodes[0].shape
    for node in nodes:
        if not agree(node.shape, shape):
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


row_stack = vstack


@public
def dstack(arrays: Any) -> Tensor:
    """Joined along axis 2, which vectors and matrices get at their end."""
    nodes = _aligned("dstack", arrays)
    return concat([wrap(reshaped(n, _at_least_3d(n.shape))) for n in nodes], 2)


@public
def column_stack(arrays: Any) -> Tensor:
    """Joined along axis 1; vectors and scalars are columns."""
    nodes = _aligned("column_stack", arrays)
    columns = [n if n.rank > 1 else reshaped(n, (n.size, 1)) for n in nodes]
    return concat([wrap(n) for n in columns], 1)


@public
def block_diag(*arrays: Any) -> Tensor:
    """Matrices along the diagonal of one matrix, zeros elsewhere; vectors are rows.

    Example:
        >>> import ambos as am
        >>> am.block_diag(am.ones(1, 2), am.ones(1, 1)).tolist()
        [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    nodes = _aligned("block_diag", arrays)
    for node in nodes:
        if node.rank > 2:
            raise ShapeError(f"block_diag: got {node.shape}; need at most two dimensions")
    blocks = [n if n.rank == 2 else reshaped(n, (1, n.size)) for n in nodes]
    width, left, rows = sum(n.shape[1] for n in blocks), 0, []
    for block in blocks:
        right = width - left - block.shape[1]
        sides = (0, left), (0, right)
        rows.append(ops.pad(block, attrs=sides) if left or right else block)
        left += block.shape[1]
    return wrap(ops.concat(*rows, attrs=(0,)) if len(rows) > 1 else rows[0])


def _at_least_2d(shape: Shape) -> Shape:
    return shape if len(shape) > 1 else (1, *(shape or (1,)))


def _at_least_3d(shape: Shape) -> Shape:
    return shape if len(shape) > 2 else (*_at_least_2d(shape), 1)


def _raised(arrays: tuple[Any, ...], shape: Callable[[Shape], Shape]) -> Any:
    """Each of `arrays` (or of the one list) in its new shape; of one tensor a tensor."""
    if len(arrays) == 1 and not isinstance(arrays[0], (list, tuple)):
        node = node_of(arrays[0])
        return wrap(reshaped(node, shape(node.shape)))
    several = arrays[0] if len(arrays) == 1 else arrays
    return tuple(_raised((one,), shape) for one in several)


@public
def atleast_1d(*arrays: Any) -> Any:
    """Scalars with one dimension; of several tensors (or a list) a tuple."""
    return _raised(arrays, lambda shape: shape or (1,))


@public
def atleast_2d(*arrays: Any) -> Any:
    """Vectors as rows, scalars as matrices; of several tensors (or a list) a tuple."""
    return _raised(arrays, _at_least_2d)


@public
def atleast_3d(*arrays: Any) -> Any:
    """Matrices with an axis at their end, vectors as (1, n, 1); of several tensors a tuple.

    Example:
        >>> import ambos as am
        >>> am.atleast_3d(am.zeros(4)).shape
        (1, 4, 1)
    """
    return _raised(arrays, _at_least_3d)


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
    node, chunks = node_of(x), positive("chunk: chunks", chunks)
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
def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Tensor]:
    """Coordinate grids from vectors (or one list of them), a list (Array API); `indexing` "xy"
    (NumPy's default) or "ij" (PyTorch's)."""
    if len(arrays) == 1 and isinstance(arrays[0], (list, tuple)):
        arrays = tuple(arrays[0])
    nodes = [node_of(a) for a in arrays]
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing {indexing!r}; need 'xy' or 'ij'")
    for node in nodes:
        if node.rank > 1 or node.dtype is not nodes[0].dtype:
            raise ShapeError(f"meshgrid: got {node.dtype.name}{list(node.shape)}; need vectors of "
                             "one dtype")  # fmt: skip
    shape = tuple(n.size for n in nodes)
    grids = []
    for axis, node in enumerate(nodes):
        single = tuple(n if a == axis else 1 for a, n in enumerate(shape))
        grid = wrap(expand_to(reshaped(node, single), shape))
        grids.append(swapaxes(grid, 0, 1) if indexing == "xy" and len(nodes) > 1 else grid)
    return grids


@public
def cartesian_prod(*arrays: Any) -> Tensor:
    """Every choice of one element from each vector, one row each; of one vector itself.

    Example:
        >>> import ambos as am
        >>> am.cartesian_prod(am.tensor([1, 2]), am.tensor([3, 4])).tolist()
        [[1, 3], [1, 4], [2, 3], [2, 4]]
    """
    nodes = [node_of(a) for a in arrays]
    for node in nodes:
        if node.rank != 1:
            raise ShapeError(f"cartesian_prod: got {node.shape}; need vectors")
    if len(nodes) == 1:
        return wrap(nodes[0])
    return stack([ravel(grid) for grid in meshgrid(*arrays, indexing="ij")], -1)


__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "cartesian_prod", "cat", "chunk",
    "column_stack", "concat", "concatenate", "dstack", "hstack", "meshgrid", "row_stack", "split",
    "stack", "unbind", "unstack", "vstack",
]  # fmt: skip
