"""A small ResNet on real handwritten digits at 16x16, which it sees turned, shifted and stretched.

python examples/digits_resnet.py [--epochs 40] [--seed 0]
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from ambos.data import digits
from ambos.models.resnet import BasicBlock

SIZE, BATCH, RATE = 16, 64, 0.1


class SmallResNet(nn.Module):
    """Three stages of two residual blocks, 32 to 128 channels wide (He et al., 2016)."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()
        )
        self.stages = nn.Sequential(*map(self.stage, (32, 32, 64), (32, 64, 128)))
        self.head = nn.Linear(128, classes)

    @staticmethod
    def stage(inputs: int, outputs: int) -> nn.Module:
        stride = 1 if inputs == outputs else 2
        shortcut = None
        if stride > 1:
            shrink = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            shortcut = nn.Sequential(shrink, nn.BatchNorm2d(outputs))
        return nn.Sequential(
            BasicBlock(inputs, outputs, stride, shortcut), BasicBlock(outputs, outputs)
        )

    def forward(self, x: am.Tensor) -> am.Tensor:
        return self.head(self.stages(self.stem(x)).mean((2, 3)))


def augmented(x: am.Tensor) -> am.Tensor:
    """Every image turned by up to 12 degrees, stretched by a tenth and shifted by a pixel."""
    count = x.shape[0]
    angle = (am.rand(count) - 0.5) * (24 * math.pi / 180)
    stretch = 1 + (am.rand(2, count) - 0.5) * 0.2
    shift = (am.rand(2, count) - 0.5) * (4 / SIZE)
    cos, sin = angle.cos(), angle.sin()
    rows = [
        am.stack([stretch[0] * cos, -sin, shift[0]], 1),
        am.stack([sin, stretch[1] * cos, shift[1]], 1),
    ]
    grid = F.affine_grid(am.stack(rows, 1), x.shape, align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def enlarged(images: np.ndarray) -> am.Tensor:
    """The 8x8 images at twice the size, around mean 0."""
    x = F.interpolate(am.tensor(images), size=SIZE, mode="bilinear", align_corners=False)
    return (x - 0.3) / 0.35


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    am.manual_seed(options.seed)
    (images, labels), (test_images, test_labels) = digits(test_fraction=0.2)
    x, y = enlarged(images), am.tensor(labels)
    x_test, y_test = enlarged(test_images), am.tensor(test_labels)
    net = SmallResNet()
    rule = optim.SGD(net.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    per_epoch = len(images) // BATCH
    schedule = optim.lr_scheduler.OneCycleLR(rule, RATE, options.epochs * per_epoch)

    @am.jit
    def step(rows: am.Tensor) -> am.Tensor:
        loss = F.cross_entropy(net(augmented(x[rows])), y[rows], label_smoothing=0.05)
        rule.zero_grad()
        loss.backward()
        rule.step()
        return loss

    @am.jit
    def accuracy() -> am.Tensor:
        with am.no_grad():
            return (net(x_test).argmax(1) == y_test).float().mean()

    numbers, start = np.random.default_rng(options.seed), time.perf_counter()
    for epoch in range(1, options.epochs + 1):
        order = numbers.permutation(len(images))[: per_epoch * BATCH].reshape(-1, BATCH)
        losses = []
        for rows in order:
            losses.append(step(am.tensor(rows)))
            schedule.step()
        if epoch % 5 == 0 or epoch == options.epochs:
            net.eval()
            right = accuracy().item()
            net.train()
            loss = np.mean([part.item() for part in losses])
            print(f"epoch {epoch:3d}   loss {loss:.3f}   right on unseen digits {right:.2%}   "
                  f"{time.perf_counter() - start:.0f} s")  # fmt: skip


if __name__ == "__main__":
    main()
