"""What makes a module a Model: `fit`, `evaluate`, `predict`, and the same for one batch."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import Any

from ambos.core import tree
from ambos.core.arguments import checked, positive, share
from ambos.data.collate import copied
from ambos.train import trackers
from ambos.train.batches import Batch, arrays_of, size_of
from ambos.train.callbacks import BackupAndRestore, CallbackList, History
from ambos.train.callbacks.dispatch import listed
from ambos.train.fitting import Fit, averages, measure, note_shapes, predicted
from ambos.train.naming import called
from ambos.train.progress import check_verbose
from ambos.train.recipe import Recipe, class_weights_of, classes_of, recipe_of
from ambos.train.scores import Scores
from ambos.train.source import loop_of
from ambos.train.sources import (
    inputs_of,
    kinds_of,
    parts_of,
    refuse_empty,
    source_of,
    training_data,
    validation_of,
)
from ambos.train.stepping import Stepping
from ambos.train.totals import Totals


class Trainable(Stepping):
    """See Model."""

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
        validation_freq: int | Iterable[int] = 1,
        seed: int | None = None,
        accumulate: int = 1,
        clip_norm: float | None = None,
        precision: str | None = None,
        resume: Any = None,
    ) -> History:
        """Train on arrays `x, y`, or on an iterable of batches (x, y) or (x, y, sample_weight).

        `x` may be a tuple or a dict of arrays for several inputs, tensors, pandas, a loader, or a
        Dataset: of examples, of which `batch_size` make a batch (32), or with `.batch(...)` in it.
        With `steps_per_epoch` an epoch has so many batches and goes on where the last one stopped.
        `validation_split` sets the last part of the arrays aside, before shuffling, unless there is
        `validation_data`: (x, y), (x, y, sample_weight) or an iterable of batches. It comes
        after every `validation_freq`-th epoch, or after those of a list, counted from 1. Weights of
        classes ({class: weight}) and of samples multiply. `accumulate` batches make one update, the
        same as of one large batch; gradients are cut to `clip_norm`. `precision` is "float32",
        "bfloat16" or "float16". Ctrl-C ends training after the current batch: the model keeps what
        it has learnt, and the History, with `interrupted` set, comes back as usual; after an error
        `model.history` has it. `resume` names a folder: every epoch leaves a checkpoint there, and
        a training that crashed goes on from the newest one (`am.callbacks.BackupAndRestore`); or it
        is what `model.run.state_dict()` gave.

        Errors: ArgumentError, ShapeError, UnknownNameError for a misspelt keyword. One about data
            names the argument and the batch.

        Example:
            >>> import numpy as np
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
        if isinstance(validation_freq, Iterable):
            epochs_of = list(validation_freq)
            validation_freq = [positive("fit: validation_freq", each) for each in epochs_of]
        else:
            positive("fit: validation_freq", validation_freq)
        check_verbose("fit", verbose)
        check_sizes("fit", steps_per_epoch=steps_per_epoch, validation_steps=validation_steps,
                    validation_batch_size=validation_batch_size)  # fmt: skip
        recipe = recipe_of("fit", plan.optimizer, accumulate, clip_norm, precision, class_weight)
        share("fit: validation_split", validation_split)
        if validation_data is not None:
            validation_split = 0.0  # as in Keras: all rows are trained on
        source, held_out = training_data(
            self, x, y, sample_weight, batch_size, shuffle, seed, steps_per_epoch, validation_split
        )
        validation = validation_of(
            self, validation_data, held_out, validation_batch_size, max(batch_size or 0, 128),
            validation_steps,
        )  # fmt: skip
        if isinstance(resume, (str, PathLike)):
            keeper = BackupAndRestore(resume, delete_checkpoint=False)
            callbacks, resume = [*listed(callbacks, "fit"), keeper], None
        run = Fit(self, source, validation, recipe, epochs, callbacks, verbose, validation_freq)
        run.run.epoch = initial_epoch
        plan.fitted = {
            "batch_size": batch_size or 32, "epochs": epochs, "shuffle": shuffle, "seed": seed,
            "initial_epoch": initial_epoch, "steps_per_epoch": steps_per_epoch, "recipe": recipe,
            "validation_split": validation_split, "validation_freq": validation_freq,
            "validation_steps": validation_steps, "validation_batch_size": validation_batch_size,
            "columns": kinds_of(self, source, x, y, sample_weight),
            "held_out": kinds_of(self, validation, *parts_of(validation_data)),
            "batches": getattr(source, "note", None),
            "held_out_batches": getattr(validation, "note", None),
        }  # fmt: skip
        if resume is not None:
            run.resume(resume)
        return run()

    @checked
    def loop_source(self, **arguments: Any) -> str:
        """The text of a plain Python loop which, executed with `model`, `x` and `y`, gives the
        weights that `fit` gives, bit by bit. `arguments` are those of `fit`; without any, those of
        the last call of it. Where that read a loader or another iterable of batches, `x` is one
        that gives these batches again, and there is no `y`. Validation data is called `x_val`,
        `y_val` and `sample_weight_val` there.
        A `train_step` of the model's own is called there, as `fit` calls it.

        Errors: UnknownNameError for what is no argument of `fit`; ArgumentError with LBFGS, for
            batches of kinds that one loop cannot take, and for arguments that would change the
            batches of an iterable.

        Example:
            >>> import numpy as np
            >>> import ambos as am
            >>> model = am.Sequential([am.nn.Linear(2, 1)])
            >>> model.compile("sgd", "mse")
            >>> "loss = F.mse_loss(output, targets)" in model.loop_source(epochs=3)
            True
        """
        return loop_of(self, arguments)

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
        return_dict: bool | None = None,
    ) -> Any:
        """Loss and metrics on arrays or on an iterable of batches, without training.

        They can be taken by name, as `scores["accuracy"]`, and apart, as `loss, accuracy = scores`;
        a plain dictionary comes with `return_dict=True`, Keras's list, or the loss if there is
        nothing else, with `return_dict=False`.

        Errors: ArgumentError before `compile`, and as `fit`.

        Example:
            >>> import numpy as np
            >>> import ambos as am
            >>> model = am.Sequential([am.nn.Linear(2, 2)])
            >>> model.compile("sgd", "mse")
            >>> scores = model.evaluate(np.ones((4, 2)), np.ones((4, 2)))
            >>> scores.keys()
            ['loss']
        """
        check_verbose("evaluate", verbose)
        check_sizes("evaluate", batch_size=batch_size, steps=steps)
        self.plan  # noqa: B018  # raises before anything is read
        source = source_of(
            self, "evaluate", x, y, sample_weight, batch_size=batch_size, steps=steps
        )
        listeners = CallbackList(callbacks, "evaluate")
        listeners.bind(self, {"steps": source.steps, "verbose": verbose})
        with called("evaluate"):
            logs = measure(self, source, listeners)
        if verbose:
            print("  ".join(f"{name} {value:.4f}" for name, value in logs.items()))
        return Scores(logs) if return_dict is None else _returned(logs, return_dict)

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
        check_sizes("predict", batch_size=batch_size, steps=steps)
        listeners = CallbackList(callbacks, "predict")
        listeners.bind(self, {"verbose": verbose})
        return predicted(self, inputs_of(self, x, batch_size, steps), listeners)

    # One batch

    @checked
    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:  # fmt: skip
        """One step on one batch; returns its loss, or [loss, metrics...], or a dict of them.

        Errors: as `fit`.

        Example:
            >>> import numpy as np
            >>> import ambos as am
            >>> model = am.Sequential([am.nn.Linear(2, 1)])
            >>> model.compile("sgd", "mse")
            >>> loss = model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
        """
        engine, plan = self.engine, self.plan
        with called("train_on_batch"):
            weights = class_weights_of(class_weight)
            recipe = Recipe(class_weight=weights, classes=classes_of(class_weight))
            batch = self._batch("train_on_batch", x, y, sample_weight)
            note_shapes(self, batch)
            if not plan.optimizer.param_groups:
                plan.optimizer.attach(self.named_parameters())
            averages(plan.optimizer, False)
            plan.optimizer.zero_grad()
            return self._on_batch(engine.train(self, recipe), engine.training, batch, return_dict)

    @checked
    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Loss and metrics of one batch, as `train_on_batch` returns them, without training."""
        batch = self._batch("test_on_batch", x, y, sample_weight)
        engine, _ = self.engine, self.plan
        with engine.sums, called("test_on_batch"):
            return self._on_batch(engine.test(self, Recipe()), engine.testing, batch, return_dict)

    test_on_batch.__test__ = False  # type: ignore[attr-defined]

    @checked
    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        return self.predict(x, batch_size=1 << 62)

    def _batch(self, op: str, x: Any, y: Any, weight: Any) -> Batch:
        given = {"x": x, "y": y, "sample_weight": weight}
        refuse_empty(op, **given)
        found: Batch = tree.map(copied, arrays_of(given, self.float_dtype, op, self.takes_nan))
        return found

    def _on_batch(self, step: Any, totals: Totals, batch: Batch, return_dict: bool) -> Any:
        with trackers.passing(self), totals.passing():
            totals.zero()
            totals.collect(step(*batch), size_of(batch))
            logs = totals.results()
        return _returned(logs, return_dict)


def _returned(logs: dict[str, Any], as_dict: bool) -> Any:
    """As Keras's methods return numbers."""
    if as_dict:
        return logs
    return logs["loss"] if list(logs) == ["loss"] else list(logs.values())


def check_sizes(op: str, **sizes: int | None) -> None:
    for name, size in sizes.items():
        if size is not None:
            positive(f"{op}: {name}", size)
