"""jvp, vjp, linearize, hvp, jacobians: what they refuse, what they cost, what they keep. Values are
in tests/parity/test_transforms_jax.py."""

from __future__ import annotations

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import AmbosError, ArgumentError, ArgumentTypeError, GradientError
from ambos.graph.node import toposort
from ambos.tensor import realize

X, Y = am.tensor([1.0, 2.0]), am.tensor([3.0, -1.0])
PARAMS = {"w": am.tensor([1.0, 2.0]), "b": [am.tensor(0.5)]}


def affine(p, x):
    return p["w"] * x + p["b"][0]


# --- misuse --------------------------------------------------------------------------------------

MISUSE = {
    "a function": (
        lambda: am.jvp(3, (X,), (X,)), ArgumentTypeError, "jvp: got int; need a function"),
    "primals in a tuple": (
        lambda: am.jvp(am.sin, X, X), ArgumentTypeError,
        r"primals is a Tensor; need a tuple with one for each argument: \(primal,\)"),
    "as many tangents": (
        lambda: am.jvp(am.sin, (X,), (X, X)), GradientError, "got 2 tangents for 1 primals"),
    "shapes": (
        lambda: am.jvp(affine, (PARAMS, X), ({"w": am.ones(3), "b": [am.tensor(1.0)]}, X)),
        ArgumentError,
        r"tangents\[0\]\['w'\] is float32\[3\], primals\[0\]\['w'\] is float32\[2\]"),
    "dtypes": (
        lambda: am.jvp(am.sin, (X,), (X.double(),)), ArgumentError,
        r"tangents\[0\] is float64\[2\], primals\[0\] is float32\[2\]; need equal"),
    "structures": (
        lambda: am.jvp(affine, (PARAMS, X), ({"w": X}, X)), ArgumentError,
        r"primals\[0\] has a dict with the keys 'b', 'w', tangents\[0\] a dict with the keys 'w'"),
    "floating primals": (
        lambda: am.jvp(am.sin, (am.tensor([1, 2]),), (X,)), GradientError,
        r"primals\[0\] is int64; need a floating dtype"),
    "text": (lambda: am.vjp(am.sin, "x"), GradientError, "argument 0 is 'x'; need tensors"),
    "cotangents": (
        lambda: am.vjp(am.sin, X)[1](am.ones(3)), ArgumentError,
        r"the cotangent is float32\[3\], the value is float32\[2\]"),
    "a structure of cotangents": (
        lambda: am.vjp(lambda x: (x, x), X)[1](X), ArgumentError,
        "the value has a tuple of 2, the cotangent a leaf"),
    "tangents of linearize": (
        lambda: am.linearize(am.sin, X)[1](X, X), GradientError, "got 2 tangents for 1 primals"),
    "no result": (
        lambda: am.vjp(lambda x: None, X), GradientError, "returned None; need a tensor.*return"),
    "results that are tensors": (
        lambda: am.jvp(lambda x: (x, "text"), (X,), (X,)), ArgumentTypeError,
        r"result\[1\] is a str; need tensors: return \(value, the rest\) and say has_aux"),
    "has_aux without a pair": (
        lambda: am.jvp(am.sin, (X,), (X,), has_aux=True), ArgumentError,
        r"jvp: has_aux=True, but the function returned Tensor; need a pair"),
    "has_aux with three": (
        lambda: am.grad(lambda x: (x.sum(), 1, 2), has_aux=True)(X), ArgumentError,
        "returned a tuple of 3; need a pair"),
    "a scalar loss": (
        lambda: am.grad(am.sin)(X), GradientError,
        r"returned \(2,\); need a floating scalar tensor: reduce it with .sum\(\)"),
    "a loss at all": (lambda: am.grad(lambda x: None)(X), GradientError, "is a return missing"),
    "a real loss": (
        lambda: am.grad(lambda z: z.sum())(am.tensor([1 + 2j])), GradientError,
        r"returned complex64; need a real scalar: .*am.jvp\(f, \(z,\)"),
    "each argument once": (
        lambda: am.grad(am.sin, argnums=(0, -1))(X), ArgumentError, "names an argument twice"),
    "argnums in range": (
        lambda: am.jacrev(am.sin, argnums=1)(X), ArgumentError, "argument 1 of 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_explained_and_leaves_nothing_behind(name):
    call, error, message = MISUSE[name]
    with pytest.raises(error, match=message):
        call()
    assert am.is_grad_enabled()
    assert am.grad(lambda x: (x**2).sum())(X).tolist() == [2, 4]


def test_what_the_function_raises_passes_through():
    def broken(x):
        raise KeyError("mine")

    for call in (
        lambda: am.jvp(broken, (X,), (X,)), lambda: am.vjp(broken, X),
        lambda: am.linearize(broken, X), lambda: am.jacfwd(broken)(X), lambda: am.hvp(broken, X, X),
    ):  # fmt: skip
        with pytest.raises(KeyError, match="mine"):
            call()
    assert am.is_grad_enabled()


# --- what results are ----------------------------------------------------------------------------


def test_results_are_constants_unless_something_outside_is_differentiated():
    w = am.tensor([1.0, 1.0], requires_grad=True)
    for result in (
        *am.jvp(am.sin, (X,), (X,)), am.vjp(am.sin, X)[1](X)[0], am.linearize(am.sin, X)[1](X),
        am.jacrev(am.sin)(X), am.hvp(lambda x: (x**3).sum(), X, X),
    ):  # fmt: skip
        assert not result.requires_grad
    value, tangent = am.jvp(lambda x: x * w, (X,), (Y,))
    assert value.requires_grad
    tangent.sum().backward()
    assert w.grad.tolist() == Y.tolist()
    with am.no_grad():
        value, tangent = am.jvp(lambda x: x * w, (X,), (Y,))
    assert not value.requires_grad
    assert tangent.tolist() == Y.tolist()


def test_python_numbers_are_primals_and_tangents():
    value, tangent = am.jvp(lambda x, y: x * y, (2.0, am.tensor(3.0)), (1.0, 10))
    assert (value.item(), tangent.item()) == (6, 23)


def test_what_does_not_depend_has_zeros_for_a_derivative():
    assert am.jvp(lambda x: am.ones(3), (X,), (X,))[1].tolist() == [0, 0, 0]
    assert am.vjp(lambda x: am.ones(3), X)[1](am.ones(3))[0].tolist() == [0, 0]
    assert am.linearize(lambda x: am.ones(3), X)[1](X).tolist() == [0, 0, 0]
    assert am.jvp(lambda x: am.floor(x), (X,), (X,))[1].tolist() == [0, 0]


def test_a_pullback_and_a_pushforward_are_linear_functions_that_differentiate():
    """By the cotangent as well, and once more."""
    _, pull = am.vjp(am.sin, am.tensor(1.0))
    _, push = am.linearize(am.sin, am.tensor(1.0))
    for linear in (lambda g: pull(g)[0], push):
        slope = am.grad(lambda g: linear(g) ** 2)(am.tensor(3.0))  # noqa: B023
        assert slope.item() == pytest.approx(2 * 3 * np.cos(1) ** 2, 1e-6)
        assert not slope.requires_grad


def test_the_values_that_a_pushforward_multiplies_with_are_computed_once():
    counted = am.tensor(np.full((50, 50), 0.5))
    value, push = am.linearize(lambda x: am.exp(am.sin(x @ x)), counted)
    am.evaluate(value)
    for _ in range(2):
        moved = push(am.ones_like(counted))
        pending = toposort([moved._node], stop=lambda node: node.value is not None)
        names = [node.op.name for node in pending if node.value is None]
        assert "exp" not in names
        assert "cos" not in names
        assert names.count("contract") == 2  # dx @ x and x @ dx
        am.evaluate(moved)


def test_hvp_takes_a_tuple_or_one_argument():
    def f(x, y):
        return (x**2 * y).sum()

    assert am.hvp(lambda x: f(x, Y), X, X).tolist() == [6, -4]
    by_x, by_y = am.hvp(f, (X, Y), (X, Y))
    assert by_x.tolist() == [12, -8]
    assert by_y.tolist() == [2, 8]
    assert isinstance(am.hvp(lambda d: (d["x"] ** 3).sum(), {"x": X}, {"x": Y}), dict)


def test_modules_are_primals_whose_buffers_stay():
    net = am.nn.Sequential(am.nn.Linear(2, 3), am.nn.BatchNorm1d(3))
    x = am.rand(4, 2)
    direction = am.tree.map(am.ones_like, net)
    value, tangent = am.jvp(lambda m: m(x), (net,), (direction,))
    assert value.shape == tangent.shape == (4, 3)
    grads = am.grad(lambda m: m(x).sum())(net)
    assert am.tree.structure(grads) == am.tree.structure(net)


def test_forward_mode_costs_about_two_forwards():
    """In kernels and operations: a layer's tangent is two contractions beside the forward's one."""
    w, x = am.rand(32, 32), am.rand(8, 32)
    am.evaluate(w, x)

    def net(w):
        return am.softmax(am.tanh(x @ w) @ w, axis=-1)

    value, tangent = am.jvp(net, (w,), (w,))
    names = [node.op.name for node in toposort([value._node, tangent._node])]
    assert names.count("contract") == 2 + 3  # x has no tangent
    assert names.count("tanh") == 1
    assert names.count("exp") == 1


def test_jacobians_in_chunks_are_the_same():
    x = am.tensor(np.linspace(0, 1, 5))
    for transform in (am.jacrev, am.jacfwd):
        whole = transform(lambda x: am.sin(x) * x.sum())(x)
        chunked = transform(lambda x: am.sin(x) * x.sum(), chunk_size=2)(x)
        np.testing.assert_array_equal(whole.numpy(), chunked.numpy())


def test_jacobian_of_nothing():
    assert am.jacrev(lambda x: x)(am.zeros(0)).shape == (0, 0)
    assert am.jacfwd(lambda x: x[:0])(X).shape == (0, 2)


def test_a_new_function_at_every_step_makes_no_new_program():
    def step(value):
        x = am.tensor([value, 1.0])
        return am.hvp(lambda x: (x**3).sum(), x, x).tolist()

    step(1.0)
    before = realize.planning.programs
    assert [step(value)[0] for value in (2.0, 3.0)] == [24, 54]
    assert realize.planning.programs == before


def test_errors_are_of_one_family():
    assert all(issubclass(error, AmbosError) for _, error, _ in MISUSE.values())
