"""Model files: what comes back is what went in; what is damaged or foreign changes nothing."""

import json
import pydoc
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

import ambos as am
from ambos import nn, optim
from ambos.core.errors import ArgumentError, FormatError, ShapeError
from ambos.tensor.files import safe
from ambos.train import files


def trained(seed=0):
    am.manual_seed(seed)
    model = am.Sequential([
        nn.LazyConv2d(4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.1), nn.LazyLinear(3),
    ])  # fmt: skip
    model.compile(optim.AdamW(lr=0.01, betas=(0.8, 0.99)), "cross_entropy", ["accuracy"])
    x, y = data()
    model.fit(x, y, batch_size=8, verbose=0, seed=1)
    return model


def data():
    stream = np.random.RandomState(0)
    return stream.randn(20, 1, 6, 6).astype(np.float32), stream.randint(0, 3, 20)


def test_a_loaded_model_predicts_the_same_bits_and_trains_on(tmp_path):
    model, (x, y) = trained(), data()
    path = model.save(tmp_path / "model")
    assert path.endswith("model.safetensors")
    again = am.Model.load(path)
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert repr(again.optimizer) == repr(model.optimizer)
    for m in (model, again):
        am.manual_seed(7)
        m.fit(x, y, batch_size=8, verbose=0, seed=2)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert again.evaluate(x, y) == model.evaluate(x, y)


def test_into_an_existing_model(tmp_path):
    model, (x, _) = trained(), data()
    path = model.save(tmp_path / "m.safetensors")
    other = trained(seed=1)
    assert (other.predict(x) != model.predict(x)).any()
    assert other.load(path) is other
    np.testing.assert_array_equal(other.predict(x), model.predict(x))


def test_other_readers_find_the_weights(tmp_path):
    model = am.Model(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    path = model.save(tmp_path / "plain")
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    found = safetensors.numpy.load_file(path)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in found.items()})
    x = np.ones((1, 4), np.float32)
    np.testing.assert_allclose(
        model.predict(x), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-6, atol=1e-6
    )
    assert type(am.Model.load(path)) is am.Model


def test_every_dtype_survives(tmp_path):
    values = {
        name: am.tensor([0, 1, 3]).to(name)
        for name in safe.NAMES.values()
    }  # fmt: skip
    values["scalar"], values["empty"] = am.tensor(np.float64(2.5)), am.zeros(0, 3)
    files.write(tmp_path / "all", values, {"a": 1})
    tensors, config = files.read(tmp_path / "all")
    assert config == {"a": 1}
    for name, value in values.items():
        assert tensors[name].dtype is value.dtype
        assert tensors[name].shape == value.shape
        np.testing.assert_array_equal(tensors[name].numpy(), value.numpy())


class Mine(am.Model):
    def __init__(self, width, depth=1):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, width)] + [nn.Linear(width, width)] * depth)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_classes_of_ones_own(tmp_path):
    model, x = Mine(5, depth=2), np.ones((2, 4), np.float32)
    path = model.save(tmp_path / "mine")
    with pytest.raises(FormatError, match=r"holds a 'Mine'.*classes=\[Mine\]"):
        am.Model.load(path)
    for again in (Mine.load(path), am.Model.load(path, classes=[Mine])):
        assert type(again) is Mine
        np.testing.assert_array_equal(again.predict(x), model.predict(x))


def contents(model):
    return {k: v.numpy() for k, v in model.state_dict().items()}


def damage_flip_header(blob):
    return blob[:12] + b"\xff\xfe" + blob[14:]


