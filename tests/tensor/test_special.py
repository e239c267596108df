"""`am.special` and the functions about numbers, against PyTorch's operator database."""

import numpy as np
import pytest
import scipy.special
import torch
from torch.testing._internal.common_methods_invocations import op_db

import ambos as am
from ambos.core.errors import ArgumentError, DTypeError
from tests.parity.database import making_samples

# PyTorch's entry: ours. Those with derivatives are compared in float64 too.
UNARY = {
    "special.airy_ai": "airy_ai", "special.bessel_j0": "bessel_j0",
    "special.bessel_j1": "bessel_j1", "special.bessel_y0": "bessel_y0",
    "special.bessel_y1": "bessel_y1", "special.entr": "entr", "special.erfcx": "erfcx",
    "special.i0e": "i0e", "special.i1": "i1", "special.i1e": "i1e",
    "special.log_ndtr": "log_ndtr", "special.modified_bessel_i0": "modified_bessel_i0",
    "special.modified_bessel_i1": "modified_bessel_i1",
    "special.modified_bessel_k0": "modified_bessel_k0",
    "special.modified_bessel_k1": "modified_bessel_k1", "special.ndtr": "ndtr",
    "special.ndtri": "ndtri",
    "special.scaled_modified_bessel_k0": "scaled_modified_bessel_k0",
    "special.scaled_modified_bessel_k1": "scaled_modified_bessel_k1",
    "special.spherical_bessel_j0": "spherical_bessel_j0", "digamma": "digamma",
    "erfc": "erfc", "erfinv": "erfinv", "lgamma": "lgamma", "i0": "modified_bessel_i0",
}  # fmt: skip
TOP = [
    "copysign",
    "fmax",
    "fmin",
    "gcd",
    "lcm",
    "logaddexp2",
    "nextafter",
    "frac",
    "signbit",
    "igamma",
    "igammac",
    "xlogy",
    "mvlgamma",
    "polygamma",
]
POLYNOMIALS = [op.name for op in op_db if "polynomial" in op.name]
# Our own choices where PyTorch's gradient is a convention or missing.
NO_GRADIENT = {"special.airy_ai", "nextafter", "special.spherical_bessel_j0"}


def entries(name):
    return [op for op in op_db if op.name == name]


def ours(value):
    if isinstance(value, torch.Tensor):
        return am.tensor(value.detach().numpy(), requires_grad=value.requires_grad)
    return value


def function_of(name):
    if name in TOP:
        return getattr(am, name)
    return getattr(am.special, UNARY.get(name, name.removeprefix("special.")))


def calls(op, name, sample):
    inputs = [sample.input, *sample.args]
    if name == "polygamma" and isinstance(sample.input, torch.Tensor):
        inputs = [sample.args[0], sample.input, *sample.args[1:]]
    return inputs, {k: v for k, v in sample.kwargs.items() if k != "out"}


def compare(found, wanted, rtol, message, atol=None):
    if isinstance(wanted, (tuple, list)):
        for a, b in zip(found, wanted, strict=True):
            compare(a, b, rtol, message)
        return
    theirs = wanted.detach().numpy()
    assert found.numpy().dtype == theirs.dtype, message
    np.testing.assert_allclose(
        found.detach().numpy(), theirs, rtol=rtol, atol=rtol if atol is None else atol,
        err_msg=message,
    )  # fmt: skip


