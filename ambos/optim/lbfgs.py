"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError
from ambos.optim.optimizer import Grads, Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import POSITIVE, Group, rate_of, rates
from ambos.optim.wolfe import Point, strong_wolfe
from ambos.tensor.creation import zeros
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import concat, stack
from ambos.tensor.live import evaluate
from ambos.tensor.loops import scan
from ambos.tensor.modes import enable_grad, no_grad
from ambos.tensor.parts import view_as_complex, view_as_real
from ambos.tensor.tracing import current

Closure = Callable[[], Any]
HISTORY = ("old_dirs", "old_stps", "ro")  # one row for each step that is remembered


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last `history_size` changes of the gradient, on whole batches.

    `step(closure)` makes up to `max_iter` iterations; `closure` forgets the gradients, computes the
    loss and its gradients, and returns the loss. With `line_search_fn="strong_wolfe"` steps have
    the length that a line search finds, else `lr`. There is one group of parameters.

    Errors: ArgumentError for settings outside their range, for a second group, for a step without
        closure, and inside `am.jit` (how many iterations are made depends on what is computed).
    Source: Liu and Nocedal (1989), "On the limited memory BFGS method for large scale
        optimization".

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([3.0, -2.0], requires_grad=True)
        >>> optimizer = LBFGS([weight], line_search_fn="strong_wolfe")
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = ((weight - 1) ** 2).sum()
        ...     loss.backward()
        ...     return loss
        >>> optimizer.step(closure).item()
        13.0
        >>> weight.numpy().round(3)
        array([1., 1.], dtype=float32)
    """

    counts_steps = False
    limits = {"tolerance_grad": POSITIVE, "tolerance_change": POSITIVE}

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
        *,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 1.0),
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, settings)

    def check(self, settings: Group) -> None:
        super().check(settings)
        if settings["line_search_fn"] not in (None, "strong_wolfe"):
            raise ArgumentError(f"LBFGS: line_search_fn is {settings['line_search_fn']!r}; need "
                                "None or 'strong_wolfe'")  # fmt: skip

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        if self.param_groups:
            raise ArgumentError("LBFGS: a second group of parameters; need all of them in one")
        super().add_param_group(param_group)

    def advance(self, grads: Grads | None = None) -> list[Tensor]:
        raise ArgumentError(
            "LBFGS.step: no closure; need optimizer.step(closure), where closure() calls zero_grad "
            "and backward and returns the loss. Model.fit needs another optimizer"
        )

    def _step(self, closure: Closure | None = None) -> Any:
        if closure is None or not self.param_groups:
            return super()._step()  # which says what is missing
        if current.trace is not None:
            raise ArgumentError(
                "LBFGS.step: looks at losses to decide how to go on, which a jitted function "
                "cannot; need it outside of am.jit, with a jitted function in the closure"
            )
        self.stepped = True
        with self.all_or_nothing(), no_grad():
            return Descent(self, closure).run()

    def taken_down(self) -> dict[str, Any]:
        found = super().taken_down()
        for state in found["state"].values():
            for key in HISTORY:
                rows = state.get(key)
                state[key] = [] if rows is None else [rows[n] for n in range(rows.shape[0])]
        return found

    def restored(self, found: Mapping[int, tuple[State, Tensor, Group]]) -> dict[Tensor, State]:
        return {parameter: _own(state) for state, parameter, _ in found.values()}


def _own(state: Mapping[str, Any]) -> State:
    """A state of PyTorch's or ours: histories in one tensor, numbers as Python's."""
    result: State = {}
    for key, value in state.items():
        if key in HISTORY:
            result[key] = stack([_tensor(row) for row in value]) if value else None
        elif key != "al":  # room for the loops' shares
            plain = value is None or isinstance(value, (bool, int, float))
            result[key] = value if plain else _tensor(value)
    return result


def _tensor(value: Any) -> Tensor:
    return value.detach() if isinstance(value, Tensor) else Tensor(np.asarray(value))


class Descent:
    """One call of `step`."""

    def __init__(self, rule: LBFGS, closure: Closure) -> None:
        self.group = rule.param_groups[0]
        self.parameters: list[Tensor] = self.group["params"]
        self.lr = rate_of("LBFGS", self.group["lr"])
        self.closure, self.calls = closure, 0
        self.state = rule.state.setdefault(self.parameters[0], {"func_evals": 0, "n_iter": 0})

    def run(self) -> Any:
        """Iterate until one of the tolerances is met; returns the loss at the start."""
        group, state = self.group, self.state
        first, value, gradient = self.evaluated()
        for number in range(group["max_iter"]):
            if gradient.abs().max().item() <= group["tolerance_grad"]:
                break
            state["n_iter"] += 1
            self.direct(gradient)
            before = Point(0.0, value, gradient, gradient.dot(state["d"]).item())
            state["prev_flat_grad"], state["prev_loss"] = gradient, value
            state["t"] = self.lr * (
                min(1.0, 1.0 / gradient.abs().sum().item()) if state["n_iter"] == 1 else 1.0
            )
            if before.slope > -group["tolerance_change"]:
                break
            last = number + 1 == group["max_iter"]
            value, gradient = self.moved(before, last)
            if self.calls >= group["max_eval"] or self.settled(before.value, value):
                break
        return first

    def settled(self, before: float, value: float) -> bool:
        """Does hardly anything change any more?"""
        least = self.group["tolerance_change"]
        size = state_size(self.state["d"]) * abs(self.state["t"])
        return size <= least or abs(value - before) < least

    def evaluated(self) -> tuple[Any, float, Tensor]:
        """The loss as the closure returned it, as a number, and its gradient in one vector."""
        with enable_grad():
            loss = self.closure()
        if loss is None:
            raise ArgumentError("LBFGS.step: the closure returned None; need the loss")
        self.calls += 1
        self.state["func_evals"] += 1
        gradient = concat([_flat(p, p.grad) for p in self.parameters])
        if isinstance(loss, Tensor):
            evaluate([loss, gradient])
        return loss, float(loss), gradient

    def direct(self, gradient: Tensor) -> None:
        """The next direction: the approximate inverse Hessian, applied to the gradient."""
        state = self.state
        if state["n_iter"] == 1:
            state.update(d=-gradient, old_dirs=None, old_stps=None, ro=None, H_diag=1.0)
            return
        self.remember(gradient)
        state["d"] = -gradient
        if state["ro"] is not None:
            history = state["old_stps"], state["old_dirs"], state["ro"]
            state["d"] = two_loops(gradient, history, state["H_diag"])
        evaluate([state["d"]])

    def remember(self, gradient: Tensor) -> None:
        """Take the last step into the history, if the function curves upwards along it."""
        state = self.state
        change = gradient - state["prev_flat_grad"]
        step = state["d"] * _data(state["t"], gradient)
        curvature = change.dot(step)
        evaluate([change, step, curvature])
        if curvature.item() <= 1e-10:
            return
        for key, new in (("old_dirs", change), ("old_stps", step), ("ro", 1.0 / curvature)):
            row, held = new.reshape(1, *new.shape), state[key]
            if held is not None:
                surplus = held.shape[0] + 1 - self.group["history_size"]
                row = concat([held[max(0, surplus) :], row])
            state[key] = row
        state["H_diag"] = curvature / change.dot(change)
        evaluate([state[key] for key in (*HISTORY, "H_diag")])

    def moved(self, before: Point, last: bool) -> tuple[float, Tensor]:
        """Go along the direction; the loss and the gradient there."""
        start = [p.detach() for p in self.parameters]
        direction = self.state["d"]
        if self.group["line_search_fn"] is None:
            self.place(start, self.state["t"])
            return (before.value, before.gradient) if last else self.evaluated()[1:]

        def look(step: float) -> Point:
            self.place(start, step)
            _, value, gradient = self.evaluated()
            return Point(step, value, gradient, gradient.dot(direction).item())

        most = self.group["max_eval"] - self.calls
        found, _ = strong_wolfe(look, before, self.state["t"], state_size(direction), most)
        self.state["t"] = found.step
        self.place(start, found.step)
        return found.value, found.gradient

    def place(self, start: list[Tensor], step: float) -> None:
        """Put the parameters `step` along the direction from `start`."""
        direction, offset = self.state["d"], 0
        move = direction * _data(step, direction)
        for parameter, origin in zip(self.parameters, start, strict=True):
            real = view_as_real(origin) if origin.dtype.is_complex else origin
            new = real + move[offset : offset + real.numel()].reshape(real.shape)
            parameter.data = view_as_complex(new) if origin.dtype.is_complex else new
            offset += real.numel()
        evaluate(self.parameters)


def two_loops(gradient: Tensor, history: tuple[Tensor, ...], diagonal: Tensor) -> Tensor:
    """What `history` (steps, changes of the gradient, one over their products; oldest first) says
    about the inverse Hessian, applied to the gradient and negated.

    Source: Nocedal (1980), "Updating quasi-Newton matrices with limited storage".

    Example:
        >>> import ambos as am
        >>> history = am.tensor([[1.0, 0.0]]), am.tensor([[2.0, 0.0]]), am.tensor([0.5])
        >>> two_loops(am.tensor([2.0, 3.0]), history, am.tensor(0.25)).tolist()
        [-1.0, -0.75]
    """

    def back(direction: Tensor, row: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        step, change, scale = row
        share = step.dot(direction) * scale
        return direction - change * share, share

    def forth(direction: Tensor, row: tuple[Any, ...]) -> tuple[Tensor, tuple[()]]:
        (step, change, scale), share = row
        return direction + step * (share - change.dot(direction) * scale), ()

    direction, shares = scan(back, -gradient, history, reverse=True)
    direction, _ = scan(forth, direction * diagonal, (history, shares))
    found: Tensor = direction
    return found


def state_size(direction: Tensor) -> float:
    """The largest component of a direction."""
    return float(direction.abs().max().item())


def _data(value: float, like: Tensor) -> Tensor:
    """A number as data: as a constant it would give every iteration a graph of its own."""
    return Tensor(np.asarray(value, like.dtype.name))


def _flat(parameter: Tensor, grad: Tensor | None) -> Tensor:
    found = zeros(parameter.shape, dtype=parameter.dtype) if grad is None else grad
    return (view_as_real(found) if found.dtype.is_complex else found).reshape(-1)
