"""`am.debug`: every operation computed alone, and looked at."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np

from ambos.core.config import config
from ambos.core.errors import AmbosError, CastError, NonFiniteError
from ambos.graph.constants import is_constant
from ambos.graph.lines import line_of
from ambos.graph.node import Node, forget_computed
from ambos.tensor import live
from ambos.tensor.watch import Watcher, watching

SHOWN = 4  # operands that a message shows
FIXES = {
    "log": "keep the operand above zero, for example am.clip(x, 1e-12)",
    "divide": "keep the divisor away from zero, for example y + 1e-12",
    "sqrt": "keep the operand at or above zero; its gradient is infinite at zero",
    "rsqrt": "keep the operand above zero, for example x + 1e-5",
    "exp": "subtract the largest element first, as softmax and logsumexp do",
    "power": "keep the base at or above zero where the exponent is no integer",
}


class debug:
    """Compute each operation alone meanwhile and look at what it makes: slow, for finding the line
    that goes wrong. A context manager; jitted functions run operation by operation inside.

    nan: stop at the operation that makes the first NaN or infinity of operands that hold none.
    casts: stop at a conversion to integers that cannot hold a value.

    Errors: NonFiniteError and CastError, with the operation, the first element concerned and its
        operands, the line that recorded it (that line with ' where its gradient was recorded) and
        the layer. What was computed before stays; nothing is left half done.

    Example:
        >>> import ambos as am
        >>> with am.debug(nan=True):  # doctest: +ELLIPSIS
        ...     (am.tensor([1.0, 0.0]).log() + 1).numpy()
        Traceback (most recent call last):
        ambos.core.errors.NonFiniteError: log: makes -inf at (1,), of 0.0; need finite values: \
keep the operand above zero, for example am.clip(x, 1e-12) [...]
    """

    def __init__(self, nan: bool = True, casts: bool = True) -> None:
        self.checks: list[Callable[[Node], None]] = []
        self.checks += [check_finite] if nan else []
        self.checks += [check_cast] if casts else []
        self.stack = ExitStack()

    def __enter__(self) -> debug:
        live.flush()  # what was recorded before is none of the block's business
        forget_computed()  # but what it asks for is computed, and looked at, inside
        before = config.fuse
        self.stack.callback(setattr, config, "fuse", before)
        config.fuse = False
        self.inspector = Inspector(self.checks)
        self.stack.enter_context(watching(self.inspector))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        try:
            if error is None:
                self.inspector.found = None  # an error inside was the block's to handle
                live.flush()  # what the block recorded is looked at as well
                if self.inspector.found is not None:
                    raise self.inspector.found
        finally:
            self.stack.close()


class Inspector(Watcher):
    """Looks at every node that was computed."""

    def __init__(self, checks: list[Callable[[Node], None]]) -> None:
        self.checks = checks
        self.found: AmbosError | None = None  # a flush goes on after an error
        self.reported: set[Node] = set()

    def computed(self, node: Node) -> None:
        try:
            for check in self.checks:
                check(node)
        except AmbosError as error:
            if node not in self.reported:
                self.found = self.found or error
            self.reported.add(node)
            node.value = None  # whoever looks again hears of it again
            raise


def values_of(node: Node) -> Any:
    """What is known of `node` (of a constant its number), or None."""
    if node.value is not None:
        return node.value.numpy()
    while is_constant(node) and node.inputs:
        node = node.inputs[0]
    return np.asarray(node.attrs[0]) if node.op.name == "constant" else None


def check_finite(node: Node) -> None:
    """NonFiniteError where `node` makes a NaN without one, or an infinity of finite operands."""
    if not (node.dtype.is_inexact and node.inputs):
        return
    made = values_of(node)
    if np.isfinite(made).all():
        return
    operands = [v for v in map(values_of, node.inputs) if v is not None and v.dtype.kind in "fc"]
    if any(np.isnan(v).any() for v in operands):
        return
    wrong = np.isnan(made)
    if not wrong.any():
        if any(np.isinf(v).any() for v in operands):
            return
        wrong = np.isinf(made)
    complain(NonFiniteError, node, wrong, "makes", "finite values",
             FIXES.get(node.op.name, "look at the operands"))  # fmt: skip


def check_cast(node: Node) -> None:
    """CastError where an integer cannot hold what `node` converts."""
    if node.op.name != "cast" or not node.dtype.is_integer:
        return
    source = values_of(node.inputs[0])
    if source is None or source.dtype.kind == "b":
        return
    whole = np.trunc(source) if source.dtype.kind == "f" else source
    fits = (whole >= node.dtype.min) & (whole <= node.dtype.max)  # NaN fits nowhere
    if not fits.all():
        complain(CastError, node, ~fits, "turns into", f"values that {node.dtype.name} can hold",
                 "convert to a wider type, or clip first")  # fmt: skip


def complain(
    error: type[NonFiniteError | CastError], node: Node, wrong: Any, verb: str, need: str, fix: str
) -> None:
    """Raise for the first element that is wrong."""
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    found = values_of(node)[place]
    known = [v for v in map(values_of, node.inputs) if v is not None and v.shape == node.shape]
    of = ", ".join(str(v[place]) for v in known[:SHOWN])
    what = f"{verb} {found} at {place}" + (f", of {of}" if of else "")
    line = line_of(node)  # of a gradient with its mark: the forward may be in order
    where = "" if line is None else line.place
    raise error(f"{node.op.name}: {what}; need {need}: {fix}", where)


__all__ = ["debug"]
