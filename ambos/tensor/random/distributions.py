"""Random tensors of further distributions, from a key or (key None) from the global stream.

Gradients reach the parameters where a sample is a smooth function of them and of noise: location
and scale families, exponential, Gumbel, Laplace, truncated normal; gamma, beta and Dirichlet, made
by rejection, have the implicit one: how a sample moves while its share of the distribution stays.
"""

from __future__ import annotations

import math
from typing import Any

from ambos.core.dtype import as_dtype, float32, float64, int64
from ambos.core.errors import ArgumentError
from ambos.core.shape import Shape, broadcast
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import functions, sampling, special
from ambos.ops import random as draws
from ambos.ops.movement import slice_
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, shape_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import binary, convert, floating, scalar
from ambos.tensor.random.basic import _float, _next
from ambos.tensor.random.generator import Generator
from ambos.tensor.random.parameters import (
    common_parameters,
    common_shape,
    require_above,
    require_from,
)

SMALLEST = 2.2250738585072014e-308


def _subkeys(key: Node, count: int) -> list[Node]:
    """Independent keys from one that is not used otherwise."""
    words = draws.bits(key, (count, 2))
    rows = [slice_(words, attrs=((i, 0), (i + 1, 2), (1, 1))) for i in range(count)]
    return [reshaped(row, (2,)) for row in rows]


def _scaled(node: Node, loc: Any, scale: Any) -> Tensor:
    """loc + scale * node, without operations on 0 and 1."""
    if not (isinstance(scale, (int, float)) and scale == 1):
        node = binary(ops.multiply, node, operand_of(scale))
    if not (isinstance(loc, (int, float)) and loc == 0):
        node = binary(ops.add, node, operand_of(loc))
    return wrap(node)


def _noise(key: Node, shape: Shape, dtype: Any) -> Node:
    """Standard exponential numbers of any floating dtype."""
    wide = sampling.standard_exponential(key, shape, dtype if dtype is float64 else float32)
    return convert(wide, dtype)


