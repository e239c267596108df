"""Functions of the module's own: a scalar rule emitted once and called from several places."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ambos.compiler.values import Value, Writer
from ambos.core.dtype import DType

Rule = Callable[..., Any]


LONG = 60  # instructions; measured: outlined, pow compiles in 0.6 of the time and runs as fast


def apply(b: Writer, name: str, rule: Rule, args: tuple[Value, ...]) -> Value:
    """`rule(b, *args)`, outlined if it is long: a loop and its masked rest both need it.

    Rules on uniform and vector operands together stay inline, so that what is uniform is computed
    once and constants fold; but not those with a loop of their own.
    """
    kind: Any = type(b)
    dtypes, vector = tuple(a.dtype for a in args), any(a.vector for a in args)
    alike = len({a.vector for a in args}) == 1 and not any(a.constant is not None for a in args)
    length, repeats = _extent(kind, rule, dtypes, vector) if args else (0, False)
    if repeats or (alike and length > LONG):
        return call(b, name, rule, args)
    result: Value = rule(b, *args)
    return result


def length(b: Writer, rule: Rule, dtypes: tuple[DType, ...]) -> int:
    """How many instructions `rule` writes for vectors of `dtypes`."""
    kind: Any = type(b)
    return _extent(kind, rule, dtypes, True)[0]


@lru_cache(maxsize=1024)
def _extent(
    kind: type[Writer], rule: Rule, dtypes: tuple[DType, ...], vector: bool
) -> tuple[int, bool]:
    """How many instructions `rule` writes, and whether it has a loop."""
    trial = kind()
    rule(trial, *[trial.value(f"%a{n}", dtype, vector, 0) for n, dtype in enumerate(dtypes)])
    return trial.size, trial.repeats


def call(b: Writer, name: str, rule: Rule, args: tuple[Value, ...]) -> Value:
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
    b: Writer, symbol: str, rule: Rule, args: tuple[Value, ...], vector: bool
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
