"""The shape of a contraction's register tile and of its work items. Bits never depend on either.

The tile shapes the code, so it may follow sizes only coarsely: a kernel is compiled anew only when
`rows == 1` or `columns <= 16` changes. The row block is an argument word and free to follow sizes.
"""

from __future__ import annotations

from ambos.compiler.loops import LANES
from ambos.core.dtype import DType
from ambos.core.features import Features

MAX_ROW_BLOCK = 504  # rows; the table of their addresses lies on the stack
MAX_TILE_ROWS = 11  # more would not find address registers on x86; 3 x 11 wastes one row in 33
FEW_ROWS, MANY_ROWS = 48, 288
ITEMS_PER_THREAD = 2


def choose_tile(features: Features, columns: int, rows: int, accumulator: DType) -> tuple[int, int]:
    """Rows, and vectors of LANES columns, of the tile whose sums stay in registers.

    Example:
        >>> from ambos.core import features, dtype
        >>> choose_tile(features.AVX2, 512, 512, dtype.float32)
        (6, 1)
        >>> choose_tile(features.AVX512, 512, 512, dtype.float32)
        (11, 2)
        >>> choose_tile(features.AVX512, 10, 512, dtype.float32)
        (11, 1)
        >>> choose_tile(features.AVX2, 512, 1, dtype.float32)
        (1, 4)
    """
    narrow = columns <= LANES
    registers = max(1, LANES * accumulator.itemsize // features.vector_bytes)  # for LANES columns
    if rows == 1:  # only columns can give the multiply-add units independent chains
        return 1, 1 if narrow else max(1, 8 // max(registers, 2))
    vectors = 2 if registers == 1 and not narrow else 1
    free = features.registers - 1 - vectors * registers  # one of A, a row of B
    return max(2, min(MAX_TILE_ROWS, free // (vectors * registers))), vectors


def row_block(
    features: Features,
    tile: tuple[int, int],
    rows: int,
    k: int,
    itemsize: int,
    others: int = 1,
    threads: int = 1,
) -> int:
    """Rows of a work item, a multiple of the tile's.

    If it can, the item's part of A (`k` elements of `itemsize` bytes in a row) stays in the second
    cache while the panels go by. With a long k only few rows could, and B would be read again for
    each few: then the block is large, and only its part of one k block is held.
    `others` is the number of items along the other axes (batches x panels): blocks are smaller
    where `threads` would not get enough items.

    Example:
        >>> from ambos.core import features
        >>> row_block(features.AVX2, (6, 1), 1024, 1024, 4, others=64)
        66
        >>> row_block(features.AVX2, (6, 1), 576, 25088, 4, others=4, threads=2)
        288
        >>> row_block(features.AVX2, (6, 1), 10, 64, 4)
        12
    """
    height = tile[0]
    cached = features.l2_bytes // 2 // max(1, k * itemsize)
    wanted = MANY_ROWS if cached < FEW_ROWS else min(cached, MAX_ROW_BLOCK)
    if threads > 1:
        wanted = min(wanted, -(-rows * others // (ITEMS_PER_THREAD * threads)))
    wanted = max(wanted, 2 * height)
    blocks = max(1, -(-rows // wanted))
    even = -(-rows // blocks)  # equal shares
    return min(max(1, -(-even // height)) * height, MAX_ROW_BLOCK // height * height)
