"""A short run over random graphs; `make fuzz` is the long one."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from ambos.core.dtype import float32
from ambos.graph import show
from ambos.ops import registry
from ambos.ops.movement import flip
from ambos.ops.simplify import SIMPLIFICATIONS
from ambos.testing.samples import samples
from tests.fuzz.check import differences, report, smallest
from tests.fuzz.chunks import chunk, numbered
from tests.fuzz.graphs import RULES, SAMPLES_BESIDES, drawable, graph
from tests.fuzz.operands import Draw, plain_leaf


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_small_graphs(random: Random) -> None:
    one = graph(Draw(random), most=6)
    note(show(one.roots))
    assert differences(one.roots) == []


def test_a_slice_of_the_long_run() -> None:
    *_, result = chunk(seed=4, number=0, size=10)
    assert (result.findings, result.graphs) == ([], 10)
    assert len(result.ops) > 20


@pytest.mark.parametrize("kind", drawable())
def test_every_op_can_be_drawn(kind: str) -> None:
    """A new op needs a rule, or samples: nothing else has to be said of it here."""
    for op in drawable()[kind]:
        assert {op.name, kind} & RULES.keys() or samples(op) or op.name in SAMPLES_BESIDES, op


def test_the_same_number_is_the_same_graph() -> None:
    assert show(numbered(1, 7).roots) == show(numbered(1, 7).roots)
    assert show(numbered(1, 7).roots) != show(numbered(2, 7).roots)


def x_and_y() -> tuple:
    rng = np.random.default_rng(0)
    return tuple(
        plain_leaf(rng.normal(size=(3, 5)).astype("f4"), (3, 5), float32) for _ in range(2)
    )


def test_a_wrong_reference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = x_and_y()
    roots = [registry["negative"](registry["maximum"](x, y))]
    assert differences(roots) == []
    more = staticmethod(lambda np, a, b: np.maximum(a, b) + 1)
    monkeypatch.setattr(type(registry["maximum"]), "ref", more)
    (found,) = differences(roots)
    assert found.startswith("maximum(float32[3, 5], float32[3, 5])")


def test_a_rewriting_that_changes_bits_is_found_and_shrinks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Op by op there is no such pattern to see."""

    def wrong(node):
        (inner,) = node.inputs
        return inner.inputs[1] if inner.op.name == "subtract" else None

    monkeypatch.setitem(SIMPLIFICATIONS, "absolute", [wrong])
    x, y = x_and_y()
    far = flip(registry["multiply"](x, y), attrs=((0,),))
    roots = [registry["exp"](registry["absolute"](registry["subtract"](far, y)))]
    wrong_roots = differences(roots)
    assert wrong_roots[0] == "root 0: fused and op by op differ"
    part = smallest(roots)
    assert part is not None
    assert part.op.name == "absolute"
    assert {below.op.name for below in part.inputs[0].inputs} == {"data"}
    assert "subtract" in report(roots, wrong_roots)
