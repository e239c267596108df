"""Every differentiable op's tangent: against central differences, against its gradient (each is the
transpose of the other), and once more for the tangent's own derivative."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ambos.autodiff import gradients, tangents
from ambos.core.dtype import DType, complex128, float64
from ambos.graph.node import Node
from ambos.ops import registry
from ambos.ops.fourier import rfft
from ambos.ops.kinds import Op
from ambos.ops.sources import data
from ambos.testing.reference import evaluate
from ambos.testing.samples import Sample, accepted, samples
from tests.ops import test_call, test_complex

STEP = 6e-6
DIFFERENTIABLE = [
    sample
    for op in registry.values()
    if op.differentiable and float64 in accepted(op)
    for sample in samples(op)
    if sample.build(sample.leaves(float64)).dtype.is_floating  # not the positions among results
]
COMPLEX = [
    node
    for op in test_complex.SAMPLED
    if op.differentiable
    for node in test_complex.calls(op, complex128)
    if node.dtype.is_inexact
]


def leaves_of(sample: Sample, dtype: DType) -> list[Node]:
    return [
        data.leaf(x.value, x.shape, x.dtype, tracked=fill != "tiny")
        for x, fill in zip(
            test_call.leaves_of(sample, dtype),
            sample.fills or ("values",) * len(sample.shapes),
            strict=True,
        )
    ]


CALLS = [
    s
    for s in (*test_call.CALLS, *test_call.TRANSFORMS, *samples(rfft))
    if s.op.differentiable and (s.op is rfft or s.build(leaves_of(s, complex128)).dtype.is_inexact)
]
# Whose phases are anybody's choice, LAPACK's too.
PHASES = {"linalg.eig": (1,), "linalg.eigh": (1,), "linalg.svd": (0, 2), "linalg.qr": (0, 1)}


def like(node: Node, seed: int, tracked: bool = False) -> Node:
    """Random numbers in the shape and dtype of `node`."""
    rng = np.random.default_rng(seed)
    value = np.asarray(rng.uniform(0.5, 1.5, node.shape))
    if node.dtype.is_complex:
        value = value + 1j * np.asarray(rng.uniform(0.5, 1.5, node.shape))
    return data.leaf(np.asarray(value), node.shape, node.dtype, tracked)


def moved(leaves: Sequence[Node], directions: Sequence[Node | None], step: float) -> list[Node]:
    return [
        x if d is None else data.leaf(x.value + step * d.value, x.shape, x.dtype, tracked=True)
        for x, d in zip(leaves, directions, strict=True)
    ]


def difference(function: Sample | Op, leaves: Sequence[Node], directions: list[Node | None],
               attrs: object = None) -> np.ndarray:  # fmt: skip
    ends = [
        evaluate([function.build(moved(leaves, directions, sign * STEP))])[0]
        if isinstance(function, Sample)
        else evaluate([function(*moved(leaves, directions, sign * STEP), attrs=attrs)])[0]
        for sign in (1, -1)
    ]
    return (ends[0] - ends[1]) / (2 * STEP)


def values(nodes: Sequence[Node | None], like: Sequence[Node]) -> list[np.ndarray]:
    found = iter(evaluate([node for node in nodes if node is not None]))
    return [
        np.zeros(x.shape) if node is None else next(found)
        for node, x in zip(nodes, like, strict=True)
    ]


def directions_of(leaves: Sequence[Node], seed: int = 7) -> list[Node | None]:
    return [
        like(leaf, seed + n, tracked=True) if leaf.tracked else None
        for n, leaf in enumerate(leaves)
    ]


def inner(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sum(np.conj(a) * b).real)


def check_transposed(node: Node, leaves: Sequence[Node]) -> None:
    """<u, J v> == <J' u, v>."""
    given = directions_of(leaves)
    (tangent,) = tangents([node], leaves, given)
    u = like(node, 99)
    wanted = [n for n, leaf in enumerate(leaves) if leaf.tracked]
    grads = gradients([node], [u], [leaves[n] for n in wanted])
    assert (tangent is None) == all(g is None for g in grads)
    if tangent is None:
        return
    assert (tangent.shape, tangent.dtype) == (node.shape, node.dtype)
    (forward,) = evaluate([tangent])
    backward = values(grads, [leaves[n] for n in wanted])
    terms = [
        inner(g, given[n].value)  # type: ignore[union-attr]
        for n, g in zip(wanted, backward, strict=True)
    ]
    scale = 1 + sum(abs(term) for term in terms)
    assert abs(inner(u.value, forward) - sum(terms)) <= 1e-9 * scale, node


@pytest.mark.parametrize("sample", DIFFERENTIABLE, ids=str)
def test_tangent(sample: Sample) -> None:
    leaves = sample.leaves(float64)
    node, directions = sample.build(leaves), directions_of(leaves)
    (found,) = values(tangents([node], leaves, directions), [node])
    expected = difference(sample, leaves, directions)
    scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
    np.testing.assert_allclose(found, expected, 0, 2e-7 * scale)
    check_transposed(node, leaves)


def one_of_each() -> list[Sample]:
    """The smallest sample that is no scalar, of every op and its variants."""
    found: dict[object, Sample] = {}
    for sample in sorted(DIFFERENTIABLE, key=lambda s: sum(x.size for x in s.leaves(float64))):
        if all(x.size > 1 for x in sample.leaves(float64) if x.tracked):
            found.setdefault((sample.op.name, sample.note), sample)
    return list(found.values())


@pytest.mark.parametrize("sample", one_of_each(), ids=str)
def test_tangent_of_the_tangent(sample: Sample) -> None:
    """Along another direction, and transposed: by the direction as well, which is linear."""
    leaves = sample.leaves(float64)
    node, along, across = sample.build(leaves), directions_of(leaves), directions_of(leaves, 31)
    (tangent,) = tangents([node], leaves, along)
    if tangent is None or not tangent.tracked:
        return
    (twice,) = values(tangents([tangent], leaves, across), [node])
    ends = []
    for sign in (1, -1):
        there = moved(leaves, across, sign * STEP)
        ends += values(tangents([sample.build(there)], there, along), [node])
    expected = (ends[0] - ends[1]) / (2 * STEP)
    scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
    np.testing.assert_allclose(twice, expected, 0, 2e-6 * scale)
    inputs = [leaf for leaf in leaves if leaf.tracked]
    check_transposed(tangent, [*inputs, *(d for d in along if d is not None)])


@pytest.mark.parametrize("node", COMPLEX, ids=str)
def test_complex_tangent(node: Node) -> None:
    leaves, op = list(node.inputs), registry[node.op.name]
    directions = directions_of(leaves)
    (found,) = values(tangents([node], leaves, directions), [node])
    expected = difference(op, leaves, directions, node.attrs)
    scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
    np.testing.assert_allclose(found, expected, 0, 5e-7 * scale)
    check_transposed(node, leaves)


@pytest.mark.parametrize("sample", CALLS, ids=str)
def test_complex_calls(sample: Sample) -> None:
    leaves = sample.leaves(float64) if sample.op is rfft else leaves_of(sample, complex128)
    node = sample.build(leaves)
    check_transposed(node, leaves)
    if sample.attrs[0] not in PHASES.get(sample.op.name, ()):
        directions = directions_of(leaves)
        (found,) = values(tangents([node], leaves, directions), [node])
        expected = difference(sample, leaves, directions)
        scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
        np.testing.assert_allclose(found, expected, 0, 2e-6 * scale)
