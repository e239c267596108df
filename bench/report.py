"""Outcomes as a terminal table, JSON, Markdown and a picture."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from bench import workload
from bench.race import Lane, Outcome

HEAD = ("twin", "median", "spread", "vs best peer", "of floor", "first call", "warm", "note")
OURS, PEER, FLOOR = "#c2410c", "#94a3b8", "#0f172a"


def duration(seconds: float) -> str:
    """Seconds in the unit that a person would choose.

    Example:
        >>> duration(0.00123), duration(2.5)
        ('1.23 ms', '2.50 s')
    """
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}" if unit != "s" else f"{seconds:.2f} s"
    return f"{seconds / 1e-9:.0f} ns"


def row(outcome: Outcome, lane: Lane) -> tuple[str, ...]:
    """One line of the table; what was not measured stays empty."""
    if not lane.seconds:
        trouble = "not installed" if lane.missing else lane.trouble
        return (lane.twin, "", "", "", "", "", "", trouble)
    ratio, share = outcome.ratio(lane), outcome.share(lane)
    return (
        lane.twin,
        duration(lane.median),
        f"±{lane.spread:.0%}",
        "" if ratio is None else f"{ratio:.2f}",
        "" if share is None else f"{share:.0%}",
        duration(lane.first_cold),
        duration(lane.first_warm),
        "",
    )


def heading(outcome: Outcome) -> str:
    """What was raced, on how many threads, and what this machine can do at most."""
    threads = f"{outcome.threads} thread{'s' * (outcome.threads != 1)}"
    limits = ""
    if outcome.peaks:
        limits = (
            f"; measured limits {median(outcome.peaks) / 1e9:.0f} GFLOP/s, "
            f"{median(outcome.bandwidths) / 1e9:.1f} GB/s; "
            f"floor {duration(median(outcome.floors()))}"
        )
    return f"{outcome.name}: {outcome.facts.title} ({threads}{limits})"


def table(outcome: Outcome) -> str:
    """The outcome as aligned text."""
    rows = [HEAD, *(row(outcome, lane) for lane in outcome.lanes)]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEAD))]
    lines = [heading(outcome)]
    for line in rows:
        cells = [line[0].ljust(widths[0])]
        cells += [c.rjust(w) for c, w in zip(line[1:-1], widths[1:-1], strict=True)]
        lines.append("  ".join(["", *cells, line[-1]]).rstrip())
    return "\n".join(lines + ([f"  {outcome.note}"] if outcome.note else []))


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as Markdown tables."""
    parts = ["# Benchmark", "", f"{machine()}. Lower times are better; ratios below 1 are faster."]
    for outcome in outcomes:
        parts += ["", f"**{heading(outcome)}**", "", "| " + " | ".join(HEAD) + " |"]
        parts += ["|---|" + "---:|" * (len(HEAD) - 2) + "---|"]
        parts += ["| " + " | ".join(row(outcome, lane)) + " |" for lane in outcome.lanes]
        parts += ["", outcome.note] if outcome.note else []
    return "\n".join(parts) + "\n"


def as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything measured, round by round."""
    entries = []
    for outcome in outcomes:
        lanes = [
            asdict(lane)
            | ({"median": lane.median, "spread": lane.spread} if lane.seconds else {})
            | ({"ratio": outcome.ratio(lane), "share": outcome.share(lane)} if lane.seconds else {})
            for lane in outcome.lanes
        ]
        entries.append(asdict(outcome) | {"lanes": lanes})
    return {"machine": machine(), "workloads": entries}


def machine() -> str:
    """The processor's name and the interpreter."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {platform.system()}, Python {platform.python_version()}"


def picture(outcomes: Sequence[Outcome], path: Path) -> None:
    """Bars per workload, relative to the best peer; a tick marks the floor."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [outcome for outcome in outcomes if outcome.timed]
    if not shown:
        return
    heights = [len(outcome.timed) for outcome in shown]
    figure, axes = pyplot.subplots(
        len(shown), 1, figsize=(8, 0.9 * len(shown) + 0.34 * sum(heights)), squeeze=False,
        gridspec_kw={"height_ratios": heights}, layout="constrained",
    )  # fmt: skip
    for outcome, axis in zip(shown, axes[:, 0], strict=True):
        _bars(outcome, axis)
    axes[-1, 0].set_xlabel("time over the best peer's; dotted: the machine's floor", fontsize=8)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _bars(outcome: Outcome, axis: Any) -> None:
    lanes = outcome.timed[::-1]
    unit = outcome.best_peer.median if outcome.best_peer else lanes[0].median
    widths = [lane.median / unit for lane in lanes]
    colours = [OURS if workload.is_ours(lane.twin) else PEER for lane in lanes]
    bars = axis.barh([lane.twin for lane in lanes], widths, color=colours, height=0.7)
    axis.bar_label(bars, [f" {duration(lane.median)}" for lane in lanes], fontsize=8)
    if outcome.peaks and any(outcome.floors()):
        axis.axvline(median(outcome.floors()) / unit, color=FLOOR, linewidth=1, linestyle=":")
    axis.set_xlim(0, max(widths) * 1.15)
    axis.set_title(outcome.name, fontsize=9, loc="left")
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def write(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """Write JSON, Markdown and a PNG into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"results.{ending}" for ending in ("json", "md", "png")]
    paths[0].write_text(json.dumps(as_json(outcomes), indent=1) + "\n")
    paths[1].write_text(markdown(outcomes))
    picture(outcomes, paths[2])
    return paths
