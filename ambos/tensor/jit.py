"""`jit`: a function of tensors as one Program, replayed by one native call.

The function runs once with nothing computed, and leaves its graph. Its arguments, and every tensor
from outside that it used, are inputs *by handle*: a later call computes with whatever the handles
hold then. Handles that it rebound (parameters, moments, running statistics) are rebound at every
call, in place where nobody else holds their memory. `recording.py` says how a call runs.
"""

from __future__ import annotations

import functools
import threading
import warnings
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from ambos.core import tree
from ambos.core.collector import held_off
from ambos.core.config import config
from ambos.core.containers import container_of
from ambos.core.errors import ArgumentError, RecordingWarning, depth_of_user
from ambos.graph.node import tracking
from ambos.tensor import live
from ambos.tensor.guards import difference
from ambos.tensor.handle import Tensor
from ambos.tensor.names import public
from ambos.tensor.recording import Recording
from ambos.tensor.tracing import current

MAX_SIGNATURES = 256  # of arguments, for one function; the one used longest ago makes room
MANY = 8  # recordings that differ in a fixed value only: likely there will be one for every call
FIRST = 4  # parts of a signature before those of the arguments
MAX_VARIANTS = 16  # of one signature: modes of modules, gradients found, other handles
MAX_UNSETTLED = 2  # calls in a row may make state (a first step does) before that is an error


