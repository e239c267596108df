"""Long sums with few results: their blocks of k are work items, whose parts are added up after.

The canonical order adds the chains of the blocks of k one by one. So blocks may be computed in any
order, if each one's chain is stored and a second kernel adds them: no bit depends on it.
"""

from __future__ import annotations

import math

from ambos.compiler.loops import block_length
from ambos.ops.contraction import Spec

BLOCKS_PER_THREAD = 4  # fewer do not even out
WIDEST = 2  # rows or columns to one k of a block: what is written should be little


def parts_of(spec: Spec, threads: int) -> int:
    """How many blocks of k become items, or 0 if they should not.

    Threads that share the results instead, by rows or columns, each read (and copy, and transpose)
    an operand whole, which is dear where the other has few rows or columns. (Weight gradients of
    1x1 convolutions, two threads, by rows and columns and by blocks: 64 channels, 25088 pixels 1344
    and 876 us; 512 to 128 channels, 6272 pixels 3.6 and 2.9 ms.)

    Example:
        >>> from ambos.ops.contraction import make_spec, plain
        >>> def product(m, k, n):
        ...     sizes = {"m": m, "k": k, "n": n}
        ...     return make_spec(plain("mk"), "kn", "mn", "k", sizes)
        >>> [parts_of(product(64, 4096, n), threads) for n, threads in ((64, 1), (64, 2), (600, 2))]
        [0, 16, 0]
    """
    sizes, out, b = spec.sizes(), set(spec.out), set(spec.b)
    a = set(spec.a_labels)
    k = math.prod(sizes[label] for label in spec.contracted)
    blocks = -(-k // block_length(k))
    if threads == 1 or blocks < BLOCKS_PER_THREAD * threads:
        return 0
    if a & b & out:
        return 0  # batches give the threads enough to do
    rows = math.prod(sizes[label] for label in out & a)
    columns = math.prod(sizes[label] for label in out & b)
    if max(rows, columns) > WIDEST * block_length(k):
        return 0
    # The parts are at most half as large as what is multiplied.
    return blocks if 2 * rows * columns <= (rows + columns) * block_length(k) else 0
