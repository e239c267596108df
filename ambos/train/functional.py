"""Functional models: calls of modules with plain graphs between them, run on data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from ambos import nn
from ambos.core import tree
from ambos.core.dtype import DType, bool_, float32, promote
from ambos.core.errors import ArgumentError, DTypeError, ShapeError, suggest
from ambos.core.shape import Shape
from ambos.core.unknown import Numbers, Size, at
from ambos.graph.node import Node, make, toposort
from ambos.nn.symbolic import (
    SymbolicCall,
    inputs,
    is_symbolic,
    names,
    origins,
)
from ambos.ops.contraction import contract
from ambos.ops.movement import window
from ambos.ops.random import Random
from ambos.ops.sources import constant_op
from ambos.tensor.autocast import FLOATS
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.operands import convert, fitting
from ambos.train.graphs import Undescribed, described, symbolic
from ambos.train.metrics.base import snake

WINDOWED = (contract, window)  # of data shorter than a kernel or window there is none


class Graph:
    """What lies between symbolic inputs and outputs.

    It knows modules by the names under which the model has them, so that a copy of the model runs
    with modules of its own.
    """

    def __init__(self, given: Any, outputs: Any) -> None:
        self.inputs, self.taken = _nodes("inputs", given)
        self.outputs, self.returned = _nodes("outputs", outputs)
        for node in self.inputs:
            if node not in inputs and node not in origins:
                raise ArgumentError(
                    "Model: an input is not an am.Input, nor the result of a layer on one; need "
                    "am.Input((...))"
                )
        self.calls = self._calls_in_order()
        self.constants = self._constants()
        self.dtypes = {
            parameter.dtype.name for call in self.calls for parameter in call.module.parameters()
            if parameter.dtype.is_floating
        }  # fmt: skip
        self.modules: dict[str, nn.Module] = {}
        self.names: dict[int, str] = {}
        for call in self.calls:
            self._name(call.module)
        self.input_names = self._input_names(given)
        self.output_names = self._output_names(outputs)
        self.is_described = False  # has a description of it been read again?

    def __deepcopy__(self, memo: Any) -> Graph:
        """With copies of the modules, which are those of the model's copy."""
        try:
            return again(described(self), copy.deepcopy(self.modules, memo))
        except Undescribed:  # it runs with any modules of these names
            return self

    def __reduce__(self) -> Any:
        """With its modules, which are the model's."""
        try:
            return again, (described(self), dict(self.modules))
        except Undescribed as error:
            raise TypeError(
                f"a functional model cannot be pickled with {error} between its layers; need that "
                "in a module's forward"
            ) from None

    @property
    def given(self) -> Any:
        """The inputs, symbolic, in the tree in which they were given."""
        return self.taken.build(iter(map(wrap, self.inputs)))

    @property
    def made(self) -> Any:
        """The outputs likewise."""
        return self.returned.build(iter(map(wrap, self.outputs)))

    def _calls_in_order(self) -> list[SymbolicCall]:
        """The calls that the outputs need, as they were made: each after those it rests on."""
        found: dict[SymbolicCall, None] = {}
        given, waiting = set(self.inputs), list(self.outputs)
        while waiting:
            for node in toposort([waiting.pop()], stop=given.__contains__):
                call = origins.get(node)
                if node in given or call in found:
                    continue
                if call is None:
                    _check(node)
                else:
                    found[call] = None
                    waiting += [part for part in call.arguments if isinstance(part, Node)]
        return sorted(found, key=lambda call: call.number)

    def _constants(self) -> list[Tensor]:
        """Data between the calls, in hand: a recording asks who holds what it reads."""
        ends = [part for call in self.calls for part in call.arguments if isinstance(part, Node)]
        below = toposort([*self.outputs, *ends])
        return [wrap(node) for node in below if node.value is not None]

    def _name(self, module: nn.Module) -> None:
        if id(module) in self.names:
            return
        base = module.__dict__.get("name") or snake(type(module).__name__)
        name, number = base, 0
        while name in self.modules:
            number += 1
            name = f"{base}_{number}"
        self.modules[name], self.names[id(module)] = module, name

    def _input_names(self, given: Any) -> list[str]:
        keys: list[Any] = [None] * len(self.inputs)
        if isinstance(given, Mapping) and len(given) == len(keys):
            keys = sorted(given)
        return [
            names.get(node) or key or f"input_{place}"
            for place, (node, key) in enumerate(zip(self.inputs, keys, strict=True), 1)
        ]

    def _output_names(self, outputs: Any) -> tuple[str, ...]:
        if len(self.outputs) == 1:
            return ()
        found: list[str] = []
        for node in self.outputs:
            call = origins.get(node)
            base = self.names[id(call.module)] if call is not None else "output"
            name, number = base, 0
            while name in found:
                number += 1
                name = f"{base}_{number}"
            found.append(name)
        return tuple(found)

    # Running

    def __call__(self, modules: Mapping[str, Any], given: list[Any]) -> Any:
        """The outputs for these inputs."""
        known, sizes = dict[Node, Node](), Numbers()
        for name, node, value in zip(self.input_names, self.inputs, given, strict=True):
            tensor = value if isinstance(value, Tensor) else Tensor(value)
            _measure(sizes, node.shape, tensor.shape, f"input {name!r}", _one_example)
            if isinstance(value, Tensor):
                _check_input(name, value.dtype, node.dtype)
            known[node] = convert(tensor._node, node.dtype)
        for call in self.calls:
            values = [
                wrap(_on(known, part, sizes)) if isinstance(part, Node) else at(part, sizes)
                for part in call.arguments
            ]
            args, kwargs = call.structure.build(iter(values))
            name = self.names[id(call.module)]
            results = tree.leaves(modules[name](*args, **kwargs))
            if len(results) != len(call.results):
                raise ShapeError(
                    f"Model: {name!r} returns {len(results)} tensors; it was drawn with "
                    f"{len(call.results)}; need as many for any sizes"
                )
            for node, result in zip(call.results, results, strict=True):
                _measure(sizes, node.shape, result.shape, f"the result of {name!r}", _otherwise)
                known[node] = _as_drawn(result._node, node.dtype, name)
        outputs = [wrap(_on(known, node, sizes)) for node in self.outputs]
        return self.returned.build(iter(outputs))

    def conversion(self, dtype: DType) -> Callable[[], None] | None:
        """What draws this graph again, once its modules have parameters of `dtype`, with that
        instead of the dtype that they have now; None where they have it."""
        given = {node.dtype.name for node in self.inputs if node.dtype.is_floating}
        kinds = self.dtypes or given
        if kinds <= {dtype.name}:
            return None
        try:
            drawn = described(self)
        except Undescribed as error:
            raise DTypeError(
                f"Model.to: {error} between layers computes in the dtype in which it was drawn; "
                "need that in a module's forward"
            ) from None

        def convert() -> None:
            self.__dict__.update(vars(again(converted(drawn, kinds, dtype.name), self.modules)))

        return convert

    def result_of(self, module: nn.Module, call: int) -> Any:
        """What a module returned at its call number `call`, symbolic."""
        found = [one for one in self.calls if one.module is module]
        if not -len(found) <= call < len(found):
            raise ArgumentError(f"output_of: call {call} of a layer that is called {len(found)} "
                                "times")  # fmt: skip
        each = found[call]
        return each.returned.build(iter([wrap(node) for node in each.results]))

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        """One value for each input: by position, in a list, or by name."""
        if kwargs or (len(args) == 1 and isinstance(args[0], Mapping)):
            found = dict(kwargs) if kwargs else dict(args[0])
            missing = [name for name in self.input_names if name not in found]
            strange = [name for name in found if name not in self.input_names]
            if missing or strange:
                named = strange[0] if strange else missing[0]
                raise ArgumentError(
                    f"Model: inputs are {', '.join(found)}; need {', '.join(self.input_names)}"
                    f"{suggest(str(named), self.input_names if strange else found)}"
                )
            return [found[name] for name in self.input_names]
        values = list(args)
        if len(values) == 1 and len(self.inputs) > 1 and isinstance(values[0], (tuple, list)):
            values = list(values[0])
        if len(values) != len(self.inputs):
            raise ArgumentError(
                f"Model: got {len(values)} inputs; need {len(self.inputs)}: "
                f"{', '.join(self.input_names)}"
            )
        return values


