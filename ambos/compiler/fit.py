"""A graph lowered with some of its sizes left open, and the Program for given ones.

Words, block sizes and labels are filled in; memory is placed anew, which takes a tenth of what
planning does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from operator import is_
from typing import Any

from ambos.compiler.assemble import Unplaced, assemble, take_apart
from ambos.compiler.compiled import Compiled, Renewal
from ambos.compiler.inside import ControlKernel
from ambos.compiler.launches import Step
from ambos.compiler.layout import Memory, Ref, TableRef
from ambos.compiler.pipeline import as_asked, lower_graph
from ambos.core.features import Features
from ambos.core.open import Open, Sheet, filled
from ambos.core.program import Control, Kernel, Launch, Part, Program, Work
from ambos.graph import Node
from ambos.graph.rewrite import Trail


class Pattern:
    """The kernels of a graph for all numbers that decide as those of `sheet` did."""

    def __init__(
        self, roots: Sequence[Node], sheet: Sheet, features: Features, threads: int, trail: Trail,
        renewal: Renewal,
    ) -> None:  # fmt: skip
        lowered = lower_graph(roots, features, threads, trail, renewal=renewal)
        self.sheet, self.unplaced = sheet, take_apart(*lowered, trail)
        for step in self.unplaced.steps:
            step.group = None  # it holds the graph
        sheet.close()

    def fit(self, numbers: Sequence[int | float], wanted: Sequence[Node]) -> Compiled | None:
        """The Program for `numbers` in place of those left open, which computes `wanted`; None
        where one of them decides otherwise."""
        slots = self.sheet.at(numbers)
        if slots is None:
            return None
        return as_asked(assemble(Filling(slots).unplaced(self.unplaced)), wanted)


class Filling:
    """Numbers written in, each block of memory once."""

    def __init__(self, slots: Sequence[Any]) -> None:
        self.slots = slots
        self.memories: dict[int, Memory] = {}

    def unplaced(self, found: Unplaced) -> Unplaced:
        return Unplaced(
            [self.step(step) for step in found.steps],
            [self.kernel(kernel) for kernel in found.kernels],
            found.sources,
            [(self.memory(memory), self.all(shape), dtype)
             for memory, shape, dtype in found.results],
            found.num_inputs,
            [(self.memory(leaf), self.memory(root)) for leaf, root in found.renewed],
            [(self.memory(memory), owner._replace(shape=self.all(owner.shape)))
             for memory, owner in found.owners],
        )  # fmt: skip

    def step(self, step: Step) -> Step:
        kernel = step.kernel
        if isinstance(kernel, ControlKernel):
            kernel = replace(kernel, control=self.all(kernel.control))
        words = [self.word(word) for word in step.words]
        items, scratch = self.all(step.items), self.all(step.scratch)
        return Step(kernel, words, items, scratch, self.all(step.serial), self.all(step.label))

    def word(self, word: Any) -> Any:
        if type(word) is Ref:
            return Ref(self.memory(word.memory), self.all(word.offset))
        return self.slots[word.slot] if type(word) is Open else self.all(word)

    def kernel(self, kernel: Kernel) -> Kernel:
        return replace(kernel, label=self.all(kernel.label), control=self.all(kernel.control))

    def memory(self, memory: Memory) -> Memory:
        found = self.memories.get(id(memory))
        if found is None:
            whole = None if memory.whole is None else self.memory(memory.whole)
            found = self.memories[id(memory)] = Memory(
                memory.dtype, self.all(memory.shape), self.all(memory.strides), memory.input, None,
                self.all(memory.elements), whole, self.all(memory.start), memory.aligned,
            )  # fmt: skip
        return found

    def all(self, found: Any) -> Any:
        """`found` with every number in it; itself where it has none that is open."""
        kind = type(found)
        if kind is int or found is None:
            return found
        if kind is Open or kind is str:
            return filled(found, self.slots)
        if kind is Kernel:
            return self.kernel(found)
        if isinstance(found, tuple):
            inner = [self.all(each) for each in found]
            if all(map(is_, inner, found)):
                return found
            return kind(inner) if kind is tuple else kind(*inner)
        if kind in RECORDS:
            old = {name: getattr(found, name) for name in RECORDS[kind]}
            new = {name: self.all(value) for name, value in old.items()}
            return found if all(map(is_, new.values(), old.values())) else replace(found, **new)
        return found


RECORDS = {kind: [field.name for field in fields(kind)]
           for kind in (Control, Part, Program, Launch, Work, TableRef)}  # fmt: skip
