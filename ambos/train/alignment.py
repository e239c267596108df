"""Targets and weights in the shapes in which outputs are compared with them: nothing is ever
broadcast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from ambos.core.dtype import int64
from ambos.core.errors import ArgumentError
from ambos.tensor.autocast import DIGITS
from ambos.tensor.checks import require_range, require_whole
from ambos.tensor.handle import Tensor


@dataclass(frozen=True)
class Kind:
    """What all rows of an array have in common."""

    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, rows: Any) -> Self:
        return cls(rows.dtype.name, tuple(rows.shape[1:]))


# What is done to targets, as it is written in Python.
CHANGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    ".squeeze(1)": lambda targets, output: targets.squeeze(1),
    ".squeeze(-1)": lambda targets, output: targets.squeeze(-1),
    ".unsqueeze(-1)": lambda targets, output: targets.unsqueeze(-1),
    ".to(output.dtype)": lambda targets, output: targets.to(output.dtype),
    ".long()": lambda targets, output: labels(targets),
}


def changes(output: Any, targets: Any, are_classes: bool = False) -> tuple[str, ...]:
    """What has to be done to `targets`: numbers in a column (N, 1) for outputs (N,) and the other
    way round; of scores by class, labels in a column, labels that are no integers, and codes that
    are no floating numbers."""
    if not isinstance(output, Tensor) or not isinstance(targets, Tensor):
        return ()
    found: list[str] = []
    wanted, given = tuple(output.shape), tuple(targets.shape)
    if are_classes and len(wanted) > 1 and wanted[1] > 1:
        if given == wanted:
            return () if targets.dtype.is_floating else (".to(output.dtype)",)
        if len(given) == len(wanted) and given[1] == 1 and given[2:] == wanted[2:]:
            found.append(".squeeze(1)")
            given = (given[0], *given[2:])
        if given == (wanted[0], *wanted[2:]) and not targets.dtype.is_integer:
            found.append(".long()")
        return tuple(found)
    if given == (*wanted, 1):
        return (".squeeze(-1)",)
    return (".unsqueeze(-1)",) if wanted == (*given, 1) else ()


def label_changes(kind: Kind) -> tuple[str, ...]:
    """What makes the class of each row of such targets, as it is written in Python."""
    if kind.shape and kind.shape[0] > 1:
        return (".argmax(1)",)
    column = (".flatten()",) if kind.shape else ()
    return column if kind.dtype.startswith("int") else (*column, ".long()")


def labels(targets: Tensor) -> Tensor:
    """Numbers of classes, which tables often hold as floating numbers, as integers.

    Errors: ArgumentError for 0.5, and for what float16 and bfloat16 may have rounded.
    """
    exact = 1 << DIGITS.get(targets.dtype, 64)
    if exact < 1 << 24:
        require_range(
            targets._node, -exact, exact, ArgumentError,
            lambda found: (
                f"targets: a label is {found}, and {targets.dtype.name} has all whole numbers up "
                f"to {exact} only; need integers: y.astype(int)"
            ),
        )  # fmt: skip
    if targets.dtype.is_floating:
        require_whole(
            targets._node,
            lambda found: (
                f"targets: a label is {found}; need the number of a class, a whole one; "
                "probabilities of classes have the shape of the output"
            ),
        )
    return targets.to(int64)


def aligned(output: Any, targets: Any, are_classes: bool = False) -> Any:
    """`targets` after these changes."""
    return changed(targets, output, changes(output, targets, are_classes))


def changed(targets: Any, output: Any, changes: tuple[str, ...]) -> Any:
    """`targets` after `changes`."""
    for change in changes:
        targets = CHANGES[change](targets, output)
    return targets


def weight_changes(kind: Kind) -> tuple[str, ...]:
    """What has to be done to such a `sample_weight` in a column: (N, 1) has numbers of rows,
    (N, T, 1) of steps."""
    shape = kind.shape
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return (".squeeze(-1)",) * (len(kind.shape) - len(shape))


def weighed(weight: Any) -> Any:
    """`sample_weight` after these changes."""
    if not isinstance(weight, Tensor):
        return weight
    return changed(weight, weight, weight_changes(Kind.of(weight)))
