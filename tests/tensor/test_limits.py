"""Limits of dtypes against torch."""

import pytest
import torch

import ambos as am
from ambos.core.errors import DTypeError


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_floats(name):
    ours, theirs = am.finfo(name), torch.finfo(getattr(torch, name))
    for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal"):
        assert getattr(ours, field) == getattr(theirs, field)


@pytest.mark.parametrize("name", ["int8", "int16", "int32", "int64", "uint8"])
def test_integers(name):
    ours, theirs = am.iinfo(name), torch.iinfo(getattr(torch, name))
    assert (ours.bits, ours.min, ours.max) == (theirs.bits, theirs.min, theirs.max)


def test_kinds():
    assert am.finfo(am.ones(1)).dtype is am.float32
    assert am.iinfo(am.tensor([1])).dtype is am.int64
    with pytest.raises(DTypeError, match="need a floating dtype: use iinfo"):
        am.finfo(am.int8)
    with pytest.raises(DTypeError, match="need an integer dtype: use finfo"):
        am.iinfo(am.float32)
    assert am.zeros(2)[am.newaxis].shape == (1, 2)
    assert am.inf > am.pi > am.e
