"""Distances between numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.tensor.handle import Tensor
from ambos.train.metrics.base import Metric, Numbers, Statistics, doubled, ratio, tensor_of
from ambos.train.metrics.faults import nans
from ambos.train.metrics.reading import one_of, spread

MULTIOUTPUT = ("uniform_average", "raw_values")


class Regression(Metric):
    """Base: outputs and targets of one shape, numbers (N,) or several to a row (N, ...).
    `multioutput` is one number for all ("uniform_average") or one for each ("raw_values")."""

    faults: tuple[str, ...] = ("nan", "negative")
    settled = ("num_outputs",)
    better = "min"

    def __init__(self, multioutput: str = "uniform_average", name: str | None = None) -> None:
        super().__init__(name)
        one_of(f"{type(self).__name__}: multioutput", multioutput, self.averages())
        self.multioutput = multioutput
        self.num_outputs: int | None = None

    @staticmethod
    def averages() -> tuple[str, ...]:
        """The known values of `multioutput`."""
        return MULTIOUTPUT

    def shape(self, name: str) -> tuple[int, ...]:
        if name in self.faults:
            return ()
        if self.num_outputs is None:
            raise ArgumentError(
                f"{self.name}: the numbers in a row are not known before a first batch; need "
                "zero(output, target)"
            )
        return (self.num_outputs,)

    def settle(self, output: Any, target: Any = None) -> None:
        shape = tensor_of(output).shape
        found = int(np.prod(shape[1:]))
        if self.num_outputs not in (None, found):
            raise ShapeError(
                f"{self.name}: the output {tuple(shape)} has {found} numbers in a row; need "
                f"{self.num_outputs}, as before"
            )
        self.num_outputs = found

    def read(self, output: Any, target: Any, weight: Any) -> tuple[Any, Any, Any, Any]:
        """Outputs, targets and weights, (N, numbers) in float64, and what must not be.

        Errors: ShapeError where they do not fit together; DTypeError for complex numbers.
        """
        if target is None:
            raise ArgumentError(f"{self.name}: no target; need update(output, target)")
        output, target = tensor_of(output), tensor_of(target)
        if output.shape != target.shape:
            raise ShapeError(
                f"{self.name}: the output is {tuple(output.shape)} and the target "
                f"{tuple(target.shape)}; need the same shape (squeeze or unsqueeze one of them)"
            )
        if output.dtype.is_complex or target.dtype.is_complex:
            raise DTypeError(f"{self.name}: got complex numbers; need real ones: take .abs()")
        self.settle(output, target)
        weights, wrong = spread(self, weight, output.shape)
        faults = {"nan": nans(output, target), "negative": wrong}
        rows = [doubled(v).reshape(-1, self.num_outputs) for v in (output, target, weights)]
        return rows[0], rows[1], rows[2], faults


class MeanOf(Regression):
    """Base of means of a distance of each pair."""

    added = ("sum", "weight")

    def shape(self, name: str) -> tuple[int, ...]:
        return super().shape(name) if self.multioutput == "raw_values" else ()

    def settle(self, output: Any, target: Any = None) -> None:
        if self.multioutput == "raw_values":
            super().settle(output, target)
        else:
            self.num_outputs = 1

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """Of each pair."""
        raise NotImplementedError

    def measure(self, output: Any, target: Any = None, weight: Any = None) -> Statistics:
        output, target, weights, faults = self.read(output, target, weight)
        axis = 0 if self.multioutput == "raw_values" else (0, 1)
        far = self.distance(output, target) * weights
        return {"sum": far.sum(axis), "weight": weights.sum(axis), **faults}

    def value(self, sums: Numbers) -> Any:
        return ratio(sums["sum"], sums["weight"])


class MeanAbsoluteError(MeanOf):
    """The mean of absolute differences.

    Errors: ShapeError where the shapes differ.

    Example:
        >>> error = MeanAbsoluteError()
        >>> error.update([1.0, 2.0], [1.0, 4.0])
        >>> error.compute()
        1.0
    """

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).abs()


class MeanSquaredError(MeanOf):
    """The mean of squared differences.

    Errors: ShapeError where the shapes differ.

    Example:
        >>> error = MeanSquaredError()
        >>> error.update([1.0, 2.0], [1.0, 4.0])
        >>> error.compute()
        2.0
    """

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square()


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean of all squared differences.

    Errors: ShapeError where the shapes differ.

    Example:
        >>> error = RootMeanSquaredError()
        >>> error.update([1.0, 2.0], [1.0, 6.0])
        >>> round(error.compute(), 4)
        2.8284
    """

    def value(self, sums: Numbers) -> Any:
        return np.sqrt(super().value(sums))


class MeanAbsolutePercentageError(MeanOf):
    """The mean of absolute differences as shares of the targets: 0.1 is ten percent, as in
    scikit-learn (Keras's is a hundred times that). Targets of 0 count as 2^-52.

    Errors: ShapeError where the shapes differ.

    Example:
        >>> error = MeanAbsolutePercentageError()
        >>> error.update([1.0, 3.0], [1.0, 4.0])
        >>> error.compute()
        0.125
    """

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).abs() / target.abs().clamp(float(np.finfo(np.float64).eps), None)


