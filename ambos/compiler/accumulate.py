"""How a Fold accumulates: one class for each kind of reduction.

An accumulator is carried through the loops as registers (compiler.emit_fold writes these). `outer`
state lives across runs (see Fold's canonical order), `inner` state within one run of the last axis:

    outer = start()
    for every run:  inner = enter(outer);  inner = step(...) for every vector;  outer = leave(...)
    result = finish(outer)

In row mode (`across`) the lanes are neighbours along the last reduced axis and meet at the end;
in columns (compiler.panel) each lane is a reduction of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ambos.compiler.loops import LANES, Fold
from ambos.compiler.memory import extract, lane_numbers
from ambos.compiler.scalar import LLVMBuilder
from ambos.compiler.values import Value
from ambos.core.dtype import DType, bool_, int32, int64

Locate = Callable[[Value, Value], Value]  # turn and lane -> row-major position

IDENTITY = {"add": 0, "mul": 1}
PLAIN_IDENTITY = {"add": -0.0, "mul": 1}  # to which anything may be added, -0.0 too


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of the loop over the last reduced axis reads."""

    values: Sequence[Value]
    index: Sequence[Value]  # along the last axis, of each value's first lane
    places: Sequence[Value]  # columns: row-major over all reduced axes; row mode: turn (int32)
    mask: Value | None  # lanes that exist


class Accumulator(Protocol):
    """What the loops need of a reduction."""

    blocked: bool  # whether runs of BLOCK elements matter
    unroll: int  # how many vectors to read at once

    def start(self) -> list[Value]: ...
    def enter(self, outer: list[Value]) -> list[Value]: ...
    def step(self, inner: list[Value], turn: Turn) -> list[Value]: ...

    def leave(self, outer: list[Value], inner: list[Value]) -> list[Value]: ...
    def finish(self, outer: list[Value]) -> Value: ...


def accumulator(b: LLVMBuilder, fold: Fold, dtype: DType, locate: Locate | None) -> Accumulator:
    """The accumulator of `fold` over values of `dtype`, in row mode if there is a `locate`."""
    across = locate is not None
    if fold.op in IDENTITY:
        return (Plain if fold.plain else Partials)(b, fold.op, dtype)
    if fold.op in ("max", "min"):
        return Extreme(b, fold.op, dtype, across)
    op = fold.op.removeprefix("arg")
    return Position(b, op, dtype) if locate is None else PositionAcross(b, op, dtype, locate)


def halves(b: LLVMBuilder, x: Value, lanes: int) -> tuple[Value, Value]:
    """The lower and the upper half of a vector of `lanes`, each in a vector of LANES."""
    kind = x.type
    moved = ", ".join(f"i32 {(i + lanes // 2) % LANES}" for i in range(LANES))
    text = f"shufflevector {kind} {x.text}, {kind} poison, <{LANES} x i32> <{moved}>"
    return x, b.emit(text, x.dtype, True, x.depth)


class Partials:
    """Sum or product in the canonical order; a vector holds the LANES partial results."""

    blocked = True
    unroll = 1

    def __init__(self, b: LLVMBuilder, op: str, dtype: DType) -> None:
        self.b = b
        self.op = op
        self.identity = b.const(IDENTITY[op], dtype.compute)

    def start(self) -> list[Value]:
        return [self.identity]

    def enter(self, outer: list[Value]) -> list[Value]:
        return [self.b.broadcast(self.identity)]

    def step(self, inner: list[Value], turn: Turn) -> list[Value]:
        total = inner[0]
        for value in turn.values:
            more = self.b.arithmetic(self.op, total, self.b.widen(value))
            total = more if turn.mask is None else self.b.select(turn.mask, more, total)
        return [total]

    def leave(self, outer: list[Value], inner: list[Value]) -> list[Value]:
        run = inner[0]
        for lanes in (16, 8, 4, 2):
            run = self.b.arithmetic(self.op, *halves(self.b, run, lanes))
        return [self.b.arithmetic(self.op, outer[0], extract(self.b, run, 0))]

    def finish(self, outer: list[Value]) -> Value:
        return outer[0]


class Plain:
    """Sum or product one by one: how the results of runs are combined."""

    blocked = False
    unroll = 1

    def __init__(self, b: LLVMBuilder, op: str, dtype: DType) -> None:
        self.b = b
        self.op = op
        self.identity = b.const(PLAIN_IDENTITY[op], dtype.compute)

    def start(self) -> list[Value]:
        return [self.identity]

    def enter(self, outer: list[Value]) -> list[Value]:
        return outer

    def step(self, inner: list[Value], turn: Turn) -> list[Value]:
        total = inner[0]
        for value in turn.values:
            total = self.b.arithmetic(self.op, total, self.b.widen(value))
        return [total]

    def leave(self, outer: list[Value], inner: list[Value]) -> list[Value]:
        return inner

    def finish(self, outer: list[Value]) -> Value:
        return outer[0]


