"""grad and value_and_grad, over trees, nested, against torch."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import AmbosError, ArgumentError


@dataclass
class Unknown:
    x: int


def test_gradients_have_the_structure_of_the_argument():
    params = {"w": am.tensor([1.0, 2.0]), "b": [am.tensor(3.0), (am.tensor(4.0),)]}

    def loss(p, x):
        return (p["w"] * x).sum() * p["b"][0] + p["b"][1][0] ** 2

    value, grads = am.value_and_grad(loss)(params, am.tensor([5.0, 6.0]))
    assert value.item() == 67
    assert grads["w"].tolist() == [15, 18]
    assert grads["b"][0].item() == 17
    assert grads["b"][1][0].item() == 8
    assert not value.requires_grad
    assert not grads["w"].requires_grad


def test_argument_numbers():
    def f(x, y):
        return (x * y * y).sum()

    x, y = am.tensor(2.0), am.tensor(3.0)
    assert am.grad(f)(x, y).item() == 9
    assert am.grad(f, argnums=1)(x, y).item() == 12
    assert am.grad(f, argnums=-1)(x, y).item() == 12
    assert [g.item() for g in am.grad(f, argnums=(0, 1))(x, y)] == [9, 12]
    with pytest.raises(ArgumentError, match="argnums names argument 2 of 2"):
        am.grad(f, argnums=2)(x, y)


def test_one_tensor_as_two_arguments():
    x = am.tensor(3.0)
    assert am.grad(lambda a, b: a * b * b)(x, x).item() == 9


def test_python_numbers_are_arguments():
    assert am.grad(lambda x: x**2)(3.0).item() == 6


def test_auxiliary_results():
    def f(x):
        y = x * 2
        return y.sum(), {"y": y, "note": "text"}

    (value, aux), grads = am.value_and_grad(f, has_aux=True)(am.ones(2))
    assert value.item() == 4
    assert aux["y"].tolist() == [2, 2]
    assert not aux["y"].requires_grad
    assert aux["note"] == "text"
    grads, aux = am.grad(f, has_aux=True)(am.ones(2))
    assert grads.tolist() == [2, 2]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_nested_gradients(order):
    f = ours = lambda x: (x**5).sum() if order == 1 else x**5
    for _ in range(order):
        ours = am.grad(ours)
    expected = {1: 80.0, 2: 160.0, 3: 240.0}[order]
    assert ours(am.tensor(2.0)).item() == expected
    assert f


def test_closures_are_constants_to_the_inner_gradient():
    # d/dx [x * d/dy (x * y)] at y = x: the inner derivative is x, not 2 x.
    f = am.grad(lambda x: x * am.grad(lambda y: x * y)(x))
    assert f(am.tensor(3.0)).item() == 6


def test_gradient_penalty_reaches_parameters():
    w = am.tensor([2.0, 3.0], requires_grad=True)
    penalty = (am.grad(lambda x: (w * x * x).sum())(am.tensor([1.0, 1.0])) ** 2).sum()
    penalty.backward()
    theirs = torch.tensor([2.0, 3.0], requires_grad=True)
    ((2 * theirs) ** 2).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), theirs.grad)


def test_gradients_work_under_no_grad():
    with am.no_grad():
        found = am.grad(lambda x: (x * x).sum())(am.tensor([1.0, 2.0], requires_grad=True))
    assert found.tolist() == [2, 4]
    assert not found.requires_grad


def test_values_may_be_looked_at_inside():
    def f(x):
        return (x * x).sum() if float(x.sum()) > 0 else x.sum()

    assert am.grad(f)(am.tensor([1.0, 2.0])).tolist() == [2, 4]
    assert am.grad(f)(am.tensor([-1.0, -2.0])).tolist() == [1, 1]


def test_arguments_that_do_not_matter_have_zero_gradients():
    grads = am.grad(lambda p: p[0].sum())([am.ones(2), am.ones(3)])
    assert [g.tolist() for g in grads] == [[1, 1], [0, 0, 0]]
    assert am.grad(lambda x: am.tensor(1.0))(am.ones(2)).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("fn", "argument", "message"),
    [
        (lambda x: x * 2, am.ones(2), r"returned \(2,\); need a floating scalar"),
        (lambda x: 3.0, am.ones(2), "returned float"),
        (lambda x: x.sum(), am.tensor([1, 2]), "argument 0 is int64; need a floating dtype"),
        (lambda x: 0, {"a": ["x"]}, r"argument 0\['a'\]\[0\] is 'x'; need tensors or numbers"),
        (lambda x: 0, {"a": Unknown(3)}, r"argument 0\['a'\] is Unknown, a dataclass that trees"),
    ],
)
def test_errors(fn, argument, message):
    with pytest.raises(AmbosError, match=message):
        am.grad(fn)(argument)


def test_hessian_matches_torch():
    a = np.array([0.3, 0.7], np.float32)

    def f(x):
        return (x[0] * x[1]).sin() + x[0] ** 3

    rows = [am.grad(lambda x, i=i: am.grad(f)(x)[i])(am.tensor(a)).numpy() for i in range(2)]
    theirs = torch.autograd.functional.hessian(f, torch.tensor(a))
    np.testing.assert_allclose(rows, theirs, rtol=1e-5)
