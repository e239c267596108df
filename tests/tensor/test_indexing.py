"""x[...] against NumPy, for indices that Hypothesis makes up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ambos as am
from ambos.core.errors import IndexingError


def same(ours, theirs):
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours.numpy(), theirs)


@st.composite
def slices(draw, extent):
    ends = st.none() | st.integers(-extent - 2, extent + 2)
    step = st.none() | st.integers(-3, 3).filter(bool)
    return slice(draw(ends), draw(ends), draw(step))


@st.composite
def shapes_and_indices(draw, arrays=True):
    """A shape and an index that NumPy takes (or rejects by broadcasting only)."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    used = draw(st.integers(0, len(shape)))
    sizes = draw(st.lists(st.integers(1, 3), max_size=2))
    entries = []
    for extent in shape[:used]:
        kinds = ["integer", "slice", "slice"] + (["array"] if arrays else [])
        kind = draw(st.sampled_from(kinds))
        if kind == "integer":
            entries.append(draw(st.integers(-extent, extent - 1)))
        elif kind == "slice":
            entries.append(draw(slices(extent)))
        else:
            rng = np.random.default_rng(draw(st.integers(0, 99)))
            entries.append(rng.integers(-extent, extent, tuple(sizes)))
    for _ in range(draw(st.integers(0, 2))):
        entries.insert(draw(st.integers(0, len(entries))), None)
    if draw(st.booleans()):
        at = draw(st.integers(0, len(entries)))
        if used < len(shape):  # what follows the dots indexes axes at the end
            extents = shape[-1:] * (len(entries) - at)
            entries = entries[:at] + [None if e is None else 0 for e, _ in
                                      zip(entries[at:], extents, strict=True)]  # fmt: skip
        entries.insert(at, ...)
    return shape, tuple(entries)


