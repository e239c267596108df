"""`vmap`: a function of one example becomes a function of many, without a loop."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambos.autodiff.batch import batched
from ambos.core import tree
from ambos.core.dtype import uint64
from ambos.core.errors import ArgumentError, ArgumentTypeError, ShapeError, TracingError
from ambos.graph.node import Node
from ambos.ops.arithmetic import cast
from ambos.ops.bodies import argument_like, part_of
from ambos.ops.kinds import repeated
from ambos.ops.movement import concat, permute, reshape
from ambos.ops.reductions import any_
from ambos.ops.sources import argument, iota
from ambos.ops.steps import scanned
from ambos.tensor.closure import Closure, close, is_key
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import SCALARS
from ambos.tensor.random.basic import fold_in
from ambos.tensor.refusals import require_false
from ambos.tensor.signature import argument_name
from ambos.tensor.tracing import current

RANDOMNESS = ("error", "same", "different")
MAPPABLE = (Tensor, np.ndarray, np.generic, *SCALARS)


@public
def vmap(
    fn: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0, axis_size: int | None = None,
    randomness: str = "error", chunk_size: int | None = None,
) -> Callable[..., Any]:  # fmt: skip
    """A function that does to each of many examples, all at once, what `fn` does to one.

    `fn` sees one example. `in_axes` says along which axis of each positional argument the examples
    lie (None: the argument is the same for all): an integer, or a tuple with one entry for each
    argument, which may be a tree like the argument, or the top of one. Keyword arguments have
    their examples along axis 0. `out_axes` says the same of the results; one that does not depend
    on the examples is repeated, or stays as it is with None. PyTorch's `in_dims` and `out_dims`
    are the same. `axis_size` is needed only where nothing is mapped. The result has the bits that a
    loop over the examples gives.

    `randomness`, for numbers from the global stream: "error"; "same" for every example; or
    "different": example i draws from `am.random.fold_in(key, i)` where it would draw from `key`
    alone. Numbers from keys that `fn` is given depend on these keys only.

    `chunk_size` examples at a time take less memory than all at once.

    Errors: ArgumentError where axes do not fit the arguments or the results; ShapeError where
        arguments disagree on the number of examples; TracingError where `fn` looks at a value that
        differs between examples, keeps a tensor, or changes one from outside.

    Example:
        >>> import ambos as am
        >>> am.vmap(lambda row, scale: scale * row.sum(), in_axes=(0, None))(am.ones(2, 3), 2.0)
        tensor([6., 6.])
        >>> am.vmap(am.grad(lambda w, x: (w * x).sum()), in_axes=(None, 0))(am.ones(2), am.eye(2))
        tensor([[1., 0.],
                [0., 1.]])
    """
    if not callable(fn):
        raise ArgumentTypeError(f"vmap: got {type(fn).__name__}; need a function or a module: "
                                "am.vmap(f)(x)")  # fmt: skip
    if randomness not in RANDOMNESS:
        raise ArgumentError(f"vmap: randomness is {randomness!r}; need one of {RANDOMNESS}")
    for name, count, least in (("axis_size", axis_size, 0), ("chunk_size", chunk_size, 1)):
        if count is not None and (not _is_integer(count) or count < least):
            raise ArgumentError(f"vmap: {name} is {count!r}; need an integer >= {least}")
    axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes

    @functools.wraps(fn, updated=())
    def mapped(*args: Any, **kwargs: Any) -> Any:
        given = _taken_apart(axes, axis_size, args, kwargs)
        closure = _closure(fn, given, randomness)
        try:
            places = _result_axes(out_axes, closure)
            examples = dict(zip(closure.arguments, given.examples, strict=True))
            if randomness == "different":
                examples |= {key: _keys(key, given.size) for key in closure.hosts if is_key(key)}
            return _results(closure, places, examples, given.size, chunk_size)
        except BaseException:
            closure.forget()
            raise

    return mapped


# --- arguments -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """A call's arguments: (args, kwargs) taken apart. `places` are the leaves that are mapped,
    `examples` their nodes, with the examples along the first axis."""

    leaves: list[Any]
    structure: tree.Structure
    places: list[int]
    examples: list[Node]
    size: int


@dataclass(frozen=True, slots=True)
class Extent:
    """How many examples there are, and who says so."""

    size: int
    source: str


def _taken_apart(
    in_axes: Any, axis_size: int | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Given:
    found, structure = tree.flatten_with_path((args, dict(kwargs)))
    axes = _broadcast("in_axes", in_axes, "the arguments", tree.structure(args))
    count = len(axes)
    axes += [0 if isinstance(leaf, MAPPABLE) else None for _, leaf in found[count:]]
    extent = None if axis_size is None else Extent(axis_size, f"axis_size is {axis_size}")
    places, examples = [], []
    for place, ((path, leaf), axis) in enumerate(zip(found, axes, strict=True)):
        if axis is None:
            continue
        name = ("args" if place < count else "kwargs") + str(tree.Path(path[1:]))
        node = _mapped_node(name, leaf, axis)
        extent = _agreed(extent, name, node, axis)
        places.append(place)
        examples.append(_moved(node, axis % node.rank, 0))
    if extent is None:
        raise ArgumentError(f"vmap: no argument is mapped (in_axes is {in_axes!r}); need an axis "
                            "for one of them, or axis_size=")  # fmt: skip
    return Given([leaf for _, leaf in found], structure, places, examples, extent.size)


def _broadcast(name: str, axes: Any, what: str, structure: tree.Structure) -> list[int | None]:
    """The axis of each leaf of `structure`."""
    try:
        found = tree.broadcast_prefix(axes, structure, lambda x: x is None, (name, what))
    except ArgumentError as error:
        raise ArgumentError(f"vmap: {error.message.removeprefix('tree: ')}") from None
    for axis in found:
        if axis is not None and not _is_integer(axis):
            raise ArgumentError(f"vmap: {name} holds {axis!r}; need integers or None")
    return found


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _mapped_node(name: str, leaf: Any, axis: int) -> Node:
    tree.refuse_unregistered("vmap", leaf, name)
    if not isinstance(leaf, MAPPABLE):
        raise ArgumentTypeError(f"vmap: {name} is a {type(leaf).__name__}; need a tensor, or None "
                                "for it in in_axes")  # fmt: skip
    node = node_of(leaf)
    if not node.rank:
        raise ShapeError(f"vmap: {name} is a scalar, which has no axis {axis} to map; need None "
                         "for it in in_axes, or functools.partial for a keyword")  # fmt: skip
    if not -node.rank <= axis < node.rank:
        raise ShapeError(f"vmap: axis {axis} for {name} of shape {node.shape}; need "
                         f"{-node.rank} <= axis < {node.rank}")  # fmt: skip
    return node


def _agreed(extent: Extent | None, name: str, node: Node, axis: int) -> Extent:
    size = node.shape[axis]
    source = f"{name} of shape {node.shape} has {size} along axis {axis}"
    if extent is not None and extent.size != size:
        raise ShapeError(f"vmap: {extent.source}, {source}; need one number of examples: other "
                         "in_axes, or None for what all examples share")  # fmt: skip
    return extent or Extent(size, source)


def _moved(node: Node, source: int, target: int) -> Node:
    """`node` with axis `source` at `target`."""
    if source == target:
        return node
    axes = [a for a in range(node.rank) if a != source]
    axes.insert(target, source)
    return permute(node, attrs=(tuple(axes),))


# --- one example ---------------------------------------------------------------------------------


def _closure(fn: Callable[..., Any], given: Given, randomness: str) -> Closure:
    """What `fn` makes of one example."""
    arguments = [argument.leaf(x.shape[1:], x.dtype, x.tracked) for x in given.examples]

    def call(tensors: list[Tensor]) -> Any:
        leaves = list(given.leaves)
        for place, tensor in zip(given.places, tensors, strict=True):
            leaves[place] = tensor
        args, kwargs = tree.unflatten(given.structure, leaves)
        result = fn(*args, **kwargs)
        name = lambda path: "argument " + argument_name(fn, path)
        tree.refuse_changes("vmap", given.structure, leaves, (args, kwargs), name)
        if randomness == "error" and current.trace is not None:
            _refuse_keys(current.trace.hosts)
        return result

    return close("vmap", call, arguments)


def _refuse_keys(hosts: Mapping[Node, Any]) -> None:
    if any(map(is_key, hosts)):
        raise TracingError(
            "vmap: the function draws from the global random stream; need randomness='different' "
            "(other numbers for each example) or 'same', or keys as an argument: "
            "am.random.split(key, n)"
        )


def _keys(key: Node, size: int) -> Node:
    """For each example the key folded with the example's number."""
    number = argument.leaf((), uint64)
    own = fold_in(wrap(key), wrap(number))._node
    numbers = cast(iota(attrs=(size,)), attrs=(uint64,))
    ((keys, _),) = batched([own], {number: numbers}, size)
    return keys


