"""LRFinder."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from ambos.core.arguments import number, positive, share
from ambos.core.errors import ArgumentError
from ambos.tensor.random import default_generator
from ambos.train import sizes
from ambos.train.callbacks.base import Callback, Logs
from ambos.train.callbacks.rates import groups_of


class LRFinder(Callback):
    """Which learning rates train: `fit` with it raises the rate from `min_lr` to `max_lr` within
    `num_steps` batches, or until the loss is `stop_at` times the best, and leaves model, optimizer
    and random state as they were (lazy layers keep the sizes that they
    got, with new initial numbers). Afterwards `rates`,
    `losses` (smoothed by `beta`), `suggestion()` and `plot()`.

    Errors: ArgumentError for settings outside their range, where the model was compiled with a
        schedule, and for a suggestion of too few steps.
    Source: Smith (2017), "Cyclical learning rates for training neural networks".

    Example:
        >>> import ambos as am
        >>> model = am.Sequential([am.nn.Linear(2, 1)])
        >>> model.compile(am.optim.SGD(lr=0.5), "mse")
        >>> x = np.random.default_rng(0).normal(size=(64, 2))
        >>> finder = LRFinder(1e-4, 10.0, num_steps=40)
        >>> history = model.fit(x, x[:, :1], batch_size=8, epochs=5, verbose=0, callbacks=[finder])
        >>> 1e-3 < finder.suggestion() < 10, model.optimizer.lr
        (True, 0.5)
    """

    def __init__(
        self,
        min_lr: float = 1e-7,
        max_lr: float = 1.0,
        num_steps: int = 100,
        stop_at: float | None = 4.0,
        beta: float = 0.98,
    ) -> None:
        self.min_lr, self.max_lr = number("LRFinder: min_lr", min_lr), number("max_lr", max_lr)
        if not 0 < self.min_lr < self.max_lr:
            raise ArgumentError(
                f"LRFinder: min_lr is {min_lr} and max_lr {max_lr}; need 0 < min_lr < max_lr"
            )
        self.num_steps = positive("LRFinder: num_steps", num_steps, least=2)
        self.stop_at, self.beta = stop_at, share("LRFinder: beta", beta)
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._before: tuple[Any, ...] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        groups_of(self)
        self.rates, self.losses, self._smooth, self._seen = [], [], 0.0, (0.0, 0.0)
        self._lazy = sizes.unsized(self.model)
        state = {n: value for n, value in self.model.state_dict().items() if n not in self._lazy}
        optimizer = copy.deepcopy(self.model.optimizer.state_dict())
        self._before = state, optimizer, default_generator.get_state()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._seen = 0.0, 0.0

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        part = len(self.rates) / (self.num_steps - 1)
        self.model.optimizer.lr = self.min_lr * (self.max_lr / self.min_lr) ** part

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        # Logs are means over the epoch so far; this is what the batch alone added to them.
        rows = self.model.engine.training.rows("loss")
        total, (before, count) = float((logs or {})["loss"]) * rows, self._seen
        loss, self._seen = (total - before) / (rows - count), (total, rows)
        self.rates.append(float(self.model.optimizer.lr))
        self._smooth = self.beta * self._smooth + (1 - self.beta) * loss
        smooth = self._smooth / (1 - self.beta ** len(self.rates))
        best = min(self.losses, default=math.inf)
        self.losses.append(smooth)
        diverged = (
            self.stop_at is not None and len(self.losses) > 2 and smooth > self.stop_at * best
        )
        if diverged or not math.isfinite(loss) or len(self.rates) == self.num_steps:
            self.model.stop_training = True

    def close(self) -> None:
        if self._before is None:
            return
        (state, optimizer, random), self._before = self._before, None
        default_generator.set_state(random)
        sizes.draw_again(self.model, self._lazy)
        self.model.load_state_dict(state, strict=False)  # all but what is drawn anew
        self.model.optimizer.load_state_dict(optimizer)

    def suggestion(self, skip_begin: int = 10, skip_end: int = 1) -> float:
        """The rate at which the loss falls most steeply, some first and last steps left out."""
        last = len(self.losses) - skip_end
        losses, rates = np.array(self.losses[skip_begin:last]), self.rates[skip_begin:last]
        finite = np.isfinite(losses)
        if finite.sum() < 2:
            raise ArgumentError(
                f"suggestion: {len(self.losses)} steps were made; need more than "
                f"{skip_begin + skip_end + 1}: more epochs, or a smaller skip_begin"
            )
        slopes = np.gradient(losses[finite], np.log(np.array(rates)[finite]))
        return float(np.array(rates)[finite][slopes.argmin()])

    def plot(self, suggest: bool = True, ax: Any = None) -> Any:
        """The loss by learning rate, drawn by matplotlib; returns the figure."""
        import matplotlib.pyplot as plt

        axes = plt.figure().add_subplot() if ax is None else ax
        axes.plot(self.rates, self.losses)
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
        if suggest:
            rate = self.suggestion()
            axes.axvline(rate, linestyle="--", color="gray", label=f"suggestion {rate:.2g}")
            axes.legend()
        return axes.figure
