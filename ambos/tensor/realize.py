"""Nodes -> Program -> values: where the compiler and the runtime meet.

A pending graph is written down as a signature: operations, attributes, how they connect, and the
shapes, dtypes and strides of the data below. A signature seen before goes to its Program at once.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from ambos.compiler.compiled import Compiled, Renewal
from ambos.core.collector import held_off
from ambos.core.config import config
from ambos.core.errors import IndexingError, OutOfMemoryError, user_line
from ambos.core.program import TextMissing
from ambos.core.shape import Shape
from ambos.core.unknown import has_unknown, refuse
from ambos.graph import Node, substitute
from ambos.graph.constants import is_constant
from ambos.graph.lines import Line, line_of
from ambos.graph.node import exact, pending
from ambos.ops.bounds import as_given, message_for, out_of_range
from ambos.ops.call import Call
from ambos.ops.control import Control, with_insides
from ambos.ops.custom import custom, plain, plain_attrs, without_rules
from ambos.ops.indexing import Index
from ambos.ops.sources import input_
from ambos.runtime.executor import Executable
from ambos.runtime.machine import host_features
from ambos.runtime.memory import Storage, size_class
from ambos.tensor import watch
from ambos.tensor.array import Array
from ambos.tensor.failures import HostFailure, located
from ambos.tensor.filters import lay_out_filters, misplaced
from ambos.tensor.fitting import fit
from ambos.tensor.ledger import ledger
from ambos.tensor.plans import recall
from ambos.tensor.room import room_for, told
from ambos.tensor.tracing import likenesses, relay, renewals, sharing
from ambos.tensor.views import as_view

MAX_PROGRAMS = 1024  # plans kept for graphs seen before; machine code is kept apart, on disk


@dataclass(frozen=True, slots=True)
class Plan:
    """A graph that can run."""

    compiled: Compiled
    executable: Executable


@dataclass(slots=True)
class Planning:
    """Programs made so far, and the seconds that took (kernels that LLVM compiled included)."""

    programs: int = 0
    seconds: float = 0.0


planning = Planning()
_plans: OrderedDict[Any, Plan] = OrderedDict()


def realize(nodes: Sequence[Node]) -> None:
    """Give every node a value. One Program computes all of them."""
    with sharing:
        roots = list(dict.fromkeys(node for node in nodes if node.value is None))
        for node in roots:
            node.value = as_view(node)
        roots = [node for node in roots if node.value is None]
    if not roots:
        return
    if config.fuse:
        compute(roots)
        return
    # Numbers are shared by all graphs, which would be other graphs if these were data.
    order = [node for node in pending(roots)
             if node.value is None and (node in roots or not is_constant(node))]  # fmt: skip
    for parts in _one_by_one(order):
        compute(parts)
        for node in parts:
            for watcher in watch.watchers:
                watcher.computed(node)


def _one_by_one(order: Sequence[Node]) -> list[list[Node]]:
    """Each node by itself, but all results of one loop, branch or call together."""
    groups: dict[Any, list[Node]] = {}
    for node in order:
        has_parts = isinstance(node.op, Control | Call) and node.op is not custom
        attrs = node.attrs[1:]
        key = (node.op, node.inputs, attrs, exact((0, *attrs))) if has_parts else node
        groups.setdefault(key, []).append(node)
    return list(groups.values())


def compute(roots: Sequence[Node]) -> None:
    """Run the graph below `roots` down to nodes that have a value."""
    with sharing:
        roots = [root for root in roots if root.value is None]  # another thread may have been here
        order = pending(roots)
        checks = out_of_range(order)
        if checks:
            order = pending([*roots, *checks])
        renewed = {root: leaf for root in roots if (leaf := renewals.pop(root, None)) is not None}
        wanted = [*roots, *checks]
        like = {root: leaf for root in roots if (leaf := likenesses.pop(root, None)) is not None}
        plan, leaves = find_plan(order, wanted, renewed, like=like)
        given = [(leaf, leaf.value) for leaf in leaves]
    values = execute(plan, given, order)
    for check, value in zip(checks, values[len(roots) :], strict=True):
        if value.is_true():
            report(checks[check])
    with sharing:
        for node, value in zip(roots, values, strict=False):
            node.value = value
            value.settled = node in renewed


def find_plan(
    order: Sequence[Node], wanted: Sequence[Node], renewed: Mapping[Node, Node],
    stay: Collection[Node] = (), budget: int | None = None,
    like: Mapping[Node, Node] = MappingProxyType({}),
) -> tuple[Plan, list[Node]]:  # fmt: skip
    """The plan that computes `wanted`, and the leaves that are its inputs. `order` is all pending
    nodes below; `renewed` says of some wanted nodes which leaf they replace, `like` of others in
    whose layout they come out, as long as nothing replaces that. Leaves that `stay` are left in the
    layout that they have. The plan takes no more than `budget` bytes, inputs included, if one was
    found that does."""
    replaced = {*renewed.values()}
    like = {node: leaf for node, leaf in like.items() if leaf not in replaced}
    renewed = {**renewed, **like}
    leaves, signature = sign(order)
    number = {node: i for i, node in enumerate(order)}
    place = {leaf: i for i, leaf in enumerate(leaves)}
    pairs = {place[leaf]: i for i, node in enumerate(wanted)
             if (leaf := renewed.get(node)) in place}  # fmt: skip
    renewal = Renewal(tuple((root, leaf) for leaf, root in pairs.items()))
    # A graph whose filters stay is told from one whose filters would move.
    staying = tuple(sorted({place[f] for f, _ in misplaced(order) if f in stay})) if stay else ()
    own = None if budget is None else left_of(budget, leaves, [renewed[n] for n in renewed
                                                               if renewed[n] in stay])  # fmt: skip
    rest = (tuple(number[node] for node in wanted), renewal, config.threads, config.cpu, staying,
            own)  # fmt: skip
    plan = _plans.get((signature, *rest))
    if plan is None and lay_out_filters(order, stay):
        leaves, signature = sign(order)
        plan = _plans.get((signature, *rest))
    unmoved = {*stay, *like.values()}
    if plan is None and settle_layouts(wanted, leaves, renewal, (signature, *rest), unmoved):
        leaves, signature = sign(order)
        plan = _plans.get((signature, *rest))
    for watcher in watch.watchers:
        watcher.pending(wanted, leaves, renewal, own)
    if plan is None:
        trail = {node: i for i, node in enumerate(with_insides(order))}
        plan = _plans[signature, *rest] = prepare(
            order, wanted, leaves, trail, renewal, own, (signature, *rest)
        )
        if len(_plans) > MAX_PROGRAMS:
            _plans.popitem(last=False)
    else:
        _plans.move_to_end((signature, *rest))
    return plan, leaves


def left_of(budget: int, leaves: Sequence[Node], held: Sequence[Node]) -> int:
    """What a budget leaves to temporaries and to results that may take the place of a leaf, for
    which those that are `held` give none. Blocks come in certain sizes."""
    storages = {id(leaf.value.storage): leaf.value.storage.nbytes for leaf in leaves}
    beside = [leaf.value.storage.nbytes for leaf in held]
    left = max(0, budget - sum(map(size_class, [*storages.values(), *beside])))
    return max(0, 2 * left - size_class(left))


def settle_layouts(
    wanted: Sequence[Node], leaves: Sequence[Node], renewal: Renewal, key: Any,
    stay: Collection[Node] = (),
) -> bool:  # fmt: skip
    """Lay out what is renewed for the first time as the kernel that renews it would write it, so
    that the first step of a training loop is the same program as all others. Did any move?"""
    # No list of the values: it would keep the memory of those that move.
    if not any(
        not leaves[leaf].value.settled and leaves[leaf].value.has_layouts()
        for _, leaf in renewal.pairs
        if leaves[leaf] not in stay
    ):
        return False
    strides = recall("layouts", key, lambda: best_layouts(wanted, leaves, renewal))
    moved = False
    for (_, leaf), wish in zip(renewal.pairs, strides, strict=True):
        if leaves[leaf] in stay:
            continue
        old = leaves[leaf].value
        if wish is not None and not old.settled and wish != old.strides:
            relay(leaves[leaf], wish)
            moved = True
        leaves[leaf].value.settled = True
    return moved


def best_layouts(
    wanted: Sequence[Node], leaves: Sequence[Node], renewal: Renewal
) -> list[Shape | None]:
    """The strides in which the kernels that renew something would write it, had they the choice
    (None: no kernel writes it)."""
    from ambos.compiler.pipeline import lower_graph  # what is on disk needs no compiler

    roots, _, context = lower_graph(
        as_inputs(wanted, leaves, {}), host_features(), config.threads,
        renewal=replace(renewal, keep_layouts=False),
    )  # fmt: skip
    memories = [context.memories[roots[root]] for root, _ in renewal.pairs]
    return [
        memory.strides if memory.input is None and not wanted[root].dtype.is_complex else None
        for memory, (root, _) in zip(memories, renewal.pairs, strict=True)
    ]


def sign(order: Sequence[Node]) -> tuple[list[Node], tuple[Any, ...]]:
    """The leaves (nodes with data) and a key that two graphs share if they compute the same."""
    number: dict[Node, int] = {}
    leaves: list[Node] = []
    signature: list[Any] = []
    for i, node in enumerate(order):
        number[node] = i
        value, attrs = node.value, node.attrs
        if value is None and isinstance(node.op, Control):
            # Rules of one's own make no other program.
            if node.op is custom:
                number[node] = number[plain(node)]
                continue
            attrs = plain_attrs(attrs)
        if value is not None:
            leaves.append(node)
            signature.append((value.dtype.name, value.shape, value.strides))
        else:
            signature.append((
                node.op.name, attrs, exact(attrs), *[number[source] for source in node.inputs],
            ))  # fmt: skip
    return leaves, tuple(signature)


def as_inputs(wanted: Sequence[Node], leaves: Sequence[Node], trail: dict[Node, int]) -> list[Node]:
    """`wanted` with numbered inputs in place of data; `trail` numbers the new nodes as well."""
    replacement = {
        node: input_.leaf(i, node.value.strides, node.shape, node.dtype)
        for i, node in enumerate(leaves)
    }
    return without_rules(substitute(wanted, replacement, trail), trail=trail)


def numbered(
    wanted: Sequence[Node], leaves: Sequence[Node]
) -> tuple[list[Node], dict[Node, int], list[Line | None]]:
    """`wanted` with numbered inputs in place of data; numbers of nodes, those inside of loops as
    well, and where each was recorded."""
    order = with_insides(pending(wanted))
    trail = {node: i for i, node in enumerate(order)}
    return as_inputs(wanted, leaves, trail), trail, [line_of(node) for node in order]


def prepare(
    order: Sequence[Node], wanted: Sequence[Node], leaves: Sequence[Node], trail: dict[Node, int],
    renewal: Renewal, budget: int | None, key: Any,
) -> Plan:  # fmt: skip
    """Compile the graph with numbered inputs in place of its data, if no plan for other sizes fits
    these."""
    for node in trail:
        if has_unknown(node.attrs):
            refuse(f"the value of {node.op.name}, made of {node.attrs},")
    start = time.perf_counter()
    how = "disk"

    def compile_now() -> Compiled:
        from ambos.compiler.pipeline import compile_graph  # what is on disk needs no compiler

        nonlocal how
        with held_off():
            found = fit(key, order, wanted, trail, renewal) if budget is None else None
            if found is not None:
                how = "fitted" if found.was_known else "made"
                return found.compiled
            how = "made"
            roots = as_inputs(wanted, leaves, trail)
            return compile_graph(roots, host_features(), config.threads, trail, renewal, budget)

    with ledger.planning(key[0], user_line()) as entry:
        compiled = recall("program", key, compile_now)
        try:
            plan = Plan(compiled, Executable(compiled.program))
        except TextMissing:  # the plan was stored, but machine code that it needs is gone
            compiled = recall("program", key, compile_now, anew=True)
            plan = Plan(compiled, Executable(compiled.program))
        entry.plan = how
        entry.kernels += len({kernel.name for kernel in compiled.program.kernels})
    end = time.perf_counter()
    planning.programs += 1
    planning.seconds += end - start
    for watcher in watch.watchers:
        watcher.planned(compiled.program, start, end)
    return plan


def execute(plan: Plan, leaves: Sequence[tuple[Node, Array]], order: Sequence[Node]) -> list[Array]:
    """Allocate the outputs and run on `leaves`, with the values that they had when `plan` was made
    for the graph `order`."""
    inputs = [value.address for _, value in leaves][: plan.compiled.program.num_inputs]
    try:
        outputs = [Storage(nbytes) for nbytes in plan.compiled.program.output_bytes]
        addresses = [storage.address for storage in outputs]
        if watch.watchers:
            watch.run(plan.executable, inputs, addresses, lines_of(order))
        else:
            plan.executable.run(inputs, addresses)
    except HostFailure as failure:
        raise located(failure, lines_of(order)) from None
    except OutOfMemoryError as error:
        # Data that needs no gradient is what examples are.
        given = [("state" if node.tracked else "argument", value) for node, value in leaves]
        lines = [line_near(node) for node in with_insides(order)]
        raise told(error, room_for(plan.compiled, given, lines)) from None
    return [
        Array(outputs[r.output], 0, r.shape, r.strides, r.dtype)
        if r.output is not None
        else leaves[r.input or 0][1].seen_as(r.shape, r.strides, r.dtype)
        for r in plan.compiled.results
    ]


def report(node: Node) -> None:
    """Raise for the first index that `node` cannot take."""
    assert isinstance(node.op, Index)
    index, extent = node.op.bounds(node)
    index, is_wrapped = as_given(index)
    realize([index])
    values = index.value.numpy()
    bad = values[(values < -extent * is_wrapped) | (values >= extent)].reshape(-1)[0]
    raise IndexingError(message_for(node, f"index {bad}"), place_of(node))


def lines_of(order: Sequence[Node]) -> list[Line | None]:
    """Where the nodes were recorded that `Work.sources` counts: those of `order`, then those inside
    of its loops and branches."""
    return [line_of(node) for node in with_insides(order)]


def line_near(node: Node) -> Line | None:
    """Where `node` was recorded, or what it was made of: of large tensors the first is known."""
    line = line_of(node)
    while line is None and node.inputs and node.value is None:
        node = max(node.inputs, key=lambda source: source.size)
        line = line_of(node)
    return line


def place_of(node: Node) -> str:
    """Where `node` was recorded: line and layer, as far as that was noted."""
    line = line_of(node)
    return "" if line is None else line.forward().place