# --- results -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A result of one example, its name, and the axis that its examples go to."""

    node: Node
    name: str
    axis: int | None


def _result_axes(out_axes: Any, closure: Closure) -> list[Place]:
    axes = _broadcast("out_axes", out_axes, "the result", closure.structure)
    found = []
    for path, leaf, axis in zip(closure.structure.paths(), closure.leaves, axes, strict=True):
        name = f"result{path}"
        if not isinstance(leaf, MAPPABLE):
            raise ArgumentTypeError(f"vmap: {name} is a {type(leaf).__name__}; need tensors or "
                                    "numbers as results")  # fmt: skip
        node = node_of(leaf)
        if axis is not None and not -node.rank - 1 <= axis <= node.rank:
            raise ShapeError(f"vmap: axis {axis} in out_axes for {name}, of shape {node.shape} "
                             f"each; need {-node.rank - 1} <= axis <= {node.rank}")  # fmt: skip
        found.append(Place(node, name, axis))
    return found


def _results(
    closure: Closure, places: Sequence[Place], examples: Mapping[Node, Node], size: int,
    chunk: int | None,
) -> Any:  # fmt: skip
    """The results of all examples."""
    wanted = [*(place.node for place in places), *(check[0] for check in closure.checks)]
    if chunk is None or chunk >= size:
        whole = batched(wanted, examples, size)
    else:
        whole = _in_chunks(wanted, examples, size, chunk)
    for (node, _), (_, error, message) in zip(whole[len(places) :], closure.checks, strict=True):
        require_false(any_(node, attrs=((0,),)), error, message)
    found = [
        wrap(_finished(place, node, depends, size))
        for place, (node, depends) in zip(places, whole, strict=False)
    ]
    return tree.unflatten(closure.structure, found)


