"""A contraction of a few numbers as LLVM text: loops around one chain, without tiles or vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ambos.compiler.emit import module
from ambos.compiler.loops import UNIT, ContractKernel, Index, Load
from ambos.compiler.scalar import LLVMBuilder
from ambos.compiler.tape import Lower, TapeEmitter
from ambos.compiler.values import Value
from ambos.core.dtype import int64


@dataclass(frozen=True, slots=True)
class SmallContract:
    """What `contract` computes, in one work item. Its k are one run and one block, and its B lies
    where it lies: the columns are one panel."""

    contract: ContractKernel


def emit_small_contract(kernel: SmallContract, name: str, lower: Lower) -> str:
    """The LLVM module that defines @name with the kernel ABI of core.program."""
    emitter = SmallEmitter(kernel.contract, lower)
    emitter.nest(range(len(kernel.contract.extents)))
    return module(emitter.b, name)


class SmallEmitter:
    """Writes one contraction. The axis behind those of the result is that of k."""

    def __init__(self, kernel: ContractKernel, lower: Lower) -> None:
        self.kernel, self.b = kernel, LLVMBuilder()
        self.k = k = len(kernel.extents)
        rows, column = range(kernel.num_batch, k - 1), k - 1
        strides = (UNIT,) if kernel.a_form == "rows" else kernel.a_rows
        batch = range(kernel.num_batch)
        a = [*zip(batch, kernel.a_batch, strict=True), *zip(rows, strides, strict=True)]
        a += [(column, UNIT), (k, kernel.a_k)] if kernel.a_vector else [(k, kernel.a_k)]
        b = [*zip(batch, kernel.b_batch, strict=True), (column, kernel.b_line), (k, kernel.b_k)]
        factors = (
            Load(kernel.a, Index(kernel.a_offset, tuple(a))),
            Load(kernel.b, Index(kernel.b_offset, tuple(b))),
        )
        written = frozenset(store.buffer.word for store in kernel.stores)
        self.tape = TapeEmitter(self.b, (*kernel.tape, *factors), lower, written)

    def nest(self, axes: Sequence[int]) -> None:
        """Loops over the axes of the result."""
        if not axes:
            self.point()
            return
        extent = self.tape.size(self.kernel.extents[axes[0]])
        with self.b.loop("0", extent.text, 1) as loop:
            self.bind(axes[0], loop.index)
            self.nest(axes[1:])

    def bind(self, axis: int, index: str) -> None:
        self.tape.bind(axis, self.b.value(index, int64, False, self.b.depth))

    def point(self) -> None:
        """One element: its chain from zero, and the stores."""
        self.tape.floor = self.b.depth
        number, kind = len(self.kernel.tape), self.kernel.accumulator
        zero, length = self.b.const(0, kind), self.tape.size(self.kernel.run_length)
        with self.b.loop("0", length.text, 1, [(zero.type, zero.text)]) as loop:
            self.bind(self.k, loop.index)
            x, y = (self.b.convert(self.tape.value(number + n), kind) for n in range(2))
            total = self.b.value(loop.inner[0], kind, False, self.b.depth)
            loop.next = [self.step(x, y, total).text]
        self.tape.bind_result(0, self.b.value(loop.outer[0], kind, False, self.b.depth))
        self.tape.store(self.kernel.stores)

    def step(self, x: Value, y: Value, total: Value) -> Value:
        if self.kernel.accumulator.is_floating:
            return self.b.fma(x, y, total)
        return total + x * y
