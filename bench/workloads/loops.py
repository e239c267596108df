"""Loops whose steps do next to nothing: what a step costs."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from bench.workload import normal
from bench.workloads.transforms import LOOPS, Transform

STEPS = 10_000


def running_sum(kit: Any, inputs: dict[str, Any]) -> Any:
    def step(state: Any, x: Any) -> Any:
        return state + x, state + x

    return kit.scan(step, inputs["start"], inputs["x"])


def counted_sum(kit: Any, inputs: dict[str, Any]) -> Any:
    """By index."""
    x = inputs["x"]
    return kit.fori_loop(0, STEPS, lambda i, total: total + x[i], inputs["start"])


def logistic_map(kit: Any, inputs: dict[str, Any]) -> Any:
    return kit.fori_loop(0, STEPS, lambda _, x: 3.7 * x * (1 - x), inputs["start"] + 0.3)


def collatz(kit: Any, inputs: dict[str, Any]) -> Any:
    """Of every number up to the first that takes 150 steps."""

    def length(n: Any) -> Any:
        def step(state: Any) -> Any:
            n, count = state
            return kit.where(n % 2 == 0, n // 2, 3 * n + 1), count + 1

        return kit.while_loop(lambda state: state[0] > 1, step, (n, n * 0))[1]

    def following(state: Any) -> Any:
        n, _ = state
        return n + 1, length(n + 1)

    start = inputs["start"]
    return kit.while_loop(lambda state: state[1] < 150, following, (start, start * 0))


def lorenz(apart: bool, kit: Any, inputs: dict[str, Any]) -> Any:
    """Euler's method on Lorenz's attractor: three numbers, or a vector of three."""

    def velocity(x: Any, y: Any, z: Any) -> tuple[Any, Any, Any]:
        return 10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z

    def numbers(state: Any, _: Any) -> Any:
        moved = tuple(x + 0.0005 * v for x, v in zip(state, velocity(*state), strict=True))
        return moved, moved[0]

    def vector(state: Any, _: Any) -> Any:
        state = state + 0.0005 * kit.stack(velocity(state[0], state[1], state[2]))
        return state, state

    start = inputs["start"]
    first = (start[0], start[1], start[2]) if apart else start
    return kit.scan(numbers if apart else vector, first, None, length=STEPS)[1]


def pendulums(kit: Any, inputs: dict[str, Any]) -> Any:
    """Runge and Kutta's method on a state of four numbers."""
    h = 0.01

    def velocity(s: Any) -> Any:
        return kit.stack([s[1], -kit.sin(s[0]), s[3], -2 * kit.sin(s[2])])

    def step(s: Any, _: Any) -> Any:
        k1 = velocity(s)
        k2 = velocity(s + h / 2 * k1)
        k3 = velocity(s + h / 2 * k2)
        k4 = velocity(s + h * k3)
        s = s + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return s, s

    return kit.scan(step, inputs["start"], None, length=1000)[1]


def recurrence(kit: Any, inputs: dict[str, Any]) -> Any:
    """32 linear recurrences at once."""

    def step(state: Any, given: Any) -> Any:
        state = state * given[0] + given[1]
        return state, state

    return kit.scan(step, inputs["start"], (inputs["a"], inputs["b"]))[1]


def branching(kit: Any, inputs: dict[str, Any]) -> Any:
    def step(_: Any, x: Any) -> Any:
        return kit.cond(x > 1, lambda x: x * 0.5, lambda x: x * 1.3 + 0.1, x)

    return kit.fori_loop(0, STEPS, step, inputs["start"])


def nested(kit: Any, inputs: dict[str, Any]) -> Any:
    def inner(_: Any, x: Any) -> Any:
        return 0.99 * x + 0.01

    return kit.fori_loop(0, 100, lambda _, x: kit.fori_loop(0, 100, inner, x), inputs["start"])


def filter_gradient(kit: Any, inputs: dict[str, Any]) -> Any:
    def loss(x: Any) -> Any:
        def step(state: Any, x: Any) -> Any:
            state = kit.tanh(0.9 * state + x)
            return state, state

        return (kit.scan(step, inputs["start"], x)[1] ** 2).sum()

    return kit.grad(loss)(inputs["x"])


def numbers() -> dict[str, np.ndarray]:
    return {"x": normal(0, STEPS), "start": np.zeros((), np.float32)}


def start() -> dict[str, np.ndarray]:
    return {"start": np.zeros((), np.float32)}


def recurrences() -> dict[str, np.ndarray]:
    return {"a": normal(0, 1000, 32, scale=0.1), "b": normal(1, 1000, 32),
            "start": normal(2, 32)}  # fmt: skip


CASES = [
    Transform("sum_scan", "running sum of 10,000 numbers", running_sum, numbers, without=LOOPS),
    Transform("sum_fori", "sum of 10,000 numbers by index", counted_sum, numbers, without=LOOPS),
    Transform("logistic", "10,000 steps of the logistic map", logistic_map, start,
              without=LOOPS),
    Transform("collatz", "a while loop in a while loop", collatz,
              lambda: {"start": np.asarray(1, np.int32)}, without=LOOPS),
    Transform("lorenz-numbers", "10,000 steps of three numbers", partial(lorenz, True),
              lambda: {"start": np.array([1, 2, 3], np.float32)}, without=LOOPS, tolerance=1e-2),
    Transform("lorenz-vector", "10,000 steps of a vector of three", partial(lorenz, False),
              lambda: {"start": np.array([1, 2, 3], np.float32)}, without=LOOPS, tolerance=1e-2),
    Transform("pendulums", "Runge-Kutta, 1,000 steps of four numbers", pendulums,
              lambda: {"start": np.array([1, 0, 2, 0], np.float32)}, without=LOOPS, tolerance=1e-3),
    Transform("recurrence-32", "1,000 steps of 32 recurrences", recurrence, recurrences,
              without=LOOPS),
    Transform("branch", "10,000 steps, one of two branches each", branching, start,
              without=LOOPS, tolerance=1e-3),
    Transform("nested", "100 x 100 steps", nested, start, without=LOOPS),
    Transform("filter-gradient", "gradient through 10,000 steps", filter_gradient, numbers,
              without=LOOPS, tolerance=1e-3),
]  # fmt: skip
