"""Embedding: a table of vectors, looked up by index."""

from __future__ import annotations

from typing import Any

import numpy as np

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError
from ambos.nn import functional as F
from ambos.nn import init
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter, assign
from ambos.tensor.handle import Tensor


class Embedding(Module):
    """A trained vector for each of `num_embeddings` indices.

    Shapes: (...) of integers to (..., embedding_dim).
    Errors: IndexingError for an index out of range.

    Example:
        >>> import ambos as am
        >>> Embedding(10, 4)(am.tensor([[1, 2, 3]])).shape
        (1, 3, 4)
    """

    weight: Parameter

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None
    ) -> None:
        super().__init__()
        self.num_embeddings = positive("num_embeddings", num_embeddings)
        self.embedding_dim = positive("embedding_dim", embedding_dim)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ArgumentError(
                    f"Embedding: padding_idx is {padding_idx}; need {-num_embeddings} <= "
                    f"padding_idx < {num_embeddings}"
                )
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx
        table = np.zeros((num_embeddings, embedding_dim), np.float32)
        self.weight = Parameter(Tensor(table))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Standard normal; zeros for the padding index."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            keep = np.ones((self.num_embeddings, 1), np.float32)
            keep[self.padding_idx] = 0
            assign(self.weight, self.weight.detach() * Tensor(keep))

    def forward(self, x: Any) -> Tensor:
        return F.embedding(x, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
