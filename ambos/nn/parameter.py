"""Parameters: tensors that a module trains, and those whose size is not known yet."""

from __future__ import annotations

from typing import Any, ClassVar

from ambos.core.dtype import as_dtype
from ambos.core.errors import ShapeError
from ambos.core.shape import Shape
from ambos.tensor.array import Array
from ambos.tensor.given import leaf_of
from ambos.tensor.handle import Tensor
from ambos.tensor.lent import Lent
from ambos.tensor.names import check_device


class Parameter(Tensor):
    """A tensor that a module lists in `parameters()`; it requires grad unless told otherwise.

    Example:
        >>> Parameter([1.0, 2.0])
        Parameter containing:
        tensor([1., 2.], requires_grad=True)
    """

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad=requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer(Tensor):
    """A tensor that is state but not trained; assigned to a module it becomes one of its buffers,
    saved unless `persistent` is False.

    Example:
        >>> Buffer([1.0, 2.0])
        tensor([1., 2.])
    """

    def __init__(self, data: Any, persistent: bool = True, *, requires_grad: bool = False) -> None:
        super().__init__(data, requires_grad=requires_grad)
        self.persistent = persistent


class Unsized(Tensor):
    """A tensor of a lazy layer before the first call: an object without size.

    Optimizers may hold it already; `materialize` turns this very object into an ordinary one.
    `pattern` is what is known of its shape, with None for an extent that is open.
    """

    becomes: ClassVar[type[Tensor]]

    def __init__(
        self,
        dtype: object = "float32",
        pattern: tuple[int | None, ...] | None = None,
        requires_grad: bool = False,
    ) -> None:
        Tensor.__init__(self, Tensor([], dtype=dtype), requires_grad=requires_grad)
        self.pattern = pattern

    def admits(self, shape: Shape) -> bool:
        """May the tensor take this shape?

        Example:
            >>> parameter = UninitializedParameter(pattern=(10, None))
            >>> parameter.admits((10, 3)), parameter.admits((7, 3)), parameter.admits((10, 0))
            (True, False, False)
        """
        if self.pattern is None:
            return True
        return len(shape) == len(self.pattern) and all(
            found > 0 if known is None else found == known
            for found, known in zip(shape, self.pattern, strict=True)
        )

    @property
    def shape(self) -> Any:
        raise ShapeError(
            "parameter: has no shape yet: its layer infers sizes at the first call; need a call "
            "with one batch first"
        )

    def materialize(self, value: Tensor) -> None:
        """Become an ordinary tensor with these numbers."""
        requires_grad = self.requires_grad
        object.__setattr__(self, "__class__", self.becomes)
        self.data = value.detach().to(self.dtype)
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _repr_html_(self) -> str:
        return repr(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": repr(self)}


class UninitializedParameter(Unsized, Parameter):
    """The parameter of a lazy layer before the first call.

    Example:
        >>> UninitializedParameter(pattern=(10, None))
        UninitializedParameter()
    """

    becomes = Parameter

    def __init__(
        self, dtype: object = "float32", pattern: tuple[int | None, ...] | None = None
    ) -> None:
        super().__init__(dtype, pattern, requires_grad=True)


class UninitializedBuffer(Unsized, Buffer):
    """A buffer of a lazy layer before the first call.

    Example:
        >>> UninitializedBuffer()
        UninitializedBuffer()
    """

    becomes = Buffer

    def __init__(
        self, dtype: object = "float32", pattern: tuple[int | None, ...] | None = None
    ) -> None:
        super().__init__(dtype, pattern)
        self.persistent = True


def assign(target: Tensor, value: Tensor) -> None:
    """Give `target` the numbers (and the dtype) of `value`; whether it requires grad stays."""
    if isinstance(target, Unsized):
        target.materialize(value)
    else:
        target.data = value.detach()
        if isinstance(target, Lent):
            target.give_back()


def unset(shape: Shape, device: Any = None, dtype: Any = None) -> Parameter:
    """A parameter of this shape, before its layer gives it its first numbers."""
    check_device("nn", device)
    zeros = Array.zeros(tuple(shape), as_dtype(dtype or "float32"))  # which take no memory yet
    return Parameter(Tensor(leaf_of(zeros)))
