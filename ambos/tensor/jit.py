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
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ambos.core import tree
from ambos.core.collector import held_off
from ambos.core.config import config
from ambos.core.errors import (
    ArgumentError,
    RecordingWarning,
    TracingError,
    depth_of_user,
    user_line,
)
from ambos.core.sizes import bytes_in
from ambos.graph.node import tracking
from ambos.tensor import live
from ambos.tensor.autocast import casting
from ambos.tensor.handle import Tensor
from ambos.tensor.ledger import ledger
from ambos.tensor.names import public
from ambos.tensor.recording import Recording
from ambos.tensor.resting import begin, end
from ambos.tensor.signature import (
    FIRST,
    Chosen,
    Fixed,
    Given,
    Layout,
    argument_name,
    built,
    filled,
    flattened,
    laid_out,
    layout_key,
    read,
    unmarked,
)
from ambos.tensor.tracing import current

MAX_SIGNATURES = 256  # of arguments, for one function; the one used longest ago makes room
MANY = 8  # recordings that differ in a fixed value only: likely there will be one for every call
MAX_VARIANTS = 16  # of one signature: modes of modules, gradients found, other handles
MAX_UNSETTLED = 2  # calls in a row may make state (a first step does) before that is an error


@dataclass(frozen=True, slots=True)
class Options:
    """What `jit` was asked for beside the function; the budget in bytes."""

    strict: bool = False
    static_argnums: int | Iterable[int] | None = None
    static_argnames: str | Iterable[str] | None = None
    donate_argnums: int | Iterable[int] | None = None
    donate_argnames: str | Iterable[str] | None = None
    memory_budget: int | None = None


