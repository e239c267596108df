"""From one run of a function to a Recording: what are inputs, results, rebound handles."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from ambos.core import tree
from ambos.core.errors import IndexingError, OutOfMemoryError, TracingError
from ambos.core.paths import Path
from ambos.graph.lines import line_of, noted
from ambos.graph.node import Node, pending
from ambos.ops.bounds import message_for, out_of_range
from ambos.ops.indexing import Index
from ambos.runtime.memory import in_words
from ambos.tensor import live
from ambos.tensor.array import Array
from ambos.tensor.captured import Captured, Found, Target
from ambos.tensor.donations import Donations, Place
from ambos.tensor.filters import lay_out_vectors
from ambos.tensor.handle import Tensor
from ambos.tensor.realize import Plan, find_plan, lines_of, place_of
from ambos.tensor.recording import (
    Bound,
    Complaint,
    Gradients,
    Rebound,
    Recording,
    Sources,
    Template,
    ValueCheck,
)
from ambos.tensor.resting import peek, put_gradient, rebind
from ambos.tensor.room import Room, room_for, told
from ambos.tensor.spent import SPENT
from ambos.tensor.stand_ins import Met, StandIns, are_kept
from ambos.tensor.tracing import Touched, Trace, current, enter, sharing

Complaints = dict[Node, Complaint]
ATTEMPTS = 8  # at recording while other threads load weights
# What it would cost to compute twice.
DEAR = ("contract", "sort", "reduce", "scatter_add", "scatter_elements", "scatter_fold")


class Vanished(TracingError):
    """What the function has read is held by no tensor: it replaced the one that did, or another
    thread gave that a new value meanwhile."""


class Recorder:
    """One attempt to record `call`, whose tensor arguments are `tensors` (it takes what stands for
    them); those of the numbers `met` are known to it otherwise, too, and those `donated` are used
    up. A call may take `budget` bytes, all in all."""

    def __init__(
        self, call: Callable[[Sequence[Tensor]], Any], tensors: Sequence[Tensor],
        met: Collection[int], paths: Sequence[Path] = (), budget: int | None = None,
        donated: Collection[int] = (),
    ) -> None:  # fmt: skip
        self.call, self.tensors, self.met, self.paths = call, tensors, met, paths
        self.budget, self.donated = budget, donated
        self.argument_of = {id(tensor): n for n, tensor in enumerate(tensors)}
        self.trace_: Trace = Trace("jit")
        self.captured: dict[Node, Captured] = {}  # shared by the Program and the check before it
        self.moved: list[tuple[Tensor, Node, Node]] = []  # handle, old node, new node
        self.inner: list[tuple[Tensor, Node, Node]] = []  # the same of what only a `.grad` holds

    # --- running the function --------------------------------------------------------------------

    def trace(self) -> None:
        """Run the function, with nothing computed.

        Errors: Met, if it may have to run on the arguments themselves.
        """
        self.stand_ins = StandIns(self.tensors, self.met)
        self.arguments = self.stand_ins.arguments
        modes = current.modes
        enter(self.trace_)
        try:
            with noted():  # for profiles of later calls
                self.leaves, self.structure = tree.flatten(
                    self.call(self.stand_ins.given), tree.is_object
                )
        except Exception as error:
            if self.stand_ins.marks:
                raise Met(range(len(self.tensors))) from error
            raise
        finally:
            enter(None)
            current.modes = modes  # what was said inside holds inside, as in every later call
        self.stand_ins.hand_over(self.trace_, self.leaves)
        self.relied_on = self.trace_.let_go()
        if any(of() is None for of in self.relied_on):  # modules made inside, and gone with it
            self.trace_.guards.forget_gone()
        self.sort_out()

    def undo(self) -> None:
        """Everything as before the function ran."""
        self.trace_.roll_back()
        for handle, old, _ in [*self.moved, *self.inner]:
            rebind(handle, old)
        self.stand_ins.give_back()
        live.adopt(self.trace_.pending)

    # --- what came of it -------------------------------------------------------------------------

    def sort_out(self) -> None:
        """Results, moved handles with their old and new nodes, gradients."""
        trace = self.trace_
        for leaf, path in zip(self.leaves, self.structure.paths(), strict=True):
            tree.refuse_unregistered("jit", leaf, f"result{path}")
        self.settled = trace.lasting | set(trace.moved)  # state: it may stay
        self.own = {id(leaf) for leaf in self.leaves if id(leaf) in trace.made}
        self.own |= {id(touched.handle._grad) for touched in trace.gradients.values()
                     if id(touched.handle._grad) in trace.made}  # fmt: skip
        trace.kept.clear()
        # Made inside: what is returned is a result, other pending work that stays a stray. Data
        # that stays is state, from the first step on.
        moves = [(weakref.ref(handle), old) for handle, old in trace.moved.values()
                 if old.value is not None and id(handle) not in self.own]  # fmt: skip
        trace.moved.clear()
        # A handle made inside that nobody keeps is gone now.
        for reference, old in moves:
            handle = reference()
            if handle is not None:
                self.moved.append((handle, old, handle._node))
        self.sort_gradients()

    def sort_gradients(self) -> None:
        """What becomes of `.grad`: used up where the leaf was renewed, else a result."""
        renewed = {id(handle) for handle, _, _ in self.moved}
        self.gradients = Gradients()
        self.stored: list[tuple[Touched, Node]] = []  # with what is there in the end
        self.inner = []
        for touched in self.trace_.gradients.values():
            handle, start, now = touched.handle, touched.start, touched.handle._grad
            if touched.alone and start is not None and id(start) in renewed:
                # Only this leaf knew the tensor, which may be another one from now on.
                self.inner += [entry for entry in self.moved if entry[0] is start]
                self.moved = [entry for entry in self.moved if entry[0] is not start]
                if now is start:
                    self.stored.append((touched, start._node))
                    continue
            if not touched.is_set:
                continue
            if now is None:
                self.gradients.cleared.append(self.target(handle))
            elif id(handle) in renewed:
                self.gradients.spent.append(self.target(handle))
                put_gradient(handle, SPENT)
            else:
                self.stored.append((touched, now._node))

    def target(self, handle: Tensor) -> Target:
        """`handle` as later calls find it."""
        return self.argument_of.get(id(handle), handle)

    def strays(self) -> list[Tensor]:
        """Pending tensors made inside that somebody keeps, and that are no result."""
        known = {id(leaf) for leaf in self.leaves} | {id(handle) for handle, _, _ in self.moved}
        known |= {id(touched.handle._grad) for touched, _ in self.stored}
        known |= {id(handle) for handle, _, _ in self.inner}
        made = live.pending_handles(self.trace_.pending)
        return [handle for handle in made if id(handle) not in known]

    def run_once(self) -> Any:
        """Compute the call as if there were no jit."""
        for tensor, node in zip(self.tensors, self.stand_ins.originals, strict=True):
            if tensor._node in self.arguments:
                rebind(tensor, node)
        live.adopt(self.trace_.pending)
        grads = [touched.handle._grad for touched, _ in self.stored]
        moved = [handle for handle, _, _ in self.moved]
        results = [leaf for leaf in self.leaves if isinstance(leaf, Tensor)]
        live.evaluate([*results, *moved, *grads, *self.strays()])
        found = [leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in self.leaves]
        return tree.unflatten(self.structure, found)

    def refuse(self) -> TracingError:
        """The error for a function that keeps tensors that it makes."""
        found = [f"{handle.dtype.name}{list(handle.shape)}{_made_at(handle._node)}"
                 for handle in self.strays()[:3]]  # fmt: skip
        self.undo()
        return TracingError(
            f"jit: the function keeps tensors that it makes ({'; '.join(found)}) other than by "
            "returning them: in a list, an attribute or a global; a recorded call cannot do that "
            "again; need them among its results"
        )

    def leaks(self) -> bool:
        """Is a stray made of arguments, and no state that later calls go on with?"""
        made = [handle for handle in self.strays() if id(handle) not in self.settled]
        below = pending([handle._node for handle in made])
        return any(node in self.arguments for node in below)

    # --- the recording ---------------------------------------------------------------------------

    def finish(self) -> Recording | None:
        """The Recording, with every handle back as it was before; None where the call has made
        tensors that stay (a first call often makes state): then the next call is recorded."""
        if self.strays():
            gc.collect()  # a reference cycle may have kept them
            if self.leaks():
                raise self.refuse()
            if self.strays():
                return None
        results = [leaf._node for leaf in self.leaves if isinstance(leaf, Tensor)]
        news = [*(new for _, _, new in self.moved), *(new for _, new in self.stored)]
        uses = Counter([*results, *news])
        wanted = list(uses)
        number = {node: n for n, node in enumerate(wanted)}
        template = Template(self.structure, tuple(
            (number[leaf._node], None) if isinstance(leaf, Tensor) else (None, leaf)
            for leaf in self.leaves
        ))  # fmt: skip
        for handle, old, _ in [*self.moved, *self.inner]:
            rebind(handle, old)
        early, late = self.checks(wanted)
        self.look_at_gradients([*wanted, *early])
        olds: dict[Node, Node] = {new: old for _, old, new in self.moved}
        olds |= {new: was for t, new in self.stored if (was := self.older(t)) is not None}
        # Overwriting what is renewed has to wait for checks that are known only at the end.
        renewed = {} if late else {
            new: old for new, old in olds.items() if old not in self.arguments and uses[new] == 1
        }  # fmt: skip
        order = pending([*wanted, *late])
        lay_out_vectors(order, {*self.arguments, *renewed.values()})
        followed = self.followed() | renewed
        plan, leaves = find_plan(order, [*wanted, *late], followed, self.arguments, self.budget)
        main = Bound(plan, self.sources(leaves), lines_of(order))
        if self.budget is not None:
            self.keep_to_budget(room_for(plan.compiled, self.roles(leaves), main.lines))
        check = self.value_check(early)  # layouts have settled
        rebound = self.rebound(main, number, renewed)
        hosts = [(node.value, value) for node, value in self.trace_.hosts.items()]
        self.stand_ins.give_back()
        self.trace_.restore_gradients()  # running the recording sets them
        late_checks = list(enumerate(late.values(), len(wanted)))
        return Recording(
            main, check, late_checks, hosts, self.trace_.guards, rebound, self.gradients, template,
            [(n, self.tensors[n]) for n in sorted(self.met)],
            self.donations(plan, leaves, bool(late)), self.relied_on,
        )  # fmt: skip

    def donations(self, plan: Plan, leaves: Sequence[Node], is_late: bool) -> Donations | None:
        """Which results may be written over which arguments: not if a check comes later, and not
        over what is returned as it is, or was given twice."""
        if not self.donated:
            return None
        program, results = plan.compiled.program, plan.compiled.results
        shared = Counter(result.output for result in results)
        stays = {result.input for result in results if result.output is None}
        given = Counter(map(id, self.tensors))
        places = []
        for output, place in () if is_late else program.donated:
            number = self.arguments.get(leaves[place], -1)
            is_free = shared[output] == 1 and place not in stays
            if number in self.donated and is_free and given[id(self.tensors[number])] == 1:
                slot, value = output + program.num_inputs, leaves[place].value
                alike = [(value.shape, value.strides, value.dtype)
                         == (result.shape, result.strides, result.dtype)
                         for result in results if result.output == output]  # fmt: skip
                nbytes = program.output_bytes[output]
                places.append(Place(number, slot, nbytes, all(alike)))
        return Donations(self.donated, places)

    def followed(self) -> dict[Node, Node]:
        """Results, and the argument in whose layout each comes out: one of its shape at the same
        place of a tree, since it is likely to be that argument in the next call."""
        free: dict[Any, list[Node]] = {}
        for node, path in zip(self.arguments, self.paths, strict=False):
            if node.rank < 2 and self.arguments[node] not in self.donated:
                continue  # there is one layout only
            free.setdefault((path[2:], node.shape, node.dtype), []).append(node)
        found: dict[Node, Node] = {}
        for leaf, path in zip(self.leaves, self.structure.paths(), strict=True):
            if not isinstance(leaf, Tensor):
                continue
            node = leaf._node
            if node in found or node in self.arguments:
                continue
            for tail in (path, path[1:]):
                same = free.get((tail, node.shape, node.dtype))
                if same:
                    found[node] = same.pop(0)
                    break
        return found

    def roles(self, leaves: Sequence[Node]) -> list[tuple[str, Array]]:
        """What the inputs of the Program are."""
        return [("argument" if leaf in self.arguments else "state", leaf.value) for leaf in leaves]

    def keep_to_budget(self, room: Room) -> None:
        """Errors: OutOfMemoryError where no plan was found that is small enough."""
        if self.budget is not None and room.peak_bytes > self.budget:
            raise told(OutOfMemoryError(
                f"jit: memory_budget is {in_words(self.budget)}; computing again what can be "
                f"takes {in_words(room.peak_bytes)} still"
            ), room, self.budget)  # fmt: skip

    def look_at_gradients(self, wanted: Sequence[Node]) -> None:
        """What the recording expects in `.grad`, where the function has looked: a tensor that it
        computes with is found there at every call, unless somebody else held it."""
        used = set(pending(wanted))
        seen = [t for t in self.trace_.gradients.values() if t.seen]
        starts = [t.start._node for t in seen if t.start is not None and t.start is not SPENT]
        count = Counter(node for node in starts if node in used)
        self.owners: dict[Node, Touched] = {}
        for touched in seen:
            start = touched.start
            is_used = start is not None and start is not SPENT and count[start._node] > 0
            owns = is_used and touched.alone and count[start._node] == 1
            if owns:
                self.owners[start._node] = touched
            target = self.target(touched.handle)
            self.gradients.found.append(Found(target, start, is_used and not owns))

    def older(self, touched: Touched) -> Node | None:
        """The gradient that was there before, if it is read there at every call."""
        return next((node for node, found in self.owners.items() if found is touched), None)

    def checks(self, wanted: Sequence[Node]) -> tuple[Complaints, Complaints]:
        """What must be False: what a Program finds that runs first, and checks of indices for which
        it would do dear work twice, which are more results of the main one."""
        first: Complaints = dict(self.trace_.checks)
        late: Complaints = {}
        nodes = out_of_range(pending(wanted))
        indices = [n.op.bounds(n)[0] for n in nodes.values() if isinstance(n.op, Index)]
        work = [node for node in pending(indices) if node.value is None]
        is_dear = any(kind in DEAR or name in DEAR for kind, name in map(_kind_and_name, work))
        complaints = {
            check: (partial(IndexingError, line=place_of(node)), message_for(node))
            for check, node in nodes.items()
        }
        (late if is_dear else first).update(complaints)
        return first, late

    def value_check(self, checks: Complaints) -> ValueCheck | None:
        """The Program that looks at `checks`, all of them in one call."""
        if not checks:
            return None
        order = pending(checks)
        plan, leaves = find_plan(order, list(checks), {}, self.arguments)
        bound = Bound(plan, self.sources(leaves), lines_of(order))
        return ValueCheck(bound, list(checks.values()))

    def sources(self, leaves: Sequence[Node]) -> Sources:
        """Where the data below the graph comes from: arguments, Python, or the handles that hold
        it; what no handle holds was made inside from constants."""
        found = Sources()
        trace = self.trace_
        outside = {leaf for leaf in leaves if leaf not in self.arguments
                   and leaf not in trace.hosts and leaf not in self.captured}  # fmt: skip
        found_in: dict[Node, list[Tensor]] = {leaf: [] for leaf in outside}
        for holder in live.handles() if outside else ():
            node = peek(holder)
            if node in found_in and id(holder) not in self.own:
                found_in[node].append(holder)
        for leaf, handles in found_in.items():
            touched = self.owners.get(leaf)
            if touched is not None:
                others = tuple(handle for handle in handles if handle is not touched.start)
                self.captured[leaf] = Captured(others, leaf, self.target(touched.handle))
            elif handles:
                self.captured[leaf] = Captured(tuple(handles), leaf)
        self.stand_ins.refuse_met(leaves)
        for place, leaf in enumerate(leaves):
            if leaf in self.arguments:
                found.arguments.append((place, self.arguments[leaf]))
            elif leaf in self.captured:
                found.captured.append((place, self.captured[leaf]))
            elif leaf in trace.hosts or leaf in trace.constants:
                found.fixed.append((place, leaf.value))
            else:
                raise Vanished(
                    f"jit: the function reads {leaf.dtype.name}{list(leaf.shape)} that no tensor "
                    "holds any more: it replaced the tensor from outside that did, or its "
                    "gradients lead into a graph made outside; need x.copy_(new) or x.data = new "
                    "in place of another tensor, and what is differentiated made inside"
                )
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
        moved = [(handle, old, new, False) for handle, old, new in self.moved]
        stored = [(t.handle, self.older(t), new, True) for t, new in self.stored]
        found = []
        for handle, old, new, is_gradient in [*moved, *stored]:
            place, source = (-1, None) if old is None else captured.get(old, (-1, None))
            output, over = compiled.results[number[new]].output, None
            if source is not None and source.has_one_holder() and renewed.get(new) is old:
                over = output_over.get(place)
            found.append(Rebound(
                self.target(handle), number[new], new.tracked, source,
                output if output == over else None, is_gradient,
            ))  # fmt: skip
        return found


def _made_at(node: Node) -> str:
    line = line_of(node)
    return f", made at {line}" if line else ""


def recorded(attempt: Callable[[Collection[int]], Recorder]) -> tuple[Recorder, Recording | None]:
    """A Recorder, for the numbers of arguments that were met otherwise, and what it made. Once more
    where some were, and where other threads give new values to what the function reads."""
    met: frozenset[int] = frozenset()
    kept: list[weakref.ref[Tensor]] = []
    left = ATTEMPTS
    while True:
        recorder = attempt(met)
        try:
            recorder.trace()
            if are_kept(kept):
                raise TracingError(
                    "jit: the function keeps an argument otherwise than by returning it: in a "
                    "list, an attribute or a global; a recorded call could not do that again; need "
                    "it among its results, or what holds it (an optimizer) made outside"
                )
            with sharing:
                return recorder, recorder.finish()
        except Met as error:
            recorder.undo()
            met |= error.numbers
            kept += recorder.stand_ins.references.values()
        except Vanished:
            recorder.undo()
            left -= 1
            if not left or not other_threads():
                raise
        except BaseException:
            recorder.undo()
            raise


def other_threads() -> bool:
    """Does the program have threads beside this one and those that kernels run on?"""
    here = threading.current_thread()
    return any(t is not here and not t.name.startswith("ambos-") for t in threading.enumerate())


def _kind_and_name(node: Node) -> tuple[str, str]:
    return str(getattr(node.op, "kind", "")), node.op.name
