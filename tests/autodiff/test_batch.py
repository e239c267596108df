"""Every op for many examples at once, against the same op on one example after another: the same
bits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
import pytest

from ambos.autodiff import batched
from ambos.core.dtype import DType, complex64, float32
from ambos.graph.node import Node
from ambos.ops import registry
from ambos.ops.complex.functions import Half
from ambos.ops.control import Control
from ambos.ops.kinds import Op
from ambos.ops.sources import argument, data
from ambos.testing.samples import Sample, accepted, samples
from tests.ops.evaluators import EVALUATORS
from tests.ops.test_complex import numbers
from tests.ops.test_registry import same_bits

OPS = [op for op in registry.values() if op.kind not in ("source", "control")]
SIZE = 3

# --- what each op is called with -----------------------------------------------------------------

_SPECTRA = [((3, 5, 4), axes, scale) for axes in ((2,), (2, 0)) for scale in ("none", "root")]
COMPLEX = {
    "real": [(((2, 3),), ())],
    "imag": [(((2, 3),), ())],
    "conj": [(((2, 3),), ())],
    "fft.fft": [((s,), (0, a, scale == "none", scale)) for s, a, scale in _SPECTRA],
    "fft.irfft": [((s,), (0, a, 7, scale)) for s, a, scale in _SPECTRA],
}


def own_samples(op: Op) -> list[Sample]:
    """Some of the samples of `op`; those of ops that test_complex.py calls are here."""
    if isinstance(op, Half):
        return [Sample(op, ((2, 3),) * op.arity)]
    if op.name == "complex":
        return [Sample(op, ((2, 3), (2, 3)))]
    if op.name in COMPLEX:
        return [Sample(op, *case) for case in COMPLEX[op.name]]
    found = samples(op)
    if op.kind in ("pointwise", "random"):  # which do not look at shapes
        return found[-1:]
    return found[::4] if op.name == "attention_gradient" else found


def dtype_of(op: Op) -> DType:
    if op.name in COMPLEX:
        return complex64
    kinds = accepted(op) or [float32]
    return float32 if float32 in kinds else kinds[0]


def takes_both(op: Op) -> bool:
    """Real numbers, in the test of every op, and complex ones?"""
    default = "biufc" if op.kind in ("contract", "index") else "biuf"
    return "c" in getattr(op, "accepts", default) and op.name not in COMPLEX


def leaves_of(sample: Sample, dtype: DType, seed: int) -> list[Node]:
    if not dtype.is_complex:
        return sample.leaves(dtype, seed)
    fills = sample.fills or ("values",) * len(sample.shapes)
    real = sample.leaves(dtype.part, seed)
    return [
        numbers(shape, 10 * seed + n, dtype) if fill in ("values", "zeros")
        else leaf if fill not in ("matrix", "positive")
        else data.leaf(leaf.value.astype(dtype.name), shape, dtype, tracked=True)
        for n, (shape, fill, leaf) in enumerate(zip(sample.shapes, fills, real, strict=True))
    ]  # fmt: skip


def stacked(leaves: Sequence[Node], axis: int = 0) -> Node:
    values = np.stack([leaf.value for leaf in leaves], axis)
    return data.leaf(values, values.shape, leaves[0].dtype, leaves[0].tracked)


def without_value(leaf: Node) -> Node:
    return argument.leaf(leaf.shape, leaf.dtype, leaf.tracked)


# --- every choice of operands --------------------------------------------------------------------


def shares_its_rule(op: Op) -> bool:
    """Is the rule that of its kind, and tested in full by a few? Each op has kernels of its own to
    compile."""
    return op.kind in ("pointwise", "random") and op.name not in ("add", "where", "fma", "sin")


def subsets(op: Op, count: int) -> list[tuple[bool, ...]]:
    """Which of `count` operands are batched: every choice of a few; of many, all or one."""
    if shares_its_rule(op):
        first = (True, *(False for _ in range(count - 1)))
        return [(True,) * count] if count == 1 or op.kind == "random" else [(True,) * count, first]
    sizes = range(1, count + 1) if count <= 3 else (1, count)
    chosen = [c for n in sizes for c in combinations(range(count), n)]
    return [tuple(i in c for i in range(count)) for c in chosen]


Case = tuple[str, Node, list[Node]]  # the node of all examples, and that of each


def cases(sample: Sample, dtype: DType) -> list[Case]:
    rows = [leaves_of(sample, dtype, seed) for seed in range(SIZE)]
    columns = [list(column) for column in zip(*rows, strict=True)]
    arguments = [without_value(leaf) for leaf in rows[0]]
    found = []
    for choice in subsets(sample.op, len(columns)):
        one = [a if c else x for a, c, x in zip(arguments, choice, rows[0], strict=True)]
        given = {a: stacked(column) for a, column in zip(arguments, columns, strict=True)}
        ((together, depends),) = batched([sample.build(one)], given, SIZE)
        alone = [
            sample.build([x if c else y for x, c, y in zip(row, choice, rows[0], strict=True)])
            for row in rows
        ]
        assert depends
        assert (together.shape, together.dtype) == ((SIZE, *alone[0].shape), alone[0].dtype)
        assert together.tracked == alone[0].tracked
        found.append((f"{sample} {sample.attrs} {choice}", together, alone))
    return found


def nested(sample: Sample, dtype: DType) -> Case:
    """Operands by turns differ along both batches, along the outer and along the inner one."""
    rows = [leaves_of(sample, dtype, seed) for seed in range(SIZE * 2)]
    arguments, inner, outer = [without_value(leaf) for leaf in rows[0]], {}, {}
    alone = [list(row) for row in rows]
    for n, one in enumerate(arguments):
        table = [[rows[2 * i + j][n] for j in range(2)] for i in range(SIZE)]
        if n % 3 == 0:
            inner[one] = without_value(stacked(table[0]))
            outer[inner[one]] = stacked([stacked(row) for row in table])
        elif n % 3 == 1:
            outer[one] = stacked([row[0] for row in table])
        else:
            inner[one] = stacked(table[0])
        for i, j in product(range(SIZE), range(2)):
            alone[2 * i + j][n] = table[0 if n % 3 == 2 else i][0 if n % 3 == 1 else j]
    ((once, _),) = batched([sample.build(arguments)], inner, 2)
    ((twice, _),) = batched([once], outer, SIZE)
    return f"{sample} nested", twice, [sample.build(row) for row in alone]


def differences(found: list[Case]) -> list[str]:
    """The cases whose bits differ; computed in one Program."""
    nodes = [node for _, together, alone in found for node in (together, *alone)]
    values = iter(EVALUATORS["compiled"](nodes))
    wrong = []
    for name, together, alone in found:
        whole, rows = next(values), [next(values) for _ in alone]
        if not same_bits(whole, np.stack(rows).reshape(together.shape)).all():
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_like_a_loop(op: Op) -> None:
    dtype = dtype_of(op)
    found = [case for sample in own_samples(op) for case in cases(sample, dtype)]
    assert found
    if not shares_its_rule(op):
        found.append(nested(own_samples(op)[-1], dtype))
    assert differences(found) == []


# What a complex call is made of (call_on_blocks) is real.
BOTH = [op for op in OPS if takes_both(op) and op.name != "call_on_blocks"]
BOTH = [op for op in BOTH if not shares_its_rule(op)]


@pytest.mark.parametrize("op", BOTH, ids=lambda op: op.name)
def test_complex_numbers(op: Op) -> None:
    assert differences(cases(own_samples(op)[-1], complex64)) == []


@pytest.mark.parametrize("op", registry.values(), ids=lambda op: op.name)
def test_every_op_has_a_rule(op: Op) -> None:
    own = type(op).batch is not Op.batch or type(op).batch_attrs is not Op.batch_attrs
    own |= isinstance(op, Control) and type(op).spread is not Control.spread
    assert own or op.kind == "source"
