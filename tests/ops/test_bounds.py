"""What is known of integers before they are computed, against what they turn out to be."""

from __future__ import annotations

import numpy as np
import pytest

import ambos as am
from ambos.ops.bounds import ANY, limits

DATA = np.random.default_rng(2).integers(-50, 50, 40)
ROWS = np.random.default_rng(3).normal(size=(40, 6)).astype(np.float32)
MADE = {
    "clamped": (lambda x: x.clamp(0, 9), (0, 9)),
    "clamped below": (lambda x: x.clamp(-3, None), (-3, ANY[1])),
    "clamped above": (lambda x: x.clamp(None, 7), (ANY[0], 7)),
    "moved": (lambda x: x.clamp(0, 9).reshape(8, 5).T + 2, (2, 11)),
    "a position": (lambda x: am.tensor(ROWS).argmax(1), (0, 5)),
    "a least position of all": (lambda x: am.tensor(ROWS).argmin(), (0, 239)),
    "one of two": (lambda x: am.where(x > 3, x.clamp(5, 6), am.arange(40)), (0, 39)),
    "counted from the end": (
        lambda x: am.where(x.clamp(0, 9) < 0, x.clamp(0, 9) + 10, x.clamp(0, 9)), (0, 9)
    ),
    "counted from the end, unknown": (lambda x: am.where(x < 0, x + 10, x), ANY),
    "replaced below": (lambda x: am.where(x < 0, am.arange(40), x), (0, ANY[1])),
    "times": (lambda x: x.clamp(-2, 9) * x.clamp(-3, 1) * 5 + 1, (-134, 46)),
    "times, beyond": (lambda x: x.clamp(0, 1 << 40) * (1 << 40), ANY),
    "as large as it may be": (lambda x: am.where(x > x.clamp(0, 9), x.clamp(1, 2), x), (ANY[0], 9)),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_what_is_known_holds(name):
    make, wanted = MADE[name]
    found = make(am.tensor(DATA))
    low, high = limits(found._node) or ANY
    assert (low, high) == wanted
    values = found.numpy()
    assert low <= values.min() <= values.max() <= high


def test_positions_of_maxima_need_no_check_so_that_state_is_written_in_place():
    counts = am.tensor(np.zeros(6))

    @am.jit
    def step(rows):
        counts.add_(
            am.zeros(6, dtype=am.float64).index_add(0, rows.argmax(1), am.ones(40).double())
        )

    rows = am.tensor(ROWS)
    for _ in range(3):
        step(rows)
    with am.profile() as profile:
        step(rows)
    assert not [row.kernel for row in profile.rows if "greater_equal" in row.kernel]
    np.testing.assert_array_equal(counts.numpy(), 4 * np.bincount(ROWS.argmax(1), minlength=6))
    with pytest.raises(IndexError, match="out of range"):
        am.jit(lambda x: am.zeros(3).index_add(0, x.clamp(0, 3), am.ones(40)))(
            am.tensor(DATA)
        ).numpy()
