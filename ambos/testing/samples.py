"""Inputs for every op: what the registry-driven tests call it with.

A pointwise op needs nothing here, its declared `domain`, `arity` and `accepts` say enough. Every
other op has a line in `CASES`; the completeness test fails for one that has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ambos.core.dtype import ALL, DType, as_dtype, bool_, int64, uint32
from ambos.core.shape import Shape
from ambos.graph.node import Attrs, Node
from ambos.ops.call import Call
from ambos.ops.complex.functions import Half
from ambos.ops.contraction import Spec, make_spec, plain
from ambos.ops.kinds import Op, Pointwise
from ambos.ops.matrices import hermitian
from ambos.ops.sources import constant_op, data, iota
from ambos.testing.reference import round_to, storage
from ambos.testing.samples_calls import calls

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """One way to call an op. `fills` says what each input holds: "values" (numbers of the dtype
    under test), "fixed" (values without a gradient), "truths", "words" (uint32), "zeros" (values
    with some zeros), "reals" (float32), "matrix" and "positive" (matrices far from singular, and
    positive definite), "tiny" (tolerances), "pivots" (1 up to the length of rows), a number n:
    int64 positions below n; or an array: constants, int64 or of the dtype."""

    op: Op
    shapes: tuple[Shape, ...]
    attrs: Attrs = ()
    fills: tuple[str | int | Values, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        parts = [self.op.name, *("x".join(map(str, s)) or "scalar" for s in self.shapes)]
        return "-".join([*parts, self.note] if self.note else parts)

    def build(self, leaves: Sequence[Node]) -> Node:
        """The op's node on `leaves`."""
        if isinstance(self.op, Call) and self.op.hermitian:
            leaves = [hermitian(leaves[0]), *leaves[1:]]
        return self.op(*leaves, attrs=self.attrs)

    def leaves(self, dtype: DType, seed: int = 0) -> list[Node]:
        """Data leaves with fresh numbers; floating ones are tracked."""
        rng = np.random.default_rng(seed)
        fills = self.fills or ("values",) * len(self.shapes)
        found = []
        for number, (shape, fill) in enumerate(zip(self.shapes, fills, strict=True)):
            if isinstance(fill, np.ndarray):  # constants
                kind = dtype if fill.dtype.kind == "f" else int64
                fixed = round_to(fill.astype(storage(kind.compute)), kind)
                found.append(data.leaf(fixed, shape, kind))
                continue
            kind = _FILL_DTYPES.get(fill, int64 if isinstance(fill, int) else dtype)
            values = round_to(_fill(rng, self.op, shape, kind, fill, number), kind)
            varies = kind.is_floating and fill != "fixed"
            found.append(data.leaf(values, shape, kind, tracked=varies))
        return found


_FILL_DTYPES: dict[str | int, DType] = {
    "truths": bool_, "words": uint32, "reals": as_dtype("float32"),
}  # fmt: skip


def _fill(
    rng: np.random.Generator, op: Op, shape: Shape, dtype: DType, fill: str | int, number: int
) -> Values:
    if isinstance(fill, int):
        return rng.integers(0, fill, shape)
    if dtype is bool_:
        return rng.integers(0, 2, shape) > 0
    if fill == "words":
        return rng.integers(0, 1 << 32, shape, dtype=np.uint32)
    if fill in ("matrix", "positive"):
        return _matrices(rng, shape, fill == "positive").astype(storage(dtype))
    if fill == "tiny":
        return np.full(shape, 1e-6, storage(dtype))
    if fill == "pivots":
        return rng.integers(1, shape[-1], shape, endpoint=True).astype(storage(dtype))
    low, high = op.domain if isinstance(op, Pointwise) else (-3.0, 3.0)
    if dtype.is_integer:
        low = max(low, dtype.min) if dtype.kind == "u" else low
        return rng.integers(round(low), round(high), shape, endpoint=True).astype(storage(dtype))
    if isinstance(op, Pointwise) and op.smooth:
        values = rng.uniform(low, high, shape)
    else:
        values = _apart(rng, low, high, shape, number)
    if fill == "zeros":
        values = np.where(rng.random(shape) < 0.3, 0.0, values)
    return values.astype(storage(dtype.compute))


