"""`vmap` composed with itself and with gradients, over trees and axes, against JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.parity.transforms import Program, check

RNG = np.random.default_rng(7)
ROWS, TABLE, CUBE = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 5)), RNG.normal(size=(2, 4, 3))
SQUARES = RNG.normal(size=(4, 3, 3)) + 4 * np.eye(3)
PLACES = np.array([2, 0, 1, 2])
CASES: dict[str, Program] = {}


def case(program: Program) -> Program:
    CASES[program.__name__] = program
    return program


# --- functions of one example --------------------------------------------------------------------


def energy(n: Any) -> Any:
    return lambda x: (n.sin(x) * x[::-1] ** 2).sum() + n.exp(-x[0])


def layer(n: Any) -> Any:
    return lambda p, x: n.tanh(x @ p["w"] + p["b"])


def loss(n: Any) -> Any:
    return lambda p, x: (layer(n)(p, x) ** 2).sum()


def weights(n: Any) -> Any:
    return {"w": n.array(TABLE), "b": n.array(TABLE[0])}


def softmax(n: Any) -> Any:
    def fn(x: Any) -> Any:
        powers = n.exp(x - n.max(x))
        return powers / powers.sum()

    return fn


# --- axes and trees ------------------------------------------------------------------------------

for _in in (0, 1, 2, -1, -2):
    for _out in (0, 1, -1):
        CASES[f"axes {_in} to {_out}"] = lambda n, i=_in, o=_out: n.vmap(
            lambda x: x.T @ x[:, 0], in_axes=i, out_axes=o
        )(n.array(CUBE))


@case
def trees_in_and_out(n: Any) -> Any:
    fn = lambda p, x: {"y": layer(n)(p, x), "pair": (x * 2, p["b"].sum())}
    out = {"y": 1, "pair": (0, 0)}
    return n.vmap(fn, in_axes=(None, 0), out_axes=out)(weights(n), n.array(ROWS))


@case
def a_part_of_a_tree_is_mapped(n: Any) -> Any:
    params = {"w": n.array(np.stack([TABLE, TABLE * 2], 2)), "b": n.array(TABLE[1])}
    return n.vmap(layer(n), in_axes=({"w": 2, "b": None}, None))(params, n.array(ROWS[0]))


@case
def keywords(n: Any) -> Any:
    return n.vmap(lambda x, y: x * y.sum())(n.array(ROWS), y=n.array(CUBE[0]))


@case
def what_does_not_depend(n: Any) -> Any:
    fixed = n.array(TABLE)
    return n.vmap(lambda x: (fixed * 2, x.sum()), out_axes=(1, 0))(n.array(ROWS))


@case
def size_of_nothing_mapped(n: Any) -> Any:
    return n.vmap(lambda x: x * 2, in_axes=None, axis_size=3)(n.array(ROWS))


# --- nested --------------------------------------------------------------------------------------


@case
def outer_of_two(n: Any) -> Any:
    fn = n.vmap(n.vmap(lambda a, b: (a - b) ** 2, in_axes=(None, 0)), in_axes=(0, None))
    return fn(n.array(ROWS[:, 0]), n.array(TABLE[0]))


@case
def distances(n: Any) -> Any:
    fn = n.vmap(n.vmap(lambda a, b: n.sqrt(((a - b) ** 2).sum()), (None, 0)), (0, None))
    return fn(n.array(ROWS), n.array(SQUARES[0]))


@case
def three_deep(n: Any) -> Any:
    return n.vmap(n.vmap(n.vmap(n.sin), in_axes=1), in_axes=2)(n.array(CUBE))


@case
def inner_axes_of_an_outer_example(n: Any) -> Any:
    fn = lambda x: n.vmap(softmax(n), in_axes=1, out_axes=1)(x) @ n.ones_like(x).T
    return n.vmap(fn)(n.array(CUBE))


@case
def an_inner_loop_over_what_is_shared(n: Any) -> Any:
    rows = n.array(ROWS)
    return n.vmap(lambda x: n.vmap(lambda r: (r * x).sum())(rows).max())(n.array(CUBE[0]))


# --- gradients -----------------------------------------------------------------------------------


@case
def gradient_of_each(n: Any) -> Any:
    return n.vmap(n.grad(energy(n)))(n.array(ROWS))


@case
def values_and_gradients_of_each(n: Any) -> Any:
    return n.vmap(n.value_and_grad(loss(n)), in_axes=(None, 0))(weights(n), n.array(ROWS))


@case
def gradient_of_many(n: Any) -> Any:
    rows = n.array(ROWS)
    return n.grad(lambda p: n.vmap(loss(n), in_axes=(None, 0))(p, rows).sum())(weights(n))


@case
def gradient_by_the_examples(n: Any) -> Any:
    return n.grad(lambda x: (n.vmap(softmax(n))(x) ** 2).sum())(n.array(ROWS))


@case
def gradient_of_gradients_of_each(n: Any) -> Any:
    rows, per = n.array(ROWS), n.vmap(n.grad(loss(n)), in_axes=(None, 0))
    return n.grad(lambda p: (per(p, rows)["w"] ** 2).sum())(weights(n))


@case
def hessian_by_rows(n: Any) -> Any:
    x = n.array(ROWS[0])
    return n.vmap(lambda v: n.grad(lambda x: (n.grad(energy(n))(x) * v).sum())(x))(n.eye(3) * 1.0)


@case
def hessian_of_each(n: Any) -> Any:
    row = lambda x, v: n.grad(lambda x: (n.grad(energy(n))(x) * v).sum())(x)
    return n.vmap(lambda x: n.vmap(lambda v: row(x, v))(n.eye(3) * 1.0))(n.array(ROWS))


@case
def gradient_of_gradient_of_each_scalar(n: Any) -> Any:
    return n.vmap(n.grad(n.grad(lambda x: n.sin(x) * x**2)))(n.array(ROWS[:, 0]))


@case
def ensemble(n: Any) -> Any:
    many = {"w": n.array(np.stack([TABLE, -TABLE])), "b": n.array(np.stack([TABLE[0]] * 2))}
    total = lambda p, x: n.vmap(loss(n), in_axes=(None, 0))(p, x).sum()
    return n.vmap(n.grad(total), in_axes=(0, None))(many, n.array(ROWS))


@case
def model_agnostic_meta_learning(n: Any) -> Any:
    def adapted(p: Any, x: Any) -> Any:
        slope = n.grad(loss(n))(p, x)
        return loss(n)({k: p[k] - 0.1 * slope[k] for k in p}, x)

    rows = n.array(ROWS)
    return n.grad(lambda p: n.vmap(adapted, in_axes=(None, 0))(p, rows).sum())(weights(n))


@case
def clipped_gradients(n: Any) -> Any:
    per = n.vmap(n.grad(loss(n)), in_axes=(None, 0))(weights(n), n.array(ROWS))
    norms = n.sqrt((per["w"] ** 2).sum((1, 2)) + (per["b"] ** 2).sum(1))
    return (per["w"] / n.maximum(norms, n.ones_like(norms))[:, None, None]).sum(0)


# --- operations ----------------------------------------------------------------------------------


@case
def own_positions(n: Any) -> Any:
    return n.vmap(lambda x, i: x[i] * 2)(n.array(ROWS), n.array(PLACES))


@case
def positions_in_what_is_shared(n: Any) -> Any:
    table = n.array(TABLE)
    return n.vmap(lambda i: table[i].sum())(n.array(PLACES))


@case
def gradients_through_positions(n: Any) -> Any:
    picked = lambda t, i: (t[i] ** 2).sum()
    return n.vmap(n.grad(picked), in_axes=(None, 0))(n.array(TABLE), n.array(PLACES))


@case
def running_sums(n: Any) -> Any:
    return n.vmap(lambda x: n.cumsum(x, axis=0), in_axes=1)(n.array(CUBE))


@case
def sorted_rows(n: Any) -> Any:
    return n.vmap(n.grad(lambda x: (n.sort(x)[:2] ** 2).sum()))(n.array(ROWS))


@case
def solutions(n: Any) -> Any:
    return n.vmap(n.solve, in_axes=(0, 0))(n.array(SQUARES), n.array(ROWS))


@case
def one_matrix_many_sides(n: Any) -> Any:
    return n.vmap(n.solve, in_axes=(None, 0))(n.array(SQUARES[0]), n.array(ROWS))


@case
def gradients_of_determinants(n: Any) -> Any:
    return n.vmap(n.grad(n.det))(n.array(SQUARES))


@case
def inverses_of_inner_rows(n: Any) -> Any:
    return n.vmap(n.grad(lambda a: (n.inv(a) ** 2).sum()), in_axes=2)(
        n.array(SQUARES.transpose(1, 2, 0))
    )


@case
def products_of_every_kind(n: Any) -> Any:
    a, b = n.array(CUBE[0]), n.array(ROWS)
    dots, outers = n.vmap(lambda x, y: x @ y)(a, b), n.vmap(n.outer)(a, b)
    matrices = n.vmap(lambda m, v: (m @ v, v @ m, m @ m), in_axes=(0, None))(
        n.array(SQUARES), n.array(ROWS[0])
    )
    return dots, outers, matrices


@case
def equations_in_letters(n: Any) -> Any:
    fn = lambda a, b: n.einsum("ij,jk->ki", a, b)
    return n.vmap(fn, in_axes=(0, None))(n.array(CUBE), n.array(TABLE))


@case
def choices(n: Any) -> Any:
    fn = lambda x: n.where(x > 0, n.sqrt(n.abs(x)), n.stack([x[0], x[1], x.sum()]))
    return n.vmap(n.grad(lambda x: fn(x).sum()))(n.array(ROWS))


@case
def under_jit(n: Any) -> Any:
    return n.jit(n.vmap(n.jit(n.grad(energy(n)))))(n.array(ROWS))


@pytest.mark.parametrize("name", CASES)
def test_like_jax(name: str) -> None:
    check(name, CASES)
