"""state_dict and its way back: all or nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from ambos.core.dtype import DType
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.nn.parameter import Unsized, assign
from ambos.tensor.handle import Tensor


class Module(Protocol):
    """What is asked of a module here."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _transient: set[str]
    may_lack: ClassVar[tuple[str, ...]]

    def called(self, kind: str, *args: Any) -> None: ...

    def named_modules(self) -> Iterable[tuple[str, Any]]: ...


class Mismatch(NamedTuple):
    """Keys that a lenient load passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"Mismatch(missing_keys={self[0]}, unexpected_keys={self[1]})"


def join(prefix: str, name: str) -> str:
    """A dotted name."""
    return f"{prefix}.{name}" if prefix else name


def entries(module: Module, prefix: str = "") -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, the handles themselves.

    A module shared by two parents is listed under both names, as in PyTorch.
    """
    found = {join(prefix, name): tensor for name, tensor in _own(module)}
    for name, child in module._modules.items():
        if child is not None:
            found |= entries(child, join(prefix, name))
    return found


def _own(module: Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield name, parameter
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._transient:
            yield name, buffer


def collect(module: Module, prefix: str, keep_vars: bool, into: dict[str, Tensor]) -> None:
    """Put the state of a module and of all below it into a dict, calling their hooks."""
    start = f"{prefix.removesuffix('.')}." if prefix else ""
    module.called("state_pre", start, keep_vars)
    for name, tensor in _own(module):
        into[start + name] = tensor if keep_vars else tensor.data
    for name, child in module._modules.items():
        if child is not None:
            collect(child, start + name, keep_vars, into)
    module.called("state", into, start, {})


def load(module: Module, given: Mapping[str, Any], strict: bool, assigned: bool) -> Mismatch:
    """Check everything, then assign everything."""
    title = f"{type(module).__name__}.load_state_dict"
    if not isinstance(given, Mapping):
        raise ArgumentError(
            f"{title}: got {type(given).__name__}; need a mapping of names to arrays"
        )
    given = _prepared(title, module, given, strict)
    targets = entries(module)
    excused = {join(path, name) for path, m in module.named_modules() for name in m.may_lack}
    missing = [key for key in targets if key not in given and key not in excused]
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
    if not assigned:
        values = {k: _cast(f"{title}: {k}", v, targets[k].dtype) for k, v in values.items()}
    for key, value in values.items():
        assign(targets[key], value)
    return Mismatch(missing, unexpected)


def _prepared(title: str, module: Module, given: Mapping[str, Any], strict: bool) -> dict[str, Any]:
    """The state once hooks have seen it."""
    found, problems = dict(given), list[str]()
    for path, inner in module.named_modules():
        inner.called("load_pre", found, f"{path}." if path else "", {}, strict, [], [], problems)
    if problems:
        raise ArgumentError(f"{title}: {'; '.join(problems)}. Nothing was changed")
    return found


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


def _cast(title: str, value: Tensor, dtype: DType) -> Tensor:
    try:
        return value.to(dtype)
    except DTypeError:
        raise DTypeError(
            f"{title} is {value.dtype.name} in the state and {dtype.name} in the module; need "
            "numbers of its kind, for example x.real of complex ones, or assign=True. "
            "Nothing was changed"
        ) from None


def _keys_differ(
    title: str, targets: Mapping[str, Any], missing: list[str], unexpected: list[str]
) -> str:
    parts = []
    if missing:
        parts.append(f"missing {', '.join(missing)}")
    if unexpected:
        parts.append(f"unexpected {', '.join(map(str, unexpected))}")
    return (
        f"{title}: {'; '.join(parts)}; need the module's own names, or strict=False to take over "
        f"what fits.{_nearest(unexpected, missing or targets)} Nothing was changed"
    )


def _nearest(unexpected: list[str], known: Iterable[str]) -> str:
    """What unexpected keys may be meant for; where a prefix explains all, that prefix."""
    names = [*known]
    for key in map(str, unexpected):
        for prefix in ("module.", "_orig_mod.", "model."):  # what wrappers put before the names
            if key.startswith(prefix) and key.removeprefix(prefix) in names:
                return f" Take {prefix!r} off the keys."
    pairs = []
    for key in map(str, unexpected[:5]):
        near = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
        pairs += [f"{name!r} for {key!r}" for name in near]
    return f" Did you mean {', '.join(pairs)}?" if pairs else ""
