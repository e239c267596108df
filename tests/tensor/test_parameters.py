"""What distributions are told: precision and range of their parameters."""

import numpy as np
import pytest
import scipy.stats

import ambos as am
from ambos.core.errors import ArgumentError, ShapeError

KEY = am.random.key(7)


def test_samples_of_float64_have_its_precision():
    x = am.random.gamma(KEY, 0.01, (50_000,), dtype=am.float64).numpy()
    assert scipy.stats.kstest(x, scipy.stats.gamma(0.01).cdf).pvalue > 1e-3
    assert (x == 0).mean() < 0.01
    for x in (
        am.random.gamma(KEY, 2.0, (1000,), dtype=am.float64),
        am.random.beta(KEY, 2.0, 3.0, (1000,), dtype=am.float64),
    ):
        assert (x.numpy().astype(np.float32) != x.numpy()).mean() > 0.99


def test_bounds_are_not_rounded_to_float32():
    x = am.random.truncated_normal(KEY, 0.1, 0.1 + 1e-12, (100,), dtype=am.float64).numpy()
    assert (x >= 0.1).all()
    assert (x <= 0.1 + 1e-12).all()


OUTSIDE = {
    "poisson": (am.random.poisson, "rate", -1.0),
    "binomial n": (am.random.binomial, "n", -1),
    "binomial p": (am.random.binomial, "p", 1.5),
    "geometric": (am.random.geometric, "p", 0.0),
    "gamma": (am.random.gamma, "concentration", -1.0),
    "gamma rate": (am.random.gamma, "rate", 0.0),
    "beta": (am.random.beta, "a", 0.0),
    "exponential": (am.random.exponential, "rate", 0.0),
    "laplace": (am.random.laplace, "scale", -1.0),
    "truncated_normal": (am.random.truncated_normal, "std", 0.0),
    "normal": (am.random.normal, "std", -1.0),
    "bernoulli": (am.random.bernoulli, "p", 1.5),
}


@pytest.mark.parametrize("number", [None, float("nan")], ids=["outside", "nan"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_parameters_outside_their_range(name, number):
    draw, parameter, wrong = OUTSIDE[name]
    wrong = wrong if number is None else number
    op = name.split()[0]
    with pytest.raises(ArgumentError, match=f"{op}: {parameter} is .*; need a number"):
        draw(KEY, **{parameter: wrong})
    tensor = am.tensor([0.5, float(wrong)])
    with pytest.raises(ArgumentError, match=f"{op}: {parameter} holds .*; need numbers"):
        draw(KEY, shape=(2,), **{parameter: tensor})
    draw(KEY, shape=(2,), **{parameter: tensor.abs().clip(0.1, 1.0).nan_to_num(0.5)}).numpy()


def test_a_jitted_function_looks_at_parameters_at_every_call():
    draw = am.jit(lambda p: am.random.bernoulli(KEY, p))
    assert draw(am.tensor([0.0, 1.0])).tolist() == [False, True]
    with pytest.raises(ArgumentError, match="bernoulli: p holds"):
        draw(am.tensor([0.0, 1.5]))
    assert draw(am.tensor([1.0, 0.0])).tolist() == [True, False]


def test_weights_of_a_choice():
    with pytest.raises(ShapeError, match=r"choice: p is \(2,\) for 3 elements"):
        am.random.choice(KEY, 3, (2,), p=[0.5, 0.5])
    with pytest.raises(ArgumentError, match="choice: a weight is negative"):
        am.random.choice(KEY, 2, (2,), p=[0.5, -0.5])


def test_ranges_of_integers():
    with pytest.raises(ArgumentError, match=r"holds more than 2\*\*63 numbers"):
        am.random.integers(KEY, -(2**63), 2**63 - 1)
