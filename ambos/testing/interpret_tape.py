"""The tape of a kernel of the loop IR, evaluated in NumPy: scalar code, loads and stores.

Every address is checked: touching what is outside its memory is an error here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ambos.compiler.loops import (
    UNIT,
    Apply,
    Buffer,
    Const,
    Index,
    Instr,
    Literal,
    Load,
    Position,
    Result,
    Size,
    Store,
)
from ambos.core.dtype import float64, int64
from ambos.core.errors import CompilerError, IndexingError
from ambos.testing.scalar import NumpyBuilder, NumpyValue, storage

Array = npt.NDArray[Any]
Memory = Mapping[int, Array]
Words = Sequence[int | float]
Lower = Callable[[str], Callable[..., Any]]

BUILDER = NumpyBuilder()


class Point:
    """Evaluates a tape where `axes` (int64 arrays that broadcast to (lanes, points)) say."""

    def __init__(self, tape: Sequence[Instr], words: Words, memory: Memory, lower: Lower) -> None:
        self.tape = tape
        self.words = words
        self.memory = memory
        self.lower = lower
        self.scratch = np.zeros((1, 0), np.uint8)  # (lanes, bytes)
        self.axes: dict[int, Array] = {}
        self.results: dict[int, NumpyValue] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes((1, 1), *(index.shape for index in self.axes.values()))

    @staticmethod
    def widen(value: NumpyValue) -> NumpyValue:
        """`value` in the type that it is computed with."""
        return BUILDER.convert(value, value.dtype.compute)

    def value(self, number: int, memo: dict[int, NumpyValue]) -> NumpyValue:
        """What instruction `number` computes; `memo` remembers for this point."""
        if number not in memo:
            memo[number] = self._evaluate(self.tape[number], memo)
        return memo[number]

    def _evaluate(self, instruction: Instr, memo: dict[int, NumpyValue]) -> NumpyValue:
        match instruction:
            case Const(word, dtype):
                given = self.words[word]
                source = float64 if dtype.is_floating else int64
                return BUILDER.convert(BUILDER.const(given, source), dtype)
            case Literal(value, dtype):
                return BUILDER.const(value, dtype)
            case Size(word):
                return BUILDER.const(self.words[word], int64)
            case Position(axis):
                return BUILDER.value(self.axes[axis])
            case Result(stage, dtype):
                return BUILDER.convert(self.results[stage], dtype)
            case Load():
                return self._load(instruction, memo)
            case Apply():
                return self._apply(instruction, memo)
        raise CompilerError(f"interpret: got {instruction!r}; need an instruction of loops.py")

    def _apply(self, apply: Apply, memo: dict[int, NumpyValue]) -> NumpyValue:
        args = [self.value(number, memo) for number in apply.args]
        if apply.op in ("cast", "bitcast"):
            change = BUILDER.convert if apply.op == "cast" else BUILDER.bitcast
            return change(args[0], apply.dtype)
        wide = [BUILDER.convert(a, a.dtype.compute) for a in args]
        result: NumpyValue = self.lower(apply.op)(BUILDER, *wide)
        return BUILDER.convert(result, apply.dtype)

    def _load(self, load: Load, memo: dict[int, NumpyValue]) -> NumpyValue:
        address = self.address(load.index, memo)
        on = np.ones((), bool) if load.mask is None else self.value(load.mask, memo).data
        shape = self.shape if load.buffer.word is None else ()  # every lane has its own scratch
        shape = np.broadcast_shapes(address.shape, on.shape, shape)
        address, on = np.broadcast_to(address, shape), np.broadcast_to(on, shape)
        found = np.zeros(address.shape, storage(load.buffer.dtype))
        row, places = self._places(load.buffer, address, on)
        found[on] = row[places]
        return BUILDER.value(found, load.buffer.dtype)

    def address(self, index: Index, memo: dict[int, NumpyValue]) -> Array:
        """Element addresses."""
        total = np.asarray(0 if index.offset is None else self.words[index.offset], np.int64)
        for axis, word in index.terms:
            total = total + self.axes[axis] * self._stride(word)
        for number, word in index.gathers:
            total = total + self.value(number, memo).data * self._stride(word)
        return np.asarray(total, np.int64)

    def _stride(self, word: int) -> int:
        return 1 if word == UNIT else int(self.words[word])

    def _places(self, buffer: Buffer, address: Array, on: Array) -> tuple[Array, Array]:
        """All that `buffer` is part of in one row, and where in it the elements `address` lie that
        are `on`, checked."""
        wanted = address[on]
        if buffer.word is None:
            array = self.scratch.view(storage(buffer.dtype))
            size, first = array.shape[1], np.nonzero(on)[0] * array.shape[1]
        else:
            array = self.memory[buffer.word]
            size, first = array.size, np.zeros((), np.int64)
            if array.dtype != storage(buffer.dtype):
                raise CompilerError(
                    f"interpret: word {buffer.word} is {array.dtype}; need {buffer.dtype}"
                )
        outside = (wanted < 0) | (wanted >= size)
        if outside.any():
            raise IndexingError(
                f"interpret: element {wanted[outside][0]} of word {buffer.word}, which has {size}"
            )
        return array.reshape(-1), first + wanted

    def store(self, stores: Sequence[Store]) -> None:
        """`stores` in order; along one store the points in row-major order."""
        memo: dict[int, NumpyValue] = {}
        shape = self.shape
        ready: list[tuple[Store, Array, Array, Array]] = []
        for store in stores:
            value = self.value(store.value, memo).data
            on = np.ones((), bool) if store.mask is None else self.value(store.mask, memo).data
            address = self.address(store.index, memo)
            data, address, on = (np.broadcast_to(a, shape) for a in (value, address, on))
            ready.append((store, data, address, on))
        for store, data, address, on in ready:
            row, places = self._places(store.buffer, address, on)
            new = data[on]
            if not store.combine:
                row[places] = new  # of a place that is met several times the last value stays
                continue
            for turn in _turns(places):
                pair = (row[places[turn]], new[turn])
                old, more = (BUILDER.value(v, store.buffer.dtype) for v in pair)
                row[places[turn]] = _combined(store.combine, old, more).data


def _turns(places: Array) -> Iterator[Array]:
    """Numbers of `places`, so that none is met twice in a turn and each in the order given."""
    order = np.argsort(places, kind="stable")
    _, first, counts = np.unique(places[order], return_index=True, return_counts=True)
    for turn in range(int(counts.max(initial=0))):
        yield order[first[counts > turn] + turn]


def _combined(op: str, old: NumpyValue, new: NumpyValue) -> NumpyValue:
    """A Store's `combine`."""
    if op in ("add", "mul"):
        return old + new if op == "add" else old * new
    keeps = old > new if op == "max" else old < new
    return BUILDER.select(keeps | old.ne(old), old, new)
