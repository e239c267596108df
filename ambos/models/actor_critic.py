"""PPO: a policy that may change only so far per step, beside the value that it is measured by.

Source: Schulman, Wolski, Dhariwal, Radford, Klimov (2017), "Proximal policy optimization
algorithms"; Schulman et al. (2016) for the advantages. Keys are those of CleanRL.
"""

from __future__ import annotations

from typing import Any

from ambos import nn
from ambos.models.building import builder
from ambos.nn import functional as F
from ambos.nn import init
from ambos.tensor.creation import zeros
from ambos.tensor.handle import Tensor
from ambos.tensor.loops import scan

__all__ = ["ActorCritic", "ppo"]


class ActorCritic(nn.Module):
    """Two perceptrons: what to do, and what it is worth.

    Shapes: (N, num_observations) to logits (N, num_actions) and values (N,).
    """

    def __init__(self, num_observations: int, num_actions: int, hidden: int = 64) -> None:
        super().__init__()
        self.critic = _perceptron(num_observations, hidden, 1, last=1.0)
        self.actor = _perceptron(num_observations, hidden, num_actions, last=0.01)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.actor(x), self.critic(x)[:, 0]


def _perceptron(inputs: int, hidden: int, outputs: int, last: float) -> nn.Sequential:
    layers = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)
    for layer, gain in zip(layers, (2**0.5, 2**0.5, last), strict=True):
        init.orthogonal_(layer.weight, gain)
        assert layer.bias is not None
        init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


def advantages(
    rewards: Tensor, values: Tensor, done: Tensor, last: Tensor, gamma: float = 0.99,
    smoothing: float = 0.95,
) -> Tensor:  # fmt: skip
    """How much better each step went than its value said: generalised advantages, by one scan
    from the end.

    Shapes: (steps, ...) each, `done` being 1 where an episode ended with the step; `last`, the
        value of what follows the last step, (...).

    Example:
        >>> import ambos as am
        >>> one = am.ones(2)
        >>> advantages(one, one * 0, one * 0, am.tensor(0.0), gamma=0.5, smoothing=1.0)
        tensor([1.5, 1. ])
    """

    def step(carry: tuple[Tensor, Tensor], row: tuple[Tensor, Tensor, Tensor]) -> Any:
        after, later = carry
        reward, value, end = row
        surprise = reward + gamma * (1 - end) * after - value
        found = surprise + gamma * smoothing * (1 - end) * later
        return (value, found), found

    nothing = zeros(last.shape, dtype=values.dtype)
    return scan(step, (last, nothing), (rewards, values, done), reverse=True)[1]


def ppo_loss(
    logits: Tensor, values: Tensor, actions: Tensor, old_log_probs: Tensor, advantage: Tensor,
    returns: Tensor, clip: float = 0.2, value_weight: float = 0.5, entropy_weight: float = 0.01,
) -> Tensor:  # fmt: skip
    """The clipped objective, the squares of what the values miss, less a share of the entropy.

    Shapes: logits (N, num_actions); the others (N,).
    """
    log_probs = F.log_softmax(logits, -1)
    ratio = (log_probs.gather(1, actions[:, None])[:, 0] - old_log_probs).exp()
    gained = (ratio * advantage).minimum(ratio.clip(1 - clip, 1 + clip) * advantage).mean()
    entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
    missed = 0.5 * ((values - returns) ** 2).mean()
    return value_weight * missed - gained - entropy_weight * entropy


@builder
def ppo(num_observations: int = 4, num_actions: int = 2, **settings: Any) -> ActorCritic:
    """Actor and critic; the sizes are those of a cart with a pole."""
    return ActorCritic(num_observations, num_actions, **settings)
