"""GradientNorms."""

from __future__ import annotations

import math
from typing import Any

from ambos.core.arguments import number
from ambos.core.errors import ArgumentError
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import stack
from ambos.train.callbacks.base import Callback, Logs


class GradientNorms(Callback):
    """The norm of the gradients, before they are clipped, joins the logs as "grad_norm", averaged
    over the epoch as the loss is; with `each`, also that of every parameter, "grad_norm/0.weight".
    It is computed inside the recorded step. `norm_type` is the p of the norm.

    Errors: ArgumentError for a norm that is none, and where a `train_step` of your own makes no
        `Step`, in which gradients would be seen.

    Example:
        >>> import numpy as np
        >>> import ambos as am
        >>> model = am.Sequential([am.nn.Linear(1, 1, bias=False)])
        >>> model.compile(am.optim.SGD(lr=0.0), "mse")
        >>> model.get_parameter("0.weight").data = am.zeros(1, 1)
        >>> x = np.ones((4, 1))
        >>> model.fit(x, x, verbose=0, callbacks=[GradientNorms()]).history["grad_norm"]
        [2.0]
    """

    def __init__(self, each: bool = False, norm_type: float = 2.0) -> None:
        self.each, self.norm_type = each, number("GradientNorms: norm_type", norm_type)
        if not self.norm_type > 0:
            raise ArgumentError(
                f"GradientNorms: norm_type is {norm_type!r}; need a positive number, or inf"
            )

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.model.engine.probes += (self.measure,)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if "grad_norm" not in (logs or {}):
            raise ArgumentError(
                "GradientNorms: no gradients were seen; need a train_step that makes them with "
                "am.train.Step(self, data).backward() and .update()"
            )

    def close(self) -> None:
        engine = self.model.engine
        engine.probes = tuple(probe for probe in engine.probes if probe != self.measure)

    def measure(self, model: Any) -> dict[str, Tensor]:
        """The norms of the gradients that lie in the parameters."""
        found = {
            f"grad_norm/{name}": parameter.grad.float().norm(self.norm_type)
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }
        whole = joined(list(found.values()), self.norm_type)
        return {"grad_norm": whole, **(found if self.each else {})}


def joined(norms: list[Tensor], p: float) -> Tensor:
    """The norm of all parts, from those of the parts."""
    return stack(norms).norm(p) if norms else Tensor(math.nan)
