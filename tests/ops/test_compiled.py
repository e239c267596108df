"""The registry through the real compiler: every op, dtype and gradient against the reference,
and the same bits fused and unfused."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, note, settings

from ambos.autodiff import gradients
from ambos.core.dtype import ALL, DType, bfloat16, bool_, float16, float32, float64, int32, uint8
from ambos.graph import show, toposort
from ambos.graph.node import Node
from ambos.ops import registry
from ambos.ops.arithmetic import cast, divide, less, maximum, relu, subtract, where
from ambos.ops.contraction import contract, conv, make_spec, plain
from ambos.ops.functions import erf, exp, power, sin, tanh
from ambos.ops.kinds import Op, constant
from ambos.ops.movement import expand, permute, reshape
from ambos.ops.reductions import max_, prod, sum_
from ambos.ops.sources import data
from ambos.testing.reference import round_to, storage
from ambos.testing.samples import accepted, samples
from tests.ops.evaluators import EVALUATORS, Evaluate
from tests.ops.test_registry import (
    TRIGONOMETRIC_RANGE,
    approximate,
    operand_dtypes,
    same_bits,
    special_values,
)
from tests.ops.test_simplify import graphs

OPS = [op for op in registry.values() if samples(op) and op.kind != "random"]
TYPICAL = (float32, float64, float16, bfloat16, int32, uint8, bool_)
COMPILED = [name for name in EVALUATORS if name != "reference"]
OTHERS = [name for name in COMPILED if name != "compiled"]
OWN_TEXT = ("contract", "attention")  # kinds of ops whose kernels are others on other processors
TURNS = 3  # so many dtypes share the samples of an op where not each needs all


def summed(node: Node) -> bool:
    """Does the order of a sum decide the last bits? NumPy's is another."""
    attention = node.op.kind == "attention"  # type: ignore[attr-defined]
    return attention or node.op.name in (
        "sum",
        "prod",
        "contract",
        "scatter_add",
        "scatter_elements",
        "scatter_fold",
        "cumsum",
        "cumprod",
        "logcumsumexp",
        "logaddexp",
    )


def inexact(node: Node) -> bool:
    """May NumPy give other bits? Which of two zeros is the largest is our own choice."""
    extremes = ("max", "min", "amax", "amin", "cummax", "cummin")
    return summed(node) or approximate(node.op) or node.op.name in extremes  # type: ignore[arg-type]


