"""What a forecast says is what is then measured."""

import re
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from ambos.core.errors import ArgumentError, OutOfMemoryError, TracingError
from ambos.runtime import memory
from ambos.tensor.explain import explanation

MIB = 1 << 20

TRAINING = """
from pathlib import Path
import ambos as am, ambos.nn.functional as F
from ambos import nn, optim
from ambos.runtime import memory

def high_water():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status")
                if line.startswith("VmHWM"))

am.manual_seed(0)
net = nn.Sequential({layers})
optimizer = optim.Adam(net.parameters())
step_of = lambda x, y: F.cross_entropy(net(x), y)

def step(x, y):
    loss = step_of(x, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss

jitted = am.jit(step)
jitted(am.rand(2, *{x}[1:]), am.zeros(2, dtype="int64")).item()  # LLVM's memory is not the step's
memory.release()
memory.statistics.peak_bytes = 0
Path("/proc/self/clear_refs").write_text("5")  # the high water mark starts anew
before = high_water() - memory.statistics.owned_bytes
found = am.forecast(step, {x}, ((64,), "int64"))
for _ in range(3):
    jitted(am.rand(*{x}), am.zeros(64, dtype="int64")).item()
print(found.peak_bytes, memory.statistics.peak_bytes, high_water() - before)
"""

DENSE = ("nn.Linear(4096, 2048), nn.GELU(), nn.Linear(2048, 2048), nn.GELU(), "
         "nn.Linear(2048, 10)")  # fmt: skip
CONVOLUTIONS = ("nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), "
                "nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), "
                "nn.Linear(8192, 10)")  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.parametrize(("layers", "x"), [(DENSE, (64, 4096)), (CONVOLUTIONS, (64, 3, 64, 64))])
def test_peak_is_within_a_tenth_of_what_is_measured(layers, x):
    script = TRAINING.format(layers=layers, x=x)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, held, resident = map(int, done.stdout.split())
    assert abs(said - held) <= 0.1 * held
    assert abs(said - resident) <= 0.1 * resident


def training(width=32):
    net = nn.Sequential(nn.Linear(8, width), nn.Dropout(0.5), nn.Linear(width, 3))
    optimizer = optim.Adam(net.parameters(), lr=0.1)

    def step(x, y):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return net, optimizer, step


def test_nothing_changes():
    am.manual_seed(3)
    net, optimizer, step = training()
    before = [p.numpy() for p in net.parameters()]
    stream = am.random.default_generator.get_state()
    am.forecast(step, (16, 8), ((16,), "int64"))
    assert am.random.default_generator.get_state() == stream
    assert all(p.grad is None for p in net.parameters())
    assert not optimizer.state
    for parameter, value in zip(net.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.numpy(), value)
    x, y = am.rand(16, 8), am.zeros(16, dtype="int64")
    first = am.jit(step)(x, y).item()
    assert np.isfinite(first)


def test_arithmetic_and_traffic_of_a_product():
    found = am.forecast(lambda x, y: x @ y, (64, 32), (32, 16))
    assert found.flops == 2 * 64 * 32 * 16
    assert found.read_bytes == 4 * (64 * 32 + 32 * 16)
    assert found.written_bytes == 4 * 64 * 16


def test_arguments_are_tensors_shapes_or_specs():
    product = lambda x: x @ x
    of_tensor = am.forecast(product, am.ones(16, 16))
    of_shape = am.forecast(product, (16, 16))
    of_array = am.forecast(product, np.ones((16, 16), "float32"))
    assert of_tensor.flops == of_shape.flops == of_array.flops
    assert am.forecast(product, ((16, 16), "float64")).peak_bytes > of_shape.peak_bytes


def test_the_largest_batch_fits_and_more_does_not():
    _, _, step = training(256)
    found = am.forecast(step, (64, 8), ((64,), "int64"))
    most = found.largest_batch(4 * MIB)

    def peak(batch):
        return am.forecast(step, (batch, 8), ((batch,), "int64")).peak_bytes

    assert peak(most) <= 4 * MIB < peak(int(1.3 * most))
    assert found.largest_batch(1000) == 0


def test_the_table_names_blocks_and_lines():
    text = repr(am.forecast(lambda x: (x @ x).exp() @ x, (256, 256)))
    assert all(part in text for part in ("peak memory", "test_forecast.py:", "float32[256, 256]"))


