"""Calls on complex numbers: the reference's values, and the same bits however they are computed."""

from __future__ import annotations

import numpy as np
import pytest

from ambos.core.dtype import COMPLEX, DType, complex64
from ambos.core.errors import DTypeError, LinAlgError
from ambos.graph.node import Node
from ambos.ops import registry
from ambos.ops.call import Call
from ambos.ops.fourier import fft, irfft, rfft
from ambos.ops.solving import inv
from ambos.ops.sources import data
from ambos.testing.samples import Sample, samples
from tests.ops.evaluators import EVALUATORS

TRANSFORMS = [
    Sample(fft, ((3, 4),), (0, axes, forward, scale), note=f"{axes}-{forward}-{scale}")
    for axes in ((1,), (0,), (0, 1))
    for forward in (True, False)
    for scale in ("none", "root", "all")
]
TRANSFORMS += [Sample(irfft, ((3, 4),), (0, (1,), n, "all"), note=str(n)) for n in (6, 7)]
TRANSFORMS += [
    Sample(irfft, ((3, 0),), (0, (0,), 4, "all")),
    Sample(fft, ((0, 3),), (0, (1,), True, "all")),
]
CALLS = [
    sample
    for op in registry.values()
    if isinstance(op, Call) and op.accepts == "fc" and op.name != "call_on_blocks"
    for sample in samples(op)
]


REAL = ("tiny", "pivots")


def leaves_of(sample: Sample, dtype: DType) -> list[Node]:
    """Complex where the sample has floating matrices; tolerances and pivots stay real."""
    rng, found = np.random.default_rng(0), []
    fills = sample.fills or ("values",) * len(sample.shapes)
    for fill, leaf in zip(fills, sample.leaves(dtype.part), strict=True):
        values = np.asarray(leaf.value)
        if fill == "positive":
            turn = np.linalg.qr(values + 1j * rng.normal(size=leaf.shape))[0]
            values = turn @ values @ np.swapaxes(turn, -1, -2).conj()
        elif fill not in REAL:
            values = values + 0.2j * rng.normal(size=leaf.shape)
        kind = dtype.part if fill in REAL else dtype
        found.append(data.leaf(values.astype(kind.name), leaf.shape, kind))
    return found


@pytest.mark.parametrize("dtype", COMPLEX, ids=lambda d: d.name)
@pytest.mark.parametrize("op", sorted({s.op.name for s in CALLS + TRANSFORMS}))
def test_values_and_bits(op: str, dtype: DType) -> None:
    nodes = [
        s.op(*leaves_of(s, dtype), attrs=s.attrs) for s in CALLS + TRANSFORMS if s.op.name == op
    ]
    expected = EVALUATORS["reference"](nodes)
    for name in ("compiled", "unfused", "narrow"):
        for node, a, b in zip(nodes, EVALUATORS[name](nodes), expected, strict=True):
            assert a.dtype == b.dtype, (name, node)
            assert a.tobytes() == b.tobytes(), (name, node)


def test_real_transforms_of_a_complex_kernel_and_back() -> None:
    x = data.leaf(np.arange(12.0).reshape(3, 4), (3, 4), DTYPE)
    there = rfft(x, attrs=(0, (1,), "none"))
    back = irfft(there, attrs=(0, (1,), 4, "all"))
    (found,) = EVALUATORS["compiled"]([back])
    np.testing.assert_allclose(found, np.arange(12.0).reshape(3, 4), atol=1e-12)


DTYPE = COMPLEX[1].part


def test_errors_of_complex_calls_keep_their_name() -> None:
    z = np.zeros((2, 3, 3), "complex64")
    z[0] = np.eye(3)
    with pytest.raises(LinAlgError, match=r"linalg\.inv: matrix 1 of the batch is singular"):
        EVALUATORS["compiled"]([inv(data.leaf(z, z.shape, complex64))])


def test_half_precisions_are_refused() -> None:
    for name in ("float16", "bfloat16"):
        leaf = data.leaf(np.zeros((2, 2)), (2, 2), getattr(__import__("ambos"), name))
        with pytest.raises(DTypeError, match="cast first"):
            inv(leaf)
