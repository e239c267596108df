"""One recorded call of a jitted function, and how it is run again.

The addresses that the Program wants lie in one table. Those of captured tensors stay there from
call to call; a call fills in its arguments and fresh memory for what it returns. A captured tensor
that the Program renews is written in place if this recording, its handle and nobody else holds it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from sys import getrefcount
from typing import Any
from weakref import ref

from ambos.core import tree
from ambos.core.errors import AmbosError
from ambos.graph.lines import Line
from ambos.graph.node import Node
from ambos.ops.sources import data
from ambos.runtime.memory import Storage
from ambos.tensor import live, watch
from ambos.tensor.array import Array, is_dense
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.realize import Plan
from ambos.tensor.spent import SPENT
from ambos.tensor.tracing import Guards, HostValue, makeup, relay

Complaint = tuple[type[AmbosError], str]
HELD = 3  # references to what only its holder, one variable and getrefcount refer to


class Captured:
    """A tensor from outside, an input of the Program and perhaps of the check before it.

    It refers weakly to what its handles hold, since several recordings capture the same parameter
    and none of them may keep the others from writing it in place.
    """

    __slots__ = ("address", "dtype", "handles", "reference", "shape", "strides", "tracked")

    def __init__(self, handles: tuple[Tensor, ...], node: Node) -> None:
        self.handles = handles
        self.shape, self.dtype, self.tracked = node.shape, node.dtype, node.tracked
        self.strides = node.value.strides
        self.hold(node)

    def hold(self, node: Node) -> None:
        """`node` is what the handles hold now."""
        self.reference, self.address = ref(node), node.value.address

    def is_exclusive(self) -> bool:
        """May the memory be written? Nobody else can see it then."""
        node = self.handles[0]._node
        array = node.value
        storage = array.storage
        return (
            getrefcount(node) == HELD
            and getrefcount(array) == HELD
            and getrefcount(storage) == HELD
            and storage._owner is None
        )

    def renew(self) -> bool:
        """Take up what the handles hold now; False where that needs another recording."""
        handle = self.handles[0]
        if handle._node.value is None:
            live.evaluate([handle])
        new = handle._node
        if any(h._node is not new for h in self.handles) or (new.tracked and new.inputs):
            return False
        if (new.shape, new.dtype, new.tracked) != (self.shape, self.dtype, self.tracked):
            return False
        if new.value.strides != self.strides:
            if new.value.settled or not is_dense(self.shape, self.strides):
                return False
            relay(new, self.strides)
        self.hold(new)
        return True


@dataclass(slots=True)
class Rebound:
    """A handle that the function rebinds: to result `result` of the Program. `argument` is its
    number if it is an argument, and `captured` its older value if that is an input as well."""

    handle: Tensor | None
    argument: int | None
    result: int
    tracked: bool
    captured: Captured | None
    output: int | None  # of the Program, where it may be written over `captured`


@dataclass(slots=True)
class Template:
    """What the function returns: results of the Program and fixed leaves, in a structure."""

    structure: tree.Structure
    leaves: tuple[tuple[int | None, Any], ...]  # (result number, None) or (None, leaf)


@dataclass(slots=True)
class Gradients:
    """What happens to `.grad` of leaves: dropped, used up, or set to a result of the Program."""

    cleared: list[Tensor] = field(default_factory=list)
    spent: list[Tensor] = field(default_factory=list)
    stored: list[tuple[Tensor, int]] = field(default_factory=list)


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

    def run(self, tensors: Sequence[Tensor]) -> None:
        """Compute; the output slots are filled already."""
        slots = self.slots
        for place, argument in self.arguments:
            slots[place] = tensors[argument]._node.value.address
        if watch.watchers:
            addresses = list(slots)
            inputs, outputs = addresses[: self.num_inputs], addresses[self.num_inputs :]
            watch.run(self.plan.executable, inputs, outputs, self.lines)
        else:
            self.plan.executable.run_slots(slots)


class Recording:
    """A Program with all that a call needs to feed it and to hand out its results."""

    def __init__(
        self, main: Bound, check: ValueCheck | None, late_checks: Sequence[tuple[int, Complaint]],
        hosts: Sequence[tuple[Array, HostValue]], guards: Guards,
        rebound: Sequence[Rebound], gradients: Gradients, template: Template,
    ) -> None:  # fmt: skip
        self.main, self.check, self.late_checks = main, check, late_checks
        self.hosts = [(_cell(array, value), value) for array, value in hosts]
        self.guards, self.version = guards, guards.version
        self.rebound, self.gradients = list(rebound), gradients
        self.template = template
        self.results = main.plan.compiled.results
        program = main.plan.compiled.program
        self.output_bytes = list(enumerate(program.output_bytes, main.num_inputs))
        self.overwriting = [(r.captured, r.output + main.num_inputs) for r in rebound
                            if r.captured is not None and r.output is not None]  # fmt: skip
        bounds = [main] if check is None else [main, check.bound]
        # What only the check looks at counts as well; what both do is one object, met once.
        self.captured = list(dict.fromkeys(
            captured for bound in bounds for _, captured in bound.sources.captured
        ))  # fmt: skip
        self.holders = [(h, captured) for captured in self.captured for h in captured.handles]

    def holds(self) -> bool:
        """Is this what the function would do now?"""
        for value, expected in self.guards.volatile:
            if value() != expected:
                return False
        for handle, captured in self.holders:
            if handle._node is not captured.reference():
                return self._renew()
        return self.version == makeup.version or self._renew()

    def _renew(self) -> bool:
        """The same after something has changed: a handle was rebound, a module altered."""
        for value, expected in self.guards.structural:
            if value() != expected:
                return False
        if not all(captured.renew() for captured in self.captured):
            return False
        self.connect()
        self.version = makeup.version
        return True

    def connect(self) -> None:
        self.main.connect()
        if self.check is not None:
            self.check.bound.connect()

    def run(self, tensors: Sequence[Tensor], first: bool = False) -> Any:
        """One call; `first` is the recorded one, whose host values are in place already."""
        if not first:
            for cell, value in self.hosts:
                cell.value = value()
        if self.check is not None:
            self.check.run(tensors)
        outputs = self._outputs()
        self.main.run(tensors)
        for number, (error, message) in self.late_checks:
            if self._array(number, outputs, tensors).is_true():
                raise error(message)
        return self._hand_out(outputs, tensors)

    def _outputs(self) -> dict[int, Storage]:
        """Memory for the results, and their slots filled in."""
        slots, fresh = self.main.slots, {}
        taken = set()
        for captured, slot in self.overwriting:
            if captured.is_exclusive():
                slots[slot] = captured.address
                taken.add(slot)
        for slot, nbytes in self.output_bytes:
            if slot not in taken:
                fresh[slot] = storage = Storage(nbytes)
                slots[slot] = storage.address
        return fresh

    def _array(self, number: int, outputs: dict[int, Storage], tensors: Sequence[Tensor]) -> Array:
        """Result `number` of the Program."""
        result = self.results[number]
        if result.output is not None:
            storage = outputs[result.output + self.main.num_inputs]
            return Array(storage, 0, result.shape, result.strides, result.dtype)
        return self._input(result.input or 0, tensors)

    def _input(self, place: int, tensors: Sequence[Tensor]) -> Array:
        """Input `place` as it is at this call."""
        sources = self.main.sources
        for input_, captured in sources.captured:
            if input_ == place:
                held: Array = captured.handles[0]._node.value
                return held
        for input_, argument in sources.arguments:
            if input_ == place:
                value: Array = tensors[argument]._node.value
                return value
        return dict(sources.fixed)[place]

    def _hand_out(self, outputs: dict[int, Storage], tensors: Sequence[Tensor]) -> Any:
        """Results become tensors, and handles are rebound."""
        arrays: dict[int, Array] = {}

        def leaf(number: int, tracked: bool = False) -> Node:
            array = arrays.get(number)
            if array is None:
                array = arrays[number] = self._array(number, outputs, tensors)
            return data.leaf(array, array.shape, array.dtype, tracked)

        returned = [wrap(leaf(number)) if number is not None else fixed
                    for number, fixed in self.template.leaves]  # fmt: skip
        moved = []
        for rebound in self.rebound:
            output = self.results[rebound.result].output
            if output is not None and output + self.main.num_inputs not in outputs:
                continue  # written in place
            node = leaf(rebound.result, rebound.tracked)
            if rebound.captured is not None:
                node.value.settled = True
            moved.append((rebound, node))
        for rebound, node in moved:
            argument = rebound.argument
            handle = rebound.handle if argument is None else tensors[argument]
            assert handle is not None
            handle._node = node
            if rebound.tracked:
                live.register_leaf(handle)
            # In another order of memory it is no input of this Program: `holds` will say so.
            captured = rebound.captured
            if captured is not None and captured.strides == node.value.strides:
                captured.hold(node)
        if moved:
            self.connect()
        self._grads(leaf)
        template = self.template
        if template.structure is tree.LEAF:
            return returned[0]
        return tree.unflatten(template.structure, returned)

    def _grads(self, leaf: Callable[[int], Node]) -> None:
        for handle in self.gradients.cleared:
            handle.grad = None
        for handle in self.gradients.spent:
            handle.grad = SPENT
        for handle, number in self.gradients.stored:
            handle.grad = wrap(leaf(number))


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

    def run(self, tensors: Sequence[Tensor]) -> None:
        """Raise for the first check that fails."""
        self.bound.run(tensors)
        for wrong, error, message in self.outcomes:
            if wrong.value:
                raise error(message)


def _cell(array: Array, value: HostValue) -> Any:
    """The memory of a host value, to be written as the number that `value()` gives."""
    kind = ctypes.c_double if array.dtype.name == "float64" else ctypes.c_uint64
    return kind.from_address(array.address)
