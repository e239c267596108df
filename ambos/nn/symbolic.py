"""`am.Input`: tensors that stand for data, of which functional models are made.

A symbolic tensor is a handle on a node without value, so whatever is computed from it is recorded
like anything else. A module that is called on one runs once, to learn shapes, and is noted with its
arguments; what it returns is symbolic again. So a functional model is a list of calls with plain
graphs between them (`train/functional.py` runs it).

The number of examples is unknown: a `Size` (`core/unknown.py`) in its shape. A module's forward,
of which only shapes are kept, runs for two numbers that are divided by much, and for two that are
not by anything, where it takes those.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from ambos.core import tree
from ambos.core.arguments import checked
from ambos.core.dtype import as_dtype
from ambos.core.errors import AmbosError, ArgumentError, DTypeError
from ambos.core.structure import Structure
from ambos.core.unknown import DRAWN, LARGE, STAND_INS, Numbers, Size, at
from ambos.graph.node import Node, leaf, toposort
from ambos.nn.modes import in_mode
from ambos.nn.untouched import untouched
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
    sizes: list[Size]  # that its results may be made of
    number: int = field(default_factory=itertools.count().__next__)  # calls made before


class Symbols(threading.local):
    """`exist`: has this thread symbolic tensors at all? `is_open`: a module runs on some, and those
    inside of it are no calls of their own."""

    exist = False
    is_open = False


symbols = Symbols()
EXAMPLES: Any = Size(STAND_INS)
FEW = 1 << 20
ROWS = (132, 156, 7, 20)  # in a forward: few enough for a loop; the first are divided by 12

origins: WeakKeyDictionary[Node, SymbolicCall] = WeakKeyDictionary()
names: WeakKeyDictionary[Node, str] = WeakKeyDictionary()


@checked
def Input(
    shape: Sequence[int | None] = (), batch_size: int | None = None, dtype: Any = "float32",
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """A tensor that stands for a batch of inputs, each of `shape`: layers, functions and operators
    on it describe a model, `am.Model(inputs=..., outputs=...)`.

    Shapes: (N, *shape), where N is any number of examples; a size that is None may differ from
        batch to batch, too: `am.Input((None,), dtype="int64")` for texts. Each None is a size of
        its own; that of another input is said by it: `mask = am.Input((words.shape[1],))`, and
        data of different lengths are a ShapeError. `n = x.shape[0]` is a
        `Size` that stands for the number. What arithmetic makes of it (`2 * n - 1`, `n // 2`,
        `1 / n`, `n ** 0.5`, `round`) is made anew for each batch, in shapes, indices and numbers.
        It is no int, though `isinstance(n, int)`, so what needs the number itself is refused:
        `float(n)`, `if n > 1`, `range(n)`, `len(x)`, `math.log(n)`, NumPy's functions. A module's
        forward meets an int: it is drawn for some, to see what depends on it, and left as it was.
    Errors: ArgumentError for a shape that is none, and for what needs the number; looking at a
        value, which it has not, is a TracingError. Data for which a size does not come out as it
        was drawn are a ShapeError.
    Source: Keras's functional API.

    Example:
        >>> import ambos as am
        >>> x = am.Input((4,), name="x")
        >>> y = am.nn.Linear(4, 2)(x).relu() + 1
        >>> model = am.Model(inputs=x, outputs=y)
        >>> model(am.ones(3, 4)).shape
        (3, 2)
        >>> words = am.Input((None,), dtype="int64")
        >>> states = am.nn.Embedding(100, 8)(words)
        >>> states.shape, states.sum(1).shape
        ((N, L, 8), (N, 8))
        >>> mask = am.Input((words.shape[1],))
        >>> (states * mask[:, :, None]).shape
        (N, L, 8)
    """
    given = (shape,) if isinstance(shape, int) else shape
    if not isinstance(given, (tuple, list)) or not all(
        n is None or (isinstance(n, int) and not isinstance(n, bool) and n > 0) for n in given
    ):
        raise ArgumentError(
            f"Input: shape is {shape!r}; need the sizes of one example, without the batch: "
            'am.Input((28, 28)), None for one that varies: am.Input((None,), dtype="int64")'
        )
    symbols.exist = True
    sizes = list(given)
    varying = [axis for axis, n in enumerate(given) if n is None]
    for place, axis in enumerate(varying):
        sizes[axis] = _varying(place, f"L{place + 1}" if len(varying) > 1 else "L")
    if str(getattr(dtype, "__name__", dtype)).startswith("str"):
        raise DTypeError(
            f"Input: dtype is {dtype!r}, and no tensor has strings; need the numbers that "
            "am.data.StringLookup or TextVectorization make of them in the data: "
            "dataset.map(lambda words, target: (lookup(words), target)), and dtype='int64'"
        )
    node = _leaf((batch_size or EXAMPLES, *sizes), as_dtype(dtype), name or "input")
    if name is not None:
        names[node] = name
    inputs[node] = True
    return wrap(node)


inputs: WeakKeyDictionary[Node, bool] = WeakKeyDictionary()
_count = itertools.count(50)


def taken(place: int) -> tuple[int, ...]:
    """Numbers for an unknown size: what halves sizes five times fits the first two; by 2 and 3 the
    others are not divided, one of which is long and one short, in other orders among sizes."""
    return 32 * (7 + place), 32 * (6 + 3 * place), abs(551 - 6 * place), 59 + 6 * place


def _varying(place: int, name: str) -> Size:
    """A size of its own: no other one is alike."""
    return Size((*taken(place), 1, 1_000_003 * next(_count)), name=name)


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
    """What `module` returns for symbolic arguments: symbolic tensors, and the call is noted.

    It runs for several assignments of the sizes: what differs in its results is unknown, too."""
    given, structure = tree.flatten((args, kwargs))
    sizes = _sizes_in(given)
    title = type(module).__name__
    runs = _runs(module, structure, given, _assignments(sizes))
    returned = runs[0].returned
    leaves = []
    for same in zip(*(run.results for run in runs), strict=True):
        shapes = zip(*(result.shape for result in same), strict=True)
        shape = tuple(_drawn(numbers, sizes, runs) for numbers in shapes)
        leaves.append(_leaf(shape, same[0].dtype, f"the result of {title}"))
    arguments = [value._node if isinstance(value, Tensor) else value for value in given]
    call = SymbolicCall(module, arguments, structure, leaves, returned, sizes)
    for node in leaves:
        origins[node] = call
    return returned.build(iter([wrap(node) for node in leaves]))


@dataclass(eq=False)
class Run:
    """What a module returned where sizes were `numbers`; `place`: which of the assignments."""

    place: int
    numbers: Numbers
    results: list[Tensor]
    returned: Structure

    @property
    def kinds(self) -> Any:
        return self.returned, [(result.dtype, result.ndim) for result in self.results]


def _runs(module: Any, structure: Structure, given: list[Any], assigned: list[Any]) -> list[Run]:
    """A module may refuse lengths that nothing divides: these tell nothing then."""
    runs: list[Run] = []
    for place, numbers in assigned:
        try:
            runs.append(Run(place, numbers, *_run(module, structure, given, numbers)))
        except Exception:
            if place < len(LARGE):
                raise
    if any(run.kinds != runs[0].kinds for run in runs):
        raise ArgumentError(
            f"{type(module).__name__}: how many tensors it returns, or of how many axes or which "
            "dtype, depends on a size that is not known; need the same for any size"
        )
    return runs


def _sizes_in(given: list[Any]) -> list[Size]:
    """The sizes in arguments that are not known, and those that these were made of by modules."""
    found = [EXAMPLES, *(value for value in given if isinstance(value, Size))]
    nodes = [value._node for value in given if is_symbolic(value)]
    found += [size for node in nodes for size in node.shape]
    for node in toposort(nodes):
        found += origins[node].sizes if node in origins else node.shape if node in inputs else ()
    return [*dict.fromkeys(size for size in found if isinstance(size, Size))]


def _assignments(sizes: list[Size]) -> list[tuple[int, Numbers]]:
    """Numbers in place of what the sizes are made of, those of no two inputs alike, with the places
    that they have among `values`."""
    found: dict[Size, tuple[Any, ...]] = {EXAMPLES: ROWS}
    for part in dict.fromkeys(part for size in sizes for part in size.parts):
        own, places = part.values[: len(ROWS)], itertools.count(8)
        while part.name != DRAWN and own in found.values():
            own = taken(next(places))
        found.setdefault(part, own)
    assigned = []
    for place in range(len(ROWS)):
        numbers = Numbers({part: values[place] for part, values in found.items()})
        if None not in numbers.values():
            assigned.append((place, numbers))
    return assigned


def _run(
    module: Any, structure: Structure, given: list[Any], numbers: Numbers
) -> tuple[list[Tensor], Structure]:
    """The results of a call, drawn for these numbers."""
    args, kwargs = structure.build(iter([_stand_in(value, numbers) for value in given]))
    with _opened(module), no_grad():
        try:
            found = module(*args, **kwargs)
        except AmbosError as error:
            taken = "".join(f"; {size!r} was taken for {number}" for size, number in numbers.items()
                            if size.name not in (DRAWN, EXAMPLES.name))  # fmt: skip
            rows = rf"(?<![\d.]){numbers[EXAMPLES]}(?![\d.])"
            error.message = re.sub(rows, "N", error.message) + taken
            error.args = (error.message,)
            raise
    results, returned = tree.flatten(found)
    for result in results:
        if not isinstance(result, Tensor):
            raise ArgumentError(
                f"{type(module).__name__}: returned {type(result).__name__} for an am.Input; need "
                "tensors"
            )
    return results, returned


def _stand_in(value: Any, numbers: Numbers) -> Any:
    """An argument whose sizes are numbers."""
    if not is_symbolic(value):
        return at(value, numbers)
    return wrap(_leaf(at(value.shape, numbers), value.dtype, "an argument"))


def _drawn(numbers: Any, sizes: list[Size], runs: list[Run]) -> Any:
    """A size of a result that came out as these numbers: a number, or one that is not known. Each
    call with data checks that it is so."""
    if len(set(numbers)) == 1:
        return numbers[0]
    first, last, *_ = numbers
    few, many, *_ = ROWS
    times = (last - first) // (many - few)
    of_rows = times * EXAMPLES + (first - times * few) if 0 < times < FEW else None
    for size in (*sizes, *([of_rows] if isinstance(of_rows, Size) else [])):
        if tuple(size.at(run.numbers) for run in runs) == numbers:
            return size
    values: list[Any] = [None] * len(ROWS)
    for run, number in zip(runs, numbers, strict=True):
        values[run.place] = number
    # Those of other inputs are of their own, though they came out alike.
    given = frozenset(part for size in sizes for part in size.parts if part.name != DRAWN)
    return Size((*values, 1, hash((numbers, given))), name=DRAWN)


@contextmanager
def _opened(module: Any) -> Iterator[None]:
    """The module in eval mode, and afterwards as before; modules inside are no calls."""
    symbols.is_open = True
    try:
        with in_mode(module, False), untouched(module):
            yield
    finally:
        symbols.is_open = False
