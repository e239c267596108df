"""Transforms of functions, composed two and three deep, against JAX."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.parity.transforms import Program, check

POINT = np.array([0.3, -0.7, 1.1])
OTHER = np.array([0.5, 0.2, -0.4])
MATRIX = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, -0.2], [0.1, -0.2, 1.2]])
WEIGHTS = {"w": np.arange(6.0).reshape(3, 2) / 7 - 0.3, "b": [np.array([0.1, -0.2])]}


class Pair(NamedTuple):
    left: Any
    right: Any


# --- functions -----------------------------------------------------------------------------------


def wave(n: Any) -> Any:
    return lambda x: (n.sin(x) * x[::-1] ** 3 + n.tanh(x * x[0])).sum()


def vector(n: Any) -> Any:
    return lambda x: n.stack([x[0] * x[1], n.exp(x[2]) * x[0], (x**2).sum(), n.sin(x[1])])


def layer(n: Any) -> Any:
    return lambda p, x: n.tanh(x @ p["w"] + p["b"][0])


def loss(n: Any) -> Any:
    return lambda p, x: (layer(n)(p, x) ** 2).sum() + (p["w"] ** 3).sum()


def scalar(n: Any) -> Any:
    return lambda x: n.sin(x) * x**2 + n.exp(-x)


def params(n: Any) -> Any:
    return {"w": n.array(WEIGHTS["w"]), "b": [n.array(WEIGHTS["b"][0])]}


def ones(n: Any, tree: Any) -> Any:
    return n.tree.map(n.ones_like, tree)


CASES: dict[str, Program] = {}


def case(name: str) -> Any:
    def add(program: Program) -> Program:
        assert name not in CASES
        CASES[name] = program
        return program

    return add


# --- one transform, and what it takes ------------------------------------------------------------

for _transform in ("grad", "value_and_grad", "jacfwd", "jacrev", "hessian"):
    CASES[_transform] = lambda n, t=_transform: getattr(n, t)(wave(n), argnums=-1)(n.array(POINT))
for _transform, _numbers in (
    ("grad", 0), ("grad", (1, 0)), ("value_and_grad", (0, 1)), ("jacfwd", (0, 1)),
    ("jacrev", (1,)), ("hessian", (1, 0)),
):  # fmt: skip
    CASES[f"{_transform} by {_numbers}"] = lambda n, t=_transform, k=_numbers: getattr(n, t)(
        loss(n), argnums=k
    )(params(n), n.array(POINT))
for _transform in ("jacfwd", "jacrev"):
    CASES[f"{_transform} of a layer"] = lambda n, t=_transform: getattr(n, t)(layer(n), (0, 1))(
        params(n), n.array(POINT)
    )
    CASES[f"{_transform} of a vector, twice"] = lambda n, t=_transform: getattr(n, t)(
        getattr(n, t)(vector(n))
    )(n.array(POINT))

CASES |= {
    "jvp": lambda n: n.jvp(vector(n), (n.array(POINT),), (n.array(OTHER),)),
    "jvp of a tree": lambda n: n.jvp(layer(n), (params(n), n.array(POINT)),
                                     (params(n), n.array(OTHER))),
    "vjp": lambda n: n.vjp(vector(n), n.array(POINT))[1](n.array([1.0, 2.0, -1.0, 0.5])),
    "vjp of a tree": lambda n: n.vjp(layer(n), params(n), n.array(POINT))[1](n.array([1.0, -2.0])),
    "linearize": lambda n: n.linearize(vector(n), n.array(POINT))[1](n.array(OTHER)),
    "linearize of a tree": lambda n: n.linearize(layer(n), params(n), n.array(POINT))[1](
        params(n), n.array(OTHER)),
    "hvp": lambda n: n.hvp(wave(n), n.array(POINT), n.array(OTHER)),
    "stop_gradient": lambda n: n.grad(lambda x: (x * n.stop_gradient(n.sin(x))).sum())(
        n.array(POINT)),
    "checkpoint": lambda n: n.grad(n.checkpoint(wave(n)))(n.array(POINT)),
}  # fmt: skip


# --- scalars to any order, in any mix of modes ---------------------------------------------------

MODES = {
    "g": lambda n, f: n.grad(f),
    "f": lambda n, f: lambda x: n.jvp(f, (x,), (n.ones_like(x),))[1],
    "v": lambda n, f: lambda x: n.vjp(f, x)[1](n.ones_like(x))[0],
    "l": lambda n, f: lambda x: n.linearize(f, x)[1](n.ones_like(x)),
    "c": lambda n, f: n.grad(n.checkpoint(f)),
}


def chained(n: Any, word: str) -> Any:
    f = scalar(n)
    for mode in word:
        f = MODES[mode](n, f)
    return f(n.array(0.7))


for _word in ("gg", "gf", "fg", "ff", "vg", "gl", "fc", "gfg", "fgf", "lvf", "vlg", "cgf", "fcg",
              "gggg", "fgfg", "gcfl"):  # fmt: skip
    CASES[f"derivatives {_word}"] = partial(chained, word=_word)


# --- composed ------------------------------------------------------------------------------------

CASES |= {
    "jacfwd of jacrev": lambda n: n.jacfwd(n.jacrev(wave(n)))(n.array(POINT)),
    "grad of a jvp": lambda n: n.grad(lambda x: n.jvp(wave(n), (x,), (n.array(OTHER),))[1])(
        n.array(POINT)),
    "jvp of a vjp": lambda n: n.jvp(lambda x: n.vjp(vector(n), x)[1](n.ones(4))[0],
                                    (n.array(POINT),), (n.array(OTHER),))
    if n.name == "jax" else n.jvp(lambda x: n.vjp(vector(n), x)[1](n.array(np.ones(4)))[0],
                                  (n.array(POINT),), (n.array(OTHER),)),
    "vjp of a jvp": lambda n: n.vjp(
        lambda x, t: n.jvp(vector(n), (x,), (t,)), n.array(POINT), n.array(OTHER)
    )[1]((n.array([1.0, 2.0, 3.0, 4.0]), n.array([0.5, 0.1, -0.2, 1.0]))),
    "vjp of a pullback, by its cotangent": lambda n: n.vjp(
        lambda g: n.vjp(vector(n), n.array(POINT))[1](g)[0], n.array([1.0, 2.0, 3.0, 4.0])
    )[1](n.array(OTHER)),
    "vmap of grad": lambda n: n.vmap(n.grad(wave(n)))(n.outer(n.array(OTHER), n.array(POINT))),
    "vmap of hessian": lambda n: n.vmap(n.hessian(wave(n)))(
        n.outer(n.array(OTHER), n.array(POINT))),
    "vmap of jvp": lambda n: n.vmap(lambda t: n.jvp(vector(n), (n.array(POINT),), (t,))[1])(
        n.array(np.eye(3))),
    "vmap of a pullback": lambda n: n.vmap(n.vjp(vector(n), n.array(POINT))[1])(n.array(np.eye(4))),
    "per-example gradients": lambda n: n.vmap(n.grad(loss(n)), in_axes=(None, 0))(
        params(n), n.outer(n.array(OTHER), n.array(POINT))),
    "grad of vmap": lambda n: n.grad(
        lambda p, x: (n.vmap(layer(n), in_axes=(None, 0))(p, x) ** 2).sum())(
        params(n), n.outer(n.array(OTHER), n.array(POINT))),
    "jvp of vmap of grad": lambda n: n.jvp(n.vmap(n.grad(wave(n))),
        (n.outer(n.array(OTHER), n.array(POINT)),), (n.outer(n.array(POINT), n.array(OTHER)),)),
    "jacrev of vmap of grad": lambda n: n.jacrev(n.vmap(n.grad(wave(n))))(
        n.outer(n.array(OTHER[:2]), n.array(POINT))),
    "jit of vmap of grad of checkpoint": lambda n: n.jit(n.vmap(n.grad(n.checkpoint(wave(n)))))(
        n.outer(n.array(OTHER), n.array(POINT))),
}  # fmt: skip


# --- closures, aliases, values on the way --------------------------------------------------------


@case("perturbations are told apart")
def _(n: Any) -> Any:
    return n.grad(lambda x: x * n.grad(lambda y: x * y)(n.array(2.0)))(n.array(3.0))


@case("perturbations are told apart in forward mode")
def _(n: Any) -> Any:
    def inner(x: Any) -> Any:
        return n.jvp(lambda y: x * y**2, (x,), (n.ones_like(x),))[1]

    return n.jvp(lambda x: x * inner(x), (n.array(3.0),), (n.array(1.0),))


@case("one tensor as two arguments")
def _(n: Any) -> Any:
    x = n.array(POINT)
    return n.jvp(lambda a, b: a * n.sin(b), (x, x), (n.array(OTHER), n.ones_like(x)))


@case("the value inside is used outside")
def _(n: Any) -> Any:
    def outer(x: Any) -> Any:
        value, slope = n.value_and_grad(lambda y: (n.sin(y) * x).sum())(x * 2)
        return (value * slope).sum()

    return n.grad(outer)(n.array(POINT))


@case("auxiliary results")
def _(n: Any) -> Any:
    def f(x: Any) -> Any:
        return (x**3).sum(), {"sin": n.sin(x), "twice": [2 * x]}

    x = n.array(POINT)
    return [
        n.grad(f, has_aux=True)(x), n.value_and_grad(f, has_aux=True)(x),
        n.jacrev(f, has_aux=True)(x), n.jacfwd(f, has_aux=True)(x),
        n.hessian(f, has_aux=True)(x), n.jvp(f, (x,), (x,), has_aux=True),
        n.vjp(f, x, has_aux=True)[2], n.vjp(f, x, has_aux=True)[1](n.array(2.0)),
    ]  # fmt: skip


@case("auxiliary results are differentiated outside")
def _(n: Any) -> Any:
    def outer(x: Any) -> Any:
        slope, aux = n.grad(lambda y: ((y**2 * x).sum(), n.sin(y)), has_aux=True)(x)
        return (slope * aux).sum()

    return n.grad(outer)(n.array(POINT))


@case("keyword arguments")
def _(n: Any) -> Any:
    return n.grad(lambda x, *, k: (x**2 * k).sum())(n.array(POINT), k=n.array(OTHER))


@case("named tuples and ordered dicts")
def _(n: Any) -> Any:
    def f(p: Any, d: Any) -> Any:
        return Pair((p.left * d["b"]).sum() * p.right, [d["a"] * p.left])

    p = Pair(n.array(POINT), n.array(2.0))
    d = OrderedDict(b=n.array(OTHER), a=n.array(POINT))
    value, pull = n.vjp(f, p, d)
    return [n.jacrev(f, (0, 1))(p, d), n.jacfwd(f, (0, 1))(p, d), pull(value),
            n.jvp(f, (p, d), (p, d))]  # fmt: skip


@case("None in a tree")
def _(n: Any) -> Any:
    return n.grad(lambda d: (d["x"] ** 2).sum())({"x": n.array(POINT), "y": None})


@case("nested lists, twice")
def _(n: Any) -> Any:
    def f(t: Any) -> Any:
        return (t[0] * t[1][0]).sum() ** 2

    return n.hessian(f)([n.array(POINT), (n.array(OTHER),)])


@case("pushforward called for several tangents")
def _(n: Any) -> Any:
    value, push = n.linearize(vector(n), n.array(POINT))
    return [value, push(n.array(POINT)), push(n.array(OTHER))]


@case("a gradient step inside a gradient")
def _(n: Any) -> Any:
    x = n.array(POINT)

    def adapted(p: Any) -> Any:
        inner = n.grad(loss(n))(p, x)
        fast = n.tree.map(lambda a, b: a - 0.1 * b, p, inner)
        return loss(n)(fast, x * 2)

    return n.value_and_grad(adapted)(params(n))


@case("linear algebra in both modes")
def _(n: Any) -> Any:
    def f(a: Any) -> Any:
        return n.cholesky(n.inv(a @ a.T)).sum() + n.det(a) * n.solve(a, n.eye(3) * 1.0).sum()

    a = n.array(MATRIX)
    return [n.jvp(f, (a,), (a * 0.3,)), n.grad(f)(a)]


@case("softmax, sorting, extremes, running sums in both modes")
def _(n: Any) -> Any:
    def f(x: Any) -> Any:
        ranked = n.sort(n.softmax(x)) * n.arange(3)
        return ranked.sum() + n.max(x * x) + (n.cumsum(x) ** 2).sum() + n.prod(x)

    return [n.hessian(f)(n.array(POINT)), n.jvp(f, (n.array(POINT),), (n.array(OTHER),))]


@case("complex numbers")
def _(n: Any) -> Any:
    z, t = n.array(np.array([1 + 2j, -0.5j])), n.array(np.array([0.3 - 1j, 2.0 + 0j]))
    return n.jvp(lambda z: (n.exp(z) * z**2, n.abs(z), n.real(z * 1j)), (z,), (t,))


# --- rules of one's own --------------------------------------------------------------------------


def scaled_rule(n: Any, wraps: bool = True) -> Any:
    """sin(x) y, the derivative by x doubled, so that it tells who asks the rule."""

    @n.custom_vjp
    def f(x: Any, y: Any) -> Any:
        return n.sin(x) * y

    def fwd(x: Any, y: Any) -> Any:
        value = f(x, y) if wraps else n.sin(x) * y
        return value, (n.cos(x), n.sin(x), y)

    def bwd(residuals: Any, g: Any) -> Any:
        cosine, sine, y = residuals
        return 2 * cosine * g * y, sine * g

    f.defvjp(fwd, bwd)
    return f


def scaled_tangent(n: Any) -> Any:
    @n.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return n.sin(x) * y

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x, y), (tx, ty) = primals, tangents
        return f(x, y), 2 * n.cos(x) * tx * y + n.sin(x) * ty

    return f


RULES = {
    "custom_vjp": scaled_rule, "custom_vjp raw": partial(scaled_rule, wraps=False),
    "custom_jvp": scaled_tangent,
}  # fmt: skip


def squared(f: Any) -> Any:
    return lambda x, y: f(x, y) ** 2 * x


for _name, _rule in RULES.items():
    CASES |= {
        f"{_name}: grad": lambda n, r=_rule: n.grad(r(n), (0, 1))(n.array(0.3), n.array(0.5)),
        f"{_name}: grad of grad": lambda n, r=_rule: n.grad(n.grad(squared(r(n))))(
            n.array(0.3), n.array(0.5)),
        f"{_name}: vmap of grad": lambda n, r=_rule: n.vmap(
            n.grad(squared(r(n)), (0, 1)), in_axes=(0, None))(n.array(POINT), n.array(0.5)),
        f"{_name}: jacrev of grad of vmap": lambda n, r=_rule: n.jacrev(n.grad(
            lambda x, y: n.vmap(squared(r(n)), in_axes=(0, None))(x, y).sum(), (0, 1)), 1)(
            n.array(POINT), n.array(0.5)),
        f"{_name}: vmap of vmap of grad": lambda n, r=_rule: n.vmap(n.vmap(
            n.grad(squared(r(n))), in_axes=(0, None)), in_axes=(None, 0))(
            n.array(POINT), n.array(OTHER)),
        f"{_name}: jit of grad": lambda n, r=_rule: n.jit(n.grad(squared(r(n))))(
            n.array(0.3), n.array(0.5)),
        f"{_name}: grad of checkpoint": lambda n, r=_rule: n.grad(n.checkpoint(squared(r(n))))(
            n.array(0.3), n.array(0.5)),
    }  # fmt: skip

_AT = (0.3, 0.5)
CASES |= {
    "jvp of grad of custom_vjp raw": lambda n: n.jvp(
        n.grad(squared(scaled_rule(n, wraps=False)), (0, 1)),
        tuple(map(n.array, _AT)), tuple(map(n.array, (1.0, -2.0)))),
    "custom_jvp: jvp": lambda n: n.jvp(
        squared(scaled_tangent(n)), tuple(map(n.array, _AT)), tuple(map(n.array, (1.0, -2.0)))),
    "custom_jvp: jvp of jvp": lambda n: n.jvp(
        lambda x, y: n.jvp(squared(scaled_tangent(n)), (x, y), (y, x)),
        tuple(map(n.array, _AT)), tuple(map(n.array, (1.0, -2.0)))),
    "custom_jvp: hessian": lambda n: n.hessian(squared(scaled_tangent(n)), (0, 1))(
        *map(n.array, _AT)),
    "custom_jvp: vmap of jacfwd": lambda n: n.vmap(n.jacfwd(squared(scaled_tangent(n))),
                                                   in_axes=(0, None))(n.array(POINT), n.array(0.5)),
    "custom_jvp inside custom_vjp": lambda n: n.grad(_nested(n))(n.array(0.4)),
    "custom_jvp inside custom_vjp, twice": lambda n: n.grad(n.grad(_nested(n)))(n.array(0.4)),
}  # fmt: skip


def _nested(n: Any) -> Any:
    inner = scaled_tangent(n)

    @n.custom_vjp
    def f(x: Any) -> Any:
        return inner(x, x) ** 2

    f.defvjp(lambda x: (f(x), x), lambda x, g: (g * inner(x, 3 * x),))
    return lambda x: f(x) * x


def looped(n: Any, f: Any) -> Any:
    """f again and again, in a loop: its value at the end."""
    return lambda x, ys: n.scan(lambda c, y: (f(c, y), c), x, ys)[0]


for _name, _rule in RULES.items():
    CASES[f"{_name}: grad of a loop"] = lambda n, r=_rule: n.grad(looped(n, r(n)), (0, 1))(
        n.array(0.3), n.array(POINT)
    )

CASES |= {
    "custom_vjp: grad of grad of a loop": lambda n: n.grad(n.grad(looped(n, scaled_rule(n))))(
        n.array(0.3), n.array(POINT)),
    "custom_vjp raw: grad of grad of a loop": lambda n: n.grad(n.grad(looped(
        n, scaled_rule(n, wraps=False))))(n.array(0.3), n.array(POINT)),
    "custom_vjp raw: jvp of grad of a loop": lambda n: n.jvp(
        n.grad(looped(n, scaled_rule(n, wraps=False))), (n.array(0.3), n.array(POINT)),
        (n.array(1.0), n.array(OTHER))),
    "custom_jvp: jvp of a loop": lambda n: n.jvp(looped(n, scaled_tangent(n)),
        (n.array(0.3), n.array(POINT)), (n.array(1.0), n.array(OTHER))),
    "custom_vjp: vmap of grad of a loop": lambda n: n.vmap(
        n.grad(looped(n, scaled_rule(n))), in_axes=(0, None))(n.array(OTHER), n.array(POINT)),
    "hessian of a loop of checkpoints": lambda n: n.hessian(looped(
        n, n.checkpoint(lambda c, y: n.sin(c * y) + c)), (0, 1))(n.array(0.3), n.array(POINT)),
    "grad of a checkpointed loop": lambda n: n.grad(n.checkpoint(looped(
        n, lambda c, y: n.sin(c * y) + c)), (0, 1))(n.array(0.3), n.array(POINT)),
}  # fmt: skip


@case("custom_vjp of trees, None for an argument")
def _(n: Any) -> Any:
    @n.custom_vjp
    def f(p: Any, k: Any) -> Any:
        return {"a": p["x"] * p["y"][0], "b": k * p["x"].sum()}

    def bwd(saved: Any, g: Any) -> Any:
        p, k = saved
        shares = {"x": g["a"] * p["y"][0] * 3 + k * g["b"], "y": [g["a"]]}
        return shares, None

    f.defvjp(lambda p, k: (f(p, k), (p, k)), bwd)
    p = {"x": n.array(POINT), "y": [n.array(OTHER)]}
    g = {"a": n.array(POINT), "b": n.array(2.0)}
    return n.vjp(lambda p: f(p, n.array(0.5)), p)[1](g)


@case("nondiff_argnums")
def _(n: Any) -> Any:
    @partial(n.custom_vjp, nondiff_argnums=(0, 2))
    def f(function: Any, x: Any, power: Any) -> Any:
        return function(x) ** power

    def fwd(function: Any, x: Any, power: Any) -> Any:
        return f(function, x, power), x

    def bwd(function: Any, power: Any, x: Any, g: Any) -> Any:
        return (g * power * function(x) * 7,)

    f.defvjp(fwd, bwd)

    @partial(n.custom_jvp, nondiff_argnums=(0,))
    def h(function: Any, x: Any) -> Any:
        return function(x)

    @h.defjvp
    def rule(function: Any, primals: Any, tangents: Any) -> Any:
        return h(function, *primals), 5 * tangents[0] * function(primals[0])

    x = n.array(0.3)
    return [n.grad(lambda x: f(n.sin, x, 2))(x), n.grad(lambda x: h(n.exp, x))(x),
            n.jvp(lambda x: h(n.exp, x), (x,), (x,))]  # fmt: skip


@case("defjvps")
def _(n: Any) -> Any:
    @n.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return x * y**2

    f.defjvps(lambda t, value, x, y: 2 * t * value / x, None)
    at = n.array(0.3), n.array(0.5)
    return [n.grad(f, (0, 1))(*at), n.jvp(f, at, at), n.hessian(f)(*at)]


@case("clipped gradients, per example, compiled")
def _(n: Any) -> Any:
    @n.custom_vjp
    def clipped(x: Any) -> Any:
        return x

    clipped.defvjp(lambda x: (x, None), lambda _, g: (n.clip(g, -0.1, 0.1),))
    step = n.vmap(n.grad(lambda p, x: loss(n)({**p, "w": clipped(p["w"])}, x)), in_axes=(None, 0))
    return n.jit(step)(params(n), n.outer(n.array(OTHER), n.array(POINT)))


@pytest.mark.parametrize("name", CASES)
def test_as_jax(name: str) -> None:
    check(name, CASES)


def test_there_are_many() -> None:
    assert len(CASES) >= 100
