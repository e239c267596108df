"""What is done to inputs before the first layer that learns: scaling, and variety in training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ambos.core.arguments import number
from ambos.core.dtype import float32
from ambos.core.errors import ArgumentError, ShapeError, suggest
from ambos.core.shape import normalize_axis
from ambos.nn import functional as F
from ambos.nn.functional.shared import as_tensor
from ambos.nn.layer import layer
from ambos.nn.module import Module
from ambos.nn.parameter import UninitializedBuffer, assign
from ambos.nn.symbolic import symbols
from ambos.tensor.gaps import without_gaps
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import stack
from ambos.tensor.pointwise import where
from ambos.tensor.random.basic import rand

FLIPS = {"horizontal": (-1,), "vertical": (-2,), "horizontal_and_vertical": (-1, -2)}
FILLS = {"reflect": "reflection", "constant": "zeros", "nearest": "border"}
LEAST = 1e-7  # what a standard deviation counts at least, as in Keras


@layer
class Rescaling(Module):
    """`input * scale + offset`: bytes of images as numbers from 0 to 1 with `Rescaling(1 / 255)`.

    Dtypes: floating kept, others to float32.
    Source: Keras's layer of this name.

    Example:
        >>> import ambos as am
        >>> Rescaling(1 / 127.5, offset=-1)(am.tensor([0, 255], dtype=am.uint8))
        tensor([-1.,  1.])
    """

    scale: float
    offset: float = 0.0

    def forward(self, input: Tensor) -> Tensor:
        return floating(input) * self.scale + self.offset


class Normalization(Module):
    """Inputs with mean 0 and variance 1 for each place of `axis`, whose mean and variance `adapt`
    finds, or which are given.

    `axis` keeps its places apart: -1 the columns of a table, 1 the channels of images, several in a
    tuple, None for one mean of everything. `invert` is the way back. Mean and variance are in the
    state dict and are not trained; a functional model may be drawn before they are known.

    Dtypes: floating kept, others to float32.
    Errors: ArgumentError before `adapt`; ShapeError for inputs of another size along `axis`.
    Source: Keras's layer of this name.

    Example:
        >>> import ambos as am
        >>> normalize = Normalization()
        >>> normalize.adapt([[1.0, 10.0], [3.0, 30.0]])
        >>> normalize(am.tensor([[3.0, 20.0]]))
        tensor([[1., 0.]])
    """

    mean: Tensor
    variance: Tensor

    def __init__(
        self, axis: int | Sequence[int] | None = -1, mean: Any = None, variance: Any = None,
        invert: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.axis = (axis,) if isinstance(axis, int) else tuple(axis or ())
        self.invert = invert
        if (mean is None) != (variance is None):
            raise ArgumentError("Normalization: got only one of mean and variance; need both")
        sizes = (None,) * len(self.axis)
        given = (None, None) if mean is None else _moments(mean, variance)
        for name, value in zip(("mean", "variance"), given, strict=True):
            empty = value is None
            self.register_buffer(name, UninitializedBuffer("float32", sizes) if empty else value)

    def adapt(self, data: Any) -> None:
        """Find mean and variance of an array, or of an iterable of batches, inputs or pairs of
        inputs and targets. What was known before is forgotten.

        Errors: ArgumentError for no data, for data that are no numbers, and for NaN and infinities,
            with column and row.
        """
        count, mean, squares = 0, np.zeros(()), np.zeros(())
        first_row = 0
        for batch in _batches(data):
            try:
                rows = np.asarray(batch, np.float64)
            except (TypeError, ValueError) as error:
                raise ArgumentError(f"adapt: got what is no array of numbers ({error}); need "
                                    "numbers, in rows of one shape") from error  # fmt: skip
            without_gaps("adapt", rows, first_row, getattr(batch, "columns", None))
            first_row += len(rows) if rows.ndim else 1
            kept = sorted(normalize_axis("adapt", axis, rows.ndim) for axis in self.axis)
            others = tuple(axis for axis in range(rows.ndim) if axis not in kept)
            many = int(np.prod([rows.shape[axis] for axis in others]))
            if not many:
                continue
            here = rows.mean(others)
            if count and here.shape != mean.shape:
                raise ShapeError(f"adapt: a batch {rows.shape} after means {mean.shape}; need the "
                                 "same sizes in all")  # fmt: skip
            apart = here - mean
            # Sums over batches without the loss of digits of a difference of squares.
            squares = squares + rows.var(others) * many + apart**2 * (count * many / (count + many))
            mean, count = mean + apart * (many / (count + many)), count + many
        if not count:
            raise ArgumentError("adapt: got no data; need at least one row")
        assign(self.mean, Tensor(np.asarray(mean, np.float32)))
        assign(self.variance, Tensor(np.asarray(squares / count, np.float32)))

    def forward(self, input: Tensor) -> Tensor:
        x = floating(input)
        if isinstance(self.mean, UninitializedBuffer):
            if symbols.is_open:  # a functional model is drawn, of which shapes alone count
                return x
            raise ArgumentError("Normalization: has no mean yet; need adapt(data) first")
        kept = {normalize_axis("Normalization", axis, x.ndim) for axis in self.axis}
        shape = [n if axis in kept else 1 for axis, n in enumerate(x.shape)]
        if self.mean.ndim and tuple(n for n in shape if n > 1) != tuple(
            n for n in self.mean.shape if n > 1
        ):
            raise ShapeError(f"Normalization: input is {tuple(x.shape)}; mean and variance are "
                             f"{tuple(self.mean.shape)} along axis {self.axis}")  # fmt: skip
        if not self.mean.ndim:
            shape = []
        mean = self.mean.reshape(shape).to(x.dtype)
        spread = self.variance.reshape(shape).to(x.dtype).sqrt().clamp(min=LEAST)
        return x * spread + mean if self.invert else (x - mean) / spread

    def extra_repr(self) -> str:
        return f"axis={self.axis}" + (", invert=True" if self.invert else "")


@layer
class RandomFlip(Module):
    """In training each image mirrored or not, with even chances: "horizontal", "vertical" or both,
    independently; otherwise the input.

    Shapes: (..., H, W), kept; each of the leading N of (N, ..., H, W) by itself.
    Errors: ArgumentError for another mode.
    Source: Keras's layer of this name.

    Example:
        >>> import ambos as am
        >>> RandomFlip("horizontal").eval()(am.tensor([[[[1.0, 2.0]]]]))
        tensor([[[[1., 2.]]]])
    """

    mode: str = "horizontal_and_vertical"

    def __post_init__(self) -> None:
        one_of("RandomFlip: mode", self.mode, FLIPS)

    def forward(self, input: Tensor) -> Tensor:
        x = as_tensor(input)
        if self.training:
            for axis in FLIPS[self.mode]:
                chances = rand(x.shape[0], *[1] * (x.ndim - 1)) if x.ndim > 3 else rand(())
                x = where(chances < 0.5, x.flip(axis), x)
        return x


@layer
class RandomRotation(Module):
    """In training each image turned by its own angle around its middle; otherwise the input.

    `factor` is a part of a full turn: f for angles from -f to f, or (least, most); positive is
    counter-clockwise. Corners that come from outside are filled by `fill_mode`: "reflect" (the
    image mirrored at its edges), "nearest" or "constant" (`fill_value`).

    Shapes: (N, C, H, W), kept.
    Dtypes: floating kept, others to float32.
    Errors: ArgumentError for settings that do not fit.
    Source: Keras's layer of this name.

    Example:
        >>> import ambos as am
        >>> RandomRotation((0.25, 0.25))(am.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).round()
        tensor([[[[2., 4.],
                  [1., 3.]]]])
    """

    factor: float | tuple[float, float]
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    fill_value: float = 0.0

    def __post_init__(self) -> None:
        one_of("RandomRotation: fill_mode", self.fill_mode, FILLS)
        one_of("RandomRotation: interpolation", self.interpolation, ("bilinear", "nearest"))
        factor: Any = self.factor
        pair = factor if isinstance(factor, (tuple, list)) else (-factor, factor)
        bounds = [number("RandomRotation: factor", each) for each in pair]
        if len(bounds) != 2 or not -1 <= bounds[0] <= bounds[1] <= 1:
            raise ArgumentError(f"RandomRotation: factor is {self.factor!r}; need a part of a turn "
                                "from 0 to 1, or two, the lesser first")  # fmt: skip
        self.bounds = bounds[0], bounds[1]

    def forward(self, input: Tensor) -> Tensor:
        x = floating(input)
        if not self.training:
            return x
        if x.ndim != 4:
            raise ShapeError(f"RandomRotation: input is {tuple(x.shape)}; need (N, C, H, W)")
        least, most = self.bounds
        angle = (rand(x.shape[0]) * (most - least) + least) * (2 * math.pi)
        height, width = x.shape[-2:]
        cos, sin, none = angle.cos(), angle.sin(), angle * 0
        # Places are parts of width and height, in which a turn is no turn unless these are equal.
        rows = [stack([cos, sin * (-height / width), none], 1),
                stack([sin * (width / height), cos, none], 1)]  # fmt: skip
        grid = F.affine_grid(stack(rows, 1), x.shape, align_corners=False).to(x.dtype)
        filled = self.fill_value if self.fill_mode == "constant" else 0.0
        turned = F.grid_sample(x - filled, grid, self.interpolation, FILLS[self.fill_mode], False)
        return turned + filled


def _moments(*given: Any) -> tuple[Tensor, Tensor]:
    """Mean and variance in one shape; either may be a single number for all places."""
    mean, variance = (Tensor(each).to(float32).numpy() for each in given)
    if mean.ndim and variance.ndim and mean.shape != variance.shape:
        raise ShapeError(f"Normalization: mean is {mean.shape} and variance "
                         f"{variance.shape}; need equal shapes, or one number")  # fmt: skip
    if not (variance >= 0).all():
        raise ArgumentError("Normalization: variance has numbers below 0 or NaN; need variances "
                            "from 0 on")  # fmt: skip
    shape = mean.shape if mean.ndim else variance.shape
    return Tensor(np.broadcast_to(mean, shape)), Tensor(np.broadcast_to(variance, shape))


def floating(input: Any) -> Tensor:
    """The input, as float32 unless it is floating."""
    x = as_tensor(input)
    return x if x.dtype.is_floating else x.to(float32)


def one_of(what: str, value: Any, known: Iterable[str]) -> None:
    """Refuse a setting that is not known."""
    if value not in known:
        raise ArgumentError(f"{what} is {value!r}; need one of {', '.join(known)}"
                            f"{suggest(str(value), known)}")  # fmt: skip


def _batches(data: Any) -> Iterable[Any]:
    """An array as one batch; of batches that are pairs, the inputs."""
    if isinstance(data, (Tensor, np.ndarray)) or hasattr(data, "to_numpy"):
        return [data.numpy() if isinstance(data, Tensor) else data]
    if isinstance(data, (list, tuple)):
        return [np.asarray(data)]
    return (_inputs(batch) for batch in data)


def _inputs(batch: Any) -> Any:
    found = batch[0] if isinstance(batch, (tuple, list)) else batch
    return found.numpy() if isinstance(found, Tensor) else found
