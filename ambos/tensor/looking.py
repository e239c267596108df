"""What a tensor tells: facts, which cost nothing, and values, which have to be computed."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ambos.core.dtype import DType, bfloat16
from ambos.core.errors import ArgumentError, DTypeError, ScalarError, ShapeError
from ambos.core.shape import Shape, normalize_axis
from ambos.core.unknown import Size, known
from ambos.graph.node import Node
from ambos.tensor import devices
from ambos.tensor.array import Array
from ambos.tensor.capsules import CPU, capsule_of
from ambos.tensor.live import evaluate
from ambos.tensor.show import describe
from ambos.tensor.tracing import current, look_outside


class Count(int):
    """A number of elements that, called, tells the sizes of the axes."""

    _shape: Shape

    def __new__(cls, node: Node) -> Any:
        """The number of elements of `node`."""
        number = node.size
        if isinstance(number, Size):
            return UnknownCount(number, node.shape)
        count = super().__new__(cls, number)
        count._shape = node.shape
        return count

    def __call__(self, dim: int | None = None) -> Any:
        """The shape, or one axis's size."""
        if dim is None:
            return self._shape
        return self._shape[normalize_axis("size", dim, len(self._shape))]


class UnknownCount(Size):
    """The same where it is not known yet."""

    __slots__ = ("_shape",)

    def __init__(self, count: Size, shape: Shape) -> None:
        super().__init__(count.values, count.made)
        self._shape = shape

    __call__ = Count.__call__


class Looking:
    """The part of Tensor that needs no other tensors."""

    __slots__ = ()

    _node: Node
    _grad: Any
    _kept: Any

    # --- facts ------------------------------------------------------------------------------

    def _held(self) -> Array | Node:
        """What tells shape and dtype; a handle at rest need not wake for that."""
        kept = self._kept
        return kept if isinstance(kept, (Node, Array)) else self._node

    @property
    def shape(self) -> Shape:
        """Sizes of the axes, a tuple."""
        return self._held().shape

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self._held().dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._held().shape)

    @property
    def device(self) -> devices.device:
        """Where the data lives: "cpu"."""
        return devices.CPU

    @property
    def is_cuda(self) -> bool:
        """Never: everything lives on the CPU."""
        return False

    @property
    def size(self) -> Count:
        """The number of elements (NumPy); called, the shape or one axis's size (PyTorch).

        Example:
            >>> import ambos as am
            >>> x = am.zeros(2, 3)
            >>> x.size, x.size(), x.size(-1)
            (6, (2, 3), 3)
        """
        return Count(self._node)

    def dim(self) -> int:
        """Number of axes."""
        return len(self._held().shape)

    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self._held().shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._held().dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self._held().dtype.itemsize

    def is_floating_point(self) -> bool:
        """Is the dtype floating?"""
        return self._held().dtype.is_floating

    # --- looking ----------------------------------------------------------------------------

    def _array(self) -> Array:
        """The realised data."""
        kept = self._kept
        if isinstance(kept, Array) and current.trace is None:
            return kept
        with look_outside(self._node):
            if self._node.value is None:
                evaluate((self,))
            value: Array = self._node.value
            return value.looked_at()

    def _copied_array(self) -> Array:
        """The same for those who copy it at once: one number is read in one go, so a handle that is
        at rest need not wake for it."""
        kept = self._kept
        if isinstance(kept, Node) and not kept.shape and current.trace is None:
            return kept.value.looked_at()
        return self._array()

    def numpy(self) -> np.ndarray[Any, Any]:
        """A NumPy array with a copy of the values (bfloat16 as float32)."""
        return np.array(self._copied_array().numpy())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self._array().numpy()  # read-only: the memory is shared and never written again
        other = dtype is not None and array.dtype != dtype
        if copy is False and (other or self._node.dtype is bfloat16):
            raise ArgumentError(f"__array__: copy=False for {self.dtype.name} as {dtype}; need "
                                "copy=None: another dtype is a copy")  # fmt: skip
        if other:
            return array.astype(dtype)
        return np.array(array) if copy else array

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None,
        copy: bool | None = None,
    ) -> Any:  # fmt: skip
        """The values as a DLPack capsule. It shares their memory, which nobody may write."""
        return capsule_of(self._array(), stream, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return CPU

    def item(self) -> Any:
        """The one element as a Python number."""
        if self.numel() != 1:
            raise ShapeError(f"item: {self.shape} has {self.numel()} elements; need exactly one: "
                             "reduce it first or use tolist()")  # fmt: skip
        return self._copied_array().item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self.numpy().tolist()

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ShapeError(f"bool: {self.shape} has {self.numel()} truths; need one: "
                             "use .any() or .all()")  # fmt: skip
        return bool(self.item())

    def __float__(self) -> float:
        return float(self._number("float", "biuf"))

    def __int__(self) -> int:
        return int(self._number("int", "biuf"))

    def __index__(self) -> int:
        return operator.index(self._number("index", "biu"))

    def __complex__(self) -> complex:
        return complex(self._number("complex", "biufc"))

    def _number(self, name: str, kinds: str) -> Any:
        """The one element, where Python wants a number."""
        if self._held().dtype.kind not in kinds:
            need = "a real number: use x.real, x.imag or am.abs(x)"
            need = "an integer tensor: use .long()" if name == "index" else need
            raise DTypeError(f"{name}: got {self.dtype.name}; need {need}")
        if self.numel() != 1:
            raise ScalarError(f"{name}: {self.shape} has {self.numel()} elements; need exactly "
                              "one: reduce it first or use tolist()")  # fmt: skip
        return self.item()

    def __len__(self) -> int:
        if not self._held().shape:
            raise ScalarError("len: a scalar has no length; need at least one dimension")
        return known("len(x)", self._held().shape[0])

    def __repr__(self) -> str:
        notes = []
        if self._node.tracked:
            made_by = getattr(self, "grad_fn", None)
            notes.append(f"grad_fn=<{made_by}>" if made_by else "requires_grad=True")
        return describe(self.numpy(), self.dtype, notes)

    def _repr_html_(self) -> str:
        from ambos.tensor.html import html_of  # notebooks alone need it

        return html_of(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What notebooks show, which ask for the text as well: neither computes a large graph."""
        from ambos.tensor.html import html_of, text_of

        return {"text/plain": text_of(self), "text/html": html_of(self)}

    def __format__(self, spec: str) -> str:
        if self._node.shape == ():
            return format(self.item(), spec)
        try:
            return format(str(self), spec)
        except ValueError:
            raise ScalarError(f"format: {spec!r} for {self.shape}; need one number: format x.item()"
                              ", or am.set_printoptions for all of them") from None  # fmt: skip
