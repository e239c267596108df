"""The step of one parameter group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, Protocol

from ambos.optim import saved
from ambos.optim.clock import Clock, Tick
from ambos.optim.saved import State
from ambos.optim.settings import Group, Scalars
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.operands import expand_to
from ambos.tensor.parts import view_as_complex, view_as_real
from ambos.tensor.pointwise import where

Spread = Callable[[Tensor], Scalars]


class Rule(saved.Rule, Protocol):
    """What is asked of an optimizer here."""

    counts_steps: ClassVar[bool]
    dials: ClassVar[tuple[str, ...]]
    spreads: ClassVar[bool]
    found_inf: Tensor | None

    def begin(self, slot: str, parameter: Tensor, group: Group) -> Tensor:
        """What is kept under `slot` before the first step."""

    def factors(self, group: Group, clock: Clock) -> Scalars:
        """The numbers of a step."""

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        """The parameter's next value; changes `state`."""

    def in_numbers(self, number: int) -> Group:
        """The settings of a group, with data in place of the numbers that vary."""


def updated(
    rule: Rule, group: Group, parameter: Tensor, grad: Tensor, state: State, factors: Spread
) -> Tensor:
    """`update`; both parts of a complex parameter are real parameters of their own. `factors` gives
    the numbers of the step for a parameter."""
    if group.get("maximize"):
        grad = -grad
    if not parameter.dtype.is_complex:
        return rule.update(parameter, grad, state, group, factors(parameter))
    before = set(state)
    pairs = [k for k, v in state.items() if isinstance(v, Tensor) and v.dtype.is_complex]
    state.update({key: view_as_real(state[key]) for key in pairs})
    real, grad = view_as_real(parameter), view_as_real(grad)
    new = rule.update(real, grad, state, group, factors(real))
    new_too = [key for key in state if key not in before]
    state.update({key: view_as_complex(state[key]) for key in (*pairs, *new_too)})
    return view_as_complex(new)


def spread(rule: Rule, wide: Scalars, parameter: Tensor) -> Scalars:
    """The numbers of a step in the dtype of a parameter and, unless the rule does not want that, in
    its shape."""
    shape = parameter.shape if rule.spreads else ()
    return tuple(
        wrap(expand_to(value.to(parameter.dtype)._node, shape))
        if isinstance(value, Tensor)
        else value
        for value in wide
    )


class Turn:
    """The step of one group, recorded at once and made true by `commit`."""

    def __init__(
        self, rule: Rule, number: int, owners: Mapping[Clock, int], grads: Iterator[Any]
    ) -> None:
        self.rule, self.number, self.group = rule, number, rule.param_groups[number]
        group = self.group
        found = [(p, grad) for p in group["params"] if (grad := next(grads)) is not None]
        self.parameters = [parameter for parameter, _ in found]
        self.held = [self._held(parameter) for parameter in self.parameters]
        self.states = [dict(state) for state in self.held]
        self.tick = (
            Tick(self.states, owners, lambda: Clock(0.0, rule.common(group)), self.later)
            if rule.counts_steps
            else None
        )
        self._wide: dict[Clock | None, Scalars] = {}  # float64
        self._factors: dict[tuple[Any, ...], Scalars] = {}
        self.new = [
            self.updated(parameter, grad, state)
            for (parameter, grad), state in zip(found, self.states, strict=True)
        ]
        self._own_states()
        if rule.found_inf is not None:
            self.stay(rule.found_inf)

    def _held(self, parameter: Tensor) -> State:
        """The state of a parameter, with what it has not yet."""
        state = dict(self.rule.state.get(parameter) or {})
        for slot in self.rule.slots(parameter, self.group):
            if slot not in state:
                state[slot] = self.rule.begin(slot, parameter, self.group)
        return state

    def _own_states(self) -> None:
        """What a rule put into a state is a snapshot in a handle of its own: it may be the gradient
        or the parameter itself, or stand in another place too, and the next step rebinds it."""
        for old, state in zip(self.held, self.states, strict=True):
            for key, value in state.items():
                if isinstance(value, Tensor) and value is not old.get(key):
                    state[key] = value.detach()

    def later(self, count: Tensor) -> Tensor | float:
        """What a clock shows after this step."""
        return count + 1.0

    def factors(self, clock: Clock) -> Scalars:
        """The numbers of the step of all parameters of a clock, in float64."""
        return self.rule.factors(self._numbers, clock)

    @cached_property
    def _numbers(self) -> Group:
        return self.rule.in_numbers(self.number)

    def updated(self, parameter: Tensor, grad: Tensor, state: State) -> Tensor:
        """The parameter's next value; changes `state`."""
        wide = self.wide_of(state)

        def factors(parameter: Tensor) -> Scalars:
            """Recorded and brought to a shape once, since many parameters share theirs."""
            place = state.get("step"), parameter.dtype, parameter.shape
            if place not in self._factors:
                self._factors[place] = spread(self.rule, wide, parameter)
            return self._factors[place]

        return updated(self.rule, self.group, parameter, grad, state, factors)

    def wide_of(self, state: State) -> Scalars:
        """`factors` of a state's clock, once."""
        clock: Clock | None = state.get("step")
        if clock not in self._wide:
            self._wide[clock] = self.factors(clock or Clock())
        return self._wide[clock]

    def stay(self, wrong: Tensor) -> None:
        """Where `wrong`, everything is to be what it was before the step."""
        for place, parameter in enumerate(self.parameters):
            self.new[place] = where(wrong, parameter.detach(), self.new[place])
        for old, state in zip(self.held, self.states, strict=True):
            for key, value in state.items():
                if isinstance(value, Tensor) and key in old:
                    state[key] = where(wrong, old[key], value)
        if self.tick is not None:
            self.tick.stay(wrong)

    def commit(self) -> Iterator[Tensor]:
        """Let parameters and states show their new values; gives the tensors that changed."""
        if self.tick is not None:
            yield from self.tick.commit(self.states)
        for parameter, old, state, new in zip(
            self.parameters, self.held, self.states, self.new, strict=True
        ):
            parameter.data = new
            self.rule.state[parameter] = state
            yield parameter
            yield from saved.rebound(old, state)
