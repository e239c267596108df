"""Schedule-free AdamW."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.optim.averages import squared
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Grads, Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import POSITIVE, Group, Scalars, rates
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where


class AdamWScheduleFree(Optimizer):
    """AdamW that needs no schedule: gradients are taken between the iterate and its average.

    Parameters hold the point where gradients are taken; call `eval()` before evaluating or saving
    the model, which puts the average there, and `train()` before training on.

    Errors: ArgumentError for settings outside their range, and for a step after `eval()`.
    Source: Defazio et al. (2024), "The road less scheduled".

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = AdamWScheduleFree([weight], lr=0.5)
        >>> (weight * weight).sum().backward()
        >>> optimizer.step()
        >>> optimizer.eval()
        >>> weight.numpy().round(3)
        array([0.5, 1.5], dtype=float32)
    """

    replayed = True
    dials = ("betas", "eps", "weight_decay", "warmup_steps", "r", "weight_lr_power")
    limits = {"warmup_steps": POSITIVE, "r": POSITIVE, "weight_lr_power": POSITIVE}

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 2.5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 2.5e-3),
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "warmup_steps": warmup_steps,
            "r": r,
            "weight_lr_power": weight_lr_power,
            "maximize": maximize,
            "foreach": foreach,
            "train_mode": True,
        }
        super().__init__(params, settings)

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        return ("z", "exp_avg_sq")

    def begin(self, slot: str, parameter: Tensor, group: Group) -> Tensor:
        return parameter.detach() if slot == "z" else super().begin(slot, parameter, group)

    def common(self, group: Group) -> dict[str, float | Tensor]:
        return {"weight_sum": 0.0, "lr_max": 0.0}

    def factors(self, group: Group, clock: Clock) -> Scalars:
        (beta1, beta2), lr, step, held = group["betas"], group["lr"], clock.count, clock.shared
        lr = lr * (step / group["warmup_steps"]).minimum(1.0)  # without any: min(inf, 1)
        largest = held["lr_max"] = held["lr_max"].maximum(lr)
        weight = step ** group["r"] * largest ** group["weight_lr_power"]
        total = held["weight_sum"] = held["weight_sum"] + weight
        share = where(total > 0.0, weight / where(total > 0.0, total, 1.0), 0.0)
        spread = 1.0 / (1.0 - beta2**step).sqrt()
        size, numbers = lr * (1.0 - beta1 * (1.0 - share)), (group["eps"], group["weight_decay"])
        return lr, size, share, spread, beta2, 1.0 - beta2, *numbers

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        lr, size, share, spread, beta2, fresh, eps, decay = factors
        z = state["z"]
        second = state["exp_avg_sq"] = squared(state["exp_avg_sq"], grad, beta2, fresh)
        direction = grad / (second.sqrt() * spread + eps)
        if group["weight_decay"]:
            direction = direction + parameter * decay
        state["z"] = z - direction * lr
        return parameter + (z - parameter) * share - direction * size

    def advance(self, grads: Grads | None = None) -> list[Tensor]:
        if not all(group["train_mode"] for group in self.param_groups):
            raise ArgumentError(
                "AdamWScheduleFree.step: the parameters hold their averages; need optimizer.train()"
                " before training on after eval()"
            )
        return super().advance(grads)

    def eval(self) -> None:
        """Put the averages into the parameters."""
        self._switch(False, lambda beta1: 1 - 1 / beta1)

    def train(self) -> None:
        """Put the points where gradients are taken into the parameters."""
        self._switch(True, lambda beta1: 1 - beta1)

    def _switch(self, training: bool, weight: Callable[[float], float]) -> None:
        for group in self.param_groups:
            if group["train_mode"] is training:
                continue
            group["train_mode"] = training
            for parameter in group["params"]:
                if parameter in self.state:
                    z, here = self.state[parameter]["z"], parameter.detach()
                    parameter.data = here + (z - here) * weight(group["betas"][0])
