"""Rows of a weight: looked up, and looked up and folded together."""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import int64
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.graph.node import Node
from ambos.nn.functional.shared import as_type, nodes, same_dtype
from ambos.ops.arithmetic import (
    add,
    bitwise_and,
    divide,
    equal,
    greater,
    maximum,
    multiply,
    not_equal,
    subtract,
    where,
)
from ambos.ops.indexing import scatter_add, take
from ambos.ops.kinds import constant, constant_like
from ambos.ops.movement import detach, reshape
from ambos.ops.reductions import keep, max_, sum_
from ambos.tensor.creation import arange, full
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.joining import concat
from ambos.tensor.norms import norm
from ambos.tensor.searching import searchsorted

MODES = ("sum", "mean", "max")


def embedding(
    input: Any, weight: Any, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """The rows of `weight` that `input` names.

    The row `padding_idx` never learns. Rows whose norm of order `norm_type` exceeds `max_norm` are
    first shortened to it, in `weight` itself. `scale_grad_by_freq` divides a row's gradient by how
    often it is named. `sparse` is accepted: gradients are dense.

    Shapes: input (...), weight (num_embeddings, embedding_dim); the result (..., embedding_dim).
    Dtypes: `input` is an integer; the result is like `weight`.
    Errors: DTypeError for indices that are no integers; IndexingError for an index out of range.

    Example:
        >>> import ambos as am
        >>> embedding(am.tensor([1, 0]), am.tensor([[1.0, 2.0], [3.0, 4.0]])).numpy()
        array([[3., 4.],
               [1., 2.]], dtype=float32)
    """
    index, w = nodes(input, weight)
    if w.rank != 2:
        raise ShapeError(f"embedding: the weight is {w.shape}; need two dimensions")
    index = as_indices("embedding", index)
    if max_norm is not None:
        w = _shortened("embedding", weight, index, max_norm, norm_type)
    rows = take(w, index, attrs=(0,))
    if scale_grad_by_freq:
        rows = _by_frequency(rows, w, index)
    if padding_idx is not None:
        place = _padding("embedding", padding_idx, w)
        padded = equal(index, constant_like(index, place))
        rows = where(keep(padded, (index.rank,), rows.shape), detach(rows), rows)
    return wrap(rows)


def as_indices(name: str, index: Node) -> Node:
    """`index` as int64, or a DTypeError."""
    if not index.dtype.is_integer:
        raise DTypeError(f"{name}: the indices are {index.dtype.name}; need integers: use x.long()")
    return as_type(index, int64)


def _padding(name: str, place: int, w: Node) -> int:
    if not -w.shape[0] <= place < w.shape[0]:
        raise ArgumentError(
            f"{name}: padding_idx is {place}; need {-w.shape[0]} <= padding_idx < {w.shape[0]}"
        )
    return place % w.shape[0]


def _counts(index: Node, rows: int) -> Node:
    """How often each row is named, int64."""
    flat = reshape(index, attrs=((index.size,),))
    nothing = constant(0, int64, (rows,))
    return scatter_add(nothing, flat, constant(1, int64, flat.shape), attrs=(0,))


def _shortened(name: str, weight: Any, index: Node, limit: float, order: float) -> Node:
    """The weight, whose named rows are not longer than `limit` any more, nor in `weight` itself."""
    if not isinstance(weight, Tensor):
        raise DTypeError(f"{name}: the weight is {type(weight).__name__}; max_norm changes it and "
                         "needs a tensor")  # fmt: skip
    w = detach(weight._node)
    size = norm(wrap(w), order, 1)._node
    named = greater(_counts(index, w.shape[0]), constant(0, int64, size.shape))
    long = bitwise_and(named, greater(size, constant_like(size, float(limit))))
    share = divide(constant_like(size, float(limit)), add(size, constant_like(size, 1e-7)))
    factor = where(long, share, constant_like(size, 1.0))
    weight.data = wrap(multiply(w, keep(factor, (1,), w.shape)))
    return weight._node


def _by_frequency(rows: Node, w: Node, index: Node) -> Node:
    """`rows` (..., E), with gradients divided by how often the index names a row."""
    often = take(as_type(_counts(index, w.shape[0]), rows.dtype), index, attrs=(0,))
    share = divide(constant_like(often, 1.0), often)
    change = subtract(rows, detach(rows))  # 0, with the gradient of rows
    return add(detach(rows), multiply(change, keep(share, (index.rank,), rows.shape)))


def embedding_bag(
    input: Any, weight: Any, offsets: Any = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean",
    sparse: bool = False, per_sample_weights: Any = None, include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:  # fmt: skip
    """Rows of `weight` folded together, bag by bag, without storing them: their sum, mean or
    largest entries; an empty bag gives zeros.

    Bags are the rows of a matrix of indices, or runs of a vector that begin at `offsets` (the last
    of which is its end with `include_last_offset`). Indices equal to `padding_idx` do not count.
    `per_sample_weights` multiply rows, with mode "sum". The rest as in `embedding`. With offsets,
    mode "max" looks at them.

    Shapes: input (B, n), or (n,) with offsets (B,); weight (rows, width); the result (B, width).
    Errors: ShapeError, DTypeError, ArgumentError; IndexingError for an index out of range.

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([[1.0], [2.0], [4.0]])
        >>> embedding_bag(am.tensor([0, 1, 2]), weight, am.tensor([0, 1]), mode="sum").tolist()
        [[1.0], [6.0]]
    """
    name = "embedding_bag"
    index, w = nodes(input, weight)
    index = as_indices(name, index)
    factors = None if per_sample_weights is None else nodes(per_sample_weights)[0]
    _check_bags(name, index, w, factors, mode, offsets, scale_grad_by_freq)
    if max_norm is not None:
        w = _shortened(name, weight, index, max_norm, norm_type)
    counts = constant(True, equal(index, index).dtype, index.shape)
    if padding_idx is not None:
        counts = not_equal(index, constant_like(index, _padding(name, padding_idx, w)))
    if index.rank == 1:
        bags = _Runs(index, as_indices(name, nodes(offsets)[0]), include_last_offset)
        if mode == "max":
            index, counts = bags.as_matrix(index, counts)
        else:
            return wrap(_folded_runs(bags, w, index, counts, factors, mode, scale_grad_by_freq))
    rows = take(w, index, attrs=(0,))
    if scale_grad_by_freq:
        rows = _by_frequency(rows, w, index)
    if factors is not None:
        rows = multiply(rows, keep(factors, (2,), rows.shape))
    return wrap(_folded(rows, counts, mode))


def _check_bags(
    name: str, index: Node, w: Node, factors: Node | None, mode: str, offsets: Any, scaled: bool
) -> None:
    if mode not in MODES:
        raise ArgumentError(f"{name}: mode is {mode!r}; need {', '.join(MODES)}")
    if w.rank != 2 or index.rank not in (1, 2):
        raise ShapeError(f"{name}: the input is {index.shape} and the weight {w.shape}; need "
                         "(B, n) or (n,), and (rows, width)")  # fmt: skip
    if (offsets is None) == (index.rank == 1):
        need = "offsets, where bags begin" if offsets is None else "no offsets: a row is a bag"
        raise ArgumentError(f"{name}: the input is {index.shape}; need {need}")
    if factors is not None:
        same_dtype(name, w, per_sample_weights=factors)
        if factors.shape != index.shape:
            raise ShapeError(f"{name}: per_sample_weights is {factors.shape}; need {index.shape}")
        if mode != "sum":
            raise ArgumentError(f"{name}: per_sample_weights with mode {mode!r}; need 'sum'")
    if scaled and mode == "max":
        raise ArgumentError(f"{name}: scale_grad_by_freq with mode 'max'; need 'sum' or 'mean'")


def _folded(rows: Node, counts: Node, mode: str) -> Node:
    """Rows (B, n, E), of which some count, folded over n."""
    every = keep(counts, (2,), rows.shape)
    empty_shape = (rows.shape[0], rows.shape[2])
    if rows.shape[1] == 0:
        return constant(0, rows.dtype, empty_shape)
    number = sum_(as_type(counts, rows.dtype), attrs=((1,),))
    if mode == "max":
        low = constant_like(rows, float("-inf"))
        found = max_(where(every, rows, low), attrs=((1,),))
        some = greater(number, constant_like(number, 0.0))
        return where(keep(some, (1,), empty_shape), found, constant_like(found, 0.0))
    total = sum_(where(every, rows, constant_like(rows, 0.0)), attrs=((1,),))
    return _averaged(total, number) if mode == "mean" else total


def _averaged(total: Node, number: Node) -> Node:
    share = maximum(number, constant_like(number, 1.0))
    return divide(total, keep(share, (1,), total.shape))


class _Runs:
    """Bags that are runs of a vector of indices."""

    def __init__(self, index: Node, offsets: Node, ends: bool) -> None:
        if offsets.rank != 1 or (ends and not offsets.size):
            raise ShapeError(f"embedding_bag: offsets are {offsets.shape}; need a vector"
                             + (", and the end" if ends else ""))  # fmt: skip
        self.count = offsets.size - ends
        self.starts = wrap(offsets)[: self.count]
        self.length = index.size
        self.ends = ends
        self.offsets = wrap(offsets)

    def bag_of_each(self) -> Node:
        """The bag of every index: how many begin at or before it, less one."""
        places = arange(self.length)
        bags = searchsorted(self.starts, places, right=True) - 1
        found: Node = bags.clamp(0, max(0, self.count - 1))._node
        return found

    def as_matrix(self, index: Node, counts: Node) -> tuple[Node, Node]:
        """The bags as rows, filled up with what does not count."""
        end = self.offsets[self.count :] if self.ends else full((1,), self.length, dtype=int64)
        sizes = concat([self.starts[1:], end]) - self.starts if self.count else self.starts
        longest = int(sizes.max()) if self.count else 0
        if not longest or not self.length:
            empty = (self.count, 0)
            return constant(0, int64, empty), constant(True, counts.dtype, empty)
        places = self.starts.unsqueeze(1) + arange(longest)
        inside = (arange(longest) < sizes.unsqueeze(1))._node
        safe = places.clamp(0, self.length - 1)._node
        chosen = take(index, safe, attrs=(0,))
        return chosen, bitwise_and(inside, take(counts, safe, attrs=(0,)))


def _folded_runs(
    bags: _Runs, w: Node, index: Node, counts: Node, factors: Node | None, mode: str, scaled: bool
) -> Node:
    """Sums (or means) of runs of rows, added in order."""
    rows = take(w, index, attrs=(0,))
    if scaled:
        rows = _by_frequency(rows, w, index)
    if factors is not None:
        rows = multiply(rows, keep(factors, (1,), rows.shape))
    rows = where(keep(counts, (1,), rows.shape), rows, constant_like(rows, 0.0))
    nothing = constant(0, w.dtype, (bags.count, w.shape[1]))
    if not bags.count or not index.size:
        return nothing
    bag = bags.bag_of_each()
    total = scatter_add(nothing, bag, rows, attrs=(0,))
    if mode == "sum":
        return total
    none = constant(0, w.dtype, (bags.count,))
    return _averaged(total, scatter_add(none, bag, as_type(counts, w.dtype), attrs=(0,)))
