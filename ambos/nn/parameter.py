"""Parameters: tensors that a module trains, and those whose size is not known yet."""

from __future__ import annotations

from typing import Any

from ambos.core.errors import ShapeError
from ambos.core.shape import Shape
from ambos.tensor.handle import Tensor


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


class UninitializedParameter(Parameter):
    """The parameter of a lazy layer before the first call: an object without size.

    Optimizers may hold it already; `materialize` turns this very object into a Parameter.
    `pattern` is what is known of its shape, with None for an extent that is open.
    """

    def __init__(
        self, dtype: object = "float32", pattern: tuple[int | None, ...] | None = None
    ) -> None:
        super().__init__(Tensor([], dtype=dtype))
        self.pattern = pattern

    def admits(self, shape: Shape) -> bool:
        """May the parameter take this shape?

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
        """Become an ordinary parameter with these numbers."""
        requires_grad = self.requires_grad
        self.__class__ = Parameter  # type: ignore[assignment]
        self.data = value.detach().to(self.dtype)
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return "UninitializedParameter()"


def assign(target: Tensor, value: Tensor) -> None:
    """Give `target` the numbers (and the dtype) of `value`; whether it requires grad stays."""
    if isinstance(target, UninitializedParameter):
        target.materialize(value)
    else:
        target.data = value.detach()
