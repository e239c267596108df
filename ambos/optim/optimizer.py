"""Optimizer: states, and one evaluation a step."""

from __future__ import annotations

import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar
from weakref import ref

from ambos.core.config import config
from ambos.core.dtype import float64
from ambos.core.errors import ArgumentError, depth_of_user
from ambos.optim import saved
from ambos.optim.clock import Clock, Tick
from ambos.optim.groups import Grouped, settings_of
from ambos.optim.hooked import Hooked
from ambos.optim.saved import State
from ambos.optim.settings import Group, rate_of
from ambos.tensor.array import Array
from ambos.tensor.creation import zeros_like
from ambos.tensor.given import leaf_of
from ambos.tensor.guards import Same, is_each
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.jit import jit
from ambos.tensor.live import evaluate
from ambos.tensor.modes import enable_grad, no_grad
from ambos.tensor.operands import expand_to
from ambos.tensor.parts import view_as_complex, view_as_real
from ambos.tensor.pointwise import where
from ambos.tensor.resting import has_value, rebind
from ambos.tensor.tracing import current, depend_on, guard, host_value, lie_like, makeup

Scalars = tuple[Any, ...]  # what the parameters of a group have in common in a step
Grads = Sequence[Tensor | None]  # of all parameters, in the order of the groups
MOST_REPLAYED = 8  # sets of parameters that step together, whose steps are kept
PATIENCE = 10  # steps without a gradient, before somebody is told


