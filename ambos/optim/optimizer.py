"""Optimizer: parameter groups, states, and one evaluation a step."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, ClassVar, TypeVar

import numpy as np

from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError, ShapeError, UnknownNameError, suggest
from ambos.optim.clock import Clock, Tick
from ambos.tensor.array import Array
from ambos.tensor.given import leaf_of
from ambos.tensor.guards import Same
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.live import evaluate
from ambos.tensor.modes import no_grad
from ambos.tensor.parts import view_as_complex, view_as_real
from ambos.tensor.tracing import current, guard, host_value, makeup

Group = dict[str, Any]
State = dict[str, Any]
T = TypeVar("T")


class Optimizer(metaclass=Checked):
    """Base of update rules.

    A rule defines `defaults` through its constructor, `slots` for what it remembers about each
    parameter, and `update`, which returns the parameter's next value. The learning rate reaches it
    as a 0-d float64 tensor: numbers that change from step to step are data, so every step has the
    same graph.

    `params` may be left out where `Model.compile` supplies them: `SGD(lr=0.1)`.

    Errors: ArgumentError for settings out of range and for what are no parameters; UnknownNameError
        for a misspelt setting.
    """

    counts_steps: ClassVar[bool] = True  # each state has a Clock under "step"
    _shared: dict[tuple[int, ...], tuple[Any, Any]] | None = None  # by ids, see `once`

    def __init__(self, params: Iterable[Any] | None, defaults: Group) -> None:
        self.defaults = defaults = plain(defaults)
        self.state: dict[Tensor, State] = {}
        self.param_groups: list[Group] = []
        self._rates: dict[int, tuple[float, Tensor]] = {}
        self.check(defaults)
        if params is not None:
            self.attach(params)

    # Groups

    def attach(self, params: Iterable[Any]) -> None:
        """Take charge of parameters: tensors, (name, tensor) pairs, or group dictionaries."""
        name = type(self).__name__
        if isinstance(params, Tensor):
            raise ArgumentError(f"{name}: params is one tensor; need a list, for example [weight]")
        if hasattr(params, "parameters"):
            raise ArgumentError(
                f"{name}: params is a {type(params).__name__}; need its parameters: pass "
                "module.parameters()"
            )
        if not isinstance(params, Iterable):
            raise ArgumentError(f"{name}: params is {type(params).__name__}; need a list of "
                                "tensors, for example model.parameters()")  # fmt: skip
        listed = list(params)
        if not listed:
            raise ArgumentError(
                f"{name}: got no parameters; need some, for example model.parameters()"
            )
        if all(isinstance(entry, Mapping) for entry in listed):
            for group in listed:
                self.add_param_group(group)
        else:
            self.add_param_group({"params": listed})

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Take charge of more parameters, with settings of their own."""
        name = type(self).__name__
        for key in group:
            if key != "params" and key not in self.defaults:
                raise UnknownNameError(f"{name}: unknown setting {key!r} in a parameter group; "
                                       f"known: {', '.join(self.defaults)}"
                                       f"{suggest(key, self.defaults)}")  # fmt: skip
        given = group.get("params")
        if given is None:
            raise ArgumentError(f"{name}: a parameter group has no 'params'; need a list of them")
        params = [entry[1] if isinstance(entry, tuple) else entry
                  for entry in ([given] if isinstance(given, Tensor) else given)]  # fmt: skip
        known = {id(p) for old in self.param_groups for p in old["params"]}
        for parameter in params:
            if not isinstance(parameter, Tensor):
                raise ArgumentError(f"{name}: got {type(parameter).__name__} as a parameter; "
                                    "need tensors, for example model.parameters()")  # fmt: skip
            if id(parameter) in known:
                raise ArgumentError(f"{name}: one parameter was given twice; need each once")
            known.add(id(parameter))
        given_here = {k: v for k, v in group.items() if k != "params"}
        settings = plain({**self.defaults, **given_here})
        self.check(settings)
        makeup.version += 1
        self.param_groups.append({"params": params, **settings})

    def check(self, settings: Group) -> None:
        """Refuse settings outside their range."""
        for key in ("lr", "momentum", "weight_decay", "eps"):
            value = settings.get(key, 0.0)
            if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
                raise ArgumentError(
                    f"{type(self).__name__}: {key} is {value!r}; need a number >= 0"
                )

    @property
    def lr(self) -> float:
        """The learning rate of the first group; setting it sets that of every group."""
        return float(self.param_groups[0]["lr"] if self.param_groups else self.defaults["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        value = plain({"lr": value})["lr"]
        self.check({"lr": value})
        self.defaults["lr"] = value
        for group in self.param_groups:
            group["lr"] = value

    learning_rate = lr

    # Steps

    def slots(self, group: Group) -> tuple[str, ...]:
        """Names of the tensors, zeros at first, that are kept for each parameter of `group`."""
        return ()

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, lr: Tensor
    ) -> Tensor:
        """The parameter's next value; changes `state`."""
        raise NotImplementedError(type(self).__name__)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none or parameter.grad is None:
                    parameter.grad = None
                else:
                    parameter.grad = parameter.grad * 0

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, and compute all that is pending in one go.

        Errors: ArgumentError without parameters; whatever computing the gradients raises, and then
            parameters and states are what they were.
        """
        loss = closure() if closure is not None else None
        if current.trace is not None:  # nothing is computed now
            self.advance()
            return loss
        states, held = dict(self.state), [(tensor, tensor._node) for tensor in self._tensors()]
        try:
            evaluate(self.advance())
        except BaseException:
            self.state = states
            for tensor, node in held:
                tensor._node = node
            raise
        return loss

    def _tensors(self) -> Iterator[Tensor]:
        """All that a step may change."""
        for group in self.param_groups:
            yield from group["params"]
        for state in self.state.values():
            for value in state.values():
                found = value.count if isinstance(value, Clock) else value
                if isinstance(found, Tensor):
                    yield found

    def advance(self) -> list[Tensor]:
        """Record the update without computing it; returns the tensors that changed."""
        if not self.param_groups:
            raise ArgumentError(
                f"{type(self).__name__}.step: has no parameters; need "
                f"{type(self).__name__}(model.parameters(), ...)"
            )
        rates = [self._rate(number, group) for number, group in enumerate(self.param_groups)]
        work = [
            (parameter, group, lr)
            for lr, group in zip(rates, self.param_groups, strict=True)
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        if current.trace is not None:
            before = dict(self.state)
            current.trace.undos.append(lambda: setattr(self, "state", before))
        with no_grad(), self._recording():
            held = [self._held(parameter, group) for parameter, group, _ in work]
            states = [dict(state) for state in held]
            tick = Tick(states, self._owners()) if self.counts_steps else None
            news = [
                self._updated(parameter, parameter.grad, state, group, lr)
                for (parameter, group, lr), state in zip(work, states, strict=True)
            ]
            # All is recorded; what follows cannot fail, so a step happens whole or not at all.
            changed: list[Tensor] = [] if tick is None else tick.commit(states)
            for (parameter, _, _), old, state, new in zip(work, held, states, news, strict=True):
                parameter.data = new
                self.state[parameter] = state
                changed += [parameter, *_rebound(old, state)]
        self._guard()
        if current.trace is not None:
            current.trace.note_lasting(self._tensors())
        return changed

    def _updated(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, lr: Tensor
    ) -> Tensor:
        """`update`; both parts of a complex parameter are real parameters of their own."""
        if not parameter.dtype.is_complex:
            return self.update(parameter, grad, state, group, lr)
        pairs = [k for k, v in state.items() if isinstance(v, Tensor) and v.dtype.is_complex]
        state.update({key: view_as_real(state[key]) for key in pairs})
        new = self.update(view_as_real(parameter), view_as_real(grad), state, group, lr)
        state.update({key: view_as_complex(state[key]) for key in pairs})
        return view_as_complex(new)

    @contextmanager
    def _recording(self) -> Iterator[None]:
        """While an update is recorded, `once` remembers."""
        self._shared = {}
        try:
            yield
        finally:
            self._shared = None

    def once(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What `make` returns, asked once a step for objects that are the same (a group, its rate,
        a clock): parameters have it in common, and recording it for each takes time."""
        if self._shared is None:
            return make()
        place = tuple(map(id, key))
        if place not in self._shared:
            self._shared[place] = key, make()  # the objects stay, and with them their ids
        found: T = self._shared[place][1]
        return found

    def _guard(self) -> None:
        """What a jitted step depends on, its rates and the tensors' values apart."""
        for group in self.param_groups:
            guard(_settings(group))
        guard(lambda: (len(self.param_groups), len(self.state)))
        guard(self._trained, structural=True)

    def _trained(self) -> tuple[Any, ...]:
        """The parameters and, by identity, what is remembered about each."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        return tuple(map(Same, parameters)), tuple(
            (key, Same(value))
            for parameter in parameters
            for key, value in self.state.get(parameter, {}).items()
        )

    def _held(self, parameter: Tensor, group: Group) -> State:
        """The state of a parameter, zeros where it has none yet."""
        state = dict(self.state.get(parameter) or {})
        for slot in self.slots(group):
            if slot not in state:
                state[slot] = _zeros_like(parameter)
        return state

    def _owners(self) -> Counter[Clock]:
        return Counter(state["step"] for state in self.state.values() if "step" in state)

    def _rate(self, number: int, group: Group) -> Tensor:
        """The learning rate as data. A jitted step reads the number anew at every call."""
        value = float(group["lr"])
        known = self._rates.get(number)
        if current.trace is not None or known is None or known[0] != value:
            rate = wrap(host_value("float64", (), lambda: float(group["lr"])))
            known = self._rates[number] = (value, rate)
        return known[1]

    # State

    def state_dict(self) -> dict[str, Any]:
        """Settings and states, with parameters by number as in PyTorch; "step" is a number."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for parameter in group["params"]:
                numbers.setdefault(id(parameter), len(numbers))
            listed = [numbers[id(p)] for p in group["params"]]
            groups.append({**group, "params": listed})
        states = {
            numbers[id(parameter)]: {key: _taken_down(value) for key, value in state.items()}
            for parameter, state in self.state.items()
        }
        return {"state": states, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; all or nothing. States that are there keep their
        tensors, with new numbers in them, so that a jitted step goes on with those.

        Errors: ArgumentError where groups or states do not fit these parameters.
        """
        name = f"{type(self).__name__}.load_state_dict"
        try:
            groups = [dict(group) for group in state_dict["param_groups"]]
            given = {int(number): dict(state) for number, state in state_dict["state"].items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ArgumentError(f"{name}: need a dictionary made by state_dict()") from None
        counts = [len(group.get("params", ())) for group in groups]
        need = [len(group["params"]) for group in self.param_groups]
        if counts != need:
            raise ArgumentError(f"{name}: groups of {counts} parameters; need {need}")
        settings = []
        for group in groups:
            kept = {k: v for k, v in group.items() if k in self.defaults}
            settings.append(plain({**self.defaults, **kept}))
            self.check(settings[-1])
        parameters = [p for group in self.param_groups for p in group["params"]]
        numbers = [number for group in groups for number in group["params"]]
        places = dict(zip(numbers, parameters, strict=True))
        clocks: dict[float, Clock] = {}
        states: dict[Tensor, State] = {}
        for number, state in given.items():
            if number not in places:
                raise ArgumentError(
                    f"{name}: a state for parameter {number}; need one of {numbers}"
                )
            states[places[number]] = _restored(name, number, state, places[number], clocks)
        for group, known in zip(self.param_groups, settings, strict=True):
            group.update(known)
        makeup.version += 1
        self.state = _adopted(self.state, states)

    def __repr__(self) -> str:
        rows = self.param_groups or [self.defaults]
        shown = "; ".join(
            ", ".join(f"{key}={value}" for key, value in group.items() if key != "params")
            for group in rows
        )
        return f"{type(self).__name__}({shown})"


def plain(settings: Mapping[str, Any]) -> Group:
    """Settings with Python's numbers in place of NumPy's, so that they can be written as JSON.

    Example:
        >>> plain({"lr": np.float64(0.5), "betas": (np.float64(0.5), 0.75)})
        {'lr': 0.5, 'betas': (0.5, 0.75)}
    """

    def one(value: Any) -> Any:
        if isinstance(value, (tuple, list)):  # a list could be changed in place
            return tuple(map(one, value))
        return (
            value.item()
            if isinstance(value, (np.generic, np.ndarray)) and not np.ndim(value)
            else value
        )

    return {key: one(value) for key, value in settings.items()}


def _restored(
    name: str, number: int, state: Mapping[str, Any], parameter: Tensor, clocks: dict[float, Clock]
) -> State:
    result: State = {}
    for key, value in state.items():
        if key == "step":
            count = float(value)
            result[key] = clocks.setdefault(count, Clock(count))
        elif value is not None:
            numbers = value.detach() if isinstance(value, Tensor) else Tensor(np.asarray(value))
            if numbers.shape != parameter.shape:
                raise ShapeError(f"{name}: {key} of parameter {number} is {tuple(numbers.shape)}; "
                                 f"need {tuple(parameter.shape)}")  # fmt: skip
            result[key] = numbers.to(parameter.dtype)
    return result


def _settings(group: Group) -> Callable[[], tuple[Any, ...]]:
    """A function that reads the settings of `group`, but for the rate, and counts its parameters:
    in little time, since a jitted step asks at every call."""
    read = itemgetter("params", *(key for key in group if key not in ("params", "lr")))

    def settings() -> tuple[Any, ...]:
        parameters, *others = read(group)
        return len(parameters), *others

    return settings


def _adopted(held: Mapping[Tensor, State], loaded: dict[Tensor, State]) -> dict[Tensor, State]:
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
            elif isinstance(old, Tensor):
                old.data = new
                state[key] = old
    for old, new in times.items():
        old.count.data = new.count
    return loaded


def _taken_down(value: Any) -> Any:
    """A part of a state as it is now: the next step rebinds the handle itself."""
    if isinstance(value, Clock):
        return value.count.item()
    return value.detach() if isinstance(value, Tensor) else value


def _rebound(held: State, state: State) -> list[Tensor]:
    """Put the new tensors of `state` into the handles that held the old ones; returns those."""
    changed = []
    for key, old in held.items():
        new = state[key]
        if isinstance(old, Tensor) and isinstance(new, Tensor):
            old.data = new
            state[key] = old
            changed.append(old)
    return changed


def _zeros_like(parameter: Tensor) -> Tensor:
    """Zeros as data: a constant would give the first step a graph of its own."""
    return Tensor(leaf_of(Array.zeros(parameter.shape, parameter.dtype)))


def rates(lr: float | None, learning_rate: float | None, default: float) -> float:
    """The learning rate under either of its names.

    Errors: ArgumentError when both are given and differ.
    """
    if lr is not None and learning_rate is not None and lr != learning_rate:
        raise ArgumentError(f"lr={lr} and learning_rate={learning_rate} differ; need one of them")
    return next((v for v in (lr, learning_rate) if v is not None), default)
