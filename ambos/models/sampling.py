"""Which token comes next: logits, made into one choice.

Source: Fan, Lewis, Dauphin (2018), "Hierarchical neural story generation" (top-k); Holtzman, Buys,
Du, Forbes, Choi (2020), "The curious case of neural text degeneration" (top-p).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError
from ambos.tensor import random
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where

LOWEST = float("-inf")


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """The `k` largest logits of each row, minus infinity for the others.

    Example:
        >>> import ambos as am
        >>> keep_top_k(am.tensor([[1.0, 3.0, 2.0]]), 2).tolist()
        [[-inf, 3.0, 2.0]]
    """
    least = logits.topk(min(k, logits.shape[-1]))[0][..., -1:]
    return where(logits < least, LOWEST, logits)


def keep_top_p(logits: Tensor, p: Any) -> Tensor:
    """The fewest tokens whose probabilities sum up to `p` at least, minus infinity for the others.

    Example:
        >>> import ambos as am
        >>> keep_top_p(am.tensor([[0.5, 0.3, 0.2]]).log(), 0.7).exp().numpy().round(1).tolist()
        [[0.5, 0.30000001192092896, 0.0]]
    """
    ordered, order = logits.sort(-1)
    below = ordered.softmax(-1).cumsum(-1)
    drop = below <= 1 - p
    drop[..., -1:] = False  # whoever is likeliest stays
    return where(drop.scatter(-1, order, drop), LOWEST, logits)


class Choice(NamedTuple):
    """How the next token is chosen: the likeliest, or drawn."""

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def check(self) -> None:
        """An ArgumentError for settings out of range."""
        if not self.temperature > 0:
            raise ArgumentError(f"generate: temperature is {self.temperature!r}; need a number "
                                "above 0; for the likeliest token do_sample=False")  # fmt: skip
        if not 0 < self.top_p <= 1:
            raise ArgumentError(f"generate: top_p is {self.top_p!r}; need 0 < top_p <= 1")
        if self.top_k:
            positive("generate: top_k", self.top_k)

    def __call__(self, logits: Tensor) -> Tensor:
        """A token for each row of (batch, words)."""
        if not self.do_sample:
            found: Tensor = logits.argmax(-1)
            return found
        logits = logits / self.temperature
        if self.top_k:
            logits = keep_top_k(logits, self.top_k)
        if self.top_p < 1:
            logits = keep_top_p(logits, self.top_p)
        return random.categorical(logits=logits)
