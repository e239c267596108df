"""Kinds carry the laws, ops carry the facts.

An op is a class with one docstring and the facts its kind asks for; declaring it registers one
instance, which is called to make nodes: `add(x, y)`. Rules receive their world (`b` a scalar-code
builder, `np` NumPy) as an argument, so this room imports neither LLVM nor NumPy.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from ambos.core.dtype import DType, Number, bool_
from ambos.core.errors import CompilerError, DTypeError, ShapeError
from ambos.core.open import Sheet
from ambos.core.shape import Shape
from ambos.graph.node import Attrs, Node, make, tracking, unscoped

registry: dict[str, Op] = {}

# `ref` of a pointwise op that NumPy has no function for: the reference is the scalar rule, lane by
# lane. Such a rule owes a test against an oracle of its own.
BY_RULE = "lower"

Grads = tuple[Node | None, ...]


class Op:
    """What every kind shares. Subclasses that are ops (not kinds) register themselves."""

    name: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    rules: ClassVar[tuple[str, ...]] = ("lower", "ref")  # functions that do not want `op`
    differentiable: ClassVar[bool] = True
    analytic: ClassVar[bool] = False  # complex: `vjp` multiplies by f', the gradient by conj(f')
    linear: ClassVar[tuple[int, ...]] = ()  # inputs: all times a number, and so is the result

    def __init_subclass__(cls, abstract: bool = False) -> None:
        for rule in cls.rules:
            function = cls.__dict__.get(rule)
            if callable(function) and not isinstance(function, staticmethod):
                setattr(cls, rule, staticmethod(function))
        if abstract:
            return
        cls.name = cls.__dict__.get("name") or snake_case(cls.__name__)
        if cls.name in registry:
            raise CompilerError(f"ops: {cls.name!r} is declared twice")
        registry[cls.name] = super().__new__(cls)

    def __new__(cls) -> Op:
        """The one registered instance."""
        return registry[cls.name]

    def __call__(self, *inputs: Node, attrs: Attrs = ()) -> Node:
        return make(self, inputs, attrs, None if self.differentiable else False)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        raise NotImplementedError(self.name)

    def vjp(self, node: Node, g: Node) -> Grads:
        """Gradients of the inputs, given `g`, the gradient of the result."""
        raise NotImplementedError(self.name)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        """The tangent of `node`, given those of its inputs (None: zero). An op that is linear
        does to tangents what it does to its inputs."""
        if not self.linear:
            raise NotImplementedError(self.name)
        return pushed(node, tangents, self.linear)

    def batch(
        self, node: Node, inputs: tuple[Node, ...], batched: tuple[bool, ...], size: int
    ) -> Node:
        """What `node` is for each of `size` examples at once, along a new first axis. `inputs`
        take the place of `node.inputs`; those that are `batched` have that axis in front.

        The same op on inputs that all have the axis, unless its kind knows better."""
        return self(*for_each(inputs, batched, size), attrs=self.batch_attrs(node.attrs, size))

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        """`attrs` for inputs that have one more axis in front, of `size` examples."""
        raise NotImplementedError(self.name)

    def __repr__(self) -> str:
        return f"<op {self.name}>"


def for_each(inputs: Sequence[Node], batched: Sequence[bool], size: int) -> tuple[Node, ...]:
    """`inputs`, all with an axis of `size` examples in front: what is not `batched` is repeated."""
    return tuple(
        x if is_batched else repeated(x, size)
        for x, is_batched in zip(inputs, batched, strict=True)
    )


def repeated(x: Node, size: int) -> Node:
    """`x` for each of `size` examples, along a new first axis."""
    single = op("reshape")(x, attrs=((1, *x.shape),))
    return op("expand")(single, attrs=((size, *x.shape),))


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().rstrip("_")


def op(name: str) -> Any:
    """The registered op called `name`."""
    return registry[name]


def kind_of(node: Node) -> str:
    """The kind of the op of `node`."""
    return registry[node.op.name].kind


class Pointwise(Op, abstract=True):
    """One result element from the same element of each input.

    Facts: `lower(b, *values)` scalar code; `ref(np, *arrays)`; `partials(op, out, *inputs)`, one
    node (or number, or None) per input, the derivative of the result by that input, or `vjp` for
    the gradient itself; `accepts`, the kinds of dtype ("biuf"); `domain`, where tests sample.
    Inputs share one shape and one dtype (`mixed` ops check their own).
    """

    kind, analytic = "pointwise", True
    arity: ClassVar[int] = 1
    accepts: ClassVar[str] = "f"
    result: ClassVar[DType | None] = None  # None: the dtype of the inputs
    mixed: ClassVar[bool] = False
    domain: ClassVar[tuple[float, float]] = (-3.0, 3.0)
    smooth: ClassVar[bool] = True  # gradcheck may sample anywhere in the domain
    cost: ClassVar[int] = 1  # in additions, roughly: what recomputing it would cost
    fills: ClassVar[tuple[str, ...]] = ()  # what tests feed, if not values (testing/samples.py)
    lower: ClassVar[Callable[..., Any]]
    ref: ClassVar[Any]  # a function, or BY_RULE
    partials: ClassVar[Callable[..., Any] | None] = None

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        if len(inputs) != self.arity:
            raise ShapeError(f"{self.name}: got {len(inputs)} operands; need {self.arity}")
        shape = inputs[0].shape
        for node in inputs:
            if node.shape is not shape and node.shape != shape:
                raise ShapeError(f"{self.name}: shapes {shape} and {node.shape} differ; "
                                 "expand them to one shape first")  # fmt: skip
        return shape, self.infer_dtype(inputs, attrs)

    def infer_dtype(self, inputs: tuple[Node, ...], attrs: Attrs) -> DType:
        dtype = inputs[0].dtype
        for node in inputs:
            if node.dtype is not dtype:
                raise DTypeError(f"{self.name}: dtypes {dtype.name} and {node.dtype.name} differ; "
                                 "cast them to one dtype first")  # fmt: skip
        if dtype.kind not in self.accepts:
            raise DTypeError(not_accepted(self.name, dtype, self.accepts))
        return self.result or dtype

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        return attrs

    def vjp(self, node: Node, g: Node) -> Grads:
        if self.partials is None:
            return (None,) * len(node.inputs)
        return tuple(
            None if partial is None else scale(g, partial)
            for partial in self.partials(node, *node.inputs)
        )

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        """Each element moves by itself, so that `vjp`, which multiplies by the derivative, is
        its own transpose."""
        if self.linear:
            return pushed(node, tangents, self.linear)
        if self.partials is None:
            moving = [(i, t) for i, t in enumerate(tangents) if t is not None]
            return total([self.vjp(node, tangent)[place] for place, tangent in moving])
        slopes = zip(tangents, self.partials(node, *node.inputs), strict=True)
        return total([None if t is None or s is None else scale(t, s) for t, s in slopes])


def pushed(node: Node, tangents: Sequence[Node | None], places: Sequence[int]) -> Node | None:
    """What the op of `node` makes of the tangents at `places` and of the other inputs."""
    if all(tangents[place] is None for place in places):
        return None
    inputs = list(node.inputs)
    for place in places:
        tangent = tangents[place]
        inputs[place] = constant_like(inputs[place], 0) if tangent is None else tangent
    return op(node.op.name)(*inputs, attrs=node.attrs)


def total(terms: Sequence[Node | None]) -> Node | None:
    """The sum of those that are not zero (None)."""
    present = [term for term in terms if term is not None]
    return functools.reduce(op("add"), present) if present else None


def scale(g: Node, partial: Node | int | float) -> Node:
    """g * partial, without a multiplication by one."""
    if isinstance(partial, Node):
        return op("multiply")(g, partial)
    if partial == 1:
        return g
    if partial == -1:
        return op("negative")(g)
    return op("multiply")(g, constant_like(g, partial))


def kinds_in_words(kinds: str) -> str:
    words = {"b": "bool", "i": "signed integer", "u": "unsigned integer", "f": "floating",
             "c": "complex"}  # fmt: skip
    return " or ".join(words[k] for k in kinds)


def not_accepted(name: str, dtype: DType, kinds: str) -> str:
    """What to say of a dtype that an op does not take."""
    fix = ": use x.real, x.imag or am.abs(x)" if dtype.is_complex else ""
    return f"{name}: got {dtype.name}; need {kinds_in_words(kinds)}{fix}"


class Predicate(Pointwise, abstract=True):
    """A pointwise op whose result is bool and has no gradient."""

    accepts = "biuf"
    result = bool_
    differentiable = False


class Move(Op, abstract=True):
    """Each result element is one input element, or a fill: no arithmetic.

    Facts: `infer`; `access(op, node, index)` maps the result's index (a list of Affine) to
    `[(input number, its index, conditions)]`, where conditions `(expression, extent)` say
    0 <= expression < extent; elements for which no case holds are zero; `vjp`; `batch_attrs`;
    `ref`.
    """

    kind = "move"
    accepts: ClassVar[str] = "biufc"
    ref: ClassVar[Callable[..., Any]]

    def access(self, node: Node, index: list[Any], space: Any) -> list[Any]:
        raise NotImplementedError(self.name)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        return pushed(node, tangents, range(len(node.inputs)))


class Source(Op, abstract=True):
    """A node without inputs."""

    kind = "source"
    differentiable = False
    ref: ClassVar[Callable[..., Any]]

    def vjp(self, node: Node, g: Node) -> Grads:
        return ()


def constant(value: Number, dtype: DType, shape: Shape = ()) -> Node:
    """`value` everywhere."""
    if type(tracking.scope) is Sheet:  # what is left open there is nobody else's
        return _filled(value, dtype, shape)
    # repr tells apart what compares equal: 0.0 and -0.0, 1 and 1.0 and True.
    return _constant(repr(value), value, dtype, shape)


@lru_cache(maxsize=1024)
def _constant(exact: str, value: Number, dtype: DType, shape: Shape) -> Node:
    """Three nodes, asked for again at every step of a training loop: kept for a while."""
    del exact
    with unscoped():
        return _filled(value, dtype, shape)


def _filled(value: Number, dtype: DType, shape: Shape) -> Node:
    node = op("constant")(attrs=(value, dtype))
    if not shape:
        return node
    return op("expand")(op("reshape")(node, attrs=((1,) * len(shape),)), attrs=(shape,))


def constant_like(node: Node, value: Number) -> Node:
    """`value` in the shape and dtype of `node`."""
    return constant(value, node.dtype, node.shape)
