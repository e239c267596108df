"""`am.loop`: the pieces of `fit`, one batch at a time, in a loop of your own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ambos.core.arguments import checked, positive
from ambos.core.errors import ArgumentError
from ambos.nn.modes import Modes, modes_of, using
from ambos.tensor.handle import Tensor
from ambos.tensor.live import evaluate
from ambos.train import trackers
from ambos.train.fitting import Fit, averages, located, note_shapes
from ambos.train.naming import called
from ambos.train.recipe import recipe_of
from ambos.train.sources import training_data
from ambos.train.step import Step
from ambos.train.trainable import Trainable


@checked
def loop(
    model: Any,
    x: Any,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    shuffle: bool = True,
    class_weight: Any = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    seed: int | None = None,
    accumulate: int = 1,
    clip_norm: float | None = None,
    precision: str | None = None,
) -> Iterator[Step]:
    """The steps of `model.fit(x, y, ...)`, each with what it is made of: `step.batch`,
    `step.output`, `step.loss`, `step.backward()`, `step.update()`, `step.epoch`, `step.index`,
    `step.logs`. Nothing happens that is not called.

    Calling `backward` and `update` for each gives the weights that `fit` gives, bit by bit.

    Errors: as `fit`.

    Example:
        >>> import numpy as np
        >>> import ambos as am
        >>> model = am.Sequential([am.nn.Linear(2, 1)])
        >>> model.compile("sgd", "mse")
        >>> for step in am.loop(model, np.ones((4, 2)), np.ones((4, 1)), batch_size=2):
        ...     step.backward()
        ...     step.update()
        ...     print(step.epoch, step.index, step.loss.shape)
        0 0 ()
        0 1 ()
    """
    if not isinstance(model, Trainable):
        raise ArgumentError(
            f"loop: got {type(model).__name__}; need a compiled model: am.Model(module)"
        )
    positive("loop: epochs", epochs)
    optimizer = model.plan.optimizer
    with called("loop"):
        recipe = recipe_of("loop", optimizer, accumulate, clip_norm, precision, class_weight)
        source, _ = training_data(
            model, x, y, sample_weight, batch_size, shuffle, seed, steps_per_epoch, 0.0
        )
    source.op = "loop"
    run = Fit(model, source, None, recipe, epochs, None, 0)
    run.run.epoch = initial_epoch
    return _steps(model, run)


class OpenStep(Step):
    """A step whose parts are done from outside: each takes a turn, and is in the modes of training
    while it lasts."""

    modes: Modes

    @contextmanager
    def _taking(self) -> Iterator[None]:
        try:
            with called("loop"), self.model.engine.turn, using(self.modes):
                yield
        except Exception as error:
            where = f"batch {self.index} of epoch {self.epoch}"
            raise located(error, where, False) from error.__cause__

    @property
    def output(self) -> Any:
        with self._taking():
            return super().output

    @property
    def loss(self) -> Tensor:
        with self._taking():
            return super().loss

    @property
    def logs(self) -> dict[str, Any]:
        """Loss and metrics of this batch alone, as plain numbers."""
        with self._taking():
            return {name: value.item() for name, value in super().logs.items()}

    def backward(self) -> None:
        with self._taking():
            super().backward()

    def update(self) -> None:
        with self._taking():
            super().update()


def _steps(model: Any, fit: Fit) -> Iterator[Step]:
    run, schedule = fit.run, model.plan.schedule
    optimizer = model.plan.optimizer
    fit.begin()
    model.engine.run = run
    try:
        for epoch in range(run.epoch, fit.epochs):
            run.epoch, number = epoch, 0
            trackers.reset(model)
            with model.engine.turn:
                modes = modes_of(model, True)
            averages(optimizer, False)
            if schedule is not None:
                schedule.begin(optimizer, run.updates)
            try:
                with called("loop"):
                    for batch, due in fit.turns(epoch, 0):
                        note_shapes(model, batch)
                        recipe = fit.recipe if due else fit.recipe.collecting()
                        step = OpenStep.prepared(model, batch, recipe, epoch, number)
                        step.modes = modes
                        yield step
                        with model.engine.turn:
                            evaluate([*model.buffers(), model.engine.rows])
                        number += 1
                        run.batch = number
                        if due:
                            run.updates += 1
                            if schedule is not None and schedule.each == "update":
                                schedule.step(optimizer, run.updates)
            except Exception as error:
                raise located(error, f"batch {number} of epoch {epoch}") from error.__cause__
            if schedule is not None and schedule.each == "epoch":
                schedule.step(optimizer, epoch + 1)
    finally:
        averages(optimizer, True)
        fit.source.close()
