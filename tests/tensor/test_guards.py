"""What tells whether a recording holds: bits of arguments, identity of objects; one warning."""

from __future__ import annotations

import gc
import warnings
from typing import Any

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import RecordingWarning
from ambos.tensor import jit, signature
from ambos.tensor.guards import Same, exactly


def test_numbers_are_told_by_their_bits() -> None:
    scaled = am.jit(lambda x, factor: x * factor)
    one = am.ones(1)
    for factor in (0.0, -0.0, 0, False, 1, True, 1.0):
        found, wanted = scaled(one, factor), one * factor
        assert (found.numpy().tobytes(), found.dtype) == (wanted.numpy().tobytes(), wanted.dtype)
    known = len(scaled._recordings)
    for _ in range(3):
        assert np.isnan(scaled(one, float("nan")).item())
    assert len(scaled._recordings) == known + 1


def test_a_class_is_no_array() -> None:
    cast = am.jit(lambda x, dtype: x.astype(dtype))
    assert cast(am.ones(1), np.int32).dtype is am.int32
    assert cast(am.ones(1), np.float64).dtype is am.float64


def test_exactly() -> None:
    assert len({exactly(v) for v in (1, 1.0, True, (1,), (1.0,), ((1,),), "1", None)}) == 8
    values: list[Any] = [1, 2]
    assert exactly(values) == exactly(values) != exactly([1, 2])
    x = am.ones(2)
    assert Same(x) == Same(x) != Same(am.ones(2))
    gone = Same(am.ones(2))
    gc.collect()
    assert gone != Same(x)
    assert gone != gone.__class__(am.ones(2))
    assert Same(None) == Same(None) != gone
    assert Same(None) not in (gone, Same(x))


def test_what_was_used_longest_ago_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "MAX_SIGNATURES", 3)
    grown = am.jit(lambda x: x + 1)
    for size in (1, 2, 3, 4, 1, 5, 1, 6, 1):
        assert grown(am.ones(size)).tolist() == [2] * size
    shapes = {key[signature.FIRST][0] for key in grown._recordings}
    assert {(1,), (6,)} <= shapes
    assert len(shapes) <= 4


@pytest.mark.parametrize("argument", [lambda n: 0.5 + n, lambda n: n, lambda n: {"step": str(n)}])
def test_a_fixed_argument_that_changes_at_every_call_is_warned_of_once(argument: Any) -> None:
    held = am.jit(lambda x, step: x + 1)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for number in range(20):
            held(am.ones(2), argument(number))
    assert [w.category for w in found] == [RecordingWarning]
    text = str(found[0].message)
    assert "recorded for the 9th time: argument step" in text
    assert "as a tensor" in text
    assert found[0].filename == __file__


def test_shapes_and_few_values_are_no_reason_to_warn() -> None:
    held = am.jit(lambda x, mode: x + 1)
    for number in range(20):
        held(am.ones(number + 1), "odd")
        held(am.ones(3), number % 2)


def test_a_key_for_each_step_without_a_recording_for_each() -> None:
    key = am.random.key(3)
    drawn = am.jit(lambda step: am.random.uniform(am.random.fold_in(key, step), (2,)))
    for step in (0, 7, 2**40 + 5, -3):
        wanted = am.random.uniform(am.random.fold_in(key, step), (2,))
        assert drawn(am.tensor(step)).tolist() == wanted.tolist()
    assert len(drawn._recordings) == 1
