"""Element types and their promotion."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache

from ambos.core.errors import DTypeError, suggest

Number = bool | int | float | complex


@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """One element type; compare with `is`.

    `compute` names the type that arithmetic runs in: half precisions are stored in 16 bits and
    computed in float32, with one rounding per operation.
    """

    name: str
    kind: str  # "b" bool, "i" signed, "u" unsigned, "f" floating, "c" complex
    itemsize: int  # bytes
    llvm: str  # register type (complex numbers are computed in parts: no register holds one)

    def __repr__(self) -> str:
        return f"ambos.{self.name}"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (as_dtype, (self.name,))

    @property
    def bits(self) -> int:
        return self.itemsize * 8

    @property
    def is_floating(self) -> bool:
        return self.kind == "f"

    @property
    def is_complex(self) -> bool:
        return self.kind == "c"

    @property
    def is_inexact(self) -> bool:
        """Floating or complex: what has gradients."""
        return self.kind in "fc"

    @property
    def part(self) -> DType:
        """The dtype of the real and of the imaginary part; of a real dtype itself."""
        return {8: float32, 16: float64}[self.itemsize] if self.kind == "c" else self

    @property
    def is_integer(self) -> bool:
        return self.kind in "iu"

    @property
    def is_signed(self) -> bool:
        return self.kind in "if"

    @property
    def compute(self) -> DType:
        return float32 if self in (float16, bfloat16) else self

    @property
    def min(self) -> int | float:
        """The lowest value (for floating types minus infinity)."""
        if self.kind == "f":
            return float("-inf")
        return -(1 << (self.bits - 1)) if self.kind == "i" else 0

    @property
    def max(self) -> int | float:
        """The highest value (for floating types infinity)."""
        if self.kind == "f":
            return float("inf")
        if self.kind == "b":
            return 1
        return (1 << (self.bits - (self.kind == "i"))) - 1


bool_ = DType("bool", "b", 1, "i1")
int8 = DType("int8", "i", 1, "i8")
int16 = DType("int16", "i", 2, "i16")
int32 = DType("int32", "i", 4, "i32")
int64 = DType("int64", "i", 8, "i64")
uint8 = DType("uint8", "u", 1, "i8")
uint16 = DType("uint16", "u", 2, "i16")
uint32 = DType("uint32", "u", 4, "i32")
uint64 = DType("uint64", "u", 8, "i64")
float16 = DType("float16", "f", 2, "half")
bfloat16 = DType("bfloat16", "f", 2, "bfloat")
float32 = DType("float32", "f", 4, "float")
float64 = DType("float64", "f", 8, "double")
complex64 = DType("complex64", "c", 8, "")
complex128 = DType("complex128", "c", 16, "")

# What kernels compute with; a complex number is two of these.
ALL: tuple[DType, ...] = (
    bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64,
    float16, bfloat16, float32, float64,
)  # fmt: skip
COMPLEX: tuple[DType, ...] = (complex64, complex128)
BY_NAME: dict[str, DType] = {dtype.name: dtype for dtype in ALL + COMPLEX} | {
    "half": float16, "float": float32, "double": float64, "int": int32, "long": int64,
    "short": int16, "byte": uint8, "complex": complex64, "cfloat": complex64,
    "cdouble": complex128,
}  # fmt: skip
PYTHON: dict[type, DType] = {bool: bool_, int: int64, float: float32, complex: complex64}
_known: dict[object, DType] = {}  # what was asked for: NumPy takes microseconds to say a name


def as_dtype(spec: object) -> DType:
    """The DType that `spec` names: a DType, its name, a Python type, or a NumPy dtype."""
    if isinstance(spec, DType):
        return spec
    if isinstance(spec, type) and spec in PYTHON:
        return PYTHON[spec]
    try:
        return _known[spec]
    except (KeyError, TypeError):  # new, or nothing that could be known
        pass
    name = spec if isinstance(spec, str) else getattr(spec, "name", getattr(spec, "__name__", ""))
    name = str(name).removeprefix("ambos.").removesuffix("_")
    if name in BY_NAME:
        if isinstance(spec, Hashable):
            _known[spec] = BY_NAME[name]
        return BY_NAME[name]
    raise DTypeError(f"dtype: got {spec!r}; need one of "
                     f"{', '.join(d.name for d in ALL + COMPLEX)}"
                     f"{suggest(name, BY_NAME)}")  # fmt: skip


def complex_of(dtype: DType) -> DType:
    """The complex dtype for values of `dtype`: complex128 where a part needs float64."""
    return complex128 if dtype in (float64, complex128) else complex64


@cache
def promote(a: DType, b: DType) -> DType:
    """The type that holds both (Array API 2024.12; mixed kinds as in PyTorch and JAX).

    Example:
        >>> promote(int8, uint8).name, promote(int64, float32).name
        ('int16', 'float32')
    """
    if a is b or b is bool_:
        return a
    if a is bool_:
        return b
    if a.kind == b.kind:
        if {a, b} == {float16, bfloat16}:
            return float32
        return a if a.itemsize > b.itemsize else b
    if "c" in (a.kind, b.kind):
        number, other = (a, b) if a.kind == "c" else (b, a)
        return complex_of(promote(number.part, other))
    if "f" in (a.kind, b.kind):
        # The Array API leaves this pair open. As in PyTorch and JAX an integer never widens a
        # floating type: a float32 network that meets an int64 index must stay float32.
        return a if a.kind == "f" else b
    signed, unsigned = (a, b) if a.kind == "i" else (b, a)
    if signed.itemsize > unsigned.itemsize:
        return signed
    wider = {1: int16, 2: int32, 4: int64}.get(unsigned.itemsize)
    return wider if wider is not None else float64


def weak_result(dtype: DType, scalar: Number) -> DType:
    """The type of `tensor op python_scalar`: the tensor's, unless the scalar's kind is higher."""
    if isinstance(scalar, bool):
        return dtype
    if isinstance(scalar, int):
        return int64 if dtype is bool_ else dtype
    if isinstance(scalar, complex):
        return complex_of(dtype)
    return dtype if dtype.is_inexact else float32
