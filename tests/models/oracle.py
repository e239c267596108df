"""A model beside its oracle in PyTorch: the same numbers in both.

What is compared is relative to the largest number of the oracle's tensor. A gradient that is nearly
zero throughout (of a bias before a normalisation) is rounding noise, so no scale is below a
hundredth of the largest gradient of all.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import ambos as am
import ambos.nn.functional as F
from ambos import optim
from tests.models.twins import Case


@dataclass
class Comparison:
    """Relative differences; those of the oracle from itself in float64, where asked for."""

    output: float
    gradient: float
    worst: str  # whose gradient it is
    output_of_float32: float = 0.0
    gradient_of_float32: float = 0.0


def leaves(result: Any) -> list[Any]:
    """The tensors of a result, in the order of both libraries."""
    if isinstance(result, Mapping):
        return [leaf for part in result.values() for leaf in leaves(part)]
    if isinstance(result, (list, tuple)):
        return [leaf for part in result for leaf in leaves(part)]
    return [result]


def pair(case: Case, used: bool = True) -> tuple[Any, torch.nn.Module]:
    """Both models, with the oracle's numbers: keys and shapes are the same, in the same order."""
    torch.manual_seed(0)
    theirs = undropped(case.theirs())
    if used:
        worn(theirs)
    ours = undropped(case.ours())
    state = theirs.state_dict()
    assert keys(ours) == keys(theirs)
    ours.load_state_dict(state)
    return ours, theirs


def keys(model: Any) -> list[tuple[str, tuple[int, ...]]]:
    """The state of a model: names and shapes, in order."""
    return [(key, tuple(value.shape)) for key, value in model.state_dict().items()]


def undropped(model: Any) -> Any:
    """Without chance."""
    for module in model.modules():
        if type(module).__name__ in ("Dropout", "StochasticDepth"):
            module.p = 0.0
    return model


def worn(model: torch.nn.Module) -> torch.nn.Module:
    """With normalisations that scale and shift, running statistics of their own, and no zeros that
    would hide what is behind them."""
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.copy_(0.1 * torch.randn(parameter.shape))
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                for name, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5),
                                  ("running_var", 0.5)):  # fmt: skip
                    tensor = getattr(module, name)
                    tensor.copy_(torch.rand(tensor.shape) + low)
    return model


def difference(found: np.ndarray, theirs: torch.Tensor, least: float = 1e-30) -> float:
    """The largest, relative to the largest number of the oracle."""
    expected = theirs.detach().double().numpy()
    assert found.shape == expected.shape, (found.shape, expected.shape)
    if not expected.size:
        return 0.0
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), least))


def targets(result: Any, seed: int = 0) -> list[np.ndarray]:
    """Something to learn for each tensor of a result: classes for rows of scores, else numbers."""
    numbers = np.random.default_rng(100 + seed)
    found = []
    for leaf in leaves(result):
        shape = tuple(leaf.shape)
        if len(shape) == 2:
            found.append(numbers.integers(0, shape[1], shape[0]))
        else:
            found.append(numbers.standard_normal(shape).astype(np.float32))
    return found


def loss_of(functional: Any, result: Any, wanted: Iterable[Any]) -> Any:
    """Cross entropy of scores, squares of all else."""
    total = 0.0
    for leaf, target in zip(leaves(result), wanted, strict=True):
        measure = functional.cross_entropy if len(leaf.shape) == 2 else functional.mse_loss
        total = total + measure(leaf, target)
    return total


def compare_results(case: Case) -> float:
    """The difference of results, and of running statistics, in training."""
    ours, theirs = pair(case)
    inputs = case.inputs()
    result, expected = ours(*map(am.tensor, inputs)), theirs(*map(torch.tensor, inputs))
    return of_results(ours, theirs, result, expected)


def of_results(ours: Any, theirs: torch.nn.Module, result: Any, expected: Any) -> float:
    """The largest difference, also of buffers."""
    pairs = zip(leaves(result), leaves(expected), strict=True)
    buffers = dict(theirs.named_buffers())
    found = [difference(mine.numpy(), other) for mine, other in pairs]
    return max(found + [difference(b.numpy(), buffers[n]) for n, b in ours.named_buffers()])


def compare(case: Case, training: bool = False, exact: bool = False) -> Comparison:
    """Results and gradients of one call, in the mode that is asked for."""
    ours, theirs = pair(case)
    ours.train(training)
    theirs.train(training)
    inputs = case.inputs()
    doubled = copy.deepcopy(theirs).double()
    expected = theirs(*map(torch.tensor, inputs))
    wanted = targets(expected)
    learn(theirs, expected, wanted)
    result = ours(*map(am.tensor, inputs))
    loss_of(F, result, map(am.tensor, wanted)).backward()
    output = of_results(ours, theirs, result, expected)
    gradients = {n: p.grad.numpy() for n, p in ours.named_parameters() if p.grad is not None}
    found = Comparison(output, *worst_gradient(gradients, theirs))
    if exact:
        inputs = [x.astype(np.float64) if x.dtype == np.float32 else x for x in inputs]
        exactly = doubled(*map(torch.tensor, inputs))
        learn(doubled, exactly, wanted)
        pairs = zip(leaves(expected), leaves(exactly), strict=True)
        found.output_of_float32 = max(difference(a.detach().numpy(), b) for a, b in pairs)
        known = {n: p.grad.numpy() for n, p in theirs.named_parameters() if p.grad is not None}
        found.gradient_of_float32 = worst_gradient(known, doubled)[0]
    return found


def learn(model: torch.nn.Module, result: Any, wanted: list[np.ndarray]) -> float:
    """The oracle's loss; its parameters have their gradients."""
    precise = next(model.parameters()).dtype
    aims = [t if t.dtype == torch.int64 else t.to(precise) for t in map(torch.tensor, wanted)]
    loss = loss_of(torch.nn.functional, result, aims)
    loss.backward()
    return loss.item()


def worst_gradient(found: dict[str, np.ndarray], theirs: torch.nn.Module) -> tuple[float, str]:
    """The largest difference between gradients, and whose."""
    known = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    assert known.keys() == found.keys()
    least = 1e-2 * max(gradient.abs().max().item() for gradient in known.values())
    differences = {name: difference(found[name], known[name], least) for name in known}
    name = max(differences, key=lambda key: differences[key])
    return differences[name], name


@dataclass
class Course:
    """A training of the oracle: plain descent with momentum on ten batches in turn."""

    case: Case
    theirs: torch.nn.Module
    like: Any  # results, of which targets take their shapes
    lr: float

    def batch(self, number: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Inputs and targets of a step."""
        return self.case.inputs(number % 10), targets(self.like, number % 10)

    def losses(self, steps: int) -> Iterator[float]:
        """The oracle's, step by step, in the precision of its parameters."""
        rule = torch.optim.SGD(self.theirs.parameters(), lr=self.lr, momentum=0.9)
        precise = next(self.theirs.parameters()).dtype
        for number in range(steps):
            inputs, wanted = self.batch(number)
            given = [
                t.to(precise) if t.is_floating_point() else t for t in map(torch.tensor, inputs)
            ]
            result = self.theirs(*given)
            rule.zero_grad()
            loss = learn(self.theirs, result, wanted)
            rule.step()
            yield loss


def course(case: Case, theirs: torch.nn.Module, rate: float) -> Course:
    """The rate of learning is such that a step takes `rate` off the loss at first (momentum makes
    it ten times that).

    At their initial values deep networks that normalise by a few examples have steep, chaotic
    losses: a gradient of torchvision's MobileNetV2 in float32 is 70% off from that in float64.
    """
    tried = copy.deepcopy(theirs).train()
    inputs = [*map(torch.tensor, case.inputs())]
    with torch.no_grad():
        like = copy.deepcopy(theirs).eval()(*inputs)
    loss = learn(tried, tried(*inputs), targets(like))
    slopes = [p.grad.double() for p in tried.parameters() if p.grad is not None]
    steep = sum((slope**2).sum().item() for slope in slopes)
    return Course(case, theirs.train(), like, rate * loss / steep)


def parting(case: Case, steps: int, rate: float) -> float:
    """How far the oracle's losses in float32 are from its own in float64."""
    theirs = pair(case, used=False)[1]
    rough = course(case, theirs, rate)
    exact = Course(case, copy.deepcopy(theirs).double(), rough.like, rough.lr)
    pairs = zip(rough.losses(steps), exact.losses(steps), strict=True)
    return max(abs(found - wanted) / abs(wanted) for found, wanted in pairs)


def trainings(
    case: Case, steps: int, rate: float = 1e-3
) -> Iterator[tuple[float, float, float, float]]:
    """The losses of both, step by step, and the seconds that the steps took."""
    ours, theirs = pair(case, used=False)
    known = course(case, theirs, rate)
    ours.train()
    rule = optim.SGD(ours.parameters(), lr=known.lr, momentum=0.9)

    @am.jit
    def step(inputs: list[Any], wanted: list[Any]) -> Any:
        loss = loss_of(F, ours(*inputs), wanted)
        rule.zero_grad()
        loss.backward()
        rule.step()
        return loss

    expected = known.losses(steps)
    for number in range(steps):
        inputs, wanted = known.batch(number)
        mine = ([*map(am.tensor, inputs)], [*map(am.tensor, wanted)])
        start = time.perf_counter()
        found = step(*mine).item()
        middle = time.perf_counter()
        yield found, next(expected), middle - start, time.perf_counter() - middle
