"""`Value`, an operand of scalar code, and `Writer`, what it needs of the builder that made it.

Helpers of the builder (rounding, outline) are written against `Writer`, so that the builder may
use them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ambos.compiler.frame import Loop
from ambos.compiler.loops import LANES
from ambos.core.dtype import DType, bfloat16, bool_, float16

HALVES = (float16, bfloat16)
SUFFIX = {"float": "f32", "double": "f64", "half": "f16"}


def register_type(dtype: DType) -> str:
    """The LLVM type of one lane of `dtype` in a register."""
    return dtype.compute.llvm


def vector_type(element: str) -> str:
    """The LLVM type of LANES elements."""
    return f"<{LANES} x {element}>"


class Value:
    """A register or a literal; see core.builder.Value for what the operators mean."""

    __slots__ = ("builder", "constant", "depth", "dtype", "stored", "text", "vector")

    def __init__(
        self,
        builder: Writer,
        text: str,
        dtype: DType,
        vector: bool,
        depth: int,
        constant: bool | int | float | None = None,
        stored: str | None = None,
    ) -> None:
        self.builder = builder
        self.text = text
        self.dtype = dtype
        self.vector = vector
        self.depth = depth
        self.constant = constant
        self.stored = stored

    def __repr__(self) -> str:
        return f"<{'vector' if self.vector else 'uniform'} {self.dtype.name} {self.text}>"

    @property
    def type(self) -> str:
        """The LLVM type of the register."""
        element = register_type(self.dtype)
        return vector_type(element) if self.vector else element

    def __add__(self, other: Any) -> Value:
        return self.builder.arithmetic("add", self, other)

    def __radd__(self, other: Any) -> Value:
        return self.builder.arithmetic("add", other, self)

    def __sub__(self, other: Any) -> Value:
        return self.builder.arithmetic("sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self.builder.arithmetic("sub", other, self)

    def __mul__(self, other: Any) -> Value:
        return self.builder.arithmetic("mul", self, other)

    def __rmul__(self, other: Any) -> Value:
        return self.builder.arithmetic("mul", other, self)

    def __truediv__(self, other: Any) -> Value:
        return self.builder.divide("div", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return self.builder.divide("div", other, self)

    def __mod__(self, other: Any) -> Value:
        return self.builder.divide("rem", self, other)

    def __neg__(self) -> Value:
        return self.builder.negate(self)

    def __invert__(self) -> Value:
        return self.builder.bitwise("xor", self, True if self.dtype is bool_ else -1)

    def __and__(self, other: Any) -> Value:
        return self.builder.bitwise("and", self, other)

    def __or__(self, other: Any) -> Value:
        return self.builder.bitwise("or", self, other)

    def __xor__(self, other: Any) -> Value:
        return self.builder.bitwise("xor", self, other)

    def __lshift__(self, other: Any) -> Value:
        return self.builder.shift("shl", self, other)

    def __rshift__(self, other: Any) -> Value:
        return self.builder.shift("ashr" if self.dtype.kind == "i" else "lshr", self, other)

    def __lt__(self, other: Any) -> Value:
        return self.builder.compare("lt", self, other)

    def __le__(self, other: Any) -> Value:
        return self.builder.compare("le", self, other)

    def __gt__(self, other: Any) -> Value:
        return self.builder.compare("gt", self, other)

    def __ge__(self, other: Any) -> Value:
        return self.builder.compare("ge", self, other)

    def eq(self, other: Any) -> Value:
        return self.builder.compare("eq", self, other)

    def ne(self, other: Any) -> Value:
        return self.builder.compare("ne", self, other)


class Writer(Protocol):
    """The parts of scalar.LLVMBuilder that are used from below it; documented there."""

    declarations: dict[str, None]
    functions: dict[str, tuple[Any, str, str]]
    repeats: bool

    def __init__(self) -> None: ...
    @property
    def depth(self) -> int: ...
    @property
    def size(self) -> int: ...
    def pure(self, text: str, depth: int) -> str: ...
    def declare(self, text: str) -> None: ...
    def body(self, end: str = "ret void") -> str: ...
    def loop(
        self, start: str, stop: str, step: int | str, carried: Sequence[tuple[str, str]] = ()
    ) -> AbstractContextManager[Loop]: ...
    def kind(self, dtype: DType, vector: bool) -> str: ...
    def operand(self, value: Value, vector: bool) -> str: ...
    def value(
        self, text: str, dtype: DType, vector: bool, depth: int, stored: str | None = None
    ) -> Value: ...
    def emit(self, text: str, dtype: DType, vector: bool, depth: int) -> Value: ...
    def const(self, value: bool | int | float, dtype: DType) -> Value: ...
    def arithmetic(self, name: str, a: Any, b: Any) -> Value: ...
    def divide(self, name: str, a: Any, b: Any) -> Value: ...
    def negate(self, x: Value) -> Value: ...
    def bitwise(self, opcode: str, a: Any, b: Any) -> Value: ...
    def shift(self, opcode: str, a: Any, b: Any) -> Value: ...
    def compare(self, name: str, a: Any, b: Any) -> Value: ...
    def icmp(self, predicate: str, a: Value, b: Value) -> Value: ...
    def fcmp(self, predicate: str, a: Value, b: Value) -> Value: ...
    def select(self, condition: Value, a: Any, b: Any) -> Value: ...
    def abs(self, x: Value) -> Value: ...
    def trunc(self, x: Value) -> Value: ...
    def copysign(self, x: Value, sign: Value) -> Value: ...
    def fma(self, a: Value, b: Any, c: Any) -> Value: ...
    def largest(self, x: Value) -> Value: ...
    def widen(self, x: Value) -> Value: ...
    def bitcast(self, x: Value, dtype: DType) -> Value: ...
    def convert(self, x: Value, dtype: DType) -> Value: ...
