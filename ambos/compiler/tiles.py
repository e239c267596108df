"""The shape of a contraction's register tile and of its work items. Bits never depend on either.

The tile shapes the code, so it may follow sizes only coarsely: a kernel is compiled anew only when
`rows == 1` or, where rows are not fewer than 8, `columns <= 16` changes. Row blocks and groups of
panels are argument words, free to follow sizes.
"""

from __future__ import annotations

from typing import NamedTuple

from ambos.compiler.loops import LANES, block_length
from ambos.core.dtype import DType
from ambos.core.features import Features
from ambos.core.open import computed

MAX_ROW_BLOCK = 1023  # rows; the table of their addresses lies on the stack
MAX_TILE_ROWS = 11  # more would not find address registers on x86; 3 x 11 wastes one row in 33
MAX_PAIRS = 8  # keep two units busy; more need address registers that a stride of A's takes
FEW_ROWS = 48
WAY_BYTES = 4096  # memory this far apart shares a line of the first cache, everywhere today
MOVING_PANELS = 8
PACK_ROWS = 96  # fewer rows than this do not earn back a copy of a B that can be read in place
ITEMS_PER_THREAD = 2
EVEN_ITEMS_PER_THREAD = 8  # so many even out by themselves


def fit_in_pairs(columns: int, rows: int) -> bool:
    """Is there room for two rows in a vector of `columns`, and does each of `rows` that lie side by
    side have a partner? (`loops.ContractKernel.pairs`)

    Example:
        >>> fit_in_pairs(6, 28), fit_in_pairs(6, 27), fit_in_pairs(16, 28)
        (True, False, False)
    """
    return columns <= LANES // 2 and rows % 2 == 0


