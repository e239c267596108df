"""Random numbers of other distributions: exponential, gamma, Poisson, binomial.

Each element draws from a stream of its own: the two words that Philox gives for its key and place
are the key of a second Philox, whose counter counts the words that a rejection sampler consumes.
So what an element gets depends on the key, its place and its parameters only. All in float64.

Source: Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000);
Hoermann, "The transformed rejection method for generating Poisson random variables" and "The
generation of binomial random variates" (both 1993).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ambos.core.dtype import DType, float32, float64, uint32
from ambos.core.errors import DTypeError
from ambos.core.shape import Shape
from ambos.graph.node import Attrs, Node
from ambos.ops.elementary import exp, log, log1p, normal_pair, uniform_float64
from ambos.ops.elementary.gamma import lgamma_positive
from ambos.ops.kinds import BY_RULE
from ambos.ops.random import Random, draw, philox_rounds

Words = tuple[Any, Any]
ATTEMPTS = 200  # each is accepted more often than not
NAN = float("nan")


def open_uniform(b: Any, words: Words) -> Any:
    """A float64 strictly between 0 and 1: an odd multiple of 2^-53 (or next to 1, of 2^-54)."""
    return uniform_float64(b, words[1], words[0]) + 2.0**-54


def exponential(b: Any, words: Words) -> Any:
    """A standard exponential float64: -log of a uniform number, which near 1 is taken as its
    distance from 1, so that both ends have their digits; never 0 nor infinite."""
    share = open_uniform(b, words)
    upper = share > 0.5
    rest = uniform_float64(b, ~words[1], ~words[0]) + 2.0**-54  # of the bits turned over: 1 - share
    return -b.select(upper, log1p(b, -b.select(upper, rest, 0.5)), log(b, share))


class Draw(Random, abstract=True):
    """Functions of (key, stream, position), uint32, and of floating parameters of one dtype, which
    is the result's. `rule(b, words, *parameters)` works in float64 on functions that give the
    element's n-th pair of random words."""

    parameters: ClassVar[int] = 0
    ref = BY_RULE

    def infer_dtype(self, inputs: tuple[Node, ...], attrs: Attrs) -> DType:
        words, parameters = inputs[:3], inputs[3:]
        if any(node.dtype is not uint32 for node in words):
            raise DTypeError(f"{self.name}: key, stream and position must be uint32")
        dtype = parameters[0].dtype
        if dtype not in (float32, float64) or any(node.dtype is not dtype for node in parameters):
            raise DTypeError(f"{self.name}: parameters of {dtype.name}; need float32 or float64")
        return dtype


def on_stream(rule: Callable[..., Any]) -> Callable[..., Any]:
    """`rule(b, words, *parameters)`, with parameters as float64, as the scalar rule of an op."""

    def lower(b: Any, key: Any, stream: Any, position: Any, *parameters: Any) -> Any:
        low, high = philox_rounds(b, key, stream, position)

        def words(count: Any) -> Words:
            return philox_rounds(b, low, high, count)

        wide = [b.convert(parameter, float64) for parameter in parameters]
        return b.convert(rule(b, words, *wide), parameters[0].dtype)

    return lower


class RandomExponential32(Random):
    """Standard exponential float32."""

    name, result, cost, ref = "random_exponential_float32", float32, 100, BY_RULE
    lower = lambda b, *words: b.convert(exponential(b, philox_rounds(b, *words)), float32)


class RandomExponential64(Random):
    """Standard exponential float64."""

    name, result, cost, ref = "random_exponential_float64", float64, 100, BY_RULE
    lower = lambda b, *words: exponential(b, philox_rounds(b, *words))


class RandomGamma(Draw):
    """A gamma variable of a given shape parameter and rate 1."""

    arity, cost, domain = 4, 1000, (0.3, 5.0)
    fills = ("words", "words", "words", "reals")

    @on_stream
    def lower(b: Any, words: Callable[[Any], Words], shape: Any) -> Any:
        lifted = shape < 1.0
        d = b.select(lifted, shape + 1.0, shape) - 1 / 3
        c = (1 / 3) / b.sqrt(d)

        def turn(count: Any, value: Any) -> tuple[Any, ...]:
            x = normal_pair(b, *words(count), float64)[0]
            v = b.fma(c, x, 1.0)
            inside = v > 0.0
            v = b.select(inside, v * v * v, 1.0)
            bound = b.fma(x * x, 0.5, d * (1.0 - v + log(b, v)))
            refused = ~inside | ~(log(b, open_uniform(b, words(count + 1))) < bound)
            return refused, count + 2, d * v

        value = b.repeat(ATTEMPTS, turn, b.const(1, uint32), d)[1]
        shrunk = value * exp(b, -exponential(b, words(b.const(0, uint32))) / shape)
        return b.select(shape > 0.0, b.select(lifted, shrunk, value), NAN)


def small_count(b: Any, share: Any, first: Any, step: Callable[[Any, Any], Any]) -> Any:
    """The count at which the running sum of probabilities reaches `share`: p(0) = first,
    p(k) = step(k, p(k - 1))."""

    def turn(k: Any, probability: Any, rest: Any) -> tuple[Any, ...]:
        beyond = rest > probability
        rest = b.select(beyond, rest - probability, rest)
        following = b.select(beyond, k + 1.0, k)
        return beyond, following, step(b.select(beyond, following, 1.0), probability), rest

    return b.repeat(ATTEMPTS, turn, b.const(0.0, float64), first, share)[0]