def _matrices(rng: np.random.Generator, shape: Shape, positive: bool) -> Values:
    """Singular values from 1 to 2, none near another; not symmetric, unless `positive`."""
    *batch, m, n = shape
    q, p = (np.linalg.qr(rng.normal(size=(*batch, size, size)))[0] for size in (m, n))
    values = np.zeros((m, n))
    np.fill_diagonal(values, np.linspace(1, 2, min(m, n)))
    return q @ values @ np.swapaxes(q if positive else p, -1, -2)


def _apart(rng: np.random.Generator, low: float, high: float, shape: Shape, number: int) -> Values:
    """Numbers that keep their distance from whole and half numbers, from zero, from each other
    and from those of the other operands: differences across a kink mean nothing."""
    count = int(np.prod(shape))
    halves = rng.integers(0, int(2 * (high - low)) - 1, count) * 0.5
    values = low + (0.27, 0.113, 0.39)[number % 3] + halves + np.arange(count) * 1e-4
    return np.asarray(rng.permutation(values).reshape(shape))


def accepted(op: Op) -> list[DType]:
    """The dtypes that `op` takes for its values, real ones only."""
    if op.kind == "complex" or isinstance(op, Half):
        return []
    if op.kind in ("source", "random"):
        return [uint32]
    if op.kind == "call":
        kinds = getattr(op, "accepts", "f")
        return [dtype for dtype in ALL if dtype.kind in kinds and dtype is dtype.compute]
    default = {"contract": "iuf", "index": "iuf"}.get(op.kind, "biuf")
    kinds = getattr(op, "accepts", default)
    return [dtype for dtype in ALL if dtype.kind in kinds]


def samples(op: Op) -> list[Sample]:
    """Every sample of `op`; none for an op that nobody wrote samples for."""
    if isinstance(op, Half):
        return []
    if isinstance(op, Pointwise):
        fills: tuple[str | int, ...] = op.fills or ("values",) * op.arity
        if op.kind == "random":
            fills = ("words",) * op.arity
            fills = op.fills or fills
        elif op.name == "where":
            fills = ("truths", "values", "values")
        attrs = (as_dtype("float64"),) if op.name == "cast" else ()
        return [Sample(op, (shape,) * op.arity, attrs, fills) for shape in ((), (7,), (3, 5))]
    return [Sample(op, *case) for case in CASES.get(op.name, ())]


def sources(op: Op) -> list[Node]:
    """Nodes of an op without inputs."""
    if op is data:
        return [data.leaf(np.arange(6.0).reshape(2, 3), (2, 3), as_dtype("float64"))]
    if op is iota:
        return [iota(attrs=(n,)) for n in (0, 1, 5)]
    if op is constant_op:
        return [constant_op(attrs=(v, d)) for v in (0, 1, 3) for d in ALL]
    return []


# --- contractions --------------------------------------------------------------------------------


def convolution(
    space: Shape, window: Shape, stride: Shape, dilation: Shape, batch: int = 2, channels: int = 3,
    filters: int = 2, groups: int = 1, padding: Shape | None = None,
) -> tuple[tuple[Shape, Shape], tuple[Spec]]:  # fmt: skip
    """Shapes and attributes of a convolution, written out label by label."""
    rank, around = range(len(space)), padding or (0,) * len(space)
    outs = [
        (n + 2 * p - (r - 1) * d - 1) // s + 1
        for n, r, s, d, p in zip(space, window, stride, dilation, around, strict=True)
    ]
    sizes = {"n": batch, "g": groups, "c": channels, "k": filters}
    sizes |= {f"o{i}": outs[i] for i in rank} | {f"r{i}": window[i] for i in rank}
    slides = [((f"o{i}", stride[i]), (f"r{i}", dilation[i])) for i in rank]
    taps, places = [f"r{i}" for i in rank], [f"o{i}" for i in rank]
    group = ["g"] if groups > 1 else []
    spec = make_spec(
        [*plain(["n", *group, "c"]), *slides],
        [*group, "k", "c", *taps],
        ["n", *group, "k", *places],
        [*taps, "c"],
        sizes,
        () if padding is None else (0,) * (2 + len(group)) + padding,
    )
    a = tuple(sizes[x] for x in ["n", *group, "c"]) + tuple(space)
    return (a, tuple(sizes[x] for x in spec.b)), (spec,)


def einsum(a: str, b: str, out: str, summed: str, /, **sizes: int) -> tuple[Any, ...]:
    """Shapes and attributes of a plain contraction."""
    spec = make_spec(plain(a), b, out, summed, sizes)
    return tuple(tuple(sizes[x] for x in part) for part in (a, b)), (spec,)


