"""PyTorch's optimizer database: five steps of every entry with all of its settings."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.testing._internal.common_optimizers import optim_db

import ambos as am
from ambos import optim

ENTRIES = {info.name: info for info in optim_db}
OUT: dict[str, str] = {}
STEPS = 5
SHAPES = [(3, 4), (4, 2), (4,)]


class Difference(NamedTuple):
    """Where a run of ours ended elsewhere than torch's."""

    settings: str
    what: str
    most: float


class Run:
    """An optimizer of ours and its twin, from one start."""

    def __init__(self, name: str, settings: dict[str, Any], seed: int) -> None:
        self.settings = ", ".join(f"{k}={v}" for k, v in settings.items()) or "defaults"
        self.stream = np.random.RandomState(seed)
        self.shapes = [shape for shape in SHAPES if name != "Muon" or len(shape) == 2]
        values = [self.draw(shape) for shape in self.shapes]
        self.ours = [am.tensor(value, requires_grad=True) for value in values]
        self.theirs = [torch.tensor(value, requires_grad=True) for value in values]
        self.sparse = name == "SparseAdam"
        self.rule: Any = getattr(optim, name)(
            self.ours, **{k: translated(v) for k, v in settings.items()}
        )
        self.twin = ENTRIES[name].optim_cls(self.theirs, **settings)

    def draw(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.stream.randn(*shape).astype(np.float32)

    def step(self) -> None:
        """A step of both on given gradients."""
        for ours, theirs in zip(self.ours, self.theirs, strict=True):
            grad = self.draw(tuple(ours.shape))
            if self.sparse:  # some rows; those that are left out are zero
                grad[self.stream.rand(len(grad)) < 0.5] = 0.0
            ours.grad, theirs.grad = am.tensor(grad), torch.tensor(grad)
            if self.sparse:
                theirs.grad = theirs.grad.to_sparse(1)
        self.twin.step()
        self.rule.step()

    def descend(self) -> None:
        """A step with a closure, for rules that look at the loss."""
        for rule, params, framework in (
            (self.rule, self.ours, am),
            (self.twin, self.theirs, torch),
        ):

            def closure(rule: Any = rule, params: Any = params, framework: Any = framework) -> Any:
                rule.zero_grad()
                a, b, c = params
                loss = 0.1 * ((a @ b).tanh() - 0.3).square().sum() + (c - 1).square().sum()
                loss = loss + 0.3 * (a * a).sum() + 0.6 * (b * b).sum()  # a valley, not chaos
                loss.backward()
                return loss

            rule.step(closure)

    def differences(self, tolerance: float, of_state: float) -> list[Difference]:
        """What is not equal: parameters, states, names of settings and states."""
        found = []
        for number, (p, q) in enumerate(zip(self.ours, self.theirs, strict=True)):
            found += self.compared(f"parameter {number}", p, q.detach(), tolerance)
        ours, theirs = self.rule.state_dict(), self.twin.state_dict()
        if [list(g) for g in ours["param_groups"]] != [list(g) for g in theirs["param_groups"]]:
            found.append(Difference(self.settings, "names of settings", np.inf))
        for number, state in theirs["state"].items():
            for key, value in state.items():
                if value is not None and key != "al":  # scratch of torch's loops
                    mine = ours["state"][number].get(key)
                    found += self.compared(f"{key} of {number}", mine, value, of_state)
        return found

    def compared(self, what: str, ours: Any, theirs: Any, tolerance: float) -> list[Difference]:
        if isinstance(theirs, list):
            pairs = zip(ours, theirs, strict=True)
            return [d for a, b in pairs for d in self.compared(what, a, b, tolerance)]
        if ours is None:
            return [Difference(self.settings, f"{what} is missing", np.inf)]
        a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        most = float(np.max(np.abs(a - b) / (1 + np.abs(b)))) if a.shape == b.shape else np.inf
        return [] if most <= tolerance else [Difference(self.settings, what, most)]


def translated(value: Any) -> Any:
    """A setting of torch's as one of ours."""
    if isinstance(value, torch.Tensor):
        return am.tensor(value.numpy())
    return tuple(map(translated, value)) if isinstance(value, tuple) else value


def check(name: str) -> tuple[int, list[Difference]]:
    """How many settings an entry has, and where they differ."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about settings that it calls unusual
        inputs = [found.kwargs for found in ENTRIES[name].optim_inputs_func(device="cpu")]
        more = {"max_iter": 3} if name == "LBFGS" else {}  # far from where rounding decides
        runs = [Run(name, settings | more, seed) for seed, settings in enumerate(inputs)]
        for run in runs:
            for _ in range(STEPS):
                run.descend() if name == "LBFGS" else run.step()
    # LBFGS remembers differences of gradients, where rounding is all that is left in the end.
    tolerances = (1e-5, 2e-3) if name == "LBFGS" else (1e-6, 1e-6)
    return len(runs), [d for run in runs for d in run.differences(*tolerances)]


WELCOME = (  # what torch refuses and ambos takes: pieces of its descriptions
    "with/without names",  # names are for messages: some may have one
    "Tensor doesn't work with foreach",  # there is one implementation
    "both floats or both Tensors",
    "as a Tensor is not supported",
    "dense params required",  # they are, here
    "complex not supported",  # by SparseAdam: both parts of a number are numbers
)


def accepted(name: str) -> tuple[int, list[str]]:
    """How many settings torch refuses for an entry, and those that we take for no reason."""
    found = ENTRIES[name].optim_error_inputs_func(device="cpu", dtype=torch.float32)
    taken = []
    for error in found:
        given = error.optimizer_error_input
        params = [torch.nn.Parameter(torch.ones(2, 2))] if given.params is None else given.params
        settings = {key: translated(value) for key, value in given.kwargs.items()}
        try:
            getattr(optim, name)(ours_of(params, {}), **settings)
        except am.errors.AmbosError:
            continue
        if not any(piece in given.desc for piece in WELCOME):
            taken.append(given.desc)
    return len(found), taken


def ours_of(params: Any, known: dict[int, am.Tensor]) -> Any:
    """Parameters as torch's database gives them, as tensors of ours: one for one."""
    if isinstance(params, torch.Tensor):
        numbers = params.detach().to_dense().numpy()
        return known.setdefault(id(params), am.tensor(numbers, requires_grad=True))
    if isinstance(params, dict):
        return {key: ours_of(value, known) for key, value in params.items()}
    if isinstance(params, (list, tuple)):
        return type(params)(ours_of(entry, known) for entry in params)
    return params


def table() -> str:
    """Counts by entry as Markdown."""
    lines = [
        "### Optimizers",
        "",
        "| entry | settings | agree over five steps | refused by torch | and taken here |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in ENTRIES:
        if name in OUT:
            continue
        count, found = check(name)
        refusals, taken = accepted(name)
        agree = count - len({difference.settings for difference in found})
        lines.append(f"| {name} | {count} | {agree} | {refusals} | {len(taken)} |")
    lines += ["", *(f"* out of scope: `{name}`: {why}" for name, why in OUT.items())]
    return "\n".join(lines) + "\n"
