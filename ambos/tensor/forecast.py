"""`am.forecast(step, *shapes)`: memory, arithmetic and traffic of a function before it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ambos.compiler.compiled import Compiled, Renewal
from ambos.compiler.pipeline import compile_graph
from ambos.core import tree
from ambos.core.config import config
from ambos.core.dtype import DType, as_dtype, float32
from ambos.core.errors import ArgumentError
from ambos.core.shape import Shape, row_major
from ambos.graph.lines import Line
from ambos.graph.node import Node
from ambos.graph.rewrite import Trail
from ambos.ops.sources import data
from ambos.runtime.machine import host_features
from ambos.runtime.memory import available, in_words
from ambos.tensor.array import Imagined
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.jit import Jitted
from ambos.tensor.names import public
from ambos.tensor.profile_text import number
from ambos.tensor.rehearsal import Draft, rehearse
from ambos.tensor.room import Room, room_for

SHOWN = 12  # blocks in a table
TRIES = 10  # plans at other batch sizes, to find the largest that fits
CLOSE = 100  # within a hundredth: memory comes in blocks of certain sizes


class Planned(Draft):
    """Keeps the Program of the first graph that would be computed."""

    def made(
        self, roots: list[Node], trail: Trail, renewal: Renewal, budget: int | None,
        leaves: Sequence[Node], lines: list[Line | None],
    ) -> None:  # fmt: skip
        self.compiled: Compiled = compile_graph(
            roots, host_features(), config.threads, trail, renewal, budget
        )
        self.leaves, self.lines = list(leaves), lines


class Forecast:
    """What `am.forecast` found: `print` it, or look at its numbers.

    Units: bytes; `flops` are floating-point operations, a product and its sum counted as two.
    """

    def __init__(
        self, step: Callable[..., Any], args: tuple[Any, ...], kwargs: Any, budget: int | None
    ) -> None:
        self._step, self._args, self._kwargs, self._budget = step, args, kwargs, budget
        self.room, compiled = _plan(step, args, kwargs, budget)
        work = [launch.work for launch in compiled.program.launches]
        self.kernels = len(work)
        self.flops = sum(each.flops for each in work)
        self.read_bytes = sum(each.read for each in work)
        self.written_bytes = sum(each.written for each in work)

    @property
    def peak_bytes(self) -> int:
        """The most memory that arguments, state, temporaries and results take together."""
        return self.room.peak_bytes

    def largest_batch(self, nbytes: int | None = None) -> int:
        """The most examples that fit into `nbytes` (all memory that is free now), to a hundredth; 0
        where not even one does. Examples lie along the first axis of the largest argument and of
        all that are as long. Nothing runs: the step is planned at a few other sizes.

        Errors: ArgumentError where no argument has an axis of examples.
        """
        room, batch = self.room, self.room.batch
        if batch < 1:
            raise ArgumentError("largest_batch: no argument has a first axis; need one along which "
                                "the examples lie")  # fmt: skip
        limit = available() if nbytes is None else nbytes
        fits, least = 0, 0  # the most known to fit, the fewest known not to
        guess = batch
        for _ in range(TRIES):
            peak = room.peak_bytes if guess == batch else self._peak_at(guess)
            if peak <= limit:
                fits = max(fits, guess)
            else:
                least = min(least or guess, guess)
            # What does not grow is small where memory is short: a first guess by proportion.
            guess = (fits + least) // 2 if fits and least else int(guess * limit / peak)
            if least and (guess < 1 or least - fits <= max(1, least // CLOSE)):
                break
        return fits

    def _peak_at(self, batch: int) -> int:
        """The peak with so many examples."""
        old = self.room.batch

        def resized(leaf: Any) -> Any:
            if isinstance(leaf, Tensor) and leaf.shape and leaf.shape[0] == old:
                return imagined((batch, *leaf.shape[1:]), leaf.dtype)
            return leaf

        args, kwargs = tree.map(resized, (self._args, self._kwargs))
        return _plan(self._step, args, kwargs, self._budget)[0].peak_bytes

    def __repr__(self) -> str:
        room = self.room
        rows = [
            f"peak memory   {in_words(room.peak_bytes)}: arguments "
            f"{in_words(room.bytes_of('argument'))}, state {in_words(room.bytes_of('state'))}, "
            f"temporaries {in_words(room.bytes_of('temporary'))}, results "
            f"{in_words(room.bytes_of('result'))}",
            f"arithmetic    {number(self.flops / 1e9)} GFLOP in {self.kernels} kernels",
            f"traffic       {in_words(self.read_bytes)} read, {in_words(self.written_bytes)} "
            "written",
            "",
            "largest blocks at the peak",
        ]
        for holding in room.largest(SHOWN):
            what = f"{holding.dtype.name}{list(holding.shape)}"
            where = f"  {holding.line}" if holding.line else ""
            rows.append(f"  {in_words(holding.nbytes):>10}  {holding.role:<9}  {what}{where}")
        return "\n".join(rows)


def _plan(
    step: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], budget: int | None
) -> tuple[Room, Compiled]:
    """The Program of one call, and the room it takes; everything stays as it was."""
    found = Planned()
    recorder = rehearse(found, step, args, kwargs, budget)
    return room_for(found.compiled, recorder.roles(found.leaves), found.lines), found.compiled


def imagined(shape: Shape, dtype: DType) -> Tensor:
    """A tensor of zeros that takes no memory and must not be computed with."""
    return wrap(data.leaf(Imagined(shape, row_major(shape), dtype), shape, dtype))


def _argument(given: Any) -> Any:
    """A tensor as it is, a shape (of float32, or with its dtype) as a tensor."""
    if isinstance(given, tuple) and given and isinstance(given[0], tuple):
        shape, dtype = given
        return imagined(tuple(shape), as_dtype(dtype))
    if isinstance(given, tuple) and all(isinstance(n, int) for n in given):
        return imagined(given, float32)
    if not isinstance(given, Tensor) and hasattr(given, "shape") and hasattr(given, "dtype"):
        return imagined(tuple(given.shape), as_dtype(given.dtype))
    return given


@public
def forecast(step: Callable[..., Any], *args: Any, **kwargs: Any) -> Forecast:
    """What a call of `step` takes, before it runs: peak memory and what it is made of, arithmetic,
    traffic. `step` is planned as `am.jit` would, with nothing computed or allocated; tensors, the
    optimizer's state and the random stream stay as they are.

    Arguments are tensors, or shapes in their place: (64, 784) of float32, ((64,), "int64"). Of a
    step jitted with a `memory_budget` it says what that comes to.

    Errors: TracingError where `step` looks at values, as for `am.jit`.

    Example:
        >>> import ambos as am
        >>> found = am.forecast(lambda x: (x @ x).sum(), (256, 256))
        >>> found.flops > 2 * 256**3, found.room.bytes_of("argument")
        (True, 262144)
    """
    if not callable(step):
        raise ArgumentError(f"forecast: got {type(step).__name__}; need a function and its "
                            "arguments: am.forecast(step, (64, 784))")  # fmt: skip
    given = tuple(map(_argument, args)), {key: _argument(value) for key, value in kwargs.items()}
    if isinstance(step, Jitted):
        return Forecast(step._fn, *given, step._budget)
    return Forecast(step, *given, None)


__all__ = ["forecast"]
