"""Mixture of experts: each token goes to the experts that a router chooses.

Nothing loops over experts and no shape depends on the data. The choices (k of each token) are
sorted by expert and cut into blocks of equal size, each of one expert, so that all of them are one
batched product with the weights of the blocks' experts. Without a capacity a block holds as many
choices as an expert gets on average; rounding each expert up adds at most one block each, so twice
as many blocks as experts hold everything, however uneven the router is. With a capacity there is
one block for each expert, and what does not fit is dropped.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ambos.core.arguments import number, positive
from ambos.core.errors import ArgumentError, ShapeError
from ambos.nn import functional as F
from ambos.nn import init
from ambos.nn.functional.shared import as_tensor
from ambos.nn.linear import Linear
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter, unset
from ambos.tensor.creation import arange, full, zeros
from ambos.tensor.gather import one_hot, take
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import concat
from ambos.tensor.pointwise import where
from ambos.tensor.scattering import scatter
from ambos.tensor.sorting import argsort, topk


class Mixture(NamedTuple):
    """What the layer returns: the outputs, a loss that is 1 where all experts are used alike (add a
    hundredth of it to the training loss), and the share of choices that were dropped."""

    output: Tensor
    balance_loss: Tensor
    dropped: Tensor


class MixtureOfExperts(Module):
    """Gated feed-forward layers (SwiGLU), `top_k` of which work on each token, weighted by the
    router's probabilities for them.

    With `capacity_factor` c an expert takes at most c times the choices that it would get on
    average, first those that are first choices; without one no choice is dropped. The weights of a
    token's experts add up to 1 with `normalize`.

    Shapes: (..., features) to the same.
    Errors: ArgumentError unless 1 <= top_k <= num_experts; ShapeError.
    Source: Shazeer et al. (2017), "Outrageously large neural networks"; Fedus, Zoph, Shazeer
        (2021), "Switch Transformers"; Gale, Narayanan, Young, Zaharia (2022), "MegaBlocks".

    Example:
        >>> import ambos as am
        >>> layer = MixtureOfExperts(8, 16, num_experts=4, top_k=2)
        >>> found = layer(am.ones(2, 5, 8))
        >>> found.output.shape, found.balance_loss.shape
        ((2, 5, 8), ())
    """

    gate_proj: Parameter
    up_proj: Parameter
    down_proj: Parameter

    def __init__(
        self,
        features: int,
        hidden_features: int,
        num_experts: int,
        top_k: int = 2,
        capacity_factor: float | None = None,
        normalize: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.features = positive("MixtureOfExperts: features", features)
        self.hidden_features = positive("MixtureOfExperts: hidden_features", hidden_features)
        self.num_experts = positive("MixtureOfExperts: num_experts", num_experts)
        self.top_k = positive("MixtureOfExperts: top_k", top_k)
        if top_k > num_experts:
            raise ArgumentError(
                f"MixtureOfExperts: top_k is {top_k} for {num_experts} experts; need no more than "
                "there are"
            )
        if capacity_factor is not None and not number("capacity_factor", capacity_factor) > 0:
            raise ArgumentError(
                f"MixtureOfExperts: capacity_factor is {capacity_factor}; need a positive number"
            )
        self.capacity_factor, self.normalize = capacity_factor, normalize
        self.router = Linear(features, num_experts, False, device, dtype)
        wide = (num_experts, hidden_features, features)
        self.gate_proj, self.up_proj = (unset(wide, device, dtype) for _ in range(2))
        self.down_proj = unset((num_experts, features, hidden_features), device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Each expert as linear layers begin: uniform, within 1 / sqrt(inputs)."""
        self.router.reset_parameters()
        for weight in (self.gate_proj, self.up_proj, self.down_proj):
            bound = 1 / math.sqrt(weight.shape[-1])
            init.uniform_(weight, -bound, bound)

    def forward(self, input: Tensor) -> Mixture:
        x = as_tensor(input)
        if x.ndim < 2 or x.shape[-1] != self.features:
            raise ShapeError(f"MixtureOfExperts: got {tuple(x.shape)}; need (..., {self.features})")
        tokens = x.reshape((-1, self.features))
        shares = F.softmax(self.router(tokens).float(), -1)
        weights, experts = topk(shares, self.top_k, -1)
        if self.normalize:
            weights = weights / weights.sum(-1, keepdims=True)
        slots, owners, size = self._slots(experts)
        # A row of zeros stands for an empty place, and for a choice that was dropped.
        count, blank = tokens.shape[0], zeros((1, self.features), dtype=x.dtype)
        places = arange(count)[:, None].expand(count, self.top_k).reshape((-1,))
        total = owners.shape[0] * size
        sources = scatter(full((total + 1,), count, dtype=places.dtype), 0, slots, places)
        rows = take(concat([tokens, blank], 0), sources[:total], 0)
        made = self._experts(rows.reshape((owners.shape[0], size, self.features)), owners)
        made = concat([made.reshape((total, self.features)), blank], 0)
        chosen = take(made, slots, 0).reshape((count, self.top_k, self.features))
        output = (chosen * weights[..., None].to(x.dtype)).sum(1).reshape(x.shape)
        used = one_hot(experts, self.num_experts).float().mean((0, 1))
        balance = (used * shares.mean(0)).sum() * self.num_experts
        return Mixture(output, balance, (slots == total).float().mean())

    def _slots(self, experts: Tensor) -> tuple[Tensor, Tensor, int]:
        """For each choice its place among all blocks (one past the last: dropped), for each block
        its expert, and the size of blocks."""
        count, number_of = experts.shape[0] * self.top_k, self.num_experts
        flat = experts.T.reshape((-1,))  # all first choices come first
        order = argsort(flat, 0)
        ahead = argsort(order, 0)  # where each choice lies once they are sorted
        numbers = one_hot(flat, number_of).sum(0)
        rank = ahead - take(numbers.cumsum(0) - numbers, flat, 0)
        if self.capacity_factor is None:
            size = max(1, -(-count // number_of))
            blocks = (numbers + size - 1) // size
            ends = blocks.cumsum(0)
            owners = (arange(2 * number_of)[:, None] >= ends).sum(1)
            owners = owners.clip(None, number_of - 1)  # those after the last are empty
            slots = take(ends - blocks, flat, 0) * size + rank
        else:
            size = max(1, math.ceil(self.capacity_factor * count / number_of))
            owners = arange(number_of)
            slots = where(rank < size, flat * size + rank, number_of * size)
        return slots.reshape((self.top_k, -1)).T.reshape((-1,)), owners, size

    def _experts(self, rows: Tensor, owners: Tensor) -> Tensor:
        """Each block through its expert: (blocks, size, features)."""
        gate, up, down = (self._weight(w, owners) for w in
                          (self.gate_proj, self.up_proj, self.down_proj))  # fmt: skip
        return (F.silu(rows @ gate) * (rows @ up)) @ down

    def _weight(self, weight: Tensor, owners: Tensor) -> Tensor:
        own = weight if self.capacity_factor is not None else take(weight, owners, 0)
        return own.transpose(1, 2)

    def extra_repr(self) -> str:
        return (
            f"{self.features}, {self.hidden_features}, num_experts={self.num_experts}, "
            f"top_k={self.top_k}, capacity_factor={self.capacity_factor}"
        )