def data(shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def check_getitem(case):
    shape, index = case
    x = data(shape)
    same(am.tensor(x)[index], x[index])


def check_setitem(case):
    shape, index = case
    x = data(shape)
    ours = am.tensor(x)
    values = -1 - np.arange(x[index].size, dtype=np.float32).reshape(x[index].shape)
    x[index] = values
    ours[index] = am.tensor(values)
    same(ours, x)


@pytest.mark.usefixtures("reference")
@settings(max_examples=300)
@given(shapes_and_indices())
def test_getitem_means_what_numpy_means(case):
    check_getitem(case)


@pytest.mark.usefixtures("reference")
@settings(max_examples=300)
@given(shapes_and_indices())
def test_setitem_means_what_numpy_means(case):
    check_setitem(case)


@settings(max_examples=60)
@given(shapes_and_indices())
def test_getitem_compiles(case):
    check_getitem(case)


@settings(max_examples=60)
@given(shapes_and_indices())
def test_setitem_compiles(case):
    check_setitem(case)


@pytest.mark.usefixtures("reference")
@settings(max_examples=100)
@given(shapes_and_indices(), st.sampled_from([0, 7.5, "row"]))
def test_setitem_broadcasts(case, value):
    shape, index = case
    x = data(shape)
    ours = am.tensor(x)
    if value == "row":
        selected = x[index].shape
        value = np.full(selected[-1:], 3, np.float32)
    x[index] = value
    ours[index] = value
    same(ours, x)


def test_masks_match_numpy():
    x = data((3, 4))
    for mask in (x > 5, x[:, 0] > 3, np.zeros((3, 4), bool)):
        same(am.tensor(x)[am.tensor(mask)], x[mask])
        same(am.tensor(x)[mask], x[mask])
    same(am.tensor(x)[:, x[0] > 1], x[:, x[0] > 1])
    same(am.tensor(x)[x[:, 0] > 3, 1:3], x[x[:, 0] > 3, 1:3])
    same(am.tensor(x)[am.tensor(x) > 5], x[x > 5])


@pytest.mark.parametrize("answer", [False, True])
@pytest.mark.parametrize(
    "around",
    [
        lambda mask: mask,
        lambda mask: (..., mask),
        lambda mask: (1, mask),
        lambda mask: (slice(None), mask, [2]),
        lambda mask: (mask, slice(None), [2]),
    ],
)
def test_masks_without_axes_choose_all_or_nothing(answer, around):
    x = data((2, 3))
    index, place = around(np.array(answer)), around(am.tensor(answer))
    same(am.tensor(x)[place], x[index])
    ours = am.tensor(x)
    ours[place] = 9.0
    x[index] = 9.0
    same(ours, x)


def test_a_mask_on_a_scalar():
    same(am.tensor(3.0)[am.tensor(True)], np.array([3.0]))
    same(am.masked_select(am.tensor(3.0), am.tensor(False)), np.zeros(0))


def test_masks_assign():
    x = data((3, 4))
    ours = am.tensor(x)
    ours[ours > 5] = 0.5
    x[x > 5] = 0.5
    same(ours, x)
    mask = x[:, 0] < 3
    ours[mask] = am.ones(4)
    x[mask] = 1
    same(ours, x)
    mask = x > 0.7
    ours[mask] = am.arange(float(mask.sum()))
    x[mask] = np.arange(mask.sum())
    same(ours, x)


def test_lists_index():
    x = data((3, 4))
    same(am.tensor(x)[[0, 2]], x[[0, 2]])
    same(am.tensor(x)[[0, 2], [1, -1]], x[[0, 2], [1, -1]])
    same(am.tensor(x)[[True, False, True]], x[[True, False, True]])
    same(am.tensor(x)[[]], x[[]])
    same(am.tensor(x)[np.int32(1)], x[1])
    same(am.tensor(x)[am.tensor(1)], x[1])


def test_dots_and_new_axes_around_arrays():
    x = data((2, 3, 4, 5))
    i = np.array([0, 1])
    for index in [(..., i, 0), (i, ..., i), (0, slice(None), i), (slice(None), i, None, i),
                  (None, i, slice(1, 3)), (i[:, None], i)]:  # fmt: skip
        same(am.tensor(x)[index], x[index])


def test_of_equal_positions_the_last_wins():
    x = am.zeros(3, dtype=am.int64)
    x[[0, 1, 0, 0]] = am.tensor([1, 2, 3, 4])
    assert x.tolist() == [4, 2, 0]


def test_rebinding_is_not_aliasing():
    x = am.zeros(3)
    y, part = x.detach(), x[:2]
    x[0] = 1
    assert x.tolist() == [1, 0, 0]
    assert y.tolist() == [0, 0, 0]
    assert part.tolist() == [0, 0]


def test_iteration_ends():
    x = am.tensor([[1, 2], [3, 4], [5, 6]])
    assert [row.tolist() for row in x] == [[1, 2], [3, 4], [5, 6]]
    _a, _b, c = x
    assert c.tolist() == [5, 6]
    assert list(reversed(range(len(x)))) == [2, 1, 0]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (3, r"index: 3 is outside axis 0 of \(3, 4\); need -3 <= index < 3"),
        ((0, -5), r"index: -5 is outside axis 1"),
        ((0, 0, 0), r"3 indices for \(3, 4\); need at most 2"),
        ((..., ...), "more than one ellipsis"),
        (1.0, "got the float 1.0; need an integer"),
        ("a", "got the string 'a'"),
        (slice(None, None, 0), "a slice with step 0"),
        (slice(0.5, 1), "need integers in a slice"),
        (True, "got True; need an integer"),
        (np.zeros(2, np.float32), r"got a float32 tensor; need integers or bools: use .long\(\)"),
        (np.zeros(4, bool), r"a mask of \(4,\) for axes 0..0 of \(3, 4\)"),
    ],
)
def test_errors_of_indices(index, message):
    with pytest.raises(IndexingError, match=message):
        am.zeros(3, 4)[index]


def test_gradients_of_indexing_match_torch():
    import torch

    x = data((3, 4))
    i, j = [0, 2, 0], [1, 1, 1]
    ours, theirs = am.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    for t in (ours, theirs):
        (t[i, j].sum() * 2 + (t[1:, ::2] ** 2).sum() + t[..., -1].sum()).backward()
    np.testing.assert_array_equal(ours.grad.numpy(), theirs.grad.numpy())


def test_gradients_of_assignment_match_torch():
    import torch

    x, v = data((3, 4)), np.array([2.0, 3.0], np.float32)

    def total(t, a, b):
        y = a * 1
        y[0, 1:3] = b * b
        y[[2, 1], [0, 0]] = b * 3
        return (y * y).sum()

    for name in ("x", "v"):
        ours = {k: am.tensor(a, requires_grad=True) for k, a in (("x", x), ("v", v))}
        theirs = {k: torch.tensor(a, requires_grad=True) for k, a in (("x", x), ("v", v))}
        total(am, ours["x"], ours["v"]).backward()
        total(torch, theirs["x"], theirs["v"]).backward()
        np.testing.assert_array_equal(ours[name].grad.numpy(), theirs[name].grad.numpy())


def test_only_the_writer_that_won_gets_a_gradient():
    v = am.tensor([2.0, 3.0], requires_grad=True)
    x = am.zeros(2)
    x[[1, 1]] = v * v
    x.sum().backward()
    assert v.grad.tolist() == [0.0, 6.0]
