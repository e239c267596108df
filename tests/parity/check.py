"""One entry of the database against ours: values by dtype, gradients, and what is refused."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import ambos as am
from ambos.core.errors import AmbosError
from tests.parity import database, mapping
from tests.parity.compare import difference
from tests.parity.convert import Translation, flat, from_torch

DTYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool,
          "complex64": torch.complex64}  # fmt: skip
TOGETHER = 64  # results in one program: what the fuser weighs grows faster than they do
ASPECTS = (*DTYPES, "gradient", "errors")


@dataclass
class Failure:
    """One sample that differs: in which aspect, which of the entry's samples it is, and how."""

    aspect: str
    number: int
    reason: str
    call: str = ""

    def __str__(self) -> str:
        return f"{self.aspect}[{self.number}] {self.call}: {self.reason}"


@dataclass
class Outcome:
    """What came of an entry: how many samples agreed in each aspect, and those that did not."""

    name: str
    passed: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def note(self, aspect: str, number: int, reason: str | None, call: str) -> None:
        if reason is None:
            self.passed[aspect] += 1
        else:
            self.failures.append(Failure(aspect, number, reason, call))

    def unexplained(self) -> list[Failure]:
        """The failures that no entry of `mapping.KNOWN` gives a reason for."""
        return [f for f in self.failures if mapping.reason(self.name, f.aspect, f.reason) is None]


@contextmanager
def quiet() -> Iterator[None]:
    """Without warnings: torch's own samples provoke many."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def check(name: str, limit: int | None = None) -> Outcome:
    """Every sample of an entry (or `limit` of each dtype, always the same ones)."""
    outcome = Outcome(name)
    op, function = database.ENTRIES[name], mapping.function(name)
    assert function is not None, f"{name} is not mapped"
    with quiet():
        for aspect, dtype in DTYPES.items():
            if aspect == "complex64" and database.supports(op, torch.float32):
                continue  # complex numbers count where an entry takes no others
            if database.supports(op, dtype):
                _check_dtype(outcome, op, function, aspect, limit)
        _check_errors(outcome, op, function, limit)
    return outcome


def outcome_of(
    task: tuple[str, int | None], check: Callable[[str, int | None], Outcome]
) -> Outcome:
    """An entry's outcome; an error of the harness itself counts as a failure of the entry."""
    try:
        return check(*task)
    except Exception as error:
        failure = Failure("float32", -1, f"harness: {type(error).__name__}: {error}")
        return Outcome(task[0], failures=[failure])


@dataclass
class Trial:
    """One sample, computed by torch and recorded by us."""

    number: int
    call: str
    theirs: Any
    their_gradients: list[Any] | None = None
    ours: Any = None
    gradients: list[Any] | None = None
    problem: str | None = None
    gradient_problem: str | None = None


def _check_dtype(
    outcome: Outcome, op: Any, function: Callable[..., Any], aspect: str, limit: int | None
) -> None:
    found = database.samples(op, DTYPES[aspect], None if limit is None else database.FIRST)
    numbers = database.chosen(outcome.name, len(found), limit)
    trials = [_trial(outcome.name, op, function, found[n], n) for n in numbers]
    trials = [trial for trial in trials if trial is not None]
    _compute_together(trials)
    scale = mapping.TOLERANCE.get(outcome.name, 1.0)
    for trial in trials:
        values = not mapping.is_random(outcome.name, found[trial.number])
        reason = trial.problem or _told(
            lambda t=trial, v=values: difference(t.ours, t.theirs, v, scale)
        )
        outcome.note(aspect, trial.number, reason, trial.call)
        if trial.their_gradients is not None and values and trial.problem is None:
            reason = trial.gradient_problem or _told(
                lambda t=trial: difference(t.gradients, t.their_gradients, True, scale)
            )
            outcome.note("gradient", trial.number, reason, trial.call)


def _told(function: Callable[[], str | None]) -> str | None:
    """What `function` tells, or the error that came of it."""
    try:
        return function()
    except Exception as error:
        return described(error)