def check(name, dtype, rtol, limit=40):
    for op in entries(name):
        if dtype not in op.supported_dtypes("cpu"):
            continue
        gradient = dtype.is_floating_point and op.supports_autograd and name not in NO_GRADIENT
        with making_samples():
            samples = list(op.sample_inputs("cpu", dtype, requires_grad=gradient))
        step = max(1, len(samples) // limit)
        trials = [trial(op, name, sample, rtol, gradient) for sample in samples[::step]]
        am.evaluate(*[found for calls in trials for found, *_ in calls])  # in one program
        for found, wanted, *how in (call for calls in trials for call in calls):
            compare(found, wanted, *how)


def trial(op, name, sample, rtol, gradient):
    """What there is to compare of a sample: the result and the slopes of its sum."""
    inputs, kwargs = calls(op, name, sample)
    mine = [ours(x) for x in inputs]
    wanted = op(sample.input, *sample.args, **sample.kwargs)
    found = function_of(name)(*mine, **kwargs)
    message = f"{name}({inputs}, {kwargs})"
    made = (
        [*zip(found, wanted, strict=True)]
        if isinstance(wanted, (tuple, list))
        else [(found, wanted)]
    )
    pairs = [(a, b, rtol, message) for a, b in made]
    if gradient and isinstance(wanted, torch.Tensor) and wanted.requires_grad:
        wanted.sum().backward()
        found.sum().backward()
        for a, b in zip(mine, inputs, strict=True):
            if isinstance(b, torch.Tensor) and b.grad is not None:
                slope = am.zeros_like(a) if a.grad is None else a.grad
                pairs.append((slope, b.grad, 10 * rtol, message, 1e-4))
                b.grad = None
    return pairs


@pytest.mark.parametrize("name", [*UNARY, *TOP, "special.zeta", "special.xlog1py"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64], ids=str)
def test_operator_database(name, dtype):
    check(name, dtype, 3e-5)


DOUBLE = [
    "lgamma",
    "digamma",
    "erfinv",
    "special.ndtri",
    "special.i1e",
    "special.log_ndtr",
    "special.erfcx",
    "polygamma",
    "igamma",
]


@pytest.mark.parametrize("name", DOUBLE)
def test_operator_database_in_float64(name):
    check(name, torch.float64, 1e-9)


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials_of_the_operator_database(name):
    check(name, torch.float32, 2e-4, limit=6)


def test_polynomials_of_a_number_have_gradients():
    from scipy import special as sp

    x = am.tensor(np.linspace(-0.9, 0.9, 7), requires_grad=True)
    am.special.legendre_polynomial_p(x, 5).sum().backward()
    slope = [sp.legendre(5).deriv()(v) for v in np.linspace(-0.9, 0.9, 7)]
    np.testing.assert_allclose(x.grad.numpy(), slope, rtol=1e-12, atol=1e-12)
    for n in (-1, 0, 1, 2, 7):
        unrolled = am.special.hermite_polynomial_h(am.tensor([0.3, 1.2]), n).numpy()
        counted = am.special.hermite_polynomial_h(am.tensor([0.3, 1.2]), am.tensor(n)).numpy()
        np.testing.assert_allclose(unrolled, counted, rtol=1e-5)
    with pytest.raises(ArgumentError, match=r"n is 1\.5; need a whole number"):
        am.special.laguerre_polynomial_l(1.0, 1.5)


def test_names_of_torch_special():
    missing = [n for n in dir(torch.special) if not n.startswith("_") and n.islower()
               and callable(getattr(torch.special, n)) and not hasattr(am.special, n)]  # fmt: skip
    assert set(missing) <= {"common_args", "multi_dim_common", "tensor"}
    for name in ("lgamma", "digamma", "erfinv", "erfc", "i0", "mvlgamma", "igamma", "frac"):
        assert hasattr(am.Tensor, name)
        assert hasattr(am, name)
    assert am.tensor([2.5]).polygamma(1).shape == (1,)
    x = am.tensor([2.5])
    x.lgamma_()
    assert abs(x.item() - 0.2846829) < 1e-6


def test_errors_name_the_fix():
    with pytest.raises(ArgumentError, match=r"polygamma: n is -1; need n >= 0"):
        am.polygamma(-1, am.ones(2))
    with pytest.raises(ArgumentError, match=r"polygamma: n is tensor.*polygamma\(n, x\)"):
        am.polygamma(am.ones(2), 1)
    with pytest.raises(ArgumentError, match="mvlgamma: p is 0; need a whole number >= 1"):
        am.mvlgamma(am.ones(2), 0)
    with pytest.raises(DTypeError, match="nextafter: got float16; need float32 or float64"):
        am.nextafter(am.ones(2).half(), am.ones(2).half())
    with pytest.raises(DTypeError, match="gcd: got float32"):
        am.gcd(am.ones(2), 1)
    with pytest.raises(DTypeError, match="frac: got int64; need a floating dtype"):
        am.frac(am.tensor([1]))


def test_second_derivatives():
    """lgamma'' is trigamma; that of the others by torch."""
    x = np.linspace(0.3, 4, 9)
    for name in ("lgamma", "digamma", "erfinv"):
        values = x / 5 if name == "erfinv" else x
        theirs = torch.tensor(values, requires_grad=True)
        (slope,) = torch.autograd.grad(
            getattr(torch, name)(theirs).sum(), theirs, create_graph=True
        )
        (wanted,) = torch.autograd.grad(slope.sum(), theirs)
        mine = am.tensor(values, requires_grad=True)
        (slope,) = am.autograd.grad(getattr(am, name)(mine).sum(), mine, create_graph=True)
        (found,) = am.autograd.grad(slope.sum(), mine)
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-8)


def test_erfcx_grows_beyond_every_number():
    x = np.array([-1e5, -30.0, -26.7, -26.5, -9.5])
    found = am.special.erfcx(am.tensor(x)).numpy()
    np.testing.assert_allclose(found, scipy.special.erfcx(x), rtol=1e-13)
