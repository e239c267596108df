"""Sequences of different lengths in one batch: padded to the longest, or packed without gaps.

Packed, the rows of all sequences lie step by step: those of the first step, of the second, ... Each
step has a row for every sequence that is still going on, the longest sequence first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError, ShapeError, TracingError
from ambos.nn.functional.padding import pad
from ambos.nn.functional.shared import as_tensor
from ambos.tensor.creation import arange
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import stack
from ambos.tensor.pointwise import where
from ambos.tensor.searching import searchsorted


class PackedSequence(NamedTuple):
    """Sequences without padding; made by `pack_padded_sequence` and `pack_sequence`.

    `data` (rows, ...) holds the rows step by step, `batch_sizes` how many sequences each step has.
    `sorted_indices` tells where the sequences were that are longest first here, and
    `unsorted_indices` the way back; both None where they came in that order.

    Example:
        >>> import ambos as am
        >>> pack_sequence([am.tensor([1, 2, 3]), am.tensor([4, 5])]).data
        tensor([1, 4, 2, 5, 3])
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same sequences with their data converted, as `Tensor.to` does."""
        return self._replace(data=self.data.to(*args, **kwargs))

    def float(self) -> PackedSequence:
        """The same sequences in float32."""
        return self.to("float32")

    def double(self) -> PackedSequence:
        """The same sequences in float64."""
        return self.to("float64")

    def cpu(self) -> PackedSequence:
        """The sequences themselves: everything computes on the CPU."""
        return self


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Padded sequences without their padding.

    Without `enforce_sorted` they come in any order; recurrent layers give outputs and states in
    the order of the input either way.

    Shapes: input (length, batch, ...), with `batch_first` (batch, length, ...); lengths (batch,).
    Errors: ArgumentError for a length below 1 or beyond the padding, and for lengths that do not
        go down, if they have to; ShapeError where there is not one length for each sequence.

    Example:
        >>> import ambos as am
        >>> packed = pack_padded_sequence(am.tensor([[1, 2, 3], [4, 5, 0]]).T, [3, 2])
        >>> packed.data, packed.batch_sizes
        (tensor([1, 4, 2, 5, 3]), tensor([2, 2, 1]))
    """
    x = _steps_first("pack_padded_sequence", input, batch_first)
    known = _lengths("pack_padded_sequence", lengths, x.shape[1], x.shape[0])
    order = None
    if enforce_sorted:
        if (np.diff(known) > 0).any():
            raise ArgumentError(
                f"pack_padded_sequence: lengths are {known.tolist()}; need the longest first, or "
                "enforce_sorted=False"
            )
    else:
        order = np.argsort(-known, kind="stable")
        x, known = x.index_select(1, Tensor(order)), known[order]
    sizes = (np.arange(known[0])[:, None] < known).sum(1)
    rows = np.concatenate([np.arange(n) + step * x.shape[1] for step, n in enumerate(sizes)])
    return PackedSequence(
        x.flatten(0, 1).index_select(0, Tensor(rows)),
        Tensor(sizes),
        None if order is None else Tensor(order),
        None if order is None else Tensor(np.argsort(order)),
    )


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """(padded sequences, their lengths): the way back from `pack_padded_sequence`.

    Shapes: (length, batch, ...), with `batch_first` (batch, length, ...); the length is that of
        the longest sequence, or `total_length`.
    Errors: ArgumentError for a `total_length` that is shorter than the longest sequence.

    Example:
        >>> import ambos as am
        >>> packed = pack_sequence([am.tensor([1, 2, 3]), am.tensor([4, 5])])
        >>> pad_packed_sequence(packed, batch_first=True, padding_value=-1)
        (tensor([[ 1,  2,  3],
                [ 4,  5, -1]]), tensor([3, 2]))
    """
    _require_packed("pad_packed_sequence", sequence)
    x, present = padded(sequence, padding_value)
    lengths = present.sum(0)
    longest = x.shape[0]
    if total_length is not None and total_length != longest:
        if positive("total_length", total_length) < longest:
            raise ArgumentError(
                f"pad_packed_sequence: total_length is {total_length}; the longest sequence has "
                f"{longest} steps; need at least that"
            )
        behind = [0, 0] * (x.ndim - 1) + [0, total_length - longest]
        x = pad(x, behind, value=padding_value)
    if sequence.unsorted_indices is not None:
        x = x.index_select(1, sequence.unsorted_indices)
        lengths = lengths.index_select(0, sequence.unsorted_indices)
    return x.transpose(0, 1) if batch_first else x, lengths


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences packed without gaps.

    Shapes: each (length, ...), alike but for the length.
    Errors: as `pack_padded_sequence` and `pad_sequence`.

    Example:
        >>> import ambos as am
        >>> pack_sequence([am.tensor([1]), am.tensor([2, 3])], enforce_sorted=False).data
        tensor([2, 1, 3])
    """
    rows = [as_tensor(sequence) for sequence in sequences]
    lengths = [len(row) for row in rows]
    return pack_padded_sequence(pad_sequence(rows), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences one by one: the way back from `pack_sequence`.

    Example:
        >>> import ambos as am
        >>> unpack_sequence(pack_sequence([am.tensor([1, 2]), am.tensor([3])]))
        [tensor([1, 2]), tensor([3])]
    """
    x, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(x, lengths, batch_first=True)


