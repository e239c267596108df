"""The handle: construction, looking, value semantics, in-place spellings, text."""

import copy
import pickle

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    GradientError,
    ShapeError,
    UnknownNameError,
)

NUMPY_DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64"


def test_python_numbers_have_default_dtypes():
    assert am.tensor(True).dtype is am.bool_
    assert am.tensor([1, 2]).dtype is am.int64
    assert am.tensor([1, 2.5]).dtype is am.float32
    assert am.tensor([[1.0], [2]]).shape == (2, 1)
    assert am.tensor([]).dtype is am.float32
    assert am.tensor([am.tensor(1.0), am.tensor(2.0)]).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("name", NUMPY_DTYPES.split())
def test_arrays_keep_their_dtype_and_values(name):
    x = np.array([[0, 1, 2], [3, 4, 5]]).astype(name)
    t = am.tensor(x)
    assert t.dtype.name == name
    np.testing.assert_array_equal(t.numpy(), x)
    assert t.numpy().dtype == x.dtype
    np.testing.assert_array_equal(am.tensor(x[:, ::-1].T).numpy(), x[:, ::-1].T)
    np.testing.assert_array_equal(am.tensor(x.astype(x.dtype.newbyteorder())).numpy(), x)


def test_data_is_copied_both_ways():
    x = np.zeros(3)
    t = am.tensor(x)
    x[0] = 1
    y = t.numpy()
    y[1] = 1
    assert t.tolist() == [0, 0, 0]


def test_torch_and_dlpack():
    x = torch.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(am.tensor(x).numpy(), x.numpy())
    np.testing.assert_array_equal(am.from_dlpack(x).numpy(), x.numpy())
    assert torch.from_dlpack(am.tensor(x)).equal(x)
    assert np.asarray(am.tensor(x)).tolist() == x.tolist()
    assert np.array(am.ones(2), dtype=np.int8).dtype == np.int8


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([[1, 2], [3]], ShapeError, "need numbers nested evenly"),
        ("text", DTypeError, "tensor: got .*; need numbers or bools"),
        (None, DTypeError, "tensor: got NoneType"),
        (np.array(["2026-01-01"], "datetime64[D]"), DTypeError, "got dtype datetime64"),
        (10**30, DTypeError, "got an integer of 100 bits"),
    ],
)
def test_errors_of_construction(data, error, message):
    with pytest.raises(error, match=message):
        am.tensor(data)


def test_devices():
    x = am.ones(2)
    assert x.device == "cpu"
    assert x.to("cpu") is x
    assert x.cpu() is x
    for call in (lambda: x.to("cuda"), lambda: x.cuda(), lambda: am.zeros(2, device="cuda:0")):
        with pytest.raises(DeviceError, match=r"device 'cuda.*' is not available; need 'cpu'"):
            call()


def test_casts():
    x = am.tensor([-1.7, 0.0, 2.5])
    assert x.long().tolist() == [-1, 0, 2]
    assert x.to(am.int32).dtype is am.int32
    assert x.to(dtype="float64").dtype is am.float64
    assert x.to("float16").dtype is am.float16
    assert x.to(am.zeros(1, dtype=am.int8)).dtype is am.int8
    assert x.astype(np.float64).double().dtype is am.float64
    assert x.bool().tolist() == [True, False, True]
    assert x.half().float().tolist() == [-1.7001953125, 0.0, 2.5]
    assert x.bfloat16().numpy().dtype == np.float32
    assert x.type(am.int8).type() == "int8"


def test_facts():
    x = am.zeros(2, 3, dtype=am.int16)
    assert (x.shape, x.size(), x.size(-1), x.ndim, x.dim()) == ((2, 3), (2, 3), 3, 2, 2)
    assert (x.numel(), x.nelement(), x.itemsize, x.nbytes) == (6, 6, 2, 12)
    assert x.T.shape == (3, 2)
    assert len(x) == 2
    with pytest.raises(ShapeError, match="a scalar has no length"):
        len(am.tensor(1))


def test_scalars_become_python_numbers():
    assert am.tensor(3).item() == 3
    assert float(am.tensor([[2.5]])) == 2.5
    assert int(am.tensor(2.9)) == 2
    assert [10, 20, 30][am.tensor(1)] == 20
    assert bool(am.tensor([0.0])) is False
    assert f"{am.tensor(1.0):.2f}" == "1.00"
    assert 2 in am.tensor([1, 2])
    assert 5 not in am.tensor([1, 2])
    with pytest.raises(ShapeError, match=r"bool: \(2,\) has 2 truths; need one: use .any\(\)"):
        bool(am.ones(2))
    with pytest.raises(ShapeError, match=r"item: .* has 2 elements; need exactly one"):
        am.ones(2).item()
    with pytest.raises(DTypeError, match="need an integer tensor"):
        [1, 2][am.tensor(1.0)]


