"""Paddings as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ambos.core.errors import ArgumentError, ShapeError
from ambos.nn import functional as F
from ambos.nn.functional.shared import as_tensor
from ambos.nn.layer import layer
from ambos.nn.module import Module
from ambos.tensor.handle import Tensor

Sides = int | Sequence[int]


@layer
class _Pad(Module):
    padding: Sides

    rank: ClassVar[int]
    mode: ClassVar[str]

    def __post_init__(self) -> None:
        self.padding = self._sides()

    def _sides(self) -> tuple[int, ...]:
        """How much at each side: an integer for all, or one each, the last axis first."""
        given: Any = self.padding
        count = 2 * self.rank
        sides = (given,) * count if isinstance(given, int) else given
        if (
            not isinstance(sides, Sequence)
            or len(sides) != count
            or not all(isinstance(n, int) for n in sides)
        ):
            raise ArgumentError(
                f"{type(self).__name__}: padding is {given!r}; need an integer or {count} of "
                "them, those of the last axis first"
            )
        return tuple(sides)

    def forward(self, input: Tensor) -> Tensor:
        input = as_tensor(input)
        if self.mode != "constant" and input.ndim not in (self.rank + 1, self.rank + 2):
            raise ShapeError(
                f"{type(self).__name__}: got {tuple(input.shape)}; need {self.rank + 2} axes, or "
                f"{self.rank + 1} without a batch"
            )
        return F.pad(input, self._sides(), self.mode)

    def extra_repr(self) -> str:
        return str(self.padding)


@layer
class _ConstantPad(_Pad):
    value: float

    mode = "constant"

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self._sides(), "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_Pad):
    mode = "constant"


class ReflectionPad1d(_Pad):
    """Around sequences, what lies inside its border, mirrored.

    Shapes: (N, C, L) or (C, L), with 2 numbers of `padding`, the last axis first.
    Errors: ShapeError where the padding is not smaller than the axis; ArgumentError.

    Example:
        >>> import ambos as am
        >>> ReflectionPad1d(1)(am.ones(1, 2, 5)).shape
        (1, 2, 7)
    """

    rank, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Around images, what lies inside its border, mirrored.

    Shapes: (N, C, H, W) or (C, H, W), with 4 numbers of `padding`, the last axis first.
    Errors: ShapeError where the padding is not smaller than the axis; ArgumentError.

    Example:
        >>> import ambos as am
        >>> ReflectionPad2d(1)(am.ones(1, 2, 5, 4)).shape
        (1, 2, 7, 6)
    """

    rank, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Around volumes, what lies inside its border, mirrored.

    Shapes: (N, C, D, H, W) or (C, D, H, W), with 6 numbers of `padding`, the last axis first.
    Errors: ShapeError where the padding is not smaller than the axis; ArgumentError.

    Example:
        >>> import ambos as am
        >>> ReflectionPad3d(1)(am.ones(1, 2, 5, 4, 3)).shape
        (1, 2, 7, 6, 5)
    """

    rank, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Around sequences, its border, repeated.

    Shapes: (N, C, L) or (C, L), with 2 numbers of `padding`, the last axis first.
    Errors: ShapeError for another number of axes; ArgumentError.

    Example:
        >>> import ambos as am
        >>> ReplicationPad1d(1)(am.ones(1, 2, 5)).shape
        (1, 2, 7)
    """

    rank, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Around images, its border, repeated.

    Shapes: (N, C, H, W) or (C, H, W), with 4 numbers of `padding`, the last axis first.
    Errors: ShapeError for another number of axes; ArgumentError.

    Example:
        >>> import ambos as am
        >>> ReplicationPad2d(1)(am.ones(1, 2, 5, 4)).shape
        (1, 2, 7, 6)
    """

    rank, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Around volumes, its border, repeated.

    Shapes: (N, C, D, H, W) or (C, D, H, W), with 6 numbers of `padding`, the last axis first.
    Errors: ShapeError for another number of axes; ArgumentError.

    Example:
        >>> import ambos as am
        >>> ReplicationPad3d(1)(am.ones(1, 2, 5, 4, 3)).shape
        (1, 2, 7, 6, 5)
    """

    rank, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Around sequences, what lies at its other end.

    Shapes: (N, C, L) or (C, L), with 2 numbers of `padding`, the last axis first.
    Errors: ShapeError where the padding is larger than the axis; ArgumentError.

    Example:
        >>> import ambos as am
        >>> CircularPad1d(1)(am.ones(1, 2, 5)).shape
        (1, 2, 7)
    """

    rank, mode = 1, "circular"


class CircularPad2d(_Pad):
    """Around images, what lies at its other end.

    Shapes: (N, C, H, W) or (C, H, W), with 4 numbers of `padding`, the last axis first.
    Errors: ShapeError where the padding is larger than the axis; ArgumentError.

    Example:
        >>> import ambos as am
        >>> CircularPad2d(1)(am.ones(1, 2, 5, 4)).shape
        (1, 2, 7, 6)
    """

    rank, mode = 2, "circular"


class CircularPad3d(_Pad):
    """Around volumes, what lies at its other end.

    Shapes: (N, C, D, H, W) or (C, D, H, W), with 6 numbers of `padding`, the last axis first.
    Errors: ShapeError where the padding is larger than the axis; ArgumentError.

    Example:
        >>> import ambos as am
        >>> CircularPad3d(1)(am.ones(1, 2, 5, 4, 3)).shape
        (1, 2, 7, 6, 5)
    """

    rank, mode = 3, "circular"


class ConstantPad1d(_ConstantPad):
    """Around sequences, `value`; a negative padding cuts off.

    Shapes: (..., L), with 2 numbers of `padding`, the last axis first.
    Errors: ArgumentError for another padding.

    Example:
        >>> import ambos as am
        >>> ConstantPad1d(1, 0.5)(am.ones(1, 2, 5)).shape
        (1, 2, 7)
    """

    rank = 1


class ZeroPad1d(_ZeroPad):
    """Around sequences, zeros; a negative padding cuts off.

    Shapes: (..., L), with 2 numbers of `padding`, the last axis first.
    Errors: ArgumentError for another padding.

    Example:
        >>> import ambos as am
        >>> ZeroPad1d(1)(am.ones(1, 2, 5)).shape
        (1, 2, 7)
    """

    rank = 1


class ConstantPad2d(_ConstantPad):
    """Around images, `value`; a negative padding cuts off.

    Shapes: (..., H, W), with 4 numbers of `padding`, the last axis first.
    Errors: ArgumentError for another padding.

    Example:
        >>> import ambos as am
        >>> ConstantPad2d(1, 0.5)(am.ones(1, 2, 5, 4)).shape
        (1, 2, 7, 6)
    """

    rank = 2


class ZeroPad2d(_ZeroPad):
    """Around images, zeros; a negative padding cuts off.

    Shapes: (..., H, W), with 4 numbers of `padding`, the last axis first.
    Errors: ArgumentError for another padding.

    Example:
        >>> import ambos as am
        >>> ZeroPad2d(1)(am.ones(1, 2, 5, 4)).shape
        (1, 2, 7, 6)
    """

    rank = 2


class ConstantPad3d(_ConstantPad):
    """Around volumes, `value`; a negative padding cuts off.

    Shapes: (..., D, H, W), with 6 numbers of `padding`, the last axis first.
    Errors: ArgumentError for another padding.

    Example:
        >>> import ambos as am
        >>> ConstantPad3d(1, 0.5)(am.ones(1, 2, 5, 4, 3)).shape
        (1, 2, 7, 6, 5)
    """

    rank = 3


class ZeroPad3d(_ZeroPad):
    """Around volumes, zeros; a negative padding cuts off.

    Shapes: (..., D, H, W), with 6 numbers of `padding`, the last axis first.
    Errors: ArgumentError for another padding.

    Example:
        >>> import ambos as am
        >>> ZeroPad3d(1)(am.ones(1, 2, 5, 4, 3)).shape
        (1, 2, 7, 6, 5)
    """

    rank = 3
