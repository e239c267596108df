"""Tables of vectors, looked up by index: one by one, or in bags."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError, ShapeError
from ambos.nn import functional as F
from ambos.nn import init
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter, assign, unset
from ambos.tensor.handle import Tensor


class _Table(Module):
    """What the layers share: a vector for each index, one of which may stand for nothing."""

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None
    max_norm: float | None
    norm_type: float
    scale_grad_by_freq: bool
    weight: Parameter

    def _make(self, weight: Any, device: Any, dtype: Any) -> None:
        kind = type(self).__name__
        shape = (
            positive(f"{kind}: num_embeddings", self.num_embeddings),
            positive(f"{kind}: embedding_dim", self.embedding_dim),
        )
        place = self.padding_idx
        if place is not None:
            if not -shape[0] <= place < shape[0]:
                raise ArgumentError(
                    f"{kind}: padding_idx is {place}; need {-shape[0]} <= padding_idx < {shape[0]}"
                )
            self.padding_idx = place % shape[0]
        if weight is None:
            self.weight = unset(shape, device, dtype)
            self.reset_parameters()
            return
        self.weight = weight if isinstance(weight, Parameter) else Parameter(weight)
        if self.weight.shape != shape:
            raise ShapeError(f"{kind}: the table is {tuple(self.weight.shape)}; need {shape}")

    def reset_parameters(self) -> None:
        """Standard normal; zeros for the padding index."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            keep = np.ones((self.num_embeddings, 1), np.float32)
            keep[self.padding_idx] = 0
            assign(self.weight, self.weight.detach() * Tensor(keep).to(self.weight.dtype))

    def extra_repr(self) -> str:
        said = [f"{self.num_embeddings}, {self.embedding_dim}"]
        if self.max_norm is not None:
            said.append(f"max_norm={self.max_norm}")
        if self.norm_type != 2:
            said.append(f"norm_type={self.norm_type}")
        if self.scale_grad_by_freq:
            said.append("scale_grad_by_freq=True")
        return ", ".join(said)


class Embedding(_Table):
    """A trained vector for each of `num_embeddings` indices; `sparse` changes nothing.

    Shapes: (...) of integers to (..., embedding_dim).
    Errors: IndexingError for an index out of range.

    Example:
        >>> import ambos as am
        >>> Embedding(10, 4)(am.tensor([[1, 2, 3]])).shape
        (1, 3, 4)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx, self.max_norm, self.norm_type = padding_idx, max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self._make(_weight, device, dtype)
        if _freeze:
            self.weight.requires_grad_(False)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A layer with these vectors, which are not trained unless `freeze` is False."""
        rows, width = Tensor(embeddings).shape
        return cls(
            rows, width, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse,
            Parameter(Tensor(embeddings)), freeze,
        )  # fmt: skip

    def forward(self, input: Any) -> Tensor:
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type,
            self.scale_grad_by_freq, self.sparse,
        )  # fmt: skip

    def extra_repr(self) -> str:
        head, size, *rest = super().extra_repr().split(", ")
        padding = [] if self.padding_idx is None else [f"padding_idx={self.padding_idx}"]
        return ", ".join([head, size, *padding, *rest, *["sparse=True"] * self.sparse])


class EmbeddingBag(_Table):
    """The sum, mean or maximum of the vectors of each bag of indices; `sparse` changes nothing.

    Shapes: (bags, indices), or (indices,) with `offsets` (bags,), to (bags, embedding_dim).
    Errors: IndexingError for an index out of range; ArgumentError for another `mode`.

    Example:
        >>> import ambos as am
        >>> layer = EmbeddingBag(10, 4, mode="sum")
        >>> layer(am.tensor([1, 2, 3]), am.tensor([0, 2])).shape
        (2, 4)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Any = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if mode not in ("sum", "mean", "max"):
            raise ArgumentError(f"EmbeddingBag: mode is {mode!r}; need 'sum', 'mean' or 'max'")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx, self.max_norm, self.norm_type = padding_idx, max_norm, norm_type
        self.scale_grad_by_freq, self.sparse, self.mode = scale_grad_by_freq, sparse, mode
        self.include_last_offset = include_last_offset
        self._make(_weight, device, dtype)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """A layer with these vectors, which are not trained unless `freeze` is False."""
        rows, width = Tensor(embeddings).shape
        made = cls(
            rows, width, max_norm, norm_type, scale_grad_by_freq, mode, sparse,
            Parameter(Tensor(embeddings)), include_last_offset, padding_idx,
        )  # fmt: skip
        made.weight.requires_grad_(not freeze)
        return made

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Tensor:
        return F.embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq,
            self.mode, self.sparse, per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{super().extra_repr()}, mode={self.mode!r}{padding}"
