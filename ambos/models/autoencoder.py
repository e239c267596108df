"""Variational autoencoder: an image as a few numbers with known distribution, and back.

Source: Kingma, Welling (2014), "Auto-encoding variational Bayes". Keys are those of PyTorch's
example.
"""

from __future__ import annotations

from typing import Any

from ambos import nn
from ambos.models.building import builder
from ambos.nn import functional as F
from ambos.tensor.handle import Tensor
from ambos.tensor.random.basic import randn, randn_like

__all__ = ["VAE", "vae"]


class VAE(nn.Module):
    """Shapes: (N, features), from 0 to 1, to what is made of it (N, features), and mean and
    log-variance of its code (N, code) each. In training a code is drawn, otherwise it is the mean.
    """

    def __init__(self, features: int = 784, hidden: int = 400, code: int = 20) -> None:
        super().__init__()
        self.code = code
        self.fc1 = nn.Linear(features, hidden)
        self.fc21 = nn.Linear(hidden, code)
        self.fc22 = nn.Linear(hidden, code)
        self.fc3 = nn.Linear(code, hidden)
        self.fc4 = nn.Linear(hidden, features)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = F.relu(self.fc1(x))
        return self.fc21(hidden), self.fc22(hidden)

    def decode(self, z: Tensor) -> Tensor:
        return F.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.encode(x)
        z = mean + randn_like(mean) * (0.5 * log_var).exp() if self.training else mean
        return self.decode(z), mean, log_var

    def sample(self, number: int) -> Tensor:
        """New images."""
        return self.decode(randn(number, self.code))


def vae_loss(made: Tensor, x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """What the images miss, and how far the codes are from normal ones; a bound of the likelihood.

    Example:
        >>> import ambos as am
        >>> one, zero = am.ones(1, 4), am.zeros(1, 2)
        >>> vae_loss(one, one, zero, zero).item()
        0.0
    """
    missed = F.binary_cross_entropy(made, x, reduction="sum")
    return missed - 0.5 * (1 + log_var - mean**2 - log_var.exp()).sum()


@builder
def vae(**settings: Any) -> VAE:
    """A variational autoencoder; `settings` are those of the class."""
    return VAE(**settings)
