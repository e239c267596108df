"""Our modules against PyTorch's database of modules.

`make test` looks at one sample of an eighth of the entries, always the same; `make parity` at all.
"""

from zlib import crc32

import pytest
import torch

import ambos as am
from tests.parity import modules
from tests.parity.modules import carry, check

FEW = 1  # samples of an entry, in training and in use


@pytest.mark.parametrize("name", [n for n in modules.mapped() if crc32(n.encode()) % 8 == 2])
def test_entry_agrees_with_torch(name):
    outcome = check(name, FEW)
    assert [str(failure) for failure in outcome.unexplained()] == []
    assert outcome.passed


def test_the_comparison_can_fail():
    theirs = torch.nn.Linear(2, 3)
    with pytest.raises(AssertionError, match="keys"):
        carry(theirs.state_dict(), am.nn.Linear(2, 3, bias=False))
    sample = modules.samples("nn.LayerNorm", True, 1)[0]
    found = dict(modules._trial("nn.LayerNorm", sample, True))
    assert found["train"] is None
    sample.constructor_input.kwargs["eps"] = 0.5  # which torch's side then has alone
    made = modules.Built.of(sample.constructor_input)
    assert made.kwargs["eps"] == 0.5
