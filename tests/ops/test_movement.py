"""Movement: the affine access maps, point by point, against NumPy's own moves."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ambos.core.affine import Affine, Misaligned
from ambos.core.dtype import float64, int64
from ambos.core.errors import DTypeError, ShapeError
from ambos.graph.node import Node
from ambos.ops import registry
from ambos.ops.kinds import Move
from ambos.ops.movement import (
    concat,
    expand,
    interleave,
    overlap_add,
    pad,
    permute,
    reshape,
    slice_,
    unslice,
    window,
)
from ambos.ops.sources import data
from ambos.testing.reference import evaluate
from ambos.testing.samples import Sample, samples

MOVES = [sample for op in registry.values() if isinstance(op, Move) for sample in samples(op)]


def leaf(values: np.ndarray) -> Node:
    dtype = float64 if values.dtype.kind == "f" else int64
    return data.leaf(values, values.shape, dtype, tracked=dtype is float64)


def through_access(node: Node, inputs: list[np.ndarray]) -> np.ndarray | None:
    """The move computed from its access map on a space as fine as the map asks for; None where
    it says that no space will do."""
    index = [Affine.axis(axis) for axis in range(node.rank)]
    extents = list(node.shape)
    while True:
        try:
            cases = node.op.access(node, index, extents)  # type: ignore[attr-defined]
            break
        except Misaligned as misaligned:
            axis, inner = misaligned.axis, misaligned.extent
            if axis is None:
                return None
            assert 1 < inner < extents[axis]
            assert extents[axis] % inner == 0
            extents[axis] //= inner
            extents.append(inner)
            finer = Affine(0, ((axis, inner), (len(extents) - 1, 1)))
            index = [_replace(part, axis, finer) for part in index]
    result = np.zeros(node.shape, inputs[0].dtype)
    for point in product(*map(range, extents)):
        held = [
            inputs[number][tuple(_at(part, point) for part in place)]
            for number, place, conditions in cases
            if all(0 <= _at(part, point) < extent for part, extent in conditions)
        ]
        assert len(held) <= 1
        result[tuple(_at(part, point) for part in index)] = held[0] if held else 0
    return result


def _replace(part: Affine, axis: int, finer: Affine) -> Affine:
    coefficient = part.coefficient(axis)
    return part - Affine(0, ((axis, coefficient),)) + finer * coefficient


def _at(part: Affine, point: tuple[int, ...]) -> int:
    return part.offset + sum(coefficient * point[axis] for axis, coefficient in part.terms)


@pytest.mark.parametrize("sample", MOVES, ids=str)
def test_access_map_is_the_move(sample: Sample) -> None:
    leaves = sample.leaves(int64)
    inputs = [np.arange(1, n.size + 1).reshape(n.shape) + 100 * i for i, n in enumerate(leaves)]
    node = sample.build([leaf(values) for values in inputs])
    found = through_access(node, inputs)
    if found is None:
        assert node.op is reshape
        return
    assert np.array_equal(found, evaluate([node])[0])


def test_only_unrelated_factors_have_no_map() -> None:
    hopeless = []
    for sample in MOVES:
        leaves = sample.leaves(int64)
        if through_access(sample.build(leaves), [node.value for node in leaves]) is None:
            hopeless.append((sample.shapes[0], sample.attrs[0]))
    assert hopeless == [((4, 6), (6, 4))]


FACTORS = st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4)


@st.composite
def reshapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes of one size: the same factors, merged in two ways."""
    factors = draw(FACTORS)

    def merge() -> tuple[int, ...]:
        shape, run = [], 1
        for factor in factors:
            run *= factor
            if draw(st.booleans()):
                shape.append(run)
                run = 1
        return (*shape, run)

    return merge(), merge()


@given(reshapes())
def test_reshape_along_common_factors_always_has_a_map(shapes: tuple) -> None:
    source, target = shapes
    values = np.arange(np.prod(source)).reshape(source)
    found = through_access(reshape(leaf(values), attrs=(target,)), [values])
    assert found is not None
    assert np.array_equal(found, values.reshape(target))


# --- windows against torch -----------------------------------------------------------------------

WINDOWS = [
    (extent, size, stride, dilation)
    for extent in (5, 8, 13)
    for size in (1, 2, 3)
    for stride in (1, 2, 3, 5)
    for dilation in (1, 2, 4)
    if (size - 1) * dilation < extent
]


