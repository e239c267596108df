"""The loops of `fit`, `evaluate` and `predict`: epochs over batches, with validation, callbacks
and a display. All that changes while a training runs is in its `Run`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from sys import getrefcount
from typing import Any

import numpy as np

from ambos.core import tree
from ambos.core.dtype import float16
from ambos.core.errors import AmbosError, ArgumentError, depth_of_user
from ambos.core.misuse import foreign
from ambos.optim import Optimizer
from ambos.tensor.handle import Tensor
from ambos.tensor.ledger import ledger
from ambos.train import trackers
from ambos.train.batches import Batch, Source, placed, size_of
from ambos.train.callbacks import CallbackList, History, ProgressBar
from ambos.train.callbacks.dispatch import FROM_ZERO, listed
from ambos.train.callbacks.monitor import validates
from ambos.train.interrupt import Interrupt
from ambos.train.logs import LazyLogs
from ambos.train.recipe import Recipe
from ambos.train.run import Run

HELD = 2  # references to logs that nobody but the loop holds


class Fit:
    """Epochs over batches, with validation, callbacks and a display."""

    def __init__(
        self, model: Any, source: Source, validation: Source | None, recipe: Recipe,
        epochs: int, callbacks: Any, verbose: Any, validation_freq: Any = 1,
    ) -> None:  # fmt: skip
        self.model, self.plan, self.source, self.validation = model, model.plan, source, validation
        self.recipe, self.epochs, self.validation_freq = recipe, epochs, validation_freq
        self.history, self.verbose = History(), verbose
        self.bar = ProgressBar(verbose) if verbose else None
        shown = [self.history] if self.bar is None else [self.history, self.bar]
        told = sorted([*listed(callbacks, "fit"), *shown], key=lambda callback: callback.is_last)
        self.callbacks = CallbackList(told)
        self.run = Run(model, source, self.callbacks, recipe)

    def resume(self, state: Mapping[str, Any]) -> None:
        """Begin where `state` was taken."""
        self.begin()
        self.run.load_state_dict(state)

    def __call__(self) -> History:
        model, start = self.model, ledger.count
        if model.engine.training.is_under_way:
            raise ArgumentError(
                "fit: this model is being trained already; need to wait for the end of that, or "
                "model.train_on_batch(x, y) for a step in a callback"
            )
        self.begin()
        engine = model.engine
        engine.stop_training = self.run.is_resumed and engine.stop_training
        engine.history, engine.run = self.history, self.run
        params = {
            "epochs": self.epochs, "steps": self.source.steps, "verbose": self.verbose,
            "validation_freq": self.validation_freq,
        }  # fmt: skip
        self.callbacks.bind(model, params)
        for callback in self.callbacks.callbacks:
            state = callback.saved_run()
            if state is not None:
                self.run.load_state_dict(state)
        interrupt = Interrupt()
        try:
            with interrupt, engine.training.passing():
                self.callbacks.tell("on_train_begin", None)
                for epoch in range(self.run.epoch, self.epochs):
                    if model.stop_training and not self.run.batch:  # else the epoch has an end yet
                        break
                    self._epoch(epoch, interrupt)
        except KeyboardInterrupt:
            self.history.interrupted = True
            self.run.is_interrupted = not interrupt.pending  # a second one may cut a batch
            self._interrupted()
        except Exception as error:
            foreign(error)  # the arguments were taken: what fails now is no misuse of them
            raise
        finally:
            self._close()
            self.history.compilations = ledger.since(start)
        self.callbacks.tell("on_train_end", None)
        return self.history

    def begin(self) -> None:
        """Before the first batch."""
        model, optimizer = self.model, self.plan.optimizer
        if not optimizer.param_groups:
            optimizer.attach(model.named_parameters())
        else:
            warn_of_strangers(model, optimizer)
        refuse_vanishing(optimizer)
        if not self.run.is_resumed:
            model.zero_grad()  # those that its own optimizers have, too
            optimizer.zero_grad()
            model.engine.prepare(model, self.recipe)

    def _interrupted(self) -> None:
        if self.bar is not None:
            self.bar.close()
        if self.verbose:
            print(
                f"interrupted in epoch {self.run.epoch + 1} after batch {self.run.batch}: the "
                "model keeps what it has learnt"
            )

    def _close(self) -> None:
        averages(self.plan.optimizer, True)
        self.callbacks.close()
        self.source.close()

    # An epoch

    def _epoch(self, epoch: int, interrupt: Interrupt) -> None:
        model, run, totals = self.model, self.run, self.model.engine.training
        schedule, optimizer = self.plan.schedule, self.plan.optimizer
        run.epoch = epoch
        if not run.is_resumed:
            run.batch = 0
        if not run.batch:  # a state of an epoch's end has that epoch's sums
            totals.zero()
            trackers.reset(model)
        run.is_resumed = False
        self.callbacks.tell("on_epoch_begin", epoch, None)
        averages(optimizer, False)
        if schedule is not None:
            schedule.begin(optimizer, run.updates)
        self._batches(epoch, interrupt)
        if schedule is not None and schedule.each == "epoch":
            schedule.step(optimizer, epoch + 1)
        averages(optimizer, True)
        logs = totals.results(checked=True)
        if self.validation is not None and validates(self.validation_freq, epoch):
            found = measure(model, self.validation, self.callbacks)
            logs |= {f"val_{name}": value for name, value in found.items()}
        run.epoch, run.batch = epoch + 1, 0
        self.history.add(epoch, logs)
        self.callbacks.tell("on_epoch_end", epoch, logs)
        interrupt.check()

    def _batches(self, epoch: int, interrupt: Interrupt) -> None:
        model, run, totals = self.model, self.run, self.model.engine.training
        before = self.callbacks.hooks["on_train_batch_begin"]
        after = self.callbacks.hooks["on_train_batch_end"]
        tell, schedule = self.callbacks.tell, self.plan.schedule
        turns = schedule is not None and schedule.each == "update"
        check, engine = interrupt.check, model.engine
        update = engine.train(model, self.recipe)
        collect = engine.train(model, self.recipe.collecting())
        number = run.batch
        if engine.stop_training:  # before it was written down
            return
        try:
            for batch, is_update in self.turns(epoch, number):
                note_shapes(model, batch)
                if before:
                    tell("on_train_batch_begin", number, {}, epoch=epoch)
                rest = (update if is_update else collect)(*batch)
                if rest:
                    totals.collect(rest, size_of(batch))
                if is_update:
                    run.updates += 1
                    if turns:
                        schedule.step(self.plan.optimizer, run.updates)
                run.batch = number + 1
                if after:
                    logs = LazyLogs(totals.results)
                    tell("on_train_batch_end", number, logs, epoch=epoch)
                    if getrefcount(logs) > HELD:  # somebody will read them later: these numbers
                        logs.settled()
                check()
                if engine.stop_training:
                    return
                number += 1
                del batch  # the next one may lie where this did, in memory that is in the caches
        except Exception as error:
            raise located(error, f"batch {number} of epoch {epoch}") from error.__cause__

    def turns(self, epoch: int, start: int) -> Iterator[tuple[Batch, bool]]:
        """Batches, and whether each completes an update."""
        batches, recipe = self.source.batches(epoch, start), self.recipe
        if recipe.accumulate == 1:
            for batch in batches:
                yield batch, True
                del batch  # as the loop does
            return
        count = self.source.count()
        told = self._ahead(batches) if count is None else ((b, False) for b in batches)
        for number, (batch, is_last) in enumerate(told, start + 1):
            due = is_last or number % recipe.accumulate == 0 or number == count
            yield batch, due

    def _ahead(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, bool]]:
        """Each batch, and whether it is the last one, where only the next look can tell."""
        held = next(batches, None)
        while held is not None:
            self.run.before = self.source.state_dict()
            following = next(batches, None)
            yield held, following is None
            held = following
        self.run.before = None


def measure(
    model: Any, source: Source, callbacks: CallbackList, recipe: Recipe | None = None
) -> dict[str, Any]:  # fmt: skip
    """Averages of loss and metrics over `source`."""
    engine, hooks = model.engine, callbacks.hooks
    step, totals, number = engine.test(model, recipe or Recipe()), engine.testing, 0
    callbacks.tell("on_test_begin", None)
    before, after = hooks["on_test_batch_begin"], hooks["on_test_batch_end"]
    with engine.sums, trackers.passing(model), totals.passing():
        totals.zero()
        try:
            source.rewind()
            for batch in source.batches(0):
                if before:
                    callbacks.tell("on_test_batch_begin", number, {})
                rest = step(*batch)
                if rest:
                    totals.collect(rest, size_of(batch))
                if after:
                    callbacks.tell("on_test_batch_end", number, LazyLogs(totals.results))
                number += 1
        except Exception as error:
            where, trained = f"batch {number} of {source.name}", source.op == "fit"
            raise located(error, where, trained) from error.__cause__
        logs = totals.results(checked=True)
    callbacks.tell("on_test_end", logs)
    return logs


def predicted(model: Any, batches: Iterable[Batch], callbacks: CallbackList) -> Any:
    """The outputs for `batches`, one below the other, as NumPy arrays."""
    step, parts = model.engine.predict(model), list[Any]()
    callbacks.tell("on_predict_begin", None)
    try:
        for batch in batches:
            number = len(parts)
            callbacks.tell("on_predict_batch_begin", number, {})
            output = step(*batch)
            leaves = tree.leaves(output)
            if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
                raise ArgumentError(
                    f"predict: forward returned {type(output).__name__}; need tensors"
                )
            parts.append(tree.map(lambda leaf: leaf.numpy(), output))
            callbacks.tell("on_predict_batch_end", number, {"outputs": parts[-1]})
    except Exception as error:
        raise located(error, f"batch {len(parts)} of x", False) from error.__cause__
    callbacks.tell("on_predict_end", None)
    if len(parts) == 1:
        return parts[0]
    return tree.map(lambda *each: np.concatenate(each), *parts)


def averages(optimizer: Optimizer, shown: bool) -> None:
    """Let an optimizer that keeps averages of the weights put those in their place, or take them
    out again."""
    switch = getattr(optimizer, "eval" if shown else "train", None)
    if switch is not None and optimizer.param_groups:
        switch()


def located(error: Exception, where: str, trained: bool = True) -> Exception:
    """The same error with the batch that it met, and, where it was `trained`, what became of the
    model; what a callback raised says so itself."""
    notes = getattr(foreign(error), "__notes__", ())
    if any(FROM_ZERO in note for note in notes):
        return error
    if isinstance(error, AmbosError):
        return placed(error, where)
    kept = "; the model keeps what it has learnt, model.history the numbers so far" * trained
    error.add_note(f"in {where}, {FROM_ZERO}{kept}")
    return error


def warn_of_strangers(model: Any, optimizer: Optimizer) -> None:
    """Say which parameters are not trained since they took the place of others, which the
    optimizer has; one that was given only some of the model's is meant so.

    Errors: ArgumentError for the optimizer of another model, which would train nothing.
    """
    own = dict(model.named_parameters())
    known = {id(parameter) for parameter in optimizer.parameters()}
    present = {id(parameter) for parameter in own.values()}
    strange = [name for name, p in own.items() if id(p) not in known and p.requires_grad]
    if known <= present or not strange:
        return
    if not known & present:
        raise ArgumentError(
            f"fit: the optimizer ({type(optimizer).__name__}) has the parameters of another model; "
            "need one of its own: model.compile(...) with a new optimizer"
        )
    warnings.warn(
        f"fit: {', '.join(map(repr, strange[:3]))}{' and others' * (len(strange) > 3)} came into "
        "the model after the optimizer had taken its parameters, so they are not trained; need "
        "model.compile(...) again",
        stacklevel=depth_of_user(),
    )


def refuse_vanishing(optimizer: Optimizer) -> None:
    """Refuse what rounds to nothing in the dtype of the parameters, and would divide by it.

    Errors: ArgumentError.
    """
    for group in optimizer.param_groups:
        eps = group.get("eps")
        narrow = any(parameter.dtype is float16 for parameter in group["params"])
        if narrow and isinstance(eps, float) and eps and not np.float16(eps):
            raise ArgumentError(
                f"fit: the parameters are float16, in which eps={eps} of "
                f"{type(optimizer).__name__} is 0, so that small gradients give NaN; need "
                "eps=1e-4, or the model in float32 with precision='float16'"
            )


def note_shapes(model: Any, batch: Batch) -> None:
    """Remember the shapes of a first batch, which `summary` shows later."""
    if model.engine.example is None:
        model.engine.example = tree.map(lambda leaf: Tensor(np.zeros_like(leaf)), batch[0])
