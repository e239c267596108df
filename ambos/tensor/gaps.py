"""Numbers that a table lacks: NaN and infinities, named by column and row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.errors import ArgumentError

SHOWN = 4


def without_gaps(
    op: str, table: NDArray[Any], first_row: int = 0, names: Sequence[Any] | None = None
) -> None:
    """Refuse NaN and infinities. Rows are along the first axis, `first_row` is the number of the
    first one; `names` are those of the columns.

    Errors: ArgumentError that names the column and the rows.

    Example:
        >>> without_gaps("adapt", np.array([[1.0, 2.0], [1.0, np.nan]]))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ambos.core.errors.ArgumentError: adapt: nan in column 1, row 1; need finite numbers: \
fill them in (as with the column's median) or leave these rows out [...]
    """
    if table.dtype.kind not in "fc" or np.isfinite(table).all():
        return
    if table.ndim < 2:
        table = table.reshape(-1, 1)
    bad = ~np.isfinite(table)
    at = np.argwhere(bad)[0]
    value = table[tuple(at)]
    columns = np.flatnonzero(bad.any(tuple(range(table.ndim - 1))))
    column, others = int(columns[0]), len(columns) - 1
    place = ""
    if table.ndim == 2 and table.shape[1] > 1:
        at = np.argwhere(bad[:, column])[0]
        value = table[at[0], column]
        name = "" if names is None else f" ({names[column]!r})"
        more = f" and {others} more column{'s' * (others > 1)}" if others else ""
        place = f"column {column}{name}{more}, "
        bad = bad[:, column]
    rows = np.flatnonzero(bad.reshape(len(table), -1).any(1)) + first_row
    raise ArgumentError(
        f"{op}: {value} in {place}{listed('row', rows)}; need finite numbers: fill them in (as "
        "with the column's median) or leave these rows out"
    )


def listed(what: str, numbers: Sequence[int] | NDArray[Any]) -> str:
    """Some numbers, and how many more there are.

    Example:
        >>> listed("row", [2]), listed("row", range(6))
        ('row 2', 'rows 0, 1, 2, 3 and 2 more')
    """
    shown = ", ".join(str(number) for number in numbers[:SHOWN])
    more = len(numbers) - SHOWN
    return f"{what}{'s' * (len(numbers) > 1)} {shown}" + (f" and {more} more" if more > 0 else "")
