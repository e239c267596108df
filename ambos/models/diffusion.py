"""Diffusion: add noise to images in many small steps, learn to take it away, begin with noise.

Source: Ho, Jain, Abbeel (2020), "Denoising diffusion probabilistic models".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ambos.core.arguments import positive
from ambos.nn import functional as F
from ambos.tensor.creation import arange, full
from ambos.tensor.handle import Tensor
from ambos.tensor.loops import scan
from ambos.tensor.modes import no_grad
from ambos.tensor.random.basic import randint, randn, randn_like

__all__ = ["Diffusion"]

Denoiser = Callable[[Tensor, Tensor], Tensor]  # images and times, to the noise in them


@dataclass(frozen=True)
class Diffusion:
    """`steps` of noise whose variances grow from `beta_start` to `beta_end`.

    `loss(net, x)` is what a network learns, `sample(net, shape)` what it makes; a network is called
    with images and times, as `UNet2DModel` is.

    Errors: ArgumentError for a number of steps below 1.

    Example:
        >>> import ambos as am
        >>> Diffusion(10).sample(lambda x, time: x * 0, (2, 3, 8, 8)).shape
        (2, 3, 8, 8)
    """

    steps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02

    def __post_init__(self) -> None:
        positive("Diffusion: steps", self.steps)

    def _kept(self) -> tuple[np.ndarray, np.ndarray]:
        """The variance that each step adds, and the share of an image's that is left after it.

        In float64: early on that share is so close to 1 that float32 would lose the difference.
        """
        betas = np.linspace(self.beta_start, self.beta_end, self.steps)
        return betas, np.cumprod(1 - betas)

    def add_noise(self, x: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Images after `time` steps, (N,)."""
        _, kept = self._kept()
        image, added = (_table(np.sqrt(share))[time][:, None, None, None]
                        for share in (kept, 1 - kept))  # fmt: skip
        return image * x + added * noise

    def loss(self, net: Denoiser, x: Tensor) -> Tensor:
        """Squares of what the network misses of the noise, at random times."""
        time, noise = randint(0, self.steps, (x.shape[0],)), randn_like(x)
        return F.mse_loss(net(self.add_noise(x, noise, time), time), noise)

    def step(self, noise: Tensor, time: Tensor, x: Tensor, fresh: Tensor) -> Tensor:
        """One step back from `x` at `time` (a number), given the noise that a network sees in it:
        the mean of what was there before, and `fresh` noise around it (none at the last step)."""
        betas, kept = self._kept()
        before = np.concatenate([[1.0], kept[:-1]])
        tables = (
            np.sqrt(kept),
            np.sqrt(1 - kept),
            np.sqrt(before) * betas / (1 - kept),
            np.sqrt(1 - betas) * (1 - before) / (1 - kept),
            np.sqrt(betas * (1 - before) / (1 - kept)),
        )
        image, added, of_clean, of_x, spread = (_table(table)[time] for table in tables)
        clean = ((x - added * noise) / image).clip(-1, 1)
        return of_clean * clean + of_x * x + spread * fresh

    def sample(self, net: Denoiser, shape: tuple[int, ...]) -> Tensor:
        """Images made of noise: all steps are one loop, so they compile like one."""

        def back(x: Tensor, time: Tensor) -> tuple[Tensor, None]:
            noise = net(x, full((shape[0],), time))
            return self.step(noise, time, x, randn_like(x)), None

        with no_grad():
            return scan(back, randn(shape), arange(self.steps), reverse=True)[0]


def _table(values: np.ndarray) -> Tensor:
    return Tensor(values.astype(np.float32))
