"""DLPack in both directions: the same memory where the layout allows, the same values always."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.dtype import ALL, COMPLEX
from ambos.core.errors import DeviceError, DTypeError, ExchangeError, TracingError
from ambos.tensor.array import Array
from ambos.tensor.given import leaf_of
from ambos.tensor.handle import wrap

NUMPYS = [dtype.name for dtype in ALL + COMPLEX if dtype is not am.bfloat16]
JAX_TOO = [name for name in NUMPYS if name not in ("int64", "uint64", "float64", "complex128")]


def address(x: am.Tensor) -> int:
    found: Array = x._array()
    return found.address


def place(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def sample(name: str, shape: tuple[int, ...] = (3, 4)) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(name)


# --- out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NUMPYS)
@pytest.mark.parametrize("shape", [(3, 4), (), (0, 2)])
def test_numpy_and_torch_read_our_memory(name, shape):
    x = am.tensor(sample(name, shape))
    array, other = np.from_dlpack(x), torch.from_dlpack(x)
    assert array.dtype == name
    assert np.array_equal(array, sample(name, shape))
    assert other.numpy().dtype == name
    assert tuple(other.shape) == shape
    assert np.array_equal(other.numpy(), array)
    if array.size:
        assert place(array) == other.data_ptr() == address(x)


@pytest.mark.parametrize("name", JAX_TOO)
def test_jax_reads_our_memory(name):
    x = am.tensor(sample(name))
    found = jax.dlpack.from_dlpack(x)
    assert found.unsafe_buffer_pointer() == address(x)
    assert found.dtype == name
    assert np.array_equal(np.asarray(found), sample(name))


def test_bfloat16_is_bfloat16_everywhere():
    x = am.tensor([1.5, -2.0, 3e38], dtype=am.bfloat16)
    other, third = torch.from_dlpack(x), jax.dlpack.from_dlpack(x)
    assert other.dtype is torch.bfloat16
    assert third.dtype == jnp.bfloat16
    assert other.data_ptr() == third.unsafe_buffer_pointer() == address(x)
    assert other.tolist() == third.tolist() == x.tolist()
    for back in (am.from_dlpack(other), am.from_dlpack(third), am.from_dlpack(x)):
        assert back.dtype is am.bfloat16
        assert address(back) == address(x)
        assert back.tolist() == x.tolist()


def test_layouts_that_are_not_row_major_are_shared():
    x = am.tensor(sample("float32"))
    for view in (x.T, x[:, ::2], x[1:], am.broadcast_to(x[0], (5, 4))):
        found, other = np.from_dlpack(view), torch.from_dlpack(view)
        assert place(found) == other.data_ptr() == address(view)
        assert np.array_equal(found, view.numpy())
        assert np.array_equal(other.numpy(), view.numpy())
        # JAX takes no gaps, and says so only after it has the capsule: it gets a copy.
        assert np.array_equal(np.asarray(jax.dlpack.from_dlpack(view)), view.numpy())
    assert address(x.T) == address(x)


def test_memory_with_negative_strides_leaves_as_a_copy():
    rows = Array.from_numpy(sample("float32"))
    x = wrap(leaf_of(Array(rows.storage, 2 * 4 * 4, (3, 4), (-4, 1), rows.dtype)))
    assert x.tolist() == sample("float32")[::-1].tolist()
    assert np.array_equal(torch.from_dlpack(x).numpy(), x.numpy())
    with pytest.raises(ExchangeError, match="copy=False"):
        x.__dlpack__(copy=False, max_version=(1, 0))


def test_who_may_write():
    x = am.tensor([1.0, 2.0])
    assert not np.from_dlpack(x).flags.writeable
    copy = np.from_dlpack(x, copy=True)
    assert place(copy) != address(x)
    copy[0] = 9
    other = torch.from_dlpack(x, copy=True)
    other += 1
    assert x.tolist() == [1.0, 2.0]


def test_what_was_handed_out_outlives_the_tensor_and_is_not_renewed_in_place():
    @am.jit
    def step(x):
        x += 1.0
        return x.sum()

    x = am.tensor(np.zeros(64, np.float32))
    step(x)
    held = np.from_dlpack(x)
    step(x)
    step(x)
    assert held.tolist() == [1.0] * 64
    assert x.tolist() == [3.0] * 64
    del x
    gc.collect()
    am.zeros(64).numpy()
    assert held.tolist() == [1.0] * 64


@pytest.mark.parametrize("version", [None, (0, 8), (1, 0), (1, 3), (2, 0)])
def test_versions(version):
    capsule = am.tensor([1.0]).__dlpack__(max_version=version)
    name = "dltensor" if version is None or version < (1,) else "dltensor_versioned"
    assert f'"{name}"' in repr(capsule)


def test_devices_and_streams():
    x = am.tensor([1.0])
    assert x.__dlpack_device__() == (1, 0)
    assert x.__dlpack__(dl_device=(1, 0), stream=None) is not None
    with pytest.raises(ExchangeError, match=r"dl_device is \(2, 0\); need \(1, 0\)"):
        x.__dlpack__(dl_device=(2, 0))
    with pytest.raises(BufferError, match="stream is 3"):
        x.__dlpack__(stream=3)
    with pytest.raises(TracingError, match="looked at"):
        am.jit(lambda x: x.__dlpack__())(x)


# --- in ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NUMPYS)
@pytest.mark.parametrize("shape", [(3, 4), (), (0, 2)])
def test_we_read_the_memory_of_numpy_and_torch(name, shape):
    array = sample(name, shape)
    for source, at in ((array, place(array)), (t := torch.tensor(array), t.data_ptr())):
        x = am.from_dlpack(source)
        assert (x.dtype.name, x.shape) == (name, shape)
        assert np.array_equal(x.numpy(), array)
        assert not array.size or address(x) == at


@pytest.mark.parametrize("name", JAX_TOO)
def test_we_read_the_memory_of_jax(name):
    source = jnp.asarray(sample(name))
    x = am.from_dlpack(source)
    assert address(x) == source.unsafe_buffer_pointer()
    assert np.array_equal(x.numpy(), sample(name))


VIEWS = {
    "transposed": lambda a: a.T, "strided": lambda a: a[1::2, ::3], "row": lambda a: a[2],
    "repeated": lambda a: np.broadcast_to(a[0], (7, a.shape[1])),
    "backwards": lambda a: a[::-1, ::-2],
}  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_strides(view):
    array = VIEWS[view](sample("float32", (6, 9)))
    x = am.from_dlpack(array)
    assert (address(x) == place(array)) == (view != "backwards")
    for function in (lambda v: v + 1, lambda v: v.sum(), lambda v: v.T @ v, lambda v: v[..., 1:]):
        assert np.array_equal(function(x).numpy(), function(array))


def test_any_alignment_gives_the_bits_of_aligned_memory():
    memory = np.zeros(70_000, np.uint8)
    values = np.random.default_rng(0).standard_normal((64, 65)).astype(np.float32)

    def results(x):
        row = x[:, 1:]
        gram = am.nn.functional.softmax(x.T @ x, dim=-1)
        image = am.nn.functional.conv2d(row.reshape(1, 4, 32, 32), row[:4, :36].reshape(4, 4, 3, 3))
        return [
            f.numpy().tobytes() for f in (x + 1, x.sum(0), x.sum(1), gram, image, x.sort(1).values)
        ]

    expected = results(am.tensor(values))
    for shift in (4, 12, 20):
        start = (-place(memory)) % 64 + shift
        moved = memory[start : start + values.nbytes].view(np.float32).reshape(values.shape)
        moved[...] = values
        x = am.from_dlpack(moved)
        assert address(x) % 64 == shift
        assert results(x) == expected


def test_copies_and_read_only_memory():
    array = sample("float32")
    assert address(am.from_dlpack(array, copy=False)) == place(array)
    copy = am.from_dlpack(array, copy=True)
    array[0, 0] = 7
    assert copy[0, 0].item() == 0
    array.flags.writeable = False
    x = am.from_dlpack(array)
    assert address(x) == place(array)
    assert not np.from_dlpack(x).flags.writeable
    # Whose DLPack has no word for read-only gets a copy.
    assert jax.dlpack.from_dlpack(x).unsafe_buffer_pointer() != place(array)
    with pytest.raises(ExchangeError, match="negative strides"):
        am.from_dlpack(array[::-1], copy=False)


def test_memory_of_others_is_never_written():
    @am.jit
    def step(x):
        x += 1.0
        return x.sum()

    array = np.zeros(64, np.float32)
    x = am.from_dlpack(array)
    for _ in range(3):
        step(x)
    x[0] = 5.0
    x.add_(1)
    assert x.tolist()[:2] == [6.0, 4.0]
    assert not array.any()


def test_what_cannot_come_in():
    for thing in ([1, 2], 3.0, "text"):
        with pytest.raises(DTypeError, match=r"need an array that has __dlpack__"):
            am.from_dlpack(thing)
    with pytest.raises(DTypeError, match="8 bits of kind"):
        am.from_dlpack(torch.ones(3).to(torch.float8_e4m3fn))
    with pytest.raises(DeviceError, match="'cuda' is not available"):
        am.from_dlpack(np.ones(3), device="cuda")

    class Elsewhere:
        def __dlpack__(self, **options): ...
        def __dlpack_device__(self):
            return (2, 1)

    with pytest.raises(DeviceError, match=r"device \(2, 1\); need \(1, 0\)"):
        am.from_dlpack(Elsewhere())


def test_gradients_begin_at_what_came_in():
    x = am.from_dlpack(torch.tensor([1.0, 2.0])).requires_grad_()
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]
