"""Gradients where each ReLU cuts as it did in float32: what is left is rounding alone.

A number before a ReLU that is nearly 0 falls to one side or the other, and its gradient is all or
nothing; deep networks have a few such units in a hundred thousand. The exact model is PyTorch's in
float64, told which side each unit was on.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import ambos as am
import ambos.nn.functional as F
from tests.models.oracle import learn, loss_of, pair, targets, worst_gradient
from tests.models.twins import Case

Side = np.ndarray[Any, np.dtype[np.bool_]]


class Told(torch.nn.Module):
    """A ReLU that is told which numbers pass."""

    def __init__(self, sides: Iterator[Side]) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.tensor(next(self.sides)).to(x.dtype)


def rectifiers(model: Any) -> list[tuple[Any, str, Any]]:
    """The ReLU modules of either library, each with its parent and its name there."""
    return [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child).__name__ == "ReLU"
    ]


def watched(model: Any) -> list[Side]:
    """What will pass each ReLU, call by call."""
    found: list[Side] = []

    def note(module: Any, given: tuple[Any, ...]) -> None:
        found.append(given[0].detach().numpy() > 0)

    for child in {id(child): child for _, _, child in rectifiers(model)}.values():
        child.inplace = False
        child.register_forward_pre_hook(note)
    return found


def told(exact: torch.nn.Module, sides: list[Side]) -> torch.nn.Module:
    """`exact` with `sides`, in the order of calls."""
    told = Told(iter(sides))
    for parent, name, _ in rectifiers(exact):
        setattr(parent, name, told)
    return exact


def compare_sides(case: Case, training: bool) -> tuple[float, float, int]:
    """How far gradients are from float64's with the same sides: ours, and PyTorch's in float32;
    and how many units fell to different sides in the two."""
    ours, theirs = pair(case)
    ours.train(training)
    theirs.train(training)
    exact = [copy.deepcopy(theirs).double() for _ in range(2)]
    inputs, mine, others = case.inputs(), watched(ours), watched(theirs)
    expected = theirs(*map(torch.tensor, inputs))
    wanted = targets(expected)
    learn(theirs, expected, wanted)
    loss_of(F, ours(*map(am.tensor, inputs)), map(am.tensor, wanted)).backward()
    doubled = [x.astype(np.float64) if x.dtype == np.float32 else x for x in inputs]
    found = []
    for model, known, sides in zip((ours, theirs), exact, (mine, others), strict=True):
        result = told(known, sides)(*map(torch.tensor, doubled))
        learn(known, result, wanted)
        gradients = {n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}
        found.append(worst_gradient(gradients, known)[0])
    apart = sum(int((a != b).sum()) for a, b in zip(mine, others, strict=True))
    return found[0], found[1], apart
