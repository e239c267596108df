"""Random expression graphs, drawn from the registry: a new op is in them without being asked.

An op whose shapes are free has a rule here; every other is called as one of its samples
(`ambos.testing.samples`), on numbers that the graph has computed so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ambos.autodiff import gradients
from ambos.core.dtype import DType, bool_, complex64, complex128, float32, float64
from ambos.graph.node import Node, toposort
from ambos.ops import registry
from ambos.ops.arithmetic import maximum, minimum
from ambos.ops.complex.functions import Half
from ambos.ops.contraction import contract, make_spec, plain
from ambos.ops.kinds import Op, Pointwise, constant_like
from ambos.ops.movement import reshape
from ambos.ops.sources import data
from ambos.testing.samples import Sample, accepted, samples
from tests.fuzz import operands
from tests.fuzz.operands import (
    LIMIT,
    Draw,
    as_dtype,
    leaf,
    partner,
    plain_leaf,
    positions,
    resized,
    tame,
)

# How often a kind is drawn; a kind that is not named here, about as often as sorting.
WEIGHTS = {"pointwise": 30, "move": 16, "reduce": 10, "index": 6, "contract": 3, "scan": 3,
           "complex": 2, "random": 1, "attention": 0.3, "call": 0.5}  # fmt: skip
SIZES = (2, 2, 3, 3, 3, 4, 4, 5, 5, 6, 6, 8, 8, 10, 12, 15, 20, 30, 60)  # operations at most
INTERNAL = (
    "argument",
    "call_on_blocks",
    "input",
    "data",
    "constant",
)  # made by the compiler, or leaves


@dataclass(slots=True)
class Graph:
    """What is computed at once, and the gradients among it."""

    roots: list[Node]
    leaves: list[Node] = field(default_factory=list)

    @property
    def ops(self) -> set[str]:
        return {node.op.name for node in toposort(self.roots)}


def drawable() -> dict[str, list[Op]]:
    """The ops that a graph may have, by kind. (Loops and branches at random, with bodies at random,
    are in tests/compiler/test_control.py.)"""
    found: dict[str, list[Op]] = {}
    for op in registry.values():
        if op.name not in INTERNAL and op.kind != "control" and not isinstance(op, Half):
            found.setdefault(op.kind, []).append(op)
    return found


def graph(draw: Draw, most: int = 60) -> Graph:
    """Up to `most` operations, mostly a few; some of the results are looked at, a quarter of the
    time gradients as well."""
    kinds = drawable()
    weights = [WEIGHTS.get(kind, 2) for kind in kinds]
    leaves = [leaf(draw) for _ in range(draw.rng.randint(1, 3))]
    draw.pool = list(leaves)
    for _ in range(draw.rng.randint(1, min(most, draw.rng.choice(SIZES)))):
        (kind,) = draw.rng.choices(list(kinds), weights)
        (op,) = draw.rng.choices(kinds[kind], [share_of(op) for op in kinds[kind]])
        new = RULES.get(op.name, RULES.get(op.kind, by_sample))(draw, op)
        if new is not None and new.size <= LIMIT:
            draw.pool.append(new)
    made = draw.pool[len(leaves) :] or leaves
    roots = [made[-1], *draw.rng.sample(made, min(len(made), draw.rng.randint(0, 2)))]
    if draw.rng.randint(0, 3) == 0:
        roots += derived(draw, made)
    return Graph(list(dict.fromkeys(roots)), leaves)


def share_of(op: Op) -> float:
    """How often an op is drawn among its kind. One that takes long to compile is rarer: so many
    more graphs fit into an hour, and it still comes up many times."""
    return 1 / max(1.0, getattr(op, "cost", 1) / 2)


def derived(draw: Draw, made: list[Node]) -> list[Node]:
    """Gradients of one node by the data that it comes from."""
    outs = [node for node in made if node.tracked and node.dtype.is_inexact]
    if not outs:
        return []
    out = draw.rng.choice(outs[-3:])
    wanted = [node for node in toposort([out]) if node.op is data and node.tracked]
    found = gradients([out], [leaf(draw, out.shape, out.dtype)], wanted)
    return [g for g in found if g is not None and g.size <= LIMIT]


# --- rules ---------------------------------------------------------------------------------------

Rule = Callable[[Draw, Any], Node | None]


def taken(draw: Draw, dtypes: list[DType]) -> Node:
    """A node of the pool, in a dtype that the op takes."""
    ready = [node for node in draw.pool if node.dtype in dtypes]
    if ready and draw.rng.randint(0, 3):
        return draw.rng.choice(ready)
    dtype = float32 if float32 in dtypes and draw.heads() else draw.rng.choice(dtypes)
    return as_dtype(draw.node(), dtype)


def dtypes_of(op: Op) -> list[DType]:
    default = "biufc" if op.kind in ("contract", "index") else "biuf"
    takes = "c" in getattr(op, "accepts", default)
    return [*accepted(op), *((complex64, complex128) if takes else ())]


def pointwise(draw: Draw, op: Pointwise) -> Node | None:
    if op.name == "cast":
        return as_dtype(taken(draw, dtypes_of(op)), operands.some_dtype(draw))
    first = taken(draw, dtypes_of(op))
    given = [first]
    for _ in range(op.arity - 1):
        given.append(partner(draw, first.shape, first.dtype))
    if op.kind == "random" and not op.fills:
        given = [operands.words(draw, first.shape) for _ in range(op.arity)]
    elif op.fills:
        given = [
            operands.words(draw, first.shape) if fill == "words" else
            partner(draw, first.shape, float32) if fill == "reals" else node
            for fill, node in zip(op.fills, given, strict=True)
        ]  # fmt: skip
    if op.kind == "random":
        return op(*given)
    if op.name == "where":
        given[0] = partner(draw, first.shape, bool_)
    else:
        draw.rng.shuffle(given)
        if draw.rng.randint(0, 3):
            given = [within(op, node) for node in given]
    return op(*given)


def within(op: Pointwise, node: Node) -> Node:
    """Floating numbers in the domain that the op declares."""
    if not node.dtype.is_floating:
        return tame(node)
    low, high = op.domain
    return minimum(maximum(node, constant_like(node, low)), constant_like(node, high))


def cut(draw: Draw, x: Node) -> tuple[tuple[int, ...], ...]:
    """Starts, stops and steps within `x`."""
    starts = [draw.rng.randint(0, n // 2) for n in x.shape]
    stops = [draw.rng.randint(s, n) if draw.heads() else n
             for s, n in zip(starts, x.shape, strict=True)]  # fmt: skip
    return tuple(starts), tuple(stops), tuple(draw.rng.choice((1, 1, 2, 3)) for _ in x.shape)


def regrouped(draw: Draw, x: Node) -> Node:
    """Another shape of as many elements."""
    size, shape = x.size, list[int]()
    while size > 1 and len(shape) < 3:
        factors = [f for f in (2, 3, 4, 5, 7, 8, 13, 16, 31) if size % f == 0] or [size]
        shape.append(draw.rng.choice([*factors, size]))
        size //= shape[-1]
    shape += [size] if size != 1 or draw.heads() else []
    draw.rng.shuffle(shape)
    return reshape(x, attrs=(tuple(shape),))


def move(draw: Draw, op: Op) -> Node | None:
    x = draw.node()
    axes = range(x.rank)
    match op.name:
        case "reshape":
            return regrouped(draw, x)
        case "permute":
            return op(x, attrs=(tuple(draw.rng.sample(axes, x.rank)),))
        case "expand":
            thin = reshape(x, attrs=((1, *x.shape),)) if draw.heads() else x
            wide = [draw.rng.randint(0, 5) if n == 1 else n for n in thin.shape]
            return op(thin, attrs=(tuple(wide),)) if math.prod(wide) <= LIMIT else None
        case "pad":
            sides = [tuple(draw.rng.choice((0, 0, 1, 3)) for _ in axes) for _ in range(2)]
            return op(x, attrs=tuple(sides)) if x.size < LIMIT // 8 else None
        case "slice":
            return op(x, attrs=cut(draw, x))
        case "flip":
            return op(x, attrs=(tuple(a for a in axes if draw.heads()),))
        case "concat" if x.rank:
            axis = draw.rng.randrange(x.rank)
            parts = [x]
            for _ in range(draw.rng.randint(0, 2)):
                shape = list(x.shape)
                shape[axis] = draw.rng.randint(0, 5)
                parts.append(partner(draw, tuple(shape), x.dtype))
            draw.rng.shuffle(parts)
            return op(*parts, attrs=(axis,))
        case "detach":
            return op(x)
    return by_sample(draw, op)


def reduce(draw: Draw, op: Op) -> Node | None:
    x = taken(draw, dtypes_of(op))
    axes = tuple(a for a in range(x.rank) if draw.heads())
    if getattr(op, "needs_elements", False) and any(x.shape[a] == 0 for a in axes):
        return None  # there is no largest of none
    if op.name in ("sum", "prod") and x.dtype.is_inexact and draw.heads():
        x = tame(x)
    return op(x, attrs=(axes,))


def scan(draw: Draw, op: Op) -> Node | None:
    x = taken(draw, dtypes_of(op))
    return op(x, attrs=(draw.rng.randrange(x.rank), bool(draw.heads()))) if x.rank else None


def sort(draw: Draw, op: Op) -> Node | None:
    x = taken(draw, dtypes_of(op))
    if not x.rank:
        return None
    return op(x, attrs=(draw.rng.randint(0, x.shape[-1]), bool(draw.heads())))


def take(draw: Draw, op: Op) -> Node | None:
    x = taken(draw, dtypes_of(op))
    if not x.rank:
        return None
    axis = draw.rng.randrange(x.rank)
    shape = operands.some_shape(draw, draw.rng.randint(0, 2)) if x.shape[axis] else (0,)
    if math.prod(shape) * x.size > LIMIT * max(1, x.shape[axis]):
        return None
    return op(x, positions(draw, shape, x.shape[axis]), attrs=(axis,))


def gather(draw: Draw, op: Op) -> Node | None:
    x = taken(draw, dtypes_of(op))
    if not x.rank:
        return None
    axis = draw.rng.randrange(x.rank)
    count = draw.rng.randint(0, 9) if x.shape[axis] else 0
    shape = tuple(count if i == axis else n for i, n in enumerate(x.shape))
    if math.prod(shape) > LIMIT:
        return None
    index = positions(draw, shape, x.shape[axis])
    if op.name == "gather":
        return op(x, index, attrs=(axis,))
    return op(x, index, partner(draw, shape, x.dtype), attrs=(axis,))


def product(draw: Draw, op: Op) -> Node | None:
    """Half of the time a product of (batches of) matrices of any size."""
    if draw.heads():
        return by_sample(draw, op)
    i, j, k, b = (draw.rng.choice(draw.extents) for _ in "ijkb")
    sizes = {"i": i, "j": j, "k": k, "b": b}
    batch = "b" if b * max(i * j, i * k, j * k) <= LIMIT and draw.rng.randint(0, 2) == 0 else ""
    dtype = taken(draw, dtypes_of(op)).dtype
    spec = make_spec(plain(batch + "ik"), batch + "kj", batch + "ij", "k", sizes)
    shapes = [tuple(sizes[label] for label in batch + pair) for pair in ("ik", "kj")]
    return contract(*(tame(partner(draw, s, dtype)) for s in shapes), attrs=(spec,))


def by_sample(draw: Draw, op: Op) -> Node | None:
    """The op as one of its samples calls it, on numbers of the pool where any will do."""
    found = samples(op) or SAMPLES_BESIDES.get(op.name, [])
    if not found:
        raise AssertionError(f"fuzz: {op.name} has neither a rule nor a sample")
    sample = draw.rng.choice(found)
    dtype = draw.rng.choice([d for d in dtypes_of(op) if op.kind != "call" or not d.is_complex]
                       or [complex64, complex128])  # fmt: skip
    fills = sample.fills or ("values",) * len(sample.shapes)
    base = dtype.part if dtype.is_complex else dtype
    own = sample.leaves(base, draw.rng.getrandbits(16))
    given = []
    for fill, shape, fresh in zip(fills, sample.shapes, own, strict=True):
        if isinstance(fill, str) and fill in ("values", "zeros") and not guarded(op):
            mine = leaf(draw, shape, dtype) if draw.heads() else as_dtype(draw.node(), dtype)
            given.append(tame(resized(mine, shape)))
        elif isinstance(fill, int):
            given.append(positions(draw, shape, fill))
        else:
            given.append(plain_leaf(fresh.value, shape, fresh.dtype))
    return sample.build(given)


def guarded(op: Op) -> bool:
    """Does the op expect operands that belong together?"""
    return op.name == "attention_gradient"


def bridge(draw: Draw, op: Op) -> Node | None:
    """To complex numbers and back."""
    if op.name != "complex":
        return op(taken(draw, [complex64, complex128]))
    x = taken(draw, [float32, float64])
    return op(x, partner(draw, x.shape, x.dtype))


def numbered(draw: Draw, op: Op) -> Node | None:
    return op(attrs=(draw.rng.choice(draw.extents),))


SAMPLES_BESIDES = {
    "fft.fft": [
        Sample(registry["fft.fft"], ((3, 4),), (0, axes, forward, scale))
        for axes in ((1,), (0,), (0, 1)) for forward in (True, False)
        for scale in ("none", "root", "all")
    ],
    "fft.irfft": [Sample(registry["fft.irfft"], ((3, 4),), (0, (1,), n, "all")) for n in (6, 7)],
}  # fmt: skip
RULES: dict[str, Rule] = {
    "pointwise": pointwise, "random": pointwise, "move": move, "reduce": reduce, "scan": scan,
    "sort": sort, "take": take, "gather": gather, "scatter_elements": gather, "contract": product,
    "complex": bridge, "source": numbered,
}  # fmt: skip
