"""The long run: `make fuzz ARGS="--seed 0 --count 100000"`.

Each thousand graphs has a process of its own, so that machine code does not pile up and a crash is
a finding like any other. What is done is noted in a file (JSON, a line for each thousand): a run
that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

LIMIT_SECONDS = 3600.0  # for a thousand graphs: something hangs


def main() -> int:
    options = arguments()
    if options.chunk is not None:
        return child(options)
    options.log.parent.mkdir(parents=True, exist_ok=True)
    done = {entry["number"]: entry for entry in entries(options.log, options.seed)}
    wanted = -(-options.count // options.size)
    todo = [number for number in range(wanted) if number not in done]
    start, running = time.perf_counter(), dict[int, tuple[subprocess.Popen[str], float]]()
    while todo or running:
        while todo and len(running) < options.jobs:
            number = todo.pop(0)
            running[number] = (started(options, number), time.perf_counter())
        time.sleep(0.2)
        for number, (process, since) in list(running.items()):
            if process.poll() is None and time.perf_counter() - since < LIMIT_SECONDS:
                continue
            process.kill()
            del running[number]
            entry = done[number] = collected(options, number, process)
            with options.log.open("a") as file:
                print(json.dumps(entry), file=file)
            total, spent = sum(e["graphs"] for e in done.values()), time.perf_counter() - start
            found = sum(len(e["findings"]) for e in done.values())
            print(f"{total:,} graphs, {entry['seconds'] / max(entry['graphs'], 1) * 1e3:.0f} ms "
                  f"each, {found} findings, {spent:.0f} s", flush=True)  # fmt: skip
            for n, text in entry["findings"]:
                print(f"  graph {n} of seed {options.seed}: {text}", flush=True)
    return summary(list(done.values()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10_000, help="graphs")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="processes")
    parser.add_argument("--size", type=int, default=1000, help="graphs of a process")
    parser.add_argument("--log", type=Path, default=Path("runs/fuzz.jsonl"))
    parser.add_argument("--chunk", type=int, help="only this thousand (what the processes do)")
    return parser.parse_args()


def entries(log: Path, seed: int) -> list[dict[str, Any]]:
    """What earlier runs noted."""
    if not log.exists():
        return []
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [entry for entry in found if entry["seed"] == seed]


def started(options: argparse.Namespace, number: int) -> subprocess.Popen[str]:
    given = {"seed": options.seed, "size": options.size, "chunk": number,
             "log": part(options, number)}  # fmt: skip
    command = [sys.executable, "-m", "tests.fuzz", *(f"--{k}={v}" for k, v in given.items())]
    return subprocess.Popen(command, text=True)


def part(options: argparse.Namespace, number: int) -> Path:
    """Where a process notes how far it is."""
    return Path(f"{options.log}.{number}")


def collected(
    options: argparse.Namespace, number: int, process: subprocess.Popen[str]
) -> dict[str, Any]:
    path, code = part(options, number), process.wait()
    empty = {"seed": options.seed, "number": number, "graphs": 0, "seconds": 0.0, "nodes": 0,
             "ops": {}, "findings": []}  # fmt: skip
    entry: dict[str, Any] = json.loads(path.read_text()) if path.exists() else empty
    if code:
        after = number * options.size + entry["graphs"]
        entry["findings"].append((after, f"the process ended with {code} among the next graphs"))
    path.unlink(missing_ok=True)
    return entry


def child(options: argparse.Namespace) -> int:
    from tests.fuzz.chunks import chunk

    for result in chunk(options.seed, options.chunk, options.size):
        fresh = options.log.with_suffix(".new")
        fresh.write_text(json.dumps(result.as_dict()))
        fresh.replace(options.log)
    return 0


def summary(done: list[dict[str, Any]]) -> int:
    """Counts, and which ops never came."""
    from tests.fuzz.graphs import drawable

    ops: Counter[str] = Counter()
    for entry in done:
        ops.update(entry["ops"])
    wanted = {op.name for group in drawable().values() for op in group}
    findings = [f for entry in done for f in entry["findings"]]
    graphs, nodes, seconds = (sum(e[what] for e in done) for what in ("graphs", "nodes", "seconds"))
    print(f"{graphs:,} graphs, {nodes:,} nodes, {seconds:.0f} s of processes, "
          f"{len(findings)} findings")  # fmt: skip
    rarest = ", ".join(f"{name} {count}" for name, count in ops.most_common()[:-11:-1])
    print(f"ops: {len(wanted & ops.keys())} of {len(wanted)}; the rarest: {rarest}")
    if missing := sorted(wanted - ops.keys()):
        print("never drawn:", ", ".join(missing))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