@pytest.mark.parametrize(("extent", "size", "stride", "dilation"), WINDOWS)
def test_window_and_overlap_add_are_torchs_unfold_and_fold(
    extent: int, size: int, stride: int, dilation: int
) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, extent))
    node = window(leaf(x), attrs=((2,), (size,), (stride,), (dilation,)))
    # torch: (N, C * size, windows) from (N, C, 1, extent)
    theirs = torch.nn.functional.unfold(
        torch.tensor(x)[:, :, None], (1, size), (1, dilation), 0, (1, stride)
    )
    count = node.shape[2]
    expected = theirs.numpy().reshape(2, 3, size, count).transpose(0, 1, 3, 2)
    assert np.array_equal(evaluate([node])[0], expected)
    folded = torch.nn.functional.fold(theirs, (1, extent), (1, size), (1, dilation), 0, (1, stride))
    (back,) = evaluate([overlap_add(node, x.shape, *node.attrs)])
    np.testing.assert_allclose(back, folded.numpy()[:, :, 0], rtol=1e-12)


def test_pooling_gradient_is_torchs() -> None:
    x = np.random.default_rng(1).normal(size=(2, 9, 8))
    theirs = torch.tensor(x, requires_grad=True)
    pooled = torch.nn.functional.max_pool2d(theirs[None], (3, 2), (2, 3), dilation=(1, 2))
    weights = np.random.default_rng(2).normal(size=pooled.shape[1:])
    pooled.backward(torch.tensor(weights)[None])

    from ambos.autodiff import gradients
    from ambos.ops.reductions import max_

    ours = leaf(x)
    views = window(ours, attrs=((1, 2), (3, 2), (2, 3), (1, 2)))
    out = max_(views, attrs=((3, 4),))
    (grad,) = gradients([out], [leaf(weights)], [ours])
    assert grad is not None
    values, gradient = evaluate([out, grad])
    np.testing.assert_array_equal(values, pooled.detach().numpy()[0])
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-12)


# --- builders ------------------------------------------------------------------------------------


@given(
    st.integers(0, 4), st.integers(0, 6), st.integers(1, 4), st.integers(0, 3), st.integers(0, 1)
)
def test_unslice_is_the_transpose_of_slice(
    start: int, length: int, step: int, after: int, axis: int
) -> None:
    extent = start + length + after
    shape = (extent, 2) if axis == 0 else (2, extent)
    begin = (start, 0) if axis == 0 else (0, start)
    stop = (start + length, 2) if axis == 0 else (2, start + length)
    steps = (step, 1) if axis == 0 else (1, step)
    x = np.zeros(shape)
    taken = x[tuple(map(slice, begin, stop, steps))]
    g = np.arange(1.0, taken.size + 1).reshape(taken.shape)
    taken[...] = g
    (found,) = evaluate([unslice(leaf(g), shape, begin, stop, steps)])
    assert np.array_equal(found, x)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5))
def test_interleave_weaves_along_both_axes(a: int, b: int, rows: int) -> None:
    whole = np.random.default_rng(0).random((rows * a, 2 * b))
    parts = [whole[i::a, j::b] for i in range(a) for j in range(b)]
    (found,) = evaluate([interleave(*map(leaf, parts), attrs=((a, b),))])
    assert np.array_equal(found, whole)


# --- errors --------------------------------------------------------------------------------------


def test_errors_name_op_shapes_and_need() -> None:
    x = leaf(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"reshape: \(2, 3\) has 6 .* \(4, 2\) has 8.*test_mov"):
        reshape(x, attrs=((4, 2),))
    with pytest.raises(ShapeError, match=r"permute: axes .* each axis once"):
        permute(x, attrs=((0, 0),))
    with pytest.raises(ShapeError, match=r"expand: \(2, 3\) does not expand to \(4, 3\)"):
        expand(x, attrs=((4, 3),))
    with pytest.raises(ShapeError, match=r"expand: \(2, 3\) does not expand to \(1, 2, 3\)"):
        expand(x, attrs=((1, 2, 3),))
    with pytest.raises(ShapeError, match=r"pad: .* one count >= 0"):
        pad(x, attrs=((0, -1), (0, 0)))
    with pytest.raises(ShapeError, match=r"slice: .* stop <= size"):
        slice_(x, attrs=((0, 0), (2, 4), (1, 1)))
    with pytest.raises(ShapeError, match=r"concat: .* outside axis 0"):
        concat(x, leaf(np.zeros((2, 4))), attrs=(0,))
    with pytest.raises(DTypeError, match="concat: dtypes float64 and int64"):
        concat(x, leaf(np.zeros((2, 3), np.int64)), attrs=(0,))
    with pytest.raises(ShapeError, match=r"interleave: 3 inputs .* their product"):
        interleave(x, x, x, attrs=((2, 1),))
    with pytest.raises(ShapeError, match=r"interleave: .* equal shapes"):
        interleave(x, leaf(np.zeros((2, 4))), attrs=((2, 1),))
    with pytest.raises(ShapeError, match=r"window: 5 wide .* smaller window"):
        window(x, attrs=((1,), (3,), (1,), (2,)))