class Extreme:
    """Maximum or minimum. NaN wins; the order is free because the result is normalised: zero is
    +0 and NaN is the one that `const` writes."""

    blocked = False

    def __init__(self, b: LLVMBuilder, op: str, dtype: DType, across: bool) -> None:
        self.b = b
        self.op = op
        self.dtype = dtype.compute
        self.across = across
        self.unroll = 4 if across else 1
        self.identity = b.const(dtype.min if op == "max" else dtype.max, self.dtype)

    def _combine(self, a: Value, b: Value) -> Value:
        if self.dtype is bool_:
            return a | b if self.op == "max" else a & b
        beats = b > a if self.op == "max" else b < a
        best = self.b.select(beats, b, a)
        return self.b.select(b.ne(b), b, best) if self.dtype.is_floating else best

    def start(self) -> list[Value]:
        return [self.b.broadcast(self.identity)]

    def enter(self, outer: list[Value]) -> list[Value]:
        return outer

    def step(self, inner: list[Value], turn: Turn) -> list[Value]:
        wide = [self.b.widen(value) for value in turn.values]
        if turn.mask is not None:
            wide = [self.b.select(turn.mask, value, self.identity) for value in wide]
        while len(wide) > 1:
            pairs = zip(wide[::2], wide[1::2], strict=True)
            wide = [self._combine(a, b) for a, b in pairs]
        return [self.b.broadcast(self._combine(inner[0], wide[0]))]

    def leave(self, outer: list[Value], inner: list[Value]) -> list[Value]:
        return inner

    def finish(self, outer: list[Value]) -> Value:
        best = outer[0]
        if self.across:
            for lanes in (16, 8, 4, 2):
                best = self._combine(*halves(self.b, best, lanes))
            best = extract(self.b, best, 0)
        if not self.dtype.is_floating:
            return best
        return self.b.select(best.ne(best), float("nan"), best + 0.0)


class Position:
    """argmax or argmin of columns: carries each lane's best value and its position.

    A lane that nothing beat keeps position 0: then every element equals the identity, and the
    first of them is the answer.
    """

    blocked = False
    unroll = 1

    def __init__(self, b: LLVMBuilder, op: str, dtype: DType) -> None:
        self.b = b
        self.op = op
        self.dtype = dtype.compute
        self.identity = b.const(dtype.min if op == "max" else dtype.max, self.dtype)

    def beats(self, b: Value, a: Value) -> Value:
        """Whether `b`, seen later than `a`, takes its place."""
        better = b > a if self.op == "max" else b < a
        return better | (b.ne(b) & a.eq(a)) if self.dtype.is_floating else better

    def start(self) -> list[Value]:
        return [self.b.broadcast(self.identity), self.b.broadcast(self.b.const(0, int64))]

    def enter(self, outer: list[Value]) -> list[Value]:
        return outer

    def step(self, inner: list[Value], turn: Turn) -> list[Value]:
        best, place = inner
        for value, here in zip(turn.values, turn.places, strict=True):
            wide = self.b.widen(value)
            if turn.mask is not None:
                wide = self.b.select(turn.mask, wide, self.identity)
            better = self.beats(wide, best)
            best = self.b.select(better, wide, best)
            place = self.b.select(better, here, place)
        return [self.b.broadcast(best), self.b.broadcast(place)]

    def leave(self, outer: list[Value], inner: list[Value]) -> list[Value]:
        return inner

    def finish(self, outer: list[Value]) -> Value:
        return outer[1]


class PositionAcross(Position):
    """argmax or argmin in row mode. Positions are held as the number of the turn, in 32 bits
    (enough for 2**35 elements), which a register of float32 lanes can select without widening;
    the lane gives the rest."""

    def __init__(self, b: LLVMBuilder, op: str, dtype: DType, locate: Locate) -> None:
        super().__init__(b, op, dtype)
        self.locate = locate

    def start(self) -> list[Value]:
        return [self.b.broadcast(self.identity), self.b.broadcast(self.b.const(0, int32))]

    def finish(self, outer: list[Value]) -> Value:
        best, turn = outer
        lane = lane_numbers(self.b, int32)
        for lanes in (16, 8, 4, 2):
            pairs = (halves(self.b, vector, lanes) for vector in (best, turn, lane))
            (a, b), (turn_a, turn_b), (lane_a, lane_b) = pairs
            earlier = (turn_b < turn_a) | (turn_b.eq(turn_a) & (lane_b < lane_a))
            better = self.beats(b, a) | (earlier & ~self.beats(a, b))
            best = self.b.select(better, b, a)
            turn = self.b.select(better, turn_b, turn_a)
            lane = self.b.select(better, lane_b, lane_a)
        first, second = extract(self.b, turn, 0), extract(self.b, lane, 0)
        return self.locate(self.b.convert(first, int64), self.b.convert(second, int64))
