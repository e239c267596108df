"""What code that names devices finds here."""

import pytest

import ambos as am
from ambos.core.errors import DeviceError


def test_scripts_that_choose_a_device_choose_the_cpu(tmp_path) -> None:
    place = am.device("cuda" if am.cuda.is_available() else "cpu")
    assert (place, place.type, place.index) == ("cpu", "cpu", None)
    assert am.device("cpu", 0).index == am.device("cpu:0").index == 0
    x = am.ones(2, device=place).to(place)
    assert x.device == place
    assert x.device.type == "cpu"
    assert not x.is_cuda
    assert am.nn.Linear(2, 1, device=place).to(place)(x).device == am.device(place)
    assert am.cuda.device_count() == 0
    am.cuda.manual_seed_all(3)
    first = am.rand(2).tolist()
    assert first == (am.manual_seed(3), am.rand(2).tolist())[1]
    for name in ("a.pt", "a.safetensors"):
        am.save({"x": x}, tmp_path / name)
        for where in (None, "cpu", place):
            found = am.load(tmp_path / name, map_location=where, weights_only=True)
            assert found["x"].tolist() == [1, 1]
        with pytest.raises(DeviceError, match="load: device 'cuda:0' is not available"):
            am.load(tmp_path / name, map_location="cuda:0")
    for other in ("cuda", 0, "mps"):
        with pytest.raises(DeviceError, match="is not available; need 'cpu'"):
            am.device(other)


def test_mixed_precision_has_pytorchs_name_too() -> None:
    with am.amp.autocast("cpu", dtype=am.bfloat16):
        assert (am.ones(2, 2) @ am.ones(2, 2)).dtype is am.bfloat16
    assert am.amp.GradScaler is am.GradScaler
