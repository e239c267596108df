"""Constructors of layers take what PyTorch's take: names, order, defaults."""

import inspect

import pytest
import torch

import ambos as am
from ambos import nn

LEFT_OUT = {"size_average", "reduce", "min_value", "max_value"}  # which PyTorch has retired
SHARED = sorted(
    name
    for name in nn.__all__
    if isinstance(getattr(nn, name), type)
    and issubclass(getattr(nn, name), nn.Module)
    and issubclass(getattr(torch.nn, name, object), torch.nn.Module)
    and name not in ("Module", "RNNBase", "RNNCellBase", "Sequential")
)


def parameters(cls):
    found = inspect.signature(cls.__init__).parameters.values()
    return [p for p in found if p.name not in ("self", *LEFT_OUT)]


@pytest.mark.parametrize("name", SHARED)
def test_constructor(name):
    ours = parameters(getattr(nn, name))
    theirs = parameters(getattr(torch.nn, name))
    if any(p.kind is p.VAR_POSITIONAL for p in (*ours, *theirs)):  # says nothing
        return
    assert [p.name for p in ours] == [p.name for p in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        if not callable(other.default) and other.default is not None:
            assert mine.default == other.default, mine.name


def test_every_layer_of_pytorch_is_there_or_left_out():
    theirs = {
        name
        for name, found in vars(torch.nn).items()
        if isinstance(found, type) and issubclass(found, torch.nn.Module)
    }
    missing = theirs - set(nn.__all__)
    assert missing == {"Container", "CrossMapLRN2d", "DataParallel"}


def test_recurrent_layers_take_dtypes():
    assert nn.LSTM(2, 3, dtype=am.float64).weight_hh_l0.dtype is am.float64
    assert nn.GRUCell(2, 3, dtype="float64").bias_ih.dtype is am.float64
    with pytest.raises(am.errors.DeviceError, match="'cuda' is not available"):
        nn.Linear(2, 3, device="cuda")