def _contractions() -> list[tuple[Any, ...]]:
    windows = [
        ("1d", ((7,), (3,), (1,), (1,))),
        ("1d strided", ((8,), (3,), (2,), (1,))),
        ("1d dilated", ((9,), (3,), (1,), (2,))),
        ("1d strided and dilated", ((12,), (3,), (2,), (3,))),
        ("1d stride beyond window", ((11,), (2,), (3,), (1,))),
        ("1d stride equals dilation", ((11,), (3,), (2,), (2,))),
        ("1d with a common factor", ((17,), (3,), (4,), (6,))),
        ("1x1 strided", ((5,), (1,), (2,), (1,))),
        ("2d", ((4, 5), (3, 2), (1, 1), (1, 1))),
        ("2d strided", ((6, 5), (3, 3), (2, 1), (1, 1))),
        ("2d strided and dilated", ((7, 6), (2, 3), (2, 3), (3, 1))),
        ("3d", ((3, 4, 3), (2, 2, 2), (1, 2, 1), (1, 1, 2))),
    ]
    found: list[tuple[Any, ...]] = [(*convolution(*w), (), note) for note, w in windows]
    found += [
        (*convolution((6,), (3,), (2,), (1,), channels=2, groups=2), (), "grouped"),
        (
            *convolution((4, 5), (2, 3), (1, 2), (2, 1), channels=1, filters=1, groups=3),
            (),
            "depthwise",
        ),
        (*convolution((5,), (2,), (1,), (1,), batch=0), (), "empty batch"),
        (*convolution((4,), (3,), (1,), (1,), padding=(1,)), (), "padded"),
        (*convolution((2,), (2,), (1,), (1,), padding=(2,)), (), "padded beyond the window"),
        (*convolution((4,), (1,), (2,), (1,), padding=(1,)), (), "padded 1x1 strided"),
        (*convolution((4, 5), (3, 3), (2, 2), (1, 1), padding=(1, 1)), (), "padded strided"),
        (*convolution((5, 4), (2, 2), (2, 1), (2, 1), padding=(1, 0)), (), "padded dilated"),
        (*einsum("ik", "kj", "ij", "k", i=3, j=4, k=5), (), "matmul"),
        (*einsum("bik", "bjk", "bij", "k", b=2, i=2, j=3, k=4), (), "batched"),
        (*einsum("i", "j", "ij", "", i=3, j=4), (), "outer"),
        (*einsum("ij", "ij", "", "ij", i=3, j=4), (), "inner"),
        (*einsum("ik", "kj", "ij", "k", i=3, j=4, k=0), (), "empty sum"),
        (*einsum("ijk", "kj", "i", "jk", i=2, j=3, k=4), (), "two summed"),
    ]
    return found


def _attentions() -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {
        "attention": [],
        "attention_statistics": [],
        "attention_gradient": [],
    }
    for batch, heads, shared, queries, keys, width, wide, causal, masked in (
        (2, 2, 2, 5, 7, 4, 3, False, False),
        (1, 2, 2, 33, 35, 16, 20, True, False),
        (1, 4, 2, 1, 130, 3, 2, False, True),
        (1, 2, 1, 6, 3, 2, 5, True, True),
    ):
        q, k = (batch, heads, queries, width), (batch, shared, keys, width)
        v = (batch, shared, keys, wide)
        out, line = (batch, heads, queries, wide), (batch, heads, queries)
        pairs = (batch, heads, 2, queries)
        mask = ((batch, heads, queries, keys),) * masked
        attrs = (0.5, causal)
        found["attention"].append(((q, k, v, *mask), attrs))
        found["attention_statistics"].append(((q, k, *mask), attrs))
        given = (q, k, v, pairs, out, line, *mask)
        for part in ("query", "key", "value"):  # small scores, near the statistics
            found["attention_gradient"].append((given, (0.02, causal, part)))
    return found


def _blends() -> list[tuple[Any, ...]]:
    """Sums of neighbours from n to m elements, with their transposes."""
    found = []
    for shape, axis, m in (((5,), 0, 8), ((2, 7, 3), 1, 3), ((3, 4), 1, 9), ((0, 4), 1, 2)):
        n = shape[axis]
        low = np.arange(m) * n // m
        index = np.stack([low, np.minimum(low + 1, n - 1)])
        weight = np.stack([0.5 + 0.0625 * (np.arange(m) % 4), np.full(m, 0.25)])
        dense = np.zeros((n, m))
        np.add.at(dense, (index, np.arange(m)[None]), weight)
        back = np.repeat(np.arange(m)[:, None], n, 1)
        shapes = (shape, index.shape, weight.shape, back.shape, back.shape)
        found.append((shapes, (axis,), ("values", index, weight, back, dense.T.copy())))
    return found