def described(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"


def _trial(
    name: str, op: Any, function: Callable[..., Any], sample: Any, number: int
) -> Trial | None:
    """A sample on both sides; None where torch itself refuses it."""
    call = shown(sample)
    try:
        translated = Translation(sample)  # first: some entries write to their input
    except Exception as error:
        return Trial(number, call, None, problem=described(error))
    database.seed_torch(number)
    try:
        trial = Trial(number, call, results_of(name, op.op, sample))
    except Exception:
        return None
    try:
        trial.ours = results_of(name, function, translated)
    except Exception as error:
        trial.problem = described(error)
        return trial
    _differentiate(trial, translated)
    return trial


def results_of(name: str, function: Callable[..., Any], sample: Any) -> Any:
    """What a function of either side makes of a sample, as both sides are looked at."""
    given = mapping.GIVEN.get(name, lambda *args, **options: (args, options))
    both = mapping.BOTH.get(name, lambda result: result)
    place = mapping.PLACES.get(name, lambda result, *_, **__: result)
    args, options = given(sample.input, *sample.args, **sample.kwargs)
    return place(both(function(*args, **options)), *args, **options)


def _differentiate(trial: Trial, translated: Translation) -> None:
    """Gradients of both sides for random weights of all results that have any."""
    results = flat(trial.theirs)
    chosen = [i for i, y in enumerate(results) if isinstance(y, torch.Tensor) and y.requires_grad]
    leaves = translated.leaves()
    if not chosen or not leaves:
        return
    random = np.random.default_rng(trial.number)
    weights = [weights_like(random, results[i]) for i in chosen]
    try:
        found = torch.autograd.grad(
            [results[i] for i in chosen], [theirs for theirs, _ in leaves], weights,
            allow_unused=True,
        )  # fmt: skip
    except Exception:
        return
    trial.their_gradients = [
        torch.zeros_like(x) if g is None else g for (x, _), g in zip(leaves, found, strict=True)
    ]
    try:
        ours = flat(trial.ours)
        # What carries no gradient here has to have none but zeros there.
        pairs = [(ours[i], from_torch(w)) for i, w in zip(chosen, weights, strict=True)
                 if ours[i].requires_grad]  # fmt: skip
        own = [None] * len(leaves)
        if pairs:
            own = am.autograd.grad([y for y, _ in pairs], [x for _, x in leaves],
                                   [w for _, w in pairs], allow_unused=True)  # fmt: skip
        trial.gradients = [
            am.zeros_like(x) if g is None else g for (_, x), g in zip(leaves, own, strict=True)
        ]
    except Exception as error:
        trial.gradient_problem = described(error)


def weights_like(random: np.random.Generator, result: torch.Tensor) -> torch.Tensor:
    shape = tuple(result.shape)
    weights = random.standard_normal(shape)
    if result.dtype.is_complex:
        weights = weights + 1j * random.standard_normal(shape)
    return torch.as_tensor(weights).to(result.dtype)


def _compute_together(trials: list[Trial]) -> None:
    """Evaluate many samples in one program: one compilation instead of many. An error shows again
    where its own sample is looked at."""
    wanted = [
        leaf
        for trial in trials
        for leaf in flat([trial.ours, trial.gradients])
        if isinstance(leaf, am.Tensor)
    ]
    for start in range(0, len(wanted), TOGETHER):
        with suppress(Exception):
            am.evaluate(*wanted[start : start + TOGETHER])


def _check_errors(
    outcome: Outcome, op: Any, function: Callable[..., Any], limit: int | None
) -> None:
    try:
        found = database.error_inputs(op)
    except Exception:  # some are written for a GPU only
        return
    for number in database.chosen(outcome.name, len(found), limit):
        sample = found[number].sample_input
        if not mapping.is_error_here(outcome.name, found[number].error_regex):
            continue
        outcome.note("errors", number, _refusal(function, sample, found[number]), shown(sample))


def _refusal(function: Callable[..., Any], sample: Any, error: Any) -> str | None:
    """None if we refuse what torch refuses, in our own words."""
    try:
        translated = Translation(sample)
        result = function(translated.input, *translated.args, **translated.kwargs)
        am.evaluate(*[leaf for leaf in flat(result) if isinstance(leaf, am.Tensor)])
    except AmbosError:
        return None
    except Exception as other:
        return f"an error that is not ours, {described(other)}"
    return f"no error; torch says {error.error_regex!r}"


def shown(sample: Any) -> str:
    """The call in short: shapes instead of tensors."""
    parts = [_shown(v) for v in (sample.input, *sample.args)]
    parts += [f"{k}={_shown(v)}" for k, v in sample.kwargs.items()]
    return f"({', '.join(parts)})"[:300]


def _shown(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_shown(v) for v in value)}]"
    return repr(value)[:80]
