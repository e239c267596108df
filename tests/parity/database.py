"""PyTorch's operator database: its entries by name, their samples and their error inputs.

An entry is called by its name, with its variant after a dot where it has one ("max.binary").
"""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

with warnings.catch_warnings():  # what torch says about its own test helpers
    warnings.simplefilter("ignore")
    from torch.testing._internal import common_utils
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.opinfo import core

SEED = 2024
FIRST = 100  # samples that a few are chosen of: some entries take seconds to make a thousand


def full_name(op: Any) -> str:
    """`name.variant`, the key of every table here."""
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name


ENTRIES = {full_name(op): op for op in op_db}


def seed_everything() -> None:
    """The same samples at every run."""
    seed_torch(SEED)
    np.random.seed(SEED)
    random.seed(SEED)


# For devices that are not there `torch.manual_seed` notes down the whole stack, three times.
seed_torch = torch.default_generator.manual_seed


@contextmanager
def making_samples() -> Iterator[None]:
    """Without what takes torch longer than the samples themselves, and has no use here: at each it
    seeds other devices, and looks through the stack for a test of its own."""
    with (
        warnings.catch_warnings(),
        patch.object(torch, "manual_seed", seed_torch),
        patch.object(common_utils, "extract_test_fn", lambda: None),
        patch.object(core, "extract_test_fn", lambda: None),
    ):
        warnings.simplefilter("ignore")
        yield


def supports(op: Any, dtype: torch.dtype) -> bool:
    """Does torch compute this entry in `dtype` on the CPU?"""
    return dtype in op.supported_dtypes("cpu")


def has_gradient(op: Any, dtype: torch.dtype) -> bool:
    """Does torch differentiate this entry in `dtype`?"""
    return op.supports_autograd and dtype in op.supported_backward_dtypes("cpu")


def samples(op: Any, dtype: torch.dtype, most: int | None = None) -> list[Any]:
    """Every sample input of an entry, or the first `most`; those of floats ask for gradients where
    there are any."""
    seed_everything()
    with making_samples():
        every = op.sample_inputs("cpu", dtype, requires_grad=has_gradient(op, dtype))
        found = list(islice(every, most))
    return [_with_own_leaves(sample) for sample in found]


def _with_own_leaves(sample: Any) -> Any:
    """Leaves that are parts of others, cut out without gradients, as leaves of their own: torch
    finds no gradient of these."""
    known: dict[int, torch.Tensor] = {}

    def own(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not (value.requires_grad and value._is_view()):
            return value
        if value.is_leaf and id(value) not in known:
            with torch.enable_grad():
                known[id(value)] = value.detach().requires_grad_()
        return known.get(id(value), value)

    return sample.transform(own)


def error_inputs(op: Any) -> list[Any]:
    """Every input that torch refuses."""
    if op.error_inputs_func is None:
        return []
    seed_everything()
    with making_samples():
        return list(op.error_inputs("cpu"))


def chosen(name: str, count: int, limit: int | None) -> list[int]:
    """Which of `count` samples are looked at: all, or `limit` of them, always the same ones."""
    if limit is None or count <= limit:
        return list(range(count))
    return sorted(random.Random(name).sample(range(count), limit))
