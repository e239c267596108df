"""What attention has to do at least: see `compiler.work`."""

from __future__ import annotations

import math

from ambos.compiler.attention_loops import AttentionGradientKernel, AttentionKernel
from ambos.compiler.launches import Step

EXP = 14  # operations of a power


def count_attention(kernel: AttentionKernel, step: Step) -> tuple[int, int, int]:
    """Two products and a power for every pair of a query and a key that it sees."""
    sizes = kernel.sizes
    words = sizes.batch, sizes.heads, sizes.group, sizes.queries, sizes.keys
    batch, heads, group, queries, keys = (_number(step, word) for word in words)
    width, value_width = _number(step, sizes.width), _number(step, sizes.value_width)
    pairs = batch * heads * seen_pairs(queries, keys, kernel.causal)
    read = [(heads, queries, width), (heads // group, keys, width + value_width)]
    if kernel.mask is not None:
        read.append((heads, queries, keys))
    written = (heads * queries * value_width) * (kernel.output is not None)
    written += 2 * heads * queries * (kernel.statistics is not None)
    size = batch * kernel.dtype.itemsize
    flops = pairs * (2 * width + 2 * value_width + EXP)
    return flops, size * sum(map(math.prod, read)), size * written


def count_attention_gradient(kernel: AttentionGradientKernel, step: Step) -> tuple[int, int, int]:
    """Five products and a power for every pair, whichever gradients are wanted."""
    sizes = kernel.sizes
    words = sizes.batch, sizes.heads, sizes.group, sizes.queries, sizes.keys
    batch, heads, group, queries, keys = (_number(step, word) for word in words)
    width, value_width = _number(step, sizes.width), _number(step, sizes.value_width)
    pairs = batch * heads * seen_pairs(queries, keys, kernel.causal)
    rows, columns = heads * queries, heads // group * keys
    read = rows * (width + value_width + 3) + columns * (width + value_width)
    read += heads * queries * keys * (kernel.mask is not None)
    written = rows * width * (kernel.query_gradient is not None)
    written += columns * width * (kernel.key_gradient is not None)
    written += columns * value_width * (kernel.value_gradient is not None)
    size = batch * kernel.dtype.itemsize
    return pairs * (6 * width + 4 * value_width + EXP), size * read, size * written


def seen_pairs(queries: int, keys: int, causal: bool) -> int:
    """Pairs of a query and a key that takes part.

    Example:
        >>> seen_pairs(3, 5, False), seen_pairs(3, 5, True), seen_pairs(5, 3, True)
        (15, 6, 12)
    """
    if not causal:
        return queries * keys
    short = min(queries, keys)
    return short * (short + 1) // 2 + (queries - short) * keys


def _number(step: Step, word: int) -> int:
    value = step.words[word]
    assert isinstance(value, int)
    return value
