"""`LLVMBuilder`: the protocol of core.builder, written as LLVM IR text.

A value is uniform (one scalar) or a vector of LANES; operands of both kinds meet by broadcasting,
and what is uniform is computed once. Floating instructions carry no flags at all, so each rounds
once and nothing is contracted or reassociated.

Half precisions live in float32 registers that hold exactly representable numbers; `stored` keeps
the 16-bit form they came from or will go to memory as.

What LLVM leaves undefined is defined here as NumPy has it: x / 0 and x % 0 of integers are 0,
INT_MIN / -1 wraps, and shifts by the width or more shift everything out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

from ambos.compiler import outline, rounding, turns
from ambos.compiler.frame import Frame
from ambos.compiler.loops import LANES
from ambos.compiler.values import HALVES, SUFFIX, Value, register_type, vector_type
from ambos.core.dtype import DType, bool_, float32, float64, int64
from ambos.core.errors import CompilerError

__all__ = ["HALVES", "SUFFIX", "LLVMBuilder", "Value", "register_type", "vector_type"]


class LLVMBuilder(Frame):
    """Writes the scalar code of one function; implements core.builder.Builder."""

    # --- making values ---------------------------------------------------------------------------

    def const(self, value: bool | int | float, dtype: DType) -> Value:
        """A literal, rounded (or wrapped) to `dtype`."""
        if dtype is bool_:
            truth = bool(value)
            return Value(self, "true" if truth else "false", dtype, False, 0, truth)
        if dtype.is_integer:
            whole = int(value) & ((1 << dtype.bits) - 1)
            signed = whole - (1 << dtype.bits) if whole >> (dtype.bits - 1) else whole
            number = signed if dtype.kind == "i" else whole
            return Value(self, str(signed), dtype, False, 0, number)
        real = rounding.round_to(float(value), dtype)
        bits = struct.unpack("<Q", struct.pack("<d", real))[0]
        if math.isnan(real):
            bits = 0x7FF8000000000000
        stored = rounding.stored_literal(real, dtype) if dtype in HALVES else None
        return Value(self, f"0x{bits:016X}", dtype, False, 0, real, stored)

    def value(
        self, text: str, dtype: DType, vector: bool, depth: int, stored: str | None = None
    ) -> Value:
        """A register that was written elsewhere, as a Value."""
        return Value(self, text, dtype, vector, depth, None, stored)

    def kind(self, dtype: DType, vector: bool) -> str:
        """The LLVM type of a register with `dtype`."""
        element = register_type(dtype)
        return vector_type(element) if vector else element

    def emit(self, text: str, dtype: DType, vector: bool, depth: int) -> Value:
        """The Value of a pure instruction."""
        return Value(self, self.pure(text, depth), dtype, vector, depth)

    def operand(self, value: Value, vector: bool) -> str:
        """`value` as the text of an operand of a vector (or a uniform) instruction."""
        if value.vector == vector:
            return value.text
        if not vector:
            raise CompilerError("scalar: got a vector operand; need a uniform one")
        element = register_type(value.dtype)
        if value.constant is not None:
            return f"splat ({element} {value.text})"
        return self.splat(value.text, element, value.depth)

    def splat(self, text: str, element: str, depth: int) -> str:
        """The register of LANES copies of the scalar register `text`."""
        kind = vector_type(element)
        first = self.pure(f"insertelement {kind} poison, {element} {text}, i64 0", depth)
        zeros = f"{vector_type('i32')} zeroinitializer"
        return self.pure(f"shufflevector {kind} {first}, {kind} poison, {zeros}", depth)

    def broadcast(self, value: Value) -> Value:
        """`value` on every lane."""
        if value.vector:
            return value
        return Value(self, self.operand(value, True), value.dtype, True, value.depth)

    def pair(self, a: Any, b: Any) -> tuple[Value, Value]:
        """Two operands of one dtype; a Python number takes the other's."""
        if not isinstance(a, Value):
            a = self.const(a, b.dtype)
        elif not isinstance(b, Value):
            b = self.const(b, a.dtype)
        if a.dtype is not b.dtype:
            raise CompilerError(f"scalar: got {a.dtype!r} and {b.dtype!r}; need one dtype")
        return a, b

    def binary(self, opcode: str, a: Value, b: Value, dtype: DType | None = None) -> Value:
        """`opcode` on two operands of one register type."""
        vector = a.vector or b.vector
        element = register_type(a.dtype)
        kind = vector_type(element) if vector else element
        depth = a.depth if a.depth > b.depth else b.depth
        text = f"{opcode} {kind} {self.operand(a, vector)}, {self.operand(b, vector)}"
        return self.emit(text, dtype or a.dtype, vector, depth)

    def unary(self, opcode: str, x: Value, dtype: DType) -> Value:
        """A conversion instruction from x's register type to that of `dtype`."""
        source, target = register_type(x.dtype), register_type(dtype)
        if x.vector:
            source, target = vector_type(source), vector_type(target)
        return self.emit(f"{opcode} {source} {x.text} to {target}", dtype, x.vector, x.depth)

    def intrinsic(
        self, name: str, *args: Value, dtype: DType | None = None, extra: str = ""
    ) -> Value:
        """Call `llvm.<name>` overloaded on its result (and, if that differs, its operand)."""
        vector = any(a.vector for a in args)
        source, target = register_type(args[0].dtype), register_type(dtype or args[0].dtype)
        marks = [target] if dtype is None else [target, source]
        suffix = "".join(f".{f'v{LANES}' if vector else ''}{SUFFIX.get(m, m)}" for m in marks)
        if vector:
            source, target = vector_type(source), vector_type(target)
        symbol = f"@llvm.{name}{suffix}"
        kinds = ", ".join([source] * len(args) + ([extra.split()[0]] if extra else []))
        self.declare(f"declare {target} {symbol}({kinds})")
        texts = [f"{source} {self.operand(a, vector)}" for a in args] + ([extra] if extra else [])
        depth = max(a.depth for a in args)
        text = f"call {target} {symbol}({', '.join(texts)})"
        return self.emit(text, dtype or args[0].dtype, vector, depth)

    # --- operators -------------------------------------------------------------------------------

    def arithmetic(self, name: str, a: Any, b: Any) -> Value:
        """Add, subtract or multiply; on bool "add" is or, "mul" is and, "sub" is xor."""
        a, b = self.pair(a, b)
        if a.dtype is bool_:
            return self.binary({"add": "or", "mul": "and", "sub": "xor"}[name], a, b)
        if a.dtype in HALVES:
            single = self.arithmetic(name, self.widen(a), self.widen(b))
            return self.convert(single, a.dtype)
        return self.binary(("f" if a.dtype.is_floating else "") + name, a, b)

    def combine(self, name: str, earlier: Value, later: Value) -> Value:
        """Add, multiply, "max" or "min". Of NaN and a number NaN wins, of equals the later."""
        if name in ("add", "mul"):
            return self.arithmetic(name, earlier, later)
        keeps = earlier > later if name == "max" else earlier < later
        if earlier.dtype.is_floating:
            keeps = keeps | earlier.ne(earlier)
        return self.select(keeps, earlier, later)

    def divide(self, name: str, a: Any, b: Any) -> Value:
        """Quotient ("div") or C remainder ("rem")."""
        a, b = self.pair(a, b)
        if a.dtype in HALVES:
            return self.convert(self.divide(name, self.widen(a), self.widen(b)), a.dtype)
        if a.dtype.is_floating:
            return self.binary("fdiv", a, b) if name == "div" else self.remainder(a, b)
        signed = a.dtype.kind == "i"
        opcode = ("s" if signed else "u") + name
        if b.constant is not None and b.constant not in (0, -1):
            return self.binary(opcode, a, b)
        zero = b.eq(0)
        unsafe = zero | b.eq(-1) if signed else zero
        quotient = self.binary(opcode, a, self.select(unsafe, 1, b))
        if name == "rem":  # x % -1 is 0, which x % 1 gives; so does x % 0
            return quotient
        if signed:
            quotient = self.select(b.eq(-1), -a, quotient)
        return self.select(zero, 0, quotient)

    def remainder(self, a: Value, b: Value) -> Value:
        """The exact floating remainder, with the sign of `a`, by the module's own function."""
        wide = (self.convert(a, float64), self.convert(b, float64))  # exact, and so is the result
        return self.convert(outline.call(self, "remainder", rounding.remainder, wide), a.dtype)

    def negate(self, x: Value) -> Value:
        if not x.dtype.is_floating:
            return self.arithmetic("sub", 0, x)
        single = self.widen(x)
        text = f"fneg {single.type} {single.text}"
        return self.convert(self.emit(text, single.dtype, x.vector, x.depth), x.dtype)

    def bitwise(self, opcode: str, a: Any, b: Any) -> Value:
        a, b = self.pair(a, b)
        if a.dtype.is_floating:
            raise CompilerError(f"{opcode}: got {a.dtype!r}; need integers or bool; bitcast first")
        return self.binary(opcode, a, b)

    def shift(self, opcode: str, a: Any, b: Any) -> Value:
        a, b = self.pair(a, b)
        last = a.dtype.bits - 1
        if b.constant is not None:
            if 0 <= b.constant <= last:
                return self.binary(opcode, a, b)
            return self.binary("ashr", a, self.const(last, a.dtype)) if opcode == "ashr" else (
                self.const(0, a.dtype)
            )  # fmt: skip
        vector_ok = self.icmp("ule", b, self.const(last, b.dtype))
        amount = self.select(vector_ok, b, last if opcode == "ashr" else 0)
        result = self.binary(opcode, a, amount)
        return result if opcode == "ashr" else self.select(vector_ok, result, 0)

    def icmp(self, predicate: str, a: Value, b: Value) -> Value:
        """Integer comparison with an explicit predicate."""
        return self.binary(f"icmp {predicate}", a, b, bool_)

    def fcmp(self, predicate: str, a: Value, b: Value) -> Value:
        """Floating comparison with an explicit predicate."""
        return self.binary(f"fcmp {predicate}", a, b, bool_)

    def compare(self, name: str, a: Any, b: Any) -> Value:
        """eq, ne, lt, le, gt, ge. With a NaN only "ne" is true."""
        a, b = self.pair(a, b)
        if a.dtype.is_floating:
            return self.fcmp("une" if name == "ne" else f"o{name}", a, b)
        if name in ("eq", "ne"):
            return self.icmp(name, a, b)
        return self.icmp(("s" if a.dtype.kind == "i" else "u") + name, a, b)

    def select(self, condition: Value, a: Any, b: Any) -> Value:
        """a where condition else b."""
        a, b = self.pair(a, b)
        if condition.constant is not None:
            return a if condition.constant else b
        vector = condition.vector or a.vector or b.vector
        depth = max(condition.depth, a.depth, b.depth)
        element = register_type(a.dtype)
        kind = vector_type(element) if vector else element
        # A uniform condition may choose between vectors as it is.
        test = f"{vector_type('i1')} {condition.text}" if condition.vector else (
            f"i1 {condition.text}"
        )  # fmt: skip
        left, right = self.operand(a, vector), self.operand(b, vector)
        value = self.emit(f"select {test}, {kind} {left}, {kind} {right}", a.dtype, vector, depth)
        return value

    # --- functions -------------------------------------------------------------------------------

    def _single(self, name: str, x: Value) -> Value:
        if not x.dtype.is_floating:
            raise CompilerError(f"{name}: got {x.dtype!r}; need a floating type")
        return self.convert(self.intrinsic(name, self.widen(x)), x.dtype)

    def sqrt(self, x: Value) -> Value:
        return self._single("sqrt", x)

    def floor(self, x: Value) -> Value:
        return self._single("floor", x)

    def ceil(self, x: Value) -> Value:
        return self._single("ceil", x)

    def trunc(self, x: Value) -> Value:
        return self._single("trunc", x)

    def round_even(self, x: Value) -> Value:
        return self._single("roundeven", x)

    def abs(self, x: Value) -> Value:
        if x.dtype.is_floating:
            return self._single("fabs", x)
        return self.intrinsic("abs", x, extra="i1 false") if x.dtype.kind == "i" else x

    def copysign(self, x: Value, sign: Value) -> Value:
        x, sign = self.pair(x, sign)
        single = self.intrinsic("copysign", self.widen(x), self.widen(sign))
        return self.convert(single, x.dtype)

    def fma(self, a: Value, b: Any, c: Any) -> Value:
        """a * b + c, rounded once."""
        return self.intrinsic("fma", a, self.pair(a, b)[1], self.pair(a, c)[1])

    def largest(self, x: Value) -> Value:
        """The greatest lane of a vector of signed integers, as a uniform value."""
        if not x.vector:
            return x
        element = register_type(x.dtype)
        symbol = f"@llvm.vector.reduce.smax.v{LANES}{element}"
        self.declare(f"declare {element} {symbol}({x.type})")
        return self.emit(f"call {element} {symbol}({x.type} {x.text})", x.dtype, False, x.depth)

    def mul_high(self, a: Value, b: Value) -> Value:
        """Upper half of the full product of two unsigned integers of at most 32 bits."""
        a, b = self.pair(a, b)
        wide_a, wide_b = self.convert(a, int64), self.convert(b, int64)
        high = self.binary("lshr", wide_a * wide_b, self.const(a.dtype.bits, int64))
        return self.convert(high, a.dtype)

    def repeat(
        self, limit: int, turn: Callable[..., Sequence[Value]], *state: Value,
        only: Value | None = None,
    ) -> tuple[Value, ...]:  # fmt: skip
        """A loop: see core.builder."""
        self.repeats = True
        return turns.repeat(self, limit, turn, state, only)

    # --- conversions -----------------------------------------------------------------------------

    def widen(self, x: Value) -> Value:
        """A half precision as the float32 it is held in; anything else unchanged."""
        if x.dtype in HALVES:
            return Value(self, x.text, float32, x.vector, x.depth, x.constant)
        return x

    def bitcast(self, x: Value, dtype: DType) -> Value:
        """The same bits as another type of the same width."""
        if x.dtype.bits != dtype.bits or bool_ in (x.dtype, dtype):
            raise CompilerError(f"bitcast: got {x.dtype!r} to {dtype!r}; need one width, no bool")
        if x.dtype is dtype:
            return x
        if x.dtype in HALVES:
            bits = rounding.stored_bits(self, x)
            return rounding.decode(self, bits, dtype, x.vector, x.depth) if dtype in HALVES else (
                Value(self, bits, dtype, x.vector, x.depth)
            )  # fmt: skip
        if dtype in HALVES:
            return rounding.decode(self, x.text, dtype, x.vector, x.depth)
        if x.dtype.is_floating == dtype.is_floating:  # signed and unsigned share a register
            return Value(self, x.text, dtype, x.vector, x.depth)
        return self.unary("bitcast", x, dtype)

    def convert(self, x: Value, dtype: DType) -> Value:
        """Value conversion as core.builder defines it."""
        if x.dtype is dtype:
            return x
        if x.constant is not None and _folds(x, dtype):
            return self.const(x.constant, dtype)
        x = self.widen(x)
        if dtype is x.dtype:
            return x
        if dtype is bool_:
            return x.ne(0)
        if dtype in HALVES:
            return rounding.narrow(self, x, dtype)
        if x.dtype.is_floating:
            return self._from_floating(x, dtype)
        if dtype.is_floating:
            return self.unary("sitofp" if x.dtype.kind == "i" else "uitofp", x, dtype)
        if x.dtype is not bool_ and dtype.bits == x.dtype.bits:
            return Value(self, x.text, dtype, x.vector, x.depth, x.constant)
        if x.dtype is bool_ or dtype.bits > x.dtype.bits:
            return self.unary("sext" if x.dtype.kind == "i" else "zext", x, dtype)
        return self.unary("trunc", x, dtype)

    def _from_floating(self, x: Value, dtype: DType) -> Value:
        if dtype.is_floating:
            return self.unary("fpext" if dtype is float64 else "fptrunc", x, dtype)
        name = "fptosi.sat" if dtype.kind == "i" else "fptoui.sat"
        return self.intrinsic(name, x, dtype=dtype)


def _folds(x: Value, dtype: DType) -> bool:
    """Whether `const` converts the constant as the instruction would."""
    if x.dtype.is_floating:
        return not dtype.is_integer
    return not dtype.is_floating or abs(int(x.constant or 0)) <= 1 << 53
