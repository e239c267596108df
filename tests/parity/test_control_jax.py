"""Loops and branches against jax.lax: values, gradients, tangents, examples, and these of each
other, in float64. Every program is written once, for both.

JAX takes seconds to compile some of these, so what it gives is kept in `control_jax.npz`; a few
cases are computed by it every time. `python -m tests.parity.test_control_jax` writes the file anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import ambos as am
from ambos.core import tree


@dataclass(frozen=True)
class World:
    """What a program is written with: either side's functions by one name."""

    np: Any
    scan: Callable[..., Any]
    while_loop: Callable[..., Any]
    fori_loop: Callable[..., Any]
    cond: Callable[..., Any]
    switch: Callable[..., Any]
    associative_scan: Callable[..., Any]
    map: Callable[..., Any]
    grad: Callable[..., Any]
    jvp: Callable[..., Any]
    vmap: Callable[..., Any]
    array: Callable[..., Any]


OURS = World(
    am, am.scan, am.while_loop, am.fori_loop, am.cond, am.switch, am.associative_scan, am.map,
    am.grad, am.jvp, am.vmap, am.asarray,
)  # fmt: skip


@cache
def theirs() -> World:
    """JAX's side."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    return World(
        jnp, lax.scan, lax.while_loop, lax.fori_loop, lax.cond, lax.switch, lax.associative_scan,
        lax.map, jax.grad, jax.jvp, jax.vmap, jnp.asarray,
    )  # fmt: skip


class Pair(NamedTuple):
    """A structure of the user's own."""

    first: Any
    second: Any


# --- programs: (world, w of shape (3,), x of shape (4, 3)) -> tree -------------------------------


def cell(m, w, x):
    def step(h, row):
        h = m.np.tanh(h * w + row)
        return h, (h, h.sum())

    return m.scan(step, m.array(np.full(3, 0.1)), x)


def weights(m, w, x):
    matrix = w[:, None] * w[None, :] * 0.5

    def step(h, row):
        h = m.np.tanh(h @ matrix + row)
        return h, h * 2

    return m.scan(step, x[:2], x[:, None, :] * m.array(np.ones((1, 2, 1))))


def backwards(m, w, x):
    def step(state, row):
        total = m.np.sin(state["a"] * w) + row["x"]
        return {"a": total, "n": state["n"] + 1}, {"y": total * row["y"], "n": state["n"]}

    return m.scan(
        step, {"a": w, "n": m.array(np.int64(0))}, {"x": x, "y": x * x}, reverse=True
    )  # fmt: skip


def powers(m, w, x):
    return m.scan(lambda s, _: (s * w * 0.9, s), x[0], None, length=5)


def no_results(m, w, x):
    return m.scan(lambda s, row: (s * row + w, None), w, x)[0]


def swapped(m, w, x):
    return m.scan(lambda s, row: ((s[1], s[0] * row), s[0]), (w, w * w), x)


def handed_on(m, w, x):
    return m.scan(lambda s, row: (s, (row, s * row)), w, x)


def only_results(m, w, x):
    return m.scan(lambda s, row: (s, m.np.exp(row * w)), (), x)[1]


def constants(m, w, x):
    return m.scan(lambda s, row: (s + 1.0, (m.array(np.array(2.0)), w)), m.array(np.float64(0)), x)


def two_deep(m, w, x):
    def outer(s, row):
        s, inner = m.scan(lambda u, z: (m.np.tanh(u * z + w[0]), u * w), s, row)
        return s, inner.sum() * s

    return m.scan(outer, m.array(np.array(0.3)), x)


def three_deep(m, w, x):
    def deepest(u, z):
        return m.scan(lambda v, _: (m.np.sin(v * z) + w[1], v), u, None, length=2)

    return m.scan(
        lambda s, row: m.scan(deepest, s, row), m.array(np.array(0.3)), x[:2]
    )  # fmt: skip


def branch_inside(m, w, x):
    def step(s, row):
        s = m.cond(
            row.sum() > 0, lambda a, b: m.np.sin(a * w) + b, lambda a, b: a * b * w, s, row
        )  # fmt: skip
        return s, s * w

    return m.scan(step, w, x)


def switch_inside(m, w, x):
    sides = [m.np.sin, lambda a: a * w, lambda a: a * a * a]

    def step(state, row):
        i, s = state
        s = m.switch(i, sides, s + row)
        return (i + 1, s), s

    return m.scan(step, (m.array(np.int32(-1)), w), x)[1]