class Jitted:
    """What `jit` returns: called like the function."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        functools.update_wrapper(self, fn, updated=())
        self._fn = fn
        self._lock = threading.RLock()
        self._unsettled = 0  # calls in a row that made tensors which stay
        self._recordings: dict[tuple[Any, ...], Recordings] = {}
        self._calls = 0  # served, which tells the recordings used last
        self._repeats = 0  # recordings that differ from another one in a fixed value only
        self._methods: dict[int, tuple[weakref.ref[Any], Jitted]] = {}  # by the id of their object

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method: each object has recordings of its own."""
        if instance is None:
            return self
        found = self._methods.get(id(instance))
        if found is not None and found[0]() is instance:
            return found[1]
        # Kept as long as its object lives, so it must not keep the object.
        method = Jitted(self._fn.__get__(weakref.proxy(instance), owner))
        methods, number = self._methods, id(instance)
        methods[number] = weakref.ref(instance, lambda _: methods.pop(number, None)), method
        return method

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current.trace is not None or not config.fuse:
            return self._fn(*args, **kwargs)
        leaves, structure = tree.flatten((args, kwargs)) if kwargs else _positional(args)
        tensors: list[Tensor] = []
        key: list[Any] = [structure, tracking.enabled, config.threads, config.cpu]  # FIRST
        for place, leaf in enumerate(leaves):
            if not isinstance(leaf, (Tensor, type)) and hasattr(leaf, "__array__"):
                leaf = leaves[place] = Tensor(np.asarray(leaf))
            if not isinstance(leaf, Tensor):
                key.append(_static(leaf))
                continue
            known = _signature(leaf, tensors)
            if known is None:  # differentiated from outside: part of that graph
                return self._fn(*args, **kwargs)
            key.append(known)
            tensors.append(leaf)
        with self._lock:
            recordings = self._recordings.get(signature := tuple(key))
            if recordings is None:
                recordings = self._recordings[signature] = Recordings()
            self._calls = recordings.used = self._calls + 1
            for recording in recordings:
                if recording.holds(tensors):
                    if recording is not recordings[0]:  # most likely it is the next call's as well
                        recordings.remove(recording)
                        recordings.insert(0, recording)
                    return recording.run(tensors)
            if structure.__class__ is int:
                structure = tree.flatten((args, kwargs))[1]
            return self._first_call(structure, leaves, tensors, signature, (args, kwargs))

    def _first_call(
        self, structure: tree.Structure, leaves: Sequence[Any], tensors: Sequence[Tensor],
        signature: tuple[Any, ...], call: tuple[Any, ...],
    ) -> Any:  # fmt: skip
        """Record, and run what was recorded."""
        # The compiler is loaded when it is first needed.
        from ambos.tensor.recorder import Recorder, arguments_met

        if len(self._recordings) > MAX_SIGNATURES:
            self._recordings.pop(min(self._recordings, key=lambda key: self._recordings[key].used))
        recordings = self._recordings[signature]
        self._warn_of(self._repeated(signature))
        live.flush()
        met = arguments_met(tensors, (leaves, *call))
        args, kwargs = tree.unflatten(structure, leaves)
        recorder = Recorder(lambda: self._traced(*args, **kwargs), tensors, met)
        with held_off():
            recorder.trace()
            try:
                recording = recorder.finish()
            except BaseException:
                recorder.undo()
                raise
        if recording is None:
            self._unsettled += 1
            if self._unsettled > MAX_UNSETTLED:
                raise recorder.refuse()
            return recorder.run_once()
        self._unsettled = 0
        for known in recordings:
            if recording.agrees(known):
                if known.bound:  # to arguments that made no difference
                    recordings.remove(known)
                break
        recordings.insert(0, recording)
        del recordings[MAX_VARIANTS:]
        del recorder  # and the graph with it, so that this call too may write in place
        return recording.run(tensors, first=True)

    def _traced(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; a recording of a module's method holds as long as the module stays."""
        guard_owner = getattr(getattr(self._fn, "__self__", None), "_guard_recording", None)
        if guard_owner is not None:
            guard_owner()
        return self._fn(*args, **kwargs)

    def _repeated(self, signature: tuple[Any, ...]) -> str:
        """Which fixed value has changed since an earlier recording that is otherwise like the one
        to be made; nothing where there is none."""
        for recording in self._recordings[signature]:
            guards = recording.guards.structural + recording.guards.volatile
            found = [text for look, before in guards if (text := difference(look, before))]
            if found:
                return found[0]
        for other, recordings in self._recordings.items():
            if other is not signature and recordings and len(other) == len(signature):
                pairs = zip(other[FIRST:], signature[FIRST:], strict=True)
                apart = [(n, a, b) for n, (a, b) in enumerate(pairs) if a != b]
                if other[:FIRST] == signature[:FIRST] and apart and all(
                    isinstance(a, Fixed) and isinstance(b, Fixed) for _, a, b in apart
                ):  # fmt: skip
                    number, was, now = apart[0]
                    return f"argument {number} is {now[1]!r} and was {was[1]!r}"
        return ""

    def _warn_of(self, reason: str) -> None:
        """Once, when it is clear that the function will be recorded again and again."""
        self._repeats += bool(reason)
        if reason and self._repeats == MANY:
            name = getattr(self._fn, "__qualname__", type(self._fn).__name__)
            warnings.warn(
                f"jit: {name} is recorded for the {MANY + 1}th time: {reason}; every recording "
                "takes as long as a first call; need what changes from call to call as a tensor: "
                "an argument, a buffer of the module, the optimizer's lr",
                RecordingWarning,
                stacklevel=depth_of_user(),
            )


class Recordings(list[Recording]):
    """Those of one signature, the one used last in front; `used`: at which call."""

    __slots__ = ("used",)
    used: int


class Fixed(tuple[type, Hashable]):
    """An argument that is no tensor: its type and what is equal for equal bits."""

    __slots__ = ()


def _positional(args: tuple[Any, ...]) -> tuple[list[Any], Any]:
    """The leaves of plain arguments, and their number for a structure; else as `flatten`."""
    for arg in args:
        if container_of(arg.__class__) is not None:
            return tree.flatten((args, {}))
    return list(args), len(args)


def _signature(tensor: Tensor, before: Sequence[Tensor]) -> Any:
    """What a recording fixes of an argument, or None where it belongs to an outer graph."""
    node = tensor._node
    if node.value is None:
        if node.tracked:
            return None
        live.evaluate([tensor])
        node = tensor._node
        if node.value is None:
            return None
    if node.tracked and node.inputs:
        return None
    value = node.value
    same = next((n for n, other in enumerate(before) if other is tensor), None)
    return node.shape, node.dtype.name, value.strides, node.tracked, same


def _static(leaf: Any) -> Fixed:
    """An argument that is no tensor: part of the recording's identity."""
    tree.refuse_unregistered("jit", leaf, "an argument")
    try:
        hash(leaf)
    except TypeError:
        raise ArgumentError(
            f"jit: an argument is {type(leaf).__name__}, which is neither a tensor nor hashable; "
            "need tensors, arrays, and fixed values such as numbers and strings"
        ) from None
    kind = type(leaf)
    return Fixed((kind, repr(leaf) if kind in (float, complex) else leaf))


@public
def jit(fn: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """`fn` as one Program: recorded at the first call, afterwards one native call each time.

    Arguments and results are tensors, nests of them, and fixed hashable values, for each of which
    there is a recording of its own. Tensors from outside are read by handle, and handles that `fn`
    rebinds are rebound at every call: a whole training step with `backward()` and
    `optimizer.step()` works as it stands. Python's own side effects happen at recording only.
    Results do not carry gradients out; `.grad` of a parameter that `fn` updates is used up.

    Errors: TracingError where a value is looked at inside, or a tensor made inside is kept
        otherwise than by returning it; ArgumentError for arguments that cannot be hashed.

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = am.optim.SGD([weight], lr=0.25)
        >>> @am.jit
        ... def step(x):
        ...     loss = ((weight - x) ** 2).sum()
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     optimizer.step()
        ...     return loss
        >>> [step(am.zeros(2)).item() for _ in range(3)]
        [5.0, 1.25, 0.3125]
    """
    if fn is None:  # @am.jit()
        return Jitted
    if not callable(fn):
        raise ArgumentError(f"jit: got {type(fn).__name__}; need a function: am.jit(f)")
    return fn if isinstance(fn, Jitted) else Jitted(fn)


__all__ = ["jit"]