class Moments(Regression):
    """Base of what compares spreads: sums of numbers and of their products."""

    better = "max"
    added = ("weight", "target", "target2", "error", "error2")

    def measure(self, output: Any, target: Any = None, weight: Any = None) -> Statistics:
        output, target, weights, faults = self.read(output, target, weight)
        error = target - output
        return {
            "weight": weights.sum(0),
            "target": (weights * target).sum(0),
            "target2": (weights * target * target).sum(0),
            "error": (weights * error).sum(0),
            "error2": (weights * error * error).sum(0),
            **faults,
        }

    @staticmethod
    def averages() -> tuple[str, ...]:
        return (*MULTIOUTPUT, "variance_weighted")

    def value(self, sums: Numbers) -> Any:
        spread = np.maximum(sums["target2"] - sums["target"] ** 2 / sums["weight"], 0.0)
        left = self.unexplained(sums)
        # A constant target: all explained if nothing is left, else nothing (as scikit-learn).
        score = np.where(spread > 0, 1 - left / spread, np.where(left > 0, 0.0, 1.0))
        if self.multioutput == "raw_values":
            return score
        weighted = self.multioutput == "variance_weighted" and spread.sum() > 0
        return np.average(score, weights=spread if weighted else None)

    def unexplained(self, sums: Numbers) -> NDArray[Any]:
        """The part of the spread that is left."""
        raise NotImplementedError


class R2Score(Moments):
    """The coefficient of determination: 1 is perfect, 0 as good as the mean of the targets.

    Sums of float64 squares: good to about 1e-16 times the squared ratio of mean and spread.
    Errors: ShapeError where the shapes differ.

    Example:
        >>> score = R2Score()
        >>> score.update([1.0, 2.0, 2.0], [1.0, 2.0, 3.0])
        >>> score.compute()
        0.5
    """

    def unexplained(self, sums: Numbers) -> NDArray[Any]:
        return np.asarray(sums["error2"])


class ExplainedVariance(Moments):
    """The share of the targets' variance that is explained: `R2Score` but for a constant error.

    Errors: ShapeError where the shapes differ.

    Example:
        >>> score = ExplainedVariance()
        >>> score.update([2.0, 3.0, 4.0], [1.0, 2.0, 3.0])
        >>> score.compute()
        1.0
    """

    def unexplained(self, sums: Numbers) -> NDArray[Any]:
        return np.maximum(sums["error2"] - sums["error"] ** 2 / sums["weight"], 0.0)


class PearsonCorrCoef(Regression):
    """Pearson's correlation of outputs and targets; NaN where one of them is constant.

    Errors: ShapeError where the shapes differ.

    Example:
        >>> correlation = PearsonCorrCoef()
        >>> correlation.update([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
        >>> correlation.compute()
        1.0
    """

    better = "max"
    added = ("weight", "x", "y", "xx", "yy", "xy")

    def measure(self, output: Any, target: Any = None, weight: Any = None) -> Statistics:
        x, y, weights, faults = self.read(output, target, weight)
        products = {"x": x, "y": y, "xx": x * x, "yy": y * y, "xy": x * y}
        sums = {name: (weights * value).sum(0) for name, value in products.items()}
        return {"weight": weights.sum(0), **sums, **faults}

    def value(self, sums: Numbers) -> Any:
        weight, x, y, xx, yy, xy = (sums[name] for name in self.added)
        spreads = np.maximum(xx - x * x / weight, 0.0) * np.maximum(yy - y * y / weight, 0.0)
        found = np.clip((xy - x * y / weight) / np.sqrt(spreads), -1.0, 1.0)
        return found if self.multioutput == "raw_values" else found.mean()


class SpearmanCorrCoef(Regression):
    """Spearman's correlation of ranks, ties in the middle of theirs; NaN where one is constant.

    Errors: ShapeError where the shapes differ; ArgumentError for weights, which ranks do not have.

    Example:
        >>> correlation = SpearmanCorrCoef()
        >>> correlation.update([1.0, 2.0, 30.0], [2.0, 4.0, 6.0])
        >>> correlation.compute()
        1.0
    """

    better = "max"
    kept = ("x", "y")
    faults = ("nan",)

    def measure(self, output: Any, target: Any = None, weight: Any = None) -> Statistics:
        if weight is not None:
            raise ArgumentError(f"{self.name}: got a weight; need none: ranks have no weights")
        x, y, _, faults = self.read(output, target, None)
        return {"x": x, "y": y, "nan": faults["nan"]}

    def value(self, sums: Numbers) -> Any:
        pairs = [(ranks(x), ranks(y)) for x, y in zip(sums["x"].T, sums["y"].T, strict=True)]
        found = np.array([np.corrcoef(*pair)[0, 1] for pair in pairs])
        return found if self.multioutput == "raw_values" else found.mean()


def ranks(values: NDArray[Any]) -> NDArray[Any]:
    """The place of each in order; the middle of their places for equal ones."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


class CosineSimilarity(Metric):
    """The mean cosine of the angle between the vectors on the last axis; 0 for a vector of zeros.

    Errors: ShapeError where the shapes differ.

    Example:
        >>> similarity = CosineSimilarity()
        >>> similarity.update([[1.0, 0.0], [1.0, 1.0]], [[2.0, 0.0], [1.0, -1.0]])
        >>> similarity.compute()
        0.5
    """

    added = ("sum", "weight")
    faults = ("nan", "negative")
    better = "max"

    def measure(self, output: Any, target: Any = None, weight: Any = None) -> Statistics:
        x, y = tensor_of(output), tensor_of(target)
        if x.shape != y.shape or x.ndim < 1:
            raise ShapeError(
                f"{self.name}: the output is {tuple(x.shape)} and the target {tuple(y.shape)}; "
                "need vectors (..., size), the same shape for both"
            )
        weights, wrong = spread(self, weight, x.shape[:-1])
        faults = {"nan": nans(x, y), "negative": wrong}
        x, y = doubled(x), doubled(y)
        lengths = (x.square().sum(-1) * y.square().sum(-1)).sqrt()
        cosines = (x * y).sum(-1) / (lengths + (lengths == 0))
        return {"sum": (cosines * weights).sum(), "weight": weights.sum(), **faults}

    def value(self, sums: Numbers) -> Any:
        return ratio(sums["sum"], sums["weight"])
