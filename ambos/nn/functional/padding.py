"""Elements around the last axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.core.unknown import is_unknown
from ambos.nn.functional.shared import as_tensor
from ambos.tensor import padding
from ambos.tensor.handle import Tensor


def pad(
    input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Elements around the last axes; `pad` lists (before, after) from the last axis backwards.
    Negative amounts cut. Modes: constant (`value`), reflect, replicate, circular.

    Errors: ShapeError for more than there is to mirror; ArgumentError.

    Example:
        >>> import ambos as am
        >>> pad(am.tensor([1.0, 2.0]), (1, 2), value=9.0).numpy()
        array([9., 1., 2., 9., 9.], dtype=float32)
    """
    x = as_tensor(input)
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise ArgumentError(
            f"pad: got {len(pad)} amounts for {x.ndim} dimensions; need (before, after) for each "
            "of the last axes"
        )
    if value is not None and mode != "constant":
        raise ArgumentError(f"pad: value with mode {mode!r}; only 'constant' has one")
    amounts = tuple(n if is_unknown(n) else int(n) for n in pad)
    filling: Any = 0 if value is None else value
    if not x.dtype.is_inexact and not isinstance(filling, bool):
        filling = int(filling)
    result: Tensor = padding.pad(x, amounts, mode, filling)
    return result
