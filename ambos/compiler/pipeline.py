"""Graph -> Program, pass by pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ambos.compiler.arrange import arrange
from ambos.compiler.assemble import assemble, take_apart
from ambos.compiler.compiled import NOTHING_RENEWED, Compiled, Renewal
from ambos.compiler.fuse import fuse
from ambos.compiler.group import Group
from ambos.compiler.inside import Inside, apart, graph_of
from ambos.compiler.kernels import trace
from ambos.compiler.launches import Context, Step
from ambos.compiler.layout import Memory, order_of
from ambos.compiler.lower_attention import lower_attention
from ambos.compiler.lower_call import lower_call
from ambos.compiler.lower_contract import lower_contract
from ambos.compiler.lower_control import lower_control
from ambos.compiler.lower_loop import lower_loop
from ambos.compiler.lower_scan import lower_scan
from ambos.compiler.lower_scatter import lower_scatter
from ambos.compiler.lower_sort import lower_sort
from ambos.compiler.parts import choose_homes, lower_parts
from ambos.compiler.prepare import layout_requests, prepare, turned
from ambos.compiler.reasons import Reasons
from ambos.compiler.recompute import Halves, within
from ambos.compiler.symbolic import NeedsBlock, NeedsBuffer
from ambos.core.errors import CompilerError
from ambos.core.features import Features
from ambos.core.program import Program
from ambos.core.shape import row_major
from ambos.graph import Node, show, substitute, toposort, verify
from ambos.graph.body import Body
from ambos.graph.rewrite import Trail
from ambos.ops.complex.pairs import in_pairs, interleaved_strides
from ambos.ops.control import with_insides
from ambos.ops.movement import detach

LOWER = {
    "loop": lower_loop,
    "parts": lower_parts,
    "contract": lower_contract,
    "scatter": lower_scatter,
    "sort": lower_sort,
    "scan": lower_scan,
    "call": lower_call,
    "control": lower_control,
    "attention": lower_attention,
}
MAX_RETRIES = 200
Lowered = tuple[list[Node], list[Step], Context]  # kernels with symbolic addresses


def compile_graph(
    roots: Sequence[Node], features: Features, threads: int, trail: Trail | None = None,
    renewal: Renewal = NOTHING_RENEWED, budget: int | None = None,
) -> Compiled:  # fmt: skip
    """The Program that computes `roots`, whose leaves are `input` nodes numbered from 0.

    `trail` numbers nodes; launches say which of these numbers they compute. With a `budget` for
    temporaries and results, in bytes, what lies idle is computed again where it has to be; the
    Program is the smallest that was found if none keeps to it."""
    start = time.perf_counter()
    trail = {} if trail is None else trail
    _, compiled = plan_graph(roots, features, threads, trail, renewal, budget)
    compiled = as_asked(compiled, roots)
    trace(1, lambda: summary(compiled.program, time.perf_counter() - start))
    return compiled


def plan_graph(
    roots: Sequence[Node], features: Features, threads: int, trail: Trail, renewal: Renewal,
    budget: int | None, reasons: Reasons | None = None,
) -> tuple[Lowered, Compiled]:  # fmt: skip
    """The graph that is computed in the end, lowered, and its Program."""
    blocks, places = row_major_roots(roots), places_inside(roots, trail)
    lowered = lower_graph(roots, features, threads, trail, reasons, renewal)
    compiled = assemble(take_apart(*lowered, trail))
    if budget is None or compiled.own_bytes <= budget:
        return lowered, compiled
    tried = []

    def lower_again(roots: list[Node], reasons: Reasons | None = None) -> Lowered:
        return lower_prepared(roots, blocks, features, threads, places, trail, reasons, renewal)

    def attempt(roots: list[Node]) -> Compiled:
        found = assemble(take_apart(*lower_again(roots), trail))
        tried.append((found, roots))
        return found

    compiled = within(Halves(*lowered), compiled, budget, attempt, trail)
    for found, graph in tried if reasons is not None else ():
        if found is compiled:  # the last that was tried may have been another
            lowered = lower_again(graph, reasons)
            return lowered, assemble(take_apart(*lowered, trail))
    return lowered, compiled


def lower_graph(
    roots: Sequence[Node], features: Features, threads: int, trail: Trail | None = None,
    reasons: Reasons | None = None, renewal: Renewal = NOTHING_RENEWED, is_body: bool = False,
) -> Lowered:  # fmt: skip
    """The graph that is computed in the end, and its kernels with symbolic addresses. Of a body
    each root has a row-major block of its own."""
    blocks = range(len(roots)) if is_body else row_major_roots(roots)
    places = places_inside(roots, trail or {})
    roots = prepare(in_pairs(roots, trail), trail)
    roots = apart(roots) if is_body else turned(roots, trail)
    return lower_prepared(
        roots, blocks, features, threads, places, trail, reasons, renewal, is_body
    )


def row_major_roots(roots: Sequence[Node]) -> list[int]:
    """Numbers of the roots that must come out row-major: complex ones, as pairs."""
    return [number for number, root in enumerate(roots) if root.dtype.is_complex]


def lower_prepared(
    roots: list[Node], blocks: Sequence[int], features: Features, threads: int, places: Trail,
    trail: Trail | None = None, reasons: Reasons | None = None,
    renewal: Renewal = NOTHING_RENEWED, is_body: bool = False,
) -> Lowered:  # fmt: skip
    """The same of a graph in its last form; roots of numbers `blocks` come out row-major. `places`
    numbers the nodes inside loops and branches."""
    verify(roots, "prepare")
    trace(3, lambda: show(roots))
    forced: set[Node] = set()
    whole: set[Node] = set()
    insides: dict[Any, Inside] = {}  # every attempt asks again

    def inside(body: Body, wanted: tuple[int, ...], renewal: Renewal) -> Inside:
        key = body, wanted, renewal
        if key not in insides:
            insides[key] = compile_inside(body, wanted, features, threads, places, renewal)
        return insides[key]

    for _ in range(MAX_RETRIES):
        try:
            rows = [roots[number] for number in blocks]
            slices = frozenset(roots if is_body else ())
            made = schedule(
                roots, rows, forced, whole, features, threads, reasons, renewal, inside, slices
            )
            return (roots, *made)
        except NeedsBlock as problem:
            whole |= set(problem.nodes)
        except NeedsBuffer as problem:
            roots, forced = force(roots, problem.nodes, forced, trail)
    raise CompilerError(f"compile: {MAX_RETRIES} nodes need a buffer; the graph does not settle")


def compile_inside(
    body: Body, wanted: tuple[int, ...], features: Features, threads: int, trail: Trail,
    renewal: Renewal,
) -> Inside:  # fmt: skip
    """Results `wanted` of a body as a Program."""
    roots, complaints = graph_of(body, wanted, trail)
    graph, steps, context = lower_graph(
        roots, features, threads, trail, renewal=renewal, is_body=True
    )
    compiled = assemble(take_apart(graph, steps, context, trail))
    if any(result.output is None or not context.memories[root].is_row_major
           for root, result in zip(graph, compiled.results, strict=True)):  # fmt: skip
        raise CompilerError("compile: a result of a body has no row-major block of its own")
    outputs = [result.output for result in compiled.results if result.output is not None]
    check = outputs.pop() if complaints else None
    return Inside(compiled.program, tuple(steps), tuple(outputs), check, complaints)


def force(
    roots: Sequence[Node], nodes: Sequence[Node], forced: set[Node], trail: Trail | None = None
) -> tuple[list[Node], set[Node]]:
    """Roots and forced nodes of a graph in which `nodes` can be stored row-major: an input, or a
    node whose buffer did not help, is copied first."""
    copies = {n: detach(n) for n in nodes if n.op.name == "input" or n in forced}
    kept = [*forced, *(n for n in nodes if n not in copies)]
    unchanged = {copy: copy for copy in copies.values()}
    new = substitute([*roots, *kept], {**copies, **unchanged}, trail)
    again = {n for n in copies if n in forced}
    return new[: len(roots)], {*new[len(roots) :], *unchanged, *again}


def renewed_inputs(
    roots: Sequence[Node], found: Sequence[Node], renewal: Renewal
) -> dict[Node, Node]:
    """The input that each renewing root replaces, where both are in the graph."""
    inputs = {node.attrs[0]: node for node in found}
    pairs = [(roots[root], inputs.get(number)) for root, number in renewal.pairs]
    return {root: leaf for root, leaf in pairs if leaf is not None and leaf not in roots}


def schedule(
    roots: Sequence[Node], rows: Sequence[Node], forced: set[Node], whole: set[Node],
    features: Features, threads: int, reasons: Reasons | None, renewal: Renewal,
    inside: Callable[[Body, tuple[int, ...], Renewal], Inside], slices: frozenset[Node],
) -> tuple[list[Step], Context]:  # fmt: skip
    """Fusion, layouts and lowering; `rows` are roots that must come out row-major."""
    groups = fuse(roots, forced, reasons)
    inputs = input_nodes(roots)
    renewed = renewed_inputs(roots, inputs, renewal)
    groups = arrange(groups, roots, renewed)
    trace(3, lambda: "\n".join(describe(group) for group in groups))
    requests = layout_requests(roots)
    if renewal.keep_layouts:
        requests |= {root: order_of(leaf.attrs[1]) for root, leaf in renewed.items()}
    requests |= {root: list(range(root.rank)) for root in rows}
    context = Context(
        features, threads, forced, needed_nodes(roots, groups), requests,
        choose_homes(groups, roots, forced | whole), renewed, inside, slices,
    )  # fmt: skip
    for node in inputs:
        number, strides = node.attrs
        context.memories[node] = Memory(node.dtype, node.shape, strides, input=number)
    steps: list[Step] = []
    missing: list[Node] = []
    gapless: list[Node] = []
    for group in groups:
        try:
            made = LOWER[group.kind](group, context)
            for step in made:
                step.group = group
            steps += made
        except (NeedsBuffer, NeedsBlock) as problem:
            # Go on as if it had worked, to find in one pass all that is missing.
            (missing if isinstance(problem, NeedsBuffer) else gapless).extend(problem.nodes)
            for member in group.members:
                if member in context.needed and member not in context.memories:
                    context.allocate(member, row_major(member.shape))
    if gapless:
        raise NeedsBlock(*dict.fromkeys(gapless))
    if missing:
        raise NeedsBuffer(*dict.fromkeys(missing))
    return steps, context


def needed_nodes(roots: Sequence[Node], groups: Sequence[Group]) -> set[Node]:
    """Nodes that must be in memory: results, and what one kernel reads of another."""
    found = set(roots)
    for group in groups:
        found |= group.inputs
    return found


def input_nodes(roots: Sequence[Node]) -> list[Node]:
    return [node for node in toposort(roots) if node.op.name == "input"]


def as_asked(compiled: Compiled, wanted: Sequence[Node]) -> Compiled:
    """Results that hold the parts of complex numbers are these numbers again."""
    results = tuple(
        replace(result, shape=root.shape, strides=interleaved_strides(result.strides),
                dtype=root.dtype)
        if root.dtype.is_complex else result
        for result, root in zip(compiled.results, wanted, strict=True)
    )  # fmt: skip
    return replace(compiled, results=results)


def places_inside(roots: Sequence[Node], trail: Trail) -> dict[Node, int]:
    """What `trail` says of the nodes inside loops and branches. It is all that compiling these may
    keep: the trail holds data, which has to go when its handles do."""
    order = toposort(roots)
    return {node: trail[node] for node in with_insides(order)[len(order) :] if node in trail}


def describe(group: Group) -> str:
    members = ", ".join(m.op.name for m in group.members)
    return f"{group.kind} {list(group.shape)} over {list(group.reduced)}: {members}"


def summary(program: Program, seconds: float) -> str:
    names = "\n".join(f"  {launch.kernel.label}" for launch in program.launches)
    return (
        f"program: {len(program.launches)} launches, {program.num_inputs} inputs, arena "
        f"{program.arena_bytes} bytes, planned in {1e3 * seconds:.1f} ms\n{names}"
    )
