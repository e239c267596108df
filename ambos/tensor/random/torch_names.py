"""PyTorch's samplers, on the global stream: functions of tensors of parameters, and in-place
methods."""

from __future__ import annotations

from typing import Any

from ambos.core.arguments import number, positive
from ambos.core.dtype import float32, float64, int64
from ambos.core.errors import ArgumentError, ShapeError
from ambos.ops import random as draws
from ambos.tensor.checks import require_weights
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import convert, floating, require
from ambos.tensor.random import basic, distributions
from ambos.tensor.random.generator import Generator
from ambos.tensor.random.parameters import common_shape


@public
def poisson(x: Any, generator: Generator | None = None) -> Tensor:
    """Poisson numbers with the rates `x`, in its dtype.

    Example:
        >>> import ambos as am
        >>> am.poisson(am.zeros(3)).tolist()
        [0.0, 0.0, 0.0]
    """
    node = floating(node_of(x))
    return distributions.poisson(None, wrap(node), dtype=node.dtype, generator=generator)


@public
def binomial(count: Any, prob: Any, generator: Generator | None = None) -> Tensor:
    """Binomial numbers: successes among `count` trials of probability `prob`, in its dtype."""
    node = floating(node_of(prob))
    return distributions.binomial(None, count, wrap(node), dtype=node.dtype, generator=generator)


@public
def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, dtype: Any = None,
    generator: Generator | None = None, device: Any = None,
) -> Tensor:  # fmt: skip
    """Normal numbers with means and standard deviations (tensors or numbers).

    Example:
        >>> import ambos as am
        >>> am.normal(am.zeros(3), am.tensor(1e-9)).shape, am.normal(0.0, 1.0, (2, 2)).shape
        ((3,), (2, 2))
    """
    shape = common_shape("normal", size, mean, std)
    kinds = [x.dtype for x in (mean, std) if isinstance(x, Tensor) and x.dtype.is_floating]
    kind = dtype or (kinds[0] if kinds else float32)
    return basic.normal(None, shape, mean, std, kind, generator)


@public
def bernoulli(x: Any, p: float | None = None, generator: Generator | None = None) -> Tensor:
    """1 with the probabilities `x` (or p everywhere), else 0, in its dtype.

    Example:
        >>> import ambos as am
        >>> am.bernoulli(am.tensor([0.0, 1.0])).tolist()
        [0.0, 1.0]
    """
    node = node_of(x)
    drawn = basic.bernoulli(None, x if p is None else p, node.shape, generator)
    return wrap(convert(drawn._node, node.dtype))


@public
def multinomial(
    x: Any, num_samples: int, replacement: bool = False, generator: Generator | None = None
) -> Tensor:
    """Positions drawn from rows of weights (PyTorch's multinomial), int64: `replacement` says
    whether one may be drawn twice.

    Errors: ArgumentError for known weights that are negative or not finite, and for rows that have
        too few above 0.

    Example:
        >>> import ambos as am
        >>> am.multinomial(am.tensor([0.0, 3.0, 0.0, 1.0]), 2).sort().values.tolist()
        [1, 3]
    """
    node = node_of(x)
    require("multinomial", node, "f", "weights are shares: use x.float()")
    positive("multinomial: num_samples", num_samples)
    if not node.rank:
        raise ShapeError("multinomial: the weights are one number; need at least one axis")
    if not replacement and num_samples > node.shape[-1]:
        raise ArgumentError(f"multinomial: {num_samples} of {node.shape[-1]} without replacement; "
                            "need at most as many as there are")  # fmt: skip
    require_weights("multinomial", node, 1 if replacement else num_samples)
    node = convert(node, node.dtype.compute)  # 8 or 11 bits of noise are too few
    key = basic._next("multinomial", None, generator)
    if replacement:
        rows = wrap(node)
        total = rows.cumsum(-1)
        shape = (*node.shape[:-1], num_samples)
        drawn = wrap(draws.uniform(key, shape, node.dtype)) * total[..., -1:]
        hits = (total.unsqueeze(-2) <= drawn.unsqueeze(-1)).sum(-1)
        return hits.clip(max=node.shape[-1] - 1)
    # Exponential times, divided by the weights: those that come first are a draw without
    # replacement. No time is 0, so that a weight of 0 never comes.
    race = wrap(node) / wrap(distributions._noise(key, node.shape, node.dtype))
    return race.topk(num_samples, -1).indices


def _wide(self: Tensor) -> Any:
    return float64 if self.dtype is float64 else None


def exponential_(self: Tensor, lambd: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Exponential numbers of rate `lambd` from the global stream in every element."""
    drawn = distributions.exponential(None, self.shape, lambd, self.dtype, generator)
    return self._rebind(drawn._node, "exponential_")


def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Cauchy's numbers from the global stream in every element."""
    drawn = distributions.cauchy(None, self.shape, median, sigma, self.dtype, generator)
    return self._rebind(drawn._node, "cauchy_")


def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, generator: Generator | None = None
) -> Tensor:
    """Log-normal numbers from the global stream in every element."""
    drawn = distributions.log_normal(None, self.shape, mean, std, self.dtype, generator)
    return self._rebind(drawn._node, "log_normal_")


def geometric_(self: Tensor, p: float, generator: Generator | None = None) -> Tensor:
    """Numbers of trials up to a success of probability p, in every element."""
    if not 0 < number("geometric_: p", p) < 1:
        raise ArgumentError(f"geometric_: p is {p}; need 0 < p < 1")
    drawn = distributions.geometric(None, p, self.shape, _wide(self) or int64, generator)
    return self._rebind(drawn._node, "geometric_")


def random_(
    self: Tensor, low: int = 0, high: int | None = None, generator: Generator | None = None
) -> Tensor:
    """Whole numbers of [low, high) in every element; by default all that the dtype holds exactly.
    With one bound below it."""
    if high is None and low:
        low, high = 0, low
    if high is None:
        kind = self.dtype
        high = 1 << basic.DIGITS[kind.name] if kind.is_floating else (
            2 if kind.kind == "b" else int(kind.max) + (kind.bits < 63))  # fmt: skip
    drawn = basic.integers(None, low, high, self.shape, int64, generator)
    return self._rebind(drawn._node, "random_")


__all__ = ["bernoulli", "binomial", "multinomial", "normal", "poisson"]