DAMAGES = {
    "empty": lambda blob: b"",
    "cut": lambda blob: blob[:-7],
    "half": lambda blob: blob[: len(blob) // 2],
    "longer": lambda blob: blob + b"more",
    "header": damage_flip_header,
    "length": lambda blob: (2**60).to_bytes(8, "little") + blob[8:],
    "text": lambda blob: b"hello, I am a text file, not a model",
    "pickle": lambda blob: b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94",
    "zip": lambda blob: b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_files_change_nothing(tmp_path, kind):
    model = trained()
    path = tmp_path / "m.safetensors"
    model.save(path)
    path.write_bytes(DAMAGES[kind](path.read_bytes()))
    before, rule = contents(model), model.optimizer
    for load in (model.load, am.Model.load):
        with pytest.raises(FormatError, match="load: "):
            load(path)
    for key, value in contents(model).items():
        np.testing.assert_array_equal(value, before[key])
    assert model.optimizer is rule


def test_foreign_and_missing_files(tmp_path):
    model = trained()
    foreign = tmp_path / "foreign.safetensors"
    safetensors.numpy.save_file({"weight": np.ones(3, np.float32)}, foreign)
    with pytest.raises(FormatError, match="not written by ambos"):
        model.load(foreign)
    with pytest.raises(FormatError, match="cannot read"):
        model.load(tmp_path / "none")
    with pytest.raises(FormatError, match="cannot read"):
        model.load(tmp_path)


def rewrite(path, change):
    tensors, config = files.read(path)
    change(tensors, config)
    files.write(path, tensors, config)


def test_files_of_the_first_version_are_read(tmp_path):
    model = trained()
    model.save(tmp_path / "model.safetensors")

    def as_then(tensors, config):
        plan = config["plan"]
        plan["steps"] = {n: numbers["step"] for n, numbers in plan.pop("numbers").items()}
        for group in plan["groups"]:
            for key in ("maximize", "foreach", "capturable", "differentiable", "fused",
                        "decoupled_weight_decay", "param_names"):  # fmt: skip
                group.pop(key, None)

    rewrite(tmp_path / "model.safetensors", as_then)
    twin = am.Model.load(tmp_path / "model.safetensors")
    ours, theirs = (m.optimizer.state_dict()["state"] for m in (model, twin))
    assert [s["step"] for s in ours.values()] == [s["step"] for s in theirs.values()]


@pytest.mark.parametrize(
    "change",
    [
        lambda t, c: t.pop("0.weight"),
        lambda t, c: t.update({"6.weight": am.ones(2, 2)}),
        lambda t, c: t.update({"extra": am.ones(2)}),
        lambda t, c: t.update({"optimizer/0/exp_avg": am.ones(1)}),
        lambda t, c: t.update({"optimizer/99/exp_avg": am.ones(1)}),
        lambda t, c: t.update({"optimizer/x": am.ones(1)}),
        lambda t, c: c["plan"].update(optimizer="rmsprop"),
        lambda t, c: c["plan"].update(loss="nothing"),
        lambda t, c: c["plan"]["groups"][0].update(params=[77]),
        lambda t, c: c["plan"]["groups"][0].update(lr="fast"),
        lambda t, c: c.update(plan=[1]),
    ],
)
def test_files_that_do_not_fit_change_nothing(tmp_path, change):
    model = trained()
    path = tmp_path / "m.safetensors"
    model.save(path)
    rewrite(path, change)
    other = trained(seed=1)
    before, rule = contents(other), repr(other.optimizer)
    with pytest.raises(FormatError, match="nothing was changed"):
        other.load(path)
    for key, value in contents(other).items():
        np.testing.assert_array_equal(value, before[key])
    assert repr(other.optimizer) == rule


@pytest.mark.parametrize(
    "architecture",
    [{"class": "os.system"}, {"class": "Linear", "args": [1, 2, 3, 4, 5], "kwargs": {}},
     {"class": "Linear"}, 3, {"layers": {}}, {"class": "Sequential", "layers": {"0": None}}],
)  # fmt: skip
def test_an_architecture_that_makes_no_sense(tmp_path, architecture):
    path = tmp_path / "m.safetensors"
    trained().save(path)
    rewrite(path, lambda t, c: c.update(architecture=architecture))
    with pytest.raises(FormatError, match="load: "):
        am.Model.load(path)


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    model = trained()
    path = tmp_path / "m.safetensors"
    model.save(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safe.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        model.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_unsized_models_cannot_be_saved(tmp_path):
    model = am.Sequential([nn.LazyLinear(3)])
    with pytest.raises(ValueError, match=r"0.weight, 0.bias have no sizes yet"):
        model.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_the_header_is_plain_json(tmp_path):
    path = trained().save(tmp_path / "m")
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    config = json.loads(header["__metadata__"]["ambos"])
    assert config["architecture"]["class"] == "am.Sequential"
    assert config["plan"]["optimizer"] == "adamw"


def test_a_lazy_model_of_other_sizes_takes_nothing(tmp_path):
    source = am.Sequential([nn.Flatten(), nn.LazyLinear(10)])
    source.predict(np.ones((1, 4), np.float32))
    path = source.save(tmp_path / "m")
    other = am.Sequential([nn.Flatten(), nn.LazyLinear(7)])
    with pytest.raises(FormatError, match=r"1.weight is \(10, 4\).*\(7, any\)"):
        other.load(path)
    with pytest.raises(ShapeError, match=r"1.bias is \(10,\)"):
        other.load_state_dict(source.state_dict())
    assert other.predict(np.ones((1, 5), np.float32)).shape == (1, 7)


def test_a_lazy_model_is_unchanged_where_only_the_plan_does_not_fit(tmp_path):
    path = tmp_path / "m.safetensors"
    trained().save(path)
    rewrite(path, lambda t, c: c["plan"].update(loss="nothing"))
    other = am.Sequential([
        nn.LazyConv2d(4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.1), nn.LazyLinear(3),
    ])  # fmt: skip
    with pytest.raises(FormatError, match="nothing was changed"):
        other.load(path)
    assert type(other[0]) is nn.LazyConv2d
    assert type(other.load(trained().save(tmp_path / "good"))[0]) is nn.Conv2d


def test_a_damaged_configuration_is_seen(tmp_path):
    path = tmp_path / "m.safetensors"
    trained().save(path)
    rewrite(path, lambda t, c: c["architecture"]["layers"]["6"].update(args=[4]))
    with pytest.raises(FormatError, match=r"6\.weight"):
        am.Model.load(path)


def test_what_a_file_cannot_hold_is_said_at_once(tmp_path):
    model = am.Sequential([nn.Linear(2, 2)])
    model.compile("sgd", lambda a, b: ((a - b) ** 2).mean(), ["mae"])
    with pytest.warns(UserWarning, match="the loss <lambda> cannot be written") as seen:
        path = model.save(tmp_path / "m")
    assert seen[0].filename.endswith("test_files.py")
    np.testing.assert_array_equal(am.Model.load(path).predict(np.eye(2)), model.predict(np.eye(2)))
    model.save(path, include_optimizer=False)


def test_load_is_documented_and_wants_a_path():
    model = am.Sequential([nn.Linear(2, 2)])
    assert "A new model from a file" in pydoc.render_doc(am.Model.load)
    assert "Take weights" in pydoc.render_doc(model.load)
    pydoc.render_doc(am.Model)
    for load in (am.Model.load, model.load, model.save):
        with pytest.raises(ArgumentError, match="path is 3"):
            load(3)


@pytest.mark.parametrize("name", ["m.h5", "m.weights.h5", "m.KERAS", "m.npz", "m.onnx", "m.pt"])
def test_names_of_other_formats_are_refused(tmp_path, name):
    model = am.Sequential([nn.Linear(2, 2)])
    acts = [lambda: model.save(tmp_path / name), lambda: am.callbacks.ModelCheckpoint(name)]
    if not name.endswith(".pt"):
        acts.append(lambda: am.save(model.state_dict(), tmp_path / name))
    for act in acts:
        with pytest.raises(
            ArgumentError, match=r"is the name of one of .*need 'm[^']*safetensors'"
        ):
            act()
    assert not list(tmp_path.iterdir())
    if name.endswith(".pt"):  # what this writes is one of PyTorch's
        am.callbacks.ModelCheckpoint(name, save_weights_only=True)
        am.save(model.state_dict(), tmp_path / name)
        assert set(torch.load(tmp_path / name)) == {"0.weight", "0.bias"}


def test_losses_and_metrics_come_back_with_their_settings(tmp_path):
    model, (x, y) = am.Sequential([nn.Flatten(), nn.LazyLinear(3)]), data()
    measures = ["accuracy", am.metrics.TopKAccuracy(2, name="two"), am.metrics.FBetaScore(beta=2.0)]
    model.compile(
        optim.SGD(lr=0.1), nn.CrossEntropyLoss(label_smoothing=0.2), measures,
        weighted_metrics=[am.metrics.Precision(average="macro")],
    )  # fmt: skip
    model.fit(x, y, verbose=0)
    again = am.Model.load(model.save(tmp_path / "m"))
    assert (again.plan.metrics.each()[1].k, again.plan.metrics.each()[2].beta) == (2, 2.0)
    assert again.evaluate(x, y, sample_weight=np.arange(20.0)) == model.evaluate(
        x, y, sample_weight=np.arange(20.0)
    )
    for m in (model, again):
        am.manual_seed(1)
        m.fit(x, y, verbose=0, seed=0)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    model.compile(optim.SGD(lr=0.1), nn.MSELoss, schedule=lambda update: 0.1)
    with pytest.warns(UserWarning, match="^save: the schedule of the learning rate cannot be"):
        model.save(tmp_path / "m")


def test_what_a_constructor_does_not_make_is_made_by_its_owner(tmp_path):
    """A weight that is computed: the file said Linear, and did not fit it."""

    def made():
        return am.Sequential([nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))])

    model, other = made(), made()
    path = model.save(tmp_path / "m")
    with pytest.raises(FormatError, match=r"no architecture .*model\.load"):
        am.Model.load(path)
    other.load(path)
    np.testing.assert_array_equal(other.predict(np.eye(2)), model.predict(np.eye(2)))


def test_files_of_equal_models_are_equal(tmp_path):
    model = am.Sequential([nn.Linear(2, 2)])
    model.__dict__["name"] = 'a "name" of \u00e4, \u2028 and \n'
    opened, files = set(), {Path(model.save(tmp_path / f"{n}")).read_bytes() for n in range(12)}
    for n in range(12):
        with (tmp_path / f"{n}.safetensors").open("wb") as file:
            am.save(model.state_dict(), file, metadata=dict.fromkeys("cab", "\u00e4"))
        opened.add((tmp_path / f"{n}.safetensors").read_bytes())
    assert len(files) == len(opened) == 1
    (data,) = files
    size = int.from_bytes(data[:8], "little")
    assert not size % 8
    assert list(json.loads(data[8 : 8 + size])["__metadata__"]) == ["ambos", "format"]
    assert list(safetensors.numpy.load_file(tmp_path / "0.safetensors")) == ["0.bias", "0.weight"]


def test_a_number_at_the_end_of_a_name_is_no_suffix(tmp_path):
    model = am.Sequential([nn.Linear(2, 2)])
    assert model.save(tmp_path / "03-0.25").endswith("03-0.25.safetensors")
    assert repr(am.Model.load(tmp_path / "03-0.25")) == repr(model)


def frozen(kind):
    """A model of which the lower part is not trained."""
    am.manual_seed(0)
    base = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    base.trainable = False
    if kind == "functional":
        given = am.Input((4,))
        model = am.Model(given, nn.Linear(3, 1)(base(given, training=False)))
    else:
        layers = [base, nn.Linear(3, 1)]
        model = am.Sequential(layers) if kind == "sequential" else am.Model(nn.Sequential(*layers))
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("kind", ["functional", "sequential", "wrapped"])
def test_what_is_frozen_comes_back_frozen(kind, tmp_path):
    """As in Keras, where a loaded model has as many trainable weights."""
    model = frozen(kind)
    x, y = np.random.RandomState(0).randn(2, 8, 4).astype(np.float32)
    model.fit(x, y[:, :1], verbose=0)
    path = model.save(tmp_path / "m")
    again = am.Model.load(path)
    assert [p.requires_grad for p in again.parameters()] == [False] * 4 + [True] * 2
    for each in (model, again):
        each.fit(x, y[:, :1], epochs=2, verbose=0)
    for one, other in zip(again.parameters(), model.parameters(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    model.load(path)  # who made it has said what is trained
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("names", [3, None, ["nothing"]])
def test_frozen_parameters_that_are_none(names, tmp_path):
    path = tmp_path / "m.safetensors"
    frozen("sequential").save(path)
    rewrite(path, lambda t, c: c.update(frozen=names))
    with pytest.raises(FormatError, match=r"does not fit Sequential: .*; nothing was"):
        am.Model.load(path)
