"""One call of `fit`."""

from __future__ import annotations

from typing import Any

from ambos.core.arguments import positive, share
from ambos.core.errors import ArgumentError
from ambos.data.dataset import as_rows
from ambos.tensor.ledger import ledger
from ambos.train.callbacks import CallbackList, History, ProgressBar
from ambos.train.callbacks.dispatch import listed
from ambos.train.interrupt import Interrupt
from ambos.train.logs import LazyLogs
from ambos.train.loop import Batches, Plan, Totals, from_arrays, is_arrays, train_batch
from ambos.train.progress import check_verbose


class Fit:
    """Epochs over batches, with validation, callbacks and a display."""

    def __init__(self, model: Any, plan: Plan, epochs: int, callbacks: Any, verbose: Any) -> None:
        positive("fit: epochs", epochs)
        check_verbose("fit", verbose)
        self.model, self.plan, self.epochs, self.verbose = model, plan, epochs, verbose
        self.history = History()
        self.bar = ProgressBar(verbose) if verbose else None
        shown = [self.history] if self.bar is None else [self.history, self.bar]
        self.callbacks = CallbackList([*listed(callbacks, "fit"), *shown])
        self.held_out: tuple[Any, Any] | None = None
        self.batch = 0

    # Where batches come from

    def batches(
        self, x: Any, y: Any, batch_size: int, shuffle: bool, seed: int | None,
        steps: int | None, split: float,
    ) -> Batches:  # fmt: skip
        """Training batches; sets the last part of the arrays aside where `split` asks for it."""
        dtype = self.model.float_dtype
        share("fit: validation_split", split)
        if steps is not None:
            positive("fit: steps_per_epoch", steps)
        if not is_arrays(x):
            if y is not None:
                raise ArgumentError("fit: got an iterable of batches and y; need y in its pairs")
            if split:
                raise ArgumentError(
                    "fit: validation_split needs arrays; pass validation_data for an iterable"
                )
            return Batches(x, dtype, steps, "fit")
        if y is None:
            raise ArgumentError("fit: got x without y; need both, or an iterable of pairs (x, y)")
        x, y = as_rows(x), as_rows(y)
        if split:
            kept = len(x) - round(len(x) * split)
            if not 0 < kept < len(x):
                raise ArgumentError(
                    f"fit: validation_split={split} of {len(x)} examples leaves one side empty"
                )
            self.held_out = (x[kept:], y[kept:])
            x, y = x[:kept], y[:kept]
        found = from_arrays(x, y, dtype, batch_size, shuffle, seed, "fit")
        found.limit = steps
        return found

    def validation(self, data: Any, batch_size: int) -> Batches | None:
        """Validation batches, from `data` or from what was set aside."""
        data = self.held_out if data is None else data
        if data is None:
            return None
        dtype = self.model.float_dtype
        if isinstance(data, (tuple, list)) and len(data) == 2 and is_arrays(data[0]):
            size = max(batch_size, 128)
            return from_arrays(data[0], data[1], dtype, size, False, None, "fit")
        return Batches(data, dtype, None, "fit")

    # Running

    def __call__(self, batches: Batches, validation: Batches | None) -> History:
        model, training, start = self.model, self.model.training, ledger.count
        if not self.plan.optimizer.param_groups:
            self.plan.optimizer.attach(model.named_parameters())
        object.__setattr__(model, "stop_training", False)
        object.__setattr__(model, "history", self.history)
        params = {"epochs": self.epochs, "steps": batches.count(), "verbose": self.verbose}
        self.callbacks.bind(model, params)
        try:
            with Interrupt() as interrupt:
                self.callbacks.tell("on_train_begin", None)
                for epoch in range(self.epochs):
                    self._epoch(epoch, batches, validation, interrupt)
                    if model.stop_training:
                        break
        except KeyboardInterrupt:
            self.history.interrupted = True
            self._close()
            print(
                f"interrupted in epoch {len(self.history.epoch) + 1} after batch {self.batch}: "
                "the model keeps what it has learnt"
            )
        finally:
            self._close()
            model.train(training)
            self.history.compilations = ledger.since(start)
        self.callbacks.tell("on_train_end", None)
        return self.history

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def _epoch(
        self, epoch: int, batches: Batches, validation: Batches | None, interrupt: Interrupt
    ) -> None:
        totals = Totals(["loss", *self.plan.metrics])
        self.batch = 0
        tell, hooks = self.callbacks.tell, self.callbacks.hooks
        tell("on_epoch_begin", epoch, None)
        self.model.train()
        buffers = list(self.model.buffers())
        for number, (x, y) in enumerate(batches):
            if number == 0:
                object.__setattr__(self.model, "_example", x)
            if hooks["on_train_batch_begin"]:
                tell("on_train_batch_begin", number, {}, epoch=epoch)
            train_batch(self.model, self.plan, x, y, totals, buffers)
            self.batch = number + 1
            if hooks["on_train_batch_end"]:
                tell("on_train_batch_end", number, LazyLogs(totals.means), epoch=epoch)
            interrupt.check()
            if self.model.stop_training:
                break
        logs = totals.means()
        if validation is not None:
            tell("on_test_begin", None)
            measured = self.model.measure(self.plan, validation)
            tell("on_test_end", measured)
            logs |= {f"val_{name}": value for name, value in measured.items()}
        tell("on_epoch_end", epoch, logs)
        interrupt.check()
