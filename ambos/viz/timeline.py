"""A profile as TensorBoard's profiler reads it: an XSpace with a line for each thread.

Beside it lies the same as a Chrome trace, which Perfetto opens.

Source: tsl/profiler/protobuf/xplane.proto.
"""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ambos.tensor.profile import Profile
from ambos.tensor.profile_trace import events
from ambos.viz.wire import blob, double, integer, many, message, table, text

PLANE = "/host:CPU"
PICOSECONDS = 1_000_000  # in a microsecond, the unit of traces


class _Names:
    """Numbers for names, in the order in which they come."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        return self.known.setdefault(name, len(self.known) + 1)

    def field(self, number: int) -> bytes:
        entries = ((n, message(integer(1, n), text(2, name))) for name, n in self.known.items())
        return table(number, entries)


def xspace(profile: Profile) -> bytes:
    """All that a profile saw, one line a thread."""
    begun = time.time_ns() - int(1e9 * (time.perf_counter() - profile.start))
    kinds, facts = _Names(), _Names()
    titles: dict[int, str] = {}
    lines: dict[int, list[bytes]] = defaultdict(list)
    for found in events(profile):
        if found["ph"] == "X":
            lines[found["tid"]].append(_event(found, kinds, facts))
        elif found["name"] == "thread_name":
            titles[found["tid"]] = found["args"]["name"]
    encoded = [
        message(integer(1, thread), text(2, titles.get(thread, str(thread))), integer(3, begun),
                many(4, lines[thread]))
        for thread in sorted(lines)
    ]  # fmt: skip
    plane = message(integer(1, 0), text(2, PLANE), many(3, encoded), kinds.field(4), facts.field(5))
    return message(blob(1, plane), text(4, socket.gethostname()))


def _event(found: Mapping[str, Any], kinds: _Names, facts: _Names) -> bytes:
    return message(
        integer(1, kinds[found["name"]]), integer(2, round(found["ts"] * PICOSECONDS)),
        integer(3, round(found["dur"] * PICOSECONDS)),
        many(4, (_fact(facts[name], value) for name, value in found["args"].items())),
    )  # fmt: skip


def _fact(number: int, value: Any) -> bytes:
    field = (
        double(2, value) if isinstance(value, float)
        else integer(4, value) if isinstance(value, int) else text(5, str(value))
    )  # fmt: skip
    return integer(1, number) + field


def write(folder: Path, profile: Profile) -> Path:
    """Put a profile where TensorBoard looks for it; returns the folder of this one."""
    home = folder / "plugins" / "profile" / time.strftime("%Y_%m_%d_%H_%M_%S")
    number = 0
    while home.exists():
        number += 1
        home = home.with_name(f"{home.name.partition('.')[0]}.{number}")
    home.mkdir(parents=True)
    host = socket.gethostname()
    (home / f"{host}.xplane.pb").write_bytes(xspace(profile))
    trace = json.dumps({"traceEvents": events(profile), "displayTimeUnit": "ms"})
    with gzip.open(home / f"{host}.trace.json.gz", "wt") as file:
        file.write(trace)
    return home
