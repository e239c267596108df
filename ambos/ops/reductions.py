"""Reductions over axes; attrs: (axes,), sorted; the reduced axes disappear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ambos.core.dtype import DType, int64
from ambos.core.errors import DTypeError, ShapeError
from ambos.core.shape import Shape, size_of
from ambos.graph.node import Attrs, Node
from ambos.ops.arithmetic import cast, divide, equal, multiply, subtract, where
from ambos.ops.kinds import Grads, Op, constant_like, not_accepted
from ambos.ops.movement import expand, reshape
from ambos.ops.sources import iota


class Reduce(Op, abstract=True):
    """Axes folded into one element by an associative operation.

    Facts: `fold`, the name of the operation in loop IR (whose canonical order is the bits
    contract); `accepts`; `ref(np, x, axes)`; `vjp`.
    """

    kind = "reduce"
    fold: ClassVar[str] = ""
    accepts: ClassVar[str] = "iuf"
    result: ClassVar[DType | None] = None
    needs_elements: ClassVar[bool] = False  # an empty reduction has no answer
    ref: ClassVar[Callable[..., Any]]

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x,), (axes,) = inputs, attrs
        if x.dtype.kind not in self.accepts:
            raise DTypeError(not_accepted(self.name, x.dtype, self.accepts))
        if self.needs_elements and 0 in (x.shape[a] for a in axes):
            raise ShapeError(f"{self.name}: axis {axes} of {x.shape} has no elements; need one")
        return tuple(n for a, n in enumerate(x.shape) if a not in axes), self.result or x.dtype


def kept(node: Node, value: Node) -> Node:
    """`value`, shaped like the result of the reduction `node`, expanded to its input's shape."""
    (x,), (axes,) = node.inputs, node.attrs
    single = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    return expand(reshape(value, attrs=(single,)), attrs=(x.shape,))


class Sum(Reduce):
    """Total."""

    fold, accepts = "add", "iufc"
    ref = lambda np, x, axes: np.sum(x, axes, dtype=x.dtype)

    def vjp(self, node: Node, g: Node) -> Grads:
        return (kept(node, g),)


class Prod(Reduce):
    """Product."""

    fold, accepts, analytic = "mul", "iufc", True
    ref = lambda np, x, axes: np.prod(x, axes, dtype=x.dtype)

    def vjp(self, node: Node, g: Node) -> Grads:
        """The product of the others, without dividing by zero. With one or two zeros the terms
        that vanish are still written out, for the sake of the second derivative."""
        (x,) = node.inputs
        zero, one, two = (constant_like(x, value) for value in (0, 1, 2))
        is_zero = equal(x, zero)
        safe = where(is_zero, one, x)
        count = kept(node, sum_(cast(is_zero, attrs=(x.dtype,)), attrs=node.attrs))
        zeros = kept(node, sum_(where(is_zero, x, zero), attrs=node.attrs))
        others = kept(node, prod(safe, attrs=node.attrs))
        single, pair = equal(count, one), equal(count, two)
        at_zero = where(single, one, where(pair, subtract(zeros, x), zero))
        elsewhere = where(equal(count, zero), one, where(single, zeros, zero))
        slope = multiply(divide(others, safe), where(is_zero, at_zero, elsewhere))
        return (multiply(kept(node, g), slope),)


def _first_extreme(node: Node, g: Node, position: Op) -> Grads:
    """The gradient goes to the first of equal extremes."""
    (x,), (axes,) = node.inputs, node.attrs
    chosen = kept(node, position(x, attrs=node.attrs))
    return (where(equal(positions(x.shape, axes), chosen), kept(node, g), constant_like(x, 0)),)


def positions(shape: Shape, axes: Shape) -> Node:
    """Each element's row-major position within `axes`, int64."""
    count = iota(attrs=(size_of([shape[a] for a in axes]),))
    single = tuple(n if a in axes else 1 for a, n in enumerate(shape))
    return expand(reshape(count, attrs=(single,)), attrs=(shape,))


class Max(Reduce):
    """Largest element; NaN if there is one. The first of equal ones gets its gradient."""

    fold, accepts, needs_elements = "max", "biuf", True
    ref = lambda np, x, axes: np.max(x, axes)

    def vjp(self, node: Node, g: Node) -> Grads:
        return _first_extreme(node, g, argmax)


class Min(Reduce):
    """Smallest element; NaN if there is one. The first of equal ones gets its gradient."""

    fold, accepts, needs_elements = "min", "biuf", True
    ref = lambda np, x, axes: np.min(x, axes)

    def vjp(self, node: Node, g: Node) -> Grads:
        return _first_extreme(node, g, argmin)


def _equal_extremes(node: Node, g: Node) -> Grads:
    """Equal extremes share the gradient; of NaN it is NaN."""
    (x,) = node.inputs
    chosen = cast(equal(x, kept(node, node)), attrs=(x.dtype,))
    share = divide(g, sum_(chosen, attrs=node.attrs))
    return (multiply(chosen, kept(node, share)),)


class Amax(Max):
    """Largest element; NaN if there is one. Equal ones share its gradient."""

    def vjp(self, node: Node, g: Node) -> Grads:
        return _equal_extremes(node, g)


class Amin(Min):
    """Smallest element; NaN if there is one. Equal ones share its gradient."""

    def vjp(self, node: Node, g: Node) -> Grads:
        return _equal_extremes(node, g)


def _merged(np: Any, x: Any, axes: Shape) -> Any:
    rest = [a for a in range(x.ndim) if a not in axes]
    merged = size_of([x.shape[a] for a in axes])
    return x.transpose([*rest, *axes]).reshape([*(x.shape[a] for a in rest), merged])


class Argmax(Reduce):
    """Row-major position, within the reduced axes, of the first largest element, int64."""

    fold, accepts, result, needs_elements = "argmax", "biuf", int64, True
    differentiable = False
    ref = lambda np, x, axes: np.argmax(_merged(np, x, axes), -1)


class Argmin(Reduce):
    """Row-major position, within the reduced axes, of the first smallest element, int64."""

    fold, accepts, result, needs_elements = "argmin", "biuf", int64, True
    differentiable = False
    ref = lambda np, x, axes: np.argmin(_merged(np, x, axes), -1)


class Any_(Reduce):
    """Is any element true?"""

    name = "any"
    fold, accepts, differentiable = "max", "b", False
    ref = lambda np, x, axes: np.any(x, axes)


class All(Reduce):
    """Is every element true?"""

    fold, accepts, differentiable = "min", "b", False
    ref = lambda np, x, axes: np.all(x, axes)


sum_, prod, max_, min_, amax, amin = Sum(), Prod(), Max(), Min(), Amax(), Amin()
argmax, argmin, any_, all_ = Argmax(), Argmin(), Any_(), All()
