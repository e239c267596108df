"""One recorded call of a jitted function, and how it is run again.

The addresses that the Program wants lie in one table. Those of captured tensors stay there from
call to call; a call fills in its arguments and fresh memory for what it returns. A captured tensor
that the Program renews is written in place if this recording, its handle and nobody else holds it.

Which tensors are one and the same decides what a function computes. So a recording holds for
arguments that are none of the tensors it takes from outside, and where an argument might have been
met inside by another way as well, for that very argument only.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import call
from typing import TYPE_CHECKING, Any
from weakref import ref

from ambos.core import tree
from ambos.core.errors import AmbosError, OutOfMemoryError
from ambos.graph.lines import Line
from ambos.graph.node import Node
from ambos.ops.sources import data
from ambos.runtime.memory import Storage
from ambos.tensor import live, watch
from ambos.tensor.array import Array, lie_alike
from ambos.tensor.captured import Captured, Found, Target, pick
from ambos.tensor.donations import Donations
from ambos.tensor.failures import HostFailure, located
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.lent import Lent
from ambos.tensor.resting import (
    attention,
    changing,
    is_at_rest,
    observe,
    peek,
    put_gradient,
    rebind,
)
from ambos.tensor.room import Room, room_for, told
from ambos.tensor.signature import Given
from ambos.tensor.spent import SPENT
from ambos.tensor.tracing import Guards, HostValue, makeup
from ambos.tensor.values import tensor_on

if TYPE_CHECKING:  # it loads the compiler, which importing ambos should not
    from ambos.tensor.realize import Plan

# The memory of a call's results, by slot; where an argument was given away for one that is just
# like it, its array, which serves again.
Outputs = dict[int, Storage | Array]
Complaint = tuple[Callable[[str], AmbosError], str]


@dataclass(slots=True)
class Rebound:
    """A handle that the function rebinds, or whose `.grad` it sets, to result `result` of the
    Program. `captured` is the older value if that is an input as well."""

    target: Target
    result: int
    tracked: bool
    captured: Captured | None
    output: int | None  # of the Program, where it may be written over `captured`
    is_gradient: bool = False

    def facts(self) -> tuple[Any, ...]:
        """What two recordings of the same have in common."""
        return _name(self.target), self.result, self.tracked, self.output, self.is_gradient


@dataclass(slots=True)
class Template:
    """What the function returns: results of the Program and fixed leaves, in a structure."""

    structure: tree.Structure
    leaves: tuple[tuple[int | None, Any], ...]  # (result number, None) or (None, leaf)


@dataclass(slots=True)
class Gradients:
    """What is expected in `.grad` of leaves, and which are dropped or used up."""

    found: list[Found] = field(default_factory=list)
    cleared: list[Target] = field(default_factory=list)
    spent: list[Target] = field(default_factory=list)


@dataclass(slots=True)
class Sources:
    """Where the inputs of a Program come from, each with the number of the input."""

    arguments: list[tuple[int, int]] = field(default_factory=list)  # (input, argument)
    captured: list[tuple[int, Captured]] = field(default_factory=list)  # (input, tensor)
    fixed: list[tuple[int, Array]] = field(default_factory=list)  # constants and host values


class Bound:
    """A plan whose inputs are connected: a table of addresses, ready for the native call."""

    def __init__(self, plan: Plan, sources: Sources, lines: Sequence[Line | None]) -> None:
        self.plan, self.sources, self.lines = plan, sources, lines
        program = plan.compiled.program
        self.num_inputs = program.num_inputs
        self.slots = (ctypes.c_uint64 * (self.num_inputs + len(program.output_bytes)))()
        self.table = ctypes.c_void_p(ctypes.addressof(self.slots))
        used = self.num_inputs  # inputs that the Program does not read have no slot
        self.arguments = [pair for pair in sources.arguments if pair[0] < used]
        self.captured = [pair for pair in sources.captured if pair[0] < used]
        for place, array in sources.fixed:
            if place < used:
                self.slots[place] = array.address
        self.connect()

    def connect(self) -> None:
        """Take the addresses of what is captured."""
        for place, captured in self.captured:
            self.slots[place] = captured.address

    def run(self, tensors: Given) -> None:
        """Compute; the output slots are filled already."""
        slots = self.slots
        arrays = tensors.arrays  # which hold them until the end: other threads may rebind handles
        for place, argument in self.arguments:
            array = arrays[argument]
            slots[place] = array.storage.address + array.offset
        try:
            if watch.watchers:
                addresses = list(slots)
                inputs, outputs = addresses[: self.num_inputs], addresses[self.num_inputs :]
                watch.run(self.plan.executable, inputs, outputs, self.lines)
            else:
                self.plan.executable.run_slots(self.table)
        except HostFailure as failure:
            raise located(failure, self.lines) from None


class Recording:
    """A Program with all that a call needs to feed it and to hand out its results."""

    def __init__(
        self, main: Bound, check: ValueCheck | None, late_checks: Sequence[tuple[int, Complaint]],
        hosts: Sequence[tuple[Array, HostValue]], guards: Guards,
        rebound: Sequence[Rebound], gradients: Gradients, template: Template,
        bound: Sequence[tuple[int, Tensor]], donations: Donations | None = None,
        relied_on: Iterable[ref[Any]] = (),
    ) -> None:  # fmt: skip
        self.donations, self.function = donations, ""
        self.relied_on = list(relied_on)  # modules, optimizers: it holds as long as all are there
        self.main, self.check, self.late_checks = main, check, late_checks
        self.hosts = [(_cell(array, value), value) for array, value in hosts]
        # A cell keeps nothing alive, nor does the Program where it reads no such number.
        self.kept = [array for array, _ in hosts]
        self.guards, self.version = guards, guards.version
        self.rebound, self.gradients = list(rebound), gradients
        self.template = template
        numbered = list(enumerate(template.leaves))
        self.fixed = [(place, fixed) for place, (number, fixed) in numbered if number is None]
        self.results = main.plan.compiled.results
        self.returned = [(self._slot_of(n), n) for n, _ in template.leaves if n is not None]
        sizes = main.plan.compiled.program.output_bytes
        self.output_bytes = list(enumerate(sizes, main.num_inputs))
        self.overwriting = [
            (r.captured, r.output + main.num_inputs)
            for r in rebound if r.captured is not None and r.output is not None
        ]  # fmt: skip
        self.missing = self.output_bytes  # those that need memory
        self.moving = self.rebound  # those that are not written in place
        bounds = [main] if check is None else [main, check.bound]
        # What only the check looks at counts as well; what both do is one object, met once.
        self.captured = [*{c: None for bound in bounds for _, c in bound.sources.captured}]
        holders = [(h, captured) for captured in self.captured for h in captured.handles]
        self.handles = [handle for handle, _ in holders]
        self.owned = [captured for captured in self.captured if captured.owner is not None]
        self.readers = [*(captured for _, captured in holders), *self.owned]
        targets = [
            *gradients.cleared,
            *gradients.spent,
            *(r.target for r in rebound),
            *(found.target for found in gradients.found),
            *self.handles,
        ]
        self.expected = [captured.reference for captured in self.readers]
        self.dropped = [
            ([t for t in targets if isinstance(t, int)],
             [t for t in targets if not isinstance(t, int)], grad)
            for targets, grad in ((gradients.cleared, None), (gradients.spent, SPENT))
        ]  # fmt: skip
        self.outside = frozenset(id(t) for t in targets if not isinstance(t, int))
        self.bound = [(n, ref(tensor)) for n, tensor in bound]
        self.found = [found for found in gradients.found if not isinstance(found.target, int)]
        self.found_in_arguments = [f for f in gradients.found if isinstance(f.target, int)]
        observe(t for t in targets if not isinstance(t, int))
        # The version of all that is watched at which all is as expected, and what is written in
        # place is at rest; and whether it was still that one when the call began.
        self.settled: object = None
        self.is_quick = False
        self.alive: list[Array] = []  # gradients that the Program reads, which are not watched

    def holds(self, tensors: Given) -> bool:
        """Is this what the function would do now? The answer True is for one `run`, which begins
        (`resting`) before this is asked."""
        for value, expected in self.guards.volatile:
            if value() != expected:
                return False
        if not self.guards.modes_hold():
            return False
        if tensors:
            if not self.outside.isdisjoint(tensors.ids):
                return False
            for number, argument in self.bound:
                if tensors[number] is not argument():
                    return False
            for found in self.found_in_arguments:
                if not found.holds(tensors):
                    return False
        self.is_quick = self.settled is attention.version and self.version == makeup.version
        return self.is_quick or self._looks_same(tensors)

    def _looks_same(self, tensors: Given) -> bool:
        """The same where something may have changed that is watched."""
        self.settled, version = None, makeup.version
        if not all(found.holds(tensors) for found in self.found):
            return False
        if self.owned and not self.outside.isdisjoint(
            id(captured.holder(tensors)) for captured in self.owned
        ):
            return False
        if not self.reads_the_same(tensors) or self.version != version:
            guards = self.guards.structural
            if any(value() != expected for value, expected in guards) or not self.renew(tensors):
                return False
            self.version = version
        return True

    def reads_the_same(self, tensors: Given) -> bool:
        """Does everything that the Program reads lie where it did?"""
        nodes = list(map(peek, self.handles))
        grads = [captured.holder(tensors)._node for captured in self.owned]
        self.alive = [node.value for node in grads]
        return list(map(call, self.expected)) == nodes + grads

    def renew(self, tensors: Given) -> bool:
        """Take what the handles hold now, if it is alike."""
        nodes: list[Node] = []
        for captured in self.captured:
            node = captured.present(tensors)
            if node is None:
                return False
            nodes.append(node)
        # All of them or none: what was held before is still what the table says.
        for captured, node in zip(self.captured, nodes, strict=True):
            captured.hold(node)
        self.connect()
        return self.reads_the_same(tensors)

    def agrees(self, other: Recording) -> bool:
        """Have both recorded the same? Then it does not matter which tensors the arguments were,
        but for those that were the same ones both times."""
        if self._facts() != other._facts():
            return False
        others = {number: argument() for number, argument in other.bound}
        self.bound = [(number, argument) for number, argument in self.bound
                      if number in others and others[number] is argument()]  # fmt: skip
        return True

    def _facts(self) -> Hashable:
        sources, gradients = self.main.sources, self.gradients
        return (
            id(self.main.plan), self.check is None, tuple(sources.arguments),
            tuple((place, tuple(map(id, c.handles)), _name(c.owner))
                  for place, c in sources.captured),
            tuple(rebound.facts() for rebound in self.rebound),
            tuple(map(_name, gradients.cleared)), tuple(map(_name, gradients.spent)),
            tuple(_name(found.target) for found in gradients.found),
            tuple(number for number, _ in self.template.leaves),
        )  # fmt: skip

    def connect(self) -> None:
        self.expected = [captured.reference for captured in self.readers]
        self.main.connect()
        if self.check is not None:
            self.check.bound.connect()

    def run(self, tensors: Given, first: bool = False) -> Any:
        """One call; `first` is the recorded one, whose host values are in place already.

        It comes between `begin` and `end` of `resting`, after `holds` or, the first time, `renew`.
        """
        alive, self.alive = self.alive, []
        if not first:
            for cell, value in self.hosts:
                cell.value = value()
        if self.check is not None:
            self.check.run(tensors)
        try:
            outputs = self._outputs(tensors)
            self.main.run(tensors)
        except OutOfMemoryError as refused:
            raise told(refused, self.room(tensors)) from None
        except BaseException:  # some results may have been written already
            if self.donations is not None:
                self.donations.spend(tensors, self.function)
            raise
        del alive
        for number, (error, message) in self.late_checks:
            if self._array(number, outputs, tensors).is_true():
                raise error(message)
        if self.donations is None:
            return self._hand_out(outputs, tensors)
        result = self._hand_out(outputs, tensors)
        self.donations.spend(tensors, self.function)
        return result

    def room(self, tensors: Given) -> Room:
        """The memory that a call takes."""
        sources = self.main.sources
        leaves = [("argument", tensors.arrays[number]) for _, number in sources.arguments]
        leaves += [("state", captured.holder(tensors)._node.value)
                   for _, captured in sources.captured]  # fmt: skip
        leaves += [("state", array) for _, array in sources.fixed]
        return room_for(self.main.plan.compiled, leaves, self.main.lines)

    def _outputs(self, tensors: Given) -> Outputs:
        """Memory for the results, and their slots filled in."""
        if not self.is_quick:
            self._overwrite(tensors)
        slots, donations = self.main.slots, self.donations
        fresh: Outputs = {} if donations is None else self._given(tensors, donations)
        for slot, nbytes in self.missing:
            if slot not in fresh:
                fresh[slot] = storage = Storage(nbytes)
                slots[slot] = storage.address
        return fresh

    def _given(self, tensors: Given, donations: Donations) -> Outputs:
        """Where results lie over arguments that are given away."""
        slots = self.main.slots
        every = donations.all_arrays(tensors)
        if every is not None:
            for slot, address in zip(donations.slots, every[1], strict=True):
                slots[slot] = address
            return dict(zip(donations.slots, every[0], strict=True))
        found = donations.arrays(tensors)
        for slot, (array, _) in found.items():
            slots[slot] = array.address
        return {slot: array if is_like else array.storage
                for slot, (array, is_like) in found.items()}  # fmt: skip

    def _overwrite(self, tensors: Given) -> None:
        """Write captured tensors in place where that may be; other results need memory."""
        taken = set()
        for captured, slot in self.overwriting:
            if captured.is_exclusive(tensors):
                self.main.slots[slot] = captured.address
                taken.add(slot)
        self.missing = [pair for pair in self.output_bytes if pair[0] not in taken]
        self.moving = [r for r in self.rebound if self._slot_of(r.result) not in taken]

    def _slot_of(self, number: int) -> int:
        """Where the Program finds the address for result `number`, -1 for an input."""
        output = self.results[number].output
        return -1 if output is None else output + self.main.num_inputs

    def _array(self, number: int, outputs: Outputs, tensors: Given) -> Array:
        """Result `number` of the Program."""
        result = self.results[number]
        if result.output is not None:
            slot = result.output + self.main.num_inputs
            found = outputs[slot]
            storage = found.storage if isinstance(found, Array) else found
            return Array(storage, 0, result.shape, result.strides, result.dtype)
        held = self._input(result.input or 0, tensors)
        return held.seen_as(result.shape, result.strides, result.dtype)

    def _input(self, place: int, tensors: Given) -> Array:
        """Input `place` as it is at this call."""
        sources = self.main.sources
        for input_, captured in sources.captured:
            if input_ == place:
                return _held(captured.holder(tensors))
        for input_, argument in sources.arguments:
            if input_ == place:
                return tensors.arrays[argument]
        fixed = dict(sources.fixed)[place]
        if any(fixed is array for array in self.kept):  # the next call writes there
            return Array.from_numpy(fixed.raw())
        return fixed

    def _hand_out(self, outputs: Outputs, tensors: Given) -> Any:
        """Results become tensors, and handles are rebound."""
        made = []
        for slot, number in self.returned:
            found = outputs.get(slot)
            if not isinstance(found, Array):
                found = self._array(number, outputs, tensors)
            made.append(found)
        returned: list[Any] = list(map(tensor_on, made))
        for place, fixed in self.fixed:
            returned.insert(place, fixed)
        if self.moving or not self.is_quick:
            moved = [(rebound, self._array(rebound.result, outputs, tensors))
                     for rebound in self.moving]  # fmt: skip
            with changing:
                self._rebind(moved, tensors)
        for numbers, _, grad in self.dropped:
            for number in numbers:
                put_gradient(tensors[number], grad)
        template = self.template
        if template.structure is tree.LEAF:
            return returned[0]
        return tree.unflatten(template.structure, returned)

    def _rebind(self, moved: Sequence[tuple[Rebound, Array]], tensors: Given) -> None:
        """Give handles from outside what the call has made for them, and see whether all is then
        as the next call expects it."""
        for rebound, array in moved:
            handle, captured = pick(rebound.target, tensors), rebound.captured
            array.settled |= captured is not None
            node = data.leaf(array, array.shape, array.dtype, rebound.tracked)
            if rebound.is_gradient:
                put_gradient(handle, wrap(node))
            else:
                rebind(handle, node)
                if rebound.tracked:
                    live.register_leaf(handle)
                if isinstance(handle, Lent):
                    handle.give_back()
            # In another order of memory it is no input of this Program: `holds` will say so.
            if captured is not None and lie_alike(array.shape, captured.strides, array.strides):
                captured.hold(node)
        if moved:
            self.connect()
        for _, handles, grad in self.dropped:
            for handle in handles:
                if handle._grad is not grad:
                    put_gradient(handle, grad)
        is_settled = (
            not self.owned
            and all(is_at_rest(captured.handles[0]) for captured, _ in self.overwriting)
            and self.reads_the_same(tensors)
            and all(found.holds(tensors) for found in self.found)
        )
        self.settled = attention.version if is_settled else None


class ValueCheck:
    """Looks at indices and other values that have a range before anything is overwritten."""

    def __init__(self, bound: Bound, complaints: Sequence[Complaint]) -> None:
        self.bound = bound
        sizes = bound.plan.compiled.program.output_bytes
        self.storages = [Storage(nbytes) for nbytes in sizes]
        for slot, storage in enumerate(self.storages, bound.num_inputs):
            bound.slots[slot] = storage.address
        places = [result.output for result in bound.plan.compiled.results]
        flags = [self.storages[place] for place in places if place is not None]
        self.outcomes = [
            (ctypes.c_uint8.from_address(flag.address), *complaint)
            for flag, complaint in zip(flags, complaints, strict=True)
        ]

    def run(self, tensors: Given) -> None:
        """Raise for the first check that fails."""
        self.bound.run(tensors)
        for wrong, error, message in self.outcomes:
            if wrong.value:
                raise error(message)


def _held(handle: Tensor) -> Array:
    """What `handle` holds; it wakes, for it is shown. Another thread may have given it an
    expression since the call began."""
    while (value := handle._node.value) is None:
        live.evaluate([handle])
    return value


def _cell(array: Array, value: HostValue) -> Any:
    """The memory of a host value, to be written as the number that `value()` gives."""
    kind = ctypes.c_double if array.dtype.name == "float64" else ctypes.c_uint64
    return kind.from_address(array.address)


def _name(target: Target | None) -> tuple[str, int | None]:
    if target is None or isinstance(target, int):
        return "argument", target
    return "tensor", id(target)
