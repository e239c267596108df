"""What notebooks show of a tensor: a small table of its values under its shape and dtype.

Colours are those of the page, so it reads on light and dark ones. A notebook shows whatever stands
last in a cell: a large graph that is still pending is not computed for that.
"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.graph.node import pending
from ambos.tensor.tracing import current

PENDING = 1000  # operations that are computed for a glance, and no more
COUNTED = 1 << 20  # elements whose range is looked up
EDGE = 4  # rows and columns shown at each end
CELL = "padding:1px 7px;text-align:right;border:1px solid rgba(128,128,128,.3)"
NUMBERS = f"font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12px;{CELL}"


def unknown(tensor: Any) -> str:
    """Why the values are not shown; nothing where they are."""
    nodes = pending([tensor._node])
    if any(node.op.name == "argument" and node.value is None for node in nodes):
        return "a stand-in without a value"
    if current.trace is not None:
        return "not looked at while a function is recorded"
    count = sum(node.value is None and bool(node.inputs) for node in nodes)
    return f"not computed yet: {count:,} operations" if count > PENDING else ""


def html_of(tensor: Any) -> str:
    """The table."""
    notes = [tensor.dtype.name, f"shape {tuple(tensor.shape)}"]
    notes += ["requires grad"] * tensor._node.tracked
    reason = unknown(tensor)
    if reason:
        return _framed([*notes, reason], "")
    values = tensor.__array__()
    if 1 < values.size <= COUNTED and values.dtype.kind in "fiu":
        notes.append(_range(values))
    return _framed(notes, _table(values) if values.size else "")


def text_of(tensor: Any) -> str:
    """The text beside the table: `repr`, unless that computes a large graph."""
    reason = unknown(tensor)
    if not reason:
        return repr(tensor)
    return f"tensor of shape {tuple(tensor.shape)}, {tensor.dtype.name}, {reason}"


def _framed(notes: list[str], body: str) -> str:
    head = " · ".join(map(escape, notes))
    return f'<div class="am-tensor"><div><b>Tensor</b> {head}</div>{body}</div>'


def _range(values: NDArray[Any]) -> str:
    finite = values[np.isfinite(values)]
    odd = values.size - finite.size
    said = [f"{odd:,} not finite"] * bool(odd)
    if finite.size:
        mean = finite.mean(dtype=np.float64)
        said.insert(0, f"min {_number(finite.min())} · mean {mean:.4g} · max "
                       f"{_number(finite.max())}")  # fmt: skip
    return " · ".join(said)


def _table(values: NDArray[Any]) -> str:
    """The last two axes, of the first of all others."""
    note = ""
    if values.ndim > 2:
        note = f"<div>[{'0, ' * (values.ndim - 2)}:, :]</div>"
        values = values[(0,) * (values.ndim - 2)]
    matrix = np.atleast_2d(values)
    rows, columns = (_ends(n) for n in matrix.shape)
    lines = [
        "".join(
            f'<td style="{NUMBERS}">'
            f"{'…' if i is None or j is None else escape(_number(matrix[i, j]))}</td>"
            for j in columns
        )
        for i in rows
    ]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'{note}<table style="border-collapse:collapse;margin:4px 0">{body}</table>'


def _ends(count: int) -> list[int | None]:
    if count <= 2 * EDGE + 1:
        return [*range(count)]
    return [*range(EDGE), None, *range(count - EDGE, count)]


def _number(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    return f"{value:.4g}" if isinstance(value, np.inexact) else str(value)
