"""Outcomes as terminal lines, a summary, JSON and Markdown."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from bench import picture, workload
from bench.outcome import Lane, Outcome

WORST = 3  # cases that a family's line in the summary names


def duration(seconds: float) -> str:
    """Seconds in the unit that a person would choose.

    Example:
        >>> duration(0.00123), duration(2.5), duration(0.0)
        ('1.23 ms', '2.50 s', '0 ns')
    """
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            value = seconds / scale
            return f"{value:.2f} s" if unit == "s" else f"{value:.{_digits(value)}f} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def _digits(value: float) -> int:
    return max(0, 2 - int(math.log10(value)))


def number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def heading(family: str, threads: int, since: float) -> str:
    """The head of the lines that follow."""
    clock = time.strftime("%M:%S", time.gmtime(since))
    first = f"{family}, {threads} thread{'s' * (threads != 1)} [{clock}]"
    return f"\n{first:38}{'ours':>9}{'':6}{'best peer':>12}{'':17}{'ratio':>6} {'of floor':>8}"


def lines(outcome: Outcome) -> str:
    """A line for a case: ours, the best peer, ratio, share of the floor; more lines on trouble."""
    ours, peer = outcome.ours, outcome.best_peer
    parts = [f"  {outcome.case:34}"]
    parts.append(f"{duration(outcome.typical(ours)) if ours else '-':>11} ")
    parts.append(f"{f'±{ours.spread:.0%}' if ours else '':>5}")
    parts.append(f"{duration(outcome.typical(peer)) if peer else '-':>11}  ")
    parts.append(f"{peer.twin if peer else '':15}")
    parts.append(f"{number(outcome.ratio(ours), '.2f'):>6}")
    parts.append(f" {number(outcome.share(ours), '.0%'):>8}")
    if ours and ours.first_cold is not None:
        parts.append(f"   {_starts(ours)}")
        parts.append(f"; {peer.twin}: {_starts(peer)}" if peer else "")
    text = ["".join(parts).rstrip()]
    for lane in outcome.lanes:
        if lane.trouble and not lane.missing:
            text.append(f"      {lane.twin}: {lane.trouble[:150]}")
        elif lane.seconds and workload.is_ours(lane.twin) and lane is not ours:
            ratio = number(outcome.ratio(lane), ".2f")
            text.append(f"      {lane.twin}: {duration(outcome.typical(lane))}, ratio {ratio}")
    return "\n".join(text)


def _starts(lane: Lane) -> str:
    cold, warm = duration(lane.first_cold or 0.0), duration(lane.first_warm or 0.0)
    return f"first {cold}, warm {warm}, {(lane.memory or 0.0) / 2**20:.0f} MiB"


def summary(outcomes: Sequence[Outcome]) -> str:
    """By family: how often we are at or below the best peer, the mean ratio, the worst cases."""
    text = ["", f"{'summary':18}{'at or below':>12}{'mean ratio':>12}   worst"]
    groups: dict[str, list[tuple[float, str]]] = {}
    for outcome in outcomes:
        ratio = outcome.ratio(outcome.ours)
        if ratio is not None:
            entry = (ratio, f"{outcome.case} ({outcome.threads}t) {ratio:.2f}")
            groups.setdefault(outcome.family, []).append(entry)
            groups.setdefault("all", []).append(entry)
    if groups:
        groups["all"] = groups.pop("all")  # last
    for family, entries in groups.items():
        entries.sort(reverse=True)
        wins = sum(ratio <= 1.0 for ratio, _ in entries)
        mean = geometric_mean(ratio for ratio, _ in entries)
        worst = ", ".join(name for _, name in entries[:WORST])
        text.append(f"  {family:16}{f'{wins}/{len(entries)}':>12}{mean:>12.2f}   {worst}")
    failed = [
        f"  {outcome.name} ({outcome.threads}t) {lane.twin}: {lane.trouble[:150]}"
        for outcome in outcomes
        for lane in outcome.lanes
        if lane.trouble and not lane.missing and workload.is_ours(lane.twin)
    ]
    return "\n".join([*text, *(["ours that failed", *failed] if failed else [])])


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as Markdown: the summary, then a table for each family."""
    absent = sorted({lane.twin for outcome in outcomes for lane in outcome.lanes if lane.missing})
    spent = sum(outcome.seconds for outcome in outcomes)
    parts = [
        "# Benchmark", "",
        f"{machine()}, {time.strftime('%Y-%m-%d')}; {len(outcomes)} races in {spent / 60:.0f} "
        "minutes. Times are for one step; the best peer is bold; ratio: ours over the best peer, "
        "below 1 is faster; of floor: least time that this machine allows over ours.",
    ]  # fmt: skip
    parts += ["", f"Not installed: {', '.join(absent)}."] if absent else []
    parts += ["", "```", summary(outcomes).strip("\n"), "```"]
    for family in dict.fromkeys(outcome.family for outcome in outcomes):
        parts += ["", f"## {family}", ""]
        parts += _family([o for o in outcomes if o.family == family])
    return "\n".join(parts) + "\n"


