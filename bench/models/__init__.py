"""Networks that are trained and asked side by side; see README.md."""

from __future__ import annotations

import importlib
from typing import Any


def framework_of(nn: Any) -> Any:
    """The framework whose modules `nn` has, for what it offers besides: `cat`, `zeros`."""
    return importlib.import_module(nn.__name__.partition(".")[0])
