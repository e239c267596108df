"""Second derivatives against PyTorch's, in float64 (or another dtype), of samples of an entry.

python -m tests.parity.second 'fft.*' -n 3 --dtype complex128
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch

import ambos as am
from ambos.core.errors import AmbosError
from tests.parity import database, mapping
from tests.parity.check import Outcome, described, quiet, results_of, shown, weights_like
from tests.parity.compare import difference
from tests.parity.convert import Translation, dtype_name, flat, from_torch

# Second derivatives cancel more than first ones: this much wider than float64's tolerances.
SCALE = 100.0
ASPECT = "second"
# torch computes their gradients together with the values and takes them for constants.
ONCE = ("nn.functional.linear_cross_entropy.chunked",
        "nn.functional.linear_cross_entropy.chunked_none")  # fmt: skip


def has_second(name: str, dtype: torch.dtype) -> bool:
    """Is torch an oracle of the second derivatives of this entry? Not where its first one is
    another one on purpose."""
    op = database.ENTRIES[name]
    if name in ONCE or "gradient" in mapping.KNOWN.get(name, {}):
        return False
    return bool(op.supports_gradgrad and database.has_gradient(op, dtype))


def check_second(
    name: str, limit: int | None = None, dtype: torch.dtype = torch.float64
) -> Outcome:
    """The samples of an entry whose second derivatives torch has (or `limit` of them)."""
    outcome = Outcome(name)
    if not has_second(name, dtype):
        return outcome
    with quiet():
        found = database.samples(database.ENTRIES[name], dtype)
        for number in database.chosen(name, len(found), limit):
            if not mapping.is_random(name, found[number]):
                _compare(outcome, found[number], number)
    return outcome


@dataclass
class Theirs:
    """What torch makes of a sample: which results vary, and the seeds of both derivatives."""

    dtypes: list[str]
    chosen: list[int]
    weights: list[torch.Tensor]
    seeds: list[torch.Tensor | None]
    second: Sequence[torch.Tensor | None]


def _theirs(name: str, sample: Any, inputs: Sequence[Any], number: int) -> Theirs | None:
    """None where torch has no second derivative, or none that is finite."""
    random = np.random.default_rng(number)
    database.seed_torch(number)
    try:
        results = flat(results_of(name, database.ENTRIES[name].op, sample))
        chosen = [i for i, y in enumerate(results)
                  if isinstance(y, torch.Tensor) and y.requires_grad]  # fmt: skip
        results = [results[i] for i in chosen]
        weights = [weights_like(random, y) for y in results]
        slopes = _gradients(torch, results, inputs, weights)
        seeds = [None if g is None else weights_like(random, g) for g in slopes]
        second = _gradients(torch, slopes, inputs, seeds)
    except Exception:
        return None
    if not all(bool(g.isfinite().all()) for g in second if g is not None):
        return None
    return Theirs([dtype_name(y) for y in results], chosen, weights, seeds, second)


def _compare(outcome: Outcome, sample: Any, number: int) -> None:
    """Note how both sides differ in one sample, where both compute it and torch can differentiate
    it twice."""
    name, translated = outcome.name, Translation(sample)
    leaves = translated.leaves()
    theirs = _theirs(name, sample, [x for x, _ in leaves], number)
    if theirs is None:
        return
    try:
        results = flat(results_of(name, mapping.function(name), translated))
        ours = [results[i] for i in theirs.chosen]
        if [dtype_name(y) for y in ours] != theirs.dtypes:
            return  # seen elsewhere, too
        reason = _difference(ours, leaves, theirs, SCALE * mapping.TOLERANCE.get(name, 1.0))
    except AmbosError:  # what is refused is compared elsewhere
        return
    except Exception as error:
        reason = described(error)
    outcome.note(ASPECT, number, reason, shown(sample))


def _difference(
    ours: Sequence[Any], leaves: Sequence[Any], theirs: Theirs, scale: float
) -> str | None:
    inputs = [x for _, x in leaves]
    try:
        slopes = _gradients(am, ours, inputs, [from_torch(w) for w in theirs.weights])
        seeds = [None if w is None else from_torch(w) for w in theirs.seeds]
        found = _gradients(am, slopes, inputs, seeds)
        mine = [am.zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)]
        other = [
            torch.zeros_like(x) if g is None else g
            for g, (x, _) in zip(theirs.second, leaves, strict=True)
        ]
        return difference(mine, other, scale=scale)
    except AmbosError as error:  # not a refusal of the sample: of its derivative
        return described(error)


def _gradients(
    side: Any, results: Sequence[Any], inputs: Sequence[Any], weights: Sequence[Any]
) -> Sequence[Any]:
    """The gradients of either side, weighted; what does not vary has none."""
    pairs = [(y, w) for y, w in zip(results, weights, strict=True)
             if y is not None and w is not None and y.requires_grad]  # fmt: skip
    if not pairs:
        return [None] * len(inputs)
    given, seeds = (list(part) for part in zip(*pairs, strict=True))
    found: Sequence[Any] = side.autograd.grad(given, list(inputs), seeds, create_graph=True,
                                              allow_unused=True)  # fmt: skip
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity.second", description=__doc__)
    parser.add_argument("names", nargs="*", help="entries, or patterns of names")
    parser.add_argument("-n", "--samples", type=int, help="samples of each entry (default: all)")
    parser.add_argument("--dtype", default="float64")
    given = parser.parse_args()
    wanted = given.names or ["*"]
    total = bad = 0
    for name in mapping.mapped():
        if any(fnmatchcase(name, pattern) for pattern in wanted):
            outcome = check_second(name, given.samples, getattr(torch, given.dtype))
            for failure in outcome.failures:
                print(f"{name}: {failure}", flush=True)
            total, bad = total + sum(outcome.passed.values()), bad + len(outcome.failures)
    print(f"{total} second derivatives agree, {bad} differ")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
