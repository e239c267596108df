"""Tensor: a handle on a lazy expression.

Operations record; looking computes (`live.evaluate`). Assignments rebind the handle, so tensors
never alias each other. Most methods are attached in `methods.py` from the function tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ambos.core.dtype import PYTHON, DType, Number, as_dtype
from ambos.core.errors import (
    DTypeError,
    GradientError,
    ScalarError,
    ShapeError,
    UnknownNameError,
    suggest,
)
from ambos.core.shape import Shape
from ambos.core.unknown import wholes
from ambos.graph.node import Node, tracking
from ambos.ops import arithmetic as ops
from ambos.ops.functions import power
from ambos.ops.movement import permute, reshape
from ambos.tensor.casting import recast
from ambos.tensor.given import data_of
from ambos.tensor.gradients import check_gradient
from ambos.tensor.identity import set_apart
from ambos.tensor.live import hold, leaf_handle, leaf_node, register, register_leaf
from ambos.tensor.looking import Looking
from ambos.tensor.lost import refuse_lost
from ambos.tensor.names import check_device
from ambos.tensor.operands import (
    SCALARS,
    Operand,
    binary,
    convert,
    floating,
    quotient,
    scalar,
)
from ambos.tensor.powers import raise_to
from ambos.tensor.resting import put_gradient, rebind, wake
from ambos.tensor.tracing import current, renewals


class Tensor(Looking):
    """An n-dimensional array that computes when it is looked at.

    Dtypes: Python numbers become bool, int64, float32 or complex64; NumPy arrays keep their dtype.
    Errors: DTypeError for data that is no array; GradientError where integers ask for gradients.

    Example:
        >>> import ambos as am
        >>> x = am.Tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> x @ x + 1
        tensor([[ 8., 11.],
                [16., 23.]])
    """

    __slots__ = {
        "__weakref__": "", "_grad": "See `grad`.", "_kept": "See `resting`.",
        "_node": "The expression.", "_retains_grad": "See `retain_grad`.",
    }  # fmt: skip
    __array_priority__ = 1000

    _node: Node
    _retains_grad: bool
    _grad: Tensor | None
    _kept: Any

    def __init__(
        self,
        data: Any,
        dtype: object = None,
        requires_grad: bool = False,
        device: object = None,
    ) -> None:
        check_device("tensor", device)
        wanted = None if dtype is None else as_dtype(dtype)
        # A number is data here, not a constant: another number makes no other graph.
        node = node_of(data) if isinstance(data, (Tensor, Node)) else data_of(data, wanted)
        if wanted is not None:
            node = recast(node, wanted)
        if node.tracked or requires_grad:
            node = leaf_node(node, requires_grad and _differentiable(node.dtype))
        self._grad = self._kept = None
        self._retains_grad = False
        self._bind(node)
        if requires_grad:
            register_leaf(self)

    def _bind(self, node: Node) -> None:
        """Hold `node` from now on, for the first time."""
        self._node = node
        if node.value is None:
            register(self)
            return
        hold(self)
        if current.trace is not None:
            current.trace.note_made(self)

    def _move(self, node: Node) -> None:
        """Hold `node` from now on instead of the one before."""
        old = self._node
        if current.trace is not None:
            current.trace.note_move(self)
        rebind(self, node)
        if node.value is None:
            register(self)
            if old.value is not None and old.shape == node.shape and old.dtype is node.dtype:
                renewals[node] = old

    def _rebind(self, node: Node, name: str = "assignment") -> Tensor:
        """What every in-place spelling does: a new value for this handle; shape and dtype stay."""
        old = self._node
        refuse_lost(self, old, name)
        if node.shape != old.shape:
            raise ShapeError(f"{name}: the result is {node.shape} but the tensor is {old.shape}; "
                             "need a result of the same shape")  # fmt: skip
        if node.dtype is not old.dtype:
            if "biufc".index(node.dtype.kind) > max(2, "biufc".index(old.dtype.kind)):
                raise DTypeError(
                    f"{name}: a {node.dtype.name} result for a {old.dtype.name} tensor; need the "
                    f"same kind: assign x = x.to({node.dtype.name!r}) first"
                )
            node = convert(node, old.dtype)
        if old.tracked and self.is_leaf:
            if tracking.enabled:
                raise GradientError(
                    f"{name}: in-place on a leaf that requires grad; need `with am.no_grad():` "
                    "around the update, or an operation that makes a new tensor"
                )
            self._move(leaf_node(node, True))
            register_leaf(self)
        else:
            self._move(node)
        return self

    def _newest(self) -> Tensor:
        """What an operation in place begins with; see `lent`."""
        return self

    # --- transposes ------------------------------------------------------------------------------

    @property
    def T(self) -> Tensor:
        """The axes reversed."""
        return wrap(permute(self._node, attrs=(tuple(range(self._node.rank))[::-1],)))

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped."""
        if self.ndim < 2:
            raise ShapeError(f"mT: got {self.shape}; need at least two dimensions")
        axes = tuple(range(self.ndim))
        return wrap(permute(self._node, attrs=((*axes[:-2], axes[-1], axes[-2]),)))

    # --- gradients --------------------------------------------------------------------------

    @property
    def grad(self) -> Tensor | None:
        """What `backward()` has added up for this leaf; None before the first."""
        if current.trace is not None:
            current.trace.note_gradient(self, sets=False)
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            check_gradient(self, value)
        if current.trace is not None:
            current.trace.note_gradient(self, sets=True)
        put_gradient(self, value)

    @property
    def requires_grad(self) -> bool:
        """Do gradients flow to or through this tensor?"""
        return self._node.tracked

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        self.requires_grad_(flag)

    def requires_grad_(self, flag: bool = True) -> Tensor:
        """Ask for gradients (or not any more); returns self."""
        node = self._node
        if flag and not node.tracked:
            _differentiable(node.dtype)
            self._move(leaf_node(node, True))
            register_leaf(self)
        elif not flag and node.tracked:
            if not self.is_leaf:
                raise GradientError("requires_grad_: only a leaf can stop requiring grad; need "
                                    "x.detach() here")  # fmt: skip
            self._move(leaf_node(node, False))
        return self

    @property
    def is_leaf(self) -> bool:
        """Was this made by the user rather than by an operation on tensors that require grad?"""
        if not self._node.tracked:
            return True
        return not self._retains_grad and leaf_handle(self._node) is self

    @property
    def grad_fn(self) -> str | None:
        """The operation that made this, by name, where gradients flow through it."""
        return None if self.is_leaf else self._node.op.name

    def retain_grad(self) -> None:
        """Keep `grad` at `backward()` though this is not a leaf."""
        if not self._node.tracked:
            raise GradientError("retain_grad: the tensor does not require grad; need one that does")
        self._retains_grad = not self.is_leaf
        if self._retains_grad:
            set_apart(self)
            register_leaf(self)

    @property
    def retains_grad(self) -> bool:
        """Has `retain_grad()` been called on this non-leaf?"""
        return self._retains_grad

    def detach(self) -> Tensor:
        """The same values without gradients."""
        node = self._node
        return wrap(leaf_node(node, False) if node.tracked else node)

    def detach_(self) -> Tensor:
        """Cut this handle off from the graph behind it."""
        if self._node.tracked:
            self._move(leaf_node(self._node, False))
        return self

    @property
    def data(self) -> Tensor:
        """See `lent.lend`, which `methods` puts here."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        node = node_of(value)
        tracked = self._node.tracked and node.dtype.is_inexact
        self._move(leaf_node(node, tracked) if tracked or node.tracked else node)
        if tracked:
            register_leaf(self)

    # --- a collection, a key, a copy -------------------------------------------------------------

    def __iter__(self) -> Iterator[Tensor]:
        if not self._node.shape:
            raise ScalarError("iteration: got a scalar; need at least one dimension")
        return (self[i] for i in range(self._node.shape[0]))

    def __contains__(self, value: Any) -> bool:
        found = self == value
        return isinstance(found, Tensor) and bool(found.any())

    def __hash__(self) -> int:
        if current.trace is not None:
            current.trace.asked.add(id(self))
        return id(self)

    def __reduce__(self) -> Any:
        return _restore, (type(self), self.numpy(), self.dtype.name, self.requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise GradientError("deepcopy: only leaves can be copied; need x.detach() first")
        copy: Tensor = type(self).__new__(type(self))
        copy._grad, copy._kept, copy._retains_grad = None, None, False
        copy._bind(leaf_node(self._node, True) if self._node.tracked else self._node)
        if self._node.tracked:
            register_leaf(copy)
        if hasattr(self, "__dict__"):
            copy.__dict__.update(self.__dict__)
        memo[id(self)] = copy
        return copy

    def __getattr__(self, name: str) -> Any:
        if name == "_node":
            hold(self)
            return wake(self)
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnknownNameError(
            f"Tensor: has no attribute {name!r}; need an existing method",
            hint=lambda: suggest(name, dir(type(self))),
        )

    # --- operators --------------------------------------------------------------------------

    if TYPE_CHECKING:  # attached by tensor.methods, which builds on this class

        @property
        def real(self) -> Tensor: ...
        @property
        def imag(self) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...

    def __add__(self, other: Any) -> Tensor:
        return infix(ops.add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return infix(ops.add, other, self)

    def __sub__(self, other: Any) -> Tensor:
        return infix(ops.subtract, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return infix(ops.subtract, other, self)

    def __mul__(self, other: Any) -> Tensor:
        return infix(ops.multiply, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return infix(ops.multiply, other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return infix(ops.divide, self, other, quotient)

    def __rtruediv__(self, other: Any) -> Tensor:
        return infix(ops.divide, other, self, quotient)

    def __floordiv__(self, other: Any) -> Tensor:
        return infix(ops.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return infix(ops.floor_divide, other, self)

    def __mod__(self, other: Any) -> Tensor:
        return infix(ops.remainder, self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return infix(ops.remainder, other, self)

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __pow__(self, other: Any) -> Tensor:
        return infix(power, self, other, raise_to)

    def __rpow__(self, other: Any) -> Tensor:
        return infix(power, other, self, raise_to)

    def __neg__(self) -> Tensor:
        return wrap(ops.negative(self._node))

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return wrap(ops.absolute(self._node))

    def __invert__(self) -> Tensor:
        return wrap(ops.bitwise_invert(self._node))

    def __and__(self, other: Any) -> Tensor:
        return infix(ops.bitwise_and, self, other)

    __rand__ = __and__

    def __or__(self, other: Any) -> Tensor:
        return infix(ops.bitwise_or, self, other)

    __ror__ = __or__

    def __xor__(self, other: Any) -> Tensor:
        return infix(ops.bitwise_xor, self, other)

    __rxor__ = __xor__

    def __lshift__(self, other: Any) -> Tensor:
        return infix(ops.bitwise_left_shift, self, other)

    def __rlshift__(self, other: Any) -> Tensor:
        return infix(ops.bitwise_left_shift, other, self)

    def __rshift__(self, other: Any) -> Tensor:
        return infix(ops.bitwise_right_shift, self, other)

    def __rrshift__(self, other: Any) -> Tensor:
        return infix(ops.bitwise_right_shift, other, self)

    def __lt__(self, other: Any) -> Tensor:
        return infix(ops.less, self, other)

    def __le__(self, other: Any) -> Tensor:
        return infix(ops.less_equal, self, other)

    def __gt__(self, other: Any) -> Tensor:
        return infix(ops.greater, self, other)

    def __ge__(self, other: Any) -> Tensor:
        return infix(ops.greater_equal, self, other)

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return infix(ops.equal, self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return infix(ops.not_equal, self, other)


# --- between handles and nodes ----------------------------------------------------------------


def wrap(node: Node, kind: type[Tensor] = Tensor) -> Tensor:
    """A new handle on `node`."""
    tensor = kind.__new__(kind)
    tensor._node = node
    tensor._grad = tensor._kept = None
    tensor._retains_grad = False
    if node.value is None:
        register(tensor)
    else:
        hold(tensor)
        if current.trace is not None:
            current.trace.note_made(tensor)
    return tensor


def operand_of(value: Any) -> Operand:
    """`value` as an operand: a node, or the Python scalar that it is."""
    if isinstance(value, Tensor):
        return value._node
    if isinstance(value, SCALARS):
        return value
    return node_of(value)


def node_of(value: Any) -> Node:
    """`value` as a node; arrays and lists are copied."""
    if isinstance(value, Tensor):
        return value._node
    if isinstance(value, SCALARS):
        return scalar(value, PYTHON[next(kind for kind in SCALARS if isinstance(value, kind))])
    if isinstance(value, Node):
        return value
    return data_of(value)


def infix(op: Any, a: Any, b: Any, rule: Any = binary) -> Tensor:
    """What an operator records; text and None are equal to no tensor, and else an error."""
    if isinstance(a, Tensor):
        a = a._node
    elif a is None or isinstance(a, str):
        return _no_operand(op, a)
    else:
        a = operand_of(a)
    if isinstance(b, Tensor):
        b = b._node
    elif b is None or isinstance(b, str):
        return _no_operand(op, b)
    else:
        b = operand_of(b)
    return wrap(rule(op, a, b))


def _no_operand(op: Any, value: str | None) -> Any:
    if op in (ops.equal, ops.not_equal):
        return NotImplemented
    raise DTypeError(f"{op.name}: an operand is {value!r}; need tensors, arrays or numbers")


def _differentiable(dtype: DType) -> bool:
    if dtype.is_inexact:
        return True
    raise GradientError(f"requires_grad: got {dtype.name}; need a floating dtype: use x.float()")


def _restore(kind: type[Tensor], array: Any, dtype: str, requires_grad: bool) -> Tensor:
    tensor = kind.__new__(kind)
    Tensor.__init__(tensor, array, dtype=dtype, requires_grad=requires_grad)
    return tensor


def shape_of(op: str, shape: Sequence[Any]) -> Shape:
    """`(2, 3)`, `((2, 3),)` or `([2, 3],)` as a Shape."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = shape[0]
    try:
        return wholes(shape)
    except TypeError:
        raise ShapeError(f"{op}: got the shape {tuple(shape)!r}; need integers") from None


def reshaped(node: Node, shape: Shape) -> Node:
    return node if node.shape == shape else reshape(node, attrs=(shape,))


__all__ = [
    "Number", "Tensor", "floating", "infix", "node_of", "operand_of", "reshaped", "shape_of",
    "wrap",
]  # fmt: skip