def test_misuse():
    with pytest.raises(ArgumentError, match="need a function"):
        am.forecast(3, (2, 2))
    with pytest.raises(TracingError, match="looked at"):
        am.forecast(lambda x: x if x.sum() > 1 else -x, (2, 2))
    with pytest.raises(ArgumentError, match="no argument"):
        am.forecast(lambda: am.ones(3) + 1).largest_batch()


@pytest.fixture
def little_memory(monkeypatch):
    memory.release()
    monkeypatch.setattr(memory, "retain_limit", MIB)
    monkeypatch.setattr(memory, "available", lambda: 16 * MIB)


@pytest.mark.parametrize("wrapped", [lambda fn: fn, am.jit])
def test_out_of_memory_names_the_largest_blocks_their_lines_and_what_fits(little_memory, wrapped):
    x = am.Tensor(np.ones((4096, 16), np.float32))
    weight = am.Tensor(np.ones((16, 4096), np.float32))
    with pytest.raises(OutOfMemoryError) as caught:
        wrapped(lambda x: ((x @ weight).sort(dim=0).values @ weight.T).exp())(x).numpy()
    message = str(caught.value)
    assert "the largest are contract's float32[4096, 4096], 64.0 MiB (test_forecast.py:" in message
    assert "of 4096 examples about " in message
    assert (x + 1).sum().item() == 2 * 4096 * 16  # and all goes on


def test_a_jitted_step_holds_parameters_and_moments_once():
    layer = nn.Linear(1024, 1024)
    optimizer = optim.Adam(layer.parameters())

    @am.jit
    def step(x):
        loss = (layer(x) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    x = am.rand(16, 1024)
    am.evaluate(x, *layer.parameters())
    before = memory.statistics.live_bytes
    step(x).item()
    added = memory.statistics.live_bytes - before
    assert added < 3 * sum(p.nbytes for p in layer.parameters())  # two moments, and no more


def deep():
    layers = [part for _ in range(10) for part in (nn.Linear(64, 64), nn.GELU())]
    net = nn.Sequential(*layers)
    optimizer = optim.SGD(net.parameters(), lr=0.1)

    def step(x):
        loss = (net(x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def test_a_memory_budget_is_kept_with_the_same_bits():
    x = am.rand(4096, 64)
    am.manual_seed(0)
    plain = deep()
    usual = am.forecast(plain, x)
    wanted = [am.jit(plain)(x).item() for _ in range(3)]
    am.manual_seed(0)
    budget = usual.peak_bytes * 3 // 5
    saving = am.jit(deep(), memory_budget=f"{budget >> 10} KiB")
    found = am.forecast(saving, x)
    assert found.peak_bytes <= budget
    assert usual.flops < found.flops < 1.4 * usual.flops
    kernels = lambda text: re.search(r"1: (\d+) launch", text)[1]
    assert int(kernels(explanation(saving, x))) == found.kernels > usual.kernels
    memory.release()
    before = memory.statistics.live_bytes
    memory.statistics.peak_bytes = memory.statistics.owned_bytes
    assert [saving(x).item() for _ in range(3)] == wanted
    added = memory.statistics.peak_bytes - before
    assert added <= 1.1 * found.room.bytes_of("temporary")


def test_a_budget_out_of_reach():
    step = am.jit(deep(), memory_budget="4 MiB")
    x = am.rand(4096, 64)
    with pytest.raises(OutOfMemoryError, match=r"memory_budget is 4.0 MiB.*of 4096 examples about"):
        step(x)
    assert np.isfinite(am.jit(deep())(x).item())
    with pytest.raises(ArgumentError, match="need a number above 0"):
        am.jit(deep(), memory_budget="much")


@pytest.mark.parametrize("leak", [lambda x: x, lambda x: x * 2])
def test_what_was_kept_of_a_forecast_has_no_value(leak):
    kept = []

    def keeps(x):
        kept.append(leak(x))
        return x.sum()

    with suppress(TracingError):  # a pending tensor that stays is refused at once
        am.forecast(keeps, (2,))
    for look in (lambda: kept[0].numpy(), lambda: (kept[0] + 1).sum().item()):
        with pytest.raises(TracingError, match=r"was given to am\.forecast"):
            look()
    assert am.ones(2).sum().item() == 2
