"""What a model is once it is compiled, and what it does with one batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from ambos import nn
from ambos.core.arguments import checked
from ambos.core.dtype import DType, float32
from ambos.core.errors import ArgumentError
from ambos.tensor.handle import Tensor
from ambos.train import saving, trackers
from ambos.train.batches import parts_in
from ambos.train.callbacks import History
from ambos.train.endings import warn_of_probabilities
from ambos.train.engine import Engine
from ambos.train.plan import Losses, Metrics, Plan, Schedule, check_names, optimizer_of
from ambos.train.recipe import check_class_weights
from ambos.train.step import Step, call


class Stepping(nn.Module):
    """What a compiled model is, and what it does with one batch."""

    takes_nan = False  # does the forward mean to see NaN?
    output_names: tuple[str, ...] = ()  # of outputs in a list, where they have names

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self.__dict__["_engine"] = Engine()
        return self

    @property
    def stop_training(self) -> bool:
        """Set it to True to end training after the batch that is running."""
        return self.engine.stop_training

    @stop_training.setter
    def stop_training(self, value: bool) -> None:
        self.engine.stop_training = bool(value)

    @property
    def history(self) -> History | None:
        """The History of the last training, also of one that an error ended."""
        return self.engine.history

    @property
    def run(self) -> Any:
        """Where the last training is; `run.state_dict()` is what `fit(resume=)` takes."""
        return self.engine.run

    # Settling how to train

    @checked
    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = None,
        metrics: Any = (),
        loss_weights: Any = None,
        weighted_metrics: Any = None,
        jit: bool = True,
        schedule: Any = None,
        schedule_each: str | None = None,
    ) -> None:
        """Settle how to train: names ("adam", "cross_entropy", "accuracy") or objects.

        A model with several outputs takes a loss and metrics for each, in a list or in a dict by
        the outputs' names; `loss_weights` weigh them in their sum. `weighted_metrics` look at
        sample weights, `metrics` do not. An optimizer without parameters, `SGD(lr=0.1)`, gets the
        model's. A `schedule` turns its learning rate: one of `optim.lr_scheduler`, which goes on
        each "epoch" or "update" (`schedule_each`), or a function of the number of updates. Steps
        are recorded whole unless `jit` is False.

        Errors: ArgumentError for unknown names; UnknownNameError for a misspelt keyword.

        Example:
            >>> import ambos as am
            >>> model = am.Sequential([am.nn.Linear(2, 2)])
            >>> model.compile(optimizer=am.optim.SGD(lr=0.1), loss="mse", metrics=["mae"])
            >>> model.optimizer.lr
            0.1
        """
        own = any(is_own(self, name) for name in ("train_step", "compute_loss", "losses_of"))
        if loss is None and not own:
            raise ArgumentError(
                "compile: no loss; need one, for example loss='cross_entropy' or a function"
            )
        if "graph" in self.__dict__ and not own:
            outputs = self.outputs_of(self.__dict__["graph"].made)
            check_names(outputs, loss=loss, loss_weights=loss_weights, metrics=metrics)
        rule, losses = optimizer_of(optimizer), Losses(loss, loss_weights)
        turning = None if schedule is None else Schedule(schedule, schedule_each)
        plan = Plan(
            rule, losses, Metrics(metrics, weighted_metrics, losses.spec),
            saving.written_plan(loss, metrics, loss_weights, weighted_metrics), turning, bool(jit),
            loss,
        )  # fmt: skip
        if not own:
            warn_of_probabilities(self, losses.spec)
        self.__dict__.update(_plan=plan, optimizer=rule, _engine=Engine())

    @property
    def plan(self) -> Plan:
        """What `compile` settled."""
        found: Plan | None = self.__dict__.get("_plan")
        if found is None:
            raise ArgumentError(
                f"{type(self).__name__}: not compiled yet; need model.compile(optimizer='adam', "
                "loss='cross_entropy', metrics=['accuracy']) first"
            )
        return found

    @property
    def engine(self) -> Engine:
        """The recorded steps."""
        found: Engine = self.__dict__["_engine"]
        return found

    # What a step does; each of these may be overridden

    def train_step(self, data: Any) -> Mapping[str, Any]:
        """One batch (x, y, sample_weight), or x itself where there are no targets: forward,
        backward, update. Returns numbers by name, tensors, which `fit` averages over the epoch and
        which it does not wait for.

        Override it for a training of your own; it is recorded like the usual one, and runs
        operation by operation where it looks at values.
        """
        step = Step(self, data)
        step.backward()
        step.update()
        return step.logs

    def test_step(self, data: Any) -> Mapping[str, Any]:
        """One batch of `evaluate` and of validation: numbers by name."""
        return Step(self, data).logs

    test_step.__test__ = False  # type: ignore[attr-defined]  # its name is no test's

    def predict_step(self, data: Any) -> Any:
        """One batch of `predict`: the outputs."""
        return call(self, parts_in(data)[0])

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
    ) -> Tensor:
        """The loss of a batch, one number: what `compile` says."""
        check_class_weights(self.engine.recipe, y, y_pred)
        return self.plan.losses(self.outputs_of(y_pred), y, sample_weight)["loss"]

    def losses_of(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> dict[str, Tensor]:
        """The loss under "loss", with those of several outputs under their names."""
        if is_own(self, "compute_loss"):
            return {"loss": self.compute_loss(x, y, y_pred, sample_weight)}
        return self.plan.losses(self.outputs_of(y_pred), y, sample_weight)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """What the metrics find in a batch, by name, for `train_step` to return."""
        if y is None:
            return {}
        return dict(self.plan.metrics(self.outputs_of(y_pred), y, sample_weight))

    def reset_metrics(self) -> None:
        """Let the metrics that the model keeps itself begin anew, as every epoch of `fit` and every
        evaluation does: those that a property `metrics` lists, or that are attributes of it or of
        its layers."""
        trackers.reset(self)

    def outputs_of(self, y_pred: Any) -> dict[str, Any]:
        """Outputs by name; a single one has the name ""."""
        if isinstance(y_pred, Mapping):
            return dict(y_pred)
        if isinstance(y_pred, (tuple, list)):
            names = self.output_names or [f"output_{n}" for n in range(1, len(y_pred) + 1)]
            return dict(zip(names, y_pred, strict=True))
        return {"": y_pred}

    @property
    def float_dtype(self) -> DType:
        """The dtype of the parameters, which inputs are converted to."""
        for parameter in self.parameters():
            if parameter.dtype.is_floating:
                return parameter.dtype
        return float32


def is_own(model: Any, name: str) -> bool:
    """Has the model's class a method of its own of this name?"""
    return getattr(type(model), name) is not getattr(Stepping, name)