def counted(m, w, x):
    return m.fori_loop(0, 4, lambda i, s: (s[0] * x[i] + w, s[1] + s[0]), (w, x[0]))


def newton(m, w, x):
    target = m.np.exp(w) + x.sum() ** 2
    return m.fori_loop(0, 6, lambda i, s: 0.5 * (s + target / s), target)


def masked(m, w, x):
    def step(s, row):
        return m.np.where(row > 0, s * row, s), m.np.where(s > row, w, row)

    return m.scan(step, w, x)


def structures(m, w, x):
    def step(s, row):
        s = Pair(s.first * row["k"][0], [s.second[0] + s.first.sum()])
        return s, Pair(None, (s.second[0],))

    return m.scan(step, Pair(w, [x[0, 0]]), {"k": (x,)})


def reductions(m, w, x):
    def step(s, row):
        s = (s - s.max()) * 0.5 + row * w
        share = m.np.exp(s)
        share = share / share.sum()
        return share, share * row

    return m.scan(step, w, x)


def choice(m, w, x):
    return m.cond(x.sum() > 0, lambda: (w * 2, w.sum()), lambda: (w * w * x[0], x.sum()))


def choice_of_trees(m, w, x):
    def yes(a, b):
        return {"r": a["p"] * b, "s": [b.sum()]}

    def no(a, b):
        return {"r": m.np.sin(a["p"]), "s": [a["p"].sum() * 2.0]}

    return m.cond(x[0, 0] < 0, yes, no, {"p": w * x[1]}, w)


def nested_choice(m, w, x):
    def inner(a):
        return m.cond(x[1, 1] > 0, lambda: a * w, lambda: a + w)

    return m.cond(x[0, 0] > 0, inner, lambda a: inner(a) * a, x[2])


def several(m, w, x):
    return m.switch(
        m.np.astype(x.sum() * 100, "int32") % 3,
        [lambda a: a * w, lambda a: m.np.cos(a), lambda a: a.sum() * w], x[1],
    )  # fmt: skip


def mapped(m, w, x):
    return m.map(lambda row: {"s": (row * w).sum(), "t": m.np.exp(row)}, x)


def mapped_in_groups(m, w, x):
    return m.map(lambda row: m.np.sin(row * w).sum(), x, batch_size=3)


def running_products(m, w, x):
    return m.associative_scan(m.np.multiply, x * w)


def recurrence(m, w, x):
    def combine(a, b):
        return a[0] * b[0], b[0] * a[1] + b[1]

    return m.associative_scan(combine, (x, x * w), reverse=True)


def until(m, w, x):
    def step(state):
        n, s = state
        return n + 1, s * 0.7 * m.np.cos(s * x[0]) + w * 0.1

    def goes_on(state):
        n, s = state
        return (n < 9) & ((s * s).sum() > x[1, 1] ** 2)

    return m.while_loop(goes_on, step, (m.array(np.int64(0)), w * 3))


def until_by_number(m, w, x):
    count = m.np.astype(m.np.abs(x).sum(), "int64")
    return m.fori_loop(m.array(np.int64(0)), count, lambda i, s: m.np.tanh(s * w) + i, x[0])


PROGRAMS = [
    cell, weights, backwards, powers, no_results, swapped, handed_on, only_results, constants,
    two_deep, three_deep, branch_inside, switch_inside, counted, newton, masked, structures,
    reductions, choice, choice_of_trees, nested_choice, several, mapped, mapped_in_groups,
    running_products, recurrence,
]  # fmt: skip
DEEP = [cell, weights, backwards, two_deep, branch_inside, choice_of_trees]


# --- what is done to a program -------------------------------------------------------------------


def floats(result):
    return [leaf for leaf in tree.leaves(result) if "float" in str(leaf.dtype)]


def loss(m, program):
    def total(w, x):
        found = floats(program(m, w, x))
        return sum((leaf * leaf * (1 + 0.1 * n)).sum() for n, leaf in enumerate(found))

    return total


def values(m, program):
    return lambda w, x: program(m, w, x)


def gradients(m, program):
    return m.grad(loss(m, program), (0, 1))


def second(m, program):
    def size(w, x):
        gw, gx = gradients(m, program)(w, x)
        return (gw * gw).sum() + (gx * gx * gx).sum()

    return m.grad(size, (0, 1))


def tangents(m, program):
    def moved(w, x):
        return m.jvp(lambda w, x: floats(program(m, w, x)), (w, x), (x[0], x * 0.5 + 1))

    return moved