def converted(description: Any, kinds: set[str], name: str) -> Any:
    """What `described` wrote with the dtype `name` in place of `kinds`."""
    if isinstance(description, list):
        return [converted(part, kinds, name) for part in description]
    if not isinstance(description, dict):
        return description
    return {
        key: name if key == "dtype" and part in kinds else converted(part, kinds, name)
        for key, part in description.items()
    }


def again(description: Any, modules: Mapping[str, Any]) -> Graph:
    """What `described` wrote, with these modules."""
    return Graph(*symbolic(description, modules))


def _check_input(name: str, found: DType, drawn: DType) -> None:
    """Refuse an input whose numbers may be others in the dtype that was drawn; those of batches,
    float32 and int64, are taken for any of their kind, and all for masks."""
    if drawn is bool_ or (found.is_integer and drawn.is_integer):
        return
    if found is float32 and drawn.is_floating:
        return
    if promote(found, drawn) is not drawn:
        convert = f" or model.to({found.name!r})" if found.is_floating and drawn.is_floating else ""
        raise DTypeError(
            f"Model: input {name!r} is {found.name}; it was drawn as {drawn.name}; need "
            f"x.to({drawn.name!r}){convert}, or am.Input(..., dtype={found.name!r})"
        )


def _as_drawn(node: Node, drawn: DType, name: str) -> Node:
    """The result of a module in the dtype in which it was drawn, as what lies between modules needs
    it: `autocast` chooses dtypes inside of modules."""
    if node.dtype is drawn or (node.dtype in FLOATS and drawn in FLOATS):
        return convert(node, drawn)
    raise DTypeError(
        f"Model: the result of {name!r} is {node.dtype.name}; it was drawn as {drawn.name}; need "
        f"the whole model converted: model.to({node.dtype.name!r})"
    )


