"""Tests of this room run on the compiler, or, with the fixture `reference`, on the first oracle."""

import sys
import types

import numpy as np
import pytest

from ambos.core.dtype import bfloat16
from ambos.tensor.array import Array
from ambos.testing.reference import evaluate


def realize_by_reference(nodes):
    memo = {}
    for node, found in zip(nodes, evaluate(nodes, memo), strict=True):
        assert node.dtype is not bfloat16
        node.value = Array.from_numpy(np.array(found))


@pytest.fixture
def reference(monkeypatch):
    """Values by the ops' declared rules: what an index or a composition means, no compiler."""
    module = types.ModuleType("ambos.tensor.realize")
    module.realize = realize_by_reference
    monkeypatch.setitem(sys.modules, "ambos.tensor.realize", module)


@pytest.fixture(params=["compiled", "reference"])
def either(request):
    """Both ways."""
    if request.param == "reference":
        request.getfixturevalue("reference")
