"""Complex tensors and their parts."""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import float32
from ambos.core.errors import DTypeError, ShapeError
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import complex as bridge
from ambos.ops import functions
from ambos.ops.movement import interleave, slice_
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import align, binary, common_dtype, floating, scalar


@public
def is_complex(x: Any) -> bool:
    """Is the dtype complex?"""
    return node_of(x).dtype.is_complex


@public
def real(x: Any) -> Tensor:
    """The real part; a real tensor itself.

    Example:
        >>> import ambos as am
        >>> am.real(am.tensor([1 + 2j, 3 - 4j])).tolist()
        [1.0, 3.0]
    """
    node = node_of(x)
    return wrap(bridge.real(node) if node.dtype.is_complex else node)


@public
def imag(x: Any) -> Tensor:
    """The imaginary part; of a real tensor zeros.

    Example:
        >>> import ambos as am
        >>> am.imag(am.tensor([1 + 2j, 3 - 4j])).tolist()
        [2.0, -4.0]
    """
    node = node_of(x)
    if node.dtype.is_complex:
        return wrap(bridge.imag(node))
    return wrap(scalar(0, node.dtype, node.shape))


@public
def conj(x: Any) -> Tensor:
    """The complex conjugate; a real tensor itself."""
    return wrap(conjugate_node(node_of(x)))


conj_physical = conj  # nothing is a view here, so every conjugate is one


def conjugate_node(node: Node) -> Node:
    """`node` with its imaginary part negated, if it has one."""
    return bridge.conj(node) if node.dtype.is_complex else node


@public
def resolve_conj(x: Any) -> Tensor:
    """The tensor itself: no conjugation waits to be carried out here."""
    return wrap(node_of(x))


@public
def resolve_neg(x: Any) -> Tensor:
    """The tensor itself: no change of sign waits to be carried out here."""
    return wrap(node_of(x))


@public
def adjoint(x: Any) -> Tensor:
    """Matrices transposed and conjugated."""
    return conj(wrap(node_of(x)).mT)


@public
def isreal(x: Any) -> Tensor:
    """Is the imaginary part zero?"""
    return wrap(binary(ops.equal, imag(x)._node, 0))


@public
def angle(x: Any) -> Tensor:
    """The angle of a complex number in radians, in (-pi, pi]; of a real one 0 or pi.

    Example:
        >>> import ambos as am
        >>> f"{am.angle(1j).item():.4f}"
        '1.5708'
    """
    node = floating(node_of(x))
    if node.dtype.is_complex:
        x, y = bridge.real(node), bridge.imag(node)
    else:
        x, y = node, scalar(0, node.dtype, node.shape)
    return wrap(functions.atan2(y, x))


def _parts(op: str, *operands: Any) -> tuple[Node, ...]:
    """Real operands as float32 or float64 of one shape."""
    found = tuple(operand_of(x) for x in operands)
    dtype = common_dtype(found)
    if dtype.is_complex:
        raise DTypeError(f"{op}: got {dtype.name}; need two real tensors")
    return align(op, found, dtype.compute if dtype.is_floating else float32)


@public
def complex(real: Any, imag: Any) -> Tensor:
    """real + 1j * imag, where both may be infinite or NaN by themselves.

    Example:
        >>> import ambos as am
        >>> am.complex(1.0, 2.0).item()
        (1+2j)
    """
    return wrap(bridge.complex_(*_parts("complex", real, imag)))


@public
def polar(abs: Any, angle: Any) -> Tensor:
    """The complex number of that magnitude and angle."""
    size, turn = _parts("polar", abs, angle)
    x, y = (ops.multiply(size, part(turn)) for part in (functions.cos, functions.sin))
    return wrap(bridge.complex_(x, y))


@public
def view_as_real(x: Any) -> Tensor:
    """Both parts along one more axis, the last.

    Example:
        >>> import ambos as am
        >>> am.view_as_real(am.tensor([1 + 2j])).tolist()
        [[1.0, 2.0]]
    """
    node = node_of(x)
    if not node.dtype.is_complex:
        raise DTypeError(f"view_as_real: got {node.dtype.name}; need complex")
    parts = [reshaped(part(node), (*node.shape, 1)) for part in (bridge.real, bridge.imag)]
    return wrap(interleave(*parts, attrs=((*(1 for _ in node.shape), 2),)))


@public
def view_as_complex(x: Any) -> Tensor:
    """Complex numbers whose parts lie along the last axis, of size 2."""
    node = node_of(x)
    if node.rank == 0 or node.shape[-1] != 2:
        raise ShapeError(f"view_as_complex: got {node.shape}; need a last axis of size 2")
    (whole,) = _parts("view_as_complex", wrap(node))
    shape = node.shape[:-1]
    first, step = (0,) * node.rank, (1,) * node.rank
    x, y = (
        reshaped(slice_(whole, attrs=((*first[1:], side), (*shape, side + 1), step)), shape)
        for side in (0, 1)
    )
    return wrap(bridge.complex_(x, y))


__all__ = [
    "adjoint", "angle", "complex", "conj", "conj_physical", "imag", "is_complex", "isreal", "polar",
    "real", "resolve_conj", "resolve_neg", "view_as_complex", "view_as_real",
]  # fmt: skip