def test_text():
    assert repr(am.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(am.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(am.tensor([[True], [False]])) == "tensor([[ True],\n        [False]])"
    assert repr(am.tensor([1, 2], dtype=am.int8)) == "tensor([1, 2], dtype=ambos.int8)"
    assert repr(am.zeros(2, requires_grad=True)) == "tensor([0., 0.], requires_grad=True)"
    x = am.zeros(2, requires_grad=True)
    assert repr(x.sum()) == "tensor(0., grad_fn=<sum>)"
    assert repr(am.zeros(0, 3)) == "tensor([], shape=(0, 3))"
    assert "..." in repr(am.zeros(100, 100))
    assert repr(am.tensor([1.0], dtype=am.bfloat16)) == "tensor([1.], dtype=ambos.bfloat16)"
    before = am.tensor([1 / 3])
    am.set_printoptions(precision=2)
    try:
        assert repr(before) == "tensor([0.33])"
    finally:
        am.set_printoptions(precision=4)


def test_identity_and_equality():
    x, y = am.tensor([1, 2]), am.tensor([1, 3])
    assert (x == y).tolist() == [True, False]
    assert (x != y).tolist() == [False, True]
    assert len({x, y, x}) == 2
    assert (x == None) is False  # noqa: E711
    assert am.array_equal(x, am.tensor([1, 2]))
    assert not am.array_equal(x, am.tensor([[1, 2]]))


def test_numpy_operands_on_either_side():
    a = np.array([1.0, 2.0], np.float32)
    t = am.tensor(a)
    for found in (a + t, t + a, np.add(a, t), np.float32(1) * t * a + 0 * t + t):
        assert isinstance(found, am.Tensor)
    assert (a - t).tolist() == [0, 0]
    assert isinstance(np.sin(t), am.Tensor)
    assert (a @ t).item() == 5.0
    assert np.logaddexp2(t, t).shape == (2,)


def test_weak_scalars_keep_the_dtype():
    for name in ("int8", "int32", "uint8", "float16", "bfloat16", "float32", "float64"):
        x = am.ones(2, dtype=name)
        assert (x + 1).dtype is x.dtype
        assert (2 * x).dtype is x.dtype
        assert (x * 1.5).dtype is (x.dtype if x.dtype.is_floating else am.float32)
    assert (am.tensor([1, 2]) / 2).dtype is am.float32
    assert (am.tensor([True]) + 1).dtype is am.int64
    assert (am.ones(2) + np.float64(1)).dtype is am.float32
    with pytest.raises(ArgumentError, match=r"300 does not fit uint8; need 0..255"):
        am.ones(2, dtype=am.uint8) + 300


@pytest.mark.parametrize(
    "a", ["bool", "int8", "int32", "int64", "uint8", "float16", "bfloat16", "float32", "float64"]
)
@pytest.mark.parametrize(
    "b", ["bool", "int8", "int32", "int64", "uint8", "float16", "bfloat16", "float32", "float64"]
)
def test_promotion_is_that_of_torch(a, b):
    ours = am.ones(1, dtype=a) * am.ones(1, dtype=b)
    theirs = torch.ones(1, dtype=getattr(torch, a)) * torch.ones(1, dtype=getattr(torch, b))
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    assert ours.item() == 1


def test_in_place_spellings_rebind():
    x = am.zeros(3)
    y, held = x + 0, x
    x += 2
    x.mul_(3).sub_(am.tensor([0.0, 1.0, 2.0]))
    assert held is x
    assert x.tolist() == [6, 5, 4]
    assert y.tolist() == [0, 0, 0]
    assert x.zero_().tolist() == [0, 0, 0]
    assert x.fill_(2).clamp_(max=1).tolist() == [1, 1, 1]
    assert x.copy_(am.arange(3)).tolist() == [0, 1, 2]
    x -= 1
    x *= 2
    x /= 4
    x **= 2
    assert x.tolist() == [0.25, 0, 0.25]
    n = am.tensor([7, 8])
    n //= 2
    n %= 3
    n |= 4
    n <<= 1
    assert n.tolist() == [8, 10]


def test_in_place_keeps_shape_and_kind():
    x = am.zeros(3)
    with pytest.raises(ShapeError, match=r"the result is \(2, 3\) but the tensor is \(3,\)"):
        x += am.zeros(2, 3)
    n = am.tensor([1, 2])
    with pytest.raises(DTypeError, match="a float32 result for a int64 tensor"):
        n += 0.5
    h = am.zeros(2, dtype=am.float16)
    h += am.ones(2)
    assert h.dtype is am.float16


def test_in_place_on_a_leaf_that_requires_grad():
    w = am.ones(3, requires_grad=True)
    with pytest.raises(GradientError, match="in-place on a leaf that requires grad"):
        w += 1
    with am.no_grad():
        w += 1
        w[0] = 5
    assert w.requires_grad
    assert w.is_leaf
    assert w.tolist() == [5, 2, 2]
    (w * w).sum().backward()
    assert w.grad.tolist() == [10, 4, 4]


def test_data_is_a_way_around_gradients():
    w = am.ones(2, requires_grad=True)
    assert not w.data.requires_grad
    w.data = am.tensor([3.0, 4.0])
    assert w.requires_grad
    assert w.is_leaf
    w.sum().backward()
    assert w.grad.tolist() == [1, 1]


def test_attributes_that_do_not_exist():
    with pytest.raises(UnknownNameError, match=r"Tensor: has no attribute 'reshap'.*'reshape'"):
        am.ones(2).reshap
    with pytest.raises(UnknownNameError, match=r"ambos: has no attribute 'sofmax'.*'softmax'"):
        am.sofmax
    with pytest.raises(UnknownNameError, match=r"has no attribute 'layers'; need am\.nn \["):
        am.layers
    assert not hasattr(am.ones(1), "nonsense")
    assert not hasattr(am, "__nonsense__")


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies(twin):
    x = am.tensor([1.0, 2.0], requires_grad=True)
    y = twin(x)
    assert y.tolist() == [1.0, 2.0]
    assert y.requires_grad
    (y * 2).sum().backward()
    assert x.grad is None
    assert y.grad.tolist() == [2, 2]
    half = twin(am.tensor([1.5], dtype=am.bfloat16))
    assert half.dtype is am.bfloat16


def test_results_are_computed_once_and_temporaries_fused(monkeypatch):
    from ambos.tensor import realize

    batches = []
    original = realize.realize
    monkeypatch.setattr(realize, "realize", lambda nodes: (batches.append(len(nodes)),
                                                           original(nodes)))  # fmt: skip
    x = am.tensor([1.0, 2.0])
    a = x + 1
    b = (a * 2).exp()
    other = am.tensor([5.0]) * 2
    b.numpy()
    assert batches == [2]  # a and b, but neither the temporary nor unrelated work
    a.numpy()
    assert batches == [2]
    other.numpy()
    assert batches == [2, 1]


def test_long_graphs_flush_by_themselves(monkeypatch):
    from ambos.tensor import live

    monkeypatch.setattr(live.settings, "limit", 50)
    x = am.tensor([0.0])
    for _ in range(120):
        x = x + 1
    depth, node = 0, x._node
    while node.inputs and node.value is None:
        depth, node = depth + 1, node.inputs[0]
    assert depth <= 50
    assert x.item() == 120


def test_constants_do_not_connect_unrelated_work():
    a, b = am.tensor([1.0]) * 2, am.tensor([2.0]) * 2
    a.numpy()
    assert b._node.value is None


def test_a_handle_that_fails_does_not_take_others_with_it():
    x = am.tensor([1.0, 2.0]) * 2
    bad = x[am.tensor([7])]
    good = x + 1
    assert good.tolist() == [3, 5]
    with pytest.raises(IndexError, match="index 7 is out of range"):
        bad.numpy()


def test_a_gradient_has_the_shape_and_dtype_of_its_tensor():
    weight = am.tensor([1.0, 2.0], requires_grad=True)
    grad = weight.grad = am.ones(2)
    for wrong, message in (
        (am.ones(3, 2), r"got \(3, 2\) for a tensor of \(2,\); need the same shape"),
        (am.ones(1), "need the same shape"),
        (am.ones(()), "need the same shape"),
        (am.ones(2) * 1j, "got complex64 for a float32 tensor; need grad.to"),
        (am.ones(2, dtype="float64"), "got float64 for a float32 tensor"),
        (5.0, "got float; need a tensor or None"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            weight.grad = wrong
        assert weight.grad is grad
