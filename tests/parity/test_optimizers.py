"""Every entry of PyTorch's optimizer database, with all of its settings, over five steps."""

import pytest

from tests.parity import optimizers


@pytest.mark.parametrize("name", sorted(set(optimizers.ENTRIES) - set(optimizers.OUT)))
def test_five_steps_equal_pytorchs(name: str) -> None:
    count, differences = optimizers.check(name)
    assert count >= 4
    assert differences == []
    assert optimizers.accepted(name)[1] == []


def test_the_database_is_the_one_that_was_looked_at() -> None:
    assert len(optimizers.ENTRIES) == 15
    assert optimizers.OUT == {}