# --- the table -----------------------------------------------------------------------------------

_SCANNED: list[tuple[Any, ...]] = [
    (((7,),), (0, False)),
    (((3, 40),), (1, False)),
    (((40, 3),), (0, False)),
    (((3, 40),), (1, True), (), "reverse"),
    (((2, 19, 3),), (1, True), (), "reverse"),
    (((2, 0),), (1, False)),
    (((0, 2),), (1, True)),
]
_SORTED: list[tuple[Any, ...]] = [
    (((7,),), (7, False)),
    (((3, 5),), (5, True)),
    (((2, 0),), (0, False)),
    (((2, 2, 3),), (3, False)),
    (((2, 40),), (3, True), (), "few"),
    (((2, 500),), (500, False), (), "long"),
]
_REDUCED: list[tuple[Any, ...]] = [
    (((5,),), ((0,),)),
    (((3, 4),), ((1,),)),
    (((3, 4),), ((0,),)),
    (((2, 3, 4),), ((0, 2),)),
    (((2, 3),), ((0, 1),)),
    (((2, 3),), ((),)),
    (((2, 1),), ((1,),)),
    ((((),)), ((),)),
]
_TRUTHS = [(*case, ("truths",)) for case in _REDUCED]
_EMPTY = [(((0, 3),), ((0,),)), (((2, 0),), ((1,),)), (((0, 3),), ((1,),))]

