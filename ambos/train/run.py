"""Where a training is: all that changes while it runs, which can be written down after any batch
and goes on from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ambos.core.errors import AmbosError, ArgumentError
from ambos.optim import Optimizer
from ambos.tensor.handle import Tensor
from ambos.tensor.random import default_generator
from ambos.tensor.spent import SpentGradient
from ambos.train import trackers
from ambos.train.batches import Source
from ambos.train.callbacks import CallbackList
from ambos.train.recipe import Recipe

SOURCE_FACTS = ("rows", "batch_size", "shuffle")
RECIPE_FACTS = ("accumulate", "clip_norm", "precision", "class_weight")


class Run:
    """Where a training is: epoch, batch and updates, with all that is needed to go on."""

    def __init__(
        self, model: Any, source: Source, callbacks: CallbackList, recipe: Recipe
    ) -> None:  # fmt: skip
        self.model, self.source, self.callbacks, self.recipe = model, source, callbacks, recipe
        self.epoch = self.batch = self.updates = 0
        self.is_resumed = False  # is this not the beginning of an epoch?
        self.is_interrupted = False  # did Ctrl-C end it, between two batches?
        self.before: Any = None  # the source's state, where a batch was read ahead

    def facts(self) -> dict[str, Any]:
        """What has to be the same where a state is gone on from."""
        source = {name: getattr(self.source, name, None) for name in SOURCE_FACTS}
        rule = type(self.model.plan.optimizer).__name__
        return {"optimizer": rule, **source, **{n: getattr(self.recipe, n) for n in RECIPE_FACTS}}

    def state_dict(self) -> dict[str, Any]:
        """All of it, as nests of numbers, text, arrays and tensors; to be taken between two
        batches, in a callback for example."""
        model, plan = self.model, self.model.plan
        grads = {
            name: parameter.grad
            for name, parameter in model.named_parameters()
            if isinstance(parameter.grad, Tensor) and not isinstance(parameter.grad, SpentGradient)
        }
        return {
            "epoch": self.epoch, "batch": self.batch, "updates": self.updates,
            "model": model.state_dict(), "optimizer": plan.optimizer.state_dict(),
            "optimizers": {n: rule.state_dict() for n, rule in own_optimizers(model).items()},
            "schedule": None if plan.schedule is None else plan.schedule.state_dict(),
            "totals": model.engine.training.state_dict(plan.metrics.each()),
            "trackers": trackers.state_of(model), "grads": grads, "rows": model.engine.rows.item(),
            "scale": None if model.engine.scaler is None else model.engine.scaler.state_dict(),
            "random": default_generator.get_state(),
            "source": self.before or self.source.state_dict(),
            "callbacks": self.callbacks.state_dict(), "facts": self.facts(),
            "stopped": model.engine.stop_training,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there.

        Errors: ArgumentError for the state of another training; nothing is changed then.
        """
        check_resume(state, self.facts())
        before = self.state_dict()
        try:
            self._load(state)
        except Exception as error:
            self._load(before)
            if isinstance(error, AmbosError):
                error.message = (f"fit: resume is of another training: {error.message}; need the "
                                 "same model, or another folder")  # fmt: skip
                error.args = (error.message,)
            raise
        self.is_resumed = True

    def _load(self, state: Mapping[str, Any]) -> None:
        model, plan = self.model, self.model.plan
        model.load_state_dict(state["model"])
        plan.optimizer.load_state_dict(state["optimizer"])
        for name, rule in own_optimizers(model).items():
            if name in state.get("optimizers", {}):
                rule.load_state_dict(state["optimizers"][name])
        if plan.schedule is not None and state["schedule"] is not None:
            plan.schedule.load_state_dict(state["schedule"])
        engine = model.engine
        engine.training.load_state_dict(state["totals"], plan.metrics.each())
        if "trackers" in state:
            trackers.load(model, state["trackers"])
        for name, parameter in model.named_parameters():
            parameter.grad = state["grads"].get(name)
        engine.rows.data = Tensor(np.float32(state["rows"]))
        if engine.scaler is not None and state["scale"] is not None:
            engine.scaler.load_state_dict(state["scale"])
        default_generator.set_state(state["random"])
        self.source.load_state_dict(state["source"])
        self.callbacks.load_state_dict(state["callbacks"])
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.updates = state["updates"]
        engine.stop_training = state.get("stopped", False)


def own_optimizers(model: Any) -> dict[str, Optimizer]:
    """Optimizers beside that of `compile` which modules keep for a `train_step` of their own."""
    return {
        f"{path}.{name}": value
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, Optimizer) and value is not model.plan.optimizer
    }


def check_resume(state: Any, facts: Mapping[str, Any]) -> None:
    """Refuse what is no state of a training, or the state of another one.

    Errors: ArgumentError.
    """
    if not isinstance(state, Mapping) or "callbacks" not in state:
        raise ArgumentError(
            f"fit: resume is {type(state).__name__}; need the folder of checkpoints, or what "
            "model.run.state_dict() gave"
        )
    then = state.get("facts", {})
    differing = [f"{n} was {then[n]!r}, is {facts[n]!r}" for n in facts if then.get(n) != facts[n]]
    if then and differing:
        raise ArgumentError(
            f"fit: resume is of another training: {'; '.join(differing)}; need the same, or begin "
            "anew from its weights: model.load_state_dict(state['model'])"
        )
