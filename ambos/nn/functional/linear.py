"""Inputs multiplied by weights: linear, bilinear; and one-hot codes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape, size_of
from ambos.nn.functional.bags import as_indices
from ambos.nn.functional.shared import along, nodes, same_numbers
from ambos.ops.arithmetic import add
from ambos.ops.contraction import Spec, contract, make_spec, plain
from ambos.ops.movement import reshape
from ambos.ops.reductions import max_
from ambos.tensor import gather
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.tracing import refuse_size


def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """input @ weight.T + bias.

    Shapes: input (..., in_features), weight (out_features, in_features), bias (out_features,);
        the result is (..., out_features).
    Dtypes: one for all, of any numbers.
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
    same_numbers("linear", x, weight=w, bias=b)
    y = contract(x, w, attrs=(_product(x.shape[:-1], *w.shape),))
    return wrap(y if b is None else add(y, along(b, y.rank - 1, y.shape)))


@lru_cache(maxsize=4096)
def _product(lead: Shape, outputs: int, inputs: int) -> Spec:
    """Rows keep their axes: what follows has the same shape and is fused behind the product."""
    rows = [f"m{axis}" for axis in range(len(lead))]
    sizes = dict(zip(rows, lead, strict=True)) | {"n": outputs, "k": inputs}
    return make_spec(plain([*rows, "k"]), "nk", [*rows, "n"], "k", sizes)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Tensor:
    """Sums of products of every feature of one input with every feature of the other.

    Shapes: input1 (..., I), input2 (..., J), weight (outputs, I, J), bias (outputs,); the result is
        (..., outputs).
    Errors: ShapeError where they differ.

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([[[1.0, 0.0], [0.0, 10.0]]])
        >>> bilinear(am.tensor([1.0, 2.0]), am.tensor([3.0, 4.0]), weight).tolist()
        [83.0]
    """
    x, y, w = nodes(input1, input2, weight)
    b = None if bias is None else nodes(bias)[0]
    same_numbers("bilinear", x, input2=y, weight=w, bias=b)
    lead = x.shape[:-1]
    if (
        w.rank != 3
        or min(x.rank, y.rank) < 1
        or y.shape[:-1] != lead
        or ((x.shape[-1], y.shape[-1]) != w.shape[1:])
    ):
        raise ShapeError(f"bilinear: inputs {x.shape} and {y.shape}, weight {w.shape}; need "
                         "(..., I), (..., J) and (outputs, I, J)")  # fmt: skip
    if b is not None and b.shape != (w.shape[0],):
        raise ShapeError(f"bilinear: the bias is {b.shape}; need ({w.shape[0]},)")
    rows = size_of(lead)
    left = reshape(x, attrs=((rows, x.shape[-1]),))
    right = reshape(y, attrs=((rows, y.shape[-1]),))
    sizes = {"m": rows, "i": w.shape[1], "o": w.shape[0], "j": w.shape[2]}
    turned = contract(left, w, attrs=(make_spec(plain("mi"), "oij", "moj", "i", sizes),))
    found = contract(turned, right, attrs=(make_spec(plain("moj"), "mj", "mo", "j", sizes),))
    result = reshape(found, attrs=((*lead, w.shape[0]),))
    return wrap(result if b is None else add(result, along(b, result.rank - 1, result.shape)))


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
    index = as_indices("one_hot", nodes(tensor)[0])
    if num_classes == -1:
        if not index.size:
            raise ArgumentError("one_hot: no indices and no num_classes; need num_classes")
        refuse_size("one_hot", "give num_classes=")
        num_classes = int(wrap(max_(index, attrs=(tuple(range(index.rank)),)))) + 1
    if num_classes < 1:
        raise ArgumentError(f"one_hot: num_classes is {num_classes}; need at least 1, or -1")
    return gather.one_hot(tensor, num_classes)
