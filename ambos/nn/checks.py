"""Checks of constructor arguments."""

from __future__ import annotations

from typing import Any

from ambos.core.errors import ArgumentError


def positive(role: str, value: Any) -> int:
    """`value`, an integer of at least 1."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < 1:
        raise ArgumentError(f"{role} is {value!r}; need an integer of at least 1")
    return int(value)
