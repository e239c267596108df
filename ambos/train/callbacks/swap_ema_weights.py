"""SwapEMAWeights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ambos.core.arguments import share
from ambos.core.errors import ArgumentError
from ambos.tensor.jit import jit
from ambos.tensor.modes import no_grad
from ambos.train.callbacks.base import Logs
from ambos.train.callbacks.remembering import Remembering
from ambos.train.callbacks.weights import Weights, as_weights, give, settled_by, trained


class SwapEMAWeights(Remembering):
    """An exponential moving average of the weights, of which `momentum` stays at every batch. It is
    what is evaluated, what `predict` uses when it is given this callback, and what the model has
    when training is over; with `swap_on_epoch` also what later callbacks see when an epoch ends.
    What others keep as the best by a number of the validation (`EarlyStopping`, `ModelCheckpoint`)
    are the averages, wherever they stand. Buffers stay the model's.

    Errors: ArgumentError unless 0 <= momentum <= 1.

    Example:
        >>> SwapEMAWeights(momentum=0.99, swap_on_epoch=True).momentum
        0.99
    """

    remembered = ("averages", "own")

    def __init__(self, momentum: float = 0.99, swap_on_epoch: bool = False) -> None:
        if isinstance(momentum, bool):  # Keras's optimizers have the momentum
            raise ArgumentError(
                f"SwapEMAWeights: momentum is {momentum}; need a number from 0.0 to 1.0, or "
                f"swap_on_epoch={momentum}"
            )
        self.momentum = share("SwapEMAWeights: momentum", momentum)
        self.swap_on_epoch = swap_on_epoch
        self.averages: Weights = {}
        self.own: Weights | None = None  # the model's weights, while it has the averages
        self.draw = jit(self._drawn)

    def fresh(self) -> None:
        self.averages, self.own = {}, None

    def _drawn(self, averages: Weights, weights: Weights) -> Weights:
        keep = self.momentum
        return {name: averages[name] * keep + weights[name] * (1 - keep) for name in weights}

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        weights = trained(self.model)
        with no_grad():
            self.averages = self.draw(self.averages, weights) if self.averages else weights

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._take_out()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.swap_on_epoch:
            self._put_in()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._put_in()

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._take_out()

    on_predict_begin, on_predict_end = on_test_begin, on_test_end

    def close(self) -> None:
        self._take_out()  # an error may have come while the averages were in

    def on_train_end(self, logs: Logs | None = None) -> None:
        super().on_train_end(logs)
        if settled_by(self) is None:
            self._put_in()
        self.own = None

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        if self.own is not None:
            yield
            return
        self._put_in()
        try:
            yield
        finally:
            self._take_out()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict({name: as_weights(state[name]) for name in self.remembered})

    def _put_in(self) -> None:
        if self.own is None and self.averages:
            self.own = trained(self.model)
            give(self.model, self.averages)

    def _take_out(self) -> None:
        if self.own is not None:
            give(self.model, self.own)
            self.own = None


EMA = SwapEMAWeights
