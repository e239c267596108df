"""Loop IR of attention: softmax(scale Q K^T + mask) V without its score matrix, and its gradients.

The canonical order, the same for every tile, thread and vector width:

* A score is one chain of fused multiply-adds from zero over the head width. z is the score, or
  with a mask fma(score, scale, mask); `factor` turns z into a power of two (scale log2 e, or
  log2 e with a mask). A key that does not take part (after the query, if causal) has z = -inf.
* Forward, for each query: keys in blocks of KEY_BLOCK, in order. m is the largest z so far (NaN is
  passed over; 0 in its place while it is -inf), p = exp2((z - m) factor), two roundings, with
  `elementary.exp2_flushed`, a block's denominator and its product with V are chains from zero
  over its keys in order; l and the output become fma(old, a, block) with
  a = exp2((m before - m) factor). So the largest score has p = 1, and a block without a larger one
  rescales by exactly 1, however large scores are and however many blocks there are. In the end
  out = o (1 / l) + 0; the statistics are m and 1 / l. In place of 1 / l stands 0 where l is 0.
* Backward: p as in the forward pass, to the bit. dO and delta are multiplied by 1 / l first; dp is
  a chain over V's width with that dO, ds = p (dp - delta). Queries go in blocks of ROW_BLOCK, keys
  in blocks of ROW_BLOCK. Each block's share of dV and dK is a chain over its queries, its share of
  dQ a chain over its keys; shares are added in order to a total that starts at zero: for dQ over
  the key blocks, for dV and dK over query heads, then query blocks. dQ and dK are multiplied by
  `scale` last.

If causal, keys after the end of a query's QUERY_BLOCK are not looked at at all; other keys that
do not take part count with p = 0, which shows only where V is not finite.
"""

from __future__ import annotations

from dataclasses import dataclass

from ambos.compiler.loops import LANES, Buffer
from ambos.core.dtype import DType
from ambos.core.features import Features

QUERY_BLOCK = 32  # queries of a forward work item; causal skipping looks at so many at a time
KEY_BLOCK = 128  # keys between two looks at the largest score
ROW_BLOCK = 64  # queries and keys of a step of the backward pass
MAX_TILE_ROWS = 13  # their addresses are one pointer and small multiples of one stride


@dataclass(frozen=True, slots=True)
class View:
    """A matrix for every batch and head. `strides`: words for batch, head, row and column."""

    buffer: Buffer
    offset: int | None
    strides: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Words. Head h reads key and value head h // `group`; `scale` and `factor` are floating."""

    batch: int
    heads: int
    group: int
    queries: int
    keys: int
    width: int
    value_width: int
    span: int
    scale: int
    factor: int


@dataclass(frozen=True, slots=True)
class AttentionKernel:
    """Forward. Work items: batch x heads x blocks of `span` queries, the last block first. `span`
    is a multiple of QUERY_BLOCK; a block of keys serves all of them while it is in the cache.

    The columns of `query`, `mask` and `output` have stride one. `mask` is (batch, head, query,
    key). `statistics` is row-major (batch, head, 2, query). Either result may be absent; `value` is
    where `output` is. `single`: each item is one query, columns of `key` and `value` have stride
    one as well, and nothing else changes.
    """

    dtype: DType
    causal: bool
    single: bool
    sizes: Sizes
    query: View
    key: View
    value: View | None
    mask: View | None
    output: View | None
    statistics: Buffer | None
    tile: tuple[int, int]
    num_words: int


@dataclass(frozen=True, slots=True)
class AttentionGradientKernel:
    """Backward. Work items: batch x key heads. `span` queries, a multiple of ROW_BLOCK, meet a
    block of keys while it is in the cache. The columns of `query`, `key`, `gradient` (of the
    result), `mask` and of what is written have stride one. `statistics` has two rows, a column for
    each query; `delta` has no columns. Any of the three results may be absent.
    """

    dtype: DType
    causal: bool
    sizes: Sizes
    query: View
    key: View
    value: View
    statistics: View
    gradient: View
    delta: View
    mask: View | None
    query_gradient: View | None
    key_gradient: View | None
    value_gradient: View | None
    tile: tuple[int, int]
    num_words: int


def attention_tile(features: Features, dtype: DType) -> tuple[int, int]:
    """Rows, and vectors of LANES columns, of the tile whose sums stay in registers.

    Example:
        >>> from ambos.core import features, dtype
        >>> attention_tile(features.AVX512, dtype.float32)
        (13, 2)
        >>> attention_tile(features.AVX2, dtype.float32)
        (6, 1)
    """
    registers = max(1, LANES * dtype.itemsize // features.vector_bytes)  # for LANES columns
    vectors = 2 if registers == 1 else 1
    free = features.registers - 1 - vectors * registers  # one of A, a row of B
    return max(1, min(MAX_TILE_ROWS, free // (vectors * registers))), vectors