class RandomPoisson(Draw):
    """A Poisson variable of a given rate, a whole number as floating."""

    arity, cost, domain = 4, 1000, (0.3, 30.0)
    fills = ("words", "words", "words", "reals")

    @on_stream
    def lower(b: Any, words: Callable[[Any], Words], rate: Any) -> Any:
        share = open_uniform(b, words(b.const(0, uint32)))
        large = rate >= 10.0
        low, high = b.select(large, 1.0, rate), b.select(large, rate, 10.0)
        few = small_count(b, share, exp(b, -low), lambda k, p: p * (low / k))
        value = b.select(large, _poisson_by_rejection(b, words, high), few)
        return b.select(rate >= 0.0, value, NAN)


def _poisson_by_rejection(b: Any, words: Callable[[Any], Words], rate: Any) -> Any:
    """Hoermann's PTRS, for a rate of 10 or more."""
    slope = b.fma(b.sqrt(rate), 2.53, 0.931)
    a = b.fma(slope, 0.02483, -0.059)
    inverse_alpha = 1.1328 / (slope - 3.4) + 1.1239
    quick = 0.9277 - 3.6224 / (slope - 2.0)
    log_rate = log(b, rate)

    def turn(count: Any, value: Any) -> tuple[Any, ...]:
        u = open_uniform(b, words(count)) - 0.5
        v = open_uniform(b, words(count + 1))
        s = 0.5 - b.abs(u)
        k = b.floor(b.fma(a * 2.0 / s + slope, u, rate + 0.43))
        ahead = log(b, v * inverse_alpha / (a / (s * s) + slope))
        whole = b.select(k < 0.0, 0.0, k)
        likely = ahead <= whole * log_rate - rate - lgamma_positive(b, whole + 1.0)
        accepted = (s >= 0.07) & (v <= quick) | (k >= 0.0) & ~((s < 0.013) & (v > s)) & likely
        return ~accepted, count + 2, whole

    return b.repeat(ATTEMPTS, turn, b.const(1, uint32), rate)[1]


class RandomBinomial(Draw):
    """How many of a number of trials succeed, each with a given probability; as floating."""

    arity, cost, domain = 5, 1000, (0.3, 0.9)
    fills = ("words", "words", "words", "reals", "reals")

    @on_stream
    def lower(b: Any, words: Callable[[Any], Words], trials: Any, chance: Any) -> Any:
        share = open_uniform(b, words(b.const(0, uint32)))
        flipped = chance > 0.5
        p = b.select(flipped, 1.0 - chance, chance)
        large = trials * p >= 10.0
        n, low = b.select(large, 1.0, trials), b.select(large, 0.25, p)
        odds = low / (1.0 - low)
        none = exp(b, n * log1p(b, -low))
        few = small_count(b, share, none, lambda k, q: q * ((n + 1.0) / k - 1.0) * odds)
        few = b.select(few > n, n, few)
        many = _binomial_by_rejection(
            b, words, b.select(large, trials, 100.0), b.select(large, p, 0.25)
        )
        value = b.select(large, many, few)
        value = b.select(flipped, trials - value, value)
        valid = (chance >= 0.0) & (chance <= 1.0) & (trials >= 0.0)
        return b.select(valid, value, NAN)


def _binomial_by_rejection(b: Any, words: Callable[[Any], Words], n: Any, p: Any) -> Any:
    """Hoermann's BTRS, for n p of 10 or more and p <= 1/2."""
    deviation = b.sqrt(n * p * (1.0 - p))
    slope = b.fma(deviation, 2.53, 1.15)
    a = b.fma(slope, 0.0248, b.fma(p, 0.01, -0.0873))
    centre = b.fma(n, p, 0.5)
    quick = 0.92 - 4.2 / slope
    alpha = (5.1 / slope + 2.83) * deviation
    log_odds = log(b, p / (1.0 - p))
    mode = b.floor((n + 1.0) * p)
    peak = lgamma_positive(b, mode + 1.0) + lgamma_positive(b, n - mode + 1.0)

    def turn(count: Any, value: Any) -> tuple[Any, ...]:
        u = open_uniform(b, words(count)) - 0.5
        v = open_uniform(b, words(count + 1))
        s = 0.5 - b.abs(u)
        k = b.floor(b.fma(a * 2.0 / s + slope, u, centre))
        inside = (k >= 0.0) & (k <= n)
        k = b.select(inside, k, mode)
        ahead = log(b, v * alpha / (a / (s * s) + slope))
        rest = lgamma_positive(b, k + 1.0) + lgamma_positive(b, n - k + 1.0)
        likely = ahead <= peak - rest + (k - mode) * log_odds
        accepted = inside & ((s >= 0.07) & (v <= quick) | likely)
        return ~accepted, count + 2, k

    return b.repeat(ATTEMPTS, turn, b.const(1, uint32), mode)[1]


EXPONENTIAL32, EXPONENTIAL64 = RandomExponential32(), RandomExponential64()
GAMMA, POISSON, BINOMIAL = RandomGamma(), RandomPoisson(), RandomBinomial()


def standard_exponential(key: Node, shape: Shape, dtype: DType) -> Node:
    """Standard exponential, float32 or float64."""
    return draw(EXPONENTIAL64 if dtype is float64 else EXPONENTIAL32, key, shape)
