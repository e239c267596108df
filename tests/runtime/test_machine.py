"""What the code generator is told of this machine."""

import pytest

from ambos.core.config import config
from ambos.core.errors import ArgumentError, DeviceError
from ambos.runtime import loader, machine


@pytest.fixture
def pretend(monkeypatch):
    """Pretend to be another processor."""

    def become(cpu: str, *features: str, triple: str = "x86_64-unknown-linux-gnu"):
        monkeypatch.setattr(config, "cpu", cpu)
        flags = dict.fromkeys(features, True) | {"absent": False}
        monkeypatch.setattr(loader, "host", lambda: (triple, "somecpu", flags))
        machine._features.cache_clear()
        return machine.host_features

    yield become
    machine._features.cache_clear()


AVX2 = ("avx2", "fma", "bmi2", "f16c")
AVX512 = (*AVX2, "avx512f", "avx512vl", "avx512dq", "avx512bw")


@pytest.mark.parametrize(
    ("features", "width", "registers"),
    [
        ((), 16, 16),
        (AVX2, 32, 16),
        (AVX512, 64, 32),
        ((*AVX2, "avx512f"), 32, 16),  # the first AVX-512 processors, without byte operations
    ],
)
def test_native_width(pretend, features, width, registers):
    found = pretend("native", *features)()
    assert (found.vector_bytes, found.registers) == (width, registers)
    assert found.cpu == "somecpu"
    assert all(f"+{feature}" in found.attributes for feature in features)
    assert "-absent" in found.attributes


def test_arm(pretend):
    found = pretend("native", "neon", triple="aarch64-unknown-linux-gnu")()
    assert (found.vector_bytes, found.registers) == (16, 32)


def test_levels(pretend):
    assert pretend("x86-64-v3", *AVX512)().vector_bytes == 32
    assert pretend("x86-64-v4", *AVX512)().vector_bytes == 64
    assert pretend("x86-64", *AVX512)().vector_bytes == 16


def test_a_level_that_is_not_there(pretend):
    with pytest.raises(DeviceError, match=r"no avx512f.*x86-64-v4 needs"):
        pretend("x86-64-v4", *AVX2)()


def test_an_unknown_name(pretend):
    with pytest.raises(ArgumentError, match="Did you mean 'x86-64-v3'"):
        pretend("x86-64-w3", *AVX2)()
    with pytest.raises(ArgumentError, match="unknown processor"):
        pretend("x86-64-v3", triple="arm64-apple-darwin")()


def test_this_machine():
    found = machine.host_features()
    assert 8 << 10 <= found.l1_bytes <= found.l2_bytes
    assert found is machine.host_features()
    assert machine.host_name().strip() == machine.host_name() != ""
