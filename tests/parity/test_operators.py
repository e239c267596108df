"""Our functions against PyTorch's operator database: forward, gradients and refusals.

`make test` looks at one sample of each kind for half of the entries, always the same; `make parity`
at all of all.
"""

from zlib import crc32

import pytest
import torch

import ambos as am
from tests.parity import database, mapping
from tests.parity.check import check
from tests.parity.compare import difference

FEW = 1  # samples of each dtype, and error inputs, of an entry


@pytest.mark.parametrize("name", [n for n in mapping.mapped() if crc32(n.encode()) % 2])
def test_entry_agrees_with_torch(name):
    outcome = check(name, FEW)
    assert [str(failure) for failure in outcome.unexplained()] == []


def test_tables_name_entries_that_exist():
    tables = (mapping.OUT, mapping.ADAPTERS, mapping.KNOWN, mapping.WITHOUT_VALUES,
              mapping.TOLERANCE, mapping.BOTH, mapping.PLACES, mapping.GIVEN,
              mapping.REFUSED_BY_TORCH_ONLY)  # fmt: skip
    for table in tables:
        assert set(table) <= set(database.ENTRIES)
        assert list(table) == sorted(table)
    assert not set(mapping.OUT) & set(mapping.ADAPTERS)


def test_the_comparison_can_fail():
    x = torch.tensor([1.0, 2.0, float("nan")])
    assert difference(am.tensor([1.0, 2.0, float("nan")]), x) is None
    assert "values differ" in difference(am.tensor([1.0, 2.001, float("nan")]), x)
    assert "values differ" in difference(am.tensor([1.0, 2.0, 3.0]), x)
    assert "dtype" in difference(am.tensor([1, 2, 3]), x)
    assert "shape" in difference(am.tensor([[1.0, 2.0, 3.0]]), x)
    assert "2 results" in difference((am.zeros(1), am.zeros(1)), torch.zeros(1))
    assert "a float" in difference(1.0, torch.tensor(1.0))
