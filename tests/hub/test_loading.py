"""Weights of PyTorch's and Keras's files in modules of ours, and how names meet."""

from __future__ import annotations

import argparse
import json
import os
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError, FormatError, ShapeError
from ambos.hub import Report
from ambos.hub.matching import states

DATA = Path(__file__).parent.parent / "data"


def pair() -> tuple[nn.Module, torch.nn.Module]:
    """Ours, and a twin whose weights it should get."""
    ours = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    theirs = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)
    )
    return ours, theirs


def agree(ours: nn.Module, theirs: torch.nn.Module) -> None:
    for name, value in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[name].numpy(), value.numpy())


def renamed(state: dict[str, Any], change: Any) -> dict[str, Any]:
    return {change(key): value for key, value in state.items()}


SAVED = {
    "as it is": (lambda s: s, ""),
    "in a checkpoint": (lambda s: {"epoch": 3, "model": s, "optimizer": {"state": {}}}, "'model'"),
    "parallel": (lambda s: renamed(s, "module.{}".format), "without 'module.'"),
    "compiled": (lambda s: renamed(s, "_orig_mod.{}".format), "without '_orig_mod.'"),
    "both, deep": (
        lambda s: {"state_dict": renamed(s, "module._orig_mod.{}".format), "lr": 0.1},
        "from 'state_dict'; without '_orig_mod.'; without 'module.'",
    ),
    "inside of a wrapper": (
        lambda s: {"state_dict": renamed(s, "net.body.{}".format)}, "without 'net.body.'"
    ),
    "old": (lambda s: {k: v for k, v in s.items() if "num_batches" not in k}, ""),
    "older": (
        lambda s: renamed(s, lambda k: {"1.weight": "1.gamma", "1.bias": "1.beta"}.get(k, k)),
        "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAVED)
def test_names_are_seen_through(tmp_path: Path, kind: str) -> None:
    change, note = SAVED[kind]
    ours, theirs = pair()
    path = tmp_path / "weights.pth"
    torch.save(change(theirs.state_dict()), path)
    report = am.load_torch(ours, path)
    agree(ours, theirs)
    assert note in str(report)
    assert report.complete
    assert len(report.matched) >= 8


def test_a_part_gets_what_is_meant_for_the_whole_and_the_other_way_round(tmp_path: Path) -> None:
    ours, theirs = pair()
    path = tmp_path / "weights.pth"
    body = {"backbone." + key: value for key, value in theirs.state_dict().items()}
    torch.save(body | {"head.x": torch.ones(1)}, path)
    report = am.load_torch(ours, path, strict=False)
    agree(ours, theirs)
    assert report.unexpected_keys == ["head.x"]

    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = pair()[0]

    torch.save(theirs.state_dict(), path)
    whole = Wrapper()
    assert "with 'backbone.' in front" in str(am.load_torch(whole, path))
    agree(whole.backbone, theirs)


class Command:
    """Pickled as a call of `os.mkdir`."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("HACKED",)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False])
def test_what_stands_beside_the_weights_is_passed_over(
    tmp_path: Path, zipped: bool, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    twin, path = torch.nn.Linear(2, 1), tmp_path / "checkpoint.pt"
    beside = [np.float64(0.5), np.ones(3), argparse.Namespace(lr=0.1), tmp_path, 1j, Command(),
              defaultdict(list, {"a": [1]}), twin]  # fmt: skip
    how: Any = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": zipped}
    torch.save({"beside": beside, "model": twin.state_dict()}, path, **how)
    ours = nn.Linear(2, 1)
    assert am.load_torch(ours, path).complete
    agree(ours, twin)
    with pytest.raises(FormatError, match="wants to use"):
        am.load(path)
    torch.save({"weight": np.ones((1, 2)), "bias": torch.ones(1)}, path, **how)
    with pytest.raises(ArgumentError, match="missing: weight"):
        am.load_torch(ours, path)
    torch.save(twin, path, **how)
    with pytest.raises(FormatError, match="wants to use"):
        am.load_torch(ours, path)
    agree(ours, twin)
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_shared_dictionaries_are_walked_once() -> None:
    nested: dict[str, Any] = {"weight": am.ones(1, 2), "bias": am.zeros(1)}
    for _ in range(3):
        nested = {str(key): nested for key in range(3)} | {"one": am.ones(1)}
    found = list(states(nested))
    assert len(found) == 4
    report = am.load_torch(nn.Linear(2, 1), nested)
    assert report.notes == ["from '0.0.0'"]


def test_parts_of_an_index_and_names_of_ones_own(tmp_path: Path) -> None:
    ours, theirs = pair()
    state = {k: am.tensor(v.numpy()) for k, v in theirs.state_dict().items()}
    names = sorted(state)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for part, keys in parts.items():
        am.save({f"x{key}": state[key] for key in keys}, tmp_path / part)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {k: p for p, ks in parts.items() for k in ks}}))
    report = am.load_torch(ours, index, rename=lambda key: key[1:])
    agree(ours, theirs)
    assert report.renamed["0.weight"] == "x0.weight"
    index.write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
    with pytest.raises(FormatError, match="need a file beside it"):
        am.load_torch(ours, index)


def test_what_does_not_fit_is_told_and_changes_nothing(tmp_path: Path) -> None:
    ours, theirs = pair()
    before = {key: value.numpy() for key, value in ours.state_dict().items()}
    path = tmp_path / "weights.pth"
    state = theirs.state_dict()
    state["2.wieght"] = state.pop("2.weight")
    torch.save(state, path)
    with pytest.raises(ArgumentError, match=r"missing: 2\.weight \(like 2\.wieght in the file\?\)"):
        am.load_torch(ours, path)
    torch.save({**theirs.state_dict(), "0.weight": torch.ones(7, 3)}, path)
    with pytest.raises(ShapeError, match=r"0\.weight is \(7, 3\)"):
        am.load_torch(ours, path)
    torch.save([1, 2], path)
    with pytest.raises(ArgumentError, match="without tensors by name"):
        am.load_torch(ours, path)
    with pytest.raises(ArgumentError, match="need a module, then the path"):
        am.load_torch(path, ours)
    for key, value in ours.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    assert isinstance(am.load_torch(ours, theirs_state(theirs)), Report)


def theirs_state(module: torch.nn.Module) -> dict[str, am.Tensor]:
    return {key: am.tensor(value.numpy()) for key, value in module.state_dict().items()}


# --- Keras ---------------------------------------------------------------------------------------


class Channels(nn.Module):
    """LayerNormalization of Keras: over the channels, which come last there."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size, eps=1e-3)

    def forward(self, x: am.Tensor) -> am.Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def images() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4, eps=1e-3), nn.ReLU(),
        nn.Conv2d(4, 8, 3, padding=1, groups=4), nn.ConvTranspose2d(8, 3, 2, stride=2),
        Channels(3), nn.Conv2d(3, 2, 1, bias=False), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(32, 6), nn.Linear(6, 3),
    )  # fmt: skip


