"""Learning curves: small SVG charts for notebooks, and matplotlib's for papers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError, suggest

WIDTH, HEIGHT = 300, 200
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 44, 24
TRAINING, VALIDATION = "#3f88c5", "#e07b39"  # readable on white and on black
POINTS = 25  # epochs up to which each has a dot

Curves = dict[str, dict[str, list[float]]]


def curves_of(history: Mapping[str, Sequence[Any]], names: Any = None) -> Curves:
    """The numbers of each metric, by "training" and "validation"; what is no number (a confusion
    matrix) is left out.

    Errors: ArgumentError for a name that is not in the history.
    """
    found: Curves = {}
    for name, values in history.items():
        base = name.removeprefix("val_")
        if all(np.ndim(value) == 0 for value in values):
            part = "training" if base == name else "validation"
            found.setdefault(base, {})[part] = [float(value) for value in values]
    if names is None:
        return found
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in found:
            is_file = "." in str(name)
            fix = f"; a file is plot().savefig({name!r})" if is_file else suggest(name, found)
            raise ArgumentError(f"plot: no {name!r} in this history; known: "
                                f"{', '.join(found) or 'none'}{fix}")  # fmt: skip
    return {name: found[name] for name in wanted}


def html_of(history: Any) -> str:
    """A chart for each metric, side by side, under the line that `repr` gives."""
    charts = [
        chart(name, curves, history.epoch) for name, curves in curves_of(history.history).items()
    ]
    head = f"{len(history.epoch)} epochs{', interrupted' if history.interrupted else ''}"
    return (f'<div class="am-history"><div><b>History</b> {head}</div>'
            f'<div style="display:flex;flex-wrap:wrap">{"".join(charts)}</div></div>')  # fmt: skip


def chart(title: str, curves: Mapping[str, Sequence[float]], epochs: Sequence[int]) -> str:
    """One metric as SVG; its axes have the colour of the page's text."""
    known = [v for values in curves.values() for v in values if math.isfinite(v)]
    ticks = nice_ticks(min(known, default=0.0), max(known, default=1.0))
    numbers = [epoch + 1 for epoch in epochs]
    first, last = (numbers[0], numbers[-1]) if numbers else (1, 1)

    def x(epoch: float) -> float:
        share = (epoch - first) / (last - first) if last > first else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = [_label(LEFT, 16, title, "start", 'font-weight="600" font-size="12"')]
    for tick in ticks:
        parts.append(f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}" opacity=".18" '
                     'stroke="currentColor"/>')  # fmt: skip
        parts.append(_label(LEFT - 6, y(tick) + 3.5, f"{tick:.6g}", "end"))
    for epoch in sorted({first, last}):
        parts.append(_label(x(epoch), HEIGHT - 8, str(epoch), "middle"))
    left = float(LEFT)
    for part, colour in (("training", TRAINING), ("validation", VALIDATION)):
        if part in curves:
            parts += _line(curves[part], [x(n) for n in numbers], y, colour)
            text = f"{part} {curves[part][-1]:.4g}" if curves[part] else part
            parts.append(_label(left, 31, text, "start", f'style="fill:{colour}"'))
            left += 6.0 * len(text) + 8
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}" fill="currentColor" role="img" '
            f'aria-label="{escape(title)}">{"".join(parts)}</svg>')  # fmt: skip


def _label(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="10" '
            f'font-family="system-ui,sans-serif" {more}>{escape(text)}</text>')  # fmt: skip


def _line(values: Sequence[float], places: Sequence[float], y: Any, colour: str) -> list[str]:
    """A line that breaks where there is no number."""
    steps, pen = [], "M"
    dots = []
    for value, place in zip(values, places, strict=False):
        if not math.isfinite(value):
            pen = "M"
            continue
        steps.append(f"{pen}{place:.1f} {y(value):.1f}")
        dots.append(f'<circle cx="{place:.1f}" cy="{y(value):.1f}" r="2.2" fill="{colour}"/>')
        pen = "L"
    line = f'<path d="{"".join(steps)}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
    return [line, *(dots if len(values) <= POINTS else [])]


def nice_ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers around all values.

    Example:
        >>> nice_ticks(0.13, 0.91)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        spread = abs(low) / 2 or 0.5
        low, high = low - spread, high + spread
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12 - math.floor(math.log10(step))) for n in range(first, last + 1)]


def plot(history: Any, metrics: Any = None, log: bool = False) -> Any:
    """matplotlib's figure of some metrics, training and validation, side by side."""
    import matplotlib.pyplot as plt

    found = curves_of(history.history, metrics)
    if not found:
        raise ArgumentError("plot: the history is empty; need an epoch of training first")
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns, 3.1 * rows), squeeze=False,
                                layout="constrained")  # fmt: skip
    epochs = [epoch + 1 for epoch in history.epoch]
    for place, (name, curves) in zip(axes.flat, found.items(), strict=False):
        for part, colour in (("training", TRAINING), ("validation", VALIDATION)):
            if part in curves:
                values = curves[part]
                marker = "o" if len(values) <= POINTS else ""
                place.plot(epochs[: len(values)], values, color=colour, label=part, marker=marker,
                           markersize=3)  # fmt: skip
        place.set(title=name, xlabel="epoch")
        place.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        place.set_yscale("log" if log else "linear")
        known = {v for values in curves.values() for v in values if math.isfinite(v)}
        if len(known) == 1 and not log:  # what does not change is no zigzag of rounding
            ticks = nice_ticks(*known, *known)
            place.set(ylim=(ticks[0], ticks[-1]), yticks=ticks)
        place.grid(alpha=0.25)
        if "validation" in curves:
            place.legend()
    for place in axes.flat[len(found) :]:
        place.remove()
    return figure