class Jitted:
    """What `jit` returns: called like the function."""

    def __init__(self, fn: Callable[..., Any], options: Options = Options()) -> None:
        functools.update_wrapper(self, fn, updated=())
        self._fn, self._options = fn, options
        self._strict, self._budget = options.strict, options.memory_budget
        self._statics = Chosen(fn, "static", options.static_argnums, options.static_argnames)
        self._has_statics = bool(self._statics)
        self._donated = Chosen(fn, "donate", options.donate_argnums, options.donate_argnames)
        self._lock = threading.RLock()
        self._unsettled = 0  # calls in a row that made tensors which stay
        self._recordings: dict[tuple[Any, ...], Recordings] = {}
        self._calls = 0  # served, which tells the recordings used last
        self._repeats = 0  # recordings that differ from another one in a fixed value only
        self._methods: dict[int, tuple[weakref.ref[Any], Jitted]] = {}  # by the id of their object
        self._gone: list[tuple[Any, ...]] = []  # the last signature whose objects are gone

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method: each object has recordings of its own."""
        if instance is None:
            return self
        found = self._methods.get(id(instance))
        if found is not None and found[0]() is instance:
            return found[1]
        statics, donated = self._statics.of_method(), self._donated.of_method()
        options = replace(
            self._options, static_argnums=statics[0], static_argnames=statics[1],
            donate_argnums=donated[0], donate_argnames=donated[1],
        )  # fmt: skip
        # Kept as long as its object lives, so it must not keep the object.
        method = Jitted(self._fn.__get__(weakref.proxy(instance), owner), options)
        methods, number = self._methods, id(instance)
        methods[number] = weakref.ref(instance, lambda _: methods.pop(number, None)), method
        return method

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current.trace is not None or not config.fuse:
            return self._fn(*args, **kwargs)
        given = self._statics.wrapped(args, kwargs) if self._has_statics else (args, kwargs)
        leaves, layout = flattened(*given)
        key: list[Any] = [layout_key(layout), tracking.enabled, config.threads, config.cpu,
                          casting.dtype]  # fmt: skip
        tensors = read(leaves, key)
        if tensors is None:  # differentiated from outside: part of that graph
            return self._fn(*args, **kwargs)
        with self._lock:
            recordings = self._recordings.get(signature := tuple(key))
            if recordings is None:
                recordings = self._recordings[signature] = Recordings()
                self._follow(signature, recordings)
            self._calls = recordings.used = self._calls + 1
            run = begin()
            try:
                for recording in recordings:
                    if recording.holds(tensors):
                        if recordings and recording is not recordings[0]:
                            recordings.put_first(recording)  # most likely the next call's as well
                        return recording.run(tensors)
            finally:
                end(run)
            return self._first_call(layout, leaves, tensors, signature, (args, kwargs))

    def _first_call(
        self, layout: Layout, leaves: Sequence[Any], tensors: Given,
        signature: tuple[Any, ...], call: tuple[tuple[Any, ...], dict[str, Any]],
    ) -> Any:  # fmt: skip
        """Record, and run what was recorded."""
        # The compiler is loaded when it is first needed.
        from ambos.tensor.causes import cause_of
        from ambos.tensor.recorder import Recorder, recorded

        everything = self._recordings.copy()  # objects that go take theirs out meanwhile
        if len(everything) > MAX_SIGNATURES:
            oldest = min(everything, key=lambda key: everything[key].used)
            self._recordings.pop(oldest, None)
        recordings = everything[signature]
        known = [*self._gone, *(key for key, found in everything.items() if found)]
        cause = cause_of(self._fn, signature, recordings, tensors, known)
        if self._strict and known and not cause.is_bound:
            raise self._refusal(cause.text)
        self._warn_of(cause.text if cause.is_fixed else "")
        live.flush()
        structure = laid_out(layout)
        places = zip(leaves, structure.paths(), strict=True)
        paths = [path for leaf, path in places if isinstance(leaf, Tensor)]
        donated = [n for n, path in enumerate(paths) if self._donated and self._donated.has(path)]
        with ledger.recording(self._name, cause.text, user_line()) as entry, held_off():
            recorder, recording = recorded(lambda met: Recorder(
                lambda given: self._traced(structure, filled(leaves, given)), tensors, met, paths,
                self._budget, donated,
            ))  # fmt: skip
        if recording is None:
            self._unsettled += 1
            if self._unsettled > MAX_UNSETTLED:
                raise recorder.refuse()
            entry.cause += "; it makes tensors that stay, so the next call is recorded"
            return recorder.run_once()
        self._unsettled = 0
        for other in recordings:
            if recording.agrees(other):
                if other.bound:  # to arguments that made no difference
                    recordings[:] = [each for each in recordings if each is not other]
                break
        else:
            if self._strict and recordings:
                recorder.undo()
                raise self._refusal(cause.text)
        recording.function = self._name
        recordings.put_first(recording)
        recordings.follow(recording)
        del recordings[MAX_VARIANTS:]
        del recorder  # and the graph with it, so that this call too may write in place
        run = begin()
        try:
            if recording.reads_the_same(tensors) or recording.renew(tensors):
                return recording.run(tensors, first=True)
        finally:
            end(run)
        return self(*call[0], **call[1])  # another thread has changed what was read meanwhile

    def _follow(self, signature: tuple[Any, ...], recordings: Recordings) -> None:
        """Let go of `recordings` with the first object among the arguments that nobody else
        holds: no call can have this signature any more."""
        jitted = weakref.ref(self)

        def forget(_: Any) -> None:
            found = jitted()
            if found is not None and (signature in found._recordings):
                del found._recordings[signature]
                found._gone = [signature]

        objects = [p.object for p in signature[FIRST:] if isinstance(p, Fixed) and p.is_weak]
        recordings.objects = [weakref.ref(each, forget) for each in objects]

    @property
    def _name(self) -> str:
        return getattr(self._fn, "__qualname__", type(self._fn).__name__)

    def _traced(self, structure: tree.Structure, leaves: Sequence[Any]) -> Any:
        """Call the function on containers of its own, which it has to leave as they are; a
        recording of a module's method holds as long as the module stays."""
        guard_owner = getattr(getattr(self._fn, "__self__", None), "_guard_recording", None)
        if guard_owner is not None:
            guard_owner()
        given = built(structure, leaves)
        args, kwargs = unmarked(*given)
        result = self._fn(*args, **kwargs)
        name = lambda path: "argument " + argument_name(self._fn, path)
        tree.refuse_changes("jit", structure, leaves, given, name)
        return result

    def _refusal(self, cause: str) -> TracingError:
        return TracingError(
            f"jit: {self._name} would be recorded again: {cause}; strict=True allows one "
            "recording; need calls alike, or strict=False (am.compilations() lists recordings)"
        )

    def _warn_of(self, reason: str) -> None:
        """Once, when it is clear that the function will be recorded again and again."""
        self._repeats += bool(reason)
        if reason and self._repeats == MANY:
            warnings.warn(
                f"jit: {self._name} is recorded for the {MANY + 1}th time: {reason}; every "
                "recording takes as long as a first call; need what changes from call to call as a "
                "tensor: an argument, a buffer of the module, the optimizer's lr",
                RecordingWarning,
                stacklevel=depth_of_user(),
            )


