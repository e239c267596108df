"""NumPy's functions on tensors: the ufuncs are ours, gradients included; all else is NumPy's."""

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import AmbosError, ArgumentError, GradientError, ScalarError, TracingError
from ambos.tensor.protocols import COUNTERPARTS

SAMPLES = {
    "float64": [-2.5, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, 3.75, np.inf, -np.inf, np.nan],
    "int64": [-7, -2, -1, 0, 1, 2, 3, 5, 9], "bool": [True, False],
    "complex128": [1 + 2j, -0.5j, 2.0],
}  # fmt: skip
# Ufuncs without a counterpart: they give arrays.
NUMPY_ONLY = {
    "bitwise_count", "cbrt", "isnat", "matvec", "modf", "reciprocal", "spacing",
    "vecmat",
}  # fmt: skip
# Where ours refuses what NumPy computes, on purpose: truth values and complex numbers that it
# orders or counts, powers of two of whole numbers taken apart.
REFUSED_HERE = {
    "bool": {
        "absolute", "divmod", "fabs", "floor_divide", "fmod", "frexp", "left_shift", "matmul",
        "nextafter", "power", "remainder", "right_shift", "vecdot",
    },
    "int64": {"frexp", "nextafter"},
    "complex128": {
        "fmax", "fmin", "greater", "greater_equal", "less", "less_equal", "maximum",
        "minimum",
    },
}  # fmt: skip


def operands(ufunc, kind):
    x = np.array(SAMPLES[kind], kind)
    if ufunc.signature:
        return x, x
    if ufunc.nin == 1:
        return (x,)
    other = x[None, :]
    if ufunc is np.ldexp:
        other = np.array([[-2, 0, 3]])
    if "shift" in ufunc.__name__:
        other = np.abs(other) % 8 if kind == "int64" else other
    if ufunc is np.power and kind == "int64":
        other = np.abs(other)
    return x[:, None], other


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("ufunc", COUNTERPARTS, ids=lambda u: u.__name__)
def test_a_ufunc_gives_a_tensor_with_numpys_values(ufunc, kind):
    given = operands(ufunc, kind)
    try:
        with np.errstate(all="ignore"):
            expected = ufunc(*given)
    except TypeError:
        return  # NumPy has no such loop
    tensors = tuple(am.tensor(x) for x in given)
    if ufunc.__name__ in REFUSED_HERE.get(kind, ()):
        with pytest.raises(AmbosError):
            ufunc(*tensors)
        return
    found = ufunc(*tensors)
    results = zip(*(x if isinstance(x, tuple) else (x,) for x in (found, expected)), strict=True)
    for ours, theirs in results:
        assert isinstance(ours, am.Tensor)
        # NumPy computes bools in float16, ours in float32.
        tolerance = 2e-3 if theirs.dtype == np.float16 else 1e-6
        np.testing.assert_allclose(ours.numpy(), theirs, tolerance, tolerance)


def test_which_ufuncs_have_no_counterpart():
    everything = {u.__name__ for u in vars(np).values() if isinstance(u, np.ufunc)}
    assert everything - {u.__name__ for u in COUNTERPARTS} == NUMPY_ONLY


def test_operators_between_arrays_and_tensors_record():
    array, x = np.array([1.0, 2.0]), am.tensor([3.0, 4.0], dtype=am.float64, requires_grad=True)
    for result in (array + x, array * x, array @ x, array / x, array**x, np.float64(2) * x):
        assert isinstance(result, am.Tensor)
        assert result.requires_grad
    assert ((array < x) == am.tensor([True, True])).all()
    np.add(array, np.exp(x)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([3.0, 4.0]), 1e-6)


def test_a_ufunc_records_in_a_jitted_function():
    x = am.tensor([1.0, 2.0])
    assert am.jit(lambda x: np.add(np.ones(2, np.float32), np.negative(x)))(x).tolist() == [0, -1]
    with pytest.raises(TracingError, match="looked at"):
        am.jit(np.cbrt)(x)


def test_numpy_scalars_do_not_widen():
    x = am.tensor([1.0])
    assert (np.float64(2) * x).dtype is (np.float32(2) * x).dtype is am.float32
    assert (np.int64(2) * x).dtype is am.float32


def test_what_has_no_counterpart_is_numpys():
    x = am.tensor([1.0, 8.0, 27.0], dtype=am.float64)
    found = np.cbrt(x)
    assert type(found) is np.ndarray
    assert found.tolist() == [1.0, 2.0, 3.0]
    assert np.add.reduce(x) == 36
    assert np.multiply.outer(x, x).shape == (3, 3)
    chosen = am.tensor([True, False, True])
    assert np.add(x, 1, where=chosen, out=np.zeros(3)).tolist() == [2, 0, 28]
    assert np.add(x, 1, dtype=np.float32).dtype == np.float32


def test_a_gradient_is_not_lost_in_silence():
    x = am.ones(3, requires_grad=True)
    array = np.zeros(3)
    for lose in (lambda: np.cbrt(x), lambda: np.add.reduce(x), lambda: np.add(x, 1, out=array)):
        with pytest.raises(GradientError, match=r"need x.detach\(\)"):
            lose()
    with pytest.raises(GradientError):
        array += x
    assert not array.any()


