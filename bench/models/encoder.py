"""Stacks of encoder blocks, as in ViT (normalisation first) and BERT (behind the sum).

Source: Vaswani et al. (2017), "Attention is all you need".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.models.weights import Weights


@dataclass(frozen=True, slots=True)
class Encoder:
    """Sizes of a stack; blocks are four times as wide inside."""

    layers: int
    width: int
    heads: int
    norm_first: bool

    @property
    def head(self) -> int:
        return self.width // self.heads

    def add_weights(self, weights: Weights) -> None:
        for i in range(self.layers):
            name = f"blocks.{i}"
            weights.norm(f"{name}.norm1", self.width, running=False)
            weights.linear(f"{name}.qkv", self.width, 3 * self.width)
            weights.linear(f"{name}.project", self.width, self.width)
            weights.norm(f"{name}.norm2", self.width, running=False)
            weights.linear(f"{name}.expand", self.width, 4 * self.width)
            weights.linear(f"{name}.contract", 4 * self.width, self.width)

    def flops(self, batch: int, tokens: int) -> float:
        """Forward: every weight for every token, and every score twice."""
        weights = 12 * self.width * self.width
        return 2.0 * batch * self.layers * (tokens * weights + 2 * tokens * tokens * self.width)

    def block(self, nn: Any, F: Any) -> Any:
        """A block in PyTorch's words; `mask` says where keys may be looked at."""
        plan = self

        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.norm1 = nn.LayerNorm(plan.width)
                self.qkv = nn.Linear(plan.width, 3 * plan.width)
                self.project = nn.Linear(plan.width, plan.width)
                self.norm2 = nn.LayerNorm(plan.width)
                self.expand = nn.Linear(plan.width, 4 * plan.width)
                self.contract = nn.Linear(4 * plan.width, plan.width)

            def attend(self, x: Any, mask: Any) -> Any:
                q, k, v = (
                    part.unflatten(-1, (plan.heads, plan.head)).transpose(1, 2)
                    for part in self.qkv(x).chunk(3, -1)
                )
                mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
                return self.project(mixed.transpose(1, 2).flatten(2))

            def think(self, x: Any) -> Any:
                return self.contract(F.gelu(self.expand(x)))

            def forward(self, x: Any, mask: Any = None) -> Any:
                if plan.norm_first:
                    x = x + self.attend(self.norm1(x), mask)
                    return x + self.think(self.norm2(x))
                x = self.norm1(x + self.attend(x, mask))
                return self.norm2(x + self.think(x))

        return Block()

    def forward(self, kit: Any, x: Any, mask: Any = None) -> Any:
        """The stack as a function of its weights."""
        batch, tokens, _ = x.shape

        def heads(part: Any) -> Any:
            shape = (batch, tokens, self.heads, self.head)
            return kit.transpose(kit.reshape(part, shape), (0, 2, 1, 3))

        def attend(name: str, x: Any) -> Any:
            parts = map(heads, kit.split(kit.linear(f"{name}.qkv", x), 3))
            mixed = kit.transpose(kit.attention(*parts, mask), (0, 2, 1, 3))
            return kit.linear(f"{name}.project", kit.reshape(mixed, (batch, tokens, self.width)))

        def think(name: str, x: Any) -> Any:
            return kit.linear(f"{name}.contract", kit.gelu(kit.linear(f"{name}.expand", x)))

        for i in range(self.layers):
            name = f"blocks.{i}"
            if self.norm_first:
                x = x + attend(name, kit.layer_norm(f"{name}.norm1", x))
                x = x + think(name, kit.layer_norm(f"{name}.norm2", x))
            else:
                x = kit.layer_norm(f"{name}.norm1", x + attend(name, x))
                x = kit.layer_norm(f"{name}.norm2", x + think(name, x))
        return x
