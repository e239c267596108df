"""Averages of weights along the way, under the names of `torch.optim.swa_utils`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from ambos.core.arguments import share
from ambos.core.errors import ArgumentError
from ambos.nn.modes import in_mode
from ambos.nn.module import Module
from ambos.nn.normalization import Norm
from ambos.nn.parameter import assign
from ambos.tensor.handle import Tensor
from ambos.tensor.live import evaluate
from ambos.tensor.modes import no_grad
from ambos.tensor.pointwise import where
from ambos.tensor.tracing import current

Average = Callable[[Tensor, Tensor, Any], Tensor]
Averages = Callable[[list[Tensor], list[Tensor], Any], None]


def get_swa_avg_fn() -> Average:
    """The plain mean of all weights so far, one by one.

    Example:
        >>> import ambos as am
        >>> get_swa_avg_fn()(am.tensor(1.0), am.tensor(3.0), 1).item()
        2.0
    """
    return _mean


def _mean(average: Tensor, value: Tensor, count: Any) -> Tensor:
    return average + (value - average) / (count + 1)


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """The exponential moving average: decay * average + (1 - decay) * value.

    Errors: ArgumentError unless 0 <= decay <= 1.

    Example:
        >>> import ambos as am
        >>> get_ema_avg_fn(0.75)(am.tensor(1.0), am.tensor(3.0), 1).item()
        1.5
    """
    return partial(_faded, share("get_ema_avg_fn: decay", decay))


def _faded(kept: float, average: Tensor, value: Tensor, count: Any) -> Tensor:
    return average * kept + value * (1 - kept)


def get_swa_multi_avg_fn() -> Averages:
    """As `get_swa_avg_fn`, for lists of tensors, of which the first is changed in place.

    Example:
        >>> import ambos as am
        >>> averages = [am.tensor(1.0)]
        >>> get_swa_multi_avg_fn()(averages, [am.tensor(3.0)], 1)
        >>> averages
        [tensor(2.)]
    """
    return partial(_in_place, _mean)


def get_ema_multi_avg_fn(decay: float = 0.999) -> Averages:
    """As `get_ema_avg_fn`, for lists of tensors, of which the first is changed in place.

    Errors: ArgumentError unless 0 <= decay <= 1.

    Example:
        >>> import ambos as am
        >>> averages = [am.tensor(1.0)]
        >>> get_ema_multi_avg_fn(0.75)(averages, [am.tensor(3.0)], 1)
        >>> averages
        [tensor(1.5)]
    """
    return partial(_in_place, get_ema_avg_fn(decay))


def _in_place(average: Average, averages: list[Tensor], values: list[Tensor], count: Any) -> None:
    with no_grad():
        for own, value in zip(averages, values, strict=True):
            own.copy_(average(own, value, count))


class AveragedModel(Module):
    """A copy of a model whose weights are averages of the model's along the way: of all of them, or
    as `avg_fn(average, value, count)` says (`get_ema_avg_fn(0.999)`), or `multi_avg_fn(averages,
    values, count)`, which changes the averages in place. Buffers are averaged too with
    `use_buffers`, and otherwise copied.

    Errors: ArgumentError for a model of other parameters, and for both functions at once.
    Source: Izmailov et al. (2018), "Averaging weights leads to wider optima and better
        generalization".

    Example:
        >>> import ambos as am
        >>> net = am.nn.Linear(1, 1)
        >>> average = AveragedModel(net, avg_fn=get_ema_avg_fn(0.75))
        >>> for value in (1.0, 3.0):
        ...     net.weight.data = am.tensor([[value]])
        ...     average.update_parameters(net)
        >>> average.module.weight.item(), average.n_averaged.item()
        (1.5, 2)
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Averages | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError("AveragedModel: got avg_fn and multi_avg_fn; need one of them")
        self.module = copy.deepcopy(model).to(device=device)
        self.register_buffer("n_averaged", Tensor(np.asarray(0, np.int64)))
        self.avg_fn, self.multi_avg_fn = avg_fn, multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model makes of its input."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the weights of `model` into the averages; the first ones are copied."""
        pairs = self._pairs(model.named_parameters(), self.module.named_parameters())
        buffers = self._pairs(model.named_buffers(), self.module.named_buffers())
        if self.use_buffers:
            pairs, buffers = pairs + buffers, []
        with no_grad():
            values = [value.detach().to(own.dtype) for value, own in pairs]
            averages = self._averaged([own.detach() for _, own in pairs], values)
            for (_, own), average in zip(pairs, averages, strict=True):
                assign(own, average)
            for value, own in buffers:
                assign(own, value.detach().to(own.dtype))
            self.n_averaged.data = self.n_averaged + 1
        if current.trace is None:  # at once, by one kernel
            evaluate([*self.parameters(), *self.buffers()])

    def _averaged(self, averages: list[Tensor], values: list[Tensor]) -> list[Tensor]:
        """`averages`, handles that nobody else has, as they are next."""
        count = self.n_averaged.detach()
        if self.multi_avg_fn is not None:
            self.multi_avg_fn(averages, values, count)
        else:
            _in_place(self.avg_fn or get_swa_avg_fn(), averages, values, count)
        pairs = zip(averages, values, strict=True)
        return [where(count == 0, value, own).to(value.dtype) for own, value in pairs]

    def _pairs(
        self, theirs: Iterable[tuple[str, Tensor]], own: Iterable[tuple[str, Tensor]]
    ) -> list[tuple[Tensor, Tensor]]:
        new, old = dict(theirs), dict(own)
        if new.keys() != old.keys():
            name = sorted(new.keys() ^ old.keys())[0]
            raise ArgumentError(
                f"AveragedModel: {name} is not in both models; need the model that was copied"
            )
        return [(new[name], old[name]) for name in new]


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Take the statistics of batch normalisation anew, over all of `loader` (batches, or tuples
    whose first element is the input), as they are for averaged weights.

    Example:
        >>> import ambos as am
        >>> net = am.nn.BatchNorm1d(1)
        >>> update_bn([am.tensor([[1.0], [3.0]]), am.tensor([[5.0], [7.0]])], net)
        >>> net.running_mean.item()
        4.0
    """
    norms = [m for m in model.modules() if isinstance(m, Norm) and m.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    try:
        with no_grad(), in_mode(model, True):
            for batch in loader:
                model(batch[0] if isinstance(batch, (list, tuple)) else batch)
                evaluate(model.buffers())
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


__all__ = [
    "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
    "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip
