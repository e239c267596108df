"""What a model does, by the modules that do it: every node of its graph belongs to a call.

`record` runs the model on arguments without values. On entering a module what its arguments still
need belongs to the caller; on leaving what its result needs belongs to the module. So each node
belongs to the innermost call in which it was made, and nothing has to look at Python's stack.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field
from typing import Any

from ambos.core import tree
from ambos.core.errors import ArgumentError
from ambos.core.paths import FlattenedIndexKey, Path, SequenceKey
from ambos.graph.node import Node, apart, toposort
from ambos.nn.module import Module
from ambos.ops.movement import afresh
from ambos.tensor.dry import DryRun
from ambos.tensor.handle import Tensor, wrap


@dataclass(eq=False)
class Call:
    """One call of a module: `path` is its name in the model, `nodes` what it made itself, in order
    (what modules inside it made is theirs), `inputs` and `outputs` the nodes that it was given and
    returned."""

    module: Module
    path: str
    parent: Call | None = None
    inputs: list[Node] = field(default_factory=list)
    outputs: list[Node] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The class of the module."""
        return type(self.module).__name__

    @property
    def depth(self) -> int:
        """How many calls are around it."""
        return 0 if self.parent is None else self.parent.depth + 1

    def walk(self) -> Iterator[Call]:
        """This call and those inside it, in the order in which they began."""
        yield self
        for call in self.calls:
            yield from call.walk()


@dataclass(eq=False)
class Recording:
    """A model's graph: the outermost call, the call that each node belongs to, the names of the
    arguments, those of parameters and buffers, and of the outputs ("" where these have only a
    place). Parameters and buffers are leaves, whatever graph may still be pending behind them."""

    root: Call
    owner: dict[Node, Call]
    arguments: dict[Node, str]
    state: dict[Node, str]
    outputs: list[Node]
    output_names: list[str]

    def sources(self, node: Node) -> tuple[Node, ...]:
        """What a node is made of, within the model."""
        return () if node in self.state else node.inputs

    def nodes(self) -> list[Node]:
        """All that the outputs need, inputs first."""
        return toposort(self.outputs, stop=self.state.__contains__)


class _Scopes:
    """The calls that are open, while a model runs."""

    def __init__(self, model: Module) -> None:
        self.model = model
        self.paths: dict[int, str] = {}
        for path, module in model.named_modules():
            self.paths.setdefault(id(module), path)
        self.state = {tensor._node: name for name, tensor in _state_of(model)}
        self.owner: dict[Node, Call] = {}
        self.root = Call(model, "")
        self.open: list[Call] = []

    def run(self, *args: Any, **kwargs: Any) -> Any:
        hooks = []
        for module in {id(m): m for m in self.model.modules() if m is not self.model}.values():
            hooks.append(module.register_forward_pre_hook(self.enter, with_kwargs=True))
            hooks.append(module.register_forward_hook(self.leave))
        self.open.append(self.root)
        self.root.inputs = _nodes_in((args, kwargs))
        try:
            result = self.model(*args, **kwargs)
        finally:
            for hook in hooks:
                hook.remove()
        self.claim(self.root, _nodes_in(result))
        return result

    def enter(self, module: Module, args: Any, kwargs: Any) -> None:
        outer = self.open[-1]
        call = Call(module, self.paths[id(module)], outer, _nodes_in((args, kwargs)))
        self.claim(outer, call.inputs)
        outer.calls.append(call)
        self.open.append(call)

    def leave(self, module: Module, args: Any, result: Any) -> Any:
        call = self.open.pop()
        if isinstance(result, Tensor) and not call.calls and result._node in self.owner:
            # It passes on what it was given (dropout that is off): a node of its own shows it.
            result = wrap(apart(afresh, (), result._node, result._node.tracked))
        call.outputs = _nodes_in(result)
        self.claim(call, call.outputs)
        return result

    def claim(self, call: Call, nodes: Iterable[Node]) -> None:
        owner, state = self.owner, self.state
        for node in toposort(nodes, stop=lambda n: n in owner or n in state):
            if node not in owner:
                owner[node] = call
                call.nodes.append(node)


def record(op: str, model: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recording:
    """The graph of `model(*args, **kwargs)`, by modules; `op` asks, for errors. Arguments are
    tensors, or `ShapeDtype` in their place. Nothing is computed, and the model stays as it is
    (lazy layers get their sizes).

    Errors: those of the model for such arguments; TracingError where it looks at values.
    """
    if not isinstance(model, Module):
        raise ArgumentError(f"{op}: got {type(model).__name__}; need an nn.Module")
    scopes = _Scopes(model)

    def run_model(*args: Any, **kwargs: Any) -> Any:
        return scopes.run(*args, **kwargs)

    # Arguments are called what `forward` calls them (a Model's may pass on to its network's).
    forward = (model.__dict__.get("network") or model).forward
    run_model.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]  # PEP 362
    run = DryRun(op, run_model, args, kwargs)
    root = scopes.root
    made = [(leaf._node, _name_of(path)) for path, leaf in zip(run.structure.paths(), run.leaves,
            strict=True) if isinstance(leaf, Tensor)]  # fmt: skip
    root.outputs = [node for node, _ in made]
    state = {tensor._node: name for name, tensor in _state_of(model)} | scopes.state
    names = [name for _, name in made]
    return Recording(root, scopes.owner, dict(run.inputs), state, root.outputs, names)


def _name_of(path: Path) -> str:
    """What the keys on the way to an output call it; "" where it has only a place."""
    if all(isinstance(key, (SequenceKey, FlattenedIndexKey)) for key in path):
        return ""
    return ".".join(str(own) for key in path for own in astuple(key))


def _state_of(model: Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if isinstance(tensor, Tensor):
            yield name, tensor


def _nodes_in(value: Any) -> list[Node]:
    leaves, _ = tree.flatten(value, tree.is_object)
    return [leaf._node for leaf in leaves if isinstance(leaf, Tensor)]
