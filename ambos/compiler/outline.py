"""Functions of the module's own: a scalar rule emitted once and called from several places."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ambos.compiler.scalar import LLVMBuilder, Value


def call(b: LLVMBuilder, name: str, rule: Callable[..., Any], args: tuple[Value, ...]) -> Value:
    """`rule(b, *args)` as a call of an internal function, which is written at its first use.

    There is one function for each name, dtype of the operands, and uniform or vector.
    """
    vector = any(a.vector for a in args)
    marks = [a.dtype.name for a in args] + ["v" if vector else "u"]
    symbol = f'@"{name}.{".".join(marks)}"'
    if symbol not in b.functions:
        b.functions[symbol] = _define(b, symbol, rule, args, vector)
    result, kind, _ = b.functions[symbol]
    depth = max(a.depth for a in args)
    operands = ", ".join(f"{b.kind(a.dtype, vector)} {b.operand(a, vector)}" for a in args)
    return b.emit(f"call {kind} {symbol}({operands})", result, vector, depth)


def _define(
    b: LLVMBuilder, symbol: str, rule: Callable[..., Any], args: tuple[Value, ...], vector: bool
) -> tuple[Any, str, str]:
    inner = type(b)()
    inner.functions, inner.declarations = b.functions, b.declarations
    names = [f"%a{number}" for number in range(len(args))]
    kinds = [b.kind(a.dtype, vector) for a in args]
    operands = [inner.value(name, a.dtype, vector, 0) for name, a in zip(names, args, strict=True)]
    result = rule(inner, *operands)
    kind = b.kind(result.dtype, vector)
    heading = ", ".join(f"{k} {n}" for k, n in zip(kinds, names, strict=True))
    text = inner.operand(result, vector)
    # Pure and without traps: calls may be merged, moved and dropped like any instruction.
    attributes = "noinline nounwind willreturn memory(none)"
    body = inner.body(f"ret {kind} {text}")
    return (
        result.dtype,
        kind,
        f"define internal {kind} {symbol}({heading}) {attributes} {{\n{body}}}",
    )
