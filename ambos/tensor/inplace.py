"""In-place spellings. Tensors do not alias: each rebinds its handle to a new value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ambos.core.dtype import as_dtype
from ambos.core.errors import ShapeError
from ambos.tensor.handle import Tensor, node_of
from ambos.tensor.operands import SCALARS, convert, expand_to, scalar


def rebinding(function: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    """`function` as a method that puts its result into the first operand."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self._rebind(function(self._newest(), *args, **kwargs)._node, name)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`x = x.{name.rstrip('_')}(...)`, for every holder of this handle."
    return method


def fill_(self: Tensor, value: Any) -> Tensor:
    """`value` in every element."""
    node = self._node
    if isinstance(value, SCALARS):
        return self._rebind(scalar(value, node.dtype, node.shape), "fill_")
    return self._rebind(expand_to(convert(node_of(value), node.dtype), node.shape), "fill_")


def zero_(self: Tensor) -> Tensor:
    """0 in every element."""
    return self._rebind(scalar(0, self._node.dtype, self._node.shape), "zero_")


def copy_(self: Tensor, source: Any, non_blocking: bool = False) -> Tensor:
    """The values of `source`, broadcast and converted."""
    node, new = self._node, node_of(source)
    offset = len(node.shape) - new.rank
    fits = offset >= 0 and all(
        n in (1, m) for n, m in zip(new.shape, node.shape[offset:], strict=True)
    )
    if not fits:
        raise ShapeError(f"copy_: got {new.shape}; need a shape that broadcasts to {node.shape}")
    return self._rebind(expand_to(convert(new, node.dtype), node.shape), "copy_")


def set_dtype(self: Tensor, *args: Any, **kwargs: Any) -> Any:
    """(dtype, device) among the arguments of `to`."""
    dtype, device = kwargs.get("dtype"), kwargs.get("device")
    for arg in args:
        if isinstance(arg, Tensor):
            dtype = arg.dtype
        elif isinstance(arg, str) and arg.split(":")[0] in DEVICES:
            device = arg
        elif arg is not None and not isinstance(arg, bool):
            dtype = as_dtype(arg)
    return (None if dtype is None else as_dtype(dtype)), device


DEVICES = ("cpu", "cuda", "mps", "xpu", "xla", "meta", "tpu", "gpu", "hip", "vulkan")
