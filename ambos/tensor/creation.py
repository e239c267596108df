"""Tensors from numbers, shapes and other people's arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ambos.core.dtype import (
    PYTHON,
    DType,
    as_dtype,
    complex128,
    complex_of,
    float32,
    float64,
    int64,
)
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape
from ambos.core.unknown import is_unknown, larger, whole
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import complex as bridge
from ambos.ops.functions import power
from ambos.ops.kinds import op as op_named
from ambos.ops.sources import iota
from ambos.tensor.capsules import array_of
from ambos.tensor.casting import recast
from ambos.tensor.given import leaf_of
from ambos.tensor.handle import Tensor, node_of, reshaped, shape_of, wrap
from ambos.tensor.names import check_device, public
from ambos.tensor.operands import SCALARS, convert, expand_to, scalar


@public
def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A tensor with a copy of `data`: numbers, nested lists, NumPy arrays, anything with
    `__array__`. Python numbers become bool, int64, float32 or complex64.

    Errors: DTypeError where a value does not survive in `dtype`: NaN, a fraction, an overflow.

    Example:
        >>> import ambos as am
        >>> am.tensor([[1.0, 2.0]]).shape
        (1, 2)
    """
    if isinstance(data, Tensor):
        data = data.detach()
    return Tensor(data, dtype, requires_grad, device)


