"""What makes a module a Model: `compile`, `fit`, `evaluate`, `predict`, and the steps they run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from ambos import nn
from ambos.core import tree
from ambos.core.arguments import checked, positive, share
from ambos.core.dtype import DType, float32
from ambos.core.errors import ArgumentError, UnknownNameError, suggest
from ambos.tensor.handle import Tensor
from ambos.train import saving
from ambos.train.batches import (
    Arrays,
    Batch,
    Source,
    Stream,
    arrays_of,
    is_arrays,
)
from ambos.train.callbacks import CallbackList, History
from ambos.train.engine import Engine
from ambos.train.fitting import Fit, averages, check_resume, evaluating, measure, note_shapes
from ambos.train.plan import Losses, Metrics, Plan, Schedule, optimizer_of
from ambos.train.progress import check_verbose
from ambos.train.source import Writer
from ambos.train.step import Recipe, Step, call
from ambos.train.totals import Totals

USUAL: dict[str, Any] = {
    "batch_size": 32,
    "epochs": 1,
    "shuffle": True,
    "seed": None,
    "accumulate": 1,
    "clip_norm": None,
    "precision": None,
    "class_weight": None,
    "initial_epoch": 0,
    "validation_split": 0.0,
    "validation": False,
    "sample_weight": False,
}  # what `loop_source` writes where nothing is said
EVALUATION_BATCH = 256  # examples at a time where no gradients are kept


class Trainable(nn.Module):
    """See Model."""

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
        own = any(
            getattr(type(self), name) is not getattr(Trainable, name)
            for name in ("train_step", "compute_loss", "losses_of")
        )
        if loss is None and not own:
            raise ArgumentError(
                "compile: no loss; need one, for example loss='cross_entropy' or a function"
            )
        rule, losses = optimizer_of(optimizer), Losses(loss, loss_weights)
        turning = None if schedule is None else Schedule(schedule, schedule_each)
        plan = Plan(
            rule, losses, Metrics(metrics, weighted_metrics, losses.spec),
            saving.written_plan(loss, metrics, loss_weights, weighted_metrics), turning, bool(jit),
            loss, {"metrics": metrics},
        )  # fmt: skip
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

    def train_step(self, data: Batch) -> Mapping[str, Any]:
        """One batch (x, y, sample_weight): forward, backward, update. Returns numbers by name,
        tensors, which `fit` averages over the epoch and which it does not wait for.

        Override it for a training of your own; it is recorded like the usual one, and runs
        operation by operation where it looks at values.
        """
        step = Step(self, data)
        step.backward()
        step.update()
        return step.logs

    def test_step(self, data: Batch) -> Mapping[str, Any]:
        """One batch of `evaluate` and of validation: numbers by name."""
        return Step(self, data).logs

    test_step.__test__ = False  # type: ignore[attr-defined]  # its name is no test's

    def predict_step(self, data: Batch) -> Any:
        """One batch of `predict`: the outputs."""
        return call(self, data[0])

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
    ) -> Tensor:
        """The loss of a batch, one number: what `compile` says."""
        return self.plan.losses(self.outputs_of(y_pred), y, sample_weight)["loss"]

    def losses_of(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> dict[str, Tensor]:
        """The loss under "loss", with those of several outputs under their names."""
        if type(self).compute_loss is not Trainable.compute_loss:
            return {"loss": self.compute_loss(x, y, y_pred, sample_weight)}
        return self.plan.losses(self.outputs_of(y_pred), y, sample_weight)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """What the metrics find in a batch, by name, for `train_step` to return."""
        if y is None:
            return {}
        return dict(self.plan.metrics(self.outputs_of(y_pred), y, sample_weight))

    def outputs_of(self, y_pred: Any) -> dict[str, Any]:
        """Outputs by name; a single one has the name ""."""
        if isinstance(y_pred, Mapping):
            return dict(y_pred)
        if isinstance(y_pred, (tuple, list)):
            names = self.output_names or [f"output_{n}" for n in range(1, len(y_pred) + 1)]
            return dict(zip(names, y_pred, strict=True))
        return {"": y_pred}

    # Training

    @checked
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
        seed: int | None = None,
        accumulate: int = 1,
        clip_norm: float | None = None,
        precision: str | None = None,
        resume: Any = None,
    ) -> History:
        """Train on arrays `x, y`, or on an iterable of batches (x, y) or (x, y, sample_weight).

        `x` may be a tuple or a dict of arrays for several inputs, tensors, pandas, a Dataset or a
        loader. `validation_split` sets the last part of the arrays aside, before shuffling;
        `validation_data` is (x, y), (x, y, sample_weight) or an iterable of batches. Weights of
        classes ({class: weight}) and of samples multiply. `accumulate` batches make one update, the
        same as of one large batch; gradients are cut to `clip_norm`. `precision` is "float32",
        "bfloat16" or "float16". Ctrl-C ends training after the current batch: the model keeps what
        it has learnt, and the History, with `interrupted` set, comes back as usual; after an error
        `model.history` has it. `resume` goes on from what `model.run.state_dict()` gave.

        Errors: ArgumentError, ShapeError, UnknownNameError for a misspelt keyword. One about data
            names the argument and the batch.

        Example:
            >>> import ambos as am
            >>> model = am.Sequential([am.nn.Linear(2, 2)])
            >>> model.compile("sgd", "mse")
            >>> history = model.fit(np.ones((4, 2)), np.ones((4, 2)), epochs=3, verbose=0)
            >>> len(history.history["loss"])
            3
        """
        plan = self.plan
        positive("fit: epochs", epochs)
        positive("fit: initial_epoch", initial_epoch, 0)
        positive("fit: validation_freq", validation_freq)
        positive("fit: accumulate", accumulate)
        check_verbose("fit", verbose)
        if steps_per_epoch is not None:
            positive("fit: steps_per_epoch", steps_per_epoch)
        if clip_norm is not None and not clip_norm > 0:
            raise ArgumentError(f"fit: clip_norm is {clip_norm!r}; need a number > 0, or None")
        recipe = Recipe(accumulate, clip_norm, precision, class_weights_of(class_weight))
        source, held_out = self._training_data(
            x, y, sample_weight, batch_size, shuffle, seed, steps_per_epoch, validation_split
        )
        size = validation_batch_size or max(batch_size or 0, 128)
        validation = self._validation(validation_data, held_out, size, validation_steps)
        run = Fit(self, source, validation, recipe, epochs, callbacks, verbose, validation_freq)
        run.run.epoch = initial_epoch
        plan.sources["fit"] = {
            "batch_size": batch_size or 32, "epochs": epochs, "shuffle": shuffle, "seed": seed,
            "accumulate": accumulate, "clip_norm": clip_norm, "precision": precision,
            "class_weight": dict(recipe.class_weight) or None, "initial_epoch": initial_epoch,
            "validation_split": validation_split, "validation": validation_data is not None,
            "sample_weight": sample_weight is not None,
        }  # fmt: skip
        if resume is not None:
            run.resume(check_resume(resume))
        return run()

    def _training_data(
        self, x: Any, y: Any, weight: Any, batch_size: int | None, shuffle: bool,
        seed: int | None, steps: int | None, split: float,
    ) -> tuple[Source, Batch | None]:  # fmt: skip
        """Training batches, and the part of the arrays that `split` sets aside."""
        share("fit: validation_split", split)
        if x is None:
            raise ArgumentError("fit: no x; need arrays x and y, or an iterable of batches (x, y)")
        if not is_arrays(x):
            self._refuse_beside_stream("fit", y, weight, batch_size)
            if split:
                raise ArgumentError(
                    "fit: validation_split needs arrays; pass validation_data for an iterable"
                )
            return Stream(x, self.float_dtype, "fit", steps, takes_nan=self.takes_nan), None
        own = type(self).train_step is not Trainable.train_step
        if y is None and not own:
            raise ArgumentError("fit: got x without y; need both, or an iterable of pairs (x, y)")
        size = positive("fit: batch_size", 32 if batch_size is None else batch_size)
        given = {"x": x, "y": y, "sample_weight": weight}
        parts = arrays_of(given, self.float_dtype, "fit", self.takes_nan)
        held_out = None
        if split:
            count = len(tree.leaves(parts)[0])
            kept = math.floor(count * (1.0 - split))  # as Keras rounds
            if not 0 < kept < count or not round(count * split):
                raise ArgumentError(
                    f"fit: validation_split={split} of {count} examples leaves one side empty"
                )
            held_out = tree.map(lambda rows: rows[kept:], parts)
            parts = tree.map(lambda rows: rows[:kept], parts)
        return Arrays(parts, size, shuffle, seed, "fit", steps), held_out

    def _validation(
        self, data: Any, held_out: Batch | None, size: int, steps: int | None
    ) -> Source | None:
        """Validation batches, from `data` or from what was set aside."""
        if data is None:
            if held_out is None:
                return None
            return Arrays(held_out, size, False, None, "fit", steps)
        if isinstance(data, (tuple, list)) and 2 <= len(data) <= 3 and is_arrays(data[0]):
            return self._source("fit", *data, batch_size=size, steps=steps, name="validation_data")
        return self._source("fit", data, batch_size=None, steps=steps, name="validation_data")

    def _source(
        self, op: str, x: Any, y: Any = None, weight: Any = None, *, batch_size: int | None,
        steps: int | None = None, name: str = "x",
    ) -> Source:  # fmt: skip
        """Batches in order, from arrays or from an iterable."""
        if not is_arrays(x):
            self._refuse_beside_stream(op, y, weight, batch_size)
            return Stream(x, self.float_dtype, op, steps, name, self.takes_nan)
        if y is None and type(self).test_step is Trainable.test_step:
            raise ArgumentError(f"{op}: got x without y; need both, or an iterable of pairs (x, y)")
        inner = ("x", "y", "sample_weight") if name == "x" else tuple(f"{name}[{n}]" for n in "012")
        given = dict(zip(inner, (x, y, weight), strict=True))
        parts = arrays_of(given, self.float_dtype, op, self.takes_nan)
        source = Arrays(parts, batch_size or EVALUATION_BATCH, False, None, op, steps)
        source.name = name
        return source

    def _refuse_beside_stream(self, op: str, y: Any, weight: Any, batch_size: int | None) -> None:
        if y is not None:
            raise ArgumentError(f"{op}: got an iterable of batches and y; need y in its pairs")
        if weight is not None:
            raise ArgumentError(
                f"{op}: got an iterable of batches and sample_weight; need it as their third part"
            )

    @checked
    def loop_source(self, **arguments: Any) -> str:
        """The text of a plain Python loop which, executed with `model`, `x` and `y`, gives the
        weights that `fit` gives, bit by bit. `arguments` are those of `fit`; without any, those of
        the last call of it. Validation data is called `x_val` and `y_val` there.

        Errors: ArgumentError for a model with a `train_step` of its own.

        Example:
            >>> import ambos as am
            >>> model = am.Sequential([am.nn.Linear(2, 1)])
            >>> model.compile("sgd", "mse")
            >>> "loss = F.mse_loss(output, targets)" in model.loop_source(epochs=3)
            True
        """
        if type(self).train_step is not Trainable.train_step:
            raise ArgumentError(
                f"loop_source: {type(self).__name__} has a train_step of its own; need to read that"
            )
        known = USUAL if arguments else USUAL | self.plan.sources.get("fit", {})
        strange = [name for name in arguments if name not in known]
        if strange:
            raise UnknownNameError(
                f"loop_source: unknown argument {strange[0]!r}; known: {', '.join(known)}"
                f"{suggest(strange[0], known)}"
            )
        if "class_weight" in arguments:
            arguments["class_weight"] = dict(class_weights_of(arguments["class_weight"])) or None
        return Writer(self, known | arguments).text()

    # Evaluation and prediction

    @checked
    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = 0,
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = True,
    ) -> dict[str, Any] | list[Any]:
        """Loss and metrics on arrays or on an iterable of batches, without training.

        A dictionary by name, or a list with `return_dict=False`.

        Errors: ArgumentError before `compile`, and as `fit`.

        Example:
            >>> import ambos as am
            >>> model = am.Sequential([am.nn.Linear(2, 2)])
            >>> model.compile("sgd", "mse")
            >>> list(model.evaluate(np.ones((4, 2)), np.ones((4, 2))))
            ['loss']
        """
        check_verbose("evaluate", verbose)
        self.plan  # noqa: B018  # raises before anything is read
        source = self._source("evaluate", x, y, sample_weight, batch_size=batch_size, steps=steps)
        listeners = CallbackList(callbacks, "evaluate")
        listeners.bind(self, {"steps": source.count(), "verbose": verbose})
        logs = measure(self, source, listeners)
        if verbose:
            print("  ".join(f"{name} {value:.4f}" for name, value in logs.items()))
        return logs if return_dict else list(logs.values())

    @checked
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = 0,
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The model's outputs for the rows of `x`, as NumPy arrays (in a tree, where `forward`
        returns one).

        `x` is an array (a tuple or dict of them), or an iterable of batches: inputs, or pairs
        (x, y) as `fit` takes them. The model runs in eval mode; a row's result does not depend on
        the rows beside it.

        Errors: ArgumentError without rows or where `forward` returns no tensors; ShapeError and
            DTypeError from the layers.

        Example:
            >>> import ambos as am
            >>> model = am.Sequential([am.nn.Linear(2, 3)])
            >>> model.predict([[1.0, 2.0]]).shape
            (1, 3)
        """
        check_verbose("predict", verbose)
        step, parts = self.engine.predict(self), []
        listeners = CallbackList(callbacks, "predict")
        listeners.bind(self, {"verbose": verbose})
        listeners.tell("on_predict_begin", None)
        with evaluating(self):
            for number, batch in enumerate(self._inputs(x, batch_size, steps)):
                listeners.tell("on_predict_batch_begin", number, {})
                output = step(*batch)
                leaves = tree.leaves(output)
                if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
                    raise ArgumentError(
                        f"predict: forward returned {type(output).__name__}; need tensors"
                    )
                parts.append(tree.map(lambda leaf: leaf.numpy(), output))
                listeners.tell("on_predict_batch_end", number, {"outputs": parts[-1]})
        listeners.tell("on_predict_end", None)
        if len(parts) == 1:
            return parts[0]
        return tree.map(lambda *each: np.concatenate(each), *parts)

    def _inputs(self, x: Any, batch_size: int | None, steps: int | None) -> Any:
        dtype, size = self.float_dtype, batch_size or EVALUATION_BATCH
        if not is_arrays(x):
            source: Source = Stream(x, dtype, "predict", steps, takes_nan=True, whole=False)
            return source.batches(0)
        parts = arrays_of({"x": x}, dtype, "predict", True)
        if len(tree.leaves(parts)[0]) <= size:
            source = Arrays(parts, size, False, None, "predict")
            return [tree.map(Tensor, parts)]
        return Arrays(parts, size, False, None, "predict", steps).batches(0)

    # One batch

    @checked
    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:  # fmt: skip
        """One step on one batch; returns its loss, or [loss, metrics...], or a dict of them.

        Errors: as `fit`.

        Example:
            >>> import ambos as am
            >>> model = am.Sequential([am.nn.Linear(2, 1)])
            >>> model.compile("sgd", "mse")
            >>> loss = model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
        """
        recipe, plan = Recipe(class_weight=class_weights_of(class_weight)), self.plan
        batch = self._batch("train_on_batch", x, y, sample_weight)
        note_shapes(self, batch)
        if not plan.optimizer.param_groups:
            plan.optimizer.attach(self.named_parameters())
        self.train()
        averages(plan.optimizer, False)
        plan.optimizer.zero_grad()
        engine = self.engine
        return self._on_batch(engine.train(self, recipe), engine.training, batch, return_dict)

    @checked
    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Loss and metrics of one batch, as `train_on_batch` returns them, without training."""
        batch = self._batch("test_on_batch", x, y, sample_weight)
        engine, _ = self.engine, self.plan
        with evaluating(self):
            return self._on_batch(engine.test(self, Recipe()), engine.testing, batch, return_dict)

    test_on_batch.__test__ = False  # type: ignore[attr-defined]

    @checked
    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        return self.predict(x, batch_size=1 << 62)

    def _batch(self, op: str, x: Any, y: Any, weight: Any) -> Batch:
        given = {"x": x, "y": y, "sample_weight": weight}
        found: Batch = tree.map(Tensor, arrays_of(given, self.float_dtype, op, self.takes_nan))
        return found

    def _on_batch(self, step: Any, totals: Totals, batch: Batch, return_dict: bool) -> Any:
        totals.zero()
        totals.collect(step(*batch))
        logs = totals.results()
        if return_dict:
            return logs
        return logs["loss"] if list(logs) == ["loss"] else list(logs.values())

    @property
    def float_dtype(self) -> DType:
        """The dtype of the parameters, which inputs are converted to."""
        for parameter in self.parameters():
            if parameter.dtype.is_floating:
                return parameter.dtype
        return float32


def class_weights_of(given: Any) -> tuple[tuple[int, float], ...]:
    """{class: weight}, or a list by class, as pairs.

    Errors: ArgumentError for anything else and for negative weights.
    """
    if given is None:
        return ()
    pairs = given.items() if isinstance(given, Mapping) else enumerate(np.asarray(given).tolist())
    try:
        found = tuple(sorted((int(label), float(weight)) for label, weight in pairs))
    except (TypeError, ValueError):
        raise ArgumentError(
            f"fit: class_weight is {given!r}; need weights by class: {{0: 1.0, 1: 5.0}}"
        ) from None
    if not found or any(label < 0 or not 0 <= weight < float("inf") for label, weight in found):
        raise ArgumentError(f"fit: class_weight is {given!r}; need classes >= 0, weights >= 0")
    return found
