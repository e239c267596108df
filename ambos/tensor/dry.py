"""Functions run on specifications: `eval_shape` and `make_graph`. Nothing is computed, and
everything is afterwards as it was before."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ambos.core import tree
from ambos.core.arguments import checked
from ambos.core.dtype import DType, as_dtype
from ambos.core.errors import ArgumentError
from ambos.core.shape import Shape, size_of
from ambos.graph.lines import noted
from ambos.graph.listing import Listing, kind_of, nodes_below
from ambos.graph.node import Node
from ambos.ops.sources import argument
from ambos.tensor.closure import Closing, refuse_strays
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.jit import Jitted
from ambos.tensor.signature import argument_name
from ambos.tensor.tracing import current, enter


class ShapeDtype:
    """What is known of a tensor without its values.

    Example:
        >>> import ambos as am
        >>> am.ShapeDtype((64, 8), "int64")
        ShapeDtype((64, 8), int64)
    """

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: Sequence[int], dtype: DType | str = "float32") -> None:
        self.shape: Shape = tuple(shape)
        self.dtype: DType = as_dtype(dtype)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return size_of(self.shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShapeDtype) and (self.shape, self.dtype) == (
            other.shape, other.dtype,
        )  # fmt: skip

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype.name))

    def __repr__(self) -> str:
        return f"ShapeDtype({self.shape}, {self.dtype.name})"


ShapeDtypeStruct = ShapeDtype  # JAX's name


class DryRun:
    """What a function did on arguments without values: `leaves` of its result in `structure`,
    `changes` of tensors from outside as (handle, is it the gradient, new node)."""

    def __init__(
        self, op: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        if not callable(fn):
            raise ArgumentError(f"{op}: got {type(fn).__name__}; need a function and its "
                                f"arguments: am.{op}")  # fmt: skip
        self.fn = fn._fn if isinstance(fn, Jitted) else fn
        given, self.arguments = tree.flatten((args, kwargs), tree.is_object)
        inner = [_without_value(leaf) for leaf in given]
        self.inputs = {
            node: argument_name(self.fn, path)
            for node, path in zip(inner, self.arguments.paths(), strict=True)
            if isinstance(node, Node)
        }
        self.op = op
        self._run(op, inner)

    def _run(self, op: str, inner: Sequence[Any]) -> None:
        outer = current.trace
        trace = Closing(op, list(self.inputs), outer)
        trace.scope = trace
        enter(trace)
        try:
            with noted():
                self.leaves, self.structure = tree.flatten(self._call(inner), tree.is_object)
            self.changes = [*_changes(trace)]
            self.hosts = list(trace.hosts)
        finally:
            enter(outer)
            trace.roll_back()
        refuse_strays(trace, self.leaves)

    def _call(self, inner: Sequence[Any]) -> Any:
        leaves = [wrap(leaf) if isinstance(leaf, Node) else leaf for leaf in inner]
        given = self.arguments.build(iter(leaves))
        result = self.fn(*given[0], **given[1])
        name = lambda path: "argument " + argument_name(self.fn, path)
        tree.refuse_changes(self.op, self.arguments, leaves, given, name)
        return result


def _without_value(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        node = leaf._node
        return argument.leaf(node.shape, node.dtype, node.tracked)
    if not isinstance(leaf, type) and hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        return argument.leaf(tuple(leaf.shape), as_dtype(leaf.dtype))
    return leaf


def _changes(trace: Closing) -> Iterator[tuple[Any, bool, Node | None]]:
    for handle, old in trace.changed.values():
        if handle._node is not old:
            yield handle, False, handle._node
    for touched in trace.gradients.values():
        now = touched.handle._grad
        if touched.is_set and now is not touched.start:
            yield touched.handle, True, None if now is None else now._node


@checked
def eval_shape(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What `fn(*args, **kwargs)` returns, as a tree of `ShapeDtype`: nothing is computed and
    nothing allocated. Arguments are tensors, or `ShapeDtype` (or anything that has a shape and a
    dtype) in their place.

    Errors: those of `fn` for such shapes; TracingError where it looks at values.

    Example:
        >>> import ambos as am
        >>> am.eval_shape(lambda x: {"y": x @ x.T}, am.ShapeDtype((1_000_000, 8)))
        {'y': ShapeDtype((1000000, 1000000), float32)}
    """
    run = DryRun("eval_shape", fn, args, kwargs)
    found = [ShapeDtype(leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else leaf
             for leaf in run.leaves]  # fmt: skip
    return run.structure.build(iter(found))


class Text(str):
    """Text that shows itself as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@checked
def make_graph(fn: Callable[..., Any]) -> Callable[..., Text]:
    """A function that returns the graph of `fn` on its arguments as text: operations as
    `am.explain` names them, inputs by their path, tensors from outside by the names that `fn` knows
    them by, insides of loops indented, the user's lines at the right. Nothing is computed;
    arguments as for `eval_shape`.

    Example:
        >>> import ambos as am
        >>> am.make_graph(lambda x: x.exp().sum())(am.ones(3))  # doctest: +ELLIPSIS
        <lambda>(x: float32[3])
          %1: float32[3] = exp(x) ...
          %2: float32[] = sum(%1) (0,) ...
          return %2
    """
    if not callable(fn):
        raise ArgumentError(f"make_graph: got {type(fn).__name__}; need a function: "
                            "am.make_graph(fn)(*args)")  # fmt: skip

    def listed(*args: Any, **kwargs: Any) -> Text:
        return Text(_text(DryRun("make_graph", fn, args, kwargs)))

    return listed


def _text(run: DryRun) -> str:
    listing = Listing(run.inputs)
    known = dict(_known_to(run.fn))
    owners = {id(tensor): name for name, tensor in known.items()}
    by_node = {tensor._node: name for name, tensor in known.items()}
    by_node |= {node: f"python {n}" for n, node in enumerate(run.hosts, 1)}  # anew at every call
    found = [leaf._node for leaf in run.leaves if isinstance(leaf, Tensor)]
    roots = [*found, *(node for _, _, node in run.changes if node is not None)]
    unknown = itertools.count(1)
    for node in nodes_below(roots):
        if node.value is not None and node not in listing.names:
            name = listing.names[node] = by_node.get(node) or f"captured {next(unknown)}"
            listing.add(f"{name}: {kind_of(node)}  from outside")
    listing.write(roots)
    for handle, is_gradient, changed in run.changes:
        name = owners.get(id(handle), "a tensor from outside") + ".grad" * is_gradient
        listing.add(f"{name} <- {'None' if changed is None else listing.name(changed)}")
    shown = [listing.name(leaf._node) if isinstance(leaf, Tensor) else repr(leaf)
             for leaf in run.leaves]  # fmt: skip
    result = run.structure.build(iter(map(Text, shown)))
    heads = ", ".join(f"{name}: {kind_of(node)}" for node, name in run.inputs.items())
    title = getattr(run.fn, "__name__", type(run.fn).__name__)
    return "\n".join([f"{title}({heads})", *listing.lines, f"  return {result}"])


def _known_to(fn: Callable[..., Any]) -> Iterator[tuple[str, Tensor]]:
    """Tensors that a function reaches by its variables, and how it would call them."""
    variables: dict[str, Any] = {}
    owner = getattr(fn, "__self__", None if inspect.isroutine(fn) else fn)
    if owner is not None:
        variables["self"] = owner
    function = getattr(fn, "__func__", fn)
    if inspect.isfunction(function):
        closed = inspect.getclosurevars(function)
        variables |= {**closed.globals, **closed.nonlocals}
    optimizers = {n: v for n, v in variables.items() if hasattr(v, "param_groups")}
    names: dict[int, str] = {}
    for name, value in variables.items():
        if name not in optimizers:
            for path, leaf in tree.leaves_with_path(value):
                if isinstance(leaf, Tensor):
                    names[id(leaf)] = f"{name}{path}"
                    yield f"{name}{path}", leaf
    for name, optimizer in optimizers.items():
        for number, (parameter, state) in enumerate(optimizer.state.items()):
            which = names.get(id(parameter), number)
            for path, leaf in tree.leaves_with_path(state):
                inner = getattr(leaf, "count", leaf)  # of a clock
                if isinstance(inner, Tensor):
                    yield f"{name}.state[{which}]{path}", inner


__all__ = ["ShapeDtype", "ShapeDtypeStruct", "eval_shape", "make_graph"]