@public
def asarray(x: Any, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Tensor:
    """`x` itself if it is a Tensor (of that dtype), else a tensor with a copy. With `copy=True`
    always another handle, which assignments to `x` do not change.

    Errors: ArgumentError for `copy=False` where only a copy can be had: another dtype, or data that
        is no Tensor (`from_dlpack` shares memory).

    Example:
        >>> import ambos as am
        >>> x = am.zeros(2)
        >>> am.asarray(x) is x, am.asarray(x, copy=True) is x
        (True, False)
    """
    check_device("asarray", device)
    same = isinstance(x, Tensor) and (dtype is None or as_dtype(dtype) is x.dtype)
    if copy is False and not same:
        raise ArgumentError(f"asarray: copy=False for {_described(x)}; need a Tensor of that dtype"
                            ": leave copy out, or share memory by from_dlpack")  # fmt: skip
    if same:
        return clone(x) if copy else x
    return astype(x, dtype) if isinstance(x, Tensor) else Tensor(x, dtype)


def _described(x: Any) -> str:
    return f"a {x.dtype.name} tensor" if isinstance(x, Tensor) else f"a {type(x).__name__}"


as_tensor = asarray


@public
def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor with a copy of a NumPy array (tensors never share memory that others may change)."""
    return asarray(array)


@public
def from_dlpack(x: Any, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor on the memory of any array that speaks DLPack (NumPy, PyTorch, JAX): it is not
    copied, and who owns it must not write there as long as the tensor or what is computed from it
    is in use, a `clone()` too. `copy=True`, like `am.tensor(array)`, takes a copy.

    Errors: DTypeError for what is no such array, DeviceError for memory that is not the CPU's,
        ExchangeError for `copy=False` where only a copy can be had (negative strides).

    Example:
        >>> import ambos as am
        >>> import numpy as np
        >>> am.from_dlpack(np.arange(3.0)).tolist()
        [0.0, 1.0, 2.0]
    """
    check_device("from_dlpack", device)
    return wrap(leaf_of(array_of(x, copy)))


def _made(node: Node, requires_grad: bool, device: Any) -> Tensor:
    check_device("creation", device)
    return Tensor(node, requires_grad=True) if requires_grad else wrap(node)


def _sizes(op: str, shape: Any) -> Shape:
    """A shape as `shape_of` takes it, without negative sizes."""
    found = shape_of(op, shape)
    if any(n < 0 for n in found):
        raise ShapeError(f"{op}: {found} has a negative size; need sizes >= 0")
    return found


@public
def full(
    shape: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """`fill_value` in every element.

    Example:
        >>> import ambos as am
        >>> am.full((2,), 7).tolist()
        [7, 7]
    """
    sizes = _sizes("full", (shape,))
    if not isinstance(fill_value, SCALARS):
        node = node_of(fill_value)
        node = node if dtype is None else convert(node, as_dtype(dtype))
        return _made(expand_to(node, sizes), requires_grad, device)
    kind = as_dtype(dtype) if dtype else PYTHON.get(type(fill_value), float32)
    return _made(scalar(fill_value, kind, sizes), requires_grad, device)


@public
def zeros(
    shape: Any = (), *more: Any, dtype: Any = float32, requires_grad: bool = False,
    device: Any = None,
) -> Tensor:  # fmt: skip
    """0 in every element; float32 unless said otherwise."""
    dtype = as_dtype(dtype or float32)
    return _made(scalar(0, dtype, _sizes("zeros", (shape, *more))), requires_grad, device)


@public
def ones(
    shape: Any = (), *more: Any, dtype: Any = float32, requires_grad: bool = False,
    device: Any = None,
) -> Tensor:  # fmt: skip
    """1 in every element; float32 unless said otherwise."""
    dtype = as_dtype(dtype or float32)
    return _made(scalar(1, dtype, _sizes("ones", (shape, *more))), requires_grad, device)


empty = zeros  # nothing is allocated before it is computed, so there is nothing to leave undefined


@public
def full_like(
    x: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """`fill_value` in the shape (and dtype) of `x`."""
    node = node_of(x)
    return full(node.shape, fill_value, dtype or node.dtype, requires_grad, device)


@public
def zeros_like(
    x: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """0 in the shape (and dtype) of `x`."""
    return full_like(x, 0, dtype, requires_grad, device)


@public
def ones_like(x: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """1 in the shape (and dtype) of `x`."""
    return full_like(x, 1, dtype, requires_grad, device)


empty_like = zeros_like


def steps(start: float, step: float, count: int, dtype: DType) -> Node:
    """start + step * (0, 1, ..., count - 1)."""
    exact = int64 if dtype.is_integer else float64
    node = convert(iota(attrs=(count,)), exact)
    if step != 1:
        node = ops.multiply(node, scalar(step, exact, (count,)))
    if is_unknown(start) or start != 0:
        node = ops.add(node, scalar(start, exact, (count,)))
    return convert(node, dtype)


@public
def arange(
    start: Any, stop: Any = None, step: Any = 1, dtype: Any = None,
    requires_grad: bool = False, device: Any = None, end: Any = None,
) -> Tensor:  # fmt: skip
    """start, start + step, ... below stop; int64, or float32 if any argument is a float. With an
    integer `dtype` fractions of the arguments are cut off first (PyTorch).

    Errors: ArgumentError for a step of 0, or bounds that are not finite.

    Example:
        >>> import ambos as am
        >>> am.arange(2, 9, 3).tolist()
        [2, 5, 8]
    """
    stop = end if stop is None else stop
    if stop is None:
        start, stop = 0, start
    start, stop, step = (_real("arange", v) for v in (start, stop, step))
    floats = any(isinstance(v, float) for v in (start, stop, step))
    found = as_dtype(dtype) if dtype is not None else float32 if floats else int64
    if found.is_integer:
        start, stop, step = (math.trunc(v) for v in (start, stop, step))
    if step == 0:
        raise ArgumentError(f"arange: the step is 0 as {found.name}; need one that is not")
    # Of integers of any size exactly.
    count = (stop - start) / step if isinstance(stop - start, float) else -((start - stop) // step)
    return _made(steps(start, step, larger(0, math.ceil(count)), found), requires_grad, device)


def _real(op: str, value: Any) -> Any:
    """A finite real number, given as one or as a tensor (or array) of one."""
    if is_unknown(value):
        return value
    found = value.item() if hasattr(value, "item") else value
    if not isinstance(found, (int, float)) or not math.isfinite(found):
        raise ArgumentError(f"{op}: got {found!r}; need a finite real number")
    return found


def _count_of(op: str, steps: Any) -> int:
    """How many numbers are asked for."""
    if not hasattr(steps, "__index__"):
        raise ArgumentError(f"{op}: {steps!r} steps; need an integer")
    count = whole(steps)
    if not 0 <= count < 1 << 59:
        raise ArgumentError(f"{op}: {count} steps; need 0 <= steps < 2**59")
    return count


@public
def linspace(
    start: Any, stop: Any, num: int = 50, dtype: Any = float32, endpoint: bool = True,
    requires_grad: bool = False, device: Any = None,
) -> Tensor:  # fmt: skip
    """`num` equally spaced numbers from start to stop (PyTorch calls the count steps), which may be
    tensors of one number.

    Example:
        >>> import ambos as am
        >>> am.linspace(0, 1, 5).tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    count = _count_of("linspace", num)
    found = as_dtype(dtype or float32)
    ends = [_one("linspace: an end", v) for v in (start, stop)]
    if found.is_complex or any(node.dtype.is_complex for node in ends):
        found, ends = complex_of(found), [convert(node, complex128) for node in ends]
        both = [[part(node) for node in ends] for part in (bridge.real, bridge.imag)]
        parts = [_spaced(first, last, count, endpoint) for first, last in both]
        return _made(convert(bridge.complex_(*parts), found), requires_grad, device)
    first, last = (convert(node, float64) for node in ends)
    return _made(convert(_spaced(first, last, count, endpoint), found), requires_grad, device)


def _one(what: str, value: Any) -> Node:
    """A number, or a tensor of one, as a scalar."""
    if isinstance(value, (int, float, complex)):
        return scalar(value, complex128 if isinstance(value, complex) else float64)
    if not hasattr(value, "dtype"):
        raise ArgumentError(f"{what} is {value!r}; need a real number")
    node = node_of(value)
    if node.size != 1:
        raise ShapeError(f"{what} is {node.dtype.name}{list(node.shape)}; need one number")
    return reshaped(node, ())


def _spaced(start: Node, stop: Node, count: int, endpoint: bool) -> Node:
    """`linspace` of real numbers, float64, which ends exactly at `stop`."""
    gaps, shape = larger(count - 1 if endpoint else count, 1), (count,)
    number = iota(attrs=shape)
    gap = ops.divide(ops.subtract(stop, start), scalar(gaps, float64))
    way = ops.multiply(convert(number, float64), expand_to(gap, shape))
    found = ops.add(way, expand_to(start, shape))
    if not endpoint:
        return found
    is_last = ops.equal(number, scalar(gaps, int64, shape))
    return ops.where(is_last, expand_to(stop, shape), found)


@public
def logspace(
    start: Any, stop: Any, num: int = 50, base: Any = 10.0, dtype: Any = float32,
    requires_grad: bool = False, device: Any = None,
) -> Tensor:  # fmt: skip
    """`num` numbers from base ** start to base ** stop, whose logarithms are equally spaced. Each
    of the three may be a tensor of one number.

    Example:
        >>> import ambos as am
        >>> am.logspace(0, 2, 3).tolist()
        [1.0, 10.0, 100.0]
    """
    count = _count_of("logspace", num)
    given = (_one("logspace: an argument", value) for value in (start, stop, base))
    first, last, root = (convert(node, float64) for node in given)
    values = power(expand_to(root, (count,)), _spaced(first, last, count, True))
    return _made(convert(values, as_dtype(dtype or float32)), requires_grad, device)


@public
def scalar_tensor(
    value: bool | int | float, dtype: Any = float32, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """A tensor without dimensions; float32 unless said otherwise."""
    return full((), value, dtype or float32, requires_grad, device)


@public
def empty_strided(
    shape: Any, stride: Any, dtype: Any = float32, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """As `empty`: layouts are the compiler's, so that strides say nothing here."""
    return _of_layout("empty_strided", shape, stride, dtype, requires_grad, device)


@public
def empty_permuted(
    shape: Any, physical_layout: Any, dtype: Any = float32, requires_grad: bool = False,
    device: Any = None,
) -> Tensor:  # fmt: skip
    """As `empty`: layouts are the compiler's, so that the order in memory says nothing here."""
    sizes = shape_of("empty_permuted", (shape,))
    physical_layout = shape_of("empty_permuted", (physical_layout,))
    if sorted(physical_layout) != list(range(len(sizes))):
        raise ArgumentError(f"empty_permuted: the layout is {tuple(physical_layout)} for "
                            f"{len(sizes)} dimensions; need each axis once")  # fmt: skip
    return _of_layout("empty_permuted", sizes, physical_layout, dtype, requires_grad, device)


def _of_layout(
    op: str, shape: Any, layout: Any, dtype: Any, requires_grad: bool, device: Any
) -> Tensor:
    sizes, strides = shape_of(op, (shape,)), shape_of(op, (layout,))
    if len(sizes) != len(strides):
        raise ArgumentError(f"{op}: {len(sizes)} sizes and {len(strides)} strides; need as many")
    return zeros(sizes, dtype=dtype, requires_grad=requires_grad, device=device)


@public
def eye(
    n: int, m: int | None = None, dtype: Any = float32, k: int = 0, requires_grad: bool = False,
    device: Any = None,
) -> Tensor:  # fmt: skip
    """Ones on a diagonal (k above the main one), zeros elsewhere.

    Errors: ShapeError for sizes that are no integers, or negative.
    """
    sizes = _sizes("eye", (n, n if m is None else m))
    mask = _diagonal(op_named("equal"), sizes, k)
    return _made(convert(mask, as_dtype(dtype or float32)), requires_grad, device)


def _diagonal(compare: Any, shape: Shape, k: int) -> Node:
    """compare(column, row + k) over the last two axes, bool."""
    rows, columns = shape[-2:]
    if not is_unknown(k):
        k = max(-rows, min(k, columns))  # further out there is nothing, and int64 ends somewhere
    row = expand_to(reshaped(iota(attrs=(rows,)), (rows, 1)), (rows, columns))
    column = expand_to(iota(attrs=(columns,)), (rows, columns))
    mask: Node = compare(column, ops.add(row, scalar(k, int64, (rows, columns))))
    return expand_to(mask, shape)


def _triangle(op: str, x: Any, k: int, compare: Any) -> Tensor:
    node = node_of(x)
    if node.rank < 2:
        raise ShapeError(f"{op}: got {node.shape}; need at least two dimensions")
    zero = scalar(0, node.dtype, node.shape)
    return wrap(ops.where(_diagonal(compare, node.shape, k), node, zero))


@public
def tril(x: Any, k: int = 0, diagonal: int | None = None) -> Tensor:
    """The lower triangle of the last two axes, up to diagonal k; zeros above."""
    return _triangle("tril", x, k if diagonal is None else diagonal, ops.less_equal)


@public
def triu(x: Any, k: int = 0, diagonal: int | None = None) -> Tensor:
    """The upper triangle of the last two axes, from diagonal k; zeros below."""
    return _triangle("triu", x, k if diagonal is None else diagonal, ops.greater_equal)


@public
def clone(x: Any) -> Tensor:
    """A tensor of its own with the same values; gradients flow back to `x`."""
    node = node_of(x)
    return wrap(op_named("reshape")(node, attrs=(node.shape,)) if node.tracked else node)


@public
def astype(x: Any, dtype: Any, copy: bool = True, device: Any = None) -> Tensor:
    """`x` as another dtype. Floats truncate towards zero into integers. With `copy=False` a Tensor
    that has the dtype is given back itself, else another handle.

    Errors: DTypeError for NaN, or a float outside the integers' range, where `x` is small and
        already computed. What is still to be computed saturates, and NaN becomes 0.

    Example:
        >>> import ambos as am
        >>> am.astype(am.tensor([-1.5, 2.5]), "int32").tolist()
        [-1, 2]
    """
    check_device("astype", device)
    wanted = as_dtype(dtype)
    if not copy and isinstance(x, Tensor) and x.dtype is wanted:
        return x
    return wrap(recast(node_of(x), wanted))


@public
def is_tensor(x: Any) -> bool:
    """Is `x` a Tensor?"""
    return isinstance(x, Tensor)


@public
def numel(input: Any) -> int:
    """Number of elements, as `input.numel()`.

    Example:
        >>> import ambos as am
        >>> am.numel(am.zeros(2, 3))
        6
    """
    return wrap(node_of(input)).numel()


__all__ = [
    "arange", "as_tensor", "asarray", "astype", "clone", "empty", "empty_like", "empty_permuted",
    "empty_strided", "eye", "from_dlpack", "from_numpy", "full", "full_like", "is_tensor",
    "linspace", "logspace", "numel", "ones", "ones_like", "scalar_tensor", "tensor", "tril", "triu",
    "zeros", "zeros_like",
]  # fmt: skip
