"""StochasticWeightAveraging."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ambos.core.arguments import number, positive
from ambos.core.errors import ArgumentError, depth_of_user
from ambos.nn.normalization import Norm
from ambos.nn.utils.swa_utils import update_bn
from ambos.tensor.handle import Tensor
from ambos.tensor.jit import jit
from ambos.tensor.modes import no_grad
from ambos.train.callbacks.base import Logs
from ambos.train.callbacks.rates import groups_of
from ambos.train.callbacks.remembering import Remembering
from ambos.train.callbacks.weights import Weights, as_weights, give, settled_by, trained

STRATEGIES = {"cos": lambda part: (1 - math.cos(math.pi * part)) / 2, "linear": lambda part: part}


class StochasticWeightAveraging(Remembering):
    """The mean of the weights at the end of every epoch from `swa_epoch_start` on (a number of
    epochs, or a share of them), which the model has when training is over. Meanwhile learning rates
    go to `swa_lrs` within `annealing_epochs`. The statistics of batch normalization are taken anew
    from `data` (batches, or tuples whose first element is the input).

    Errors: ArgumentError for settings outside their range, and where the model was compiled with a
        schedule. A UserWarning where the model has batch normalization and there is no `data`.
    Source: Izmailov et al. (2018), "Averaging weights leads to wider optima and better
        generalization".

    Example:
        >>> StochasticWeightAveraging(swa_lrs=1e-2, swa_epoch_start=0.5).first(10)
        5
    """

    remembered = ("averages", "count", "rates")

    def __init__(
        self,
        swa_lrs: float | None = None,
        swa_epoch_start: float = 0.8,
        annealing_epochs: int = 10,
        annealing_strategy: str = "cos",
        data: Iterable[Any] | None = None,
    ) -> None:
        name = type(self).__name__
        self.swa_lrs = None if swa_lrs is None else number(f"{name}: swa_lrs", swa_lrs)
        whole = isinstance(swa_epoch_start, int)
        if (
            isinstance(swa_epoch_start, bool)
            or swa_epoch_start < 0
            or (not whole and swa_epoch_start > 1)
        ):
            raise ArgumentError(
                f"{name}: swa_epoch_start is {swa_epoch_start!r}; need a number of epochs, or a "
                "share of them from 0.0 to 1.0"
            )
        if annealing_strategy not in STRATEGIES:
            raise ArgumentError(
                f"{name}: annealing_strategy is {annealing_strategy!r}; need 'cos' or 'linear'"
            )
        self.swa_epoch_start, self.data = swa_epoch_start, data
        self.annealing_epochs = positive(f"{name}: annealing_epochs", annealing_epochs, least=0)
        self.annealing_strategy = annealing_strategy
        self.joined = jit(
            lambda averages, weights, share: {
                n: own + (weights[n] - own) * share.to(own.dtype) for n, own in averages.items()
            }
        )
        self.fresh()

    def fresh(self) -> None:
        self.averages: Weights | None = None
        self.count = 0
        self.rates: list[float] | None = None  # of the groups, when averaging began

    def first(self, epochs: int) -> int:
        """The first epoch that is averaged."""
        start = self.swa_epoch_start
        return start if isinstance(start, int) else int(start * epochs)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        if self.swa_lrs is not None:
            groups_of(self)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        since = epoch - self.first(self.params["epochs"])
        if self.swa_lrs is None or since < 0:
            return
        groups = groups_of(self)
        if self.rates is None:
            self.rates = [float(group["lr"]) for group in groups]
        part = min(1.0, since / self.annealing_epochs) if self.annealing_epochs else 1.0
        share = STRATEGIES[self.annealing_strategy](part)
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate + (self.swa_lrs - rate) * share

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if epoch < self.first(self.params["epochs"]):
            return
        weights = trained(self.model)
        if self.averages is None:
            self.averages = weights
        else:
            with no_grad():
                share = Tensor(np.float32(1 / (self.count + 1)))  # a tensor: recorded once
                self.averages = self.joined(self.averages, weights, share)
        self.count += 1

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict({**state, "averages": as_weights(state["averages"])})

    def on_train_end(self, logs: Logs | None = None) -> None:
        super().on_train_end(logs)
        if self.averages is None:
            return
        other = settled_by(self)
        if other is not None:
            warnings.warn(
                f"StochasticWeightAveraging: {type(other).__name__} leaves the weights of the best "
                "epoch in the model, not the mean; need one of the two",
                stacklevel=depth_of_user(),
            )
            return
        give(self.model, self.averages)
        norms = [m for m in self.model.modules() if isinstance(m, Norm) and m.track_running_stats]
        if norms and self.data is None:
            warnings.warn(
                "StochasticWeightAveraging: the statistics of batch normalization are those of the "
                "last weights, not of their mean; need data=..., or nn.utils.swa_utils.update_bn",
                stacklevel=depth_of_user(),
            )
        elif norms and self.data is not None:
            update_bn(self.data, self.model)
