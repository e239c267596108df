"""state_dict and its way back: all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ambos.core.errors import ArgumentError, DTypeError, ShapeError, suggest
from ambos.nn.parameter import Unsized, assign
from ambos.tensor.handle import Tensor


class Module(Protocol):
    """What is asked of a module here."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _transient: set[str]


@dataclass(frozen=True)
class Mismatch:
    """Keys that a lenient load passed over."""

    missing_keys: list[str] = field(default_factory=list)
    unexpected_keys: list[str] = field(default_factory=list)


def join(prefix: str, name: str) -> str:
    """A dotted name."""
    return f"{prefix}.{name}" if prefix else name


def entries(module: Module, prefix: str = "") -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, the handles themselves.

    A module shared by two parents is listed under both names, as in PyTorch.
    """
    found: dict[str, Tensor] = {}
    for name, parameter in module._parameters.items():
        if parameter is not None:
            found[join(prefix, name)] = parameter
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._transient:
            found[join(prefix, name)] = buffer
    for name, child in module._modules.items():
        if child is not None:
            found |= entries(child, join(prefix, name))
    return found


def load(module: Module, given: Mapping[str, Any], strict: bool) -> Mismatch:
    """Check everything, then assign everything."""
    title = f"{type(module).__name__}.load_state_dict"
    if not isinstance(given, Mapping):
        raise ArgumentError(
            f"{title}: got {type(given).__name__}; need a mapping of names to arrays"
        )
    targets = entries(module)
    missing = [key for key in targets if key not in given]
    unexpected = [key for key in given if key not in targets]
    if strict and (missing or unexpected):
        raise ArgumentError(_keys_differ(title, targets, missing, unexpected))
    values, problems = {}, []
    for key, target in targets.items():
        if key not in given:
            continue
        value = _tensor(f"{title}: {key}", given[key])
        if isinstance(target, Unsized):
            fits, need = target.admits(value.shape), target.pattern
        else:
            fits, need = value.shape == target.shape, target.shape
        if not fits:
            shown = str(need).replace("None", "any")
            problems.append(f"{key} is {value.shape} in the state and {shown} in the module")
        values[key] = value
    if problems:
        raise ShapeError(f"{title}: {'; '.join(problems)}; need equal shapes. Nothing was changed")
    for key, value in values.items():
        assign(targets[key], value.to(targets[key].dtype))
    return Mismatch(missing, unexpected)


def _tensor(title: str, value: Any) -> Tensor:
    """`value` as a tensor: one already, an array, or a torch tensor (bfloat16 widens)."""
    if isinstance(value, Tensor):
        return value.detach()
    if type(value).__module__.partition(".")[0] == "torch":
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise DTypeError(
            f"{title}: got {type(value).__name__} ({array.dtype}); need numbers. "
            "Nothing was changed"
        )
    return Tensor(array)


def _keys_differ(
    title: str, targets: Mapping[str, Any], missing: list[str], unexpected: list[str]
) -> str:
    parts = []
    if missing:
        parts.append(f"missing {', '.join(missing)}")
    if unexpected:
        parts.append(f"unexpected {', '.join(map(str, unexpected))}")
    hint = suggest(str(unexpected[0]), missing or targets) if unexpected else ""
    return (
        f"{title}: {'; '.join(parts)}; need the module's own names, or strict=False to take over "
        f"what fits{hint}. Nothing was changed"
    )