def tangents_of_gradients(m, program):
    return lambda w, x: m.jvp(gradients(m, program), (w, x), (x[0], x * 0.5 + 1))


def gradients_of_tangents(m, program):
    def size(w, x):
        _, moved = m.jvp(loss(m, program), (w, x), (x[0], x * 0.5 + 1))
        return moved

    return m.grad(size, (0, 1))


def rows(m):
    """Examples of x, near the one that is given."""
    return m.array(np.linspace(-1.0, 1.5, 3)[:, None, None])


def examples(m, program):
    return lambda w, x: m.vmap(values(m, program), (None, 0))(w, x + rows(m))


def examples_of_gradients(m, program):
    return lambda w, x: m.vmap(gradients(m, program), (None, 0))(w, x + rows(m))


def gradients_of_examples(m, program):
    def total(w, x):
        return m.vmap(loss(m, program), (None, 0))(w, x + rows(m)).sum()

    return m.grad(total, (0, 1))


def examples_twice(m, program):
    def both(w, x):
        inner = m.vmap(gradients(m, program), (0, None))
        return m.vmap(inner, (None, 0))(w * m.array(np.array([[1.0], [0.5]])), x + rows(m))

    return both


def examples_of_tangents_of_gradients(m, program):
    inner = tangents_of_gradients(m, program)
    return lambda w, x: m.vmap(inner, (None, 0))(w, x + rows(m))


def examples_of_tangents(m, program):
    return lambda w, x: m.vmap(tangents(m, program), (None, 0))(w, x + rows(m))


CASES = [
    *[(program, values) for program in PROGRAMS],
    *[(program, gradients) for program in PROGRAMS],
    *[(program, tangents) for program in PROGRAMS],
    *[(program, examples) for program in PROGRAMS],
    *[(program, examples_of_gradients) for program in PROGRAMS],
    *[(program, way) for program in DEEP for way in (
        second, tangents_of_gradients, gradients_of_tangents, gradients_of_examples,
        examples_twice, examples_of_tangents_of_gradients)],
]  # fmt: skip


LIVE = [(two_deep, values), (choice_of_trees, gradients)]
OPEN = [
    (program, way) for program in (until, until_by_number)
    for way in (values, tangents, examples, examples_of_tangents)
]  # fmt: skip
EXPECTED = Path(__file__).with_name("control_jax.npz")


def point() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    return random.standard_normal(3), random.standard_normal((4, 3))


def name_of(case: tuple[Any, Any]) -> str:
    program, way = case
    return f"{way.__name__}-{program.__name__}"


def by_jax(program: Any, way: Any) -> list[Any]:
    """What JAX gives."""
    import jax

    with jax.enable_x64(True):
        w, x = point()
        found = jax.jit(way(theirs(), program))(w, x)
        return [np.asarray(leaf) for leaf in jax.tree.leaves(found)]


@cache
def expected() -> dict[str, Any]:
    with np.load(EXPECTED) as stored:
        return dict(stored)


def agree(ours: Any, arrays: list[Any]) -> None:
    found = tree.leaves(ours)
    assert len(found) == len(arrays)
    for one, other in zip(found, arrays, strict=True):
        assert one.dtype.name == other.dtype.name
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_as_in_jax(case: tuple[Any, Any]) -> None:
    program, way = case
    w, x = point()
    stored = [array for key, array in expected().items() if key.split("/")[0] == name_of(case)]
    agree(way(OURS, program)(am.tensor(w), am.tensor(x)), stored)


@pytest.mark.parametrize("case", OPEN, ids=name_of)
def test_loops_of_unknown_length_as_in_jax(case: tuple[Any, Any]) -> None:
    program, way = case
    w, x = point()
    agree(way(OURS, program)(am.tensor(w), am.tensor(x)), by_jax(*case))


@pytest.mark.parametrize("case", LIVE, ids=name_of)
def test_what_is_kept_is_jax_s(case: tuple[Any, Any]) -> None:
    stored = [array for key, array in expected().items() if key.split("/")[0] == name_of(case)]
    for one, other in zip(stored, by_jax(*case), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def write() -> None:
    """Compute what is expected anew."""
    arrays = {
        f"{name_of(case)}/{place:02}": array
        for case in CASES
        for place, array in enumerate(by_jax(*case))
    }
    np.savez_compressed(EXPECTED, **arrays)


if __name__ == "__main__":
    write()
