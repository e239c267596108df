"""Memory against time: what lies idle from a first half of a program to its second is computed
again where it is needed, as far as a budget asks for it.

The program as it was lowered says when most is in memory. Blocks that were written before and are
read afterwards may go: whoever reads them afterwards gets a second copy of what computes them,
from blocks that stay (`ops.movement.afresh` keeps the copies apart from the first). Two kinds:
what a loop over elements gives costs little to compute again, so that goes first. Contractions go
segment by segment: at the borders of a segment what the rest is computed from stays, where that is
least, and the earliest segments go first, since they are needed again when most is free.

Source: Chen, Xu, Zhang, Guestrin, "Training deep nets with sublinear memory cost" (2016).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ambos.compiler.compiled import Compiled
from ambos.compiler.footprint import busiest
from ambos.compiler.group import Group, is_leaf
from ambos.compiler.launches import Context, Step
from ambos.compiler.layout import Memory, Ref
from ambos.compiler.plan import plan_memory
from ambos.graph.node import Node, make, toposort
from ambos.graph.rewrite import Trail
from ambos.ops.movement import afresh

SEGMENTS = (6, 16, 3)  # numbers of segments to try, one after the other
LIGHT = ("loop", "parts")  # kinds of groups that cost little to compute again


@dataclass(eq=False)
class Halves:
    """A lowered graph and the step at which most is in memory: what comes up to then is early, all
    else is late."""

    roots: Sequence[Node]
    steps: Sequence[Step]
    context: Context

    @cached_property
    def groups(self) -> list[Group]:
        """The groups in order."""
        return list(dict.fromkeys(step.group for step in self.steps if step.group is not None))

    @cached_property
    def spans(self) -> dict[Node, tuple[int, int]]:
        """The first and the last group that uses each temporary block, by the node it holds."""
        placement = plan_memory(self.steps)
        number = {id(group): place for place, group in enumerate(self.groups)}
        at = [number.get(id(step.group), 0) for step in self.steps]
        memories: dict[int, Memory] = {}
        for step in self.steps:
            memories |= {id(w.memory): w.memory for w in step.words if isinstance(w, Ref)}
        found = {}
        for node, memory in self.context.memories.items():
            whole = memory if memory.whole is None else memory.whole
            span = placement.spans.get(id(whole))
            if span is not None:
                found[node] = at[span[0]], at[span[1]]
        return found

    @cached_property
    def peak(self) -> int:
        """The number of the group at which most is in memory."""
        blocks = ((*span, self.bytes_of(node)) for node, span in self.spans.items())
        return busiest(blocks, len(self.groups))

    def bytes_of(self, node: Node) -> int:
        return self.context.memories[node].nbytes

    @cached_property
    def early(self) -> set[Node]:
        """All that is computed up to the peak."""
        stored = {member for group in self.groups for member in group.members}
        return {node for group in self.groups[: self.peak + 1] for node in group.nodes(stored)}

    @cached_property
    def idle(self) -> list[Node]:
        """Blocks written early and read late, in the order in which they are written."""
        lasting = set(self.roots)
        found = [node for node, (first, last) in self.spans.items()
                 if first <= self.peak < last and node not in lasting]  # fmt: skip
        return sorted(found, key=lambda node: self.spans[node][0])

    @cached_property
    def dear(self) -> set[Node]:
        """Idle blocks that take more than loops over elements to be computed from others."""
        heavy = {member for group in self.groups if group.kind not in LIGHT
                 for member in group.members}  # fmt: skip
        idle = set(self.idle)
        lasting = {*idle, *self.roots}
        takes: set[Node] = set()  # early nodes that come with heavy work from what lasts
        for node in toposort(self.roots):
            if node in self.early and (
                node in heavy or any(s in takes and s not in lasting for s in node.inputs)
            ):
                takes.add(node)
        return takes & idle

    def handed_on(self, place: int) -> set[Node]:
        """What groups up to `place` give to early groups after it."""
        after = self.groups[place + 1 : self.peak + 1]
        known = {node for group in self.groups[: place + 1] for node in group.members}
        return {node for group in after for node in group.inputs if node in known}

    def borders(self, count: int) -> list[int]:
        """Places that cut the early half into `count` segments of about as many idle bytes, where
        little is handed on."""
        sizes = [0] * (self.peak + 1)
        for node in self.idle:
            sizes[self.spans[node][0]] += self.bytes_of(node)
        share, total, since, best = sum(sizes) / count, 0, 0, None
        found: list[int] = []
        for place in range(self.peak):
            total += sizes[place]
            if total - since < share / 2:
                continue
            handed = sum(map(self.bytes_of, self.handed_on(place) & self.spans.keys()))
            if best is None or handed < best[0]:
                best = handed, place
            if total - since >= share:
                found.append(best[1])
                since, best = total, None
        return found

    def variant(self, kept: set[Node], trail: Trail) -> list[Node]:
        """The roots of the graph in which only `kept`, of all temporary blocks that are written
        early, is read late: late readers of others read copies of what computes these."""
        order = toposort(self.roots)
        fixed = without_inputs(order)
        lasting = {*kept, *self.roots, *filter(is_leaf, order)}
        missing: set[Node] = set()  # early, and not there late
        for node in order:
            is_gone = node in self.early and node not in lasting and node not in fixed
            if is_gone and (node in self.spans or not missing.isdisjoint(node.inputs)):
                missing.add(node)
        wanted: set[Node] = set()
        for node in reversed(order):
            if node in wanted:
                wanted.update(s for s in node.inputs if s not in lasting and s not in fixed)
            elif node not in self.early:
                wanted.update(missing.intersection(node.inputs))
        new: dict[Node, Node] = {}  # copies of early nodes, late nodes that read them
        for node in order:
            if node in wanted:
                inputs = tuple(
                    new[s] if s in wanted else s if s in fixed else afresh(s) for s in node.inputs
                )
            elif node not in self.early:
                inputs = tuple(new.get(source, source) for source in node.inputs)
            else:
                continue
            if inputs != node.inputs:
                new[node] = make(node.op, inputs, node.attrs)
                if node in trail:
                    trail.setdefault(new[node], trail[node])
        return [root if root in self.early else new.get(root, root) for root in self.roots]


def without_inputs(order: Sequence[Node]) -> set[Node]:
    """Those of `order`, which lists inputs first, that depend on no input of the program."""
    found: set[Node] = set()
    for node in order:
        if not is_leaf(node) and found.issuperset(node.inputs):
            found.add(node)
    return found


Attempt = Callable[[list[Node]], Compiled]


def within(
    halves: Halves, plain: Compiled, budget: int, attempt: Attempt, trail: Trail
) -> Compiled:
    """The program that takes at most `budget` bytes and computes as little twice as need be, of
    those that were tried; the smallest one if none is so small. `plain` computes nothing twice."""
    tried = [plain]

    def fits(kept: set[Node]) -> bool:
        tried.append(attempt(halves.variant(kept, trail)))
        return tried[-1].own_bytes <= budget

    dear = halves.dear
    if not fits(dear):
        for count in SEGMENTS:
            borders = halves.borders(count)
            if borders and fits_first(borders, halves, dear, fits):
                break
    fitting = [found for found in tried if found.own_bytes <= budget]
    if fitting:
        return min(fitting, key=lambda found: sum(x.work.flops for x in found.program.launches))
    return min(tried, key=lambda found: found.own_bytes)


def fits_first(
    borders: Sequence[int], halves: Halves, dear: set[Node], fits: Callable[[set[Node]], bool]
) -> bool:
    """Try to compute the first segments again, as few as will do. Do they?"""

    def kept(segments: int) -> set[Node]:
        last = borders[segments - 1]
        later = {node for node in dear if halves.spans[node][0] > last}
        return later.union(*map(halves.handed_on, borders[:segments]))

    if not fits(kept(len(borders))):
        return False
    bisect_left(range(1, len(borders)), True, key=lambda segments: fits(kept(segments)))
    return True
