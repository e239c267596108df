"""Loop IR: what a kernel does, free of any target.

Two kernel forms cover everything:

* `LoopKernel`: stages (`Map`, `Fold`) that share outer loops. A pointwise chain is one Map; a
  reduction a Fold and a Map; softmax over a row is Fold max, Fold sum, Map, in one pass over it.
* `ContractKernel`: a register-blocked contraction (matmul, convolution, their gradients) with an
  epilogue that stores the tile.

Scalar code is a *tape*: instructions in order, operands named by position, so that it hashes
fast and shares subexpressions. Everything that varies with sizes is a *word*, an index into the
run-time arguments (`Kernel ABI` in core.program): extents, strides, offsets (in elements), pointers
and constants. Two graphs that differ in sizes only give equal kernels, hence one machine code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ambos.core.dtype import DType
from ambos.core.open import computed

UNIT = -1  # a stride of one, known when the code is generated (vector loads need to know)
LANES = 16  # logical vector width everywhere; a target splits it over its registers
BLOCK = 4096  # reduction block: so many elements along the innermost reduced axis
TILE = 64  # indices of either axis of a transposing kernel's tile
PANEL = 512  # columns that a fold across them takes at once
K_BLOCK = 256  # contraction block: so many products are chained before a total is taken


@dataclass(frozen=True, slots=True)
class Index:
    """An element address: offset + sum(axis * stride) + sum(value * stride).

    `offset` is a word or None for 0. `terms` pairs an axis number with a stride (a word or UNIT);
    an axis that is absent has stride 0. `gathers` pairs an int64 instruction with a stride.
    """

    offset: int | None = None
    terms: tuple[tuple[int, int], ...] = ()
    gathers: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory: the pointer in word `word`, or (word None) the thread's scratch memory.

    A scratch Index is in elements from the start of the scratch and must not mention the lane
    axis: with a lane axis every scratch element stands for a group of PANEL neighbours.
    """

    word: int | None
    dtype: DType


# --- the tape ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Const:
    """A number from the argument words: a float64's bits for floating types, else an int64."""

    word: int
    dtype: DType


@dataclass(frozen=True, slots=True)
class Literal:
    """A number known when the code is generated (0, 1, infinities)."""

    value: bool | int | float
    dtype: DType


@dataclass(frozen=True, slots=True)
class Size:
    """The int64 in an argument word (an extent or offset) as a value."""

    word: int


@dataclass(frozen=True, slots=True)
class Position:
    """The int64 index along `axis`."""

    axis: int


@dataclass(frozen=True, slots=True)
class Load:
    """Read an element. Where `mask` (a bool instruction) is false nothing is read and the result
    is zero."""

    buffer: Buffer
    index: Index
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class Apply:
    """A pointwise op of the registry, by name, on earlier instructions. `dtype` is the result's."""

    op: str
    args: tuple[int, ...]
    dtype: DType


@dataclass(frozen=True, slots=True)
class Result:
    """What the Fold stage number `stage` of this kernel computed (part 0: the value, or for
    argmax and argmin the int64 position; in a contraction's epilogue stage 0 is the
    accumulator)."""

    stage: int
    dtype: DType


Instr = Const | Literal | Size | Position | Load | Apply | Result


def operands(instruction: Instr) -> list[int]:
    """The instructions that `instruction` reads."""
    if isinstance(instruction, Apply):
        return list(instruction.args)
    if isinstance(instruction, Load):
        read = [value for value, _ in instruction.index.gathers]
        return read if instruction.mask is None else [*read, instruction.mask]
    return []


def closure(tape: Sequence[Instr], roots: Iterable[int]) -> set[int]:
    """`roots` and every instruction that they are computed from."""
    seen: set[int] = set()
    pending = list(roots)
    while pending:
        current = pending.pop()
        if current not in seen:
            seen.add(current)
            pending += operands(tape[current])
    return seen


def loads(tape: Sequence[Instr], roots: Iterable[int]) -> dict[int, Load]:
    """The loads, by number, that `roots` are computed from."""
    found = ((number, tape[number]) for number in sorted(closure(tape, roots)))
    return {number: i for number, i in found if isinstance(i, Load)}


# --- loop kernels --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Store:
    """Write instruction `value`. `mask`: only where true. `combine`: what is there "add", "mul",
    "max" or "min" (NaN wins) the value. `stream`: full vectors lie at multiples of 64 bytes, and
    nobody reads them from a cache."""

    buffer: Buffer
    index: Index
    value: int
    mask: int | None = None
    combine: str = ""
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Map:
    """For every point of `axes` (outermost first, may be empty) do the stores in order.

    Without a lane axis the last of `axes` is vectorised unless `ordered` (a scatter: later
    points see the writes of earlier ones)."""

    axes: tuple[int, ...]
    stores: tuple[Store, ...]
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Fold:
    """Reduce instruction `value` over `axes` (outermost first, never empty) with `op`: "add",
    "mul", "max", "min" (NaN wins), "argmax", "argmin" (first wins, NaN first of all).

    The last `joined` axes count as one, the last axis of what follows, with row-major indices.

    The canonical order of "add" and "mul", whatever the target: for each point of the outer axes
    in row-major order, for each run of BLOCK indices along the last axis: LANES partial results,
    partial p taking the indices with index % LANES == p in order, from the identity; combined as
    p[i] op p[i+8], then +4, +2, +1; the first run's result is the total, each next run's is
    combined onto it in order. An empty reduction gives the identity.
    argmax and argmin give the row-major position within `axes`.

    `plain` ("add", "mul"): one total in row-major order instead, from -0.0 or 1, which leave the
    first value as it is. That is how the results of the runs of a split fold (LoopKernel.run), or
    of the blocks of a split contraction, are combined.
    """

    axes: tuple[int, ...]
    op: str
    value: int
    plain: bool = False
    joined: int = 1


