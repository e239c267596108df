"""Matrix products: one result, to the bit, however the operands lie and the work is cut."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import ambos as am
from ambos.core.config import config
from ambos.runtime.machine import host_features

# rows, k, columns: one row, edges of tiles and panels, several blocks of k, rows 4 KiB apart
# (which are moved), a long thin sum, and enough rows for items of several threads.
SIZES = (
    (1, 300, 70), (2, 16, 17), (13, 5, 33), (37, 45, 300), (40, 1024, 300), (24, 2000, 9),
    (300, 70, 65), (120, 520, 16),
)  # fmt: skip
CPUS = ("native", "x86-64-v3") if host_features().vector_bytes >= 32 else ("native",)


@pytest.fixture(autouse=True)
def _restore_config() -> Iterator[None]:
    threads, cpu = config.threads, config.cpu
    yield
    config.threads, config.cpu = threads, cpu


def product(a: np.ndarray, b: np.ndarray, turned: tuple[bool, bool]) -> np.ndarray:
    """a @ b, where a turned operand lies transposed in memory."""
    factors = [
        am.tensor(np.ascontiguousarray(np.swapaxes(x, -1, -2))).transpose(-1, -2)
        if turn
        else am.tensor(x)
        for x, turn in zip((a, b), turned, strict=True)
    ]
    return np.array((factors[0] @ factors[1]).numpy())


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_layouts_threads_and_vector_widths_leave_the_bits_alone(size: tuple[int, int, int]) -> None:
    rows, k, columns = size
    rng = np.random.default_rng(size)
    a = rng.standard_normal((rows, k), np.float32)
    b = rng.standard_normal((k, columns), np.float32)
    config.threads = 1
    expected = product(a, b, (False, False))
    np.testing.assert_allclose(expected, a @ b, rtol=0, atol=1e-5 * k)
    for cpu in CPUS:
        for threads in (1, 2, 3):
            for turned in ((False, False), (False, True), (True, False), (True, True)):
                config.cpu, config.threads = cpu, threads
                got = product(a, b, turned)
                assert got.tobytes() == expected.tobytes(), (cpu, threads, turned)


@pytest.mark.parametrize("dtype", ["float64", "int32", "float16"])
def test_other_dtypes(dtype: str) -> None:
    rng = np.random.default_rng(5)
    a, b = ((rng.standard_normal(s) * 4).astype(dtype) for s in ((30, 270), (270, 50)))
    expected = product(a, b, (False, False))
    for turned in ((False, True), (True, False), (True, True)):
        assert product(a, b, turned).tobytes() == expected.tobytes()


def test_batches_of_every_layout() -> None:
    rng = np.random.default_rng(6)
    a = rng.standard_normal((3, 20, 290), np.float32)
    b = rng.standard_normal((3, 290, 40), np.float32)
    expected = product(a, b, (False, False))
    for turned in ((False, True), (True, False), (True, True)):
        got = product(a, b, turned)
        assert got.tobytes() == expected.tobytes()
    alone = np.stack([product(x, y, (False, False)) for x, y in zip(a, b, strict=True)])
    assert alone.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32"])
def test_long_sums_have_the_bits_of_one_thread(dtype: str) -> None:
    """Blocks of k are items of several threads; what follows the sum happens to the whole."""
    rng = np.random.default_rng(7)
    a, b = ((rng.standard_normal(s) * 3).astype(dtype) for s in ((2, 20, 3400), (3400, 40)))
    if dtype == "float32":  # a sum of -0.0 stays one: every product underflows
        a[1, 3], b[:, 5] = -1e-30, 1e-30
    found = []
    for threads in (1, 2, 3, 4):
        config.threads = threads
        total = am.tensor(a) @ am.tensor(b)
        found.append([np.array(x.numpy()) for x in (am.relu(total) + total, total)])
    for one, two in found[1:]:
        assert one.tobytes() == found[0][0].tobytes()
        assert two.tobytes() == found[0][1].tobytes()
    if dtype == "float32":
        assert np.signbit(found[1][1][1, 3, 5])
        assert found[1][1][1, 3, 5] == 0


@pytest.mark.parametrize("columns", [2048, 2064, 2049])
def test_large_results_written_past_the_caches_have_the_bits_of_small_ones(columns):
    """17 MiB: whole lines of them are not read before they are written."""
    stream = np.random.RandomState(0)
    a, b = (stream.rand(*shape).astype(np.float32) for shape in ((2200, 40), (40, columns)))
    shift = stream.rand(columns).astype(np.float32)
    large = am.relu(am.tensor(a) @ am.tensor(b) - am.tensor(shift)).numpy()
    np.testing.assert_allclose(large, np.maximum(a @ b - shift, 0), rtol=1e-5, atol=1e-5)
    for rows in (slice(0, 7), slice(2100, 2200)):
        small = am.relu(am.tensor(a[rows].copy()) @ am.tensor(b) - am.tensor(shift)).numpy()
        assert small.tobytes() == large[rows].tobytes()


def test_images_of_even_width_have_the_bits_of_odd_ones() -> None:
    """Few filters: two pixels of a row share a vector, where the row has an even number of them."""
    x, w = am.randn(2, 1, 9, 10), am.randn(6, 1, 3, 3)
    g = am.randn(2, 8, 7, 8)
    v = am.randn(8, 6, 3, 3)
    am.evaluate(x, w, g, v)
    even, odd = am.nn.functional.conv2d(x, w), am.nn.functional.conv2d(x[..., :9], w)
    assert even.numpy()[..., :7].tobytes() == odd.numpy().tobytes()
    gradients = []
    for width in (8, 7):  # of the last pixel of the wider result the others' gradients see zeros
        image = am.zeros(2, 6, 9, width + 2, requires_grad=True)
        cut = am.where(am.arange(width) < 7, g[..., :width], 0)
        (gradient,) = am.autograd.grad((am.nn.functional.conv2d(image, v) * cut).sum(), [image])
        gradients.append(gradient.numpy()[..., :7])
    assert gradients[0].tobytes() == gradients[1].tobytes()
