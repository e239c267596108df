"""Attention of transformers: over a whole sequence, over a cache of what came before, or over what
an encoder remembers.

Blocks do not know which: they call `attend(layer, query, key, value)`, all of them
(batch, heads, tokens, size). Fewer heads of keys and values serve several of queries each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from ambos.core.dtype import DType
from ambos.core.errors import ShapeError
from ambos.nn import functional as F
from ambos.tensor.creation import arange, zeros
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where


class Attend(Protocol):
    """Values of the keys that fit the queries of a layer. `bias` is added to the scores, which are
    scaled by 1 / sqrt(size) unless `scale` says otherwise."""

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None = None,
        scale: float | None = None,
    ) -> Tensor: ...  # fmt: skip


def split(x: Tensor, num_heads: int) -> Tensor:
    """(batch, tokens, features) as (batch, heads, tokens, size)."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge(x: Tensor) -> Tensor:
    """The way back from `split`."""
    return x.transpose(1, 2).flatten(2)


def whole(
    attention_mask: Any = None, is_causal: bool = False, dropout_p: float = 0.0
) -> Attend:  # fmt: skip
    """Attention among the tokens of a sequence: all those where `attention_mask` (batch, tokens) is
    not 0, and with `is_causal` of these only the token itself and what came before."""

    def attend(
        layer: int, q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None = None,
        scale: float | None = None,
    ) -> Tensor:  # fmt: skip
        mask = None if attention_mask is None else (attention_mask != 0)[:, None, None, :]
        if is_causal and (mask is not None or bias is not None):
            order = arange(q.shape[2])
            before = order <= order.unsqueeze(1)
            mask = before if mask is None else before & mask
        simple = is_causal and mask is None
        return mixed(q, k, v, mask, bias, scale, dropout_p, simple)

    return attend


def mixed(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None = None,
    scale: float | None = None, dropout_p: float = 0.0, is_causal: bool = False,
) -> Tensor:  # fmt: skip
    """Scaled dot-product attention with a mask of what is seen and a bias."""
    if bias is not None:
        mask = bias if mask is None else where(mask, bias, float("-inf"))
    return F.scaled_dot_product_attention(
        q, k, v, mask, dropout_p, is_causal, scale, enable_gqa=q.shape[1] != k.shape[1]
    )


class Memory(NamedTuple):
    """What a decoder sees of an encoder, a tree: keys and values of each layer,
    (batch, heads, tokens, size), and where there are tokens, (batch, tokens)."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    present: Tensor | None

    @classmethod
    def of(cls, pairs: Iterable[tuple[Tensor, Tensor]], present: Tensor | None) -> Memory:
        """What the layers remember, a pair of keys and values each."""
        keys, values = zip(*pairs, strict=True)
        return cls(keys, values, present)

    def attend(self, layer: int, q: Tensor, scale: float | None = None) -> Tensor:
        mask = None if self.present is None else (self.present != 0)[:, None, None, :]
        return mixed(q, self.keys[layer], self.values[layer], mask, scale=scale)


class CacheSizes(NamedTuple):
    """Layers, heads of keys and values, and features of a head."""

    layers: int
    heads: int
    size: int


class Cache(NamedTuple):
    """Keys and values of the tokens so far, a tree with room for more of them.

    `keys` and `values` have (batch, heads, room, size) for each layer; `length` says how many
    places are filled, `padding` (batch,) how many of those, at the left, are none of the sentence.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    length: Tensor
    padding: Tensor

    @classmethod
    def empty(
        cls, sizes: CacheSizes, batch: int, room: int, dtype: DType, padding: Any = None
    ) -> Cache:  # fmt: skip
        """A cache without tokens."""
        shape = (batch, sizes.heads, room, sizes.size)
        if padding is None:
            padding = zeros(batch, dtype="int64")
        keys, values = (
            tuple(zeros(shape, dtype=dtype) for _ in range(sizes.layers)) for _ in range(2)
        )
        return cls(keys, values, zeros((), dtype="int64"), padding)

    @property
    def room(self) -> int:
        """How many tokens it holds at most."""
        return int(self.keys[0].shape[2])


class Growing:
    """One pass over some new tokens: their keys and values go into the cache."""

    def __init__(self, cache: Cache, tokens: int) -> None:
        if tokens > cache.room:
            raise ShapeError(f"cache: got {tokens} tokens and has room for {cache.room}; need "
                             "more room")  # fmt: skip
        self.old, self.tokens = cache, tokens
        self.keys, self.values = list(cache.keys), list(cache.values)
        self.places = cache.length + arange(tokens)
        room = arange(cache.room)
        sentence = room >= cache.padding.unsqueeze(1)
        self.mask = (room <= self.places.unsqueeze(1)) & sentence[:, None, None, :]

    @property
    def positions(self) -> Tensor:
        """Where in its sentence each token stands, (batch, tokens)."""
        return (self.places - self.old.padding.unsqueeze(1)).clamp(min=0)

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None = None,
        scale: float | None = None,
    ) -> Tensor:  # fmt: skip
        keys = self.keys[layer] = self.keys[layer].index_copy(2, self.places, k)
        values = self.values[layer] = self.values[layer].index_copy(2, self.places, v)
        return mixed(q, keys, values, self.mask, bias, scale)

    @property
    def cache(self) -> Cache:
        """The cache behind the pass."""
        length = self.old.length + self.tokens
        return Cache(tuple(self.keys), tuple(self.values), length, self.old.padding)
