"""States of optimizers, taken down and put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np

from ambos.core.errors import ArgumentError, ShapeError
from ambos.optim.clock import Clock
from ambos.optim.settings import LIMITS, Group, Limit, plain
from ambos.tensor.handle import Tensor

State = dict[str, Any]


class Rule(Protocol):
    """What is asked of an optimizer here."""

    defaults: Group
    limits: ClassVar[Mapping[str, Limit]]
    param_groups: list[Group]
    state: dict[Tensor, State]

    def check(self, settings: Group) -> None:
        """Refuse settings outside their range."""

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        """Names of the tensors that are kept for a parameter of `group`."""

    def slot_shape(self, slot: str, parameter: Tensor) -> tuple[int, ...]:
        """The shape of what is kept under `slot`."""

    def common(self, group: Group) -> dict[str, float | Tensor]:
        """What parameters that step together share, at the start."""


def taken_down(rule: Rule) -> dict[str, Any]:
    """Settings and states, with parameters by number as in PyTorch; "step" is a number."""
    numbers: dict[int, int] = {}
    groups = []
    for group in rule.param_groups:
        for parameter in group["params"]:
            numbers.setdefault(id(parameter), len(numbers))
        listed = [numbers[id(p)] for p in group["params"]]
        told = {key: value for key, value in group.items() if key != "params"}
        if told.get("param_names"):
            told["param_names"] = [*told["param_names"]]
        groups.append({**told, "params": listed})
    states = {
        numbers[id(parameter)]: dict(_entries(state)) for parameter, state in rule.state.items()
    }
    return {"state": states, "param_groups": groups}


def _entries(state: State) -> Iterator[tuple[str, Any]]:
    """A state as it is now: the next step rebinds the handles themselves."""
    for key, value in state.items():
        if isinstance(value, Clock):
            yield from value.numbers().items()
        else:
            yield key, mapped(lambda tensor, _: tensor.detach(), value)


def fitting(
    rule: Rule, state_dict: Mapping[str, Any]
) -> tuple[list[Group], dict[int, tuple[State, Tensor, Group]]]:
    """The settings in `state_dict` and, by number, each state with its parameter and group.

    Errors: ArgumentError where groups or states do not fit these parameters.
    """
    name = f"{type(rule).__name__}.load_state_dict"
    try:
        groups = [dict(group) for group in state_dict["param_groups"]]
        given = {int(number): dict(state) for number, state in state_dict["state"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ArgumentError(f"{name}: need a dictionary made by state_dict()") from None
    counts = [len(group.get("params", ())) for group in groups]
    need = [len(group["params"]) for group in rule.param_groups]
    if counts != need:
        raise ArgumentError(f"{name}: groups of {counts} parameters; need {need}")
    settings = []
    numbers = {*LIMITS, *rule.limits} & {*rule.defaults}
    for group in groups:
        if lacking := sorted(numbers - {*group}):
            raise ArgumentError(f"{name}: a group without {', '.join(lacking)}; need the state of "
                                f"the same rule, a {type(rule).__name__}")  # fmt: skip
        kept = {key: value for key, value in group.items() if key != "params"}
        settings.append(plain({**rule.defaults, **kept}))
        rule.check(settings[-1])
    places, slots = {}, {}
    for saved, group, kept in zip(groups, rule.param_groups, settings, strict=True):
        for number, parameter in zip(saved["params"], group["params"], strict=True):
            places[number] = parameter, group
            slots[number] = {*rule.slots(parameter, kept)}
    for number, state in given.items():
        if number not in places:
            raise ArgumentError(f"{name}: a state for parameter {number}; need one of "
                                f"{list(places)}")  # fmt: skip
        parameter, group = places[number]
        known = slots[number] | {"step", *rule.common(group)}
        strange = sorted(key for key in state if key not in known) if slots[number] else []
        if strange and not slots[number] <= {*state}:
            raise ArgumentError(f"{name}: parameter {number} has {', '.join(strange)}; need "
                                f"{', '.join(sorted(slots[number]))}, the state of the same rule, "
                                f"a {type(rule).__name__}")  # fmt: skip
        for key in strange:
            del state[key]
    return settings, {number: (state, *places[number]) for number, state in given.items()}


def restored(rule: Rule, found: Mapping[int, tuple[State, Tensor, Group]]) -> dict[Tensor, State]:
    """States with tensors of the parameters' dtypes, and clocks where all show the same.

    Errors: ShapeError where a tensor does not fit its parameter.
    """
    clocks: dict[tuple[Any, ...], Clock] = {}
    states: dict[Tensor, State] = {}
    for number, (state, parameter, group) in found.items():
        where = f"{type(rule).__name__}.load_state_dict"
        shared = rule.common(group)
        result = states[parameter] = {}
        for key, value in state.items():
            if key == "step":
                numbers = {name: float(state.get(name, start)) for name, start in shared.items()}
                clock = (id(group), float(value), *numbers.values())
                result[key] = clocks.setdefault(clock, Clock(float(value), numbers))
            elif value is not None and key not in shared:
                numbers_of = value.detach() if isinstance(value, Tensor) else _tensor(value)
                need = rule.slot_shape(key, parameter)
                if tuple(numbers_of.shape) != tuple(need):
                    raise ShapeError(f"{where}: {key} of parameter {number} is "
                                     f"{tuple(numbers_of.shape)}; need {tuple(need)}")  # fmt: skip
                result[key] = numbers_of.to(parameter.dtype)
    return states


def as_they_are(found: Mapping[int, tuple[State, Tensor, Group]]) -> dict[Tensor, State]:
    """States as a rule of its own keeps them: copies; floating tensors have the dtype of their
    parameter, counts of steps theirs."""

    def copied(tensor: Tensor, key: Any, parameter: Tensor) -> Tensor:
        same = key == "step" or not (tensor.dtype.is_floating and parameter.dtype.is_floating)
        return tensor.detach() if same else tensor.detach().to(parameter.dtype)

    return {
        parameter: mapped(partial(copied, parameter=parameter), state)
        for state, parameter, _ in found.values()
    }


def mapped(function: Callable[[Tensor, Any], Tensor], value: Any, key: Any = None) -> Any:
    """`value` with `function(tensor, name)` in the place of its tensors; dictionaries and lists are
    copied.

    Example:
        >>> import ambos as am
        >>> mapped(lambda tensor, name: tensor + 1, {"a": [am.tensor(1)], "b": "text"})
        {'a': [tensor(2)], 'b': 'text'}
    """
    if isinstance(value, Tensor):
        return function(value, key)
    if isinstance(value, dict):
        return {name: mapped(function, entry, name) for name, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(mapped(function, entry) for entry in value)
    return value


def _tensor(value: Any) -> Tensor:
    return Tensor(np.asarray(value))


def adopted(held: Mapping[Tensor, State], loaded: dict[Tensor, State]) -> dict[Tensor, State]:
    """The `loaded` states in the tensors that held the old ones. A clock stays as long as all of
    its owners show the same time."""
    times: dict[Clock, Clock] = {}  # a clock that is there -> the one whose time it takes over
    for parameter, state in loaded.items():
        before = held.get(parameter) or {}
        for key, new in state.items():
            old = before.get(key)
            if isinstance(old, Clock):
                if times.setdefault(old, new) is new:
                    state[key] = old
            elif isinstance(old, Tensor) and isinstance(new, Tensor):
                old.data = new
                state[key] = old
    for old, new in times.items():
        old.take_over(new)
    return loaded


def rebound(held: State, state: State) -> list[Tensor]:
    """Put the new tensors of `state` into the handles that held the old ones; returns those."""
    changed = []
    for key, old in held.items():
        new = state[key]
        if isinstance(old, Tensor) and isinstance(new, Tensor):
            old.data = new
            state[key] = old
            changed.append(old)
    return changed
