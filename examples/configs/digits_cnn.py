"""A small convolutional network, named in digits_cnn.toml."""

from ambos import nn


def network(width: int = 16) -> nn.Module:
    """Shapes: (N, 1, 8, 8) to (N, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * width, 10),
    )
