"""What drawing a functional model takes for granted, and what it leaves behind: nothing."""

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos.core.errors import ArgumentError

STREAM = np.random.RandomState(0)


def test_comparisons_that_only_stand_ins_decide_are_refused():
    n = am.Input((5,)).shape[0]
    lengths = [am.Input((None,)).shape[1] for _ in range(4)]
    for answer in (
        lambda: (n + 3) // 16 == n // 16,
        lambda: (n + 1) // 11 == n // 11,
        *(lambda length=length: (length + 2) // 4 == length // 4 for length in lengths),
    ):
        with pytest.raises(ArgumentError, match="needs a number"):
            answer()


def test_chains_of_functions_on_unknown_sizes_may_be_deep():
    x = am.Input((None,))
    y = x
    for _ in range(80):
        y = y[:, 1:]
    assert str(y.shape) == "(N, L - 80)"
    data = STREAM.rand(2, 90).astype(np.float32)
    np.testing.assert_array_equal(am.Model(x, y)(am.tensor(data)).numpy(), data[:, 80:])
    images, kernel = am.Input((1, None)), am.zeros(1, 1, 3)
    z = images
    for _ in range(100):
        z = F.conv1d(F.pad(z, (1, 1)), kernel) + z
    assert str(z.shape) == "(N, 1, L)"
    assert am.Model(images, z)(am.ones(2, 1, 7)).sum().item() == 14
    n = x.shape[1]
    for _ in range(12):
        n = n - n // 2 + n % 3
    with pytest.raises(ArgumentError) as caught:
        range(n)
    assert len(str(caught.value)) < 1000
