"""A profile as a table for a terminal of 100 columns."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ambos.core.config import config
from ambos.graph.lines import Line
from ambos.runtime.roofline import roofline
from ambos.tensor.timing import Timing

KERNEL, LINES = 30, 21  # columns
HEAD = (
    f"{'calls':>5} {'time':>8} {'share':>6} {'GFLOP/s':>8} {'GB/s':>6} {'of limit':>9}  "
    f"{'kernel':<{KERNEL}}  lines"
)


def table(profile: Timing, most: int | None) -> str:
    """The rows of `profile`, the longest first, under a summary."""
    rows = profile.rows
    total = max(profile.kernel_seconds, 1e-12)
    shown = rows if most is None else rows[:most]
    lines = [*summary(profile), "", HEAD, "-" * 100]
    for row in shown:
        rate = 1e9 * row.seconds
        bound = "flops" if row.is_compute_bound else "bytes"
        lines.append(
            f"{row.calls:>5} {duration(row.seconds):>8} {row.seconds / total:>6.1%} "
            f"{number(row.flops / rate):>8} {number(row.nbytes / rate):>6} "
            f"{row.limit:>4.0%} {bound}  "
            f"{clip(row.kernel, KERNEL):<{KERNEL}}  {clip(places(row.lines), LINES)}".rstrip()
        )
    rest = rows[len(shown) :]
    if rest:
        seconds = sum(row.seconds for row in rest)
        calls = sum(row.calls for row in rest)
        lines.append(
            f"{calls:>5} {duration(seconds):>8} {seconds / total:>6.1%} {'':34}"
            f"{len(rest)} more: p.table(None) shows all"
        )
    if any(line.backward for row in shown for line in row.lines):
        lines += ["", "  ' the gradient of that line"]
    return "\n".join(lines)


def summary(profile: Timing) -> list[str]:
    """Where the time of the region went, and the limits."""
    runs, plans = len(profile.runs), len(profile.plans)
    launches = sum(len(run.spans) for run in profile.runs)
    kernels, planning = profile.kernel_seconds, profile.plan_seconds
    rest = max(0.0, profile.seconds - kernels - planning)
    limits = roofline(config.threads)
    near, far = limits.speeds[1], limits.speeds[-1]
    parts = [
        f"{duration(profile.seconds)} in all: {duration(kernels)} in "
        f"{count(launches, 'launch')} of {count(runs, 'program')}"
    ]
    if plans:
        parts.append(f"{duration(planning)} making {count(plans, 'program')}")
    parts.append(f"{duration(rest)} in Python")
    return [
        ", ".join(parts),
        f"limits of {count(config.threads, 'thread')}: {limits.peak:.0f} GFLOP/s; "
        f"{near.read:.0f} GB/s from cache, {far.read:.0f} GB/s from memory",
    ]


def count(number: int, what: str) -> str:
    plural = "es" if what.endswith("ch") else "s"
    return f"{number} {what}{'' if number == 1 else plural}"


def duration(seconds: float) -> str:
    """Example:
    >>> duration(0.0000123), duration(0.0123), duration(12.3)
    ('12.3 us', '12.3 ms', '12.3 s')
    """
    for scale, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= 0.9995 * scale:
            return f"{number(seconds / scale)} {unit}"
    return f"{number(seconds / 1e-6)} us"


def number(value: float) -> str:
    """Three digits.

    Example:
        >>> number(0.0), number(1.234), number(12.34), number(1234.5)
        ('0', '1.23', '12.3', '1234')
    """
    if value == 0:
        return "0"
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def places(lines: Sequence[Line]) -> str:
    """Lines by file.

    Example:
        >>> places([Line("a/model.py", 3), Line("a/model.py", 9, True), Line("train.py", 1)])
        "model.py:3,9' train.py:1"
    """
    files: dict[str, list[str]] = {}
    for line in sorted(lines, key=lambda line: (line.backward, line.path, line.number)):
        mark = "'" if line.backward else ""
        files.setdefault(os.path.basename(line.path), []).append(f"{line.number}{mark}")
    return " ".join(f"{path}:{','.join(numbers)}" for path, numbers in files.items())


def clip(text: str, width: int) -> str:
    """`text` in so many columns."""
    return text if len(text) <= width else text[: width - 1] + "…"
