"""Every elementwise function against NumPy or torch, names against the table."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, DTypeError, ShapeError, UnknownNameError
from ambos.tensor import composite, pointwise

RNG = np.random.default_rng(0)
X = RNG.uniform(0.1, 0.9, (3, 4)).astype(np.float32)
Y = RNG.uniform(0.1, 0.9, (3, 4)).astype(np.float32)
UNARY = [
    "exp",
    "expm1",
    "log",
    "log1p",
    "sqrt",
    "rsqrt",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "erf",
    "erfc",
    "floor",
    "ceil",
    "round",
    "trunc",
    "negative",
    "absolute",
    "sign",
    "relu",
    "isnan",
    "isinf",
    "isfinite",
    "sigmoid",
    "logit",
    "asinh",
    "atanh",
    "square",
    "reciprocal",
    "sinc",
    "deg2rad",
    "rad2deg",
    "log2",
    "log10",
    "exp2",
    "logical_not",
    "signbit",
    "nan_to_num",
    "arcsin",
    "arccos",
    "arctan",
    "neg",
    "abs",
    "clone",
]
BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "floor_divide",
    "remainder",
    "maximum",
    "minimum",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "not_equal",
    "atan2",
    "fmod",
    "hypot",
    "logaddexp",
    "xlogy",
    "copysign",
    "heaviside",
    "sub",
    "mul",
    "div",
    "pow",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "arctan2",
    "logical_and",
    "logical_or",
    "logical_xor",
    "isclose",
    "true_divide",
]
INTEGERS = "add subtract multiply floor_divide remainder maximum minimum bitwise_and bitwise_or "
INTEGERS += "bitwise_xor bitwise_left_shift bitwise_right_shift less eq fmod"


def close(ours, theirs, rtol=2e-6):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype.name == theirs.dtype.name
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=rtol, atol=1e-7)


@pytest.mark.parametrize("name", UNARY)
def test_unary_matches_torch(name):
    found = getattr(am, name)(X)
    close(found, getattr(torch, name)(torch.tensor(X)))
    close(getattr(am.tensor(X), name)(), getattr(torch, name)(torch.tensor(X)))


def test_acosh_matches_torch():
    close(am.acosh(X + 1), torch.acosh(torch.tensor(X + 1)), rtol=3e-6)


@pytest.mark.parametrize("name", BINARY)
def test_binary_matches_torch(name):
    theirs = getattr(torch, name)(torch.tensor(X), torch.tensor(Y))
    close(getattr(am, name)(X, Y), theirs, rtol=4e-6)


@pytest.mark.parametrize("name", INTEGERS.split())
def test_integers_match_torch(name):
    a = np.array([[7, -7, 5], [-3, 2, 0]])
    b = np.array([[2, 2, 3], [5, 1, 4]])
    close(getattr(am, name)(a, b), getattr(torch, name)(torch.tensor(a), torch.tensor(b)))


@pytest.mark.parametrize("name", ["sin", "exp", "sqrt", "log", "tanh"])
def test_floating_functions_take_integers(name):
    x = np.array([1, 2, 3])
    found = getattr(am, name)(x)
    assert found.dtype is am.float32
    close(found, getattr(torch, name)(torch.tensor(x)))


@pytest.mark.parametrize("name", ["floor", "ceil", "round", "trunc"])
def test_rounding_leaves_integers(name):
    found = getattr(am, name)(am.tensor([1, 2]))
    assert found.dtype is am.int64
    assert found.tolist() == [1, 2]


def test_predicates_take_integers():
    x = am.tensor([1, 2])
    assert x.isnan().tolist() == [False, False]
    assert x.isfinite().tolist() == [True, True]


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 4, -1, 0.5, -0.5, 1.7])
def test_powers_match_torch_with_gradients(exponent):
    ours = am.tensor(X, requires_grad=True)
    theirs = torch.tensor(X, requires_grad=True)
    a, b = ours**exponent, theirs**exponent
    close(a, b.detach(), rtol=4e-6)
    a.sum().backward()
    b.sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad, rtol=1e-5)


def test_integer_power_needs_no_negative_exponent():
    assert (am.tensor([1, 2, 3]) ** 3).tolist() == [1, 8, 27]
    assert (2 ** am.tensor([1, 2, 3])).tolist() == [2, 4, 8]
    with pytest.raises(ArgumentError, match=r"integers need an exponent >= 0"):
        am.tensor([1, 2]) ** -1


@pytest.mark.parametrize("mode", [None, "floor", "trunc"])
def test_rounding_modes_of_divide(mode):
    a, b = np.array([7.0, -7.0, 5.0], np.float32), np.array([2.0, 2.0, -3.0], np.float32)
    close(am.div(a, b, rounding_mode=mode), torch.div(*map(torch.tensor, (a, b)),
                                                      rounding_mode=mode))  # fmt: skip


def test_large_integers_are_divided_towards_zero_exactly():
    a = np.array([2**62 + 1, -(2**62) - 1, 7, -7, -7, 6, 0])
    b = np.array([1, 3, -2, 2, -2, -3, 5])
    wanted = torch.div(torch.tensor(a), torch.tensor(b), rounding_mode="trunc")
    assert am.div(a, b, rounding_mode="trunc").tolist() == wanted.tolist()


def test_where_broadcasts_and_promotes():
    c, x, y = np.array([[True], [False]]), np.array([1, 2]), np.float32(0.5)
    close(am.where(c, x, y), torch.where(*map(torch.tensor, (c, x, y))))
    close(am.where(c, X[:2, :2], 0.0), np.where(c, X[:2, :2], np.float32(0)))
    assert am.where(am.tensor([0, 3, 4]) > 0)[0].tolist() == [1, 2]


def test_where_needs_a_bool_condition():
    with pytest.raises(DTypeError, match="the condition is float32; need bool"):
        am.where(am.ones(2), 1.0, 2.0)


def test_clip_takes_both_spellings():
    x = am.tensor([-1.0, 0.5, 2.0])
    assert x.clamp(min=0).tolist() == [0.0, 0.5, 2.0]
    assert am.clip(x, a_min=0, a_max=1).tolist() == [0.0, 0.5, 1.0]
    assert x.clamp(0, am.tensor([0.5, 0.25, 1.0])).tolist() == [0.0, 0.25, 1.0]
    assert x.clip().tolist() == x.tolist()  # as in the Array API


def test_infinities_and_nan():
    x = np.array([np.nan, np.inf, -np.inf, 1.0, -0.0], np.float32)
    y = np.array([1.0, np.inf, -np.inf, np.nan, 0.0], np.float32)
    for name in ("isnan", "isinf", "isfinite", "nan_to_num", "relu", "sigmoid", "signbit"):
        close(getattr(am, name)(x), getattr(torch, name)(torch.tensor(x)))
    for name in ("maximum", "minimum", "logaddexp", "isclose", "copysign"):
        close(getattr(am, name)(x, y), getattr(torch, name)(torch.tensor(x), torch.tensor(y)))
    assert am.allclose(x, x, equal_nan=True)
    assert not am.allclose(x, x)


def test_lerp_addcmul_addcdiv():
    a, b, c = (RNG.normal(size=(2, 3)).astype(np.float32) for _ in range(3))
    ta, tb, tc = map(torch.tensor, (a, b, c))
    close(am.lerp(a, b, 0.3), torch.lerp(ta, tb, 0.3), rtol=1e-5)
    close(am.addcmul(a, b, c, value=0.5), torch.addcmul(ta, tb, tc, value=0.5), rtol=1e-5)
    close(am.addcdiv(a, b, c, value=0.5), torch.addcdiv(ta, tb, tc, value=0.5), rtol=1e-5)


@pytest.mark.parametrize("name", ["add", "sub"])
@pytest.mark.parametrize("alpha", [2, -3, 0])
def test_sums_with_a_factor(name, alpha):
    x, y = np.array([1, 2, 3]), np.array([[4], [5]])
    theirs = getattr(torch, name)(torch.tensor(x), torch.tensor(y), alpha=alpha)
    ours = getattr(am, name)(x, y, alpha=alpha)
    assert (ours.tolist(), ours.dtype) == (theirs.tolist(), am.int64)
    handle = am.tensor(x)
    getattr(handle, f"{name}_")(am.tensor(7), alpha=alpha)
    assert handle.tolist() == getattr(torch.tensor(x), name)(7, alpha=alpha).tolist()


def test_documentation_comes_from_the_op():
    assert am.sin.__doc__.startswith("Sine of an angle in radians")
    assert ">>> f'{am.sin(0.75):.4f}'" in am.sin.__doc__
    assert am.Tensor.sin.__doc__ == am.sin.__doc__
    for name in (*pointwise.__all__, *composite.__all__):
        assert getattr(am, name).__doc__, name


def test_examples_in_generated_documentation_are_true():
    import doctest

    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    for name in pointwise.__all__:
        for example in finder.find(getattr(am, name), name, globs={}):
            runner.run(example)
    assert runner.failures == 0
    assert runner.tries > 100


def test_unknown_names_propose_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'sigmoid'"):
        am.sigmod(1.0)
    with pytest.raises(UnknownNameError, match=r"unknown argument 'maximun'.*Did you mean"):
        am.clip(X, maximun=1)


def test_shapes_that_do_not_broadcast():
    with pytest.raises(ShapeError, match=r"add: shapes \(2,\) and \(3,\) do not broadcast"):
        am.ones(2) + am.ones(3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_slope_of_erf_ends_before_subnormal_numbers(dtype: str) -> None:
    """Far out it is zero, so that GELU's gradients times small ones stay normal numbers."""
    info = np.finfo(dtype)
    x = np.concatenate([np.linspace(-30, 30, 4001), [np.inf, -np.inf, np.nan]]).astype(dtype)
    handle = am.tensor(x, requires_grad=True)
    handle.erf().sum().backward()
    slope = handle.grad.numpy()
    assert np.isnan(slope[-1])
    assert slope[-3:-1].tolist() == [0, 0]
    assert not ((slope != 0) & (np.abs(slope) < info.tiny * 2**24)).any()
    wide = x[:-3].astype(np.longdouble)
    exact = 2 / np.sqrt(np.longdouble(np.pi)) * np.exp(-wide * wide)
    near = np.abs(slope[:-3]) > 0
    np.testing.assert_allclose(slope[:-3][near], exact[near], rtol=2 * info.eps)
    assert exact[~near].max() < info.tiny * 2**28


@pytest.mark.parametrize("number", [-1, 256, 2**70, -(2**70)])
@pytest.mark.parametrize("name", ["uint8", "int16", "int64"])
@pytest.mark.parametrize("compare", ["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"])
def test_comparisons_with_numbers_that_the_dtype_does_not_hold(compare, name, number):
    values = np.array([0, 1, 100, 255]).astype(name)
    found = getattr(am.tensor(values), compare)(number)
    assert found.dtype is am.bool_
    assert found.tolist() == getattr(values, compare)(number).tolist()
