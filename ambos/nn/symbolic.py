"""`am.Input`: tensors that stand for data, of which functional models are made.

A symbolic tensor is a handle on a node without value, so whatever is computed from it is recorded
like anything else. A module that is called on one runs once, to learn shapes, and is noted with its
arguments; what it returns is symbolic again. So a functional model is a list of calls with plain
graphs between them (`train/functional.py` runs it).

The number of examples is unknown: a `Size` (`core/unknown.py`) in its shape. A module's forward,
of which only shapes are kept, meets the number that stands for it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from ambos.core import tree
from ambos.core.arguments import checked
from ambos.core.dtype import as_dtype
from ambos.core.errors import AmbosError, ArgumentError
from ambos.core.structure import Structure
from ambos.core.unknown import BATCH, HALF, STAND_INS, Size, at
from ambos.graph.node import Node, leaf
from ambos.nn.modes import in_mode
from ambos.ops.sources import argument
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.modes import no_grad
from ambos.tensor.resting import peek


@dataclass(eq=False)
class SymbolicCall:
    """A module that was called on symbolic tensors: with what, and the leaves that stand for what
    it returned."""

    module: Any
    arguments: list[Any]  # leaves: nodes for tensors, other values as they are
    structure: Structure
    results: list[Node]
    returned: Structure
    number: int = field(default_factory=itertools.count().__next__)  # calls made before


class Symbols(threading.local):
    """`exist`: has this thread symbolic tensors at all? `is_open`: a module runs on some, and those
    inside of it are no calls of their own."""

    exist = False
    is_open = False


symbols = Symbols()
EXAMPLES: Any = Size(STAND_INS)
FEW = 1 << 20

origins: WeakKeyDictionary[Node, SymbolicCall] = WeakKeyDictionary()
names: WeakKeyDictionary[Node, str] = WeakKeyDictionary()


@checked
def Input(
    shape: Sequence[int | None] = (), batch_size: int | None = None, dtype: Any = "float32",
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """A tensor that stands for a batch of inputs, each of `shape`: layers, functions and operators
    on it describe a model, `am.Model(inputs=..., outputs=...)`.

    Shapes: (N, *shape), where N is any number of examples; `n = x.shape[0]` is a `Size` that stands
        for it. What arithmetic makes of it (`2 * n - 1`, `n // 2`, `1 / n`, `n ** 0.5`, `round`) is
        made anew for each batch, in shapes, indices and numbers. It is no int, though
        `isinstance(n, int)`, so what needs the number itself is refused: `float(n)`, `if n > 1`,
        `range(n)`, `len(x)`, `math.log(n)`, NumPy's functions. A module's forward meets an int.
    Errors: ArgumentError for a shape that is none, and for what needs the number; looking at a
        value, which it has not, is a TracingError.
    Source: Keras's functional API.

    Example:
        >>> import ambos as am
        >>> x = am.Input((4,), name="x")
        >>> y = am.nn.Linear(4, 2)(x).relu() + 1
        >>> model = am.Model(inputs=x, outputs=y)
        >>> model(am.ones(3, 4)).shape
        (3, 2)
    """
    given = (shape,) if isinstance(shape, int) else shape
    if not isinstance(given, (tuple, list)) or not all(
        isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in given
    ):
        raise ArgumentError(
            f"Input: shape is {shape!r}; need the sizes of one example, without the batch: "
            "am.Input((28, 28)); a size that varies belongs into a module of its own"
        )
    symbols.exist = True
    node = _leaf((batch_size or EXAMPLES, *given), as_dtype(dtype), name or "input")
    if name is not None:
        names[node] = name
    inputs[node] = True
    return wrap(node)


inputs: WeakKeyDictionary[Node, bool] = WeakKeyDictionary()


def _leaf(shape: tuple[int, ...], dtype: Any, what: str) -> Node:
    text = (
        f"{what} stands for data of an am.Input and has no value; need am.Model(inputs=..., "
        "outputs=...) of it, called on data"
    )
    return leaf(argument, (text,), shape, dtype, False, None)


def is_symbolic(value: Any) -> bool:
    """Does `value` stand for data of an am.Input?"""
    if not isinstance(value, Tensor):
        return False
    node = peek(value)
    if node.value is not None:
        return False
    return node in inputs or node in origins or any(isinstance(n, Size) for n in node.shape)


def are_symbolic(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Is this a call that describes a model rather than one that computes?"""
    if symbols.is_open:
        return False
    given = args if not kwargs else (*args, *kwargs.values())
    if not any(isinstance(value, (tuple, list, dict)) for value in given):
        return any(map(is_symbolic, given))
    return any(map(is_symbolic, tree.leaves(given)))


def described(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `module` returns for symbolic arguments: symbolic tensors, and the call is noted."""
    given, structure = tree.flatten((args, kwargs))
    inner, outer = structure.build(map(_stand_in, given))
    with _opened(module), no_grad():
        try:
            found = module(*inner, **outer)
        except AmbosError as error:
            error.args = (str(error).replace(str(BATCH), "N"),)
            error.message = error.message.replace(str(BATCH), "N")
            raise
    results, returned = tree.flatten(found)
    for result in results:
        if not isinstance(result, Tensor):
            raise ArgumentError(
                f"{type(module).__name__}: returned {type(result).__name__} for an am.Input; need "
                "tensors"
            )
    title = f"the result of {type(module).__name__}"
    leaves = [_leaf(tuple(map(_size, result.shape)), result.dtype, title) for result in results]
    arguments = [value._node if isinstance(value, Tensor) else value for value in given]
    call = SymbolicCall(module, arguments, structure, leaves, returned)
    for node in leaves:
        origins[node] = call
    return returned.build(iter([wrap(node) for node in leaves]))


def _stand_in(value: Any) -> Any:
    """An argument whose sizes are numbers."""
    if not isinstance(value, Tensor):
        return at(value, {EXAMPLES: BATCH})
    shape = at(value.shape, {EXAMPLES: BATCH})
    return wrap(_leaf(shape, value.dtype, "an argument")) if is_symbolic(value) else value


def _size(number: int) -> Any:
    """A size of a result, as made of the number of examples."""
    if number <= HALF:
        return number
    times, rest = divmod(number + HALF, BATCH)
    if times > FEW or abs(rest - HALF) > FEW:
        return Size((number,) * len(STAND_INS))
    found = EXAMPLES if times == 1 else times * EXAMPLES
    return found if rest == HALF else found + (rest - HALF)


@contextmanager
def _opened(module: Any) -> Iterator[None]:
    """The module in eval mode, in which it changes nothing; modules inside are no calls."""
    symbols.is_open = True
    try:
        with in_mode(module, False):
            yield
    finally:
        symbols.is_open = False