def test_out():
    array, x = np.zeros(2), am.tensor([1.0, 2.0])
    kept = array
    array += x
    assert array is kept
    assert kept.tolist() == [1.0, 2.0]
    y = am.zeros(2)
    assert np.multiply(x, 3.0, out=y) is y
    assert y.tolist() == [3.0, 6.0]
    assert np.cbrt(am.tensor([8.0, 1.0]), out=y) is y
    assert y.tolist() == [2.0, 1.0]
    with pytest.raises(am.errors.ShapeError):
        np.exp(x, out=am.zeros(3))
    with pytest.raises(ArgumentError, match="tensors or arrays only"):
        np.divmod(x, 2.0, out=(y, np.zeros(2)))
    with pytest.raises(ArgumentError, match=r"np.add.at: got a tensor"):
        np.add.at(x, [0], 1.0)
    assert x.tolist() == [1.0, 2.0]


def test_other_libraries_keep_their_say():
    class Theirs:
        def __array_ufunc__(self, *_, **__):
            return "theirs"

    assert np.add(am.ones(2), Theirs()) == "theirs"


def test_functions_compute_on_the_values():
    x = am.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert np.mean(x) == 2.5
    assert np.sum(x, axis=0).tolist() == [4.0, 6.0]
    assert np.std(x) == np.std(x.numpy())
    assert np.concatenate([x, x]).shape == (4, 2)
    assert np.linalg.norm(x) == np.linalg.norm(x.numpy())
    assert np.array_equal(np.where(x > 2, x, 0), [[0, 0], [3, 4]])
    assert type(np.reshape(x, (4,))) is np.ndarray
    assert np.allclose(a=x, b=x)
    assert np.fft.fft(x).dtype.kind == "c"


def test_facts_are_not_looked_at():
    def facts(x):
        return x * np.size(x) + np.ndim(x) + np.shape(x)[0] + np.size(x, 1)

    assert am.jit(facts)(am.ones(2, 3)).tolist() == [[13.0] * 3] * 2


def test_asarray():
    x = am.tensor([1.0, 2.0])
    view = np.asarray(x)
    assert not view.flags.writeable
    assert np.shares_memory(view, np.asarray(x))
    copy = np.array(x)
    copy[0] = 5
    assert x.tolist() == [1.0, 2.0]
    assert np.asarray(x, dtype="int8").dtype == np.int8
    assert np.shares_memory(np.asarray(x, copy=False), view)
    for other in (lambda: np.asarray(x, dtype="int8", copy=False),
                  lambda: np.asarray(x.bfloat16(), copy=False)):  # fmt: skip
        with pytest.raises(ValueError, match="copy=False"):
            other()


# --- Python's protocols --------------------------------------------------------------------------


def test_numbers():
    x = am.tensor([[3]])
    assert (int(x), float(x), complex(x), bool(x), range(5)[x]) == (3, 3.0, 3 + 0j, True, 3)
    assert int(am.tensor(2.9)) == 2
    assert complex(am.tensor(1 + 2j)) == 1 + 2j
    assert hex(am.tensor(255)) == "0xff"
    assert [10, 20, 30][am.tensor(1)] == 20
    assert round(am.tensor(2.5).item()) == 2


@pytest.mark.parametrize("convert", [int, float, complex, hex, len, iter])
def test_wrong_numbers_of_elements_are_type_errors(convert):
    wrong = am.tensor(3) if convert in (len, iter) else am.tensor([1, 2])
    with pytest.raises(ScalarError):
        convert(wrong)
    with pytest.raises(TypeError):
        convert(wrong)


@pytest.mark.parametrize(
    ("convert", "value", "message"),
    [
        (int, 1j, "use x.real"), (float, 1j, "use x.real"), (hex, 1.0, r"use .long\(\)"),
        (hex, 1j, r"use .long\(\)"),
    ],
)  # fmt: skip
def test_wrong_kinds_of_numbers(convert, value, message):
    with pytest.raises(TypeError, match=message):
        convert(am.tensor(value))


def test_truth_of_several_or_none():
    for wrong in (am.tensor([1, 2]), am.zeros(0)):
        with pytest.raises(ValueError, match="truths"):
            bool(wrong)


def test_membership_length_iteration_and_hashes():
    x = am.tensor([[1, 2], [3, 4]])
    assert 3 in x
    assert 5 not in x
    assert [3, 2] in x  # as NumPy: any element equal, after broadcasting
    assert "text" not in x
    assert None not in x
    assert len(x) == 2
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    assert {x: 1}[x] == 1
    assert len({x, am.tensor([[1, 2], [3, 4]])}) == 2


def test_formats():
    assert f"{am.tensor(3.14159):.2f}" == "3.14"
    assert f"{am.tensor(7):04d}" == "0007"
    assert f"{am.tensor(1 + 2j):.1f}" == "1.0+2.0j"
    assert f"{am.tensor([1, 2])}" == str(am.tensor([1, 2])) == "tensor([1, 2])"
    assert f"{am.tensor([1]):>14}" == "   tensor([1])"
    with pytest.raises(ScalarError, match="set_printoptions"):
        f"{am.tensor([1.0, 2.0]):.2f}"
