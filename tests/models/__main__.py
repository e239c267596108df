"""Every model at its real size beside its oracle: `make models ARGS="--only resnet* --steps 10"`.

Results and gradients in both modes, then a training whose losses are compared step by step. What
float32 itself makes of it is measured too: PyTorch's results against PyTorch's in float64.
"""

from __future__ import annotations

import argparse
import fnmatch
import gc
import sys
import time
from pathlib import Path

from tests.models import other_twins
from tests.models.cases import FULL as VISION
from tests.models.oracle import compare, parting, trainings
from tests.models.sides import compare_sides

FULL = {**VISION, **other_twins.FULL}
HEAD = ("model", "output", "gradient", "output, training", "gradient, training", "losses",
        "first step", "step")  # fmt: skip
NOTE = """Largest differences from PyTorch, relative to the largest number of each tensor;
in brackets those of PyTorch's own float32 from its float64. Losses of {steps} training steps: the
largest relative difference; where it is above {limit:.0e}, in brackets PyTorch's own again. Seconds
of ours, jitted (the first compiles), and of PyTorch, eager. The first step takes {rate:.0e} off.
"""
LIMIT = 1e-3


def row(name: str, steps: int, rate: float) -> list[str]:
    """What is found of one model."""
    cells = [name]
    for training in (False, True):
        found = compare(FULL[name], training, exact=True)
        cells += [f"{found.output:.0e} ({found.output_of_float32:.0e})",
                  f"{found.gradient:.0e} ({found.gradient_of_float32:.0e})"]  # fmt: skip
        gc.collect()
    ran = list(trainings(FULL[name], steps, rate))
    worst = max(abs(ours - theirs) / abs(theirs) for ours, theirs, _, _ in ran)
    best = [min(step[i] for step in ran[1:] or ran) for i in (2, 3)]
    losses = f"{worst:.0e}"
    if worst > LIMIT:
        losses += f" ({parting(FULL[name], steps, rate):.0e})"
    return [*cells, losses, f"{ran[0][2]:.2f} / {ran[0][3]:.2f}",
            f"{best[0]:.3f} / {best[1]:.3f}"]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="models", description=__doc__)
    parser.add_argument("--only", nargs="*", default=["*"], help="models, with * and ?")
    parser.add_argument("--steps", type=int, default=100, help="of training")
    parser.add_argument("--rate", type=float, default=1e-3, help="what a step takes off the loss")
    parser.add_argument("--sides", action="store_true", help="gradients where each ReLU is told "
                        "where it cut in float32: what is left is rounding")  # fmt: skip
    parser.add_argument("--write", type=Path, default=Path("runs/models.md"), help="the table")
    options = parser.parse_args()
    names = [name for only in options.only for name in fnmatch.filter(FULL, only)]
    if options.sides:
        for name in dict.fromkeys(names):
            for training in (False, True):
                ours, theirs, apart = compare_sides(FULL[name], training)
                print(f"{name}, {'training' if training else 'evaluation'}: {ours:.0e} "
                      f"({theirs:.0e}), {apart} units on different sides", flush=True)  # fmt: skip
        return 0
    table = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    options.write.parent.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys(names):
        start = time.perf_counter()
        table.append(f"| {' | '.join(row(name, options.steps, options.rate))} |")
        print(table[-1], f"{time.perf_counter() - start:.0f} s", flush=True)
        note = NOTE.format(steps=options.steps, rate=options.rate, limit=LIMIT)
        options.write.write_text("\n".join([note, *table]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
