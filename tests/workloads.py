"""Graphs, with their gradients, that exercise every part of the compiler; used by several tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ambos.autodiff import gradients
from ambos.core.dtype import as_dtype, float16
from ambos.core.shape import Shape
from ambos.graph import Node
from ambos.graph.node import tracking
from ambos.ops import constant, constant_like
from ambos.ops.arithmetic import (
    absolute,
    add,
    cast,
    divide,
    equal,
    multiply,
    relu,
    subtract,
    where,
)
from ambos.ops.attention import attention as flash
from ambos.ops.contraction import contract, conv, make_spec, plain
from ambos.ops.fourier import fft, rfft
from ambos.ops.functions import exp, log, rsqrt, sin, tanh
from ambos.ops.indexing import (
    argsort,
    gather,
    last_writer,
    put,
    scatter_add,
    scatter_elements,
    sort,
    take,
)
from ambos.ops.matrices import identity, product, times_columns, transpose
from ambos.ops.movement import concat, detach, expand, flip, pad, permute, reshape, slice_, window
from ambos.ops.random import bits, normal, uniform
from ambos.ops.reductions import argmax, kept, max_, prod, sum_
from ambos.ops.scan import cummax, cumprod, cumsum
from ambos.ops.solving import cholesky, solve
from ambos.ops.sources import data, iota
from ambos.ops.spectral import svd
from ambos.tensor.array import Array


class Maker:
    """Seeded data leaves."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)

    def __call__(self, *shape: int, dtype: str = "float32", tracked: bool = True) -> Node:
        values = self.random.standard_normal(shape).astype(dtype)
        return leaf(values, tracked)

    def integers(self, high: int, *shape: int) -> Node:
        return leaf(self.random.integers(0, high, shape))


def leaf(values: np.ndarray, tracked: bool = False) -> Node:
    values = np.asarray(values)
    kind = as_dtype(values.dtype)
    return data.leaf(Array.from_numpy(values), values.shape, kind, tracked)


def with_gradients(output: Node, *wanted: Node, seed: int = 7) -> list[Node]:
    """`output` and its gradients for a random seed gradient."""
    g = leaf(np.random.default_rng(seed).standard_normal(output.shape).astype(output.dtype.name))
    found = gradients([output], [g], wanted)
    assert None not in found
    return [output, *[n for n in found if n is not None]]


def along(vector: Node, shape: Shape, axis: int) -> Node:
    """`vector` along `axis` of `shape`, repeated elsewhere."""
    single = tuple(n if a == axis else 1 for a, n in enumerate(shape))
    return expand(reshape(vector, attrs=(single,)), attrs=(shape,))


def scalar(node: Node, value: complex) -> Node:
    return constant_like(node, value)


def softmax(x: Node) -> Node:
    top = max_(x, attrs=((x.rank - 1,),))
    e = exp(subtract(x, kept(top, detach(top))))
    total = sum_(e, attrs=((x.rank - 1,),))
    return divide(e, kept(total, total))


def normalized(x: Node, axes: Shape) -> Node:
    count = float(np.prod([x.shape[a] for a in axes]))
    total = sum_(x, attrs=(axes,))
    centred = subtract(x, kept(total, divide(total, scalar(total, count))))
    squares = sum_(multiply(centred, centred), attrs=(axes,))
    variance = add(divide(squares, scalar(squares, count)), scalar(squares, 1e-5))
    return multiply(centred, kept(squares, rsqrt(variance)))


def linear(x: Node, w: Node) -> Node:
    sizes = {"m": x.shape[0], "k": x.shape[1], "n": w.shape[0]}
    return contract(x, w, attrs=(make_spec(plain("mk"), "nk", "mn", "k", sizes),))


