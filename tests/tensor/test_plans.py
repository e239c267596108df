"""Plans that are kept on disk: read back equal, never trusted blindly, never in the way."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ambos as am
from ambos.core.config import config
from ambos.core.program import Kernel, TextMissing
from ambos.tensor import plans, realize

SCRIPT = """
import sys
import ambos as am
from ambos.runtime import loader
x = am.arange(12.0).reshape(3, 4)
y = ((x @ x.T).exp().sum(0) / 7.0).numpy()
print(int("ambos.compiler.pipeline" in sys.modules), loader.statistics.compiled, y.tobytes().hex())
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache, a process that knows no plan, and every plan worth keeping."""
    monkeypatch.setattr(config, "cache_dir", tmp_path)
    monkeypatch.setattr(plans, "_caches", {})
    monkeypatch.setattr(realize, "_plans", type(realize._plans)())
    return tmp_path


def files(place: Path, what: str) -> list[Path]:
    return sorted(place.glob(f"objects-*/{what}-*"))


def run(place: Path) -> list[str]:
    environment = {**os.environ, "AMBOS_CACHE": str(place)}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_another_process_plans_and_compiles_nothing(tmp_path):
    first, second = run(tmp_path), run(tmp_path)
    assert int(first[0]) > 0
    assert int(first[1]) > 0
    assert second[:2] == ["0", "0"]
    assert first[2] == second[2]


def test_a_plan_whose_machine_code_is_gone_is_made_again(tmp_path):
    first = run(tmp_path)
    for path in tmp_path.glob("objects-*/k*.object"):
        path.unlink()
    second = run(tmp_path)
    assert int(second[1]) > 0
    assert first[2] == second[2]


def test_what_is_stored_comes_back(place):
    made = []

    def make():
        made.append(1)
        return {"a": (1, 2.5)}

    key = ("graph", (1, 2.0, am.float32))
    assert plans.recall("thing", key, make) == plans.recall("thing", key, make) == {"a": (1, 2.5)}
    assert len(made) == 1
    assert plans.recall("thing", key, make, anew=True) == {"a": (1, 2.5)}
    assert len(made) == 2
    plans.recall("thing", ("graph", (1, 2, am.float32)), make)  # 2 is not 2.0
    assert len(made) == 3
    assert len(files(place, "thing")) == 2


def test_a_damaged_plan_is_made_again(place):
    assert plans.recall("thing", "key", lambda: 1) == 1
    (path,) = files(place, "thing")
    path.write_bytes(path.read_bytes()[:-1])
    assert plans.recall("thing", "key", lambda: 2) == 2
    plans._cache().write(path.name.removesuffix(".object"), b"no pickle")
    assert plans.recall("thing", "key", lambda: 3) == 3


def test_objects_without_a_name_are_no_key(place):
    for number in (1, 2):
        assert plans.recall("thing", object(), lambda: number) == number  # noqa: B023
    assert files(place, "thing") == []


def test_debugging_shows_the_compiler_at_work(place, monkeypatch):
    monkeypatch.setattr(config, "debug", 1)
    assert plans.recall("thing", "key", lambda: 1) == 1
    assert plans.recall("thing", "key", lambda: 2) == 2


def test_a_kernel_keeps_its_name_and_loses_its_text():
    kernel = pickle.loads(pickle.dumps(Kernel("k1", lambda: "define ...", "add")))
    assert kernel == Kernel("k1", lambda: "")
    assert kernel.label == "add"
    with pytest.raises(TextMissing):
        kernel.emit()


def test_training_goes_on_from_stored_plans(place):
    def train():
        am.manual_seed(0)
        net = am.nn.Linear(6, 3)
        optimizer = am.optim.Adam(net.parameters(), lr=0.1)
        x = am.arange(12.0).reshape(2, 6)
        for _ in range(3):
            optimizer.zero_grad()
            (net(x) ** 2).mean().backward()
            optimizer.step()
        return net.weight.detach().numpy()

    first = train()
    assert files(place, "program")
    realize._plans.clear()
    np.testing.assert_array_equal(first, train())
