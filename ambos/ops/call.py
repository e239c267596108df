"""Calls: host functions on whole arrays, for what is no loop over elements (LAPACK, FFT).

A call may have several results; each is a node of its own, whose first attribute says which. One
launch computes all that are wanted. The host function sees row-major arrays, not to be changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ambos.core.dtype import DType
from ambos.core.errors import DTypeError, LinAlgError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.lines import note
from ambos.graph.node import Attrs, Node
from ambos.ops.kinds import Op

Facts = tuple[Shape, DType]


class Call(Op, abstract=True):
    """Facts: `arity`; `results(x, ..., *attrs)`, shape and dtype of each result;
    `host(np, *arrays, *attrs)`, a tuple of them; `vjp` for every differentiable result.

    A node's attrs: (number of the result, *attrs). Names are those that people call: "linalg.inv".
    """

    kind = "call"
    rules = ("lower", "ref", "host")
    accepts: ClassVar[str] = "fc"
    arity: ClassVar[int] = 1
    hermitian: ClassVar[bool] = False  # does it take the input for Hermitian, and read a half?
    host: ClassVar[Callable[..., tuple[Any, ...]]]
    ref: ClassVar[Callable[..., Any]]

    def __init_subclass__(cls, abstract: bool = False) -> None:
        super().__init_subclass__(abstract)
        cls.ref = staticmethod(cls._one_of)

    @classmethod
    def _one_of(cls, np: Any, *arguments: Any) -> Any:
        """The NumPy reference is the host function itself: what it calls is the oracle's."""
        arrays, (part, *attrs) = arguments[: cls.arity], arguments[cls.arity :]
        return cls.host(np, *arrays, *attrs)[part]

    def __call__(self, *inputs: Node, attrs: Attrs = (0,)) -> Node:
        node = super().__call__(*inputs, attrs=attrs)
        note(node)  # values may not allow it, which only a run finds out
        return node

    def title(self, attrs: Attrs) -> str:
        """What a profile calls a node of it."""
        return self.name

    def parts(self, *inputs: Node, attrs: Attrs = ()) -> tuple[Node, ...]:
        """A node for each result."""
        count = len(self.results(*inputs, *attrs))
        return tuple(self(*inputs, attrs=(part, *attrs)) for part in range(count))

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> Facts:
        dtype = inputs[0].dtype
        for node in inputs:
            if node.dtype is not dtype and node.dtype is not dtype.part:
                raise DTypeError(f"{self.name}: dtypes {dtype.name} and {node.dtype.name} differ; "
                                 "cast them to one dtype first")  # fmt: skip
        if dtype.kind not in self.accepts or dtype is not dtype.compute:
            need = "float32, float64 or complex" if "f" in self.accepts else "integers"
            raise DTypeError(f"{self.name}: got {dtype.name}; need {need}: cast first")
        part, *rest = attrs
        return self.results(*inputs, *rest)[part]

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        return attrs  # matrices are the last axes

    def results(self, *arguments: Any) -> tuple[Facts, ...]:
        raise NotImplementedError(self.name)


def require_matrix(name: str, x: Node, square: bool = False) -> None:
    """A ShapeError unless the last two axes of `x` are a (square) matrix."""
    if x.rank < 2:
        raise ShapeError(f"{name}: got shape {x.shape}; need at least two dimensions, (..., m, n): "
                         "add one with x[None]")  # fmt: skip
    if square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}: got shape {x.shape}; need square matrices, (..., n, n)")


def each_matrix(np: Any, name: str, says: str, function: Callable[..., Any], *arrays: Any) -> Any:
    """function(*arrays); where NumPy gives up, an error that tells which matrix of the batch it
    was. `says` goes on after "matrix 3 of the batch "."""
    try:
        return function(*arrays)
    except np.linalg.LinAlgError:
        batch = arrays[0].shape[:-2]
        for place in np.ndindex(*batch):
            try:
                function(*(x[place] for x in arrays))
            except np.linalg.LinAlgError:
                raise LinAlgError(f"{name}: {which_of(place)} {says}") from None
        raise


def which_of(place: tuple[int, ...]) -> str:
    """A matrix of a batch in words."""
    number = ", ".join(map(str, place))
    return f"matrix {number} of the batch" if place else "the matrix"
