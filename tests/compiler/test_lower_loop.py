"""Rows and columns as kernels: what may be computed beside a reduction."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos.compiler import memory
from tests.compiler.test_work import compiled


def test_rows_beside_a_sum_over_everything() -> None:
    """The sum walks two axes as one; the quotient by a number per row cannot."""
    random = np.random.default_rng(0)
    x, y = (random.standard_normal((3, 15)) for _ in range(2))
    a, b = am.tensor(x), am.tensor(y)
    found = a / (1 + a.abs().sum(-1, keepdim=True)) - b.var()
    expected = x / (1 + np.abs(x).sum(-1, keepdims=True)) - y.var(ddof=1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_channels_beside_a_sum_over_groups_of_them() -> None:
    random = np.random.default_rng(0)
    x, w = random.standard_normal((2, 2, 3, 5)), random.standard_normal((2, 3, 1))
    a = am.tensor(x)
    found = (a - a.sum((2, 3), keepdim=True)) * am.tensor(w)
    expected = (x - x.sum((2, 3), keepdims=True)) * w
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1), (1, 2), (0, 2)])
def test_sums_of_rows_that_are_looked_up(axis: int | tuple[int, ...]) -> None:
    """Vectors lie along the rows, which are contiguous wherever they begin; the bits are those of
    rows that have been stored first."""
    random = np.random.default_rng(0)
    table, index = random.standard_normal((40, 33)), random.integers(0, 40, (21, 7))
    rows = am.tensor(table[index])
    found = am.take(am.tensor(table), am.tensor(index), axis=0).sum(axis)
    np.testing.assert_array_equal(found.numpy(), rows.sum(axis).numpy())


def test_looked_up_rows_are_read_as_neighbours() -> None:
    table, index = am.zeros((40, 33)).clone(), am.zeros((21, 7), dtype=am.int64).clone()
    am.evaluate(table, index)
    with mock.patch.object(memory, "_gather", wraps=memory._gather) as gathers:
        am.evaluate(am.take(table, index, axis=0).sum(1), am.take(table, index, axis=0).sum(2))
    assert not gathers.called


def test_rows_weighed_by_rows_are_read_as_neighbours() -> None:
    """`weights` lie along the axis that is reduced, and are one number for all of a row."""
    stream = np.random.RandomState(3)
    rows, weights = (stream.randint(-9, 9, size).astype("f") for size in ((37, 24), (19, 37)))
    a, w = am.tensor(rows), am.tensor(weights)
    with mock.patch.object(memory, "_load_lanes", wraps=memory._load_lanes) as apart:
        found = ((a - 1) * w[:, :, None]).sum(1)
        np.testing.assert_array_equal(found.numpy(), weights @ (rows - 1))
    assert not apart.called


Made = Callable[[am.Tensor, am.Tensor], am.Tensor]
PRODUCERS: dict[str, Made] = {
    "outer products": lambda a, b: (a[:, :, None] * b[:, None, :]) ** 2,
    "three factors": lambda a, b: a[:, :, None, None] * b[:, None, :21, None] * a[:, None, None],
    "inside of an image": lambda a, b: (a[:, :, None] + b[:, None, :])[:, 1:-1, 2:-3],
    "a border of zeros": lambda a, b: F.pad(b.reshape(3, 7, 357), (1, 2, 3, 1)) * 2,
    "kept in the middle": lambda a, b: (a[:, :, None] * b[:, None, :]).swapaxes(0, 1),
}


@pytest.mark.parametrize("made", PRODUCERS.values(), ids=PRODUCERS)
def test_axes_that_no_address_walks_through_as_one_are_summed_without_a_copy(made: Made) -> None:
    """The bits are those of a sum over the same numbers in a row, and the arena stays empty."""
    random = np.random.default_rng(0)
    a, b = (am.tensor(random.standard_normal(n).astype("f4")) for n in ((3, 18), (3, 2499)))
    am.evaluate(a, b)
    axes = tuple(range(1, made(a, b).ndim))
    stored = made(a, b)
    am.evaluate(stored)
    for reduced in (axes, tuple(range(len(axes) + 1))):
        lazy = made(a, b)
        sums = lazy.sum(reduced), lazy.abs().sum(reduced), lazy.amax(reduced)
        program, _ = compiled([found._node for found in sums])
        assert program.arena_bytes < 1024, reduced
        for found, expected in zip(
            sums,
            (stored.sum(reduced), stored.abs().sum(reduced), stored.amax(reduced)),
            strict=True,
        ):
            assert found.numpy().tobytes() == expected.numpy().tobytes(), reduced
    for number in range(3):
        one = am.tensor(stored.numpy()[number].copy()).sum()
        assert stored.sum(axes).numpy()[number].tobytes() == one.numpy().tobytes()


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2), (0, 1)])
def test_what_is_stored_is_summed_in_the_same_pass(axes: tuple[int, ...]) -> None:
    """Whether or not the elements beside the sum are walked as one; rows of the bias repeat."""
    random = np.random.default_rng(1)
    x, bias = (am.tensor(random.standard_normal(n).astype("f4")) for n in ((6, 5, 37), (5, 1)))
    am.evaluate(x, bias)

    def made() -> tuple[am.Tensor, am.Tensor]:
        stored = am.relu(x + bias)
        return stored, (stored * stored).sum(axes)

    program, _ = compiled([found._node for found in made()])
    assert len(program.launches) == 1
    stored, total = made()
    am.evaluate(stored, total)
    again = am.tensor(np.maximum(x.numpy() + bias.numpy(), 0))
    np.testing.assert_array_equal(stored.numpy(), again.numpy())
    am.evaluate(again)
    assert total.numpy().tobytes() == (again * again).sum(axes).numpy().tobytes()


def test_a_result_that_is_a_product_permuted_is_no_copy() -> None:
    """It lies as the kernel of the product writes it; what others read as well is copied."""
    random = np.random.default_rng(2)
    a, b = (am.tensor(random.standard_normal(n).astype("f4")) for n in ((4, 7, 5), (4, 5, 6)))
    am.evaluate(a, b)
    turned = (a @ b).permute(2, 0, 1)
    program, _ = compiled([turned._node])
    assert len(program.launches) == 1
    product = a @ b
    both = product.permute(2, 0, 1), product + 1
    assert len(compiled([found._node for found in both])[0].launches) == 2
    wanted = np.transpose((a @ b).numpy(), (2, 0, 1))
    assert turned.numpy().tobytes() == wanted.copy().tobytes()
    np.testing.assert_array_equal(
        (turned * 2).sum(1).numpy(), (am.tensor(wanted) * 2).sum(1).numpy()
    )


def lying(values: np.ndarray, order: tuple[int, ...]) -> am.Tensor:
    """`values` with the axes in `order` in memory, outermost first."""
    turned = values.transpose(order)
    flat = am.tensor(turned.ravel().astype("f4"))
    am.evaluate(flat)
    return flat.reshape(turned.shape).permute(*np.argsort(order).tolist())


Sums = Callable[[am.Tensor, am.Tensor, am.Tensor], tuple[am.Tensor, ...]]
IMAGES, MATRIX = ((8, 24, 10, 11), (0, 2, 3, 1)), ((132, 160), (0, 1))
CROSSING: dict[str, tuple[tuple[tuple[int, ...], tuple[int, ...]], Sums]] = {
    "channels": (IMAGES, lambda x, y, g: ((x * g).sum((0, 2, 3)), (y - g).abs().sum((0, 2, 3)))),
    "beside": (IMAGES, lambda x, y, g: (am.relu(g + x) - y, (g + x - y).abs().sum((0, 2, 3)))),
    "rows": (MATRIX, lambda x, y, g: ((x * g).sum(1), (y - g).amax(1))),
}


@pytest.mark.parametrize(("operand", "made"), CROSSING.values(), ids=CROSSING)
def test_what_lies_across_the_vectors_of_sums_is_copied_once(
    operand: tuple[tuple[int, ...], tuple[int, ...]], made: Sums
) -> None:
    """A gradient that comes through a flattening has images in planes, where all else of a batch
    norm has channels innermost. Behind a copy the sums have the kernel, and the bits, of operands
    that lie alike; little ones are read where they are."""
    (shape, order), random = operand, np.random.default_rng(3)
    other = (1, 0) if len(shape) == 2 else (0, 1, 2, 3)
    x, y, g = (random.standard_normal(shape) for _ in range(3))
    ways = order, other
    alike, across = (made(lying(x, order), lying(y, order), lying(g, way)) for way in ways)
    (straight,) = compiled([found._node for found in alike])[0].launches
    copy, sums = compiled([found._node for found in across])[0].launches
    assert copy.kernel.label == f"copy {list(shape)}"
    assert sums.kernel.name == straight.kernel.name
    for found, expected in zip(across, alike, strict=True):
        assert found.numpy().tobytes() == expected.numpy().tobytes()
    little = made(*(lying(v[:3], way) for v, way in ((x, order), (y, order), (g, other))))
    assert len(compiled([found._node for found in little])[0].launches) == 1
