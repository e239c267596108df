"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import size_of
from ambos.nn.parameter import assign
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import concat


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All numbers of these tensors, one after the other.

    Errors: ArgumentError for no tensors.

    Example:
        >>> from ambos import nn
        >>> nn.utils.parameters_to_vector(nn.Linear(2, 3).parameters()).shape
        (9,)
    """
    several = [*parameters]
    if not several:
        raise ArgumentError("parameters_to_vector: got no parameters; need at least one")
    return concat([tensor.reshape((-1,)) for tensor in several], 0)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give these tensors the numbers of a vector, one after the other.

    Errors: ShapeError unless there is a number for each element.

    Example:
        >>> import ambos as am
        >>> layer = am.nn.Linear(2, 1)
        >>> am.nn.utils.vector_to_parameters(am.tensor([1.0, 2.0, 3.0]), layer.parameters())
        >>> layer.bias.tolist()
        [3.0]
    """
    several = [*parameters]
    total = sum(size_of(tensor.shape) for tensor in several)
    if vec.shape != (total,):
        raise ShapeError(
            f"vector_to_parameters: the vector is {tuple(vec.shape)}; the parameters have {total} "
            f"elements; need ({total},)"
        )
    start = 0
    for tensor in several:
        stop = start + size_of(tensor.shape)
        assign(tensor, vec[start:stop].reshape(tensor.shape).to(tensor.dtype))
        start = stop


__all__ = ["parameters_to_vector", "vector_to_parameters"]
