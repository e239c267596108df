"""Numbers and hashes as categories: bins of numbers, buckets of hashes, and rows of places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import number, positive
from ambos.core.dtype import float32
from ambos.core.errors import ArgumentError, ShapeError, suggest
from ambos.data import decimals
from ambos.data.column import Column, batches_of
from ambos.data.hashing import buckets
from ambos.data.values import floats, integer_tensor, integers, place_of, salted, texts
from ambos.data.vocabulary import Numbers, encode
from ambos.tensor.gather import embed
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.pointwise import where
from ambos.tensor.searching import bucketize

NARROW = ("bool", "int8", "uint8", "int16", "uint16", "float16", "bfloat16", "float32")
MODES = ("int", "one_hot", "multi_hot", "count")
Sketch = NDArray[Any]  # (2, n): numbers in order, and how many each stands for


class CategoryEncoding(Column):
    """Integers from 0 to `num_tokens` - 1 as places of rows: "one_hot" has a row for each,
    "multi_hot" one for all along the last axis, "count" how often each is there.

    Shapes: (..., L) to (..., num_tokens), of "one_hot" (..., L, num_tokens); (..., 1) to
        (..., num_tokens).
    Dtypes: integers to float32; tensors give tensors, all else arrays.
    Errors: ArgumentError for integers outside, of tensors IndexingError when they are looked at.
    Source: Keras's layer of this name.

    Example:
        >>> CategoryEncoding(3)([[0, 2], [1, 1]]).tolist()
        [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
        >>> CategoryEncoding(2, "count")([[0, 0], [0, 1]], count_weights=[[1, 2], [3, 4]]).tolist()
        [[3.0, 0.0], [3.0, 4.0]]
    """

    def __init__(self, num_tokens: int, output_mode: str = "multi_hot") -> None:
        self.num_tokens = positive("CategoryEncoding: num_tokens", num_tokens)
        self.output_mode = _mode("CategoryEncoding", output_mode, MODES[1:])

    def __call__(self, inputs: Any, count_weights: Any = None) -> Any:
        """The rows."""
        if count_weights is not None and self.output_mode != "count":
            raise ArgumentError("CategoryEncoding: count_weights go with output_mode='count' only")
        if isinstance(inputs, Tensor):
            return self._of_tensor(inputs, count_weights)
        found = integers("CategoryEncoding", inputs)
        outside = np.flatnonzero((found < 0) | (found >= self.num_tokens))
        if len(outside):
            raise ArgumentError(
                f"CategoryEncoding: {found.reshape(-1)[outside[0]]} in "
                f"{place_of(int(outside[0]), found.shape)}; need 0 to {self.num_tokens - 1}, as "
                f"num_tokens is {self.num_tokens}: IntegerLookup takes any integers"
            )
        if count_weights is None:
            return encode(found, self.output_mode, self.num_tokens)
        weights = floats("CategoryEncoding: count_weights", count_weights)
        if weights.shape != found.shape:
            raise ShapeError(f"CategoryEncoding: count_weights are {weights.shape}, inputs "
                             f"{found.shape}; need equal shapes")  # fmt: skip
        return encode(found, "count", self.num_tokens, weights)

    def _of_tensor(self, inputs: Tensor, weights: Any) -> Tensor:
        numbers = integer_tensor("CategoryEncoding", inputs)
        places = Tensor(np.arange(self.num_tokens))
        numbers = wrap(embed(places._node, numbers._node))  # which looks where they are
        if weights is not None:
            weights = weights if isinstance(weights, Tensor) else Tensor(np.asarray(weights))
            weights = weights.to(float32)
            if tuple(weights.shape) != tuple(inputs.shape):
                raise ShapeError(f"CategoryEncoding: count_weights are {weights.shape}, inputs "
                                 f"{inputs.shape}; need equal shapes")  # fmt: skip
        return encode(numbers, self.output_mode, self.num_tokens, weights)

    def __repr__(self) -> str:
        return f"CategoryEncoding({self.num_tokens}, output_mode={self.output_mode!r})"


class Hashing(Column):
    """Strings or integers as numbers from 0 to `num_bins` - 1, by a hash of them.

    No vocabulary has to be learnt, but several may share a number. FarmHash decides, or SipHash
    with `salt`, one integer or two. `mask_value` has number 0 for itself. `output_mode` is that of
    `StringLookup`.

    Shapes: as `StringLookup`.
    Dtypes: strings or integers to int64 for "int", otherwise float32; tensors of integers give
        tensors, all else arrays.
    Errors: ArgumentError for what is neither; DTypeError for tensors of other dtypes.
    Source: Keras's layer of this name, with the same numbers.

    Example:
        >>> Hashing(3)(["A", "B", "C"]).tolist(), Hashing(3, salt=133)(["A", "B", "C"]).tolist()
        ([1, 0, 1], [0, 0, 2])
    """

    def __init__(
        self, num_bins: int, mask_value: str | int | None = None,
        salt: int | Sequence[int] | None = None, output_mode: str = "int",
    ) -> None:  # fmt: skip
        least = 1 if mask_value is None else 2
        self.num_bins = positive("Hashing: num_bins", num_bins, least)
        self.mask_value, self.salt = mask_value, salted("Hashing", salt)
        self.output_mode = _mode("Hashing", output_mode)

    def __call__(self, inputs: Any) -> Any:
        """The numbers."""
        if isinstance(inputs, Tensor):
            return encode(self._of_tensor(inputs), self.output_mode, self.num_bins)
        found, shape = texts("Hashing", inputs)
        masks = self.mask_value is not None
        numbers = buckets(found, self.num_bins - masks, self.salt) + masks
        if masks:
            mask = str(self.mask_value)
            numbers[[place for place, text in enumerate(found) if text == mask]] = 0
        return encode(numbers.reshape(shape), self.output_mode, self.num_bins)

    def _of_tensor(self, inputs: Tensor) -> Tensor:
        found = integer_tensor("Hashing", inputs)
        mask = str(self.mask_value)
        if self.mask_value is None:
            return decimals.buckets(found, self.num_bins, self.salt)
        numbers = decimals.buckets(found, self.num_bins - 1, self.salt) + 1
        is_integer = mask.removeprefix("-").isdecimal() and str(int(mask)) == mask
        return where(found == int(mask), 0, numbers) if is_integer else numbers

    def __repr__(self) -> str:
        return f"Hashing({self.num_bins}, output_mode={self.output_mode!r})"


class Discretization(Column):
    """Numbers as the numbers of their bins, whose boundaries are given, or learnt by `adapt`.

    It puts about equally many into each of `num_bins`. Bin 0 is below the first boundary, bin n
    from the n-th boundary on. What `adapt` keeps of the data is a sketch of about 1 / `epsilon`
    numbers. `output_mode` is that of `StringLookup`.

    Shapes: as `StringLookup`.
    Dtypes: numbers to int64 for "int", otherwise float32; tensors give tensors, all else arrays.
    Errors: ArgumentError before `adapt`, and for NaN and infinities, with column and row; in
        tensors, which are not looked at, NaN is in the last bin.
    Source: Keras's layer of this name, with the same boundaries.

    Example:
        >>> Discretization([0.0, 1.0])([-1.5, 0.0, 3.4]).tolist()
        [0, 1, 2]
        >>> ages = Discretization(num_bins=4)
        >>> ages.adapt(np.arange(100))
        >>> [round(boundary) for boundary in ages.bin_boundaries]
        [24, 49, 74]
    """

    def __init__(
        self, bin_boundaries: Sequence[float] | None = None, num_bins: int | None = None,
        epsilon: float = 0.01, output_mode: str = "int",
    ) -> None:  # fmt: skip
        if (bin_boundaries is None) == (num_bins is None):
            given = "neither" if num_bins is None else "both"
            raise ArgumentError(f"Discretization: got {given} of bin_boundaries and num_bins; need "
                                "one of them")  # fmt: skip
        self.num_bins = None if num_bins is None else positive("Discretization: num_bins", num_bins)
        self.epsilon = number("Discretization: epsilon", epsilon)
        if not 0 < self.epsilon < 1:
            raise ArgumentError(f"Discretization: epsilon is {epsilon}; need 0 < epsilon < 1")
        self.output_mode = _mode("Discretization", output_mode)
        self.bin_boundaries: list[float] | None = None
        if bin_boundaries is not None:
            edges = floats("Discretization: bin_boundaries", bin_boundaries)
            if edges.ndim != 1 or (np.diff(edges) < 0).any():
                raise ArgumentError("Discretization: bin_boundaries do not ascend; need numbers in "
                                    "a list, the least first")  # fmt: skip
            self.bin_boundaries = edges.tolist()

    def settings(self) -> dict[str, Any]:
        """With boundaries, learnt or given, in place of their number."""
        found = super().settings()
        return found if self.bin_boundaries is None else found | {"num_bins": None}

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learn the boundaries of an array, a list or a column, or of an iterable of batches, of
        which `steps` are read. What was known before is forgotten.

        Errors: ArgumentError for no data, for NaN and infinities, with column and row.
        """
        if self.num_bins is None:
            raise ArgumentError("Discretization: has bin_boundaries; need num_bins to adapt")
        sketch, row = np.zeros((2, 0), np.float32), 0
        for batch in batches_of("adapt", data, steps):
            numbers = floats("adapt", batch, row)
            row += len(numbers) if numbers.ndim else 1
            if numbers.size:
                merged = np.concatenate([_sketched(numbers, self.epsilon), sketch], 1)
                merged = merged[:, np.argsort(merged[0])]
                sketch = _compressed(merged, self.epsilon)
        if not row:
            raise ArgumentError("adapt: got no data; need at least one row")
        self.bin_boundaries = _compressed(sketch, 1 / self.num_bins)[0, :-1].tolist()

    def __call__(self, inputs: Any) -> Any:
        """The bins of numbers."""
        if self.bin_boundaries is None:
            raise ArgumentError("Discretization: has no boundaries yet; need adapt(data) first")
        found: Any = inputs if isinstance(inputs, Tensor) else floats("Discretization", inputs)
        # Compared as numbers of the data's dtype, in which 0.7 may be less than Python's.
        dtype = "float32" if found.dtype.name in NARROW else "float64"
        edges = np.array(self.bin_boundaries, dtype)
        if isinstance(found, Tensor):
            numbers: Any = bucketize(found.to(dtype), Tensor(edges), right=True)
        else:
            numbers = np.asarray(np.digitize(found.astype(dtype), edges))
        return encode(numbers, self.output_mode, len(edges) + 1)

    def __repr__(self) -> str:
        edges = self.bin_boundaries
        bins = "not adapted" if edges is None else f"{len(edges) + 1} bins"
        return f"Discretization({bins}, output_mode={self.output_mode!r})"


def _mode(owner: str, mode: Any, known: Sequence[str] = MODES) -> str:
    if mode not in known:
        raise ArgumentError(f"{owner}: output_mode is {mode!r}; need one of {', '.join(known)}"
                            f"{suggest(str(mode), known)}")  # fmt: skip
    return str(mode)


def _sketched(numbers: Numbers, epsilon: float) -> Sketch:
    """About 1 / epsilon of the numbers, each of which stands for equally many."""
    ordered = np.sort(numbers.reshape(-1).astype(np.float32))
    step = max(ordered.size * epsilon, 1)
    kept = ordered[int(step - 1) :: int(step)]
    return np.stack([kept, np.full_like(kept, step)])


def _compressed(sketch: Sketch, epsilon: float) -> Sketch:
    """A sketch with 1 / epsilon numbers, interpolated."""
    if sketch.shape[1] * epsilon < 1:
        return sketch
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    until = sketch[1].cumsum()
    places = until / until[-1]
    numbers = np.interp(shares, places, sketch[0])
    counts = np.diff(np.interp(shares, places, until), prepend=0)
    return np.stack([numbers, counts]).astype(np.float32)
