"""Steps of parameters that differ from step to step: each parameter is updated on its own.

An expert that no example was sent to has no gradient. Which have one is another set at each step,
so the program of all updates would be another one too; those of single parameters are few.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from ambos.optim.clock import Clock
from ambos.optim.groups import settings_of
from ambos.optim.settings import Scalars
from ambos.optim.turn import Rule, Turn, spread, updated
from ambos.tensor.handle import Tensor
from ambos.tensor.jit import jit
from ambos.tensor.tracing import depend_on, guard

FEW = 4  # sets of parameters that may take turns, each with a program of its own
FIRM = 3  # steps in a row after which another set gets one too
MOST_KNOWN = 8


class Way(Enum):
    """How a step is computed."""

    ONCE = "recorded, together with the gradients"
    AGAIN = "replayed"
    APART = "each parameter on its own"


class Patterns:
    """Which parameters had gradients in the steps so far."""

    def __init__(self) -> None:
        self._met = 0
        self._known: list[list[bool]] = []
        self._last: list[bool] = []
        self._row = 0

    def way(self, having: list[bool]) -> Way:
        """How to compute the next step, where these parameters have gradients."""
        self._row = self._row + 1 if having == self._last else 1
        self._last = having
        known = having in self._known
        if not known and self._row == 1:
            self._met += 1
        if self._met > FEW and self._row < FIRM:
            return Way.APART
        if not known:
            self._known = [*self._known[: MOST_KNOWN - 1], having]
        return Way.AGAIN if known else Way.ONCE


class Apart(Turn):
    """The step of one group, computed at once: one native call a parameter, and one a clock."""

    def later(self, count: Tensor) -> float:
        return float(count.item()) + 1.0

    def factors(self, clock: Clock) -> Scalars:
        found, clock.shared = _numbers(self.rule, self.number, clock.count, clock.shared)
        return found

    def updated(self, parameter: Tensor, grad: Tensor, state: dict[str, Any]) -> Tensor:
        wide = self.wide_of(state)
        held = {key: value.detach() for key, value in state.items() if isinstance(value, Tensor)}
        own = parameter.detach(), grad.detach()
        new, changed = _one(self.rule, self.number, *own, held, wide)
        state.update(changed)
        return new

    def stay(self, wrong: Tensor) -> None:
        if wrong.item():  # as if nothing had happened
            self.parameters, self.held, self.states, self.new, self.tick = [], [], [], [], None


@jit
def _numbers(
    rule: Rule, number: int, count: Tensor, shared: Mapping[str, Tensor]
) -> tuple[Scalars, dict[str, Tensor]]:
    """The numbers of a step, and what its clock shares after it."""
    _guard(rule, number)
    clock = Clock(count, shared)
    return rule.factors(rule.in_numbers(number), clock), clock.shared


@jit
def _one(
    rule: Rule,
    number: int,
    parameter: Tensor,
    grad: Tensor,
    state: Mapping[str, Tensor],
    wide: Scalars,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The next value of one parameter, and its state."""
    _guard(rule, number)
    after, group = dict(state), rule.param_groups[number]
    new = updated(rule, group, parameter, grad, after, lambda real: spread(rule, wide, real))
    return new, after


def _guard(rule: Rule, number: int) -> None:
    depend_on(rule)
    guard(settings_of(rule.param_groups[number], rule.dials))
