"""What NumPy calls when its functions meet a tensor.

A ufunc (`np.exp`, `array + tensor`) that has a counterpart here is that: it records, gives a
Tensor and keeps gradients. All else is computed by NumPy on the values and gives NumPy arrays; a
ufunc that would lose a gradient in that way is an error, and so is one that would write into a
copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError, GradientError
from ambos.tensor.handle import Tensor

# Ours under another name, or one that means the same for what the ufunc takes.
OTHERS = {
    "conjugate": "conj", "degrees": "rad2deg", "fabs": "absolute", "radians": "deg2rad",
    "rint": "round",
}  # fmt: skip
# Ours gives another kind of result: NumPy's reciprocal of an integer is an integer.
DIFFERENT = {"reciprocal"}
COUNTERPARTS: dict[Any, Callable[..., Any]] = {}  # NumPy's ufuncs and what they are here


def know(functions: Mapping[str, Callable[..., Any]]) -> None:
    """Take note of the counterparts among our functions."""
    for ufunc in vars(np).values():
        if isinstance(ufunc, np.ufunc) and ufunc.__name__ not in DIFFERENT:
            name = OTHERS.get(ufunc.__name__, ufunc.__name__)
            if name in functions:
                COUNTERPARTS[ufunc] = functions[name]
    COUNTERPARTS[np.divmod] = lambda x, y: (
        functions["floor_divide"](x, y),
        functions["remainder"](x, y),
    )


def array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """A NumPy ufunc on tensors: ours where there is one, so `array + tensor` is a Tensor; else
    NumPy's, on the values.

    Errors: GradientError where NumPy would compute and a gradient would be lost, ArgumentError for
        `ufunc.at`, which would write into a copy.
    """
    if any(_has_its_own(x) for x in inputs):
        return NotImplemented
    out = options.pop("out", None)
    ours = COUNTERPARTS.get(ufunc)
    writes_array = out is not None and not all(isinstance(x, Tensor) for x in out)
    if method == "__call__" and ours is not None and not options and not writes_array:
        return _stored(ours(*inputs), out)
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    if any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        raise GradientError(f"np.{name}: a tensor requires grad, and NumPy would compute on its "
                            "values; need x.detach(), or a function of ambos")  # fmt: skip
    if method == "at":
        raise ArgumentError(f"np.{name}: got a tensor, whose memory is not written; need a "
                            "function that gives a new one: x.index_add(...)")  # fmt: skip
    options = _values(options)
    if writes_array:
        options["out"] = tuple(map(_for_writing, out))
    found = getattr(ufunc, method)(*map(_values, inputs), **options)
    return found if out is None or writes_array else _stored(found, out)


def _has_its_own(x: Any) -> bool:
    """Does another library say what ufuncs do with its arrays?"""
    theirs = getattr(type(x), "__array_ufunc__", None)
    return theirs not in (None, np.ndarray.__array_ufunc__, array_ufunc)


def _stored(found: Any, out: tuple[Tensor, ...] | None) -> Any:
    """What was found, put into the tensors that were to take it, if any."""
    if out is None:
        return found
    results = found if isinstance(found, tuple) else (found,)
    for tensor, result in zip(out, results, strict=True):
        tensor._rebind(Tensor(result)._node, "out=")
    return out if isinstance(found, tuple) else out[0]


def _for_writing(x: Any) -> Any:
    if isinstance(x, Tensor):
        raise ArgumentError("out=: got a tensor beside an array; need tensors or arrays only")
    return x


def _values(x: Any) -> Any:
    """`x` with arrays in place of tensors, in lists and tuples as well."""
    if isinstance(x, Tensor):
        return x.__array__()
    if isinstance(x, (list, tuple)):
        found = [_values(item) for item in x]
        return type(x)(*found) if hasattr(x, "_fields") else type(x)(found)
    if isinstance(x, dict):
        return {key: _values(item) for key, item in x.items()}
    return x


# What is known without looking at values.
FACTS: dict[Any, Callable[..., Any]] = {
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: int(a.size) if axis is None else a.shape[axis],
}


def array_function(self: Tensor, function: Any, types: Any, args: Any, options: Any) -> Any:
    """Any other function of NumPy: NumPy's own, on the values."""
    if function in FACTS and isinstance(args[0] if args else None, Tensor):
        return FACTS[function](*args, **options)
    return function(*_values(tuple(args)), **_values(options))
