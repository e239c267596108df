"""Weights multiplied or looked up: linear, embedding; and one-hot codes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ambos.core.dtype import int64
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.nn.functional.shared import along, as_type, nodes, same_dtype
from ambos.ops.arithmetic import add, equal, where
from ambos.ops.contraction import Spec, contract, make_spec, plain
from ambos.ops.indexing import take
from ambos.ops.kinds import constant
from ambos.ops.movement import detach, expand, reshape
from ambos.ops.reductions import max_
from ambos.tensor import gather
from ambos.tensor.handle import Tensor, wrap


def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """input @ weight.T + bias.

    Shapes: input (..., in_features), weight (out_features, in_features), bias (out_features,);
        the result is (..., out_features).
    Errors: ShapeError where the features differ.

    Example:
        >>> import ambos as am
        >>> linear(am.tensor([[1.0, 2.0]]), am.tensor([[3.0, 4.0]]), am.tensor([0.5])).numpy()
        array([[11.5]], dtype=float32)
    """
    x, w = nodes(input, weight)
    b = None if bias is None else nodes(bias)[0]
    if w.rank != 2 or x.rank < 1 or x.shape[-1] != w.shape[1]:
        raise ShapeError(
            f"linear: the input is {x.shape} and the weight {w.shape}; need "
            "input.shape[-1] == weight.shape[1] (the weight is (out_features, in_features))"
        )
    if b is not None and b.shape != (w.shape[0],):
        raise ShapeError(f"linear: the bias is {b.shape}; need ({w.shape[0]},)")
    same_dtype("linear", x, weight=w, bias=b)
    y = contract(x, w, attrs=(_product(x.shape[:-1], *w.shape),))
    return wrap(y if b is None else add(y, along(b, y.rank - 1, y.shape)))


@lru_cache(maxsize=4096)
def _product(lead: Shape, outputs: int, inputs: int) -> Spec:
    """Rows keep their axes: what follows has the same shape and is fused behind the product."""
    rows = [f"m{axis}" for axis in range(len(lead))]
    sizes = dict(zip(rows, lead, strict=True)) | {"n": outputs, "k": inputs}
    return make_spec(plain([*rows, "k"]), "nk", [*rows, "n"], "k", sizes)


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Tensor:
    """The rows of `weight` that `input` names.

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
    index = _indices("embedding", index)
    rows = take(w, index, attrs=(0,))
    if padding_idx is not None:
        if not -w.shape[0] <= padding_idx < w.shape[0]:
            raise ArgumentError(
                f"embedding: padding_idx is {padding_idx}; need {-w.shape[0]} <= padding_idx < "
                f"{w.shape[0]}"
            )
        place = constant(padding_idx % w.shape[0], int64, index.shape)
        padded = expand(
            reshape(equal(index, place), attrs=((*index.shape, 1),)), attrs=(rows.shape,)
        )
        rows = where(padded, detach(rows), rows)  # the padding row never learns
    return wrap(rows)


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """A last axis with 1 at each index and 0 elsewhere, int64.

    Shapes: (...) gives (..., num_classes); -1 takes the largest index plus one (and looks at it).
    Errors: DTypeError unless the indices are integers; ArgumentError for no classes.

    Example:
        >>> import ambos as am
        >>> one_hot(am.tensor([0, 2]), 3).numpy()
        array([[1, 0, 0],
               [0, 0, 1]])
    """
    index = _indices("one_hot", nodes(tensor)[0])
    if num_classes == -1:
        if not index.size:
            raise ArgumentError("one_hot: no indices and no num_classes; need num_classes")
        num_classes = int(wrap(max_(index, attrs=(tuple(range(index.rank)),)))) + 1
    if num_classes < 1:
        raise ArgumentError(f"one_hot: num_classes is {num_classes}; need at least 1, or -1")
    return gather.one_hot(tensor, num_classes)


def _indices(name: str, index: Node) -> Node:
    if not index.dtype.is_integer:
        raise DTypeError(f"{name}: the indices are {index.dtype.name}; need integers: use x.long()")
    return as_type(index, int64)
