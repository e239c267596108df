"""state_dict and its way back: all or nothing."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

import numpy as np

from ambos.core.dtype import DType
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.nn.parameter import Unsized, assign
from ambos.tensor.handle import Tensor


class Stateful(Protocol):
    """What is asked of a module here."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _transient: set[str]

    def called(self, kind: str, *args: Any) -> None: ...

    def has_hook(self, kind: str) -> bool: ...

    def after_load(self) -> None: ...

    def _load_from_state_dict(self, *args: Any) -> None: ...


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


def entries(module: Stateful, prefix: str = "") -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, the handles themselves.

    A module shared by two parents is listed under both names, as in PyTorch.
    """
    found = {join(prefix, name): tensor for name, tensor in own(module)}
    for name, child in module._modules.items():
        if child is not None:
            found |= entries(child, join(prefix, name))
    return found


def own(module: Stateful) -> Iterator[tuple[str, Tensor]]:
    """What of a state is this module's, and not of one below."""
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield name, parameter
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._transient:
            yield name, buffer


class Loading:
    """A state on its way into a module: all of it is checked before any of it is assigned."""

    def __init__(self, title: str, assigned: bool) -> None:
        self.title, self.assigned = title, assigned
        self.misfits: list[str] = []  # shapes that differ
        self.values: list[tuple[Tensor, Tensor]] = []
        # Modules, what they take besides tensors, and whether they can say what they have of it.
        self.extras: list[tuple[Any, Any, bool]] = []

    def take(self, key: str, target: Tensor, given: Any) -> None:
        """Note that `target` becomes `given`, if it fits."""
        value = _tensor(f"{self.title}: {key}", given)
        if isinstance(target, Unsized):
            fits, need = target.admits(value.shape), target.pattern
        else:
            if value.shape == (1,) and target.shape == ():  # as PyTorch saved numbers once
                value = value.reshape(())
            fits, need = value.shape == target.shape, target.shape
        if fits:
            if not self.assigned:
                value = _cast(f"{self.title}: {key}", value, target.dtype)
            self.values.append((target, value))
        else:
            shown = str(need).replace("None", "any")
            self.misfits.append(f"{key} is {value.shape} in the state and {shown} in the module")

    def check(self) -> None:
        """Raise ShapeError for what does not fit."""
        if self.misfits:
            raise ShapeError(f"{self.title}: {'; '.join(self.misfits)}; need equal shapes. "
                             "Nothing was changed")  # fmt: skip

    @contextmanager
    def assign(self) -> Iterator[None]:
        """Assign everything; an error meanwhile or inside gives every tensor its numbers back, and
        every module what it had besides, where it can say that."""
        former = [(t, t.detach()) for t, _ in self.values if not isinstance(t, Unsized)]
        extras: list[tuple[Any, Any]] = []
        try:
            for target, value in self.values:
                assign(target, value)
            for module, value, says in self.extras:
                if says:
                    extras.append((module, copy.deepcopy(module.get_extra_state())))
                module.set_extra_state(value)
            yield
        except BaseException as error:
            for target, value in former:
                assign(target, value)
            for module, value in reversed(extras):
                try:
                    module.set_extra_state(value)
                except Exception as other:
                    error.add_note(f"{type(module).__name__}.set_extra_state, which was to undo "
                                   f"this: {type(other).__name__}: {other}")  # fmt: skip
            raise


_under_way: ContextVar[Loading | None] = ContextVar("loading", default=None)


@contextmanager
def loading(title: str) -> Iterator[Loading]:
    """The load that is under way, or one of a module's own, which is done at the end."""
    known = _under_way.get()
    plan = known or Loading(title, assigned=False)
    yield plan
    if known is None:
        plan.check()
        with plan.assign():
            pass


def load(module: Stateful, given: Mapping[Any, Any], strict: bool, assigned: bool) -> Mismatch:
    """Check everything, then assign everything."""
    title = f"{type(module).__name__}.load_state_dict"
    if not isinstance(given, Mapping):
        raise ArgumentError(
            f"{title}: got {type(given).__name__}; need a mapping of names to arrays"
        )
    names = {key: value for key, value in given.items() if isinstance(key, str)}
    found, problems = Mismatch([], [key for key in given if key not in names]), list[str]()
    notes = getattr(given, "_metadata", None) or {}
    order: list[Stateful] = []  # children before their parents

    def visit(inner: Stateful, below: dict[str, Any], prefix: str) -> None:
        note = dict(notes.get(prefix[:-1], {}))
        if assigned:
            note["assign_to_params_buffers"] = True
        inner._load_from_state_dict(below, prefix, note, True, *found, problems)
        for name, child in inner._modules.items():
            if child is not None:
                start = f"{prefix}{name}."
                kept = {key: value for key, value in below.items() if key.startswith(start)}
                visit(child, kept, start)
        order.append(inner)

    def strictly() -> None:
        if strict and any(found):
            raise ArgumentError(_keys_differ(title, entries(module), *found))

    plan = Loading(title, assigned)
    token = _under_way.set(plan)
    try:
        visit(module, names, "")
    finally:
        _under_way.reset(token)
    if problems:
        raise ArgumentError(f"{title}: {'; '.join(problems)}. Nothing was changed")
    if not any(inner.has_hook("load") for inner in order):
        strictly()
    plan.check()
    with plan.assign():
        for inner in order:
            inner.called("load", found)  # it may take keys out of what was found
        strictly()
    for inner in order:
        inner.after_load()
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