@public
def exponential(
    key: Any = None, shape: Any = None, rate: Any = 1.0, dtype: Any = float32,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Exponential with a rate; never 0.

    Example:
        >>> import ambos as am
        >>> am.random.exponential(am.random.key(0), (2, 3)).shape
        (2, 3)
    """
    require_above("exponential", rate=rate)
    sizes, kind = common_shape("exponential", shape, rate), _float("exponential", dtype)
    node = _noise(_next("exponential", key, generator), sizes, kind)
    if isinstance(rate, (int, float)) and rate == 1:
        return wrap(node)
    return wrap(binary(ops.divide, node, operand_of(rate)))


@public
def gumbel(
    key: Any = None, shape: Any = None, loc: Any = 0.0, scale: Any = 1.0, dtype: Any = float32,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Gumbel's distribution of largest values."""
    require_above("gumbel", scale=scale)
    sizes, kind = common_shape("gumbel", shape, loc, scale), _float("gumbel", dtype)
    node = _noise(_next("gumbel", key, generator), sizes, kind)
    return _scaled(ops.negative(functions.log(node)), loc, scale)


@public
def laplace(
    key: Any = None, shape: Any = None, loc: Any = 0.0, scale: Any = 1.0, dtype: Any = float32,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Laplace's distribution: the difference of two exponential numbers."""
    require_above("laplace", scale=scale)
    sizes, kind = common_shape("laplace", shape, loc, scale), _float("laplace", dtype)
    first, second = _subkeys(_next("laplace", key, generator), 2)
    node = ops.subtract(_noise(first, sizes, kind), _noise(second, sizes, kind))
    return _scaled(node, loc, scale)


@public
def cauchy(
    key: Any = None, shape: Any = None, loc: Any = 0.0, scale: Any = 1.0, dtype: Any = float32,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Cauchy's distribution: the tangent of a uniform angle."""
    require_above("cauchy", scale=scale)
    sizes, kind = common_shape("cauchy", shape, loc, scale), _float("cauchy", dtype)
    wide = float64 if kind is float64 else float32
    share = draws.uniform(_next("cauchy", key, generator), sizes, wide)
    angle = binary(ops.multiply, binary(ops.subtract, share, 0.5), math.pi)
    return _scaled(convert(functions.tan(angle), kind), loc, scale)


@public
def log_normal(
    key: Any = None, shape: Any = None, mean: Any = 0.0, std: Any = 1.0, dtype: Any = float32,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """exp of normal numbers with that mean and standard deviation."""
    require_above("log_normal", std=std)
    sizes, kind = common_shape("log_normal", shape, mean, std), _float("log_normal", dtype)
    node = draws.normal(_next("log_normal", key, generator), sizes, kind)
    return wrap(functions.exp(_scaled(node, mean, std)._node))


@public
def truncated_normal(
    key: Any = None, low: Any = -2.0, high: Any = 2.0, shape: Any = None, mean: Any = 0.0,
    std: Any = 1.0, dtype: Any = float32, generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Normal with a mean and a standard deviation, given that it lies in [low, high].

    The quantile of a uniform share of the interval, in float64 and from the nearer tail, so that
    intervals far from the mean keep their accuracy.

    Example:
        >>> import ambos as am
        >>> x = am.random.truncated_normal(am.random.key(0), 3.0, 4.0, (100,))
        >>> bool((x >= 3).all()) and bool((x <= 4).all())
        True
    """
    require_above("truncated_normal", std=std)
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and not low <= high:
        raise ArgumentError(f"truncated_normal: [{low}, {high}] holds no numbers; need low <= high")
    sizes = common_shape("truncated_normal", shape, low, high, mean, std)
    kind = _float("truncated_normal", dtype)
    share = draws.uniform(_next("truncated_normal", key, generator), sizes, float64)
    lowest, highest, centre, width = common_parameters(
        "truncated_normal", sizes, low, high, mean, std, wanted=float64
    )
    a = ops.divide(ops.subtract(lowest, centre), width)
    c = ops.divide(ops.subtract(highest, centre), width)
    right = ops.greater(a, scalar(0, float64, sizes))
    left_end = ops.where(right, ops.negative(c), a)
    right_end = ops.where(right, ops.negative(a), c)
    first, last = special.ndtr(left_end), special.ndtr(right_end)
    found = special.ndtri(ops.add(first, ops.multiply(share, ops.subtract(last, first))))
    found = ops.where(right, ops.negative(found), found)
    value = ops.minimum(ops.maximum(ops.add(ops.multiply(found, width), centre), lowest), highest)
    return wrap(convert(value, kind))


@public
def geometric(
    key: Any = None, p: Any = 0.5, shape: Any = None, dtype: Any = int64,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """The number of trials up to the first success, each with probability p: 1, 2, ..."""
    require_above("geometric", 0, 1, p=p)
    sizes = common_shape("geometric", shape, p)
    (chance,) = common_parameters("geometric", sizes, p)
    noise = sampling.standard_exponential(_next("geometric", key, generator), sizes, chance.dtype)
    rate = ops.negative(functions.log1p(ops.negative(chance)))
    count = functions.ceil(ops.divide(noise, rate))
    return wrap(convert(binary(ops.maximum, count, 1.0), as_dtype(dtype)))


def _gamma(key: Node, shape: Shape, concentration: Node) -> Node:
    """Gamma numbers; their gradient by the concentration is the implicit one."""
    drawn = draws.draw(sampling.GAMMA, key, shape, concentration)
    return special.follow_gamma(concentration, drawn) if concentration.tracked else drawn


@public
def gamma(
    key: Any = None, concentration: Any = 1.0, shape: Any = None, rate: Any = 1.0,
    dtype: Any = None, generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Gamma with a shape parameter (`concentration`) and a rate.

    Source: Marsaglia and Tsang, ACM TOMS 26 (2000).

    Example:
        >>> import ambos as am
        >>> am.random.gamma(am.random.key(0), am.tensor([0.5, 2.0, 100.0])).shape
        (3,)
    """
    require_above("gamma", concentration=concentration)
    require_above("gamma", rate=rate)
    kind = None if dtype is None else _float("gamma", dtype)
    sizes = common_shape("gamma", shape, concentration, rate)
    (a,) = common_parameters("gamma", sizes, concentration, wanted=kind)
    node = _gamma(_next("gamma", key, generator), sizes, a)
    found = wrap(convert(node, kind or node.dtype))
    if isinstance(rate, (int, float)) and rate == 1:
        return found
    return wrap(binary(ops.divide, found._node, operand_of(rate)))


@public
def beta(
    key: Any = None, a: Any = 1.0, b: Any = 1.0, shape: Any = None, dtype: Any = None,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """The beta distribution, as the share of one gamma variable in two."""
    require_above("beta", a=a, b=b)
    wanted = None if dtype is None else _float("beta", dtype)
    sizes = common_shape("beta", shape, a, b)
    parameters = common_parameters("beta", sizes, a, b, wanted=wanted)
    keys = _subkeys(_next("beta", key, generator), 2)
    x, y = (
        binary(ops.maximum, _gamma(k, sizes, convert(p, float64)), SMALLEST)
        for k, p in zip(keys, parameters, strict=True)
    )
    return wrap(convert(ops.divide(x, ops.add(x, y)), wanted or parameters[0].dtype))


@public
def dirichlet(
    key: Any = None, concentration: Any = None, shape: Any = None, dtype: Any = None,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Shares that add up to 1 along the last axis; `shape` is what comes before it.

    Example:
        >>> import ambos as am
        >>> x = am.random.dirichlet(am.random.key(0), am.ones(3), (5,))
        >>> x.shape, bool(am.allclose(x.sum(-1), am.ones(5)))
        ((5, 3), True)
    """
    if concentration is None:
        raise ArgumentError("dirichlet: no concentration was given; need a tensor of them")
    node = floating(node_of(concentration))
    if not node.shape:
        raise ArgumentError("dirichlet: the concentration is one number; need at least one axis")
    require_above("dirichlet", concentration=wrap(node))
    sizes = node.shape if shape is None else (*shape_of("dirichlet", (shape,)), node.shape[-1])
    (a,) = common_parameters("dirichlet", sizes, wrap(node))
    parts = _gamma(_next("dirichlet", key, generator), sizes, convert(a, float64))
    parts = binary(ops.maximum, parts, SMALLEST)
    shares = wrap(parts) / wrap(parts).sum(-1, keepdim=True)
    return wrap(convert(shares._node, a.dtype if dtype is None else _float("dirichlet", dtype)))


@public
def poisson(
    key: Any = None, rate: Any = 1.0, shape: Any = None, dtype: Any = int64,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Poisson with a rate, by inversion below 10 and by rejection above.

    Source: Hoermann, "The transformed rejection method for generating Poisson random variables"
    (1993).
    """
    require_from("poisson", rate=rate)
    sizes = common_shape("poisson", shape, rate)
    (mean,) = common_parameters("poisson", sizes, rate)
    node = draws.draw(sampling.POISSON, _next("poisson", key, generator), sizes, mean)
    return wrap(convert(node, as_dtype(dtype)))


@public
def binomial(
    key: Any = None, n: Any = 1, p: Any = 0.5, shape: Any = None, dtype: Any = int64,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """How many of `n` trials succeed, each with probability `p`.

    Source: Hoermann, "The generation of binomial random variates" (1993).
    """
    require_from("binomial", n=n)
    require_from("binomial", 0, 1, p=p)
    sizes = common_shape("binomial", shape, n, p)
    trials, chance = common_parameters("binomial", sizes, n, p)
    node = draws.draw(sampling.BINOMIAL, _next("binomial", key, generator), sizes, trials, chance)
    return wrap(convert(node, as_dtype(dtype)))


@public
def categorical(
    key: Any = None, logits: Any = None, axis: int = -1, shape: Any = None,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Positions along `axis` drawn by logits (logarithms of weights), int64; `shape` is the
    result's, by default what is left without the axis.

    The largest of logits plus Gumbel noise.

    Example:
        >>> import ambos as am
        >>> logits = am.tensor([[0.0, float("-inf")], [float("-inf"), 0.0]])
        >>> am.random.categorical(am.random.key(0), logits).tolist()
        [0, 1]
    """
    if logits is None:
        raise ArgumentError("categorical: no logits were given; need a tensor of them")
    scores = wrap(floating(node_of(logits))).moveaxis(axis, -1)
    batch = scores.shape[:-1]
    sizes = batch if shape is None else shape_of("categorical", (shape,))
    if broadcast("categorical", sizes, batch) != sizes:
        raise ArgumentError(f"categorical: shape {sizes} does not hold the batch {batch}; need a "
                            "shape that ends with it")  # fmt: skip
    full = (*sizes, scores.shape[-1])
    kind = float64 if scores.dtype is float64 else float32
    noise = _noise(_next("categorical", key, generator), full, kind)
    race = wrap(convert(scores._node, kind)) - wrap(functions.log(noise))
    found: Tensor = race.argmax(-1)
    return found
