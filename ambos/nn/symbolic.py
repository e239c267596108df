"""`am.Input`: tensors that stand for data, of which functional models are made.

A symbolic tensor is a handle on a node without value, so whatever is computed from it is recorded
like anything else. A module that is called on one runs once, to learn shapes, and is noted with its
arguments; what it returns is symbolic again. So a functional model is a list of calls with plain
graphs between them (`train/functional.py` runs it).

The number of examples is unknown: BATCH, a prime that no other size is made of, stands for it, and
`sized` puts the true number into shapes and attributes.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ambos.core import tree
from ambos.core.arguments import checked
from ambos.core.dtype import as_dtype
from ambos.core.errors import AmbosError, ArgumentError
from ambos.core.structure import Structure
from ambos.graph.node import Node, leaf
from ambos.ops.sources import argument
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.modes import no_grad
from ambos.tensor.resting import peek

BATCH = 2_147_483_629
HALF = BATCH // 2
FEW = 1 << 20


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
origins: WeakKeyDictionary[Node, SymbolicCall] = WeakKeyDictionary()
names: WeakKeyDictionary[Node, str] = WeakKeyDictionary()


@checked
def Input(
    shape: Sequence[int | None] = (), batch_size: int | None = None, dtype: Any = "float32",
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """A tensor that stands for a batch of inputs, each of `shape`: layers, functions and operators
    on it describe a model, `am.Model(inputs=..., outputs=...)`.

    Shapes: (N, *shape), where N is any number of examples; its `shape[0]` stands for it. Numbers
        such as `2 * n`, `n - 1` and `1 / n` are made anew for each batch; others, such as `n // 2`,
        `n ** 0.5` and `min(n, 100)`, need a module's forward: here they would be of the stand-in.
    Errors: ArgumentError for a shape that is none; looking at a value, which it has not, is a
        TracingError.
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
    node = _leaf((batch_size or BATCH, *given), as_dtype(dtype), name or "input")
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
    return node in inputs or node in origins or any(n > HALF for n in node.shape)


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
    with _opened(module), no_grad():
        try:
            found = module(*args, **kwargs)
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
    leaves = [_leaf(result.shape, result.dtype, title) for result in results]
    arguments = [value._node if isinstance(value, Tensor) else value for value in given]
    call = SymbolicCall(module, arguments, structure, leaves, returned)
    for node in leaves:
        origins[node] = call
    return returned.build(iter([wrap(node) for node in leaves]))


@contextmanager
def _opened(module: Any) -> Iterator[None]:
    """The module in eval mode, in which it changes nothing; modules inside are no calls."""
    training = [inner for inner in module.modules() if inner.training]
    module.eval()
    symbols.is_open = True
    try:
        yield
    finally:
        symbols.is_open = False
        for inner in training:
            inner.training = True


def sized(value: Any, count: int) -> Any:
    """A size or attribute with the number of examples in place of BATCH.

    Example:
        >>> sized((BATCH, 3 * BATCH, 5), 2)
        (2, 6, 5)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if -HALF < value < HALF:
            return value
        times, rest = divmod(value + HALF, BATCH)
        return times * count + rest - HALF
    if isinstance(value, float):
        return sized_number(value, count)
    if isinstance(value, tuple):
        parts = [sized(part, count) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        changed = {name: sized(part, count) for name, part in fields.items()}
        if any(changed[name] is not fields[name] for name in fields):
            return dataclasses.replace(value, **changed)
    return value


def sized_number(value: Any, count: int) -> Any:
    """A number that is computed with, where it was made of the number of examples: `2 * n`,
    `n - 1`, `1 / (n - 1)`. Others of that size, such as 1e10 and 2**31, are what they are.

    Example:
        >>> sized_number(BATCH - 1.0, 4), sized_number(1 / BATCH, 4), sized_number(2.0**31, 4)
        (3.0, 0.25, 2147483648.0)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value:
        return value
    if _is_of_count(value):
        return type(value)(sized(int(value), count))
    whole = 1 / value if abs(value) * HALF < 1 else 0.0
    if not HALF < abs(whole) < BATCH * FEW:
        return value
    near = round(whole)
    if abs(whole - near) > 4e-16 * abs(whole) or not _is_of_count(near):
        return value
    divisor = sized(near, count)
    return 1 / divisor if divisor else math.inf


def stands_for_count(value: Any) -> bool:
    """Was a number in a tensor made of BATCH, as far as can be told? A narrow one is rounded."""
    if value != value:  # NaN
        return False
    rounded = isinstance(value, float) and value == np.float32(BATCH)
    return bool(rounded or sized_number(value, 1) != value)


def _is_of_count(value: float) -> bool:
    """Is it a few times BATCH, a little more or less, and no power of two, nor one before?"""
    if not HALF < abs(value) < BATCH * FEW or value != int(value):
        return False
    whole = abs(int(value))
    rest = (whole + HALF) % BATCH - HALF
    return abs(rest) < FEW and bool(whole & (whole - 1)) and bool(whole & (whole + 1))
