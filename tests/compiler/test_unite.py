"""Loops that are parts of others are not run: one forward loop for a value and its gradient."""

from __future__ import annotations

import numpy as np

import ambos as am
from ambos.autodiff.forward import tangents
from ambos.compiler.prepare import prepare
from ambos.compiler.unite import unite
from ambos.graph import toposort
from ambos.graph.node import Node
from ambos.ops.control import same_parts
from ambos.tensor.handle import wrap
from ambos.tensor.identity import alias
from ambos.testing.reference import evaluate

X = am.tensor(np.random.default_rng(0).standard_normal((6, 2, 4)).astype(np.float32))
W = am.tensor(np.random.default_rng(1).standard_normal((4, 4)).astype(np.float32))


def loops(roots: list[Node]) -> int:
    return len({same_parts(node) for node in toposort(roots) if node.op.name == "scan"})


def cell(h: am.Tensor, x: am.Tensor) -> tuple[am.Tensor, am.Tensor]:
    h = am.tanh(h @ W + x)
    return h, h * 2


def test_a_value_and_its_gradient_run_forward_once() -> None:
    def loss(w: am.Tensor) -> am.Tensor:
        last, ys = am.scan(lambda h, x: cell(h * w, x), am.zeros(2, 4), X)
        return (last * last).sum() + (ys**3).sum()

    value, grad = am.value_and_grad(loss)(am.ones(4))
    roots = [value._node, grad._node]
    assert loops(roots) == 3
    assert loops(prepare(roots)) == 2
    for one, other in zip(evaluate(roots), evaluate(unite(roots)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_value_and_its_tangent_are_one_loop() -> None:
    w = alias(am.ones(4)._node)
    _, ys = am.scan(lambda h, x: cell(h * wrap(w), x), am.zeros(2, 4), X)
    (moved,) = tangents([ys._node], [w], [am.ones(4)._node])
    assert moved is not None
    roots = [ys._node, moved]
    assert loops(roots) == 2
    assert loops(prepare(roots)) == 1
    for one, other in zip(evaluate(roots), evaluate(unite(roots)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_loops_that_differ_stay_apart() -> None:
    def sums(scale: float, reverse: bool = False) -> Node:
        return am.scan(lambda s, x: (s + x * scale, s), am.zeros(2, 4), X, reverse=reverse)[1]._node

    for other in (sums(2.0), sums(1.0, reverse=True)):
        assert loops(prepare([sums(1.0), other])) == 2


def test_a_larger_loop_that_reads_the_smaller_one_stays_behind_it() -> None:
    last, ys = am.scan(lambda s, x: (s + x, s), am.zeros(2, 4), X)

    def both(s: am.Tensor, rows: tuple[am.Tensor, am.Tensor]) -> tuple[am.Tensor, object]:
        x, y = rows
        return s + x, (s, x * y)

    _, (again, products) = am.scan(both, am.zeros(2, 4), (X, ys))
    roots = [last._node, again._node, products._node]
    assert loops(unite(roots)) == 2
