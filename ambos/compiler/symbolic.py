"""From nodes to a symbolic tape: scalar code over an iteration space, addresses still affine.

`TapeBuilder.value(node, index)` writes the instructions that compute one element of `node`. Nodes
that own a buffer are loaded, everything else is inlined; movement only transforms the index. The
same walk serves fusion (what does this node read, and where?) and lowering.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ambos.compiler.space import Space
from ambos.core.affine import Affine, Misaligned, linear
from ambos.core.dtype import DType, bool_, int64
from ambos.core.open import shown
from ambos.graph.node import Node
from ambos.ops.kinds import Move, Op
from ambos.ops.simplify import is_constant

Place = tuple[Affine, ...]
Conditions = list[tuple[Affine, int]]
FEW = 16  # choices, each of which waits for the one before
PLAIN = ("0", "1", "0.0", "1.0", "True", "False")  # part of the code; others are run-time words


class NeedsBuffer(Exception):
    """`nodes` must be stored, row-major, before those that read them can be lowered."""

    def __init__(self, *nodes: Node) -> None:
        super().__init__(*nodes)
        self.nodes = nodes

    @property
    def node(self) -> Node:
        return self.nodes[0]


class NeedsBlock(Exception):
    """`nodes` must be stored in blocks of their own, not within larger ones."""

    def __init__(self, *nodes: Node) -> None:
        super().__init__(*nodes)
        self.nodes = nodes


@dataclass(frozen=True, slots=True)
class Read:
    """Load of a stored node. `place` is its index; None: `position` is its row-major position."""

    node: Node
    place: Place | None
    position: Affine | None
    mask: int | None
    gathers: tuple[tuple[int, int], ...] = ()  # (instruction, dimension of the node)


@dataclass(frozen=True, slots=True)
class Where:
    """An affine integer as a value."""

    value: Affine


@dataclass(frozen=True, slots=True)
class Number:
    """A constant; `text` tells apart values that compare equal (0.0 and -0.0)."""

    value: bool | int | float
    dtype: DType
    text: str


@dataclass(frozen=True, slots=True)
class Do:
    """A pointwise op on earlier instructions."""

    op: str
    args: tuple[int, ...]
    dtype: DType


@dataclass(frozen=True, slots=True)
class Reduced:
    """The result of an anchor (reduction or contraction) of the same kernel."""

    node: Node
    dtype: DType


Symbol = Read | Where | Number | Do | Reduced
Values = dict[Node, int]  # the instruction that computes each node
Need = tuple[Node, Place, int | None, Values, bool]  # where, what is known, do its inputs exist


class TapeBuilder:
    """Builds one tape. `is_stored(node)`: does it own a buffer that may be read here?
    `anchors`: nodes whose result this kernel computes itself, with the index they are valid at.
    `is_contiguous(node)`: is that buffer row-major (None while layouts are open)?"""

    def __init__(
        self,
        space: Space,
        is_stored: Callable[[Node], bool],
        anchors: dict[Node, Place] | None = None,
        is_contiguous: Callable[[Node], bool | None] = lambda node: None,
    ) -> None:
        self.space, self.is_stored, self.is_contiguous = space, is_stored, is_contiguous
        self.anchors = anchors or {}
        self.tape: list[Symbol] = []
        self.numbers: dict[Symbol, int] = {}
        # Values by place and mask, then by node: inputs of pointwise ops share both, and hashing a
        # place takes longer than the rest.
        self.known: dict[tuple[Place, int | None], Values] = {}
        self.moves: dict[tuple[Node, Place], list[tuple[int, Place, Conditions]]] = {}

    def emit(self, symbol: Symbol) -> int:
        found = self.numbers.get(symbol)
        if found is None:
            found = self.numbers[symbol] = len(self.tape)
            self.tape.append(symbol)
        return found

    def value(self, node: Node, place: Place, mask: int | None = None) -> int:
        """The instruction that computes `node` at `place`."""
        values = wanted = self.values(place, mask)
        top = node
        stack = [(node, place, mask, values, False)]
        while stack:  # depth first without recursion: chains may be thousands long
            node, place, mask, values, is_ready = stack.pop()
            if node in values:
                continue
            if not is_ready:
                needed = [need for need in self.needs(node, place, mask, values)
                          if need[0] not in need[3]]  # fmt: skip
                if needed:
                    stack.append((node, place, mask, values, True))
                    stack += reversed(needed)
                    continue
            values[node] = self.compute(node, place, mask, values)
        return wanted[top]

    def values(self, place: Place, mask: int | None) -> Values:
        """What is known at `place` under `mask`."""
        return self.known.setdefault((place, mask), {})

    # Which elements an element is made of, and how.

    def needs(self, node: Node, place: Place, mask: int | None, values: Values) -> list[Need]:
        if self.reads_directly(node, place):
            return []
        op = node.op
        if isinstance(op, Move):
            if self.reshape_read(node, place) is not None:
                return []
            return [
                self.need(node.inputs[number], source, self.guard(conditions, mask))
                for number, source, conditions in self.cases(node, place)
            ]
        if op.name == "take":
            axis, rank = node.attrs[0], node.inputs[1].rank
            return [self.need(node.inputs[1], place[axis : axis + rank], mask)]
        if op.name == "gather":
            return [(node.inputs[1], place, mask, values, False)]
        return [(source, place, mask, values, False) for source in node.inputs]

    def need(self, node: Node, place: Place, mask: int | None) -> Need:
        return node, place, mask, self.values(place, mask), False

    def number(self, value: bool | int | float, dtype: DType) -> int:
        return self.emit(Number(value, dtype, shown(value)))

    def reads_directly(self, node: Node, place: Place) -> bool:
        return self.is_anchored(node, place) or self.is_stored(node) or not node.inputs

    def is_anchored(self, node: Node, place: Place) -> bool:
        """Is this the element that the kernel computes at each of its points?"""
        home = self.anchors.get(node)
        return home is not None and all(
            n == 1 or a == b for n, a, b in zip(node.shape, home, place, strict=True)
        )

    def compute(self, node: Node, place: Place, mask: int | None, values: Values) -> int:
        op = node.op
        if self.is_anchored(node, place):
            return self.emit(Reduced(node, node.dtype))
        if op.name == "constant":
            return self.number(node.attrs[0], node.dtype)
        if op.name == "iota":
            return self.emit(Where(place[0]))
        if self.is_stored(node):
            return self.emit(Read(node, place, None, mask))
        if isinstance(op, Move):
            return self.compute_move(node, place, mask)
        if op.name in ("take", "gather"):
            return self.compute_take(node, place, mask)
        assert isinstance(op, Op)
        if op.kind not in ("pointwise", "random"):
            raise NeedsBuffer(node)
        args = tuple([values[source] for source in node.inputs])
        return self.emit(Do(op.name, args, node.dtype))

    def cases(self, node: Node, place: Place) -> list[tuple[int, Place, Conditions]]:
        """Where the elements of a movement come from; asked for on the way down and up again."""
        known = self.moves.get((node, place))
        if known is not None:
            return known
        assert isinstance(node.op, Move)
        try:
            found = node.op.access(node, list(place), self.space.extents)
        except Misaligned as problem:
            if problem.axis is None:  # no cut separates phases: they meet in memory
                below = node if node.op.name == "interleave" else node.inputs[0]
                raise NeedsBuffer(below) from None
            raise
        cases = [(n, tuple(source), conditions) for n, source, conditions in found]
        if node.op.name == "interleave":  # what none of its phases holds is zero
            cases = [case for case in cases if not is_constant(node.inputs[case[0]], 0)]
        self.moves[node, place] = cases
        return cases

    def reshape_read(self, node: Node, place: Place) -> Read | None:
        """Reading a row-major buffer through a reshape needs no alignment."""
        source = node.inputs[0]
        if node.op.name != "reshape" or not self.is_stored(source):
            return None
        contiguous = self.is_contiguous(source)
        if contiguous is None:
            try:
                self.cases(node, place)
            except NeedsBuffer:
                contiguous = True
        if not contiguous:
            return None
        return Read(source, None, linear(place, node.shape), None)

    def compute_move(self, node: Node, place: Place, mask: int | None) -> int:
        direct = self.reshape_read(node, place)
        if direct is not None:
            return self.emit(Read(direct.node, None, direct.position, mask))
        result: int | None = None
        choices: list[tuple[int, int]] = []  # a guard and what it lets through; later ones win
        for number, source, conditions in reversed(self.cases(node, place)):
            guard = self.guard(conditions, mask)
            value = self.values(source, guard)[node.inputs[number]]
            if guard == mask:  # this case always holds
                result, choices = value, []
            elif result is None and not choices and isinstance(self.tape[value], Read):
                result = value  # a masked load is zero outside
            else:
                assert guard is not None
                choices.append((guard, value))
        other = self.number(0, node.dtype) if result is None else result
        return self.choose(choices, other, node.dtype)

    def choose(self, choices: Sequence[tuple[int, int]], other: int, dtype: DType) -> int:
        """The value of the last guard that holds; `other` where none does. Many are halved until
        few are left, so that expressions stay flat."""
        if len(choices) > FEW:
            half = len(choices) // 2
            below, above = choices[:half], choices[half:]
            some = self.any_of([guard for guard, _ in above])
            chosen = self.choose(above[1:], above[0][1], dtype)
            choices, other = [(some, chosen)], self.choose(below, other, dtype)
        for guard, value in choices:
            other = self.emit(Do("where", (guard, value, other), dtype))
        return other

    def any_of(self, guards: Sequence[int]) -> int:
        if len(guards) == 1:
            return guards[0]
        half = len(guards) // 2
        sides = self.any_of(guards[:half]), self.any_of(guards[half:])
        return self.emit(Do("bitwise_or", sides, bool_))

    def guard(self, conditions: Sequence[tuple[Affine, int]], mask: int | None) -> int | None:
        """`mask` and every 0 <= expression < extent that is not certain."""
        for expression, extent in conditions:
            low, high = expression.bounds(self.space.extents)
            if low < 0:
                mask = self.both(mask, "greater_equal", expression, 0)
            if high >= extent:
                mask = self.both(mask, "less", expression, extent)
        return mask

    def both(self, mask: int | None, op: str, expression: Affine, bound: int) -> int:
        # The offset goes to the bound, so that all edges share the positions.
        position = self.emit(Where(Affine(0, expression.terms)))
        limit = self.emit(Where(Affine(bound - expression.offset)))
        test = self.emit(Do(op, (position, limit), bool_))
        return test if mask is None else self.emit(Do("bitwise_and", (mask, test), bool_))

    def compute_take(self, node: Node, place: Place, mask: int | None) -> int:
        data, index = node.inputs
        axis = node.attrs[0]
        if not (self.is_stored(data)):
            raise NeedsBuffer(data)
        taken = 1 if node.op.name == "gather" else index.rank
        where = place if node.op.name == "gather" else place[axis : axis + taken]
        at = self.clamp(self.values(where, mask)[index], data.shape[axis])
        source = (*place[:axis], Affine(), *place[axis + taken :])
        return self.emit(Read(data, source, None, mask, ((at, axis),)))

    def clamp(self, value: int, extent: int) -> int:
        """Memory safety whatever the index holds; wrong values are reported by the flush."""
        zero, last = (self.emit(Where(Affine(n))) for n in (0, extent - 1))
        value = self.emit(Do("maximum", (value, zero), int64))
        return self.emit(Do("minimum", (value, last), int64))


def build(
    space: Space,
    wanted: Callable[[TapeBuilder], list[int]],
    make_builder: Callable[[Space], TapeBuilder],
) -> tuple[TapeBuilder, list[int]]:
    """Run `wanted` on a fresh builder, cutting axes of `space` until every reshape lines up."""
    while True:
        builder = make_builder(space)
        try:
            return builder, wanted(builder)
        except Misaligned as problem:
            space.refine(problem)
