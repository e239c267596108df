"""`am.explain(fn, *args)`: the schedule of what a function would run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ambos.compiler.compiled import Renewal
from ambos.compiler.explain import Buffer, Explained, Schedule, explain_graph
from ambos.core import tree
from ambos.core.arguments import checked
from ambos.core.config import config
from ambos.core.errors import ArgumentError
from ambos.core.program import Launch
from ambos.graph.lines import Line
from ambos.graph.node import Node
from ambos.graph.rewrite import Trail
from ambos.runtime.machine import host_features
from ambos.tensor import live
from ambos.tensor.handle import Tensor
from ambos.tensor.jit import Jitted
from ambos.tensor.profile_text import clip, count, places
from ambos.tensor.rehearsal import Draft, Known, rehearse
from ambos.tensor.timing import lines_of
from ambos.tensor.watch import watching

WIDTH = 100
PLUMBING = (
    "reshape",
    "expand",
    "permute",
    "detach",
    "afresh",
    "cast",
)  # views cost nothing by themselves


class Listener(Draft):
    """Keeps the schedule of every graph that is computed while it listens."""

    def __init__(self, stops: bool = False) -> None:
        self.found: list[tuple[Schedule, list[Line | None]]] = []
        self.stops = stops

    def made(
        self, roots: list[Node], trail: Trail, renewal: Renewal, budget: int | None,
        leaves: Sequence[Node], lines: list[Line | None],
    ) -> None:  # fmt: skip
        found = explain_graph(roots, host_features(), config.threads, trail, renewal, budget)
        self.found.append((found, lines))


@checked
def explain(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Print how what `fn(*args, **kwargs)` computes would run: which operations are fused into
    which kernel, from which lines, what is kept in memory and why fusion ends there.

    `fn` is called. What it looks at is computed, as always; what it returns is not. Of a jitted
    function nothing is computed, and a `memory_budget` is kept.

    Example:
        >>> import ambos as am
        >>> am.explain(lambda x: (x * 2 + 1).sum(), am.ones(4))  # doctest: +ELLIPSIS
        program 1: 1 launch, ...
    """
    print(explanation(fn, *args, **kwargs))


def explanation(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """The text that `explain` prints."""
    if not callable(fn):
        raise ArgumentError(f"explain: got {type(fn).__name__}; need a function and its arguments: "
                            "am.explain(fn, x)")  # fmt: skip
    listener = Listener(stops=isinstance(fn, Jitted))
    if isinstance(fn, Jitted):
        rehearse(listener, fn._fn, args, kwargs, fn._budget)
    else:
        listen(listener, fn, args, kwargs)
    if not listener.found:
        return "nothing to compute: every result is data already, or a view of it"
    return "\n\n".join(
        program_text(number, schedule, lines)
        for number, (schedule, lines) in enumerate(listener.found, 1)
    )


def listen(listener: Listener, fn: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Call the function; what it returns is not computed."""
    live.flush()  # what was recorded before is not fn's
    before = config.fuse
    with watching(listener):
        result = fn(*args, **kwargs)
        handles = [leaf for leaf in tree.leaves(result) if isinstance(leaf, Tensor)]
        listener.stops, config.fuse = True, True
        try:
            live.evaluate(handles)
        except Known:
            pass
        finally:
            config.fuse = before


def program_text(number: int, schedule: Schedule, lines: Sequence[Line | None]) -> str:
    """A heading and a paragraph for each kernel."""
    program = schedule.program
    results = sum(program.output_bytes)
    heading = (
        f"program {number}: {count(len(program.launches), 'launch')}, "
        f"{count(program.num_inputs, 'input')}, {size(results)} of results, "
        f"{size(program.arena_bytes)} of arena for the rest"
    )
    parts = [heading]
    for place, group in enumerate(schedule.groups, 1):
        parts += ["", *group_text(place, group, lines)]
    return "\n".join(parts)


def group_text(place: int, group: Explained, lines: Sequence[Line | None]) -> list[str]:
    found = {line for launch in group.launches for line in lines_of(launch, lines)}
    where = places([*found])
    label = clip(group.launches[-1].kernel.label, WIDTH - 22)
    head = clip(where, max(12, WIDTH - 6 - len(label)))
    text = [f"{place:>3}  {label}{head:>{WIDTH - 5 - len(label)}}".rstrip()]
    text += wrapped("fuses", operations(group.computed))
    for launch in group.launches[:-1]:
        text += wrapped("first", launch.kernel.label)
    for launch in group.launches:
        text += inside_text(launch, 5)
    for names, buffer in alike(group.buffers).items():
        node, times = buffer.node, f"{len(names)} x " if len(names) > 1 else ""
        what = f"{', '.join(names)} {node.dtype.name}{list(node.shape)}, {times}"
        text += wrapped("keeps", f"{what}{size(buffer.nbytes)}: {'; '.join(buffer.reasons)}")
    reasons: dict[str, list[str]] = {}
    for other, why in group.apart:
        reasons.setdefault(why, []).append(str(other + 1))
    for why, others in reasons.items():
        text += wrapped("apart", f"from {', '.join(others)}: {why}")
    return text


PARTS = {"repeat": ("each step",), "until": ("while", "do")}


def inside_text(launch: Launch, indent: int) -> list[str]:
    """What a loop or branch launches, one kernel to a line."""
    control = launch.kernel.control
    if control is None:
        return []
    text = []
    one = ", all of it in one kernel" if control.woven else ""
    numbers = [f"branch {number}" for number in range(len(control.parts))]
    for title, part in zip(PARTS.get(control.how, numbers), control.parts, strict=True):
        text.append(f"{' ' * indent}{title}  {size(part.program.arena_bytes)} of arena{one}")
        for inner in part.program.launches:
            text.append(clip(f"{' ' * (indent + 7)}{inner.kernel.label}", WIDTH))
            text += inside_text(inner, indent + 7)
    return text


def alike(buffers: Sequence[Buffer]) -> dict[tuple[str, ...], Buffer]:
    """Buffers that differ in nothing but what they hold, by the names of what they hold."""
    found: dict[Any, list[Buffer]] = {}
    for buffer in buffers:
        node = buffer.node
        found.setdefault((node.dtype, node.shape, buffer.reasons), []).append(buffer)
    return {tuple(buffer.node.op.name for buffer in same): same[0] for same in found.values()}


def operations(nodes: Sequence[Node]) -> str:
    """Names in order, equal neighbours counted, views left out."""
    names: list[list[Any]] = []
    for node in nodes:
        name = node.op.name
        if name in PLUMBING:
            continue
        if names and names[-1][0] == name:
            names[-1][1] += 1
        else:
            names.append([name, 1])
    return ", ".join(name if times == 1 else f"{times} {name}" for name, times in names) or "a copy"


def wrapped(title: str, text: str) -> list[str]:
    """`text` behind a title, in as many lines as it takes."""
    import textwrap

    return textwrap.wrap(text, WIDTH, initial_indent=f"     {title}  ", subsequent_indent=" " * 12)


def size(nbytes: int) -> str:
    """Example:
    >>> size(100), size(2048), size(3 << 20)
    ('100 B', '2.0 KiB', '3.0 MiB')
    """
    if nbytes < 1024:
        return f"{nbytes} B"
    return f"{nbytes / 1024:.1f} KiB" if nbytes < 1 << 20 else f"{nbytes / (1 << 20):.1f} MiB"