CASES: dict[str, list[tuple[Any, ...]]] = {
    "reshape": [
        (((2, 3, 4),), ((6, 4),)),
        (((6, 4),), ((2, 3, 2, 2),)),
        (((4, 6),), ((6, 4),)),
        (((2, 6),), ((4, 3),)),
        (((1, 6, 1),), ((6,),)),
        (((),), ((1, 1),)),
        (((0, 3),), ((3, 0, 2),)),
    ],
    "permute": [
        (((2, 3, 4),), ((2, 0, 1),)),
        (((2, 3),), ((1, 0),)),
        (((2, 3),), ((0, 1),)),
        (((),), ((),)),
    ],
    "expand": [
        (((3, 1),), ((3, 4),)),
        (((1, 1),), ((2, 3),)),
        (((1, 3),), ((0, 3),)),
        (((2, 3),), ((2, 3),)),
    ],
    "pad": [
        (((3,),), ((1,), (2,))),
        (((2, 3),), ((0, 2), (1, 0))),
        (((2, 3),), ((0, 0), (0, 0))),
        (((0, 2),), ((2, 0), (1, 1))),
    ],
    "slice": [
        (((7,),), ((1,), (6,), (2,))),
        (((4, 9),), ((0, 2), (4, 9), (1, 3))),
        (((4, 5),), ((1, 0), (3, 5), (5, 2))),
        (((4, 5),), ((2, 1), (2, 4), (1, 1))),
        (((3,),), ((0,), (3,), (1,))),
    ],
    "flip": [
        (((4,),), ((0,),)),
        (((2, 3, 2),), ((0, 2),)),
        (((2, 3),), ((),)),
    ],
    "concat": [
        (((2, 3), (4, 3)), (0,)),
        (((2, 1), (2, 3), (2, 2)), (1,)),
        (((3,),), (0,)),
        (((0, 2), (2, 2)), (0,)),
    ],
    "interleave": [
        (((4,), (4,)), ((2,),)),
        (((2, 3),) * 6, ((3, 2),)),
        (((2, 3, 2),) * 2, ((1, 2, 1),)),
        (((3,),), ((1,),)),
    ],
    "window": [
        (((7,),), ((0,), (3,), (1,), (1,))),
        (((9,),), ((0,), (3,), (2,), (1,))),
        (((10, 2),), ((0,), (2,), (3,), (1,))),
        (((2, 9),), ((1,), (3,), (1,), (3,))),
        (((2, 11, 2),), ((1,), (3,), (2,), (3,))),
        (((4, 13),), ((1,), (3,), (4,), (2,))),
        (((4,),), ((0,), (4,), (1,), (1,))),
        (((5,),), ((0,), (1,), (2,), (1,))),
        (((4, 5),), ((0, 1), (3, 2), (1, 2), (1, 2))),
        (((2, 6, 5),), ((1, 2), (2, 3), (3, 2), (2, 1))),
    ],
    "detach": [(((2, 3),),)],
    "afresh": [(((2, 3),),)],
    "sum": [*_REDUCED, *_EMPTY],
    "prod": [
        *_REDUCED,
        *_EMPTY,
        (((5, 4),), ((1,),), ("zeros",), "with zeros"),
        (((3, 2, 3),), ((0, 2),), ("zeros",), "with zeros"),
    ],
    "amax": [*_REDUCED, _EMPTY[2]],
    "amin": [*_REDUCED, _EMPTY[2]],
    "max": [*_REDUCED, _EMPTY[2]],
    "min": [*_REDUCED, _EMPTY[2]],
    "argmax": [*_REDUCED, _EMPTY[2]],
    "argmin": [*_REDUCED, _EMPTY[2]],
    "any": [*_TRUTHS, (((2, 0),), ((1,),), ("truths",))],
    "all": [*_TRUTHS, (((2, 0),), ((1,),), ("truths",))],
    "take": [
        (((5,), (3,)), (0,), ("values", 5)),
        (((4, 3), (2, 2)), (0,), ("values", 4)),
        (((2, 5, 2), (7,)), (1,), ("values", 5)),
        (((3, 2), ()), (1,), ("values", 2)),
    ],
    "gather": [
        (((5,), (3,)), (0,), ("values", 5)),
        (((4, 3), (6, 2)), (0,), ("values", 4)),
        (((4, 3), (4, 2)), (1,), ("values", 3)),
        (((2, 3, 4), (2, 2, 3)), (1,), ("values", 3)),
        (((3, 2), (0, 2)), (0,), ("values", 3)),
    ],
    "scatter_add": [
        (((5,), (3,), (3,)), (0,), ("values", 5, "values")),
        (((4, 3), (2, 2), (2, 2, 3)), (0,), ("values", 4, "values")),
        (((2, 3, 2), (7,), (2, 7, 2)), (1,), ("values", 3, "values")),
        (((3, 2), (), (3,)), (1,), ("values", 2, "values")),
    ],
    "scatter_elements": [
        (((5,), (3,), (3,)), (0,), ("values", 5, "values")),
        (((4, 3), (6, 2), (6, 2)), (0,), ("values", 4, "values")),
        (((4, 3), (4, 7), (4, 7)), (1,), ("values", 3, "values")),
        (((2, 3, 4), (2, 2, 3), (2, 2, 3)), (1,), ("values", 3, "values")),
        (((3, 2), (0, 2), (0, 2)), (0,), ("values", 3, "values")),
    ],
    "scatter_fold": [
        (((5,), (3,), (3,)), (0, "prod"), ("values", 5, "values")),
        (((4, 3), (6, 2), (6, 2)), (0, "amax"), ("values", 4, "values")),
        (((4, 3), (6, 2), (6, 2)), (0, "prod"), ("zeros", 4, "zeros"), "with zeros"),
        (((4, 3), (4, 7), (4, 7)), (1, "amin"), ("values", 3, "values")),
        (((2, 3, 4), (2, 2, 3), (2, 2, 3)), (1, "prod"), ("values", 3, "values")),
        (((3, 40), (5, 40), (5, 40)), (0, "amax"), ("values", 3, "values")),
        (((3, 2), (0, 2), (0, 2)), (0, "amin"), ("values", 3, "values")),
    ],
    "put": [
        (((5,), (), ()), (0,), ("values", 5, "values")),
        (((4, 3), (1,), (1, 3)), (0,), ("values", 4, "values")),
        (((2, 3, 2), (), (2, 2)), (1,), ("values", 3, "values")),
        (((4, 5), (1, 1), (4, 1, 1)), (1,), ("values", 5, "values")),
        (((0, 2), (1,), (0, 1)), (1,), ("values", 2, "values")),
    ],
    "last_writer": [
        (((9,),), (0, 5), (5,)),
        (((6, 3),), (0, 4), (4,)),
        (((3, 7),), (1, 4), (4,)),
        (((0, 2),), (0, 3), (3,)),
    ],
    "blend": _blends(),
    "cumsum": _SCANNED,
    "cumprod": _SCANNED,
    "cummax": _SCANNED,
    "cummin": _SCANNED,
    "logcumsumexp": _SCANNED,
    "argsort": _SORTED,
    "sort": _SORTED,
    "contract": _contractions(),
    **_attentions(),
    **calls(),
}