def close(found: np.ndarray, expected: np.ndarray, node: Node) -> bool:
    """The same bits, or for sums and elementary functions nearly the same numbers."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    equal = same_bits(found, expected)
    if node.dtype.is_floating and (summed(node) or approximate(node.op)):  # type: ignore[arg-type]
        digits = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 2e-6, "float64": 1e-13}
        with np.errstate(over="ignore", invalid="ignore"):
            wide, exact = found.astype(np.float64), expected.astype(np.float64)
            several = 4 if node.op.kind == "attention" else 1  # type: ignore[attr-defined]
            tolerance = digits[node.dtype.name] * np.maximum(np.abs(exact), summed(node)) * several
            equal |= np.abs(wide - exact) <= tolerance
    if node.op.name in ("sin", "cos", "tan"):
        argument = np.abs(np.asarray(node.inputs[0].value, np.float64))
        equal |= argument > TRIGONOMETRIC_RANGE[node.dtype.compute]
    return bool(equal.all())


def failures(nodes: list[Node], evaluate: Evaluate) -> list[str]:
    """What goes wrong, node by node; one Program when nothing does."""
    expected = EVALUATORS["reference"](nodes)
    try:
        found = evaluate(nodes)
        if all(close(a, b, node) for a, b, node in zip(found, expected, nodes, strict=True)):
            return []
    except Exception as problem:
        together: list[str] = [f"together: {type(problem).__name__}: {problem}"]
    else:
        together = ["together"]
    wrong = []
    for node, values in zip(nodes, expected, strict=True):
        kinds = [f"{i.dtype.name}{list(i.shape)}" for i in node.inputs]
        name = f"{node.op.name}({', '.join(kinds)}){node.attrs}"
        try:
            (alone,) = evaluate([node])
        except Exception as problem:
            wrong.append(f"{name}: {type(problem).__name__}: {problem}")
            continue
        if not close(alone, values, node):
            wrong.append(f"{name}:\n  found {alone!r}\n  not   {values!r}")
    return wrong or together


def calls(op: Op, name: str) -> list[Node]:
    """Every sample of `op` in float32, a half precision and integers. The other dtypes share what
    is said of these but for the way into and out of registers, so they take turns with the samples;
    kernels of contractions and attention are made for their dtypes. On another processor, for which
    most texts are the same, all but float32 take turns.
    """
    many, found = list(samples(op)), []
    for turn, dtype in enumerate(accepted(op)):
        if dtype not in TYPICAL and (name != "compiled" or op.kind == "contract"):
            continue
        own = dtype in (float32, float16, int32) or op.kind in OWN_TEXT
        whole = dtype is float32 or (own and dtype in TYPICAL and name != "narrow")
        taken = many if whole else many[turn % min(TURNS, len(many)) :: TURNS]
        found += [sample.build(sample.leaves(dtype)) for sample in taken]
    return found


@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_sample_and_dtype(op: Op, name: str) -> None:
    assert failures(calls(op, name), EVALUATORS[name]) == []


@pytest.mark.parametrize(
    "op", [op for op in OPS if op.kind == "pointwise" and op is not cast], ids=lambda op: op.name
)
def test_special_values(op: Op) -> None:
    nodes = []
    for dtype in accepted(op):
        dtypes = operand_dtypes(op, dtype)
        columns = zip(*product(*[special_values(d) for d in dtypes]), strict=True)
        arrays = [np.array(c, storage(d)) for c, d in zip(columns, dtypes, strict=True)]
        leaves = [data.leaf(a, a.shape, d) for a, d in zip(arrays, dtypes, strict=True)]
        nodes.append(op(*leaves))
    assert failures(nodes, EVALUATORS["compiled"]) == []


@pytest.mark.parametrize("source", ALL, ids=lambda d: d.name)
def test_casts(source: DType) -> None:
    values = special_values(source)
    leaf = data.leaf(values, values.shape, source)
    nodes = [cast(leaf, attrs=(target,)) for target in ALL if target is not source]
    assert failures(nodes, EVALUATORS["compiled"]) == []


DIFFERENTIABLE = [op for op in OPS if op.differentiable and float64 in accepted(op)]


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=lambda op: op.name)
def test_gradients(op: Op) -> None:
    """The same bits fused and unfused, in float64 the reference's numbers; and in turns, in
    float32, the same bits on another processor."""
    elsewhere = op.kind in OWN_TEXT or DIFFERENTIABLE.index(op) % TURNS == 0
    for dtype in (float64, float32):
        found = []
        for sample in samples(op):
            leaves = sample.leaves(dtype)
            out = sample.build(leaves)
            weights = np.random.default_rng(1).uniform(0.5, 1.5, out.shape)
            seed = data.leaf(weights.astype(out.dtype.name), out.shape, out.dtype)
            found += [g for g in gradients([out], [seed], leaves) if g is not None]
        if not found:
            continue
        fused = EVALUATORS["compiled"](found)
        assert_same_bits(found, fused, OTHERS if elsewhere and dtype is float32 else ["unfused"])
        if dtype is float64:
            for node, a, b in zip(found, fused, EVALUATORS["reference"](found), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11, err_msg=str(node))


def assert_same_bits(
    nodes: list[Node], fused: list[np.ndarray], names: Sequence[str] = OTHERS
) -> None:
    """Whatever way they are computed."""
    for name in names:
        for node, a, b in zip(nodes, fused, EVALUATORS[name](nodes), strict=True):
            assert same_bits(a, b).all(), (name, node, a, b)


@settings(max_examples=60)
@given(graphs())
def test_random_graphs_have_the_same_bits_fused_and_unfused(node: Node) -> None:
    note(show([node]))
    (fused,) = EVALUATORS["compiled"]([node])
    assert_same_bits([node], [fused])
    below = [n for n in toposort([node]) if n.dtype.is_floating]
    if not any(inexact(n) for n in below if n.inputs):
        (expected,) = EVALUATORS["reference"]([node])
        assert fused.dtype == expected.dtype
        assert same_bits(fused, expected).all(), (fused, expected)


# --- the bits contract ---------------------------------------------------------------------------


def random_leaf(*shape: int, dtype: DType = float32) -> Node:
    values = np.random.default_rng(sum(shape)).normal(size=shape)
    return data.leaf(round_to(values.astype(storage(dtype.compute)), dtype), shape, dtype, True)


def softmax(x: Node) -> Node:
    largest = max_(x, attrs=((x.rank - 1,),))
    powers = exp(subtract(x, _along(x, largest)))
    return divide(powers, _along(x, sum_(powers, attrs=((x.rank - 1,),))))


def _along(x: Node, row: Node) -> Node:
    return expand(reshape(row, attrs=((*row.shape, 1),)), attrs=(x.shape,))


def matmul(a: Node, b: Node) -> Node:
    sizes = {"i": a.shape[0], "k": a.shape[1], "j": b.shape[1]}
    return contract(a, b, attrs=(make_spec(plain("ik"), "kj", "ij", "k", sizes),))


def large_graphs(dtype: DType) -> dict[str, list[Node]]:
    """More than a vector, a block of a sum, a tile, and not a multiple of any."""
    x, y = random_leaf(37, 9001, dtype=dtype), random_leaf(131, 67, dtype=dtype)
    z, image = random_leaf(67, 301, dtype=dtype), random_leaf(2, 5, 19, 23, dtype=dtype)
    weight = random_leaf(7, 5, 3, 3, dtype=dtype)
    folded = conv(image, weight, (2, 1), (1, 1), (1, 2), 1)
    product_ = relu(matmul(tanh(y), z))
    flat = random_leaf(70_001, dtype=dtype)
    return {
        "sums": [sum_(x, attrs=((1,),)), sum_(x, attrs=((0,),)), sum_(x, attrs=((0, 1),))],
        "flat": [sum_(flat, attrs=((0,),)), prod(flat, attrs=((0,),)), max_(flat, attrs=((0,),))],
        "softmax": [softmax(x)],
        "matmul": [product_, *_grads(product_, [y, z])],
        "conv": [folded, *_grads(folded, [image, weight])],
        "attention": _grads(softmax(matmul(y, z)), [y, z]),
        "elementary": [power(exp(tanh(x)), x), erf(sin(x))],
    }


def _grads(out: Node, wanted: list[Node]) -> list[Node]:
    seed = random_leaf(*out.shape, dtype=out.dtype)
    return [g for g in gradients([out], [seed], wanted) if g is not None]


@pytest.mark.parametrize("name", large_graphs(float32))
@pytest.mark.parametrize("dtype", [float32, float64, float16, bfloat16], ids=lambda d: d.name)
def test_large_graphs_have_the_same_bits_however_they_run(dtype: DType, name: str) -> None:
    nodes = large_graphs(dtype)[name]
    fused = EVALUATORS["compiled"](nodes)
    assert_same_bits(nodes, fused)
    if dtype is float64 and name not in ("flat",):
        for a, b in zip(fused, EVALUATORS["reference"](nodes), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dtype", [float32, float16], ids=lambda d: d.name)
def test_layout_does_not_change_the_bits(dtype: DType) -> None:
    """A transposed view sums, multiplies and convolves as its copy does."""
    values = np.random.default_rng(7).normal(size=(301, 83)).astype(dtype.name)
    a, b = random_leaf(301, 59, dtype=dtype), random_leaf(83, 59, dtype=dtype)

    def graph(x: Node) -> list[Node]:
        sums = [sum_(x, attrs=((axis,),)) for axis in (0, 1)]
        return [*sums, softmax(x), matmul(permute(x, attrs=((1, 0),)), a), matmul(x, b)]

    straight = data.leaf(values, (301, 83), dtype)
    across = data.leaf(np.ascontiguousarray(values.T), (83, 301), dtype)
    found = EVALUATORS["compiled"](graph(straight))
    other = EVALUATORS["compiled"](graph(permute(across, attrs=((1, 0),))))
    for p, q in zip(found, other, strict=True):
        assert same_bits(p, q).all()


def test_a_batch_of_one_has_the_bits_of_a_batch_of_many() -> None:
    x, w = random_leaf(33, 300), random_leaf(300, 50)
    image, weight = random_leaf(9, 3, 17, 17), random_leaf(8, 3, 3, 3)

    def graph(rows: Node, pictures: Node) -> list[Node]:
        return [softmax(matmul(rows, w)), conv(pictures, weight, (1, 1), (1, 1), (1, 1), 1)]

    many = EVALUATORS["compiled"](graph(x, image))
    for number in (0, 4, 8):
        row = data.leaf(x.value[number : number + 1], (1, 300), float32)
        picture = data.leaf(image.value[number : number + 1], (1, 3, 17, 17), float32)
        one = EVALUATORS["compiled"](graph(row, picture))
        for a, b in zip(one, many, strict=True):
            assert same_bits(a[0], b[number]).all()


@pytest.mark.parametrize("values", [(0.0, -0.0), (-0.0, 0.0)])
def test_zeros_of_both_signs_stay_apart(values: tuple[float, float]) -> None:
    """In one kernel, and from one kernel to the next."""
    x = data.leaf(np.array([-0.0, 0.0, 3.0]), (3,), float64)
    a, b = (constant(value, float64, (3,)) for value in values)
    nodes = [maximum(x, a), maximum(x, b), where(less(x, constant(1, float64, (3,))), a, b)]
    expected = EVALUATORS["reference"](nodes)
    for found in (EVALUATORS["compiled"](nodes), [EVALUATORS["compiled"]([n])[0] for n in nodes]):
        for p, q in zip(found, expected, strict=True):
            assert same_bits(p, q).all(), (found, expected)
