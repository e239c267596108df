"""What tests of jitted functions share: the same play without jit and with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ambos as am


def plain(fn: Callable[..., Any]) -> Callable[..., Any]:
    return fn


def twice(play: Callable[[Callable[..., Any]], Any]) -> Any:
    """What `play` gives without jit and with it, which has to be the same."""
    expected = play(plain)
    assert play(am.jit) == expected
    return expected


def listed(tensor: am.Tensor | None) -> Any:
    return None if tensor is None else tensor.tolist()


def count_of(jitted: Any) -> int:
    return sum(len(found) for found in jitted._recordings.values())
