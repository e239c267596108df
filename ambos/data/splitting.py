"""Arrays split into a part to learn from and a part to test with."""

from __future__ import annotations

from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError

Pair = tuple[Any, Any]


def held_out(op: str, x: Any, y: Any, test_fraction: float, seed: int) -> tuple[Pair, Pair]:
    """`(x_train, y_train), (x_test, y_test)`, shuffled by `seed`: the same split everywhere.

    Errors: ArgumentError when `test_fraction` or `seed` is out of range.
    """
    num_test = _num_test(op, test_fraction, len(x))
    # RandomState is NumPy's frozen stream: unlike default_rng it never changes between releases.
    try:
        order = np.random.RandomState(seed).permutation(len(x))
    except (TypeError, ValueError):
        raise ArgumentError(
            f"{op}: seed is {seed!r}; need an integer from 0 to 2**32 - 1"
        ) from None
    test, train = order[:num_test], order[num_test:]
    return (x[train], y[train]), (x[test], y[test])


def _num_test(op: str, test_fraction: object, num_examples: int) -> int:
    if not isinstance(test_fraction, (int, float)) or not 0 < test_fraction < 1:
        raise ArgumentError(
            f"{op}: test_fraction is {test_fraction!r}; need a number between 0 and 1, "
            "for example 0.2"
        )
    num_test = round(test_fraction * num_examples)
    if not 0 < num_test < num_examples:
        raise ArgumentError(
            f"{op}: test_fraction={test_fraction} of {num_examples} examples leaves one side "
            "empty; need at least one example on each"
        )
    return num_test
