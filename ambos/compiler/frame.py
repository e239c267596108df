"""The text of one LLVM function while it grows: nested scopes, loops, and value numbering.

Every value knows the depth of the scope that defines it. A pure instruction is written into the
scope of its deepest operand, which is still open just in front of the loop that is being written,
so loop-invariant code is hoisted by construction and never has to be found again. Each scope keeps
a table of the instructions it holds; an instruction written twice is the first one's value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Scope:
    """Straight-line text with, inside it, finished loops. Bindings made here end with it."""

    __slots__ = ("axes", "block", "lines", "mask", "memo", "results", "table")

    def __init__(self, block: str) -> None:
        self.lines: list[str] = []
        self.block = block  # label of the basic block that is being appended to
        self.table: dict[str, str] = {}  # instruction text -> the register that holds it
        self.memo: dict[Any, Any] = {}  # tape instruction -> Value (compiler.tape)
        self.axes: dict[int, Any] = {}  # axis -> its index here (compiler.tape)
        self.results: dict[int, Any] = {}  # fold stage -> its Value (compiler.tape)
        self.mask: Any = None


class Frame:
    """One function under construction (and, in `declarations`, what its module declares)."""

    def __init__(self) -> None:
        self.scopes = [Scope("entry")]
        self.declarations: dict[str, None] = {}
        self.functions: dict[str, tuple[Any, str, str]] = {}  # symbol: dtype, type, definition
        self.areas: dict[str, tuple[str, bool]] = {}  # stack memory: LLVM type, zeroed at entry?
        self.repeats = False  # does a rule of scalar code hold a loop of its own?
        self._counter = 0

    @property
    def depth(self) -> int:
        """The depth of the innermost open scope."""
        return len(self.scopes) - 1

    @property
    def size(self) -> int:
        """How much was written so far, in registers."""
        return self._counter

    def fresh(self, prefix: str = "%v") -> str:
        """A name not used before in this function."""
        self._counter += 1
        return f"{prefix}{self._counter}"

    def pure(self, text: str, depth: int) -> str:
        """The register that holds `text`, written at `depth` unless it is there already."""
        scope = self.scopes[depth]
        name = scope.table.get(text)
        if name is None:
            name = scope.table[text] = self.fresh()
            scope.lines.append(f"  {name} = {text}")
        return name

    def here(self, text: str) -> str:
        """The register of an instruction whose place matters: the innermost scope, now."""
        name = self.fresh()
        self.scopes[-1].lines.append(f"  {name} = {text}")
        return name

    def effect(self, text: str) -> None:
        """An instruction without a result (a store), in the innermost scope."""
        self.scopes[-1].lines.append(f"  {text}")

    def declare(self, text: str) -> None:
        """A `declare` line for the module."""
        self.declarations[text] = None

    def area(self, name: str, kind: str = "[128 x i8]", zeroed: bool = True) -> str:
        """The pointer to stack memory; 128 bytes are enough for a vector of anything."""
        self.areas[name] = kind, zeroed
        return f"%{name}"

    @contextmanager
    def scope(self) -> Iterator[None]:
        """A scope for bindings only: one copy of an unrolled body."""
        inner = Scope(self.scopes[-1].block)
        self.scopes.append(inner)
        yield
        self.scopes.pop()
        self.scopes[-1].lines += inner.lines
        self.scopes[-1].block = inner.block

    @contextmanager
    def loop(
        self, start: str, stop: str, step: int | str, carried: Sequence[tuple[str, str]] = ()
    ) -> Iterator[Loop]:
        """Repeat what is written inside for index = start, start + step, ... < stop.

        `carried` gives type and initial value of what each turn hands to the next: inside, read
        `inner` and set `next`; afterwards `outer` holds the last (or the initial) values. `stop`
        and `step` may also be set on the Loop inside, once the body is known.
        """
        yield from self._region(start, stop, step, carried)

    @contextmanager
    def when(
        self, start: str, stop: str, carried: Sequence[tuple[str, str]] = ()
    ) -> Iterator[Loop]:
        """Like `loop`, at most once: for index = start if start < stop."""
        yield from self._region(start, stop, None, carried)

    def _region(
        self, start: str, stop: str, step: int | str | None, carried: Sequence[tuple[str, str]]
    ) -> Iterator[Loop]:
        label = self.fresh("L")
        before = self.scopes[-1].block
        body = Scope(label)
        index = self.fresh("%i")
        region = Loop(index, stop, step, [self.fresh() for _ in carried])
        self.scopes.append(body)
        yield region
        self.scopes.pop()
        latch, repeat = body.block, step is not None
        stop, step = region.stop, region.step
        parent = self.scopes[-1]
        guard = self.fresh()
        lines = parent.lines
        lines.append(f"  {guard} = icmp slt i64 {start}, {stop}")
        lines.append(f"  br i1 {guard}, label %{label}, label %{label}.exit")
        lines.append(f"{label}:")
        back = f", [ {index}.next, %{latch} ]" if repeat else ""
        lines.append(f"  {index} = phi i64 [ {start}, %{before} ]{back}")
        for (kind, first), inner, following in zip(carried, region.inner, region.next, strict=True):
            back = f", [ {following}, %{latch} ]" if repeat else ""
            lines.append(f"  {inner} = phi {kind} [ {first}, %{before} ]{back}")
        lines += body.lines
        if repeat:
            more = f"{index}.more"
            lines.append(f"  {index}.next = add nsw i64 {index}, {step}")
            lines.append(f"  {more} = icmp slt i64 {index}.next, {stop}")
            if region.more is not None:
                lines.append(f"  {index}.again = and i1 {more}, {region.more}")
                more = f"{index}.again"
            lines.append(f"  br i1 {more}, label %{label}, label %{label}.exit")
        else:
            lines.append(f"  br label %{label}.exit")
        lines.append(f"{label}.exit:")
        for (kind, first), following in zip(carried, region.next, strict=True):
            name = self.fresh()
            region.outer.append(name)
            sources = f"[ {first}, %{before} ], [ {following}, %{latch} ]"
            lines.append(f"  {name} = phi {kind} {sources}")
        parent.block = f"{label}.exit"

    def body(self, end: str = "ret void") -> str:
        """The finished text between the function's braces."""
        lines = ["entry:"]
        for name, (kind, zeroed) in self.areas.items():
            lines.append(f"  %{name} = alloca {kind}, align 64")
            if zeroed:
                lines.append(f"  store {kind} zeroinitializer, ptr %{name}, align 64")
        return "\n".join([*lines, *self.scopes[0].lines, f"  {end}", ""])


class Loop:
    """The registers of an open loop: its index and what it carries from turn to turn; `more`, if
    it is set inside, is a condition for going on beside the index's."""

    __slots__ = ("index", "inner", "more", "next", "outer", "step", "stop")

    def __init__(self, index: str, stop: str, step: int | str | None, inner: list[str]) -> None:
        self.index = index
        self.more: str | None = None
        self.stop = stop
        self.step = step
        self.inner = inner
        self.next: list[str] = []
        self.outer: list[str] = []
