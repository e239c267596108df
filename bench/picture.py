"""The picture: how our time compares with the best peer's, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

COLOURS = {1: "#c2410c", 2: "#1d4ed8"}
OTHER, FASTER, LINE = "#64748b", "#dcfce7", "#0f172a"
COLUMNS = 3
ROW = 0.17  # inches of one case
HEAD = 0.75  # inches of a family besides its cases


class Bar(NamedTuple):
    """One race."""

    family: str
    case: str
    threads: int
    ratio: float
    peer: str


def draw(bars: Sequence[Bar], path: Path) -> None:
    """A panel for each family, a row for each case, a dot for each number of threads."""
    if not bars:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = _panels(bars)
    columns = _columns(panels)
    height = max(sum(HEAD + ROW * len(cases) for _, cases in column) for column in columns)
    width = 5.2 * len(columns)
    figure = pyplot.figure(figsize=(width, height + 0.4))
    for index, column in enumerate(columns):
        top = height
        for family, cases in column:
            rows = ROW * (len(cases) + 0.6)
            left = (5.2 * index + 1.75) / width
            box = (left, (top - 0.35 - rows + 0.4) / (height + 0.4), 3.2 / width)
            axis = figure.add_axes((*box, rows / (height + 0.4)))
            _panel(axis, family, cases)
            top -= HEAD + ROW * len(cases)
    figure.text(
        0.5, 0.05 / (height + 0.4),
        "our time over the best peer's, log scale (green: we are faster)\n"
        "red: 1 thread, blue: 2 threads",
        ha="center", fontsize=9,
    )  # fmt: skip
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _panels(bars: Sequence[Bar]) -> dict[str, dict[str, list[Bar]]]:
    panels: dict[str, dict[str, list[Bar]]] = {}
    for bar in bars:
        panels.setdefault(bar.family, {}).setdefault(bar.case, []).append(bar)
    return panels


def _columns(panels: dict[str, dict[str, list[Bar]]]) -> list[list[tuple[str, Any]]]:
    """Spread the families over columns of about the same height, the tall ones first."""
    columns: list[list[tuple[str, Any]]] = [[] for _ in range(min(COLUMNS, len(panels)))]
    heights = [0.0] * len(columns)
    for family, cases in sorted(panels.items(), key=lambda panel: -len(panel[1])):
        place = heights.index(min(heights))
        columns[place].append((family, cases))
        heights[place] += HEAD + ROW * len(cases)
    return columns


def _panel(axis: Any, family: str, cases: dict[str, list[Bar]]) -> None:
    every = [bar.ratio for bars in cases.values() for bar in bars]
    low, high = min(0.45, 0.8 * min(every)), max(2.2, 1.25 * max(every))
    axis.axvspan(low, 1.0, color=FASTER, zorder=0)
    axis.axvline(1.0, color=LINE, linewidth=1)
    for row, bars in enumerate(cases.values()):
        for bar in bars:
            axis.plot(bar.ratio, row, "o", color=COLOURS.get(bar.threads, OTHER), markersize=4)
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    ticks = [t for t in (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 10, 30, 100, 300) if low <= t <= high]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=7)
    axis.minorticks_off()
    axis.set_yticks(range(len(cases)), list(cases), fontsize=6.5)
    axis.set_ylim(len(cases) - 0.2, -0.8)
    axis.grid(axis="x", color="#cbd5e1", linewidth=0.5)
    axis.set_title(family, fontsize=10, loc="left", fontweight="bold")
    axis.spines[["top", "right"]].set_visible(False)