def pad_sequence(
    sequences: Iterable[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences in one tensor, the shorter ones filled up with `padding_value`.

    Shapes: each (length, ...); the result (longest, batch, ...), with `batch_first`
        (batch, longest, ...).
    Errors: ArgumentError for no sequences; ShapeError where they differ in more than length.

    Example:
        >>> import ambos as am
        >>> pad_sequence([am.tensor([1, 2]), am.tensor([3])], batch_first=True)
        tensor([[1, 2],
                [3, 0]])
    """
    rows = [as_tensor(sequence) for sequence in sequences]
    if not rows:
        raise ArgumentError("pad_sequence: got no sequences; need at least one")
    if padding_side not in ("right", "left"):
        raise ArgumentError(
            f"pad_sequence: padding_side is {padding_side!r}; need 'right' or 'left'"
        )
    for number, row in enumerate(rows):
        if not row.ndim or row.shape[1:] != rows[0].shape[1:]:
            raise ShapeError(
                f"pad_sequence: sequence {number} is {tuple(row.shape)} and the first "
                f"{tuple(rows[0].shape)}; need (length, ...), alike but for the length"
            )
    longest, at_right = max(map(len, rows)), padding_side == "right"
    filled = []
    for row in rows:
        gap = longest - len(row)
        ends = [0, 0] * (row.ndim - 1) + ([0, gap] if at_right else [gap, 0])
        filled.append(pad(row, ends, value=padding_value) if gap else row)
    return stack(filled, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Any, lengths: Any, batch_first: bool = False
) -> list[Tensor]:  # fmt: skip
    """Padded sequences one by one, without their padding.

    Shapes: padded_sequences (length, batch, ...), with `batch_first` (batch, length, ...).
    Errors: as `pack_padded_sequence`.

    Example:
        >>> import ambos as am
        >>> unpad_sequence(am.tensor([[1, 2], [3, 0]]), [2, 1], batch_first=True)
        [tensor([1, 2]), tensor([3])]
    """
    x = _steps_first("unpad_sequence", padded_sequences, batch_first)
    known = _lengths("unpad_sequence", lengths, x.shape[1], x.shape[0])
    return [x[:length, number] for number, length in enumerate(known.tolist())]


# --- for recurrent layers ------------------------------------------------------------------------


def padded(sequence: PackedSequence, padding_value: float = 0.0) -> tuple[Tensor, Tensor]:
    """(rows, present): the sequences (length, batch, ...), and where there is a row of theirs."""
    starts, sizes = _starts(sequence), sequence.batch_sizes
    places = arange(_batch(sequence))
    present = places < sizes.unsqueeze(1)
    rows = where(present, starts.unsqueeze(1) + places, 0)
    x = sequence.data.index_select(0, rows.flatten()).unflatten(0, rows.shape)
    shown = present.reshape((*present.shape, *(1 for _ in x.shape[2:])))
    return where(shown, x, Tensor(padding_value).to(x.dtype)), present


def packed_like(x: Tensor, sequence: PackedSequence) -> PackedSequence:
    """The rows of `x` (length, batch, ...) that `sequence` has, packed as it is."""
    starts, rows = _starts(sequence), arange(sequence.data.shape[0])
    step = searchsorted(starts, rows, right=True) - 1
    place = rows - starts.index_select(0, step)
    picked = x.flatten(0, 1).index_select(0, step * x.shape[1] + place)
    return sequence._replace(data=picked)


def _starts(sequence: PackedSequence) -> Tensor:
    """Where the rows of each step begin."""
    return sequence.batch_sizes.cumsum(0) - sequence.batch_sizes


def _batch(sequence: PackedSequence) -> int:
    """How many sequences there are."""
    if sequence.sorted_indices is not None:
        return int(sequence.sorted_indices.shape[0])
    try:
        return int(sequence.batch_sizes[0].item())
    except TracingError:
        raise TracingError(
            "PackedSequence: how many sequences it holds is a value while a function is traced; "
            "need pack_padded_sequence(..., enforce_sorted=False), which makes it a shape"
        ) from None


# --- checks --------------------------------------------------------------------------------------


def _require_packed(op: str, sequence: Any) -> None:
    if not isinstance(sequence, PackedSequence):
        raise ArgumentError(f"{op}: got {type(sequence).__name__}; need a PackedSequence, made by "
                            "pack_padded_sequence or pack_sequence")  # fmt: skip


def _steps_first(op: str, input: Any, batch_first: bool) -> Tensor:
    x = as_tensor(input)
    if x.ndim < 2:
        order = "batch, length" if batch_first else "length, batch"
        raise ShapeError(f"{op}: got {tuple(x.shape)}; need ({order}, ...)")
    return x.transpose(0, 1) if batch_first else x


def _lengths(op: str, lengths: Any, batch: int, longest: int) -> Any:
    """`lengths` as integers that fit."""
    try:
        known = np.asarray(lengths.tolist() if isinstance(lengths, Tensor) else lengths)
    except TracingError:
        raise TracingError(
            f"{op}: lengths depend on the arguments of a function that is being traced, and the "
            "size of the result on them; need them known: call it outside, with "
            "enforce_sorted=False, and give the function what it makes"
        ) from None
    if known.shape != (batch,):
        raise ShapeError(f"{op}: lengths is {known.shape}; need one for each of {batch} sequences")
    if known.dtype.kind not in "iu" or (known < 1).any() or (known > longest).any():
        raise ArgumentError(f"{op}: lengths are {known.tolist()}; need integers from 1 to "
                            f"{longest}, the padded length")  # fmt: skip
    return known.astype(np.int64)


__all__ = [
    "PackedSequence", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence",
    "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip
