"""Plans for other sizes of a graph that was planned before.

Two sizes are planned as they come: a batch and a last short one are all that most graphs meet. The
third is planned with what differs from the first left open (`core.open`); where that decides
nothing new, later sizes fill in what is left open (`compiler.fit`).
"""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ambos.compiler.compiled import Compiled, Renewal
from ambos.core.config import config
from ambos.core.errors import depth_of_user
from ambos.core.open import Open, Sheet, Shut
from ambos.graph.body import Body
from ambos.graph.node import Node, leaf, make, toposort, tracking
from ambos.graph.rewrite import carry
from ambos.ops.custom import custom, plain
from ambos.ops.sources import input_
from ambos.runtime.machine import host_features

if TYPE_CHECKING:
    from ambos.compiler.fit import Pattern

MAX_FORMS = 256
MAX_PATTERNS = 6  # sizes on this and that side of a limit
Signature = tuple[Any, ...]


class Unlike(Exception):
    """Two graphs differ by more than numbers."""


class Fitted(NamedTuple):
    """A plan; `was_known`: its kernels were written for other sizes."""

    compiled: Compiled
    was_known: bool


@dataclass(slots=True)
class Form:
    """Graphs of the same operations, connected alike. `patterns`: signatures with numbers left
    open, and what was planned for them."""

    first: Signature
    second: Signature | None = None
    patterns: list[tuple[Signature, Pattern]] = field(default_factory=list)
    attempts: int = 0

    def fitted(
        self, signature: Signature, order: Sequence[Node], wanted: Sequence[Node],
        trail: Mapping[Node, int], renewal: Renewal,
    ) -> Fitted | None:  # fmt: skip
        """The plan for `signature`; None where nothing fits it, and for empty axes: a mean of
        nothing is NaN, whose sign is not the same as a constant and computed."""
        for opened, pattern in tuple(self.patterns):
            numbers: dict[int, Any] = {}
            if matches(opened, signature, numbers) and 0 not in numbers.values():
                compiled = pattern.fit([numbers[slot] for slot in pattern.sheet.given], wanted)
                if compiled is not None:
                    return Fitted(compiled, True)
        if self.attempts >= MAX_PATTERNS:
            return None
        found = self.opened(signature)
        if found is None:
            return None
        opening, opened = found
        self.attempts += 1
        try:
            pattern = opening.plan(opened, order, wanted, trail, renewal)
        except Shut:
            self.attempts = MAX_PATTERNS  # the next size would end here, too
            return None
        self.patterns.insert(0, (opened, pattern))
        compiled = pattern.fit([pattern.sheet.values[slot] for slot in pattern.sheet.given], wanted)
        return None if compiled is None else Fitted(compiled, False)

    def opened(self, signature: Signature) -> tuple[Opening, Signature] | None:
        """`signature` with numbers left open that are others in one of the first two sizes."""
        for before in (self.first, self.second):
            opening = Opening()
            try:
                opened = opening.of(before, signature)
            except Unlike:  # axes of one element are no axes to some operations
                continue
            sheet = opening.sheet
            return None if 0 in map(sheet.values.__getitem__, sheet.given) else (opening, opened)
        return None


_forms: OrderedDict[Any, Form] = OrderedDict()
_lock = threading.Lock()


def fit(
    key: tuple[Any, ...], order: Sequence[Node], wanted: Sequence[Node],
    trail: Mapping[Node, int], renewal: Renewal,
) -> Fitted | None:  # fmt: skip
    """The plan for a graph of other sizes than one before; None where it has to be planned alone.
    `key` begins with the signature, `order` is what that was read from."""
    if config.debug:  # which shows what the compiler does, so it has to do it
        return None
    signature = key[0]
    form = form_of(key)
    if form.second is None and form.first != signature:
        form.second = signature
    if signature in (form.first, form.second):
        return None
    try:
        return form.fitted(signature, order, wanted, trail, renewal)
    except Exception as error:  # planning changes nothing, so that it can begin anew
        form.patterns, form.attempts = [], MAX_PATTERNS
        warnings.warn(
            f"the plan of a graph could not be fitted to other sizes ({error!r}); each will be "
            "planned alone, with the same results. Please report this",
            stacklevel=depth_of_user(),
        )
        return None


def form_of(key: tuple[Any, ...]) -> Form:
    """What is known of graphs like the one with this key; of a first one nothing but itself."""
    signature, *rest = key
    outline = tuple([(entry[0], entry[3:]) for entry in signature]), *rest  # ops and operands
    with _lock:
        form = _forms.setdefault(outline, Form(signature))
        _forms.move_to_end(outline)
        if len(_forms) > MAX_FORMS:
            _forms.popitem(last=False)
    return form


def matches(opened: Any, given: Any, numbers: dict[int, Any]) -> bool:
    """Is `given` that with certain numbers in place of those left open? `numbers`, by slot, are
    filled in."""
    kind = type(opened)
    if kind is Open:
        known = numbers.setdefault(opened.slot, given)
        return type(given) is opened.__class__ and repr(known) == repr(given)
    if kind is not type(given):
        return False
    if kind is tuple:
        return len(opened) == len(given) and all(
            a is b or matches(a, b, numbers) for a, b in zip(opened, given, strict=True)
        )
    if kind is Body:
        return matches(opened.key, given.key, numbers)
    if is_dataclass(opened):
        return all(
            matches(getattr(opened, each.name), getattr(given, each.name), numbers)
            for each in fields(opened)
        )
    return bool(opened == given)


class Opening:
    """A graph with those numbers left open that another has otherwise."""

    def __init__(self) -> None:
        self.sheet = Sheet()
        self.known: dict[tuple[str, str], Open] = {}  # numbers that are the same in both graphs
        self.bodies: dict[tuple[Body, Body], Body] = {}
        self.inside: dict[Node, Node] = {}  # nodes of bodies

    def of(self, before: Any, now: Any) -> Any:
        """`now` with what was different `before` left open."""
        kind = type(now)
        if kind is not type(before):
            raise Unlike
        if before is now or (kind is not Body and before == now):
            return now
        if kind is int or kind is float:
            key = repr(before), repr(now)
            if key not in self.known:
                self.known[key] = self.sheet.number(now)
            return self.known[key]
        if kind is tuple and len(before) == len(now):
            return tuple([self.of(a, b) for a, b in zip(before, now, strict=True)])
        if kind is Body:
            return self.body(before, now)
        if is_dataclass(now):
            names = [each.name for each in fields(now)]
            inner = {name: self.of(getattr(before, name), getattr(now, name)) for name in names}
            return replace(cast(Any, now), **inner)
        raise Unlike

    def body(self, before: Body, now: Body) -> Body:
        if before == now:
            return now
        if (before, now) in self.bodies:  # each result of a loop has it
            return self.bodies[before, now]
        old = toposort([*before.arguments, *before.results])
        new = toposort([*now.arguments, *now.results])
        if len(old) != len(new):
            raise Unlike
        made: dict[Node, Node] = {}
        with self.scope():
            for one, node in zip(old, new, strict=True):
                if one.op is not node.op or len(one.inputs) != len(node.inputs):
                    raise Unlike
                attrs = self.of(one.attrs, node.attrs)
                if node in now.arguments:
                    shape = self.of(one.shape, node.shape)
                    made[node] = leaf(node.op, attrs, shape, node.dtype, node.tracked, None)
                else:
                    inputs = tuple([made[source] for source in node.inputs])
                    made[node] = make(node.op, inputs, attrs, node.tracked)
        self.inside.update(made)
        found = Body([made[x] for x in now.arguments], [made[x] for x in now.results])
        self.bodies[before, now] = found
        return found

    @contextmanager
    def scope(self) -> Iterator[None]:
        """For nodes with numbers of this sheet: nobody else's expression is one of them."""
        outer, tracking.scope = tracking.scope, self.sheet
        try:
            yield
        finally:
            tracking.scope = outer

    def plan(
        self, opened: Signature, order: Sequence[Node], wanted: Sequence[Node],
        trail: Mapping[Node, int], renewal: Renewal,
    ) -> Pattern:  # fmt: skip
        """The kernels of the graph that `opened` writes down."""
        from ambos.compiler.fit import Pattern  # what is on disk needs no compiler

        with self.scope():
            new = self.graph(opened, order)
            places = dict(trail)
            carry(places, {**new, **self.inside})
            roots = [new[node] for node in wanted]
            return Pattern(roots, self.sheet, host_features(), config.threads, places, renewal)

    @staticmethod
    def graph(opened: Signature, order: Sequence[Node]) -> dict[Node, Node]:
        """What stands for each node of `order`."""
        new: dict[Node, Node] = {}
        entries = iter(opened)
        inputs = 0
        for node in order:
            if node.value is None and node.op is custom:  # as realize.sign has it
                new[node] = new[plain(node)]
            elif node.value is None:
                _, attrs, *_ = next(entries)
                new[node] = make(node.op, tuple([new[s] for s in node.inputs]), attrs, False)
            else:
                _, shape, strides = next(entries)
                new[node] = input_.leaf(inputs, strides, shape, node.dtype)
                inputs += 1
        return new