class Optimizer(Hooked, Grouped):
    """Base of update rules.

    A rule defines `defaults` through its constructor, `slots` for what it remembers about each
    parameter, `factors` for the numbers of a step, and `update`, which returns the parameter's next
    value. Numbers that change from step to step (the learning rate, the count of steps, what is in
    `dials`) reach it as 0-d float64 tensors: they are data, so every step has the same graph.

    `params` may be left out where `Model.compile` supplies them: `SGD(lr=0.1)`. What PyTorch's
    users pass to pick an implementation is accepted and changes nothing here: every step is one
    program of fused kernels over all parameters (`foreach`, `fused`) and its numbers are data
    (`capturable`). A rule with `replayed` says that its methods read nothing but what they are
    given: the update of parameters that stepped before is one native call, with nothing recorded.
    Parameters given as `module.named_parameters()` are called
    by their names.

    Errors: ArgumentError for settings out of range and for what are no parameters; UnknownNameError
        for a misspelt setting.
    """

    counts_steps: ClassVar[bool] = True  # each state has a Clock under "step"
    spreads: ClassVar[bool] = True  # `update` takes factors in the shape of its parameter
    found_inf: Tensor | None = None  # where True, a step changes nothing (see GradScaler)
    # Settings that schedules turn, for `factors` alone; who writes these methods anew says it anew.
    dials: ClassVar[tuple[str, ...]] = ()
    replayed: ClassVar[bool] = False  # of this very class: what is derived from it says it anew

    def __init_subclass__(cls) -> None:
        said = vars(cls)
        cls.replayed = "replayed" in said and cls.replayed
        if "dials" not in said and ("factors" in said or "update" in said):
            cls.dials = ()

    def __init__(self, params: Iterable[Any] | None, defaults: Group) -> None:
        self.state, self.stepped = {}, False  # a schedule may only follow
        self._data: dict[tuple[int, str, int], tuple[float, Tensor]] = {}
        self._waiting: tuple[int, list[Tensor]] | None = 0, []
        self._stepped_with: list[list[bool]] = []  # which parameters had gradients, in other steps
        Hooked.__init__(self)
        Grouped.__init__(self, params, defaults)

    @property
    def state(self) -> dict[Tensor, State]:
        """What is remembered about each parameter; empty for one that has not been seen."""
        return self._state

    @state.setter
    def state(self, states: Mapping[Tensor, State]) -> None:
        self._state = defaultdict[Tensor, State](dict, states)

    # What a rule says

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        """Names of the tensors that are kept for a parameter of `group`."""
        return ()

    def slot_shape(self, slot: str, parameter: Tensor) -> tuple[int, ...]:
        """The shape of what is kept under `slot`."""
        return tuple(parameter.shape)

    def begin(self, slot: str, parameter: Tensor, group: Group) -> Tensor:
        """What is kept under `slot` before the first step: zeros, unless a rule says otherwise.

        They are data: a constant would give the first step a graph of its own."""
        return Tensor(leaf_of(Array.zeros(self.slot_shape(slot, parameter), parameter.dtype)))

    def common(self, group: Group) -> dict[str, float | Tensor]:
        """What parameters that step together remember in common, before the first step."""
        return {}

    def factors(self, group: Group, clock: Clock) -> Scalars:
        """The numbers of a step, float64; those of `group` that vary are tensors. May put other
        values into `clock.shared`, see `common`."""
        return (group["lr"],)

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        """The parameter's next value; changes `state`. `factors` have the parameter's dtype and,
        unless a rule does not want it, its shape."""
        raise NotImplementedError(type(self).__name__)

    # Steps

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for parameter in self.parameters():
            grad = None if set_to_none else parameter.grad
            parameter.grad = None if grad is None else zeros_like(grad)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, and compute all that is pending in one go.

        `closure` computes gradients first; what it returns is returned.

        Errors: ArgumentError without parameters; whatever computing the gradients raises, and then
            parameters and states are what they were.
        """
        args, kwargs = self._before_step({} if closure is None else {"closure": closure})
        result = self._step(*args[1:], **kwargs)
        for hook in self._hooks_of("step"):
            hook(self, args, kwargs)
        return result

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        grads = [parameter.grad for parameter in self.parameters()]
        if current.trace is not None:  # nothing is computed now
            self.advance(grads)
        elif self._is_known(grads) and _computed([*grads, self.found_inf]):
            with no_grad():
                self._again(grads, self.found_inf)
        else:  # gradients and update in one program
            with self.all_or_nothing():
                evaluate(self.advance(grads))
        return loss

    def _is_known(self, grads: Grads) -> bool:
        """Is this the step of parameters that stepped before?"""
        having = [grad is not None for grad in grads]
        if having not in self._stepped_with:
            self._stepped_with = [*self._stepped_with[: MOST_REPLAYED - 1], having]
            return False
        return self.replayed and self._waiting is None and config.fuse

    @jit
    def _again(self, grads: Grads, found_inf: Tensor | None) -> None:
        """`advance`, recorded: gradients are arguments, who else holds them does not matter."""
        self._lay_out()
        before, self.found_inf = self.found_inf, found_inf
        try:
            self.advance(grads)
        finally:
            self.found_inf = before
        self._guard_parts()

    def _lay_out(self) -> None:
        """What is remembered about a filter lies as the filter does by now: a kernel that reads
        both in different orders takes four times as long."""
        for parameter, state in self.state.items():
            for value in state.values():
                if isinstance(value, Tensor):
                    lie_like(value, parameter)

    def _guard_parts(self) -> None:
        """Somebody may put another parameter into a group, or another tensor into a state."""
        of, known = ref(self), self._parts()
        guard(lambda: (rule := of()) is not None and is_each(known, rule._parts()))

    def _parts(self) -> list[Any]:
        """Parameters, and what is remembered about each."""
        parameters = [*self.parameters()]
        states = [state for p in parameters if (state := self._state.get(p))]
        return [*parameters, *(value for state in states for value in state.values())]

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """After an error, parameters and states are what they were."""
        states = {parameter: dict(state) for parameter, state in self.state.items()}
        held = [(tensor, tensor._node) for tensor in self._tensors()]
        try:
            yield
        except BaseException:
            self.state = states
            for tensor, node in held:
                rebind(tensor, node)
            raise

    def _tensors(self) -> Iterator[Tensor]:
        """All that a step may change."""
        yield from self.parameters()
        for state in self.state.values():
            for value in state.values():
                if isinstance(value, Clock):
                    yield from value.tensors()
                elif isinstance(value, Tensor):
                    yield value

    def advance(self, grads: Grads | None = None) -> list[Tensor]:
        """Record the update without computing it; returns the tensors that changed. `grads` are
        those of all parameters, by default what they hold.

        Errors: ArgumentError without parameters.
        """
        if not self.param_groups:
            raise ArgumentError(
                f"{type(self).__name__}.step: has no parameters; need "
                f"{type(self).__name__}(model.parameters(), ...)"
            )
        self.stepped = True
        if self._waiting is not None:
            self._look_for_gradients()
        if current.trace is not None:
            before = dict(self.state)
            current.trace.undos.append(lambda: setattr(self, "state", before))
        with no_grad():
            owners = self._owners()
            found = iter([p.grad for p in self.parameters()] if grads is None else grads)
            turns = [Turn(self, number, owners, found) for number in range(len(self.param_groups))]
            # All is recorded; what follows cannot fail, so a step happens whole or not at all.
            changed = [tensor for turn in turns for tensor in turn.commit()]
        self._guard()
        if current.trace is not None:
            current.trace.note_lasting(self._tensors())
        return changed

    def _look_for_gradients(self) -> None:
        """Tell once of parameters that no gradient ever reached."""
        assert self._waiting is not None
        steps, waiting = self._waiting
        everyone = [p for p in self.parameters() if p.requires_grad]
        candidates = waiting if steps else everyone
        waiting = [p for p in candidates if p.grad is None and p not in self.state]
        patience = 1 if current.trace is not None else PATIENCE  # a recording is every step
        name = type(self).__name__
        if everyone and len(waiting) == len(everyone):
            self._waiting = None
            warnings.warn(
                f"{name}.step: no parameter has a gradient, so nothing is learnt; need "
                "loss.backward() before step(), with a loss that depends on the parameters",
                stacklevel=depth_of_user(),
            )
        elif waiting and steps + 1 >= patience:
            self._waiting = None
            first, more = self.name_of(waiting[0]), len(waiting) - 1
            warnings.warn(
                f"{name}.step: parameter {first}{f' and {more} more' if more else ''} never had a "
                "gradient; if that is meant, leave them out or call requires_grad_(False) on them; "
                "if not, the loss does not depend on them (detach, no_grad, a layer not called)",
                stacklevel=depth_of_user(),
            )
        else:
            self._waiting = (steps + 1, waiting) if waiting else None

    def _guard(self) -> None:
        """What a jitted step depends on, its rates and the tensors' values apart. It keeps no
        optimizer alive."""
        of = ref(self)
        depend_on(self)
        for group in self.param_groups:
            guard(settings_of(group, self.dials))
        guard(lambda: (rule := of()) and (len(rule.param_groups), len(rule.state)))
        guard(lambda: (rule := of()) and rule._trained(), structural=True)

    def _trained(self) -> tuple[Any, ...]:
        """The parameters and, by identity, what is remembered about each."""
        parameters = list(self.parameters())
        return tuple(map(Same, parameters)), tuple(
            (key, Same(value))
            for parameter in parameters
            for key, value in self.state.get(parameter, {}).items()
        )

    def _owners(self) -> Counter[Clock]:
        return Counter(state["step"] for state in self.state.values() if "step" in state)

    def in_numbers(self, number: int) -> Group:
        """The settings of a group, with data in place of the numbers that vary."""
        group = self.param_groups[number]
        found = {**group, "lr": self._rate(number, group)}
        for key in self.dials:
            value = group[key]
            if isinstance(value, (tuple, list)):
                parts = [
                    self._datum((number, key, n), partial(_entry, group, key, n))
                    for n in range(len(value))
                ]
                found[key] = tuple(parts)
            else:
                found[key] = self._datum((number, key, 0), partial(_entry, group, key, None))
        return found

    def _rate(self, number: int, group: Group) -> Tensor:
        """The learning rate as data. A jitted step reads the number anew at every call."""
        rate = group["lr"]
        guard(lambda: isinstance(group["lr"], Tensor) and Same(group["lr"]))
        if isinstance(rate, Tensor):
            return rate.detach().to(float64).reshape(())
        return self._datum((number, "lr", 0), partial(_rate_now, ref(self), number))

    def _rate_now(self, number: int) -> float:
        value = self.param_groups[number]["lr"]
        if value.__class__ is float and 0 <= value < math.inf:  # asked at every jitted call
            return value
        place = f"param_groups[{number}]['lr']"
        return rate_of(
            f"{type(self).__name__}.step: {place}",
            value,
            fix=f": set {place}, or look at the schedule that turns it",
        )

    def _datum(self, place: tuple[int, str, int], read: Callable[[], float]) -> Tensor:
        value, known = read(), self._data.get(place)
        if current.trace is not None or known is None or known[0] != value:
            known = self._data[place] = value, wrap(host_value("float64", (), read))
        return known[1]

    # State

    def state_dict(self) -> dict[str, Any]:
        """Settings and states, with parameters by number as in PyTorch; "step" is a number."""
        for hook in self._hooks_of("state_pre"):
            hook(self)
        found: dict[str, Any] = self._passed("state", self.taken_down())
        return found

    def taken_down(self) -> dict[str, Any]:
        """`state_dict`, before hooks see it."""
        return saved.taken_down(self)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, here or in PyTorch; all or nothing. States that are
        there keep their tensors, with new numbers in them, so that a jitted step goes on with
        those.

        Errors: ArgumentError where groups or states do not fit these parameters.
        """
        if isinstance(state_dict, Mapping):
            state_dict = self._passed("load_pre", dict(state_dict))
        settings, found = saved.fitting(self, state_dict)
        states = self.restored(found)
        for group, known in zip(self.param_groups, settings, strict=True):
            group.update(known)
        makeup.version += 1
        self.state = saved.adopted(self.state, states)
        for hook in self._hooks_of("load"):
            hook(self)

    def restored(self, found: Mapping[int, tuple[State, Tensor, Group]]) -> dict[Tensor, State]:
        """The states of a file, fit to go on with. A rule that has a `step` of its own, in place of
        an `update`, keeps what it likes."""
        own = type(self).update is Optimizer.update
        return saved.as_they_are(found) if own else saved.restored(self, found)


