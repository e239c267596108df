"""An iteration space: axes with extents, and the index of a tensor in terms of them."""

from __future__ import annotations

from collections.abc import Sequence

from ambos.core.affine import Affine, Misaligned
from ambos.core.errors import CompilerError
from ambos.core.shape import Shape


class Space:
    """Axes over the points of `shape`, at first one a dimension; a reshape that does not line up
    cuts an axis in two. `dims[d]` is dimension d in terms of the axes."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape: Shape = tuple(shape)
        self.extents: list[int] = list(shape)
        self.dims: list[Affine] = [Affine.axis(d) for d in range(len(shape))]

    def refine(self, problem: Misaligned) -> None:
        """Cut the axis that does not line up."""
        if problem.axis is None:
            raise CompilerError("reshape: no cut of an axis makes the index line up")
        self.cut(problem.axis, problem.extent)

    def cut(self, axis: int, inner: int) -> None:
        """Axis becomes (outer, inner): the old number is the inner part, a new one the outer."""
        outer = len(self.extents)
        self.extents.append(self.extents[axis] // inner)
        self.extents[axis] = inner
        step = Affine(0, ((outer, inner),))
        self.dims = [dim + step * dim.coefficient(axis) for dim in self.dims]

    def axes_of(self, dim: int) -> list[int]:
        """The axes that make up a dimension, outermost first."""
        terms = sorted(self.dims[dim].terms, key=lambda term: -term[1])
        return [axis for axis, _ in terms]
