"""Devices, for code that names them: everything computes on the CPU."""

from __future__ import annotations

from typing import Any

from ambos.tensor.names import check_device


class device(str):
    """Where tensors live: text with PyTorch's attributes.

    Errors: DeviceError for what is not there.

    Example:
        >>> import ambos as am
        >>> place = am.device("cuda" if am.cuda.is_available() else "cpu")
        >>> place, place.type, am.ones(2).device == place
        ('cpu', 'cpu', True)
    """

    __slots__ = ()

    def __new__(cls, type: Any = "cpu", index: int | None = None) -> device:
        name = f"cuda:{type}" if isinstance(type, int) else str(type)
        name = name if index is None else f"{name}:{index}"
        check_device("device", name)
        return super().__new__(cls, name)

    @property
    def type(self) -> str:
        """The kind of device."""
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]  # PyTorch's; nobody looks for letters
        """Its number, if it was given one."""
        number = self.partition(":")[2]
        return int(number) if number else None


CPU = device("cpu")
