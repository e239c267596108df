"""DQN: the value of each action, learnt from transitions that were seen once.

Source: Mnih et al. (2015), "Human-level control through deep reinforcement learning". Keys are
those of CleanRL.
"""

from __future__ import annotations

from typing import Any

from ambos import nn
from ambos.models.building import builder
from ambos.nn import functional as F
from ambos.tensor.handle import Tensor

__all__ = ["QNetwork", "dqn"]


class QNetwork(nn.Module):
    """Three convolutions and two linear layers; pixels from 0 to 255.

    Shapes: (N, in_channels, 84, 84) to (N, num_actions).
    """

    def __init__(self, num_actions: int, in_channels: int = 4) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(in_channels, 32, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, stride=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 512),
            nn.ReLU(),
            nn.Linear(512, num_actions),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x / 255.0)


def td_loss(
    values: Tensor, actions: Tensor, rewards: Tensor, done: Tensor, next_values: Tensor,
    gamma: float = 0.99,
) -> Tensor:  # fmt: skip
    """Huber loss of the values of the actions taken, against the reward and the discounted value
    of the best action after it (by the target network), if there is an after.

    Shapes: values and next_values (N, num_actions); the others (N,).

    Example:
        >>> import ambos as am
        >>> value, after = am.tensor([[1.0, 5.0]]), am.tensor([[2.0, 4.0]])
        >>> td_loss(value, am.tensor([0]), am.tensor([1.0]), am.tensor([1.0]), after).item()
        0.0
    """
    taken = values.gather(1, actions[:, None])[:, 0]
    wanted = rewards + gamma * (1 - done) * next_values.detach().amax(axis=1)
    return F.smooth_l1_loss(taken, wanted)


@builder
def dqn(num_actions: int = 18, **settings: Any) -> QNetwork:
    """The network of the paper."""
    return QNetwork(num_actions, **settings)
