"""Creation against NumPy and torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, DTypeError, IndexingError, ShapeError

CALLS = [
    "m.zeros(2, 3)", "m.ones((2, 3))", "m.full((2,), 7)", "m.full((2,), 0.5)",
    "m.full((2,), True)", "m.arange(5)", "m.arange(2, 9, 3)", "m.arange(5.0)",
    "m.arange(0, 1, 0.1)", "m.arange(5, 0, -2)",
    "m.linspace(0, 1, 5)", "m.linspace(-3, 7, 11)", "m.linspace(2, 2, 1)",
    "m.eye(3)", "m.eye(2, 4)", "m.zeros(0, 2)", "m.zeros(2, dtype=m.int32)",
    "m.ones(2, dtype=m.bool)", "m.arange(4, dtype=m.float32)", "m.zeros_like(x)", "m.ones_like(x)",
    "m.full_like(x, 2.5)", "m.tril(x)", "m.triu(x, diagonal=1)", "m.zeros_like(x, dtype=m.int64)",
    "m.empty(0)", "m.clone(x)", "m.ones(())",
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_creation_matches_torch(call):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    ours = eval(call, {"m": am, "x": am.tensor(x)})
    theirs = eval(call, {"m": torch, "x": torch.tensor(x)})
    assert ours.shape == tuple(theirs.shape)
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_numpys_spellings():
    np.testing.assert_array_equal(
        am.linspace(0, 1, num=4).numpy(), np.linspace(0, 1, 4, dtype="f4")
    )
    np.testing.assert_array_equal(am.linspace(0, 1, 4, endpoint=False).numpy(),
                                  np.linspace(0, 1, 4, False, dtype="f4"))  # fmt: skip
    np.testing.assert_array_equal(am.eye(3, k=1).numpy(), np.eye(3, k=1))
    np.testing.assert_array_equal(am.tril(np.ones((3, 3)), k=-1).numpy(), np.tri(3, k=-1))


def test_asarray_copies_only_what_is_not_a_tensor():
    x = am.ones(2)
    assert am.asarray(x) is x
    assert am.as_tensor(x, dtype=am.float32) is x
    assert am.asarray(x, dtype=am.int64).dtype is am.int64
    assert am.asarray([1, 2]).tolist() == [1, 2]
    assert am.from_numpy(np.ones(2, np.int8)).dtype is am.int8
    assert am.is_tensor(x)
    assert not am.is_tensor(1)


def test_relatives_of_a_tensor():
    x = am.zeros(2, dtype=am.int16)
    for made in (x.new_zeros(2, 3), x.new_ones((2, 3)), x.new_full((2, 3), 4)):
        assert made.dtype is am.int16
        assert made.shape == (2, 3)
    assert x.new_tensor([1, 2]).dtype is am.int16


def test_ranges_may_be_empty():
    assert am.arange(3, 1).shape == (0,)


def test_errors():
    with pytest.raises(ShapeError, match="negative size"):
        am.zeros(-1)
    with pytest.raises(ArgumentError, match="the step is 0"):
        am.arange(0, 1, 0)
    with pytest.raises(ShapeError, match="need at least two dimensions"):
        am.tril(am.ones(3))
    with pytest.raises(ShapeError, match="need integers"):
        am.zeros(2.5)


@pytest.mark.parametrize(("call", "kind", "text"), [
    (lambda: am.cat(3), ArgumentError, "concat: got 3; need a list of tensors"),
    (lambda: am.stack("ab"), ArgumentError, "stack: got 'ab'; need a list"),
    (lambda: am.manual_seed("a"), ArgumentError, "manual_seed: seed is 'a'; need an integer"),
    (lambda: am.random.key(1.5), ArgumentError, "key: seed is 1.5; need an integer"),
    (lambda: am.ones(2) + "a", DTypeError, "add: an operand is 'a'; need tensors"),
    (lambda: "a" * am.ones(2), DTypeError, "multiply: an operand is 'a'; need tensors"),
    (lambda: am.ones(2) < None, DTypeError, "less: an operand is None; need tensors"),
    (lambda: am.grad(3), ArgumentError, "grad: got int; need a function"),
    (lambda: am.value_and_grad(am.ones(2)), ArgumentError, "value_and_grad: got Tensor; need"),
    (lambda: am.one_hot(am.tensor([0, 3]), 3), IndexingError, "class 3 with 3 classes; need"),
    (lambda: am.one_hot([-1], 3), IndexingError, "class -1 with 3 classes; need 0 <= class < 3"),
    (lambda: am.nn.functional.one_hot(am.tensor([5]), 3), IndexingError, "class 5 with 3"),
    (lambda: am.nn.functional.one_hot(am.tensor([-1, 2])), IndexingError, "class -1 with 3"),
])  # fmt: skip
def test_bad_arguments_are_named(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_text_equals_no_tensor():
    assert (am.ones(2) == "a") is False
    assert (am.ones(2) != None) is True  # noqa: E711


@pytest.mark.parametrize(
    "arguments",
    [(1.0, 5.000001, 2.0), (-0.9, 2.1, 2.0), (2.1, -2.9, -1.0), (3.1,), (0.0, -8.000001, -4.0),
     (2**60, 2**60 + 7, 3)],
)  # fmt: skip
def test_ranges_of_integers_cut_fractions_off_first(arguments):
    ours = am.arange(*arguments, dtype=am.int64)
    assert ours.tolist() == torch.arange(*arguments, dtype=torch.int64).tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: am.arange(0, 2, 0.5, dtype=am.int64), "arange: the step is 0 as int64"),
        (lambda: am.arange(0, float("inf")), "arange: got inf; need a finite real number"),
        (lambda: am.arange(float("nan"), 1.0), "arange: got nan; need a finite"),
        (lambda: am.arange("a"), "arange: got 'a'; need a finite real number"),
        (lambda: am.linspace(0, 3, 1.0), "linspace: 1.0 steps; need an integer"),
        (lambda: am.logspace(0, 3, 2.5), "logspace: 2.5 steps; need an integer"),
        (lambda: am.eye(-1), "eye: .* has a negative size"),
        (lambda: am.eye(0, -3), "eye: .* has a negative size"),
        (lambda: am.eye(2.5), "eye: got the shape .*; need integers"),
        (lambda: am.ones(2, -1), "ones: .* has a negative size"),
        (lambda: am.full((-1,), am.tensor(2.0)), "full: .* has a negative size"),
        (lambda: am.ones((1,) * 65), "65 dimensions; need at most 64"),
        (lambda: am.ones((1,) * 64)[None], "65 dimensions; need at most 64"),
    ],
)
def test_sizes_and_bounds_that_are_none(call, message):
    with pytest.raises((ArgumentError, ShapeError), match=message):
        call()


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 1000])
def test_linspace_has_numpys_bits(count, endpoint):
    for start, stop in ((0.1, 0.7), (-3.3, 1e9), (5.0, -5.0), (2.0, 2.0)):
        ours = am.linspace(start, stop, count, dtype=am.float64, endpoint=endpoint)
        np.testing.assert_array_equal(ours.numpy(), np.linspace(start, stop, count, endpoint))
    first, last = 0.3 + 1j, -2 + 0.7j  # whose step NumPy divides otherwise than by parts
    ours = am.linspace(first, last, count, dtype=am.complex128, endpoint=endpoint)
    theirs = np.linspace(first, last, count, endpoint)
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-14)


@pytest.mark.parametrize("k", [2**63, 2**63 - 1, -(2**63), -(2**70), 3, -2])
def test_diagonals_far_outside(k):
    x, k_as_numpy = np.ones((2, 3)), max(-9, min(k, 9))
    assert np.array_equal(am.eye(2, 3, k=k).numpy(), np.eye(2, 3, k_as_numpy))
    assert np.array_equal(am.tril(x, k=k).numpy(), np.tril(x, k_as_numpy))
    assert np.array_equal(am.triu(x, k=k).numpy(), np.triu(x, k_as_numpy))
    assert am.eye(0, k=k).shape == (0, 0)


def test_ends_may_be_tensors_and_differ_between_examples():
    starts, stops = np.array([0.0, 1.5, -2.0]), np.array([1.0, 1.5, 7.0])
    for name, more in (("linspace", {"endpoint": False}), ("linspace", {}), ("logspace", {})):
        call = lambda a, b, name=name, more=more: getattr(am, name)(
            a, b, 6, dtype=am.float64, **more
        )
        rows = am.vmap(call)(am.tensor(starts), am.tensor(stops)).numpy()
        loop = [call(a, b).numpy() for a, b in zip(starts, stops, strict=True)]
        assert rows.tobytes() == np.stack(loop).tobytes()
        theirs = getattr(np, name)(starts, stops, 6, axis=1, **more)
        np.testing.assert_allclose(rows, theirs, rtol=1e-14)
    slope = am.grad(lambda stop: am.linspace(0.0, stop, 5).sum())(am.tensor(1.0))
    assert slope.item() == 2.5
    with pytest.raises(ShapeError, match=r"linspace: an end is float32\[2\]; need one number"):
        am.linspace(am.ones(2), 1)
