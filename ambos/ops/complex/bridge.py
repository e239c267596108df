"""Between complex numbers and their parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ambos.core.dtype import DType, complex_of, float32, float64
from ambos.core.errors import DTypeError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.node import Attrs, Node
from ambos.ops.arithmetic import cast
from ambos.ops.kinds import Grads, Op, constant_like


class Bridge(Op, abstract=True):
    """Elementwise, with complex numbers on one side at least.

    Gradients are PyTorch's: of a real result by z = x + iy it is d/dx + i d/dy."""

    kind = "complex"
    linear: ClassVar[tuple[int, ...]] = (0,)
    ref: ClassVar[Callable[..., Any]]

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (z,) = inputs
        if not z.dtype.is_complex:
            raise DTypeError(f"{self.name}: got {z.dtype.name}; need complex")
        return z.shape, self.infer_dtype(z)

    def infer_dtype(self, z: Node) -> DType:
        return z.dtype.part

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        return attrs


class Real(Bridge):
    """The real part."""

    ref = lambda np, z: z.real

    def vjp(self, node: Node, g: Node) -> Grads:
        return (cast(g, attrs=(node.inputs[0].dtype,)),)


class Imag(Bridge):
    """The imaginary part."""

    ref = lambda np, z: z.imag

    def vjp(self, node: Node, g: Node) -> Grads:
        return (complex_(zeros(g), g),)


class Conj(Bridge):
    """The number mirrored in the real axis."""

    ref = lambda np, z: np.conj(z)

    def __call__(self, *inputs: Node, attrs: Attrs = ()) -> Node:
        (z,) = inputs
        return z.inputs[0] if z.op is self else super().__call__(z)

    def infer_dtype(self, z: Node) -> DType:
        return z.dtype

    def vjp(self, node: Node, g: Node) -> Grads:
        return (conj(g),)


class Complex(Bridge):
    """x + iy of two real numbers; either may be infinite or NaN by itself."""

    linear = (0, 1)

    def ref(np: Any, x: Any, y: Any) -> Any:
        z = np.empty(x.shape, np.result_type(x.dtype, np.complex64))
        z.real, z.imag = x, y
        return z

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        x, y = inputs
        if x.shape != y.shape:
            raise ShapeError(f"complex: shapes {x.shape} and {y.shape} differ; "
                             "expand them to one shape first")  # fmt: skip
        if x.dtype is not y.dtype or x.dtype not in (float32, float64):
            raise DTypeError(f"complex: got {x.dtype.name} and {y.dtype.name}; need float32 or "
                             "float64 for both parts: cast them first")  # fmt: skip
        return x.shape, complex_of(x.dtype)

    def vjp(self, node: Node, g: Node) -> Grads:
        return real(g), imag(g)


def zeros(x: Node) -> Node:
    """The other part of numbers that have only one."""
    return constant_like(x, 0.0)


real, imag, conj, complex_ = Real(), Imag(), Conj(), Complex()
