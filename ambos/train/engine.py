"""Steps as Programs: each is recorded whole, or runs define-by-run where it looks at values."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np

from ambos.core.errors import TracingError, depth_of_user
from ambos.nn.modes import modes_of, using
from ambos.optim import LBFGS
from ambos.optim.grad_scaler import GradScaler
from ambos.tensor.handle import Tensor
from ambos.tensor.jit import jit
from ambos.tensor.live import evaluate
from ambos.tensor.modes import no_grad
from ambos.train.batches import Batch, handed, size_of
from ambos.train.metrics.standing import asking
from ambos.train.recipe import Recipe
from ambos.train.step import prepared
from ambos.train.totals import Totals

Runner = Callable[..., Any]
Probe = Callable[[Any], dict[str, Tensor]]  # of the model, to numbers by name


class Engine:
    """The recorded steps of a compiled model, with what they add up, and all else that changes
    while a model trains. It is one object for the model, whose own attributes recordings watch.
    """

    def __init__(self) -> None:
        self.training, self.testing = Totals(), Totals()
        self.turn = RLock()  # held for a batch: each finds the weights as one update left them
        self.sums = RLock()  # held for an evaluation: its steps add to the same tensors
        self.rows = Tensor(np.zeros((), np.float32))  # of gradients that wait for an update
        self.runners: dict[Any, Runner] = {}
        self.scaler: Any = None
        self.probes: tuple[Probe, ...] = ()  # what a step measures of its gradients
        self.recipe = Recipe()  # of the step that is made now
        self.stop_training = False
        self.history: Any = None
        self.run: Any = None
        self.example: Any = None  # inputs of the shapes of a batch
        self.casts_integers = False  # has a layer taken integers for floating numbers?

    def prepare(self, model: Any, recipe: Recipe) -> None:
        """Before a training: nothing waits for an update."""
        if self.rows.item():  # recorded steps look again at what is given another value
            self.rows.data = Tensor(np.zeros((), np.float32))
        if recipe.precision == "float16" and self.scaler is None:
            self.scaler = GradScaler()

    def __reduce__(self) -> Any:
        return Engine, ()  # a copy of a model records anew

    @contextmanager
    def following(self, recipe: Recipe) -> Iterator[None]:
        """Steps made meanwhile follow `recipe`."""
        before, self.recipe = self.recipe, recipe
        try:
            yield
        finally:
            self.recipe = before

    def train(self, model: Any, recipe: Recipe) -> Runner:
        """The training step: takes the parts of a batch; gives what `Totals.collect` wants."""
        key = ("train", recipe, self.probes)
        return self._runner(key, model, True, self._recorded_train, model, recipe)

    def test(self, model: Any, recipe: Recipe) -> Runner:
        """The same for evaluation."""
        key = ("test", recipe)
        return self._runner(key, model, False, self._recorded_test, model, recipe)

    def predict(self, model: Any) -> Runner:
        """The same for `predict`: gives the outputs."""
        return self._runner("predict", model, False, self._recorded_predict, model)

    def _runner(
        self, key: Any, model: Any, trains: bool, body: Callable[..., Any], *args: Any
    ) -> Runner:
        """A step in the modes that `model.train(trains)` says now. It touches none of the modules,
        which all threads share."""
        with self.turn:
            modes = modes_of(model, trains)
            call = self.runners.get(key)
            if call is None:
                function = lambda *batch: body(*args, batch)
                call = self.runners[key] = step_of(model, key, function)

        def turn(*batch: Any) -> Any:
            with self.turn, using(modes):
                return call(*batch)

        return turn

    def _recorded_train(self, model: Any, recipe: Recipe, batch: Batch) -> Any:
        with self.following(recipe), asking() as asked:
            logs = model.train_step(handed(prepared(model, batch, recipe)))
        with no_grad():
            return self.training.add(logs, size_of(batch), asked)

    def _recorded_test(self, model: Any, recipe: Recipe, batch: Batch) -> Any:
        with no_grad(), self.following(recipe), asking() as asked:
            logs = model.test_step(handed(prepared(model, batch, recipe)))
            return self.testing.add(logs, size_of(batch), asked)

    def _recorded_predict(self, model: Any, batch: Batch) -> Any:
        with no_grad():
            return model.predict_step(handed(prepared(model, batch, Recipe())))


def step_of(model: Any, key: Any, function: Runner) -> Runner:
    """`function` recorded, where the model was compiled so and it can be."""
    plan = model.__dict__.get("_plan")
    kind = key if isinstance(key, str) else key[0]
    function.__qualname__ = f"{type(model).__name__}.{kind}_step"
    if plan is not None and not plan.jit:
        return computed(model, function)
    rule = None if plan is None else plan.optimizer
    if kind == "train" and rule is not None:
        if rule.steps_are_watched():
            _say(model, kind, "the optimizer has step hooks, which are called at every step")
            return computed(model, function)
        if isinstance(rule, LBFGS):
            return computed(model, function)
    return Recorded(model, kind, function)


class Recorded:
    """A recorded step. One that looks at values runs define-by-run from then on, which is said
    once; everything is as it was before when that is found out."""

    def __init__(self, model: Any, kind: str, function: Runner) -> None:
        self.model, self.kind, self.function = model, kind, function
        self.call: Runner = jit(function)

    def __call__(self, *batch: Any) -> Any:
        try:
            return self.call(*batch)
        except TracingError as error:
            if not isinstance(self.call, Runner_of_jit):
                raise
            again = "; this batch is run again: what it appended or printed is there once more"
            _say(self.model, self.kind, error.message + again)
        self.call = computed(self.model, self.function)
        return self.call(*batch)


Runner_of_jit = type(jit(lambda: None))


def computed(model: Any, function: Runner) -> Runner:
    """`function` define-by-run: what it leaves pending is computed at once."""

    def run(*batch: Any) -> Any:
        rest = function(*batch)
        engine = model.engine
        pending = [*engine.training.tensors(), *engine.testing.tensors(), *model.buffers()]
        evaluate([*pending, engine.rows])
        return rest

    return run


def _say(model: Any, kind: str, reason: str) -> None:
    warnings.warn(
        f"{type(model).__name__}.{kind}_step runs operation by operation, not as one Program: "
        f"{reason}; compile(jit=False) says that this is meant",
        stacklevel=depth_of_user(),
    )
