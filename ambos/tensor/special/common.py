"""The special functions that are also `am.<name>` and methods of Tensor."""

from __future__ import annotations

from typing import Any

from ambos.tensor.special import functions

NAMES = """digamma erfc erfinv i0 igamma igammac lgamma logaddexp2 mvlgamma polygamma xlogy"""
_here: dict[str, Any] = {name: getattr(functions, name) for name in NAMES.split()}
globals().update(_here)
__all__ = sorted(_here)
