"""Reductions over axes; attrs: (axes,), sorted; the reduced axes disappear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ambos.core.dtype import DType, int64
from ambos.core.errors import DTypeError, ShapeError
from ambos.core.shape import Shape, size_of
from ambos.graph.node import Attrs, Node
from ambos.ops.arithmetic import cast, divide, equal, multiply, subtract, where
from ambos.ops.kinds import Grads, Op, constant_like, not_accepted, op
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

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        return (tuple(axis + 1 for axis in attrs[0]),)


def kept(node: Node, value: Node) -> Node:
    """`value`, shaped like the result of the reduction `node`, expanded to its input's shape."""
    return keep(value, node.attrs[0], node.inputs[0].shape)


def keep(value: Node, axes: Sequence[int], shape: Shape) -> Node:
    """`value`, from which `axes` were reduced away, expanded back to `shape`."""
    single = tuple(1 if a in axes else n for a, n in enumerate(shape))
    return expand(reshape(value, attrs=(single,)), attrs=(shape,))


class Sum(Reduce):
    """Total."""

    fold, accepts, linear = "add", "iufc", (0,)
    ref = lambda np, x, axes: np.sum(x, axes, dtype=x.dtype)

    def vjp(self, node: Node, g: Node) -> Grads:
        return (kept(node, g),)


class Prod(Reduce):
    """Product."""

    fold, accepts, analytic = "mul", "iufc", True
    ref = lambda np, x, axes: np.prod(x, axes, dtype=x.dtype)

    def vjp(self, node: Node, g: Node) -> Grads:
        return (multiply(kept(node, g), self.slope(node)),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (tangent,) = tangents
        if tangent is None:
            return None
        return sum_(multiply(tangent, self.slope(node)), attrs=node.attrs)

    @staticmethod
    def slope(node: Node) -> Node:
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
        return multiply(divide(others, safe), where(is_zero, at_zero, elsewhere))


class Extreme(Reduce, abstract=True):
    """Largest or smallest elements: the first of equal ones gets the gradient."""

    accepts, needs_elements = "biuf", True
    position: ClassVar[str]  # the op that finds it

    def vjp(self, node: Node, g: Node) -> Grads:
        return (where(self.chosen(node), kept(node, g), constant_like(node.inputs[0], 0)),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (tangent,) = tangents
        if tangent is None:
            return None
        nothing = constant_like(tangent, 0)
        return sum_(where(self.chosen(node), tangent, nothing), attrs=node.attrs)

    def chosen(self, node: Node) -> Node:
        """Where each extreme was found, as bool."""
        (x,), (axes,) = node.inputs, node.attrs
        return is_at(op(self.position)(x, attrs=node.attrs), axes, x.shape)


def is_at(place: Node, axes: Shape, shape: Shape) -> Node:
    """Where in `shape` an element is the one at `place` along `axes`, row by row, as bool."""
    return equal(positions(shape, axes), keep(place, axes, shape))


def positions(shape: Shape, axes: Shape) -> Node:
    """Each element's row-major position within `axes`, int64."""
    count = iota(attrs=(size_of([shape[a] for a in axes]),))
    single = tuple(n if a in axes else 1 for a, n in enumerate(shape))
    return expand(reshape(count, attrs=(single,)), attrs=(shape,))


class Max(Extreme):
    """Largest element; NaN if there is one. The first of equal ones gets its gradient."""

    fold, position = "max", "argmax"
    ref = lambda np, x, axes: np.max(x, axes)


class Min(Extreme):
    """Smallest element; NaN if there is one. The first of equal ones gets its gradient."""

    fold, position = "min", "argmin"
    ref = lambda np, x, axes: np.min(x, axes)


class Shared(Reduce, abstract=True):
    """Largest or smallest elements: equal ones share the gradient; of NaN it is NaN."""

    accepts, needs_elements = "biuf", True

    def vjp(self, node: Node, g: Node) -> Grads:
        chosen, count = self.chosen(node)
        return (multiply(chosen, kept(node, divide(g, count))),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (tangent,) = tangents
        if tangent is None:
            return None
        chosen, count = self.chosen(node)
        return divide(sum_(multiply(chosen, tangent), attrs=node.attrs), count)

    @staticmethod
    def chosen(node: Node) -> tuple[Node, Node]:
        """1 where an element is the extreme, else 0; and how many are."""
        (x,) = node.inputs
        chosen = cast(equal(x, kept(node, node)), attrs=(x.dtype,))
        return chosen, sum_(chosen, attrs=node.attrs)


class Amax(Shared):
    """Largest element; NaN if there is one. Equal ones share its gradient."""

    fold = "max"
    ref = lambda np, x, axes: np.max(x, axes)


class Amin(Shared):
    """Smallest element; NaN if there is one. Equal ones share its gradient."""

    fold = "min"
    ref = lambda np, x, axes: np.min(x, axes)


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
