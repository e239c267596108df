"""The middle oracle of attention: its kernels in NumPy, in the order that the loop IR states."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ambos.compiler.attention_loops import (
    KEY_BLOCK,
    QUERY_BLOCK,
    ROW_BLOCK,
    AttentionGradientKernel,
    AttentionKernel,
    Sizes,
    View,
)
from ambos.core.dtype import DType
from ambos.core.errors import IndexingError
from ambos.ops.elementary import exp2_flushed
from ambos.ops.fused import fused_multiply_add
from ambos.testing.scalar import NumpyBuilder, NumpyValue, storage

Array = npt.NDArray[Any]
Memory = Mapping[int, Array]
Words = Sequence[int | float]
BUILDER: Any = NumpyBuilder()


class Matrices:
    """Words and memory of one launch."""

    def __init__(self, dtype: DType, words: Words, memory: Memory) -> None:
        self.dtype, self.words, self.memory = dtype, words, memory
        self.type = storage(dtype).type

    def lengths(self, sizes: Sizes) -> tuple[int, int, int, int]:
        """Queries, keys, width, width of the values."""
        words = sizes.queries, sizes.keys, sizes.width, sizes.value_width
        queries, keys, width, value_width = (int(self.words[word]) for word in words)
        return queries, keys, width, value_width

    def place(self, view: View, batch: int, head: int, shape: tuple[int, int]) -> Array:
        """The element numbers of the (rows, columns) of a matrix."""
        assert view.buffer.word is not None
        flat = self.memory[view.buffer.word]
        steps = [int(self.words[word]) for word in view.strides]
        offset = 0 if view.offset is None else int(self.words[view.offset])
        at = offset + np.arange(shape[0])[:, None] * steps[2] + np.arange(shape[1]) * steps[3]
        at = at + batch * steps[0] + head * steps[1]
        if at.size and not 0 <= at.min() <= at.max() < flat.size:
            raise IndexingError(f"interpret: word {view.buffer.word} has {flat.size} elements")
        return at

    def read(self, view: View, batch: int, head: int, shape: tuple[int, int]) -> Array:
        at = self.place(view, batch, head, shape)
        found: Array = self.memory[view.buffer.word][at]  # type: ignore[index]
        return found

    def write(self, view: View, batch: int, head: int, values: Array) -> None:
        at = self.place(view, batch, head, values.shape)
        self.memory[view.buffer.word][at] = values  # type: ignore[index]

    def chain(self, a: Array, b: Array) -> Array:
        """a @ b, each element one chain of fused multiply-adds from zero."""
        total = np.zeros((a.shape[0], b.shape[1]), self.type)
        for k in range(a.shape[1]):
            total = fused_multiply_add(np, *np.broadcast_arrays(a[:, k, None], b[k], total))
        return total

    def fma(self, a: Any, b: Any, c: Any) -> Array:
        given = (np.asarray(x, self.type) for x in (a, b, c))
        return fused_multiply_add(np, *np.broadcast_arrays(*given))

    def power(self, z: Array, factor: Any, largest: Array) -> Array:
        """exp2((z - largest) factor)."""
        with np.errstate(all="ignore"):
            x = NumpyValue(np.asarray((z - largest) * factor, self.type), self.dtype)
        found: Array = exp2_flushed(BUILDER, x).data
        return found


def interpret_attention(kernel: AttentionKernel, words: Words, memory: Memory) -> None:
    """Run the forward pass on `memory`, which changes in place."""
    here = Matrices(kernel.dtype, words, memory)
    batch, heads = (int(words[word]) for word in (kernel.sizes.batch, kernel.sizes.heads))
    for index in np.ndindex(batch, heads):
        _forward(kernel, here, *index)


def _forward(kernel: AttentionKernel, here: Matrices, batch: int, head: int) -> None:
    words, kind = here.words, here.type
    queries, keys, width, value_width = here.lengths(kernel.sizes)
    factor = kind(words[kernel.sizes.factor])
    shared = head // int(words[kernel.sizes.group])
    q = here.read(kernel.query, batch, head, (queries, width))
    k = here.read(kernel.key, batch, shared, (keys, width))
    z = _scores(kernel, here, q, k, batch, head)
    end = _ends(kernel.causal, queries, keys)
    v = np.zeros((keys, 0), kind)
    if kernel.value is not None:
        v = here.read(kernel.value, batch, shared, (keys, value_width))
    largest, total = np.full(queries, -np.inf, kind), np.zeros(queries, kind)
    output = np.zeros((queries, v.shape[1]), kind)
    for start in range(0, keys, KEY_BLOCK):
        for rows, stop in _groups(end, start):
            part = z[rows, start : min(stop, start + KEY_BLOCK)]
            best = np.fmax(largest[rows], np.fmax.reduce(part, 1))
            reference = _reference(best)
            p = here.power(part, factor, reference[:, None])
            decay = here.power(largest[rows], factor, reference)
            ones = np.ones((part.shape[1], 1), kind)
            total[rows] = here.fma(total[rows], decay, here.chain(p, ones)[:, 0])
            share = here.chain(p, v[start : start + part.shape[1]])
            output[rows] = here.fma(output[rows], decay[:, None], share)
            largest[rows] = best
    with np.errstate(all="ignore"):
        inverse = np.where(total == 0, kind(0), kind(1) / total)
        if kernel.output is not None:
            here.write(kernel.output, batch, head, output * inverse[:, None] + kind(0))
        if kernel.statistics is not None:
            found = np.concatenate([_reference(largest), inverse])
            line = batch * int(words[kernel.sizes.heads]) + head
            assert kernel.statistics.word is not None
            memory = here.memory[kernel.statistics.word]
            memory[line * len(found) : (line + 1) * len(found)] = found


def _reference(largest: Array) -> Array:
    """What scores are taken relative to: 0 while no key takes part."""
    return np.where(np.isneginf(largest), largest.dtype.type(0), largest)


def _scores(
    kernel: AttentionKernel | AttentionGradientKernel, here: Matrices, q: Array, k: Array,
    batch: int, head: int,
) -> Array:  # fmt: skip
    """z of every query and key."""
    kind = here.type
    z = here.chain(q, k.T)
    if kernel.mask is not None:
        mask = here.read(kernel.mask, batch, head, z.shape)
        z = here.fma(z, kind(here.words[kernel.sizes.scale]), mask)
    if kernel.causal:
        z = np.where(np.arange(len(k)) <= np.arange(len(q))[:, None], z, kind(-np.inf))
    return z


def _ends(causal: bool, queries: int, keys: int) -> Array:
    """How many keys each query looks at."""
    if not causal:
        return np.full(queries, keys)
    return np.minimum(keys, (np.arange(queries) // QUERY_BLOCK + 1) * QUERY_BLOCK)


def interpret_attention_gradient(
    kernel: AttentionGradientKernel, words: Words, memory: Memory
) -> None:
    """Run the backward pass on `memory`, which changes in place."""
    here, sizes = Matrices(kernel.dtype, words, memory), kernel.sizes
    group, scale = int(words[sizes.group]), here.type(words[sizes.scale])
    _, keys, width, value_width = here.lengths(sizes)
    for batch, shared in np.ndindex(int(words[sizes.batch]), int(words[sizes.heads]) // group):
        dk, dv = (np.zeros((keys, n), here.type) for n in (width, value_width))
        for head in range(shared * group, (shared + 1) * group):
            dq = _backward(kernel, here, batch, head, dk, dv)
            if kernel.query_gradient is not None:
                here.write(kernel.query_gradient, batch, head, dq * scale)
        if kernel.key_gradient is not None:
            here.write(kernel.key_gradient, batch, shared, dk * scale)
        if kernel.value_gradient is not None:
            here.write(kernel.value_gradient, batch, shared, dv)


def _backward(
    kernel: AttentionGradientKernel, here: Matrices, batch: int, head: int, dk: Array, dv: Array
) -> Array:
    """dQ of one head; adds to dK and dV."""
    sizes = kernel.sizes
    queries, keys, width, value_width = here.lengths(sizes)
    shared = head // int(here.words[sizes.group])
    q = here.read(kernel.query, batch, head, (queries, width))
    g = here.read(kernel.gradient, batch, head, (queries, value_width))
    k = here.read(kernel.key, batch, shared, (keys, width))
    v = here.read(kernel.value, batch, shared, (keys, value_width))
    reference, inverse = here.read(kernel.statistics, batch, head, (2, queries))[..., None]
    delta = here.read(kernel.delta, batch, head, (queries, 1)) * inverse
    g = g * inverse
    factor = here.type(here.words[sizes.factor])
    p = here.power(_scores(kernel, here, q, k, batch, head), factor, reference)
    end = _ends(kernel.causal, queries, keys)
    p = np.where(np.arange(keys) < end[:, None], p, here.type(0))
    ds = p * (here.chain(g, v.T) - delta)
    dq = np.zeros_like(q)
    for first in range(0, queries, ROW_BLOCK):
        rows = slice(first, first + ROW_BLOCK)
        for start in range(0, int(end[rows].max()), ROW_BLOCK):
            part = slice(start, start + ROW_BLOCK)
            dq[rows] += here.chain(ds[rows, part], k[part])
            dk[part] += here.chain(ds[rows, part].T, q[rows])
            dv[part] += here.chain(p[rows, part].T, g[rows])
    return dq


def _groups(end: Array, start: int) -> list[tuple[slice, int]]:
    """Runs of queries that look at equally many keys, if they look at key `start` at all."""
    edges = [0, *(np.flatnonzero(np.diff(end)) + 1), len(end)]
    pairs = itertools.pairwise(edges)
    return [(slice(a, b), int(end[a])) for a, b in pairs if b > a and end[a] > start]
