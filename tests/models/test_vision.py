"""Models against their oracles: the same numbers in both give the same results and gradients."""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import ambos as am
from ambos import models, nn
from ambos.core.errors import AmbosError, ArgumentError, ShapeError, UnknownNameError
from tests.models.cases import FULL, SMALL
from tests.models.oracle import compare, compare_results, keys
from tests.models.sides import compare_sides

# Compiling a gradient is most of what a test costs: of these `make models` asks it.
RESULTS_ONLY = ("convnext", "deeplabv3", "efficientnet", "mobilenet_v3", "resnet", "swin",
                "unet, bilinear")  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_results_and_gradients(name: str) -> None:
    if name in RESULTS_ONLY:
        assert compare_results(SMALL[name]) < 1e-5
        return
    found = compare(SMALL[name], SMALL[name].training)
    assert found.output < 1e-5, found
    assert found.gradient < 1e-4, found


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "densenet121"])
def test_keys_at_real_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make models` asks all of them."""
    for rule in ("uniform_", "normal_"):  # numbers do not matter, and there are many
        monkeypatch.setattr(nn.init, rule, lambda tensor, *settings, **more: tensor)
    with torch.device("meta"):
        theirs = FULL[name].theirs()
    assert keys(FULL[name].ours()) == keys(theirs)


def test_every_name_is_in_the_table_once() -> None:
    folder = Path(models.__file__).parent
    assert not {path.stem for path in folder.rglob("*.py")} & set(models.list_models())
    for file, names in models.FILES.items():
        found = importlib.import_module(f"ambos.models.{file}").__all__
        assert sorted(found) == sorted(names.split()), file


def test_models_are_found_by_name() -> None:
    assert models.list_models("densenet1*") == ["densenet121", "densenet161", "densenet169"]
    assert models.get_model_builder("lenet") is models.lenet
    assert repr(models.get_model("lenet", num_classes=7)) == repr(models.LeNet(7))
    assert "resnet18" in dir(am.models)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: models.get_model("resnet17"), UnknownNameError, "Did you mean 'resnet1"),
        (lambda: models.resnet17, UnknownNameError, "Did you mean 'resnet1"),
        (lambda: models.lenet(num_clases=3), UnknownNameError, "Did you mean 'num_classes'"),
        (
            lambda: models.get_model("lenet", num_clases=3),
            UnknownNameError,
            "LeNet: unknown.*'num_c",
        ),
        (lambda: models.lenet(7), ArgumentError, "lenet: too many positional"),
        (lambda: models.lenet(num_classes=0), ArgumentError, "out_features"),
        (lambda: models.lenet(weights="IMAGENET1K_V1"), ArgumentError, "nothing is downloaded"),
        (lambda: models.lenet(weights={"conv1.wait": 1}), ArgumentError, "conv1.wait"),
        (lambda: models.resnet18(groups=2), ArgumentError, "Bottleneck"),
        (lambda: models.lenet()(am.ones(1, 3, 32, 32)), ShapeError, "conv1"),
    ],
)
def test_mistakes_are_told(call, error: type[AmbosError], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_weights_from_a_file_and_from_numbers(tmp_path: Path) -> None:
    saved = {key: value.numpy() for key, value in models.lenet().state_dict().items()}
    safe, pickled = tmp_path / "lenet.safetensors", tmp_path / "lenet.pth"
    save_file(saved, safe)
    torch.save({key: torch.tensor(value) for key, value in saved.items()}, pickled)
    for weights in (saved, safe, str(safe), pickled):
        found = models.lenet(weights=weights, progress=False).state_dict()
        for key, value in saved.items():
            assert np.array_equal(found[key].numpy(), value)


def test_models_that_read_old_keys_are_copied_by_pickle() -> None:
    for net in (
        models.DenseNet(4, (2,), 8, num_classes=3),
        models.VisionTransformer(8, 4, 1, 2, 8, 16, num_classes=3),
    ):
        assert repr(pickle.loads(pickle.dumps(net))) == repr(net)


def test_densenet_reads_the_keys_of_published_files() -> None:
    net = models.DenseNet(4, (2,), 8, num_classes=3)
    state = net.state_dict()
    old = {key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value
           for key, value in state.items()}  # fmt: skip
    assert "features.denseblock1.denselayer1.conv.2.weight" in old
    net.load_state_dict(old)


def test_sides_of_units_explain_what_gradients_differ_by() -> None:
    ours, theirs, _ = compare_sides(SMALL["basic block"], training=True)
    assert max(ours, theirs) < 1e-5
