"""Memory stays flat over some steps and predictions; `make memory` takes thousands."""

import sys

import pytest

from tests.train.memory import grows, predicts, steps

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize(("case", "count"), [(steps, 200), (predicts, 200)])
def test_nothing_is_kept(case, count):
    assert grows(case(count), count) == 0
    assert grows([count * 100 * window for window in range(11)], count) > 24
