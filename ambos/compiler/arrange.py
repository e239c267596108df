"""The order in which kernels run: any that respects what they read gives the same bits, but not the
same memory.

Groups keep the order of the graph but for three things. One that frees at least what it takes runs
as soon as it can: a weight's gradient lets go of an activation, and finds its operands in the
caches. One that computes again what was computed before (`ops.movement.afresh`) runs right before
the first that needs it. And one that renews an input runs after those that read the older value,
where dependencies allow, so that it may write over it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence

from ambos.compiler.donate import readers
from ambos.compiler.group import Group, recomputed
from ambos.graph.node import Node, toposort


def arrange(
    groups: Sequence[Group], roots: Sequence[Node], renewed: Mapping[Node, Node]
) -> list[Group]:
    """`groups`, which are in an order that works, in the order in which they run. `renewed` says of
    some roots which input they replace."""
    return Arrangement(groups, roots, renewed).run()


class Arrangement:
    """What has its place already, and what may come next."""

    def __init__(
        self, groups: Sequence[Group], roots: Sequence[Node], renewed: Mapping[Node, Node]
    ) -> None:
        self.groups, self.lasting = list(groups), set(roots)
        self.number = {group: place for place, group in enumerate(self.groups)}
        self.group_of = {member: group for group in groups for member in group.members}
        self.needs = {g: {self.group_of[s] for s in g.inputs} - {g} for g in self.groups}
        self.needed_by: dict[Group, list[Group]] = {group: [] for group in self.groups}
        for group, needs in self.needs.items():
            for other in needs:
                self.needed_by[other].append(group)
        again = recomputed(toposort(roots))
        self.again = {g for g in self.groups if again.issuperset(g.members)} if again else set()
        self.awaits = self.readers_before(renewed)
        self.awaited_by: dict[Group, list[Group]] = {group: [] for group in self.groups}
        for group, others in self.awaits.items():
            for other in others:
                self.awaited_by[other].append(group)
        self.readers = {node: 0 for group in self.groups for node in group.inputs}
        for group in self.groups:
            for node in group.inputs:
                self.readers[node] += 1
        self.missing = {group: len(needs) for group, needs in self.needs.items()}
        self.waiting = {group: len(self.awaits.get(group, ())) for group in self.groups}
        self.ready: list[int] = []  # numbers of groups that may run now, in order
        self.placed: dict[Group, None] = {}

    def readers_before(self, renewed: Mapping[Node, Node]) -> dict[Group, set[Group]]:
        """For each group that renews an input, the others that read it."""
        read_by = readers(self.groups, set(renewed.values())) if renewed else {}
        found: dict[Group, set[Group]] = {}
        for root, leaf in renewed.items():
            writer = self.group_of.get(root)
            if writer is not None:
                found.setdefault(writer, set()).update(read_by[leaf] - {writer})
        return found

    def run(self) -> list[Group]:
        """All groups in order."""
        for group in self.groups:
            self.announce(group)
        while len(self.placed) < len(self.groups):
            if self.ready:
                self.place(self.groups[self.choose()])
            else:
                self.place_needed()
        return list(self.placed)

    def announce(self, group: Group) -> None:
        """`group` may run, if all that it needs and waits for has run."""
        is_free = not self.missing[group] and not self.waiting[group]
        if is_free and group not in self.again and group not in self.placed:
            insort(self.ready, self.number[group])

    def choose(self) -> int:
        """The first group that gives back what it takes, else the first of all."""
        for place, number in enumerate(self.ready):
            if self.growth(self.groups[number]) <= 0:
                return self.ready.pop(place)
        return self.ready.pop(0)

    def growth(self, group: Group) -> int:
        """How many bytes more are in use once `group` has run."""
        kept = (m for m in group.members if m in self.readers and m not in self.lasting)
        takes = sum(map(nbytes, kept))
        frees = sum(nbytes(node) for node in group.inputs
                    if self.readers[node] == 1 and node not in self.lasting)  # fmt: skip
        return takes - frees

    def place(self, group: Group) -> None:
        """`group` runs next."""
        self.placed[group] = None
        for node in group.inputs:
            self.readers[node] -= 1
        for other in self.needed_by[group]:
            self.missing[other] -= 1
            self.announce(other)
        for other in self.awaited_by[group]:
            self.waiting[other] -= 1
            if not self.missing[other]:
                self.announce(other)

    def place_needed(self) -> None:
        """Nothing may run: place the first group that lacks only what is computed again, with
        that; else the first that waits for readers which need its own result."""
        for patient in (True, False):
            for group in self.groups:
                if group in self.placed or (patient and self.waiting[group]):
                    continue
                if group in self.again and patient:
                    continue
                chain = self.lacking(group)
                if chain is not None:
                    for other in chain:
                        self.place(other)
                    if not self.ready:  # it goes on waiting, or is computed again for its own sake
                        self.place(group)
                    return
        raise AssertionError("fusion made a cycle")

    def lacking(self, group: Group) -> list[Group] | None:
        """What is computed again and has to run before `group`, in order; None where it lacks
        something else."""
        found: set[Group] = set()
        stack = [group]
        while stack:
            for other in self.needs[stack.pop()]:
                if other in self.placed or other in found:
                    continue
                if other not in self.again:
                    return None
                found.add(other)
                stack.append(other)
        return sorted(found, key=self.number.__getitem__)


def nbytes(node: Node) -> int:
    return node.size * node.dtype.itemsize
