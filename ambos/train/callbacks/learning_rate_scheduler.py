"""LearningRateScheduler."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ambos.core.errors import ArgumentError, ArgumentTypeError
from ambos.train.callbacks.base import Logs
from ambos.train.callbacks.monitor import say
from ambos.train.callbacks.rates import groups_of, rate_of
from ambos.train.callbacks.remembering import Remembering


class LearningRateScheduler(Remembering):
    """The learning rate of each epoch from `schedule(epoch, rate)` or `schedule(epoch)`. It joins
    the epoch's logs as "learning_rate".

    Errors: ArgumentTypeError for what cannot be called so; ArgumentError where it gives no number,
        and where the model was compiled with a schedule.

    Example:
        >>> halved = LearningRateScheduler(lambda epoch, rate: rate * 0.5)
        >>> halved.schedule(0, 0.1)
        0.05
    """

    remembered = ("epoch",)

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule, self.verbose = schedule, verbose
        self.takes_rate = _takes(schedule, 2)
        if not self.takes_rate and not _takes(schedule, 1):
            raise ArgumentTypeError(
                "LearningRateScheduler: schedule cannot be called with an epoch and a rate; need a "
                "function, such as lambda epoch, rate: rate * 0.95"
            )

        self.fresh()

    def fresh(self) -> None:
        self.epoch: int | None = None  # whose rate was set last

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict({"epoch": None, **state})  # older checkpoints have none

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        groups_of(self)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        groups_of(self)
        if epoch == self.epoch:  # it begins again, in the middle, with the rate that it had
            return
        now = rate_of(self)
        rate = self.schedule(epoch, now) if self.takes_rate else self.schedule(epoch)
        try:
            self.model.optimizer.lr = float(rate)
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"LearningRateScheduler: schedule({epoch}) gave {rate!r}; need a learning rate"
            ) from error
        self.epoch = epoch
        say(self.verbose, f"Epoch {epoch + 1}: learning rate set to {float(rate):.6g}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = rate_of(self)


def _takes(function: Callable[..., float], count: int) -> bool:
    """Can it be called with so many arguments?"""
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # no signature is known, as of some functions written in C
        return count == 1
    return True
