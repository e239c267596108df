"""What the compiler is asked for and what it gives, apart from the passes between: a program that
was stored on disk is run without loading them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ambos.core.dtype import DType
from ambos.core.program import Program
from ambos.core.shape import Shape


@dataclass(frozen=True, slots=True)
class Renewal:
    """Roots that replace an input (a parameter its older value), as pairs (root, input).

    Such a root is computed after the input's readers if that can be, so that it may be written
    over it (`Program.donated`). It comes out in the input's layout if `keep_layouts`, else in the
    one that suits its kernel best.
    """

    pairs: tuple[tuple[int, int], ...] = ()
    keep_layouts: bool = True


NOTHING_RENEWED = Renewal()


@dataclass(frozen=True, slots=True)
class Result:
    """Where one result of a Program lies: in an output buffer, or it is an input unchanged."""

    output: int | None
    input: int | None
    shape: Shape
    strides: Shape
    dtype: DType


class Held(NamedTuple):
    """A block that a Program needs when it needs most: what it holds, the position of that in the
    graph as it was handed to the compiler (-1: none), which output it is, if it is one, and the
    name of the op that computes it."""

    nbytes: int
    dtype: DType
    shape: Shape
    source: int
    output: int | None
    op: str


@dataclass(frozen=True, slots=True)
class Compiled:
    """A Program and the layout of its results, in the order of the roots. `held`: the temporary
    blocks at the peak, and all results, the largest first."""

    program: Program
    results: tuple[Result, ...]
    held: tuple[Held, ...] = ()

    @property
    def own_bytes(self) -> int:
        """What temporaries and results take that are not written over inputs."""
        over = {output for output, _ in self.program.donated}
        outputs = enumerate(self.program.output_bytes)
        results = sum(nbytes for output, nbytes in outputs if output not in over)
        return self.program.arena_bytes + results
