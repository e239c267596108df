"""Every differentiable op's gradient against central differences, and its second derivative."""

import pytest

from ambos.core.dtype import float64
from ambos.ops import registry
from ambos.ops.kinds import Pointwise
from ambos.testing.gradcheck import gradcheck, gradgradcheck
from ambos.testing.samples import Sample, accepted, samples

DIFFERENTIABLE = [
    sample
    for op in registry.values()
    if op.differentiable and float64 in accepted(op)
    for sample in samples(op)
    if sample.build(sample.leaves(float64)).dtype.is_floating  # not the positions among results
]
ONCE = {"take", "gather", "put", "scatter_add", "scatter_elements"}


def _elementwise(sample: Sample) -> bool:
    return isinstance(sample.op, Pointwise)


@pytest.mark.parametrize("sample", DIFFERENTIABLE, ids=str)
def test_gradient(sample: Sample) -> None:
    gradcheck(
        lambda *leaves: sample.build(leaves),
        sample.leaves(float64),
        elementwise=_elementwise(sample),
    )


def _small(sample: Sample) -> bool:
    return sum(leaf.size for leaf in sample.leaves(float64)) <= 120


@pytest.mark.parametrize("sample", [s for s in DIFFERENTIABLE if _small(s)], ids=str)
def test_second_derivative(sample: Sample) -> None:
    gradgradcheck(
        lambda *leaves: sample.build(leaves),
        sample.leaves(float64),
        elementwise=_elementwise(sample),
    )
