"""2^31 elements and more: counts and addresses have 64 bits everywhere.

The data is memory of the system that nobody has written to, which costs nothing but reading it."""

from __future__ import annotations

import pytest

import ambos as am
from ambos.ops.sources import data
from ambos.tensor.array import Array
from ambos.tensor.handle import wrap

pytestmark = pytest.mark.large
MANY = 2**31 + 5


@pytest.fixture(scope="module")
def large() -> am.Tensor:
    """int8 zeros, but for 3 at element 5, 7 in front of the last and 1 at the end."""
    memory = Array.zeros((MANY,), am.int8)
    values = memory.storage.numpy("int8", (MANY,))
    values[5], values[-2], values[-1] = 3, 7, 1
    return wrap(data.leaf(memory, (MANY,), am.int8))


def test_elements_at_the_end(large: am.Tensor) -> None:
    assert large.shape == (MANY,)
    assert [large[i].item() for i in (5, -2, 2**31 + 3, 2**31 + 4, 2**31 - 1)] == [3, 7, 7, 1, 0]
    assert large[2**31 + 2 :].tolist() == [0, 7, 1]
    assert large[:: 2**31 + 3].tolist() == [0, 7]
    assert am.flip(large, axis=0)[:3].tolist() == [1, 7, 0]
    index = am.tensor([2**31 + 4, 5, 2**31 + 3])
    assert am.take(large, index, axis=0).tolist() == [1, 3, 7]
    assert am.gather(large, 0, index).tolist() == [1, 3, 7]
    with pytest.raises(am.errors.IndexingError, match=str(MANY)):
        am.take(large, am.tensor([MANY]), axis=0).tolist()


def test_folds_over_all(large: am.Tensor) -> None:
    found = am.sum(large, dtype=am.int64), am.argmax(large), am.max(large)
    am.evaluate(*found)
    assert [one.item() for one in found] == [11, MANY - 2, 7]


def test_rows_that_begin_beyond(large: am.Tensor) -> None:
    table = large[: 3 * 2**29].reshape(3, 2**29)
    assert table[2, -1].item() == 0
    wide = am.broadcast_to(am.tensor([[1], [2]], dtype=am.int8), (2, 2**30 + 7))
    assert am.sum(wide, axis=1, dtype=am.int64).tolist() == [2**30 + 7, 2 * (2**30 + 7)]
