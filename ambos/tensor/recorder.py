"""From one run of a function to a Recording: what are inputs, results, rebound handles."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ambos.core import tree
from ambos.core.errors import IndexingError, TracingError
from ambos.graph.lines import line_of, noted
from ambos.graph.node import Node, pending
from ambos.ops.indexing import Index
from ambos.ops.sources import data
from ambos.tensor import live
from ambos.tensor.filters import lay_out_vectors
from ambos.tensor.handle import Tensor
from ambos.tensor.realize import find_plan, message_for, out_of_range
from ambos.tensor.recording import (
    Bound,
    Captured,
    Complaint,
    Gradients,
    Rebound,
    Recording,
    Sources,
    Template,
    ValueCheck,
)
from ambos.tensor.spent import SPENT, SpentGradient
from ambos.tensor.tracing import Trace, current

Complaints = dict[Node, Complaint]
DEAR = ("contract", "sort", "reduce", "scatter_add", "scatter_elements")  # to compute twice


class Recorder:
    """One attempt to record `call`, whose tensor arguments are `tensors`."""

    def __init__(self, call: Callable[[], Any], tensors: Sequence[Tensor]) -> None:
        self.call, self.tensors = call, tensors
        self.trace_: Trace = Trace("jit")

    # --- running the function --------------------------------------------------------------------

    def trace(self, spent: bool) -> None:
        """Run the function. With `spent` as if every gradient were used up, so that what does not
        fail holds for any gradients that are there at a later call."""
        self.trace_ = trace = Trace("jit")
        self.captured: dict[Node, Captured] = {}  # shared by the Program and the check before it
        self.moved: list[tuple[Tensor, Node, Node]] = []  # handle, old node, new node
        leaves = {id(h): h for h in live.leaf_handles()}
        self.before = [(handle, handle.grad) for handle in leaves.values()]
        originals = [tensor._node for tensor in self.tensors]
        self.arguments: dict[Node, int] = {}
        for number, (tensor, node) in enumerate(zip(self.tensors, originals, strict=True)):
            fresh = data.leaf(node.value, node.shape, node.dtype, node.tracked)
            tensor._node = fresh
            self.arguments[fresh] = number
            if node.tracked:
                live.register_leaf(tensor)
        if spent:
            for handle, grad in self.before:
                handle.grad = SPENT if grad is None else grad
        current.trace = trace
        try:
            with noted():  # for profiles of later calls
                result = self.call()
        except BaseException:
            self.undo(originals)
            raise
        finally:
            current.trace = None
        self.spent, self.originals = spent, originals
        self.sort_out(result)

    def undo(self, originals: Sequence[Node]) -> None:
        """Everything as before the function ran."""
        self.trace_.roll_back()
        for handle, old, _ in self.moved:
            handle._node = old
        for tensor, node in zip(self.tensors, originals, strict=True):
            tensor._node = node
            if node.tracked:
                live.register_leaf(tensor)
        for handle, grad in self.before:
            handle.grad = grad

    # --- what came of it -------------------------------------------------------------------------

    def sort_out(self, result: Any) -> None:
        """Results, moved handles with their old and new nodes, gradients."""
        self.leaves, self.structure = tree.flatten(result)
        returned = {id(leaf) for leaf in self.leaves if isinstance(leaf, Tensor)}
        trace = self.trace_
        trace.kept.clear()
        moves = [(weakref.ref(handle), old) for handle, old in trace.moved.values()]
        made = {id(handle) for handle, _ in trace.moved.values() if id(handle) in trace.made}
        trace.moved.clear()
        # A handle made inside that nobody keeps is gone now; one that is returned is a result.
        for reference, old in moves:
            handle = reference()
            if handle is not None and not (id(handle) in made and id(handle) in returned):
                self.moved.append((handle, old, handle._node))
        self.sort_gradients()

    def sort_gradients(self) -> None:
        """What becomes of `.grad`: used up where the leaf was renewed, else a result. A gradient
        that is added to keeps its handle."""
        renewed = {id(handle) for handle, _, _ in self.moved}
        self.gradients = Gradients()
        self.stored: list[tuple[Tensor, Tensor]] = []
        for handle, before in self.before:
            now = handle.grad
            if now is SPENT and before is None:
                handle.grad = None
            elif now is None and before is not None:
                self.gradients.cleared.append(handle)
            elif isinstance(now, Tensor) and now is not before and now is not SPENT:
                if id(handle) in renewed:
                    self.gradients.spent.append(handle)
                    handle.grad = SPENT
                elif before is None or before is SPENT:
                    self.stored.append((handle, now))
                else:
                    self.moved.append((before, before._node, now._node))
                    handle.grad = before

    def strays(self) -> list[Tensor]:
        """Pending tensors made inside that somebody keeps, and that are no result."""
        known = {id(leaf) for leaf in self.leaves} | {id(handle) for handle, _, _ in self.moved}
        known |= {id(grad) for _, grad in self.stored}
        return [handle for handle in live.pending_handles() if id(handle) not in known]

    def run_once(self) -> Any:
        """Compute the call as if there were no jit."""
        for tensor, node in zip(self.tensors, self.originals, strict=True):
            if tensor._node in self.arguments:
                tensor._node = node
        grads = [grad for _, grad in self.stored]
        moved = [handle for handle, _, _ in self.moved]
        results = [leaf for leaf in self.leaves if isinstance(leaf, Tensor)]
        live.evaluate([*results, *moved, *grads, *self.strays()])
        found = [leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in self.leaves]
        return tree.unflatten(self.structure, found)

    def refuse(self) -> TracingError:
        """The error for a function that keeps tensors at every call."""
        shapes = ", ".join(str(handle.shape) for handle in self.strays()[:3])
        self.undo(self.originals)
        return TracingError(
            f"jit: the function keeps tensors that it makes (shapes {shapes}) other than by "
            "returning them, for example in a list; a recorded call cannot do that again; need "
            "them among its results"
        )

    # --- the recording ---------------------------------------------------------------------------

    def finish(self) -> Recording | None:
        """The Recording, with every handle back as it was before; None where the call has made
        tensors that stay (a first call often makes state): then the next call is recorded."""
        if self.strays():
            gc.collect()  # a reference cycle may have kept them
            if self.strays():
                return None
        results = [leaf._node for leaf in self.leaves if isinstance(leaf, Tensor)]
        grads = [grad._node for _, grad in self.stored]
        news = [new for _, _, new in self.moved]
        uses = Counter([*results, *grads, *news])
        wanted = list(uses)
        number = {node: n for n, node in enumerate(wanted)}
        template = Template(self.structure, tuple(
            (number[leaf._node], None) if isinstance(leaf, Tensor) else (None, leaf)
            for leaf in self.leaves
        ))  # fmt: skip
        self.gradients.stored = [(handle, number[grad._node]) for handle, grad in self.stored]
        for handle, old, _ in self.moved:
            handle._node = old
        self.guard_gradients(wanted)
        check, late = self.checks(wanted)
        # Overwriting what is renewed has to wait for checks that are known only at the end.
        renewed = {} if late else {
            new: old for _, old, new in self.moved if old not in self.arguments and uses[new] == 1
        }  # fmt: skip
        order = pending([*wanted, *late])
        lay_out_vectors(order, {*self.arguments, *renewed.values()})
        plan, leaves = find_plan(order, [*wanted, *late], renewed, self.arguments)
        main = Bound(plan, self.sources(leaves), [line_of(node) for node in order])
        rebound = self.rebound(main, number, renewed)
        hosts = [(node.value, value) for node, value in self.trace_.hosts.items()]
        for tensor, node in zip(self.tensors, self.originals, strict=True):
            tensor._node = node
            if node.tracked:
                live.register_leaf(tensor)
        for handle, grad in self.before:  # running the recording sets them
            handle.grad = grad
        late_checks = list(enumerate(late.values(), len(wanted)))
        return Recording(
            main, check, late_checks, hosts, self.trace_.guards, rebound, self.gradients, template
        )

    def guard_gradients(self, wanted: Sequence[Node]) -> None:
        """The recording holds for gradients of the kind that were found, where they matter."""
        guards = self.trace_.guards.volatile
        used = set(pending(wanted))
        for handle, before in self.before:
            if isinstance(before, Tensor) and before is not SPENT and before._node in used:
                guards.append((_identity(handle, before), True))
            elif not self.spent and before is None:
                guards.append((_is_unset(handle), True))

    def checks(self, wanted: Sequence[Node]) -> tuple[ValueCheck | None, Complaints]:
        """What must be False, as a Program that runs first; checks of indices for which it would do
        dear work twice come back, to be more results of the main one."""
        first: Complaints = dict(self.trace_.checks)
        late: Complaints = {}
        nodes = out_of_range(pending(wanted))
        indices = [n.op.bounds(n)[0] for n in nodes.values() if isinstance(n.op, Index)]
        work = [node for node in pending(indices) if node.value is None]
        is_dear = any(kind in DEAR or name in DEAR for kind, name in map(_kind_and_name, work))
        complaints = {check: (IndexingError, message_for(node)) for check, node in nodes.items()}
        (late if is_dear else first).update(complaints)
        return self.value_check(first), late

    def value_check(self, checks: Complaints) -> ValueCheck | None:
        """The Program that looks at `checks`, all of them in one call."""
        if not checks:
            return None
        order = pending(checks)
        plan, leaves = find_plan(order, list(checks), {}, self.arguments)
        bound = Bound(plan, self.sources(leaves), [line_of(node) for node in order])
        return ValueCheck(bound, list(checks.values()))

    def sources(self, leaves: Sequence[Node]) -> Sources:
        """Where the data below the graph comes from: arguments, Python, or the handles that hold
        it; what no handle holds was made inside from constants."""
        found = Sources()
        hosts = self.trace_.hosts
        outside = {leaf for leaf in leaves if leaf not in self.arguments and leaf not in hosts}
        holders: dict[Node, list[Tensor]] = {leaf: [] for leaf in outside}
        for holder in gc.get_referrers(*outside) if outside else ():
            if isinstance(holder, Tensor) and not isinstance(holder, SpentGradient):
                holders[holder._node].append(holder)
        for place, leaf in enumerate(leaves):
            if leaf in self.arguments:
                found.arguments.append((place, self.arguments[leaf]))
            elif holders.get(leaf):
                captured = self.captured.get(leaf)
                if captured is None:
                    captured = self.captured[leaf] = Captured(tuple(holders[leaf]), leaf)
                found.captured.append((place, captured))
            else:
                found.fixed.append((place, leaf.value))
        return found

    def rebound(
        self, main: Bound, number: dict[Node, int], renewed: dict[Node, Node]
    ) -> list[Rebound]:
        """How each moved handle is served at every call."""
        compiled = main.plan.compiled
        # Results may have turned out to be the same one: then it is not only its handle's.
        shared = Counter(result.output for result in compiled.results)
        output_over = {place: output for output, place in compiled.program.donated
                       if shared[output] == 1}  # fmt: skip
        captured = {c.reference(): (place, c) for place, c in main.captured}
        argument_of = {id(tensor): n for n, tensor in enumerate(self.tensors)}
        found = []
        for handle, old, new in self.moved:
            place, source = captured.get(old, (-1, None))
            output, over = compiled.results[number[new]].output, None
            if source is not None and len(source.handles) == 1 and renewed.get(new) is old:
                over = output_over.get(place)
            argument = argument_of.get(id(handle))
            found.append(Rebound(
                handle if argument is None else None, argument, number[new], new.tracked, source,
                output if output == over else None,
            ))  # fmt: skip
        return found


def _kind_and_name(node: Node) -> tuple[str, str]:
    return str(getattr(node.op, "kind", "")), node.op.name


def _identity(handle: Tensor, grad: Tensor) -> Callable[[], bool]:
    return lambda: handle.grad is grad


def _is_unset(handle: Tensor) -> Callable[[], bool]:
    return lambda: handle.grad is None or handle.grad is SPENT
