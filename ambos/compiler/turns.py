"""Loops inside scalar code: `Builder.repeat` as LLVM text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ambos.compiler.loops import LANES
from ambos.compiler.values import Value, Writer
from ambos.core.dtype import bool_
from ambos.core.errors import CompilerError


def repeat(
    b: Writer, limit: int, turn: Callable[..., Sequence[Value]], state: Sequence[Value],
    only: Value | None = None,
) -> tuple[Value, ...]:  # fmt: skip
    """See `core.builder`. The vector goes on while any of its lanes does; a lane that is done is
    put back to what it was after every turn."""
    vector = any(value.vector for value in state)
    true = f"splat ({b.kind(bool_, False)} true)" if vector else "true"
    stop = str(limit)
    if only is not None:
        true, begins = b.operand(only, vector), _any_lane(b, only)
        stop = b.pure(f"select i1 {begins}, i64 {limit}, i64 0", only.depth)
    carried = [(b.kind(bool_, vector), true)]
    carried += [(b.kind(value.dtype, vector), b.operand(value, vector)) for value in state]
    with b.loop("0", stop, 1, carried) as loop:
        active = b.value(loop.inner[0], bool_, vector, b.depth)
        before = [
            b.value(name, value.dtype, vector, b.depth)
            for name, value in zip(loop.inner[1:], state, strict=True)
        ]
        more, *after = turn(*before)
        kept = [b.select(active, new, old) for new, old in zip(after, before, strict=True)]
        going = active & more
        if any(value.vector is not vector for value in (going, *kept)):
            raise CompilerError("repeat: the turn varies with the lanes; so must its first state")
        loop.next = [going.text, *(value.text for value in kept)]
        loop.more = _any_lane(b, going)
    return tuple(
        b.value(name, value.dtype, vector, b.depth)
        for name, value in zip(loop.outer[1:], state, strict=True)
    )


def _any_lane(b: Writer, condition: Value) -> str:
    """The i1 register that says whether the condition holds on any lane."""
    if not condition.vector:
        return condition.text
    symbol = f"@llvm.vector.reduce.or.v{LANES}i1"
    b.declare(f"declare i1 {symbol}({condition.type})")
    return b.pure(f"call i1 {symbol}({condition.type} {condition.text})", condition.depth)
