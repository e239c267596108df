"""Complex numbers as pairs: values against NumPy, bits, and gradients by finite differences."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from ambos.autodiff import gradients
from ambos.core.dtype import COMPLEX, DType, bool_, complex64, complex128, float32, float64, int32
from ambos.core.errors import DTypeError
from ambos.graph import Node, toposort, verify
from ambos.ops import registry
from ambos.ops.arithmetic import add, cast, multiply
from ambos.ops.complex.bridge import complex_, conj, imag, real
from ambos.ops.complex.functions import HALVES, Half
from ambos.ops.complex.pairs import LINEAR_KINDS, PAIRS, in_pairs
from ambos.ops.kinds import Op, constant
from ambos.ops.sources import data, input_
from ambos.testing.samples import samples
from tests.ops.evaluators import EVALUATORS


def takes_complex(op: Op) -> bool:
    default = "biufc" if op.kind in ("contract", "index") else "biuf"
    return "c" in getattr(op, "accepts", default)


# Calls are sampled in test_call.py: their results have phases that are anybody's choice.
SAMPLED = [
    op for op in registry.values() if takes_complex(op) and samples(op) and op.kind != "call"
]


def numbers(shape: tuple[int, ...], seed: int, dtype: DType = complex128) -> Node:
    rng = np.random.default_rng(seed)
    values = np.asarray(rng.uniform(-2, 2, shape) + 1j * rng.uniform(-2, 2, shape))
    return data.leaf(values.astype(dtype.name), shape, dtype, tracked=dtype.is_inexact)


def calls(op: Op, dtype: DType) -> list[Node]:
    """`op` on complex values, for each of its samples."""
    found = []
    for seed, sample in enumerate(samples(op)):
        fills = sample.fills or ("values",) * len(sample.shapes)
        leaves = [
            numbers(shape, 10 * seed + n, dtype) if fill in ("values", "zeros") else leaf
            for n, (shape, fill, leaf) in enumerate(
                zip(sample.shapes, fills, sample.leaves(float64, seed), strict=True)
            )
        ]
        attrs = (complex128,) if op is cast else sample.attrs
        found.append(op(*leaves, attrs=attrs))
    return found


# --- completeness --------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [o for o in registry.values() if takes_complex(o)], ids=str)
def test_every_op_that_takes_complex_numbers_says_what_becomes_of_their_parts(op: Op) -> None:
    assert op.name in PAIRS or op.kind in (*LINEAR_KINDS, "call", "control")


def test_nothing_else_has_a_rule() -> None:
    bridges = {"complex", "real", "imag", "conj", "constant", "input"}
    for name in PAIRS.keys() - bridges:
        # Loops, branches and rules of one's own take what their bodies take.
        assert registry[name].kind == "control" or takes_complex(registry[name]), name


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", COMPLEX, ids=lambda d: d.name)
@pytest.mark.parametrize("op", SAMPLED, ids=lambda op: op.name)
def test_every_sample_however_it_runs(op: Op, dtype: DType) -> None:
    """NumPy's numbers, and the same bits fused, unfused and, in turns, on another processor. Every
    other sample is enough for complex64, which takes the same steps."""
    nodes = calls(op, dtype)[:: 1 if dtype is complex128 else 2]
    first = EVALUATORS["compiled"](nodes)
    tolerance = 1e-12 if dtype is complex128 else 3e-6
    for node, a, b in zip(nodes, first, EVALUATORS["reference"](nodes), strict=True):
        assert a.dtype == b.dtype, node
        np.testing.assert_allclose(a, b, tolerance, tolerance, err_msg=str(node))
    elsewhere = dtype is complex64 and (op.kind == "contract" or SAMPLED.index(op) % 3 == 0)
    for name in ("unfused", "narrow") if elsewhere else ("unfused",):
        for node, a, b in zip(nodes, first, EVALUATORS[name](nodes), strict=True):
            assert a.tobytes() == b.tobytes(), (name, node)


PARTS = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -0.75, 1e-3, 30.0, -30.0, 709.5, -800.0, 1e-9,
    1 + 1e-10, 1e-200, 1e200, -1e-310, 1.7e308, -1e308, np.inf, -np.inf, np.nan,
]  # fmt: skip
ANGLE = {"exp": 1, "expm1": 1, "sinh": 1, "cosh": 1, "tanh": 1, "sin": 0, "cos": 0, "tan": 0}
SEVERAL_ROUNDINGS = ("rsqrt", "sign", "power", "divide")  # tested otherwise
FUNCTIONS = [registry[name] for name in ("absolute", *HALVES) if name not in SEVERAL_ROUNDINGS]


def special(dtype: DType) -> np.ndarray:
    with np.errstate(over="ignore"):
        parts = np.array(PARTS, dtype.part.name)
    grid = np.empty((len(parts), len(parts)), dtype.name)
    grid.real, grid.imag = parts[:, None], parts[None, :]
    return grid.ravel()


def exact(name: str, z: np.ndarray) -> np.ndarray:
    """In 80 bits; NumPy's expm1 and log1p lose digits near 0, and at infinity expm1 has not the
    values that the Array API asks for."""
    wide = z.astype(np.clongdouble)
    x, y = wide.real, wide.imag
    with np.errstate(all="ignore"):
        if name == "log1p":
            near = np.maximum(np.abs(x), np.abs(y)) < 0.5
            found = np.log(wide + 1)
            found.imag = np.arctan2(y, x + 1)
            found.real = np.where(near, np.log1p(x * (2 + x) + y * y) / 2, found.real)
        elif name == "expm1":
            found = np.empty_like(wide)
            versine = 2 * (np.sin(y / 2) ** 2).astype(z.real.dtype)
            found.real = np.expm1(x) * np.cos(y) + 0.0 - versine
            found.imag = np.where(y == 0, y, np.exp(x) * np.sin(y))
            no_angle = ~np.isfinite(y)
            found.real[no_angle & np.isinf(x)] = np.inf
            found[no_angle & (x == -np.inf)] = -1
        else:
            found = registry[name].ref(np, wide)
    return np.asarray(found)


def open_sign(z: np.ndarray) -> np.ndarray:
    """Where C99 leaves the signs of infinities and zeros open: the angle is none."""
    return ~np.isfinite(z)


@pytest.mark.parametrize("dtype", COMPLEX, ids=lambda d: d.name)
@pytest.mark.parametrize("op", FUNCTIONS, ids=lambda op: op.name)
def test_special_values_and_both_sides_of_branch_cuts(op: Op, dtype: DType) -> None:
    z = special(dtype)
    if op.name in ANGLE:  # sin and cos of larger angles mean little
        angle = np.abs((z.real, z.imag)[ANGLE[op.name]])
        z = z[(angle < 1e5) | ~np.isfinite(angle)]
    (found,) = EVALUATORS["compiled"]([op(data.leaf(z, z.shape, dtype))])
    wrong = np.zeros(z.shape, bool)
    with np.errstate(all="ignore"):
        whole = exact(op.name, z).astype(found.dtype)
        size = np.where(np.isfinite(whole), np.abs(whole), 0)
        for a, b in (found.real, whole.real), (found.imag, whole.imag):
            limits = np.finfo(b.dtype)
            signs = (np.signbit(a) == np.signbit(b)) | open_sign(z)
            near = np.abs(a - b) <= 8 * limits.eps * np.maximum(size, np.abs(b)) + limits.tiny
            special_ = (np.isinf(a) & np.isinf(b)) | ((a == 0) & (b == 0))
            wrong |= ~(special_ & signs | ~special_ & near | (np.isnan(a) & np.isnan(b)))
    detail = [(z[i], found[i], whole[i]) for i in np.flatnonzero(wrong)[:8]]
    assert not wrong.any(), f"{op.name}: {int(wrong.sum())}: (z, found, expected): {detail}"


def test_signs_have_length_one() -> None:
    z = special(complex128)
    (found,) = EVALUATORS["compiled"]([registry["sign"](data.leaf(z, z.shape, complex128))])
    assert np.array_equal(np.isnan(found), np.isnan(z) & ~np.isinf(z))
    assert (found[z == 0] == 0).all()
    plain = np.isfinite(z) & (z != 0)
    wide = z[plain].astype(np.clongdouble)
    np.testing.assert_allclose(found[plain], (wide / np.abs(wide)).astype(complex), 1e-15)
    ends = found[np.isinf(z) & ~np.isnan(z)]
    np.testing.assert_allclose(np.abs(ends), 1, 1e-15)


def test_division_is_numpys() -> None:
    parts = np.array([0.0, -0.0, 1.0, -2.0, 1e-300, 1e300, np.inf, -np.inf, np.nan])
    grid = np.array([complex(a, b) for a in parts for b in parts])
    pairs = np.array(list(product(grid, grid)))
    z, w = np.ascontiguousarray(pairs.T)
    leaves = [data.leaf(v, v.shape, complex128) for v in (z, w)]
    (found,) = EVALUATORS["compiled"]([registry["divide"](*leaves)])
    with np.errstate(all="ignore"):
        expected = z / w
        # NumPy takes 1 / divisor first, which overflows where the quotient does not.
        safe = np.isfinite(expected) | ~np.isfinite(z) | ~np.isfinite(w) | (w == 0)
        for a, b in ((found.real, expected.real), (found.imag, expected.imag)):
            same = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= 1e-14 * np.abs(found))
            open_ = np.isnan(b) & ~np.isfinite(z * w)
            wrong = ~(same | ~safe | open_)
            assert not wrong.any(), [(z[i], w[i], found[i], expected[i])
                                     for i in np.flatnonzero(wrong)[:8]]  # fmt: skip


# --- the pass ------------------------------------------------------------------------------------


def test_a_real_graph_stays_as_it_is() -> None:
    x = input_.leaf(0, (1,), (3,), float32)
    roots = [add(x, x)]
    assert in_pairs(roots) == roots


def test_no_complex_node_is_left() -> None:
    z = input_.leaf(0, (3, 1), (2, 3), complex64)
    roots = in_pairs([multiply(conj(z), z), real(z), cast(z, attrs=(bool_,)), z])
    verify(roots)
    assert not any(node.dtype.is_complex for node in toposort(roots))
    assert [root.shape for root in roots] == [(2, 3, 2), (2, 3), (2, 3), (2, 3, 2)]
    assert roots[3].op is input_, "an input is the block that it lies in"
    assert roots[3].attrs == (0, (6, 2, 1))


def test_parts_put_together_again_are_the_block_that_they_came_from() -> None:
    z = input_.leaf(0, (1,), (5,), complex64)
    (root,) = in_pairs([complex_(real(z), imag(z))])
    assert root.op is input_


def test_constants_that_compare_equal_stay_apart() -> None:
    values = [complex(0.0, 0.0), complex(-0.0, 0.0), complex(0.0, -0.0), complex(-0.0, -0.0)]
    nodes = [constant(value, complex128, (2,)) for value in values]
    found = EVALUATORS["compiled"](nodes)
    for value, array in zip(values, found, strict=True):
        assert array.tobytes() == np.array([value, value]).tobytes()


@pytest.mark.parametrize("target", [float64, int32], ids=lambda d: d.name)
def test_nothing_drops_the_imaginary_part_silently(target: DType) -> None:
    with pytest.raises(DTypeError, match=r"use x\.real, x\.imag or am\.abs"):
        cast(numbers((2,), 0), attrs=(target,))


@pytest.mark.parametrize("name", ["less", "maximum", "floor", "remainder", "max", "argmin", "sort"])
def test_complex_numbers_have_no_order(name: str) -> None:
    op, z = registry[name], numbers((2,), 0)
    attrs = {"reduce": ((0,),), "sort": (2, False)}.get(op.kind, ())
    with pytest.raises(DTypeError, match="complex128"):
        op(*[z] * getattr(op, "arity", 1), attrs=attrs)


# --- gradients -----------------------------------------------------------------------------------

STEP = 1e-6
DIFFERENTIABLE = [op for op in SAMPLED if op.differentiable]


def loss(values: np.ndarray, weights: np.ndarray) -> float:
    """A real number of which conj(weights) is the gradient by `values`."""
    return float(np.sum(weights.real * values.real) + np.sum(weights.imag * values.imag))


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=lambda op: op.name)
def test_gradients_are_the_slopes_in_both_directions(op: Op) -> None:
    """d/dx + i d/dy of a real loss, PyTorch's convention."""
    for node in calls(op, complex128)[:3]:
        if not node.size:
            continue
        rng = np.random.default_rng(1)
        weights = rng.normal(size=node.shape) + 1j * rng.normal(size=node.shape)
        weights = np.asarray(weights if node.dtype.is_complex else weights.real)
        wanted = [leaf for leaf in node.inputs if leaf.dtype.is_inexact]
        seed = data.leaf(weights, node.shape, node.dtype)
        found = gradients([node], [seed], wanted)
        present = [g for g in found if g is not None]
        for leaf, gradient in zip(wanted, EVALUATORS["reference"](present), strict=True):
            assert gradient.dtype == leaf.value.dtype
            slopes = np.zeros(leaf.shape, gradient.dtype)
            for place in np.ndindex(leaf.shape):
                for direction in (1, 1j) if leaf.dtype.is_complex else (1,):
                    ends = []
                    for sign in (1, -1):
                        moved = leaf.value.copy()
                        moved[place] += sign * STEP * direction
                        memo = {leaf: moved}
                        ends.append(reference_of(node, memo))
                    change = (ends[0] - ends[1]) / (2 * STEP)
                    slopes[place] += direction * loss(np.asarray(change), weights)
            np.testing.assert_allclose(gradient, slopes, rtol=2e-6, atol=2e-6, err_msg=str(node))


def reference_of(node: Node, memo: dict[Node, np.ndarray]) -> np.ndarray:
    from ambos.testing.reference import evaluate

    (found,) = evaluate([node], memo)
    return found


def test_parts_are_computed_without_gradients_of_their_own() -> None:
    assert all(not half.differentiable for pair in HALVES.values() for half in pair)
    assert all(isinstance(half, Half) for pair in HALVES.values() for half in pair)
