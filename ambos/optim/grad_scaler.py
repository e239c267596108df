"""GradScaler: losses scaled up, so that gradients in float16 do not vanish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ambos.core.arguments import Checked, positive
from ambos.core.errors import ArgumentError
from ambos.optim.optimizer import Optimizer
from ambos.tensor.handle import Tensor
from ambos.tensor.modes import no_grad
from ambos.tensor.pointwise import where


class GradScaler(metaclass=Checked):
    """Dynamic loss scaling: `scale(loss).backward()`, `step(optimizer)`, `update()`.

    Where a gradient is infinite or NaN the step leaves parameters and states as they were, and the
    scale falls; after `growth_interval` steps without it grows. Nothing is looked at, so all of it
    may be part of a function that `am.jit` records.

    Errors: ArgumentError for factors out of range.
    Source: Micikevicius et al. (2018), "Mixed precision training".

    Example:
        >>> import ambos as am
        >>> weight = am.ones(2, requires_grad=True)
        >>> optimizer, scaler = am.optim.SGD([weight], lr=1.0), am.GradScaler(init_scale=4.0)
        >>> scaler.scale((weight * 0.5).sum()).backward()
        >>> scaler.step(optimizer)
        >>> scaler.update()
        >>> weight.tolist(), scaler.get_scale()
        ([0.5, 0.5], 4.0)
    """

    def __init__(
        self,
        device: object = None,
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if not growth_factor > 1 or not 0 < backoff_factor < 1 or not init_scale > 0:
            raise ArgumentError(
                f"GradScaler: init_scale={init_scale}, growth_factor={growth_factor}, "
                f"backoff_factor={backoff_factor}; need a scale > 0, growth > 1 and backoff < 1"
            )
        self.growth_factor, self.backoff_factor = growth_factor, backoff_factor
        self.growth_interval = positive("GradScaler: growth_interval", growth_interval)
        self.enabled = enabled
        self._scale = Tensor(np.asarray(init_scale, np.float32))
        self._growth = Tensor(np.zeros((), np.float32))  # steps since the scale changed
        self._wrong: dict[int, Tensor] = {}  # of each optimizer: is a gradient not finite?

    def scale(self, outputs: Any) -> Any:
        """A loss (or several) times the scale."""
        if not self.enabled:
            return outputs
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(one) for one in outputs)
        return outputs * self._scale.to(outputs.dtype)

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of `optimizer` by the scale, once before a step: for clipping.

        Errors: ArgumentError where that has been done.
        """
        if not self.enabled:
            return
        if id(optimizer) in self._wrong:
            raise ArgumentError("GradScaler.unscale_: was called already; need update() first")
        wrong: Tensor | None = None
        with no_grad():
            share = 1.0 / self._scale
            for parameter in optimizer.parameters():
                grad = parameter.grad
                if grad is None:
                    continue
                grad = grad * share.to(grad.dtype)
                parameter.grad = grad
                found = ~grad.isfinite().all()
                wrong = found if wrong is None else wrong | found
        if wrong is None:
            raise ArgumentError("GradScaler: no parameter has a gradient; need backward() first")
        self._wrong[id(optimizer)] = wrong

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step()` which changes nothing where a gradient is not finite."""
        if not self.enabled:
            return optimizer.step(*args, **kwargs)
        if id(optimizer) not in self._wrong:
            self.unscale_(optimizer)
        optimizer.found_inf = self._wrong[id(optimizer)]
        try:
            return optimizer.step(*args, **kwargs)
        finally:
            optimizer.found_inf = None

    def update(self, new_scale: Any = None) -> None:
        """Let the scale grow or fall after the steps since the last time."""
        if not self.enabled:
            return
        with no_grad():
            if new_scale is not None:
                self._scale.copy_(Tensor(np.asarray(float(new_scale), np.float32)))
            elif self._wrong:
                wrong, *others = self._wrong.values()
                for other in others:
                    wrong = wrong | other
                growth = where(wrong, 0.0, self._growth + 1.0)
                is_due = growth >= float(self.growth_interval)
                grown = where(is_due, self._scale * self.growth_factor, self._scale)
                self._scale.copy_(where(wrong, self._scale * self.backoff_factor, grown))
                self._growth.copy_(where(is_due, 0.0, growth))
        self._wrong = {}

    def tensors(self) -> list[Tensor]:
        """What it remembers."""
        return [self._scale, self._growth]

    def is_enabled(self) -> bool:
        """Does it scale at all?"""
        return self.enabled

    def get_scale(self) -> float:
        """The scale, a number."""
        return float(self._scale.item()) if self.enabled else 1.0

    def state_dict(self) -> dict[str, Any]:
        """The scale and what turns it, with PyTorch's keys."""
        if not self.enabled:
            return {}
        return {
            "scale": self.get_scale(), "growth_factor": self.growth_factor,
            "backoff_factor": self.backoff_factor, "growth_interval": self.growth_interval,
            "_growth_tracker": int(self._growth.item()),
        }  # fmt: skip

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken, here or in PyTorch."""
        if not self.enabled:
            return
        self._scale.data = Tensor(np.asarray(state_dict["scale"], np.float32))
        self._growth.data = Tensor(np.asarray(state_dict["_growth_tracker"], np.float32))
        self.growth_factor = state_dict["growth_factor"]
        self.backoff_factor = state_dict["backoff_factor"]
        self.growth_interval = state_dict["growth_interval"]
