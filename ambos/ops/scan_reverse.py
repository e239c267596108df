"""The gradient of a scan: a scan from the last step to the first.

Each step needs what the forward step computed. Saved are the carries, which are results anyway or
become ones, and the results of ops that cost more than memory does (contractions, reductions,
calls, loops); everything else is computed again from these. The gradient of a constant is the sum
of the steps' shares: added up in the carry or, where a share is a contraction, computed after the
loop as one contraction over all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ambos.graph.body import Body
from ambos.graph.node import Node, consumers, make, toposort
from ambos.graph.rewrite import substitute
from ambos.ops.arithmetic import add
from ambos.ops.bodies import argument_like, depending, filled, shifted, zeros_like
from ambos.ops.contraction import Spec, contract, make_spec
from ambos.ops.control_specs import Gradients, ScanSpec
from ambos.ops.kinds import Grads, kind_of, op
from ambos.ops.movement import afresh, permute, reshape
from ambos.ops.steps import Carried, scanned

CHEAP = ("pointwise", "move", "random", "source", "complex", "index")
GAIN = 4  # factors of a contraction may be so many times larger than its result


def scan_gradients(
    inputs: tuple[Node, ...], spec: ScanSpec, given: Sequence[Node | None],
    needed: Sequence[bool], gradients: Gradients,
) -> Grads:  # fmt: skip
    """The gradients of the inputs that are `needed`, from those `given` of the results."""
    arguments, results = spec.body.arguments, spec.body.results
    constants, carry, xs = spec.split(arguments)
    seeds, shares = _step(spec, given, _reached(spec, needed), gradients)
    carried = [number for number in seeds if number < spec.num_carry]
    starts = filled(given[: spec.num_carry], results[: spec.num_carry])
    ends = filled([shares.get(carry[n]) for n in carried], [seeds[n] for n in carried])
    varying = depending([*seeds.values(), *carry, *xs], list(shares.values()))
    totals = {node: _total(shares[node], varying) for node in constants if node in shares}
    sums = {node: total.added for node, total in totals.items() if total.added is not None}
    running = {node: argument_like(node) for node in sums}
    slices = [shares[x] for x in xs if x in shares]
    factors = [factor for total in totals.values() for product in total.products
               for factor in product.node.inputs]  # fmt: skip

    later = depending(seeds.values(), list(shares.values()))
    saved, wholes = _save(inputs, spec, [*ends, *sums.values(), *slices, *factors], later)
    wholes |= {seeds[n]: g for n, g in enumerate(given) if g is not None and n in seeds
               and n >= spec.num_carry}  # fmt: skip
    given_back = [n for n in dict.fromkeys([*slices, *factors]) if n not in wholes]
    carries = [Carried(seeds[n], starts[n], end) for n, end in zip(carried, ends, strict=True)]
    carries += [Carried(running[node], zeros_like(share), add(running[node], share))
                for node, share in sums.items()]  # fmt: skip
    lasts, stacks = scanned(
        [carry._replace(end=end) for carry, end in zip(
            carries, substitute([carry.end for carry in carries], saved), strict=True)],
        {saved.get(node, node): whole for node, whole in wholes.items()},
        substitute(given_back, saved), spec.length, not spec.reverse,
        dict(zip(constants, inputs, strict=False)),
    )  # fmt: skip
    wholes |= dict(zip(given_back, stacks, strict=True))
    found = dict(zip([*(carry[n] for n in carried), *sums], lasts, strict=True))
    found |= {x: wholes[shares[x]] for x in xs if x in shares}
    for node, total in totals.items():
        for product in total.products:
            term = product.over_steps(wholes)
            found[node] = add(found[node], term) if node in found else term
    return tuple(
        found.get(node) if wanted else None for node, wanted in zip(arguments, needed, strict=True)
    )


def _reached(spec: ScanSpec, needed: Sequence[bool]) -> set[Node]:
    """The arguments that depend, at some step, on inputs that are `needed`."""
    body = spec.body
    reached = {node for node, wanted in zip(body.arguments, needed, strict=True) if wanted}
    order = toposort(body.results, stop=lambda node: not node.tracked)
    _, carry, _ = spec.split(body.arguments)
    while True:
        leads = set(reached)
        for node in order:
            if node.tracked and any(source in leads for source in node.inputs):
                leads.add(node)
        more = {start for start, end in zip(carry, body.results, strict=False) if end in leads}
        if more <= reached:
            return {node for node in reached if node.tracked}
        reached |= more


def _step(
    spec: ScanSpec, given: Sequence[Node | None], reached: set[Node], gradients: Gradients
) -> tuple[dict[int, Node], dict[Node, Node]]:
    """(for each result with a gradient, by number, the argument that stands for it; for each
    argument of the body its gradient at one step)."""
    body = spec.body
    wanted = [node for node in body.arguments if node in reached]
    _, carry, _ = spec.split(body.arguments)
    seeds = {
        number: argument_like(node)
        for number, (node, g) in enumerate(zip(body.results, given, strict=True))
        if g is not None and (number >= spec.num_carry or carry[number] in reached)
    }
    while True:
        ends = [body.results[number] for number in seeds]
        found = gradients(ends, list(seeds.values()), wanted)
        shares = {node: g for node, g in zip(wanted, found, strict=True) if g is not None}
        more = [n for n, node in enumerate(carry) if node in shares and n not in seeds]
        if not more:
            return dict(sorted(seeds.items())), shares
        seeds |= {number: argument_like(carry[number]) for number in more}


# --- constants: sums over all steps --------------------------------------------------------------


@dataclass(frozen=True)
class Product:
    """A contraction at one step, and the views through which its result is a share."""

    node: Node
    views: Sequence[Node]

    def over_steps(self, wholes: dict[Node, Node]) -> Node:
        """The sum over all steps, from the factors of all of them."""
        a, b = (wholes[source] for source in self.node.inputs)
        spec = _with_steps(self.node.attrs[0], a.shape[0])
        result: Node = contract(a, b, attrs=(spec,))
        for view in reversed(self.views):
            result = make(view.op, (result,), view.attrs)
        return result


@dataclass(frozen=True)
class Total:
    """What the sum of a constant's shares consists of: nodes to be `added` up in the carry, and
    contractions to be done afterwards."""

    added: Node | None
    products: Sequence[Product]


def _total(share: Node, varying: set[Node]) -> Total:
    added: Node | None = None
    products = []
    for term in _terms(share):
        product = _product(term)
        if product is not None and varying.issuperset(product.node.inputs):
            products.append(product)
        else:
            added = term if added is None else add(added, term)
    return Total(added, products)


def _terms(node: Node) -> list[Node]:
    """What `node` is the sum of."""
    if node.op is not add:
        return [node]
    return [term for source in node.inputs for term in _terms(source)]


def _product(node: Node) -> Product | None:
    """`node` as a contraction, where one over all steps is less work than one for each."""
    views = []
    while node.op in (reshape, permute):
        views.append(node)
        (node,) = node.inputs
    if node.op is not contract or sum(x.size for x in node.inputs) > GAIN * node.size:
        return None
    return Product(node, views)


def _with_steps(spec: Spec, length: int) -> Spec:
    """`spec` with the steps as a first axis of both operands, which is summed over."""
    step, sizes = "step", spec.sizes()
    while step in sizes:
        step += "'"
    sizes[step] = length
    return make_spec(
        (((step, 1),), *spec.a), (step, *spec.b), spec.out, (step, *spec.contracted), sizes,
        (0, *spec.before) if spec.before else (),
    )  # fmt: skip


# --- what the backward step reads of the forward step --------------------------------------------


def _save(
    inputs: tuple[Node, ...], spec: ScanSpec, results: Sequence[Node], later: set[Node]
) -> tuple[dict[Node, Node], dict[Node, Node]]:
    """(the nodes of the forward step that `results` read, those that are computed by it with the
    arguments that stand for them; all of these nodes with what they are at all steps). `later` is
    what depends on gradients.

    What the forward loop computes becomes a result of it, unless it is one already. The carry of
    a step is what the step before gave, where that is at hand.
    """
    body = spec.body
    _, carry, xs = spec.split(body.arguments)
    _, starts, slices = spec.split(inputs)
    needed = _needed(spec, results, later)
    given = {start: end for start, end in zip(carry, body.results, strict=False) if end.inputs}
    kept = list(body.results[spec.num_carry :])
    kept += [node for node in needed if node.inputs and node not in kept]
    behind = {node for node in needed if given.get(node) in kept}
    kept += [node for node in needed if node in carry and node not in behind]
    forward = replace(spec, body=Body(body.arguments, (*body.results[: spec.num_carry], *kept)))

    def whole(node: Node) -> Node:
        return make(op("scan"), inputs, (spec.num_carry + kept.index(node), forward))

    wholes = {}
    for node in needed:
        if node in xs:
            wholes[node] = slices[xs.index(node)]
        elif node in behind:
            start = starts[carry.index(node)]
            wholes[node] = shifted(start, whole(given[node]), spec.reverse)
        else:
            wholes[node] = whole(node)
    return {node: argument_like(node) for node in needed if node.inputs}, wholes


def _needed(spec: ScanSpec, results: Sequence[Node], later: set[Node]) -> list[Node]:
    """What `results` read of the forward step: arguments, results, and what costs too much to be
    computed again (unless it is what `am.checkpoint` computes again)."""
    _, carry, xs = spec.split(spec.body.arguments)
    varying = depending([*carry, *xs], results) - later
    again = depending([node for node in varying if node.op is afresh], results)
    known = {
        node
        for node in varying
        if not node.inputs
        or node in spec.body.results
        or (kind_of(node) not in CHEAP and node not in again)
    }
    order = [n for n in toposort(results, known.__contains__) if n in varying | later]
    while True:
        found = [node for node in order if node in known]
        shorter = _combined(spec, order, known)
        if shorter is None:
            return found
        known |= {shorter}
        order = [n for n in toposort(results, known.__contains__) if n in varying | later]


def _combined(spec: ScanSpec, order: Sequence[Node], known: set[Node]) -> Node | None:
    """A node by element of `order` that takes no more memory than the known nodes that are read
    for nothing else: two contractions that are added, one that goes through tanh."""
    readers = consumers(order)
    ends, forward = set(spec.body.results), set(toposort(spec.body.results))
    for node in order:
        if node in known or node not in forward or kind_of(node) != "pointwise":
            continue
        own = {
            source
            for source in node.inputs
            if source in known and source.inputs and source not in ends
            and all(reader is node for reader in readers[source])
        }  # fmt: skip
        if own and num_bytes(node) <= sum(num_bytes(source) for source in own):
            return node
    return None


def num_bytes(node: Node) -> int:
    return node.size * node.dtype.itemsize
