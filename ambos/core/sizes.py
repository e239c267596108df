"""Numbers of bytes as people write them."""

from __future__ import annotations

import re

from ambos.core.errors import ArgumentError

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
         "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}  # fmt: skip


def bytes_in(op: str, given: int | str) -> int:
    """A number of bytes, or a text that says it.

    Errors: ArgumentError for anything else.

    Example:
        >>> bytes_in("jit", "2GiB"), bytes_in("jit", "1.5 MB"), bytes_in("jit", 4096)
        (2147483648, 1500000, 4096)
    """
    if isinstance(given, str):
        found = re.fullmatch(r"\s*([\d.]+)\s*([kmgt]i?)?b?\s*", given.lower())
        if found and found[1].count(".") <= 1 and found[1] != ".":
            return int(float(found[1]) * UNITS[found[2] or ""])
    elif not isinstance(given, bool) and given > 0:
        return given
    raise ArgumentError(f"{op}: got {given!r} bytes; need a number above 0, or a text such as "
                        "'2GiB' or '500 MB'")  # fmt: skip
