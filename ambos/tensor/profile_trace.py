"""A profile in the Trace Event Format, which Perfetto and Chrome draw.

Source: "Trace Event Format", Google, 2016: complete events (`ph` X) with `ts` and `dur` in us.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ambos.core.program import Launch
from ambos.tensor.profile_text import places
from ambos.tensor.timing import Timing, limits_of, lines_of
from ambos.tensor.watch import Run


def write_trace(profile: Timing, path: Path) -> None:
    """Every program, launch and planning of `profile`, one row a thread."""
    path.write_text(json.dumps({"traceEvents": events(profile), "displayTimeUnit": "ms"}))


def events(profile: Timing) -> list[dict[str, Any]]:
    pid = os.getpid()
    threads = sorted({run.thread for run in profile.runs}) or [0]
    found: list[dict[str, Any]] = [name("process_name", pid, 0, "ambos")]
    found += [name("thread_name", pid, thread, f"thread {thread}") for thread in threads]
    planner = max(threads) + 1
    if profile.plans:
        found.append(name("thread_name", pid, planner, "planning and compiling"))

    def span(
        label: str, kind: str, start: float, seconds: float, thread: int, **args: Any
    ) -> dict[str, Any]:
        return {
            "name": label, "cat": kind, "ph": "X", "pid": pid, "tid": thread,
            "ts": 1e6 * (start - profile.start), "dur": 1e6 * seconds, "args": args,
        }  # fmt: skip

    for program, start, end in profile.plans:
        label = f"plan {len(program.launches)} launches"
        found.append(span(label, "plan", start, end - start, planner))
    for run in profile.runs:
        label = f"program of {len(run.spans)} launches"
        found.append(span(label, "program", run.start, run.end - run.start, run.thread))
        for launch, (start, seconds) in zip(run.program.launches, run.spans, strict=True):
            args = details(launch, seconds, run)
            found.append(span(launch.kernel.label, "kernel", start, seconds, run.thread, **args))
    return found


def name(what: str, pid: int, thread: int, text: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": pid, "tid": thread, "args": {"name": text}}


def details(launch: Launch, seconds: float, run: Run) -> dict[str, Any]:
    """What one looks up about a slice."""
    work, limits = launch.work, limits_of(launch)
    least = limits.seconds(work.flops, work.read, work.written)
    return {
        "lines": places(lines_of(launch, run.lines)),
        "GFLOP/s": round(work.flops / seconds / 1e9, 3),
        "GB/s": round(work.nbytes / seconds / 1e9, 3),
        "of limit": round(least / seconds, 4),
        "flops": work.flops,
        "bytes read": work.read,
        "bytes written": work.written,
        "items": launch.items,
        "threads": limits.threads,
        "kernel": launch.kernel.name,
    }
