"""Memory over many calls of every public function: `make leaks ARGS="--calls 100000"`.

A function leaks if the process grows in each of several windows of calls. What grows once (plans,
kernels, free lists) does not do that. Besides calls that work: errors raised again and again, and
jitted calls with sizes that were never seen.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import ambos as am
from ambos.core.errors import AmbosError
from tests.public.recipes import functions, recipe

WINDOWS = 4
BYTES_A_CALL = 24.0  # less is no object
PRINTS = ("explain", "compilations")


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(call: Callable[[], object], calls: int) -> float:
    """Bytes a call by which memory grows throughout; 0 if it settles. What grows is asked again:
    with few calls libraries and allocators may still be filling their own stores."""
    return _growth(call, calls) and _growth(call, 4 * calls)


def _growth(call: Callable[[], object], calls: int) -> float:
    for _ in range(max(20, calls // 4)):
        call()
    least, before = float("inf"), resident()
    for _ in range(WINDOWS):
        for _ in range(calls):
            call()
        now = resident()
        least, before = min(least, (now - before) / calls), now
        if least < BYTES_A_CALL:
            return 0.0
    return least


def refused(name: str) -> Callable[[], None]:
    """A call that the function refuses."""
    function = functions()[name]

    def call() -> None:
        with suppress(AmbosError):
            function(object(), no_such_keyword=1)

    return call


def late_error() -> None:
    """One that only a run finds."""
    with suppress(AmbosError):
        am.take(am.ones(3), am.tensor([7]), axis=0).sum().item()


@am.jit
def _jitted(x: am.Tensor) -> am.Tensor:
    return (x * 2).sum()


_sizes = count(1)


def new_size() -> None:
    """A jitted function with a size that it never saw."""
    _jitted(am.ones(next(_sizes) % 50_000 + 1)).item()


def training_step() -> None:
    x = am.ones(3, requires_grad=True)
    (x * x).sum().backward()


SITUATIONS: dict[str, Callable[[], None]] = {
    "an index found out of range": late_error, "a gradient": training_step,
    "jit with a new size": new_size,
}  # fmt: skip


def leak(name: str, calls: int) -> float:
    found = recipe(name)
    assert found is not None, f"write a call of {name} into BY_HAND"
    return max(growth(found, calls), growth(refused(name), calls))


def main() -> int:
    parser = argparse.ArgumentParser(prog="leaks", description=__doc__)
    parser.add_argument("--calls", type=int, default=1000, help="in a window, of which there are 4")
    parser.add_argument("--only", default="", help="functions whose names contain this")
    options = parser.parse_args()
    found: dict[str, float] = {}
    wanted = [n for n in functions() if options.only in n and n not in PRINTS]
    for name in wanted:
        if lost := leak(name, options.calls):
            found[name] = lost
            print(f"{name}: {lost:.0f} bytes a call", flush=True)
    for name, call in SITUATIONS.items():
        if lost := growth(call, options.calls):
            found[name] = lost
    print(f"{len(wanted)} functions, {len(found)} grow: {found}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
