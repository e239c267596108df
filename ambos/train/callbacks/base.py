"""Callback: the hooks, under Keras's names."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ambos.core.arguments import Checked

Logs = MutableMapping[str, Any]


class Callback(metaclass=Checked):
    """Base: override the hooks that you need.

    `self.model` and `self.params` (epochs, steps, verbose) are set before anything else is called;
    `self.model.stop_training = True` ends training after the batch. `logs` are the numbers so far:
    those of an epoch may be added to, and what is added goes to the History. Those of a batch are
    looked at when they are read, so that a hook that does not read them costs nothing.

    What a callback has to remember in order to go on after a crash it hands out in `state_dict`
    (numbers, text, lists, dicts, arrays and tensors) and takes back in `load_state_dict`.

    Errors: UnknownNameError for a misspelt keyword; `fit` refuses a misspelt hook.

    Example:
        >>> class Watch(Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         print(epoch, sorted(logs))
        >>> import numpy as np
        >>> import ambos as am
        >>> model = am.Sequential([am.nn.Linear(2, 1)])
        >>> model.compile("sgd", "mse")
        >>> x, y = np.zeros((4, 2)), np.ones((4, 1))
        >>> history = model.fit(x, y, verbose=0, callbacks=[Watch()])
        0 ['loss']
    """

    model: Any = None
    params: MutableMapping[str, Any] = {}
    told_with: Any = None  # the CallbackList that it is in
    is_last = False  # are the others told first?
    settles_weights = False  # does it say which weights the model has when training is over?

    def set_model(self, model: Any) -> None:
        """The model that is trained, evaluated or asked."""
        self.model = model

    def set_params(self, params: MutableMapping[str, Any]) -> None:
        """What is known of the run: `epochs`, `steps` (None where nobody knows), `verbose`."""
        self.params = params

    def close(self) -> None:
        """Leave everything in order: after training, before `on_train_end`, also after an error."""

    def evaluated(self) -> AbstractContextManager[Any]:
        """While this is entered the model has the weights that are evaluated, where a callback
        evaluates others than those that are trained."""
        return nullcontext()

    def state_dict(self) -> dict[str, Any]:
        """What has to be remembered to go on after a crash."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with what `state_dict` handed out."""

    def saved_run(self) -> Mapping[str, Any] | None:
        """Where a training that ended too early was, for `fit` to go on from there."""
        return None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch, also when training was interrupted."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of training, counted from 0 in every epoch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of training: `logs` are the averages of this epoch so far."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """An older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """An older name of `on_train_batch_end`."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before `evaluate`, and before the validation of an epoch."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After `evaluate`, and after the validation of an epoch."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of evaluation or validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of evaluation or validation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before `predict`."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After `predict`."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of `predict`: `logs["outputs"]` are its outputs."""


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
OLDER = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}