def _family(outcomes: Sequence[Outcome]) -> list[str]:
    twins = list(dict.fromkeys(lane.twin for o in outcomes for lane in o.lanes if lane.seconds))
    head = ["case", "threads", "ratio", "of floor", "spread", *twins, "note"]
    rows = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 2) + "---|"]
    for outcome in outcomes:
        ours = outcome.ours
        cells = [
            f"{outcome.case}: {outcome.title}", str(outcome.threads),
            number(outcome.ratio(ours), ".2f"), number(outcome.share(ours), ".0%"),
            f"±{ours.spread:.0%}" if ours else "",
        ]  # fmt: skip
        lanes = {lane.twin: lane for lane in outcome.lanes}
        cells += [_cell(outcome, lanes.get(twin)) for twin in twins]
        cells.append("; ".join(_notes(outcome)))
        rows.append("| " + " | ".join(cells) + " |")
    return rows + _first_calls(outcomes)


def _cell(outcome: Outcome, lane: Lane | None) -> str:
    if lane is None or not lane.seconds:
        return ""
    text = duration(outcome.typical(lane))
    return f"**{text}**" if lane is outcome.best_peer else text


def _notes(outcome: Outcome) -> list[str]:
    return [
        f"{lane.twin}: {lane.trouble[:120]}".replace("|", "/").replace("\n", " ")
        for lane in outcome.lanes
        if lane.trouble and not lane.missing
    ]


def _first_calls(outcomes: Sequence[Outcome]) -> list[str]:
    """First calls and memory, a line for each twin, where they were measured."""
    rows = [
        f"| {outcome.case} | {outcome.threads} | {lane.twin} | {duration(lane.first_cold)} | "
        f"{duration(lane.first_warm)} | {(lane.memory or 0.0) / 2**20:.0f} MiB |"
        for outcome in outcomes
        for lane in outcome.lanes
        if lane.first_cold is not None and lane.first_warm is not None
    ]
    head = ["", "| case | threads | twin | first call, cold | warm cache | peak memory |"]
    return [*head, "|---|---:|---|---:|---:|---:|", *rows] if rows else []


def as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything measured, round by round."""
    entries = []
    for outcome in outcomes:
        lanes = []
        for lane in outcome.lanes:
            entry = asdict(lane)
            if lane.seconds:
                entry |= {"median": lane.median, "best": min(lane.seconds), "spread": lane.spread}
                entry |= {"ratio": outcome.ratio(lane), "share": outcome.share(lane)}
            lanes.append(entry)
        limits = [value for value in outcome.bandwidths if math.isfinite(value)]
        entries.append(asdict(outcome) | {"lanes": lanes, "bandwidths": limits})
    return {"machine": machine(), "date": time.strftime("%Y-%m-%d"), "workloads": entries}


def dumps(document: dict[str, Any]) -> str:
    """JSON with a line for each workload, so that two runs can be compared, and times to a
    hundred-thousandth."""
    head = {key: value for key, value in document.items() if key != "workloads"}
    lines = ",\n".join(json.dumps(_rounded(entry)) for entry in document["workloads"])
    return f'{json.dumps(_rounded(head))[:-1]}, "workloads": [\n{lines}\n]}}\n'


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def machine() -> str:
    """The processor, the system and the interpreter."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {platform.system()}, Python {platform.python_version()}"


def write(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """Write JSON, Markdown and a PNG into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"results.{ending}" for ending in ("json", "md", "png")]
    paths[0].write_text(dumps(as_json(outcomes)))
    paths[1].write_text(markdown(outcomes))
    shown = [
        picture.Bar(o.family, o.case, o.threads, ratio, o.best_peer.twin)
        for o in outcomes
        if o.best_peer and (ratio := o.ratio(o.ours)) is not None
    ]
    picture.draw(shown, paths[2])
    return [path for path in paths if path.exists()]