def choose_tile(
    features: Features, columns: int, rows: int, accumulator: DType, turned: bool = False,
    is_thin: bool = False, pairs: bool = False,
) -> tuple[int, int]:  # fmt: skip
    """Rows, and vectors of LANES columns, of the tile whose sums stay in registers. `turned`: a
    block of B's panel is transposed to scratch first, and should fit the first cache. `is_thin`:
    the columns are a batch, of any size, for there are fewer rows still: one tile for all. `pairs`:
    a vector holds the sums of two rows.

    Example:
        >>> from ambos.core import features, dtype
        >>> choose_tile(features.AVX2, 512, 512, dtype.float32)
        (6, 1)
        >>> choose_tile(features.AVX512, 512, 512, dtype.float32)
        (11, 2)
        >>> choose_tile(features.AVX512, 10, 512, dtype.float32)
        (11, 1)
        >>> choose_tile(features.AVX512, 6, 512, dtype.float32, pairs=True)
        (16, 1)
        >>> choose_tile(features.AVX2, 512, 1, dtype.float32)
        (1, 4)
        >>> choose_tile(features.AVX512, 512, 1, dtype.float32, turned=True)
        (1, 2)
    """
    narrow = columns <= LANES and not is_thin
    registers = max(1, LANES * accumulator.itemsize // features.vector_bytes)  # for LANES columns
    if rows == 1:  # only columns can give the multiply-add units independent chains
        wide = max(1, 8 // max(registers, 2))
        return 1, 1 if narrow else min(2, wide) if turned else wide
    vectors = 2 if registers == 1 and not narrow else 1
    free = features.registers - 1 - vectors * registers  # one of A, a row of B
    height = max(2, min(MAX_PAIRS if pairs else MAX_TILE_ROWS, free // (vectors * registers)))
    return height * (2 if pairs else 1), vectors


@computed
def choose_item(
    features: Features,
    tile: tuple[int, int],
    rows: int,
    k: int,
    itemsize: int,
    panels: int = 1,
    batches: int = 1,
    threads: int = 1,
    moves: bool = False,
    turned: bool = False,
    copied: bool = False,
) -> tuple[int, int]:
    """Rows (a multiple of the tile's) and panels of a work item.

    For each block of k, an item's part of A stays in the second cache while its panels go by,
    beside the totals of the item if there are several blocks of k. More rows mean that B's panels
    are copied less often, more panels that A is read less often. Items get smaller, panels first,
    where `threads` would not get enough of them: two each, so that they even out, but one where an
    item begins by copying A (`copied`; 256 squares of a transposed A, two threads: 127 and 103 us),
    and more where a single row has nothing to share.

    Example:
        >>> from ambos.core import features
        >>> choose_item(features.AVX2, (6, 1), 1024, 1024, 4, panels=64)
        (114, 32)
        >>> choose_item(features.AVX2, (6, 1), 10, 64, 4)
        (12, 1)
        >>> choose_item(features.AVX2, (6, 1), 100, 64, 4, panels=8, threads=2)
        (102, 2)
    """
    height, length = tile[0], block_length(k)
    cached = features.l2_bytes // (6 if moves else 4) // (length * itemsize)
    block = equal_share(rows, max(FEW_ROWS, min(cached, MAX_ROW_BLOCK // height * height)), height)
    group = panels
    if turned and rows < FEW_ROWS and not copied:
        group = 1  # reading B is all there is to do: in a straight line
    elif k > length:
        totals = block * tile[1] * LANES * itemsize
        group = equal_share(panels, max(1, features.l2_bytes // 20 * 11 // totals))
    if threads > 1:
        each = 1 if copied else ITEMS_PER_THREAD if height > 1 else EVEN_ITEMS_PER_THREAD
        wanted = each * threads
        others = batches * -(-rows // block)
        group = min(group, equal_share(panels, max(1, panels * others // wanted)))
        others = batches * -(-panels // group)
        if others * -(-rows // block) < wanted:
            fewer = max(2 * height, -(-rows * others // wanted))
            block = min(block, equal_share(rows, fewer, height))
        block = even_share(rows, block, height, batches * -(-panels // group), threads)
    return block, group


def even_share(rows: int, block: int, height: int, others: int, threads: int) -> int:
    """A row block, at most `block`, with which no thread waits long for the last items: where there
    are few items, each with `others` of its kind, their number should be a multiple of `threads`.
    (1024 squares: 5 items for two threads took 8.5 ms, 6 take 6.8.)

    Example:
        >>> even_share(1024, 209, 11, 1, 2), even_share(1024, 209, 11, 2, 2)
        (176, 209)
    """
    parts = max(1, -(-rows // block))
    for more in range(parts, parts + threads):
        share = max(1, -(-rows // (more * height))) * height
        items = -(-rows // share) * others
        if items >= EVEN_ITEMS_PER_THREAD * threads or share < 2 * height:
            break
        if items % threads == 0:
            return share
    return block


def equal_share(amount: int, limit: int, unit: int = 1) -> int:
    """The smallest part of `amount`, in whole units, that needs no more parts than `limit` does.

    Example:
        >>> equal_share(100, 48, 6), equal_share(10, 64, 6), equal_share(9, 4)
        (36, 12, 3)
    """
    parts = max(1, -(-amount // max(1, limit // unit * unit)))
    return max(1, -(-amount // (parts * unit))) * unit


class Scratch(NamedTuple):
    """What a work item keeps in its thread's scratch memory, in bytes: totals from 0 on, then
    copies of one block of k of B's panel and of A's rows."""

    b: int
    a: int
    size: int


@computed
def scratch_of(
    tile: tuple[int, int], block: int, group: int, k: int, itemsizes: tuple[int, int, int],
    copies: tuple[bool, bool],
) -> Scratch:  # fmt: skip
    """Room for `block` rows x `group` panels, sums of `k` products. `itemsizes` are those of the
    accumulator, A and B, `copies` says whether A and B are copied.

    Example:
        >>> scratch_of((11, 2), 22, 2, 300, (4, 4, 4), (False, True))
        Scratch(b=5632, a=24832, size=24832)
    """
    width, length = tile[1] * LANES, block_length(k)
    several = k > length
    accumulator, a, b = itemsizes
    totals = round_up(block * group * width * accumulator) if several else 0
    panel = round_up(length * width * b) if copies[1] else 0
    pitch = -(-length // LANES) * LANES + LANES  # as in Driver
    rows = round_up(block * pitch * a) if copies[0] else 0
    return Scratch(totals, totals + panel, totals + panel + rows)


def round_up(size: int) -> int:
    """To whole cache lines."""
    return -(-size // 64) * 64


def moves_rows(pitch: int, panels: int) -> bool:
    """Whether rows `pitch` bytes apart should be copied before `panels` panels go by: where the
    rows of a tile lie in the same few lines of a cache, they and B push each other out."""
    return pitch % WAY_BYTES == 0 and panels >= MOVING_PANELS


@computed
def reads_in_place(rows: int, height: int, pitch: int) -> bool:
    """Whether B, whose k lie `pitch` bytes apart, should not be copied for `rows` rows in tiles of
    `height`: where it is read only once, or seldom and its k do not push each other out of the
    caches (32 rows by (768, 3072): 1.77 ms in place, 1.22 copied; by (768, 768): 0.24, 0.29).

    Example:
        >>> reads_in_place(1, 1, 12288), reads_in_place(32, 11, 12288), reads_in_place(32, 11, 3072)
        (True, False, True)
    """
    far = pitch % WAY_BYTES == 0 or pitch > 2 * WAY_BYTES
    return rows <= height or (rows < PACK_ROWS and not far)
