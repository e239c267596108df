"""`am.cuda`: what code asks before it computes on a GPU, and the answer that there is none."""

from __future__ import annotations

from ambos.tensor.random import manual_seed

__all__ = ["device_count", "is_available", "manual_seed", "manual_seed_all"]

manual_seed_all = manual_seed  # there is one stream


def is_available() -> bool:
    """Are there GPUs to compute on? This version has no use for them.

    Example:
        >>> import ambos as am
        >>> am.cuda.is_available()
        False
    """
    return False


def device_count() -> int:
    """How many GPUs there are to compute on.

    Example:
        >>> import ambos as am
        >>> am.cuda.device_count()
        0
    """
    return 0