def _measure(
    sizes: Numbers, drawn: Shape, found: Shape, what: str, fix: Callable[[Shape, Shape], str]
) -> None:
    """Note the sizes that `found` tells; it has to be as it was drawn."""
    if len(drawn) == len(found):
        given = zip(drawn, found, strict=True)
        for size, number in given:
            if isinstance(size, Size) and not size.made:
                sizes.setdefault(size, number)
    if len(drawn) != len(found) or at(drawn, sizes) != found:
        raise ShapeError(f"Model: {what} is {found}; need {drawn}{fix(drawn, found)}")


def _one_example(drawn: Shape, found: Shape) -> str:
    """An input without an axis for examples is likely to be one."""
    one: tuple[Any, ...] = drawn[1:]
    fits = len(one) == len(found) and all(
        isinstance(size, Size) or size == number for size, number in zip(one, found, strict=True)
    )
    return ": a batch; one example is x[None]" if fits else ""


def _otherwise(drawn: Shape, found: Shape) -> str:
    """A layer whose sizes came out alike for all that it was drawn for, and do not now."""
    if len(drawn) != len(found):
        return ""
    return ", as it came out for other sizes; or need it with what it is used for in one module"


def _on(known: dict[Node, Node], node: Node, sizes: Numbers) -> Node:
    """`node` on what is known, where the sizes are these."""
    if node not in known:
        for part in toposort([node], stop=known.__contains__):
            if part not in known:
                known[part] = _again(part, known, sizes)
    return known[node]


def _again(node: Node, known: Mapping[Node, Node], sizes: Mapping[Size, int]) -> Node:
    if not node.inputs and node.value is not None:
        return node
    try:
        attrs = at(node.attrs, sizes)
    except ZeroDivisionError:
        given = ", ".join(f"{size} is {number}" for size, number in sizes.items())
        raise ShapeError(
            f"Model: {node.op.name} has an attribute of {node.attrs}, which divides by zero where "
            f"{given}; need more examples or longer ones (statistics need more than one value)"
        ) from None
    taken = tuple(known[source] for source in node.inputs)
    if attrs is node.attrs and taken == node.inputs:
        return node
    if node.op is constant_op:
        attrs = (fitting(attrs[0], attrs[1]), attrs[1])
    found = _made(node, taken, attrs)
    if node.op in WINDOWED and min(found.shape, default=1) < 1 and all(n.size for n in taken):
        raise ShapeError(
            f"Model: {node.op.name}, drawn as {node.shape}, gives {found.shape}: its input "
            f"{taken[0].shape} is shorter than the kernel; need a larger input or more padding"
        )
    if found.shape != at(node.shape, sizes) or any(size < 0 for size in found.shape):
        raise ShapeError(
            f"Model: {node.op.name} gives {found.shape} where it was drawn as {node.shape}; need "
            "as many examples as it was drawn for, or this in a module's forward"
        )
    return found


def _made(node: Node, taken: tuple[Node, ...], attrs: Any) -> Node:
    try:
        return make(node.op, taken, attrs)
    except ShapeError as error:
        drawn, given = (", ".join(str(n.shape) for n in nodes) for nodes in (node.inputs, taken))
        raise ShapeError(
            f"Model: {node.op.name}, drawn as {node.shape} of {drawn}, gets {given}: "
            f"{error.message}; this was taken for granted of sizes that are not known: need data "
            "for which it is so, or this in a module's forward"
        ) from None


def _check(node: Node) -> None:
    """Refuse what would be frozen: parameters outside of modules, random numbers."""
    if node in inputs:
        raise ArgumentError(
            f"Model: the outputs need {names.get(node, 'another am.Input')!r} too; need every "
            "am.Input that they are made of among the inputs"
        )
    if node.tracked:
        raise ArgumentError(
            f"Model: a parameter {tuple(node.shape)} is used outside of a module, where its values "
            "would stay those of now; need a module whose forward uses it"
        )
    if isinstance(node.op, Random):
        raise ArgumentError(
            f"Model: {node.op.name} outside of a module would give the same numbers in every call; "
            "need a module: nn.Dropout, or a class with this in its forward"
        )


def _nodes(what: str, given: Any) -> tuple[list[Node], tree.Structure]:
    leaves, structure = tree.flatten(given)
    for leaf in leaves:
        if not is_symbolic(leaf) and not (isinstance(leaf, Tensor) and leaf._node.value is None):
            raise ArgumentError(
                f"Model: {what} has {type(leaf).__name__}; need symbolic tensors, made from "
                "am.Input((...))"
            )
    if not leaves:
        raise ArgumentError(f"Model: {what} is {given!r}; need symbolic tensors")
    return [leaf._node for leaf in leaves], structure