def _computed(grads: Grads) -> bool:
    """Compute gradients, all in one program. Have they values then, and no graph behind?"""
    pending = [grad for grad in grads if grad is not None and not has_value(grad)]
    evaluate(pending)
    return all(map(has_value, pending))


def _rate_now(of: ref[Optimizer], number: int) -> float:
    rule = of()
    assert rule is not None, "its recordings went with it"
    return rule._rate_now(number)


def _entry(group: Group, key: str, place: int | None) -> float:
    return float(group[key] if place is None else group[key][place])


class Turn:
    """The step of one group, recorded at once and made true by `commit`."""

    def __init__(
        self, rule: Optimizer, number: int, owners: Mapping[Clock, int], grads: Iterator[Any]
    ) -> None:
        self.rule, self.group = rule, rule.param_groups[number]
        group = self.group
        found = [(p, grad) for p in group["params"] if (grad := next(grads)) is not None]
        self.parameters = [parameter for parameter, _ in found]
        self.held = [self._held(parameter) for parameter in self.parameters]
        self.states = [dict(state) for state in self.held]
        self.tick = (
            Tick(self.states, owners, lambda: Clock(0.0, rule.common(group)))
            if rule.counts_steps
            else None
        )
        self._numbers = rule.in_numbers(number) if self.parameters else group
        self._wide: dict[Clock | None, Scalars] = {}  # float64
        self._factors: dict[tuple[Any, ...], Scalars] = {}
        self.new = [
            self._updated(parameter, grad, state)
            for (parameter, grad), state in zip(found, self.states, strict=True)
        ]
        self._own_states()
        if rule.found_inf is not None:
            self._stay(rule.found_inf)

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

    def _updated(self, parameter: Tensor, grad: Tensor, state: State) -> Tensor:
        """`update`; both parts of a complex parameter are real parameters of their own."""
        if self.group.get("maximize"):
            grad = -grad
        if not parameter.dtype.is_complex:
            factors = self._factors_of(state, parameter)
            return self.rule.update(parameter, grad, state, self.group, factors)
        before = set(state)
        pairs = [k for k, v in state.items() if isinstance(v, Tensor) and v.dtype.is_complex]
        state.update({key: view_as_real(state[key]) for key in pairs})
        real, grad = view_as_real(parameter), view_as_real(grad)
        factors = self._factors_of(state, real)
        new = self.rule.update(real, grad, state, self.group, factors)
        new_too = [key for key in state if key not in before]
        state.update({key: view_as_complex(state[key]) for key in (*pairs, *new_too)})
        return view_as_complex(new)

    def _factors_of(self, state: State, parameter: Tensor) -> Scalars:
        """What parameters of one clock and dtype have in common: recorded once, and brought to a
        shape once, since many share theirs."""
        clock: Clock | None = state.get("step")
        dtype, shape = parameter.dtype, parameter.shape if self.rule.spreads else ()
        place = clock, dtype, shape
        if place not in self._factors:
            if clock not in self._wide:
                self._wide[clock] = self.rule.factors(self._numbers, clock or Clock())
            self._factors[place] = tuple(
                wrap(expand_to(v.to(dtype)._node, shape)) if isinstance(v, Tensor) else v
                for v in self._wide[clock]
            )
        return self._factors[place]

    def _stay(self, wrong: Tensor) -> None:
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