def _in_chunks(
    wanted: Sequence[Node], examples: Mapping[Node, Node], size: int, chunk: int
) -> list[tuple[Node, bool]]:
    """`batched`, so many examples at a time: a loop, and what is left over."""
    full = size // chunk
    some = {node: argument_like(x, (chunk, *x.shape[1:])) for node, x in examples.items()}
    found = batched(wanted, some, chunk)
    stacks = {
        some[node]: reshape(part_of(x, 0, full * chunk), attrs=((full, chunk, *x.shape[1:]),))
        for node, x in examples.items()
    }
    _, parts = scanned([], stacks, [node for node, depends in found if depends], full)
    rows = [reshape(x, attrs=((full * chunk, *x.shape[2:]),)) for x in parts]
    if full * chunk < size:
        left = {node: part_of(x, full * chunk, size) for node, x in examples.items()}
        rest = [node for node, depends in batched(wanted, left, size - full * chunk) if depends]
        rows = [concat(*pair, attrs=(0,)) for pair in zip(rows, rest, strict=True)]
    whole = iter(rows)
    return [(next(whole), True) if depends else (node, False) for node, depends in found]


def _finished(place: Place, node: Node, depends: bool, size: int) -> Node:
    if place.axis is None:
        if depends:
            raise ArgumentError(f"vmap: out_axes is None for {place.name}, which differs between "
                                "the examples; need an axis for it")  # fmt: skip
        return node
    whole = node if depends else repeated(node, size)
    return _moved(whole, 0, place.axis % whole.rank)


__all__ = ["vmap"]
