"""DCGAN: one network makes images of noise, another tells them from real ones.

Source: Radford, Metz, Chintala (2016), "Unsupervised representation learning with deep
convolutional generative adversarial networks". Keys are those of PyTorch's example.
"""

from __future__ import annotations

from typing import Any

from ambos import nn
from ambos.models.building import builder
from ambos.nn import init
from ambos.tensor.handle import Tensor

__all__ = ["Discriminator", "Generator", "dcgan_discriminator", "dcgan_generator"]


def initialize(model: nn.Module) -> None:
    """The paper's: narrow normal weights, scales around 1."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d) and module.weight is not None:
            init.normal_(module.weight, 1.0, 0.02)


class Generator(nn.Module):
    """Twice the image in each layer. Shapes: (N, nz, 1, 1) to (N, nc, 64, 64), from -1 to 1."""

    def __init__(self, nz: int = 100, ngf: int = 64, nc: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ConvTranspose2d(nz, ngf * 8, 4, 1, 0, bias=False)]
        for wide in (8, 4, 2):
            layers += [nn.BatchNorm2d(ngf * wide), nn.ReLU()]
            layers.append(nn.ConvTranspose2d(ngf * wide, ngf * wide // 2, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(ngf), nn.ReLU()]
        layers += [nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


class Discriminator(nn.Module):
    """Half the image in each layer. Shapes: (N, nc, 64, 64) to (N,), from 0 (made) to 1 (real)."""

    def __init__(self, nc: int = 3, ndf: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(nc, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for wide in (2, 4, 8):
            layers.append(nn.Conv2d(ndf * wide // 2, ndf * wide, 4, 2, 1, bias=False))
            layers += [nn.BatchNorm2d(ndf * wide), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(ndf * 8, 1, 4, 1, 0, bias=False), nn.Sigmoid()]
        self.main = nn.Sequential(*layers)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x).flatten()


@builder
def dcgan_generator(**settings: Any) -> Generator:
    """Images of noise; `settings` are those of the class."""
    return Generator(**settings)


@builder
def dcgan_discriminator(**settings: Any) -> Discriminator:
    """Real or made; `settings` are those of the class."""
    return Discriminator(**settings)