class Sequences(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 5)
        self.long = nn.LSTM(5, 4, num_layers=2, batch_first=True)
        self.gated = nn.GRU(4, 3, batch_first=True)
        self.both = nn.LSTM(3, 2, batch_first=True, bidirectional=True)
        self.simple = nn.RNN(4, 3, batch_first=True)
        self.head = nn.Linear(3, 2)

    def forward(self, x: am.Tensor) -> am.Tensor:
        x = self.table(x)
        for layer in (self.long, self.gated, self.both, self.simple):
            x = layer(x)[0]
        return self.head(x[:, -1])


def test_images_of_keras_give_its_outputs() -> None:
    model = images()
    report = am.load_keras(model, DATA / "keras_images.keras", flattened={"9": (2, 4, 4)})
    assert report.complete
    model.eval()
    known = np.load(DATA / "keras_images.npz")
    found = model(am.tensor(known["x"].transpose(0, 3, 1, 2))).numpy()
    np.testing.assert_allclose(found, known["y"], rtol=1e-4, atol=1e-5)


def test_sequences_of_keras_give_its_outputs() -> None:
    model = Sequences()
    assert am.load_keras(model, DATA / "keras_sequences.weights.h5").complete
    known = np.load(DATA / "keras_sequences.npz")
    found = model(am.tensor(known["x"])).numpy()
    np.testing.assert_allclose(found, known["y"], rtol=1e-4, atol=1e-5)


def test_files_of_keras_that_do_not_fit_are_told(tmp_path: Path) -> None:
    weights = DATA / "keras_sequences.weights.h5"
    with pytest.raises(ArgumentError, match=r"unexpected: layers/"):
        am.load_keras(nn.Embedding(11, 5), weights)
    with pytest.raises(ArgumentError, match=r"missing: 1\.weight"):
        am.load_keras(nn.Sequential(Sequences(), nn.Conv1d(2, 2, 1, bias=False)), weights)
    broken = tmp_path / "broken.weights.h5"
    broken.write_bytes(weights.read_bytes()[:9000])
    with pytest.raises(FormatError):
        am.load_keras(Sequences(), broken)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file.create_group("layers/dense/vars")["0"] = h5py.ExternalLink("/etc/passwd", "x")
    with pytest.raises(FormatError, match="is a link"):
        am.load_keras(nn.Linear(1, 1), tmp_path / "link.h5")
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", b"\0" * 1_000_000)
    with pytest.raises(FormatError, match="compressed"):
        am.load_keras(nn.Linear(1, 1), tmp_path / "bomb.keras")
    with pytest.raises(FormatError, match="cannot read"):
        am.load_keras(nn.Linear(1, 1), tmp_path / "none.keras")
    with pytest.raises(FormatError, match="need am"):
        am.load(weights)
    assert sorted(os.listdir(tmp_path)) == ["bomb.keras", "broken.weights.h5", "link.h5"]
