"""What the Array API standard asks of `ambos` where PyTorch or NumPy differ from it.

The standard's own suite is run by hand (docs/conformance.md); this keeps what it found.
"""

import inspect

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import ArgumentError, ShapeError

# Names and kinds of parameters are part of the standard.
SIGNATURES = {
    "asarray": "dtype device copy", "astype": "dtype copy device", "broadcast_to": "shape",
    "clip": "min max", "empty": "shape dtype device", "empty_like": "dtype device",
    "from_dlpack": "device copy", "full": "shape fill_value dtype device",
    "full_like": "fill_value dtype device", "linspace": "num dtype device endpoint",
    "ones": "shape dtype device", "ones_like": "dtype device", "reshape": "shape copy",
    "zeros": "shape dtype device", "zeros_like": "dtype device",
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNATURES)
def test_parameters_have_the_standards_names(name):
    assert set(SIGNATURES[name].split()) <= set(inspect.signature(getattr(am, name)).parameters)


def test_spellings_of_numpy_and_pytorch_stay():
    assert am.zeros(2, 3).shape == am.zeros((2, 3)).shape == am.zeros(shape=(2, 3)).shape
    assert am.zeros().shape == am.zeros(()).shape == ()
    assert am.ones(size=(2,)).tolist() == am.full((2,), value=1.0).tolist() == [1.0, 1.0]
    assert am.linspace(0, 1, steps=3).tolist() == am.linspace(0, end=1, num=3).tolist()
    assert am.logspace(0, end=2, steps=3).tolist() == [1.0, 10.0, 100.0]
    x = am.tensor([-1, 5])
    assert x.clip(min=0).tolist() == x.clip(a_min=0).tolist() == x.clamp(minimum=0).tolist()
    assert x.reshape(2, 1).shape == x.reshape((2, 1), copy=True).shape == (2, 1)
    assert x.expand(3, 2).shape == am.broadcast_to(x, (3, 2)).shape == (3, 2)


def test_copies_on_request():
    x = am.tensor([1, 2])
    same, copy = am.asarray(x, copy=False), am.asarray(x, copy=True)
    cast, kept = am.astype(x, am.int64), am.astype(x, am.int64, copy=False)
    x[0] = 9
    assert same is x
    assert kept is x
    assert copy.tolist() == cast.tolist() == [1, 2]
    for wrong in (lambda: am.asarray([1], copy=False), lambda: am.asarray(x, "int8", copy=False)):
        with pytest.raises(ArgumentError, match="copy=False"):
            wrong()


def test_squeeze_takes_axes_of_size_1_only():
    x = am.zeros(1, 3, 1)
    assert am.squeeze(x, (0, -1)).shape == am.squeeze(x).shape == (3,)
    with pytest.raises(ShapeError, match=r"axis 1 of \(1, 3, 1\) has size 3"):
        am.squeeze(x, (0, 1))
    assert x.squeeze((0, 1)).shape == (3, 1)  # PyTorch's method


def test_several_results_are_lists():
    x, y = am.arange(2), am.arange(3)
    assert [type(am.meshgrid(x, y)), type(am.broadcast_arrays(x, 1))] == [list, list]
    assert type(am.broadcast_tensors(x, 1)) is tuple  # PyTorch


def test_result_type_of_dtypes_tensors_and_numbers():
    assert am.result_type(am.int8, am.uint8) is am.int16
    assert am.result_type(am.zeros(2, dtype=am.int8), 2.0, am.float16) is am.float16
    assert am.result_type(np.dtype("float64"), "float32") is am.float64
    with pytest.raises(ArgumentError, match="need at least one"):
        am.result_type()


@pytest.mark.parametrize("name", ["uint8", "uint16", "uint32", "uint64"])
def test_unsigned_numbers_are_negated_modulo_their_range(name):
    values = np.array([0, 1, 5, np.iinfo(name).max], name)
    x = am.tensor(values)
    assert np.array_equal((-x).numpy(), -values)
    assert np.array_equal(am.abs(-x).numpy(), -values)  # |-x| is not |x| here
    assert np.array_equal((x - -x).numpy(), values - -values)


@pytest.mark.parametrize("truth", [True, False])
@pytest.mark.parametrize("index", [
    lambda m, i: m, lambda m, i: (0, m), lambda m, i: (..., m), lambda m, i: (m, slice(1, None)),
    lambda m, i: (m, m), lambda m, i: (m, ..., i), lambda m, i: (m, i[:1]),
    lambda m, i: (slice(None), m, slice(None)),
])  # fmt: skip
def test_masks_without_axes(index, truth):
    values = np.arange(6).reshape(2, 3)
    mask, places = np.array(truth), np.array([0])
    theirs, ours = index(mask, places), index(am.tensor(truth), am.tensor([0]))
    expected, x = values[theirs], am.tensor(values)
    assert x[ours].shape == expected.shape
    assert np.array_equal(x[ours].numpy(), expected)
    values[theirs] = x[ours] = 7
    assert np.array_equal(x.numpy(), values)


def test_complex_numbers_are_rounded_by_parts():
    values = np.array([1.5 - 2.5j, 0.25 + 7.75j, -0.5 + 0.5j])
    assert np.array_equal(am.round(am.tensor(values)).numpy(), np.round(values))
    assert np.array_equal(am.round(am.tensor(values), decimals=1).numpy(), np.round(values, 1))


def test_vecdot_does_not_broadcast_its_axis():
    x, y = np.arange(6.0).reshape(2, 3), np.arange(3.0)
    assert np.array_equal(am.vecdot(x, y).numpy(), np.vecdot(x, y))
    for function in (am.vecdot, am.linalg.vecdot):
        with pytest.raises(ShapeError, match="need equal sizes there"):
            function(am.tensor(x), am.zeros(2, 1))
