"""What the Array API standard 2024.12 says of a namespace: dtype questions and its capabilities."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from ambos.core.dtype import ALL, COMPLEX, DType, as_dtype, complex64, float32, int64, promote
from ambos.core.errors import ArgumentError
from ambos.tensor.handle import Tensor
from ambos.tensor.names import check_device, public

VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")
KINDS = {
    "bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu",
    "real floating": "f", "complex floating": "c", "numeric": "iufc",
}  # fmt: skip
# Dtypes of ours that the standard does not know.
BESIDES = ("float16", "bfloat16")


@public
def isdtype(dtype: Any, kind: Any) -> bool:
    """Is `dtype` of a kind: "bool", "signed integer", "unsigned integer", "integral", "real
    floating", "complex floating", "numeric", another dtype, or any of a tuple of these?

    Errors: ArgumentError for an unknown kind.

    Example:
        >>> import ambos as am
        >>> am.isdtype(am.float32, ("integral", "real floating"))
        True
    """
    found = as_dtype(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(found, one) for one in kind)
    if isinstance(kind, str) and kind in KINDS:
        return found.kind in KINDS[kind]
    if isinstance(kind, str) and kind not in {d.name for d in ALL + COMPLEX}:
        raise ArgumentError(f"isdtype: got the kind {kind!r}; need one of {', '.join(KINDS)}, a "
                            "dtype, or a tuple of these")  # fmt: skip
    return found is as_dtype(kind)


@public
def can_cast(source: Any, target: Any) -> bool:
    """Does every value of one dtype (or of a tensor's) have a place in another, by the rules of
    promotion?

    Example:
        >>> import ambos as am
        >>> am.can_cast(am.int32, am.int64), am.can_cast(am.float32, am.int64)
        (True, False)
    """
    one, other = as_dtype(getattr(source, "dtype", source)), as_dtype(target)
    return promote(one, other) is other


class NamespaceInfo:
    """What this namespace can do; see `__array_namespace_info__`."""

    def capabilities(self) -> dict[str, Any]:
        """Masks select, sizes may depend on values, and dimensions have no limit but memory's."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": None}

    def default_device(self) -> str:
        """Where tensors are made."""
        return "cpu"

    def devices(self) -> list[str]:
        """Where tensors can be."""
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """What Python numbers become, and what positions are."""
        check_device("default_dtypes", device)
        return {"real floating": float32, "complex floating": complex64, "integral": int64,
                "indexing": int64}  # fmt: skip

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """The standard's dtypes (of a kind, or of any of a tuple of kinds) by name."""
        check_device("dtypes", device)
        return {
            dtype.name: dtype
            for dtype in ALL + COMPLEX
            if dtype.name not in BESIDES and (kind is None or isdtype(dtype, kind))
        }


@public
def __array_namespace_info__() -> NamespaceInfo:
    """What this namespace can do, by the Array API.

    Example:
        >>> import ambos as am
        >>> am.__array_namespace_info__().default_device()
        'cpu'
    """
    return NamespaceInfo()


def array_namespace(self: Tensor, *, api_version: str | None = None) -> ModuleType:
    """The namespace of functions on tensors, `ambos` (Array API).

    Errors: ArgumentError for a version of the standard that is not kept to.
    """
    if api_version is not None and api_version not in VERSIONS:
        raise ArgumentError(f"__array_namespace__: version {api_version!r}; need one of "
                            f"{', '.join(VERSIONS)}")  # fmt: skip
    return sys.modules["ambos"]


def to_device(self: Tensor, device: Any, /, *, stream: Any = None) -> Tensor:
    """The tensor itself: the only device is "cpu" (Array API)."""
    check_device("to_device", device)
    if stream is not None:
        raise ArgumentError(f"to_device: stream is {stream!r}; need None on the CPU")
    return self


__all__ = ["__array_namespace_info__", "can_cast", "isdtype"]