def roots(stage: Map | Fold) -> list[int]:
    """The instructions that a stage takes in, or stores, or stores by."""
    if isinstance(stage, Fold):
        return [stage.value]
    found = [n for s in stage.stores for n in (s.value, s.mask) if n is not None]
    return found + [value for s in stage.stores for value, _ in s.index.gathers]


@dataclass(frozen=True, slots=True)
class Tile:
    """Two axes that are walked in tiles, because loads are contiguous along `rows` and stores
    along `columns`. An item covers `row_grain` indices of the one and `column_grain` (words,
    values multiples of TILE) of the other; the stages see both axes as outer ones."""

    rows: int
    columns: int
    row_grain: int
    column_grain: int


@dataclass(frozen=True, slots=True)
class Columns:
    """Partial sums of columns beside rows: maps accumulate what row r has into memory that is
    addressed by `run` and `slot`, two axes bound to r // BLOCK and r % LANES. The kernel has one
    grid axis, the rows. Items are runs by groups of `grain` slots (grain divides LANES), the
    groups fastest: for each slot of its group an item does `clear` (stores of zeros over inner
    axes), then, for each LANES rows of its run, those of its slots, in order."""

    run: int
    slot: int
    clear: Map


@dataclass(frozen=True, slots=True)
class LoopKernel:
    """`extents[axis]` is the word with that axis's extent. Outer axes, outermost first:

    * `grid`: at least one; flattened into work items. If `grain` (a WORD, like
      `extents`) is given there is exactly one grid axis and item i covers its indices i*grain up
      to (i+1)*grain, else one index.
    * `serial`: loops inside an item, around all stages.
    * `lane`: LANES neighbouring indices at once for all stages. It may be the only grid axis
      (then grain is given, its value a multiple of LANES) or an axis of its own, innermost.
    * `run`, if given, is a grid or serial axis that numbers the runs of the last axis of every
      stage (of those that have axes): it covers the BLOCK indices of that run only.
    * `tile`: a kernel with maps over no axes only, whose outer axes are `grid` (maybe none) and the
      two of the tile. Items are the grid flattened, then blocks of rows, then blocks of columns.
      Needs `tile_scratch` bytes of scratch.
    * `unless_same`: two words with pointers; where these are equal there is nothing to do (every
      element would be copied onto itself). Not with a tile.
    * `ahead`: a word, bytes: maps along their last axis ask the cache for what they will write so
      far further on.
    * `columns`: items and the order of rows are as told there; `grain` is given.
    All other axes are inner and belong to stages. Vectors end in a masked tail, so nothing
    outside an axis's extent is ever read or written.
    """

    extents: tuple[int, ...]
    grid: tuple[int, ...]
    serial: tuple[int, ...]
    lane: int | None
    grain: int | None  # word
    tape: tuple[Instr, ...]
    stages: tuple[Map | Fold, ...]
    num_words: int
    tile: Tile | None = None
    run: int | None = None
    unless_same: tuple[int, int] | None = None
    columns: Columns | None = None
    ahead: int | None = None


def transposed(kernel: LoopKernel) -> list[int]:
    """The loads of a tile that are contiguous along its rows only."""
    if kernel.tile is None:
        return []
    written = {s.buffer.word for stage in kernel.stages if isinstance(stage, Map)
               for s in stage.stores}  # fmt: skip
    found = []
    for number, instruction in enumerate(kernel.tape):
        if isinstance(instruction, Load) and instruction.buffer.word not in written:
            strides = dict(instruction.index.terms)
            across = strides.get(kernel.tile.columns)
            if strides.get(kernel.tile.rows) == UNIT and across not in (None, UNIT):
                found.append(number)
    return found


def tile_scratch(kernel: LoopKernel) -> int:
    """Bytes of scratch that the transposed loads of a tile take."""
    loads = (kernel.tape[number] for number in transposed(kernel))
    return sum(TILE * TILE * load.buffer.dtype.itemsize for load in loads if isinstance(load, Load))


