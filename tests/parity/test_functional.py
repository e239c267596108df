"""`nn.functional` against PyTorch's operator database: a few samples of each entry, and all of them
with AMBOS_PARITY=all. What is an error there is one here."""

import os

import pytest

import ambos as am
from tests.parity.functional import call_ours, compare, deviates, entries, leaves, name_of, seeded

EVERY = os.environ.get("AMBOS_PARITY") == "all"
FEW = 6  # samples of an entry that are compared in the quick run
ENTRIES = entries()
ERRORS = [op for op in ENTRIES if op.error_inputs_func is not None]


@pytest.mark.parametrize("op", ENTRIES, ids=name_of)
def test_samples(op):
    samples = [s for s in seeded(op) if not deviates(op, s)]
    step = 1 if EVERY else max(1, len(samples) // FEW)
    for sample in samples[::step]:
        compare(op, sample)


def looked_at(op, sample):
    """Our result, computed."""
    result, _ = call_ours(op, sample)
    return [leaf.numpy() for leaf in leaves(result)]


@pytest.mark.parametrize("op", ERRORS, ids=name_of)
def test_errors(op):
    for case in op.error_inputs("cpu"):
        with pytest.raises(am.errors.AmbosError):
            looked_at(op, case.sample_input)