def max_pool(x: Node) -> Node:
    n, c, h, w = x.shape
    return max_(reshape(x, attrs=((n, c, h // 2, 2, w // 2, 2),)), attrs=((3, 5),))


def mlp(batch: int = 19) -> list[Node]:
    make = Maker(1)
    x, w1, b1, w2 = make(batch, 50), make(40, 50), make(40), make(10, 40)
    h = relu(add(linear(x, w1), along(b1, (batch, 40), 1)))
    logits = linear(h, w2)
    loss = sum_(log(softmax(multiply(logits, scalar(logits, 0.03)))), attrs=((0, 1),))
    return with_gradients(loss, x, w1, b1, w2)


def split_sums() -> list[Node]:
    """Long reductions to few elements: their runs are spread over threads, then combined."""
    make = Maker(11)
    x, halves = make(34, 3, 70, 60), make(140_000)
    eighths = np.round(8 * make.random.standard_normal((140_001, 3))) / 8  # NumPy adds rows naively
    y = leaf(eighths.astype(np.float32), tracked=True)
    statistics = normalized(x, (0, 2, 3))
    product = multiply(y, y)
    loss = sum_(multiply(tanh(y), y), attrs=((0, 1),))
    found = [statistics, product, sum_(product, attrs=((0,),)), max_(y, attrs=((0,),))]
    found += [sum_(cast(halves, attrs=(float16,)), attrs=((0,),)), max_(x, attrs=((0, 1, 2, 3),))]
    return [*found, *with_gradients(loss, y)]


def columns() -> list[Node]:
    """Reductions down columns of several panels, with stages before, between and after."""
    make = Maker(12)
    x, w = make(37, 531), make(531)
    y = multiply(normalized(x, (0,)), along(w, (37, 531), 1))
    best = argmax(x, attrs=((0,),))
    return [*with_gradients(tanh(y), x, w), best, prod(x, attrs=((0,),))]


def cnn() -> list[Node]:
    make = Maker(2)
    x, k1, b1, k2, w = (
        make(3, 2, 12, 12), make(8, 2, 3, 3), make(8), make(20, 8, 3, 3), make(10, 180),
    )  # fmt: skip
    one = (1, 1)
    h = conv(x, k1, one, one, one, 1)
    h = max_pool(relu(add(h, along(b1, h.shape, 1))))
    h = max_pool(relu(conv(h, k2, one, one, one, 1)))
    return with_gradients(linear(reshape(h, attrs=((3, 180),)), w), x, k1, b1, k2, w)


def convolution(stride: Shape, padding: Shape, dilation: Shape, groups: int) -> list[Node]:
    make = Maker(3)
    x, k = make(2, 4, 9, 11), make(8, 4 // groups, 3, 3)
    return with_gradients(relu(conv(x, k, stride, padding, dilation, groups)), x, k)


def convolution_1d() -> list[Node]:
    make = Maker(4)
    x, k = make(2, 3, 40), make(5, 3, 4)
    return with_gradients(conv(x, k, (3,), (2,), (2,), 1), x, k)


def convolution_3d() -> list[Node]:
    make = Maker(5)
    x, k = make(2, 3, 5, 6, 7), make(4, 3, 2, 3, 2)
    return with_gradients(conv(x, k, (1, 2, 1), (0, 1, 1), (1, 1, 2), 1), x, k)


def depthwise() -> list[Node]:
    make = Maker(14)
    x, k, m = make(2, 35, 7, 8), make(35, 1, 3, 3), make(70, 1, 3, 2)
    y = relu(conv(x, k, (1, 1), (1, 1), (1, 1), 35))
    return with_gradients(conv(y, m, (2, 1), (1, 0), (1, 2), 35), x, k, m)


def wide_convolution() -> list[Node]:
    """Sums of several blocks; channels so far apart that the weight gradient copies both sides."""
    make = Maker(15)
    x, k = make(3, 130, 10, 11), make(33, 130, 3, 3)
    return with_gradients(conv(x, k, (1, 1), (1, 1), (1, 1), 1), x, k)


def residual_block() -> list[Node]:
    """Images that are computed inside padded ones, and read by others as well."""
    make = Maker(16)
    x, first, second = make(2, 12, 8, 10), make(24, 12, 3, 3), make(24, 24, 3, 3)
    short, after = make(24, 12, 1, 1), make(7, 24, 2, 2)
    image = relu(conv(x, first, (2, 2), (1, 1), (1, 1), 1))
    image = conv(relu(image), second, (1, 1), (1, 1), (1, 1), 1)
    both = relu(add(image, conv(x, short, (2, 2), (0, 0), (1, 1), 1)))
    pooled = max_(window(both, attrs=((2, 3), (3, 3), (2, 1), (1, 1))), attrs=((4, 5),))
    again = conv(both, after, (2, 2), (2, 1), (1, 1), 1)
    return [*with_gradients(again, x, first, second, short, after), pooled]


def layer_norm() -> list[Node]:
    make = Maker(6)
    x, gain, shift = make(6, 40), make(40), make(40)
    y = add(multiply(normalized(x, (1,)), along(gain, x.shape, 1)), along(shift, x.shape, 1))
    return with_gradients(y, x, gain, shift)


def rows_and_columns(length: int = 2100) -> list[Node]:
    """Gradients along rows and sums down columns, which one kernel computes: over several axes of
    either, in other precisions, and where rows do not lie row after row (two kernels then)."""
    make = Maker(15)
    found = []

    def affine(x: Node, first: int, wanted: Node) -> None:
        axes = tuple(range(first, x.rank))
        shape = x.shape[first:]
        gain, shift = (make(*shape, dtype=x.dtype.name) for _ in range(2))
        around = (1,) * first + shape
        wide = [expand(reshape(v, attrs=(around,)), attrs=(x.shape,)) for v in (gain, shift)]
        y = add(multiply(normalized(x, axes), wide[0]), wide[1])
        found.extend(with_gradients(y, wanted, gain, shift))

    for x, first in ((make(2, length, 20), 2), (make(35, 3, 7), 1), (make(length, 33), 1)):
        affine(x, first, x)
    for dtype in ("float16", "float64"):
        x = make(40, 18, dtype=dtype)
        affine(x, 1, x)
    x = make(18, 3, 40)
    affine(permute(x, attrs=((1, 2, 0),)), 2, x)
    logits, bias = make(50, 12), make(12)
    updated = subtract(bias, sum_(softmax(logits), attrs=((0,),)))
    return [*found, updated, softmax(logits)]


def batch_norm() -> list[Node]:
    make = Maker(7)
    x, k = make(4, 3, 8, 8), make(16, 3, 3, 3)
    y = conv(x, k, (1, 1), (1, 1), (1, 1), 1)
    return with_gradients(relu(normalized(y, (0, 2, 3))), x, k)


def attention() -> list[Node]:
    make = Maker(8)
    x, w = make(2, 17, 24), make(24, 72)
    mixed = contract(
        x,
        w,
        attrs=(make_spec(plain("btc"), "cn", "btn", "c", {"b": 2, "t": 17, "c": 24, "n": 72}),),
    )
    heads = permute(reshape(mixed, attrs=((2, 17, 3, 3, 8),)), attrs=((2, 0, 3, 1, 4),))
    ones = (1, 1, 1, 1, 1)

    def part(i: int) -> Node:
        piece = slice_(heads, attrs=((i, 0, 0, 0, 0), (i + 1, 2, 3, 17, 8), ones))
        return reshape(piece, attrs=((2, 3, 17, 8),))

    sizes = {"b": 2, "h": 3, "t": 17, "s": 17, "d": 8}
    scores = contract(
        part(0), part(1), attrs=(make_spec(plain("bhtd"), "bhsd", "bhts", "d", sizes),)
    )
    mixed = contract(
        softmax(scores), part(2),
        attrs=(make_spec(plain("bhts"), "bhsd", "bhtd", "s", sizes),),
    )  # fmt: skip
    merged = reshape(permute(mixed, attrs=((0, 2, 1, 3),)), attrs=((2, 17, 24),))
    return with_gradients(merged, x, w)


def windows() -> list[Node]:
    x = Maker(9)(2, 3, 9, 10)
    seen = window(x, attrs=((2, 3), (3, 2), (2, 3), (1, 2)))
    return [*with_gradients(max_(seen, attrs=((4, 5),)), x), *with_gradients(seen, x)]


def indexing() -> list[Node]:
    make = Maker(10)
    table, line = make(20, 24), make(20)
    where_to = leaf(np.array([[1, 2, 3], [3, 3, 19]]))
    taken = with_gradients(take(table, where_to, attrs=(0,)), table)
    column = with_gradients(take(line, where_to, attrs=(0,)), line)
    last = take(table, where_to, attrs=(1,))
    added = scatter_add(make(5, 7), leaf(np.array([4, 0, 4])), make(5, 3), attrs=(1,))
    rows = make(5, 70)
    few = sort(rows, attrs=(8, True)), argsort(rows, attrs=(8, True))
    ordered = with_gradients(sort(rows, attrs=(70, False)), rows)
    return [*taken, *column, *with_gradients(last, table), added, *few, *ordered, *written()]


def written() -> list[Node]:
    """Elements read and written at positions of their own along each axis; one row replaced."""
    make = Maker(16)
    block = make(3, 40, 70)
    found = []
    for axis in range(3):
        shape = tuple(90 if a == axis else n - 1 for a, n in enumerate(block.shape))
        index = make.integers(block.shape[axis], *shape)
        found += with_gradients(gather(block, index, attrs=(axis,)), block)
        updates = make(*shape)
        added = scatter_elements(block, index, updates, attrs=(axis,))
        found += with_gradients(added, block, updates)
        found.append(last_writer(index, attrs=(axis, block.shape[axis])))
    row = make(3, 1, 70)
    return [*found, *with_gradients(put(block, make.integers(40, 1), row, attrs=(1,)), block, row)]


def scans() -> list[Node]:
    make = Maker(12)
    rows, columns = make(3, 5000), make(70, 37)
    along = with_gradients(cumsum(exp(rows), attrs=(1, False)), rows)
    down = with_gradients(cumsum(columns, attrs=(0, True)), columns)
    product = with_gradients(cumprod(columns, attrs=(1, False)), columns)
    greatest = with_gradients(cummax(columns, attrs=(0, False)), columns)
    turned = cumsum(permute(columns, attrs=((1, 0),)), attrs=(0, False))
    return [*along, *down, *product, *greatest, turned, cumsum(make(9000), attrs=(0, False))]


def transposes() -> list[Node]:
    """Copies whose reads and writes run along different axes, with work around them."""
    make = Maker(11)
    x, y = make(40, 70), make(70, 40)
    turned = add(permute(x, attrs=((1, 0),)), y)
    images = make(2, 5, 9, 11)
    last = reshape(permute(images, attrs=((0, 2, 3, 1),)), attrs=((990,),))
    padded = pad(permute(images, attrs=((0, 3, 1, 2),)), attrs=((0, 1, 0, 2), (0, 0, 3, 1)))
    return [*with_gradients(turned, x, y), last, reshape(padded, attrs=((padded.size,),))]


def movement() -> list[Node]:
    make = Maker(11)
    x, y = make(4, 6, 5), make(4, 6, 5)
    joined = concat(x, exp(y), attrs=(1,))
    moved = flip(permute(joined, attrs=((2, 0, 1),)), attrs=((0, 2),))
    padded = pad(sin(moved), attrs=((1, 0, 2), (0, 3, 1)))
    cut = slice_(padded, attrs=((0, 1, 1), (6, 6, 14), (2, 1, 3)))
    return [*with_gradients(cut, x, y), tanh(reshape(moved, attrs=((30, 8),)))]


def reductions() -> list[Node]:
    make = Maker(12)
    x, row = make(30, 40), make(30)
    broadcast = multiply(x, along(row, x.shape, 0))
    long = make(3, 9001)
    turned = permute(make(40, 50), attrs=((1, 0),))
    return [
        *with_gradients(sum_(broadcast, attrs=((0, 1),)), x, row),
        *with_gradients(prod(make(4, 3), attrs=((1,),))),
        sum_(turned, attrs=((0, 1),)), sum_(long, attrs=((1,),)), sum_(long, attrs=((0, 1),)),
        argmax(x, attrs=((0,),)), argmax(x, attrs=((0, 1),)), sum_(make(70, 33), attrs=((0,),)),
        sum_(make(3, 7, 20, 11), attrs=((0, 2),)),
    ]  # fmt: skip


def inner_products() -> list[Node]:
    """Contractions without rows or columns, or without a sum, and their gradients."""
    make = Maker(15)

    def product(a: Node, b: Node, labels: str) -> list[Node]:
        first, second, out = labels.replace("->", ",").split(",")
        sizes = dict(zip(first + second, a.shape + b.shape, strict=True))
        summed = [n for n in dict.fromkeys(first + second) if n not in out]
        spec = make_spec(plain(first), second, out, summed, sizes)
        return with_gradients(contract(a, b, attrs=(spec,)), a, b)

    return [
        *product(make(200_000), make(200_000), "i,i->"),
        *product(exp(make(5, 700)), make(5, 700), "bi,bi->b"),
        *product(make(700, 5), make(700, 5), "ib,ib->b"),
        *product(make(30, 40), make(40, 30), "ij,ji->"),
        *product(make(3, 7), make(3, 20), "bi,bj->bij"),
        *product(make(9, 33, dtype="float16"), make(9, 33, dtype="float16"), "bi,bi->b"),
    ]


def randomness() -> list[Node]:
    key = leaf(np.array([1234567, 89], np.uint32))
    x = Maker(13)(33, 20)
    mask = equal(constant(1, x.dtype, x.shape), where_below(uniform(key, x.shape, x.dtype), 0.5))
    dropped = where(mask, x, scalar(x, 0))
    return [
        *with_gradients(dropped, x), bits(key, (100,)), normal(key, (7, 9), x.dtype),
        add(iota(attrs=(9,)), iota(attrs=(9,))),
    ]  # fmt: skip


def where_below(x: Node, limit: float) -> Node:
    from ambos.ops.arithmetic import less

    return where(less(x, scalar(x, limit)), scalar(x, 1), scalar(x, 0))


def halves() -> list[Node]:
    make = Maker(14)
    x, y = make(9, 33, dtype="float16"), make(9, 33, dtype="float16")
    z = multiply(add(x, y), exp(x))
    return [*with_gradients(z, x, y), sum_(z, attrs=((1,),)), linear(x, y)]


def complex_numbers() -> list[Node]:
    """Products, functions, moves and sums of complex numbers, transposed data, both precisions."""
    make = Maker(17)
    found = []
    for dtype in ("float32", "float64"):
        parts = [make(33, 20, dtype=dtype, tracked=False) for _ in range(2)]
        z = leaf(parts[0].value.numpy() + 1j * parts[1].value.numpy(), tracked=True)
        w = permute(z, attrs=((1, 0),))
        rows = linear(exp(z), flip(z, attrs=((0,),)))
        found += with_gradients(divide(rows, add(scalar(rows, 2 + 1j), multiply(rows, rows))), z)
        found += with_gradients(concat(tanh(w), log(w), attrs=(1,)), z)
        found += [sum_(w, attrs=((0,),)), prod(z, attrs=((1,),)), cumprod(w, attrs=(1, False))]
        found += with_gradients(absolute(cumsum(z, attrs=(0, True))), z)
    return found


def linear_algebra() -> list[Node]:
    """Calls between kernels, several results of one, real and complex, and their gradients."""
    make = Maker(19)
    a, b = make(3, 6, 6), make(3, 6, 4)
    ones = identity(a.dtype, a.shape)
    good = add(product(a, transpose(a)), multiply(ones, constant_like(ones, 6)))
    u, s, vh = svd.parts(b, attrs=(False,))
    waves = fft(rfft(exp(sin(b)), attrs=(0, (1,), "root")), attrs=(0, (2,), True, "none"))
    found = with_gradients(solve(good, tanh(b)), a, b)
    found += [*with_gradients(times_columns(u, exp(s)), b), vh]
    return [*found, *with_gradients(cholesky(good), a), *with_gradients(absolute(waves), b)]


def kernel_gradients(output: Node, *wanted: Node) -> list[Node]:
    """`with_gradients` as a backward pass records them: not to be differentiated again."""
    tracking.enabled = False
    try:
        return with_gradients(output, *wanted)
    finally:
        tracking.enabled = True


def fused_attention() -> list[Node]:
    """Strided views of one projection, causal; grouped heads with a mask; and their gradients."""
    make = Maker(12)
    both = []
    whole = make(2, 67, 3, 2, 20)
    parts = [
        slice_(whole, attrs=((0, 0, i, 0, 0), (2, 67, i + 1, 2, 20), (1,) * 5)) for i in range(3)
    ]
    views = [permute(reshape(x, attrs=((2, 67, 2, 20),)), attrs=((0, 2, 1, 3),)) for x in parts]
    both += kernel_gradients(flash(*views, attrs=(0.2, True)), whole)
    q, k, v, mask = make(1, 4, 35, 8), make(1, 2, 300, 8), make(1, 2, 300, 24), make(35, 300)
    mask = expand(reshape(detach(mask), attrs=((1, 1, 35, 300),)), attrs=((1, 4, 35, 300),))
    both += kernel_gradients(flash(q, k, v, mask, attrs=(0.3, False)), q, k, v)
    return both


WORKLOADS: dict[str, Callable[[], list[Node]]] = {
    "split sums": split_sums,
    "columns": columns,
    "mlp": mlp,
    "cnn": cnn,
    "conv": lambda: convolution((1, 1), (1, 1), (1, 1), 1),
    "conv_stride": lambda: convolution((2, 2), (1, 1), (1, 1), 1),
    "conv_dilation": lambda: convolution((2, 1), (0, 1), (1, 2), 1),
    "conv_odd": lambda: convolution((3, 2), (2, 1), (2, 1), 1),
    "conv_groups": lambda: convolution((1, 1), (1, 1), (1, 1), 2),
    "conv_depthwise": lambda: convolution((2, 2), (0, 0), (1, 1), 4),
    "depthwise": depthwise,
    "wide_convolution": wide_convolution,
    "residual_block": residual_block,
    "conv_1d": convolution_1d,
    "conv_3d": convolution_3d,
    "layer_norm": layer_norm,
    "rows_and_columns": rows_and_columns,
    "few_rows_and_columns": lambda: rows_and_columns(18),
    "batch_norm": batch_norm,
    "attention": attention,
    "fused_attention": fused_attention,
    "windows": windows,
    "indexing": indexing,
    "transposes": transposes,
    "scans": scans,
    "movement": movement,
    "reductions": reductions,
    "inner_products": inner_products,
    "randomness": randomness,
    "halves": halves,
    "complex_numbers": complex_numbers,
    "linear_algebra": linear_algebra,
}
