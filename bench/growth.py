"""The picture of growth: time against batch, width and depth, with the machine's floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench import report, workload
from bench.outcome import Outcome
from bench.workload import Case

FAMILY = "growth"
COLOURS = {"ambos": "#c2410c", "torch": "#64748b", "jax": "#0e7490"}
EXPECTED = {"batch": 1, "depth": 1, "width": 2}  # powers of growth


def cases() -> list[tuple[str, Case]]:
    return [(FAMILY, case) for case in workload.load(FAMILY)]


def write(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """Write `growth.json` and `growth.png` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "growth.json", folder / "growth.png"]
    panels = _panels(outcomes)
    powers = {
        f"{kind} against {axis}": {
            twin: round(power(line), 2) for twin, line in _lines(found).items() if len(line) > 2
        }
        for (kind, axis), found in panels.items()
    }
    document = report.as_json(outcomes) | {"powers": powers}
    paths[0].write_text(report.dumps(document))
    _draw(panels, paths[1])
    return paths


def power(line: Sequence[tuple[float, float]]) -> float:
    """How fast time grows over the last two doublings: 1.0 is linearly.

    Example:
        >>> power([(1, 5.0), (2, 6.0), (4, 12.0), (8, 24.0)])
        1.0
    """
    (x0, y0), (x1, y1) = line[-3], line[-1]
    return math.log(y1 / y0) / math.log(x1 / x0)


def summary(outcomes: Sequence[Outcome]) -> str:
    """How time grows over the last two doublings of each axis."""
    lines = ["", "time grows with the power of (last two doublings; expected)"]
    for (kind, axis), found in _panels(outcomes).items():
        powers = ", ".join(
            f"{twin} {power(line):.2f}" for twin, line in _lines(found).items() if len(line) > 2
        )
        lines.append(f"  {kind} against {axis:6} {powers}; expected {EXPECTED[axis]}")
    return "\n".join(lines)


def _panels(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], list[Outcome]]:
    panels: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        kind, axis, _ = outcome.case.split("-")
        panels.setdefault((kind, axis), []).append(outcome)
    return panels


def _size(outcome: Outcome) -> int:
    return int(outcome.case.rpartition("-")[2])


def _lines(outcomes: Sequence[Outcome]) -> dict[str, list[tuple[float, float]]]:
    """(size, seconds) by twin."""
    found: dict[str, list[tuple[float, float]]] = {}
    for outcome in outcomes:
        for lane in outcome.timed:
            found.setdefault(lane.twin, []).append((_size(outcome), outcome.typical(lane)))
    return found


def _draw(panels: dict[tuple[str, str], list[Outcome]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = list(dict.fromkeys(kind for kind, _ in panels))
    figure, axes = pyplot.subplots(
        len(kinds), len(EXPECTED), figsize=(11, 3.6 * len(kinds)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for (kind, axis), outcomes in panels.items():
        _panel(axes[kinds.index(kind), list(EXPECTED).index(axis)], kind, axis, outcomes)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _panel(plot: Any, kind: str, axis: str, outcomes: Sequence[Outcome]) -> None:
    for twin, line in _lines(outcomes).items():
        sizes, seconds = zip(*line, strict=True)
        label = f"{twin} (power {power(line):.2f})" if len(line) > 2 else twin
        milliseconds = [1e3 * value for value in seconds]
        plot.plot(sizes, milliseconds, "o-", color=COLOURS.get(twin), markersize=4, label=label)
    known = [outcome for outcome in outcomes if outcome.peaks]
    floors = [1e3 * median(outcome.floors()) for outcome in known]
    plot.plot([_size(o) for o in known], floors, ":", color="#0f172a", label="floor (FMA peak)")
    plot.set_xscale("log", base=2)
    plot.set_yscale("log")
    sizes_shown = [_size(outcome) for outcome in outcomes]
    plot.set_xticks(sizes_shown, [str(size) for size in sizes_shown], fontsize=8)
    plot.set_xlabel(axis, fontsize=9)
    plot.set_ylabel("ms", fontsize=9)
    plot.set_title(f"{kind} against {axis}, both passes", fontsize=9, loc="left")
    plot.legend(fontsize=7, frameon=False)
    plot.grid(color="#e2e8f0", linewidth=0.5)
    plot.spines[["top", "right"]].set_visible(False)
