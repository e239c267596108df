"""Which of the stored nodes are computed by one kernel.

Any grouping gives the same bits; only speed is at stake. Groups grow along the topological order:
a stored node joins the kernel of one of its producers when every element it needs from it is the
element just computed there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ambos.compiler.columns import adds_columns
from ambos.compiler.group import (
    WHOLE,
    Group,
    group_kind,
    is_leaf,
    kind_of,
    recomputed,
    same_attention,
    same_call,
)
from ambos.compiler.reasons import AFRESH, ROW_LAYOUT, TAPPED, WOVEN, Reasons, space_reason
from ambos.compiler.space import Space
from ambos.compiler.stored import DEEP, LONG, Stored
from ambos.compiler.symbolic import NeedsBuffer, Read, TapeBuilder, build
from ambos.core.affine import Affine
from ambos.core.shape import Shape, size_of
from ambos.graph.node import Node, toposort

ROW_ELEMENTS = 1 << 16  # a row that is visited by several stages should stay in a core's cache
COLUMN_ELEMENTS = 1 << 10  # so should a panel of columns that are reduced
MEMBERS = 48  # nodes that one kernel stores: LLVM's time grows faster than their number


def fits(group: Group) -> bool:
    """May several stages of `group` visit what they reduce one after the other?"""
    row = size_of([group.shape[a] for a in group.reduced])
    inner = len(group.shape) - 1 in group.reduced
    return row <= (ROW_ELEMENTS if inner else COLUMN_ELEMENTS)


def delays(a: Group, b: Group) -> bool:
    """Would one of the two, computed with the other, wait for a kernel that is larger than both?
    What reads the result could then not be computed by that kernel: the number of targets that
    count, which gradients of a loss need, must not wait for the losses."""
    size = max(size_of(a.shape), size_of(b.shape))
    return any(size_of(group.shape) > size for group in a.before ^ b.before)


def after(some: set[Node], order: Sequence[Node]) -> set[Node]:
    """`some` nodes, and those of `order`, which lists inputs first, that depend on one."""
    found = set(some)
    if some:
        for node in order:
            if not found.isdisjoint(node.inputs):
                found.add(node)
    return found


class Fusion:
    """The state of one fusion: who is stored, who is in which group, what each group reads."""

    def __init__(
        self, roots: Sequence[Node], forced: Iterable[Node], reasons: Reasons | None = None
    ) -> None:
        self.roots, self.forced, self.reasons = list(roots), set(forced), reasons
        self.order = toposort(roots)
        self.kept = Stored(self.roots, self.forced, self.order, reasons)
        self.stored, self.cost, self.depth = self.kept.nodes, self.kept.cost, self.kept.depth
        self.group_of: dict[Node, Group] = {}
        self.groups: list[Group] = []
        self.postponed: list[tuple[Node, Node]] = []  # one of each of two groups like one kernel
        self.leaves_of: dict[Node, list[Node]] = {}  # filled when all that is stored is known
        self.remade = recomputed(self.order)
        self.late = after(self.remade, self.order)

    def run(self) -> list[Group]:
        for node in self.order:
            if node in self.stored:
                self.place(node)
        self.join_siblings()
        self.join_postponed()
        self.join_columns()
        return self.schedule()

    # 1. Groups.

    def reads(self, node: Node) -> tuple[list[Read], Sequence[Affine]]:
        """What computing the stored node reads, over its own space."""
        computed = node.inputs[0] if kind_of(node) == "reduce" else node
        while True:
            space = Space(computed.shape)
            try:
                builder, _ = build(
                    space,
                    lambda b: [b.value(computed, tuple(b.space.dims))],
                    lambda s: TapeBuilder(s, lambda n: self.readable(n, node)),
                )
            except NeedsBuffer as problem:
                self.add_stored(problem.node)
                continue
            return [s for s in builder.tape if isinstance(s, Read)], space.dims

    def readable(self, node: Node, reader: Node) -> bool:
        return is_leaf(node) or (node in self.stored and node is not reader)

    def add_stored(self, node: Node) -> None:
        """A node found to need a buffer only now: it gets a group of its own, earlier."""
        if node in self.stored:
            raise NeedsBuffer(node)
        self.kept.keep(node, "a reshape of it does not line up with its reader's axes")
        self.place(node)

    def place(self, node: Node) -> None:
        """Put `node` into a producer's group, or a new one."""
        if node in self.group_of:
            return
        kind = "parts" if node in self.kept.wholes else group_kind(node)
        if kind != "loop":
            sources = self.operand_bases(node)
            group = self.twin(node, sources) or Group(kind, node.shape, (), [node])
            self.attach(group, node, sources)
            return
        reads, dims = self.reads(node)
        sources = {read.node for read in reads if not is_leaf(read.node)}
        shape, reduced = node.shape, ()
        if kind_of(node) == "reduce":
            shape, reduced = node.inputs[0].shape, node.attrs[0]
        producers = sorted({self.group_of[s] for s in sources}, key=self.groups.index, reverse=True)
        homes: list[tuple[Group, tuple[Shape, Shape]]] = []
        if node not in self.forced:
            for group in producers:
                if self.forced & set(group.members):
                    self.part(node, group, ROW_LAYOUT)
                    continue  # it has a kernel of its own, or the reader would need it again
                if not self.meet((node,), group.members):
                    self.part(node, group, AFRESH)
                    continue
                merged = self.merged_space(group, node, shape, reduced)
                if merged is None:
                    self.part(node, group, "", shape, reduced)
                    continue
                obstacle = self.obstacle(group, node, reads, dims, sources, merged)
                if obstacle:
                    self.part(node, group, obstacle)
                else:
                    homes.append((group, merged))
        if not homes:
            self.attach(Group("loop", shape, reduced, [node]), node, sources)
            return
        # The one that waits for most: no other has to wait longer because of `node`.
        home, merged = max(homes, key=lambda found: len(found[0].before))
        others = [found for found in homes if found[0] is not home]
        for other, _ in others:  # a node that several groups could take in makes them one
            if self.could_be_one(home, other):
                if delays(home, other):
                    self.postponed.append((home.members[0], other.members[0]))
                else:
                    self.merge(home, other)
        home.shape, home.reduced = merged
        self.attach(home, node, sources)

    def meet(self, some: Sequence[Node], others: Sequence[Node]) -> bool:
        """May these be computed at one time? What is computed again to save memory waits until it
        is needed, and whatever reads it."""
        return (some[0] in self.late) is (others[0] in self.late)

    def could_be_one(self, a: Group, b: Group) -> bool:
        """May `a` and `b` be one kernel, because they are alike and neither needs the other?"""
        if not self.meet(a.members, b.members):
            return False
        if (a.kind, a.shape, a.reduced) != (b.kind, b.shape, b.reduced) or a.kind != "loop":
            return False
        if a in b.before or b in a.before or self.mixes_taps(a, b):
            return False
        return a.weight + b.weight <= LONG and len(a.members) + len(b.members) <= MEMBERS

    def part(
        self, node: Node, group: Group, why: str, shape: Shape = (), reduced: Shape = ()
    ) -> None:
        """`node` reads from `group` but is not computed there."""
        if self.reasons is not None:
            self.reasons.part(node, group, why or space_reason(group, shape, reduced))

    def twin(self, node: Node, sources: set[Node]) -> Group | None:
        """The group of another result of the same attention, if that may wait for `sources`, or
        of the same sorting, call or loop: positions and values come from one kernel."""
        for group in self.groups if kind_of(node) == "attention" else ():
            if group.kind == "attention" and same_attention(group.members[0], node):
                ready = not any(group in self.group_of[s].before for s in sources)
                if ready and not {node, *group.members} & self.forced:
                    return group
        for group in self.groups if kind_of(node) in WHOLE else ():
            if group.kind == kind_of(node) and same_call(group.members[0], node):
                return group
        return None

    def operand_bases(self, node: Node) -> set[Node]:
        found: dict[Node, None] = {}  # in a fixed order: it decides the order of groups
        stack = list(node.inputs)
        while stack:
            source = stack.pop()
            if source in self.stored:
                found[source] = None
            elif source.inputs:
                stack += source.inputs
        for source in found:
            if source not in self.group_of:
                self.place(source)
        return set(found)

    def attach(self, group: Group, node: Node, sources: set[Node]) -> None:
        if not group.inputs and group not in self.groups:
            self.groups.append(group)
        if node not in group.members:
            group.members.append(node)
            group.weight += self.cost.get(node, 0)
            group.depth += self.depth.get(node, 0)
        self.group_of[node] = group
        earlier = {self.group_of[s] for s in sources} - {group}
        group.inputs |= {s for s in sources if self.group_of[s] is not group}
        ahead = set(earlier)
        for other in earlier:
            ahead |= other.before
        ahead.discard(group)
        if not ahead <= group.before:
            group.before |= ahead
            for other in self.groups:
                if group in other.before:
                    other.before |= ahead

    @staticmethod
    def merged_space(
        group: Group, node: Node, shape: Shape, reduced: Shape
    ) -> tuple[Shape, Shape] | None:
        """The space that `group` needs to take `node` in as well, or None."""
        if group.kind == "contract":
            return (group.shape, ()) if shape == group.shape and not reduced else None
        if group.kind != "loop":
            return None
        if reduced:
            if shape != group.shape:
                return None
            if not group.reduced:
                return shape, reduced
            return (shape, reduced) if reduced == group.reduced and fits(group) else None
        if shape == group.shape:
            return (shape, group.reduced) if not group.reduced or fits(group) else None
        kept = [n for a, n in enumerate(group.shape) if a not in group.reduced and n != 1]
        if group.reduced and [n for n in shape if n != 1] == kept:
            return group.shape, group.reduced
        return None

    def obstacle(
        self, group: Group, node: Node, reads: Sequence[Read], dims: Sequence[Affine],
        sources: set[Node], space: tuple[Shape, Shape],
    ) -> str:  # fmt: skip
        """What is in the way of computing `node` in `group`. Nothing ("") if all that it reads
        from the group is the element computed there and the rest is ready before."""
        if any(group in self.group_of[s].before for s in sources):
            return "another of its operands is computed from that kernel's result"
        full = len(group.members) >= MEMBERS or group.weight + self.cost[node] > LONG
        if full or group.depth + self.depth[node] > DEEP:
            return "enough operations for one kernel"
        if space[1] and not self.kept.woven.isdisjoint((node, *group.members)):
            return WOVEN
        if space[1] and self.kept.is_tapped((node, *group.members)):
            return TAPPED
        trial = Group(group.kind, *space, [])
        # Where `node` spans only the kept axes it cannot reach back to single elements.
        outer_only = kind_of(node) != "reduce" and node.shape != trial.shape
        for read in reads:
            if read.node not in group.members:
                continue
            if read.place is None or read.gathers:
                return "it gathers or reshapes that kernel's result"
            same_space = read.node.shape == trial.shape and kind_of(read.node) != "reduce"
            if outer_only and same_space:
                return "it reads single elements of rows that are already reduced"
            own = [d for d, n in zip(dims, node.shape, strict=True) if n != 1] if outer_only else []
            target = own if outer_only else [
                d for d, n in zip(trial.target(read.node, dims), read.node.shape, strict=True)
                if n != 1
            ]  # fmt: skip
            if [i for i, n in zip(read.place, read.node.shape, strict=True) if n != 1] != target:
                return "it reads other elements than the one just computed (moved or broadcast)"
        return ""

    # 2. Kernels over the same space that read the same data share one pass over it.

    def join_siblings(self) -> None:
        met: dict[Group, int] = {}  # in which order
        readers: dict[tuple[Shape, Node], list[Group]] = {}  # of a large node, over a space
        for group in list(self.groups):
            if group.kind != "loop" or self.forced & set(group.members):
                continue
            shared = [(group.shape, node) for node in self.shareable(group)]
            others = {other for key in shared for other in readers.get(key, ())}
            for other in sorted(others, key=met.__getitem__):
                if self.are_siblings(group, other):
                    self.merge(other, group)
                    home = other
                    break
            else:
                met[group] = len(met)
                home = group
            for key in shared:
                among = readers.setdefault(key, [])
                if home not in among:
                    among.append(home)

    def join_postponed(self) -> None:
        """What could be one kernel but for a larger one that might have waited: did that one not
        come between them, they are one now."""
        for one, two in self.postponed:
            home, other = self.group_of[one], self.group_of[two]
            alike = (home.shape, home.reduced) == (other.shape, other.reduced)
            between = any(other in group.before for group in home.before)
            if alike and home is not other and home not in other.before and not between:
                self.absorb(home, other)

    def absorb(self, into: Group, other: Group) -> None:
        """One group of two, one of which may read from the other."""
        for group, of in ((into, other), (other, into)):
            group.before.discard(of)
        self.merge(into, other)
        into.inputs.difference_update(into.members)

    def join_columns(self) -> None:
        """Sums down columns go with the rows of the same data (compiler.columns)."""
        over: dict[Shape, list[Group]] = {}  # the reductions over a space
        for group in self.groups:
            if group.reduced:
                over.setdefault(group.shape, []).append(group)
        for alike in over.values():
            for columns in list(alike):
                for rows in alike:
                    may = fits(rows) and self.meet(rows.members, columns.members)
                    if may and adds_columns(self, rows, columns):
                        members = list(columns.members)
                        self.absorb(rows, columns)
                        rows.columns = members
                        alike.remove(columns)
                        break

    def are_siblings(self, a: Group, b: Group) -> bool:
        """May these, which share something large, be one kernel?"""
        if a in b.before or b in a.before or (a.reduced and b.reduced and a.reduced != b.reduced):
            return False
        if not self.meet(a.members, b.members) or self.mixes_taps(a, b):
            return False
        if a.weight + b.weight > LONG or len(a.members) + len(b.members) > MEMBERS:
            return False
        reduced = a if a.reduced else b
        return not reduced.reduced or fits(reduced) or self.one_stage(a, b)

    def mixes_taps(self, a: Group, b: Group) -> bool:
        """Would a kernel of both reduce and read many taps?"""
        reduces = bool(a.reduced or b.reduced)
        return reduces and self.kept.is_tapped((*a.members, *b.members))

    def one_stage(self, a: Group, b: Group) -> bool:
        """Is one pass enough: does no element of the full space come after a reduction?"""
        members = (*a.members, *b.members)
        reduces = {m for m in members if kind_of(m) == "reduce"}
        full = [m for m in members if m.shape == a.shape and m not in reduces]
        outside = self.stored.difference(members)
        return reduces.isdisjoint(toposort(full, stop=lambda n: n in reduces or n in outside))

    def shareable(self, group: Group) -> set[Node]:
        """What is worth one pass for all that read or write it."""
        return self.large_inputs(group) | self.kept.woven_from(group.members)

    def large_inputs(self, group: Group) -> set[Node]:
        size = size_of(group.shape)
        found = {n for n in group.inputs if n.size == size}
        for member in group.members:
            found.update(n for n in self.leaves_below(member) if n.size == size)
        return found

    def leaves_below(self, member: Node) -> list[Node]:
        """The program's inputs that computing `member` reads."""
        found = self.leaves_of.get(member)
        if found is None:
            below = toposort([member], stop=lambda n: n in self.stored and n is not member)
            found = self.leaves_of[member] = [node for node in below if is_leaf(node)]
        return found

    def merge(self, into: Group, other: Group) -> None:
        into.members += other.members
        into.reduced = into.reduced or other.reduced
        for node in other.members:
            self.group_of[node] = into
        into.weight += other.weight
        into.depth = max(into.depth, other.depth)
        into.inputs |= other.inputs
        self.groups.remove(other)
        into.before |= other.before
        for group in self.groups:
            if other in group.before:
                group.before.remove(other)
                group.before.add(into)
            if into in group.before:
                group.before |= into.before

    # 3. Order.

    def schedule(self) -> list[Group]:
        """Groups, each after all that it reads; members in topological order."""
        position = {node: i for i, node in enumerate(self.order)}
        for group in self.groups:
            group.members.sort(key=position.__getitem__)
        result: list[Group] = []
        placed: set[Group] = set()
        pending = sorted(self.groups, key=lambda g: position[g.members[0]])
        while pending:
            waiting = []
            for group in pending:
                needs = {self.group_of[s] for s in group.inputs} - {group}
                if needs <= placed:
                    result.append(group)
                    placed.add(group)
                else:
                    waiting.append(group)
            assert len(waiting) < len(pending), "fusion made a cycle"
            pending = waiting
        return result


def fuse(
    roots: Sequence[Node], forced: Iterable[Node] = (), reasons: Reasons | None = None
) -> list[Group]:
    """Groups in execution order. `forced` nodes are stored row-major by kernels of their own.
    `reasons` is told why each boundary is where it is."""
    if reasons is not None:
        reasons.clear()
    return Fusion(roots, forced, reasons).run()