class Recordings(list[Recording]):
    """Those of one signature, the one used last in front; `used`: at which call; `objects`: those
    among the arguments, which are equal to themselves alone."""

    __slots__ = ("__weakref__", "objects", "used")
    used: int
    objects: list[weakref.ref[Any]]

    def put_first(self, recording: Recording) -> None:
        """Let `recording` be asked first, one of these or a new one."""
        self[:] = [recording, *(other for other in self if other is not recording)]

    def follow(self, recording: Recording) -> None:
        """Let go of `recording` with the first module or optimizer that it relies on."""
        recordings, what = weakref.ref(self), weakref.ref(recording)

        def forget(_: Any) -> None:
            held, gone = recordings(), what()
            if held is not None and gone is not None:
                with suppress(ValueError):  # it has made room for others
                    held.remove(gone)

        alive = [found for of in recording.relied_on if (found := of()) is not None]
        recording.relied_on = [weakref.ref(each, forget) for each in alive]


@public
def jit(
    fn: Callable[..., Any] | None = None, *, strict: bool = False,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Sequence[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Sequence[str] | None = None,
    memory_budget: int | str | None = None,
) -> Callable[..., Any]:  # fmt: skip
    """`fn` as one Program: recorded at the first call, afterwards one native call each time.

    Arguments and results are trees of tensors and fixed hashable values, for each of which there is
    a recording of its own; `static_argnums` and `static_argnames` are fixed as a whole, tuples
    and other containers too. Tensors from outside are read by handle, and handles that `fn`
    rebinds are rebound at every call: a whole training step with `backward()` and
    `optimizer.step()` works as it stands. Python's own side effects happen at recording only.
    Results do not carry gradients out; `.grad` of a parameter that `fn` updates is used up.
    Arguments that are donated are used up: results are written over them where nobody else holds
    them, and whoever reads them afterwards is told so. With `strict`, a call that would have to
    record again is an error that says why. With a `memory_budget` ("2GiB"), as much is computed
    again as it takes for a call to need no more than that, arguments and state included;
    `am.forecast` of the result says what it takes.

    Errors: TracingError where a value is looked at inside, a tensor made inside is kept otherwise
        than by returning it, or containers among the arguments are changed; ArgumentError for
        arguments that cannot be hashed; OutOfMemoryError for a budget that is out of reach.

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
    options: dict[str, Any] = {
        "strict": strict, "static_argnums": static_argnums, "static_argnames": static_argnames,
        "donate_argnums": donate_argnums, "donate_argnames": donate_argnames,
        "memory_budget": memory_budget,
    }  # fmt: skip
    if fn is None:  # @am.jit(...)
        return functools.partial(jit, **options)
    if not callable(fn):
        raise ArgumentError(f"jit: got {type(fn).__name__}; need a function: am.jit(f)")
    if isinstance(fn, Jitted):
        asked = any(option not in (None, False) for option in options.values())
        return jit(fn._fn, **options) if asked else fn
    if memory_budget is not None:
        options["memory_budget"] = bytes_in("jit", memory_budget)
    return Jitted(fn, Options(**options))


__all__ = ["jit"]
