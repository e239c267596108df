"""What messages call the function that the user called, and the place in its data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ambos.core.errors import AmbosError


@contextmanager
def called(op: str) -> Iterator[None]:
    """Errors of what is shared with `fit`, which they name, name `op` instead."""
    try:
        yield
    except AmbosError as error:
        if error.message.startswith("fit: "):
            text = str(error)
            error.message = f"{op}{error.message[len('fit') :]}"
            error.args = (f"{op}{text[len('fit') :]}",)
        raise
