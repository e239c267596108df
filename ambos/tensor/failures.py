"""What went wrong while a Program ran, at the line that recorded it."""

from __future__ import annotations

from collections.abc import Sequence

from ambos.core.errors import AmbosError
from ambos.graph.lines import Line
from ambos.runtime.host import HostFailure


def located(failure: HostFailure, lines: Sequence[Line | None]) -> Exception:
    """The error of a failed call; `lines[i]` is where number i of its sources was recorded."""
    error = failure.error
    known = [line for number in failure.sources if (line := lines[number]) is not None]
    if known and isinstance(error, AmbosError):
        return error.at(known[-1].forward().place, known[-1].call)
    return error


__all__ = ["HostFailure", "located"]
