"""Parameters and buffers of other dtypes, all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

from ambos.core.dtype import DType
from ambos.core.errors import ArgumentError, DTypeError, suggest
from ambos.nn.parameter import Parameter, Unsized, assign
from ambos.tensor.handle import Tensor
from ambos.tensor.names import check_device


class Convertible:
    """Base of modules."""

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter."""
        raise NotImplementedError

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer."""
        raise NotImplementedError

    def modules(self) -> Iterator[Any]:
        """The module and all below, those on top first."""
        raise NotImplementedError

    def _conversion(self, dtype: DType) -> Callable[[], None] | None:
        """What else has to be done, inside of this module alone, once parameters have `dtype`."""
        return None

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Convert every floating parameter and buffer to a dtype (or to that of a tensor), and what
        functional models compute between their layers; returns self.

        Errors: DTypeError for a dtype of integers or bools; ArgumentError for an unknown keyword.
        """
        names = ("device", "dtype", "tensor", "non_blocking", "memory_format")
        for name in kwargs:
            if name not in names:
                raise ArgumentError(f"{type(self).__name__}.to: unknown keyword {name!r}; known: "
                                    f"{', '.join(names)}{suggest(name, names)}")  # fmt: skip
        args = (*args, kwargs.pop("tensor", None))
        wanted = Tensor([]).to(*args, **kwargs).dtype
        if not (wanted.is_floating or wanted.is_complex):
            raise DTypeError(
                f"{type(self).__name__}.to: got {wanted.name}; need a floating dtype, since what "
                "is trained is no whole number"
            )
        wide = Tensor([], dtype="float64").to(*args, **kwargs).dtype
        is_cast = wide is wanted  # .to("cpu") leaves both as they are
        more = [module._conversion(wanted) for module in self.modules()] if is_cast else []
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.dtype.is_floating:
                value = tensor.detach().to(*args, **kwargs)
                if isinstance(tensor, Unsized):
                    tensor.data = value  # no numbers yet, but a dtype
                else:
                    assign(tensor, value)
        for convert in reversed(more):  # those inside first
            if convert is not None:
                convert()
        return self

    def type(self, dst_type: Any) -> Self:
        """Every parameter and buffer, those of integers too, as this dtype; returns self."""
        for tensor in (*self.parameters(), *self.buffers()):
            if isinstance(tensor, Unsized):
                tensor.data = tensor.detach().to(dst_type)
            else:
                assign(tensor, tensor.detach().to(dst_type))
        return self

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """The module itself: its tensors may have any numbers then, so they keep theirs."""
        check_device("to_empty", device)
        return self

    def cpu(self) -> Self:
        """The module itself: everything computes on the CPU."""
        return self

    def cuda(self, device: Any = "cuda") -> Self:
        """DeviceError: this version computes on the CPU."""
        check_device("cuda", device)
        return self

    def float(self) -> Self:
        """Every floating parameter and buffer as float32."""
        return self.to("float32")

    def double(self) -> Self:
        """Every floating parameter and buffer as float64."""
        return self.to("float64")

    def half(self) -> Self:
        """Every floating parameter and buffer as float16."""
        return self.to("float16")

    def bfloat16(self) -> Self:
        """Every floating parameter and buffer as bfloat16."""
        return self.to("bfloat16")
