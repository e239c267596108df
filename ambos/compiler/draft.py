"""A kernel of loops while it is lowered: what it computes, reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ambos.compiler.finish import address_of, expressions_of
from ambos.compiler.group import Group
from ambos.compiler.launches import Context
from ambos.compiler.layout import Memory, order_of, strides_in_order
from ambos.compiler.space import Space
from ambos.compiler.symbolic import Do, Read, Reduced, TapeBuilder
from ambos.core.affine import Affine
from ambos.core.shape import size_of
from ambos.graph.node import Node


@dataclass(frozen=True, slots=True)
class Written:
    """A member that goes to memory: its instruction and its index."""

    node: Node
    number: int
    place: tuple[Affine, ...]
    steps: tuple[int, ...] = ()  # along the counters of the nest (compiler.split, columns)
    adds: bool = False  # to what is there already

    @property
    def cells(self) -> int:
        """Bytes of a slot of partial sums."""
        _, *kept, _ = self.node.shape
        return size_of(kept) * self.node.dtype.itemsize


@dataclass(slots=True)
class Draft:
    """`folds` are the reductions, with the instruction that each takes in; memory of all that is
    `written` is allocated."""

    group: Group
    space: Space
    builder: TapeBuilder
    folds: dict[Node, int]
    written: list[Written]
    context: Context
    stores: dict[Node, Affine] = field(init=False)  # addresses of what is written

    def __post_init__(self) -> None:
        memories = self.context.memories
        self.stores = {w.node: memories[w.node].address(w.place) for w in self.written}

    @property
    def reads(self) -> list[Read]:
        return [symbol for symbol in self.builder.tape if isinstance(symbol, Read)]

    def address(self, read: Read) -> Affine:
        return address_of(read, self.context.memories[read.node])

    def expressions(self, numbers: Iterable[int] | None = None) -> list[Affine]:
        """Every affine expression of the tape and the stores, or of these instructions only."""
        tape, memories = self.builder.tape, self.context.memories
        if numbers is None:
            return [*expressions_of(tape, memories), *self.stores.values()]
        return expressions_of([tape[number] for number in numbers], memories)

    def wandering(self, read: Read) -> set[int]:
        """The axes along which a read moves by steps that are computed."""
        below = self.below(value for value, _ in read.gathers)
        return {axis for address in self.expressions(sorted(below)) for axis, _ in address.terms}

    def below(self, numbers: Iterable[int]) -> set[int]:
        """`numbers` and every instruction that they are computed from."""
        seen: set[int] = set()
        pending = list(numbers)
        while pending:
            current = pending.pop()
            if current in seen:
                continue
            seen.add(current)
            symbol = self.builder.tape[current]
            if isinstance(symbol, Do):
                pending += symbol.args
            elif isinstance(symbol, Read):
                pending += [value for value, _ in symbol.gathers]
                pending += [] if symbol.mask is None else [symbol.mask]
        return seen

    def depends(self, number: int) -> bool:
        """Does instruction `number` need the result of a fold?"""
        return any(isinstance(self.builder.tape[n], Reduced) for n in self.below([number]))

    def reads_of(self, node: Node, numbers: Iterable[int]) -> set[int]:
        """The instructions that read `node` where `numbers` are computed."""
        below = ((n, self.builder.tape[n]) for n in self.below(numbers))
        return {n for n, symbol in below if isinstance(symbol, Read) and symbol.node is node}

    def goes_early(self, write: Written) -> bool:
        """May a member of the full space be stored in the pass of the first folds? It must need no
        fold. What renews an input is stored when that has been read for the last time, so that it
        may be written over it: the first folds may read only what is read to compute it anyway,
        and nothing after them may read it at all."""
        if not self.folds or write.adds or self.depends(write.number):
            return False
        leaf = self.context.renewed.get(write.node)
        if leaf is None:
            return True
        first = [n for n in self.folds.values() if not self.depends(n)]
        rest = [n for n in self.folds.values() if n not in first]
        rest += [w.number for w in self.written if self.depends(w.number)]
        own = self.reads_of(leaf, [write.number])
        return not (self.reads_of(leaf, rest) or self.reads_of(leaf, first) - own)


def allocate(write: Written, reads: Sequence[Read], space: Space, context: Context) -> Memory:
    """Memory for a result: as asked for, or in the order in which its main operand lies."""
    node = write.node
    order = context.requests.get(node)
    if order is None:
        order = list(range(node.rank))
        if node not in context.forced:
            main = main_read(reads, context)
            if main is not None:
                address = address_of(main, context.memories[main.node])
                steps = [
                    max((abs(address.coefficient(axis)) for axis, _ in part.terms), default=0)
                    for part in write.place
                ]
                if all(s or n == 1 for s, n in zip(steps, node.shape, strict=True)):
                    order = order_of(steps)
    return context.allocate(node, strides_in_order(node.shape, order))


def main_read(reads: Sequence[Read], context: Context) -> Read | None:
    """The read that touches most elements (the first of equals)."""
    plain = [r for r in reads if not r.gathers]
    return max(plain, key=lambda r: r.node.size, default=None)