# --- contractions --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ContractKernel:
    """out[batch, row, col] = epilogue(sum over k of A[batch, row, k] * B[batch, k, col]).

    The canonical order: products are chained by fused multiply-add from zero over each run of
    `k_block` consecutive k (word, computed by `block_length`), the first run's chain is the
    total, each next run's is added onto it. k is the flattened logical index of the contracted
    labels in the op's order. Integers multiply and add in the accumulator's type.

    Axes are numbered batch axes first, then row axes, then the column axis (last), for use by
    `Position` and `Index` in the epilogue.

    A element address: a_offset + sum(batch * a_batch) + sum(row * a_rows) + K offset.
    K is cut into `num_runs` runs of `run_length`; run r starts at tables a_runs[r], b_runs[r]
    (pointers to int64 element offsets) and advances by strides a_k, b_k (words or UNIT).
    `a_vector`: A also varies along the column axis, with unit stride (depthwise convolution).
    `a_form`, how the kernel reads A: "place": where it lies. "rows": rows are neighbours (they are
    one axis then, of unit stride); blocks are copied to scratch first. "k": rows are one axis and
    k are neighbours (a_k is UNIT); blocks are copied if word `a_move` is not 0, which needs a
    single run.
    B element address: b_offset + sum(batch * b_batch) + K offset + column address, where the
    column address is (col // width) * b_panel + (col % width) * b_line; a panel is `width` columns
    wide, width = the tile's columns. How the kernel reads B is `b_form`:
    "packed": panels are padded to full width with zeros and one k follows the other (b_k is not
    read: it is the tile's width). "copy": columns are neighbours; the block of a panel is copied
    to scratch first, or, if word `b_in_place` is not 0 and the panel is full, read where it lies.
    "turn": k are neighbours (b_k is UNIT); they are transposed on their way to scratch.

    `pairs`: rows 2i and 2i + 1 lie side by side in A (form "place", an even number of rows), and
    columns are at most half the LANES: one vector of sums serves both rows.

    `split`: batch axis 0 numbers the blocks of k, and each block's chain is a result of its own.
    Another kernel adds them onto each other in order.

    Work items: batch x row blocks of `row_block` rows (word) x groups of `group` column panels
    (word), the groups fastest. A row block is a multiple of the tile's rows and at most
    tiles.MAX_ROW_BLOCK. Scratch of a thread: if there is more than one k block, the totals of an
    item, row_block * group * tile columns; copies of blocks of B at byte `b_scratch` (word) and
    of A at byte `a_scratch` (word); tiles.scratch_of says how large they are.
    """

    extents: tuple[int, ...]  # words: batch axes, row axes, column axis
    num_batch: int
    num_rows: int
    a: Buffer
    b: Buffer
    accumulator: DType
    a_offset: int | None
    a_batch: tuple[int, ...]  # one stride word per batch axis
    a_rows: tuple[int, ...]  # one stride word per row axis
    b_offset: int | None
    b_batch: tuple[int, ...]
    b_panel: int
    b_line: int
    b_form: str
    b_in_place: int
    a_vector: bool
    a_form: str
    a_move: int
    num_runs: int
    run_length: int
    a_runs: int
    b_runs: int
    a_k: int
    b_k: int
    k_block: int
    row_block: int
    group: int
    b_scratch: int
    a_scratch: int
    tile: tuple[int, int]  # rows, vectors of LANES columns
    tape: tuple[Instr, ...]
    stores: tuple[Store, ...]
    num_words: int
    split: bool = False
    pairs: bool = False


@computed
def block_length(extent: int) -> int:
    """Length of the canonical k blocks: equal shares of at most K_BLOCK.

    Example:
        >>> block_length(100), block_length(256), block_length(300)
        (100, 256, 150)
    """
    blocks = max(1, -(-extent // K_BLOCK))
    return max(1, -(-extent // blocks))


# --- running results -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScanKernel:
    """At every point of `axis`, `op` ("add", "mul", "max", "min"; NaN wins) over the values of
    instruction `value` up to there (from there on, if `reverse`); `Result(0, ...)` in the stores.

    The canonical order: `axis` is cut into blocks of BLOCK, these into groups of LANES. Within a
    group, four steps combine what lies 1, 2, 4 and 8 apart (the earlier on the left). The
    group's carry, which is the identity at a block's start and else the last result before it
    within the block, is combined on the left, and so is the block's base: the identity, or the
    last result of the block before. `reverse` counts positions from the end.

    Items: `grid` (outer axes, flattened), then blocks of `grain` (word, a multiple of LANES)
    indices of `lane`, if vectors lie along that axis. Scratch: `scan_scratch`.
    """

    extents: tuple[int, ...]
    grid: tuple[int, ...]
    lane: int | None
    grain: int | None  # word, if there is a lane
    axis: int
    op: str
    value: int
    reverse: bool
    tape: tuple[Instr, ...]
    stores: tuple[Store, ...]
    num_words: int


# --- sorting -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SortKernel:
    """Stable order of rows (NaN greater than all): item r reads `extent` keys of `keys` starting at
    r * extent; the positions of the first `count` in that order, and their values, are written
    to `order` and `values` (either may be missing) starting at r * count. The bytes of scratch
    are emit_sort.sort_scratch(...).
    """

    keys: Buffer
    order: Buffer | None
    values: Buffer | None
    extent: int  # word
    count: int  # word
    descending: bool
    num_words: int
