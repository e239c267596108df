"""Optimizer: states, and one evaluation a step."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar
from weakref import ref

from ambos.core.config import config
from ambos.core.errors import ArgumentError
from ambos.optim import saved
from ambos.optim.apart import Apart, Patterns, Way
from ambos.optim.clock import Clock
from ambos.optim.dials import Dialled
from ambos.optim.groups import settings_of
from ambos.optim.hooked import Hooked
from ambos.optim.saved import State
from ambos.optim.settings import Group, Scalars
from ambos.optim.turn import Turn
from ambos.optim.unreached import Unreached
from ambos.tensor.array import Array
from ambos.tensor.creation import zeros_like
from ambos.tensor.given import leaf_of
from ambos.tensor.guards import Same, is_each
from ambos.tensor.handle import Tensor
from ambos.tensor.jit import jit
from ambos.tensor.live import evaluate
from ambos.tensor.modes import enable_grad, no_grad
from ambos.tensor.resting import has_value, rebind
from ambos.tensor.tracing import current, depend_on, guard, lie_like, makeup

Grads = Sequence[Tensor | None]  # of all parameters, in the order of the groups


class Optimizer(Hooked, Dialled):
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
    replayed: ClassVar[bool] = False  # of this very class: what is derived from it says it anew

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.replayed = "replayed" in vars(cls) and cls.replayed

    def __init__(self, params: Iterable[Any] | None, defaults: Group) -> None:
        self.state, self.stepped = {}, False  # a schedule may only follow
        self._unreached = Unreached()
        self._patterns, self._turn = Patterns(), Turn
        Hooked.__init__(self)
        Dialled.__init__(self, params, defaults)

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
            return loss
        having = [grad is not None for grad in grads]
        way = self._patterns.way(having) if self.replayed and config.fuse else Way.ONCE
        if way is Way.AGAIN and not self._unreached.done:
            way = Way.ONCE
        if way is Way.ONCE or not _computed([*grads, self.found_inf]):
            with self.all_or_nothing():  # gradients and update in one program
                evaluate(self.advance(grads))
        elif way is Way.AGAIN:
            with no_grad():
                self._again(grads, self.found_inf)
        else:
            self._turn = Apart
            try:
                with self.all_or_nothing():
                    self.advance(grads)
            finally:
                self._turn = Turn
        return loss

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
        if not self._unreached.done:
            self._unreached.look(self)
        if current.trace is not None:
            before = dict(self.state)
            current.trace.undos.append(lambda: setattr(self, "state", before))
        with no_grad():
            owners = self._owners()
            found = iter([p.grad for p in self.parameters()] if grads is None else grads)
            numbers = range(len(self.param_groups))
            turns = [self._turn(self, number, owners, found) for number in numbers]
            # All is recorded; what follows cannot fail, so a step happens whole or not at all.
            changed = [tensor for turn in turns for tensor in turn.commit()]
        self._guard()
        if current.trace is not None:
            current.trace.note_lasting(self._tensors())
        return changed

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
