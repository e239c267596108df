"""Functional models: what was described on am.Input is what a class with a forward computes."""

import copy
import pickle

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from ambos.core.errors import ArgumentError, FormatError
from ambos.core.unknown import BATCH
from ambos.train import files

STREAM = np.random.RandomState(0)
IMAGES = STREAM.rand(6, 1, 8, 8).astype(np.float32)
SIZES = STREAM.rand(6, 3).astype(np.float32)


def built():
    am.manual_seed(0)
    image, size = am.Input((1, 8, 8), name="image"), am.Input((3,), name="size")
    hidden = F.relu(nn.Conv2d(1, 4, 3)(image))
    pooled = nn.MaxPool2d(2)(hidden)
    flat = pooled.flatten(1)
    scale = nn.Linear(3, 1)(size)
    joined = am.concatenate([flat * scale, size / 2.0], 1)
    shared = nn.LazyLinear(5)
    one = shared(joined)
    two = shared(joined.reshape(joined.shape[0], -1) ** 2)[:, :2]
    kind = nn.Linear(5, 3)(nn.Dropout(0.5)(one))
    return am.Model(inputs=[image, size], outputs={"kind": kind, "two": two}), (image, hidden)


class Written(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.conv, self.pool = model.get_layer("conv2d"), model.get_layer("max_pool2d")
        self.scale, self.shared = model.get_layer("linear"), model.get_layer("linear_1")
        self.drop, self.head = model.get_layer("dropout"), model.get_layer("linear_2")

    def forward(self, image, size):
        flat = self.pool(F.relu(self.conv(image))).flatten(1)
        joined = am.concatenate([flat * self.scale(size), size / 2.0], 1)
        one, two = self.shared(joined), self.shared(joined**2)[:, :2]
        return {"kind": self.head(self.drop(one)), "two": two}


def test_a_list_of_metrics_goes_to_the_outputs_by_position():
    """As Keras: one for each, or one that all have."""
    given = am.Input((4,))
    heads = [nn.Linear(4, 3)(given), nn.Linear(4, 1)(given)]
    model = am.Model(inputs=given, outputs=heads)
    x, y = np.ones((6, 4), np.float32), [np.arange(6) % 3, np.ones((6, 1), np.float32)]
    names = list(model.output_names)
    for metrics, wanted in [
        (["accuracy", "mae"], {f"{names[0]}_accuracy", f"{names[1]}_mae"}),
        ([None, "mae"], {f"{names[1]}_mae"}),
        (["accuracy", ["mae", "mse"]], {f"{names[0]}_accuracy", f"{names[1]}_mae",
                                        f"{names[1]}_mse"}),
    ]:  # fmt: skip
        model.compile("sgd", ["cross_entropy", "mse"], metrics=metrics)
        logs = model.evaluate(x, y)
        assert {n for n, _ in logs.items() if not n.endswith("loss")} == wanted
    model.compile("sgd", ["cross_entropy", "mse"], metrics=["accuracy", "mae", "mse"])
    with pytest.raises(ArgumentError, match="metrics has 3 parts and the model 2 outputs"):
        model.evaluate(x, y)


def test_a_graph_computes_what_a_forward_does_for_any_number_of_rows():
    model, _ = built()
    assert list(dict(model.named_children())) == [
        "conv2d", "max_pool2d", "linear", "linear_1", "dropout", "linear_2",
    ]  # fmt: skip
    twin = Written(model)
    for training in (False, True):
        model.train(training)
        for rows in (6, 1):
            given = am.tensor(IMAGES[:rows]), am.tensor(SIZES[:rows])
            am.manual_seed(5)
            found = model(*given)
            am.manual_seed(5)
            wanted = twin(*given)
            for name, value in wanted.items():
                np.testing.assert_array_equal(found[name].numpy(), value.numpy())
    by_name = model({"size": SIZES, "image": IMAGES})
    again = model([am.tensor(IMAGES), am.tensor(SIZES)])
    assert by_name["two"].shape == again["two"].shape == (6, 2)


def test_several_inputs_and_outputs_train():
    model, _ = built()
    y = STREAM.randint(0, 3, 6)
    model.compile("adam", {"kind": "cross_entropy", "two": "mse"}, loss_weights={"two": 0.1})
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    history = model.fit(
        {"image": IMAGES, "size": SIZES}, {"kind": y, "two": np.zeros((6, 2))}, epochs=3,
        batch_size=4, verbose=0,
    )  # fmt: skip
    assert set(history.history) == {"loss", "kind_loss", "two_loss"}
    after = model.state_dict()
    assert all((after[name].numpy() != value).any() for name, value in before.items())
    assert model.predict((IMAGES, SIZES))["kind"].shape == (6, 3)


def test_models_inside_models_features_copies_and_classes_of_ones_own():
    model, (image, hidden) = built()
    features = am.Model(image, hidden.mean((2, 3)))
    assert features(am.tensor(IMAGES)).shape == (6, 4)
    conv = am.Model(model.inputs, model.output_of("conv2d"))
    np.testing.assert_array_equal(
        conv(IMAGES, SIZES).relu().mean((2, 3)).numpy(), features.predict(IMAGES)
    )
    assert conv.get_layer("conv2d") is model.get_layer("conv2d")

    class Mine(am.Model):
        def train_step(self, data):
            return {**super().train_step(data), "mine": 7}

    x = am.Input((1, 8, 8))
    outer = Mine(x, nn.Linear(4, 2)(features(x)) + features(x)[:, :2])
    assert list(outer.state_dict()) == [
        "model.conv2d.weight", "model.conv2d.bias", "linear.weight", "linear.bias",
    ]  # fmt: skip
    outer.compile("sgd", "cross_entropy")
    copied = copy.deepcopy(outer)
    history = outer.fit(IMAGES, np.zeros(6, int), verbose=0)
    assert history.history["mine"] == [7]
    assert (copied.predict(IMAGES) != outer.predict(IMAGES)).any()
    copied.load_state_dict(outer.state_dict())
    np.testing.assert_array_equal(copied.predict(IMAGES), outer.predict(IMAGES))


def test_batch_norm_learns_from_data_only():
    x = am.Input((3,))
    norm = nn.BatchNorm1d(3)
    y = norm(x)
    np.testing.assert_array_equal(norm.running_mean.numpy(), np.zeros(3))
    am.Model(x, y)(am.tensor(SIZES))
    assert (norm.running_mean.numpy() != 0).all()


def test_statistics_over_the_examples_are_those_of_the_data():
    x = am.Input((3,))
    y = (x - x.mean(0)) / x.std(0, correction=0) + am.arange(x.shape[0])[:, None]
    found = am.Model(x, y).predict(SIZES)
    wanted = (SIZES - SIZES.mean(0)) / SIZES.std(0) + np.arange(6)[:, None]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


class Shared(nn.Module):
    def forward(self, x, rows):
        return x.reshape(rows, -1) * rows


NUMBERS = {
    "z-score": lambda x: (x - x.mean(0)) / (x.std(0) + 1e-6),
    "variance": lambda x: x.var() + x - x.var(0, correction=2),
    "covariance": lambda x: am.cov(x.T),
    "less one": lambda x: x * (x.shape[0] - 1) + x.sum(0) / (x.shape[0] - 1),
    "one of them": lambda x: x * (1 / x.shape[0]) - x * (-0.25 / x.shape[0]),
    "linspace": lambda x: x + am.linspace(0, 1, x.shape[0])[:, None],
    "an argument": lambda x: Shared()(x, x.shape[0]),
    "large ones": lambda x: x / 2**31 + x * 1e10 - x / 1e-10 + x * 2.0**-31,
    "tensors": lambda x: x.long() * am.tensor(2**31) + x * am.tensor(1e10) + am.tensor(np.nan),
    "int32": lambda x: (x * 3).long().clamp(max=2**31 - 1) + 2**32,
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_made_of_the_number_of_examples(case):
    x = am.Input((3,))
    model = am.Model(x, NUMBERS[case](x))
    for rows in (6, 4):
        wanted = NUMBERS[case](am.tensor(SIZES[:rows])).numpy()
        np.testing.assert_allclose(model.predict(SIZES[:rows]), wanted, rtol=1e-5, atol=1e-6)


class Halved(nn.Module):
    def forward(self, x, rows):
        return x * (x.shape[0] // 2) + float(rows) ** 0.5 if rows > 1 else x


def test_a_forward_and_the_library_compute_with_the_number_of_examples():
    def made(x):
        n = x.shape[0]
        y = Halved()(x, n) + am.arange(0, n)[:, None]
        y = y + am.full((n, 1), 2.0) + (n - n)
        return y.reshape(n, 3, 1).squeeze(-1) / (2 * n - 1) - 0.25 / -n + 1 / (1 - n)

    x = am.Input((3,))
    model = am.Model(x, made(x))
    for each in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for rows in (6, 4):
            wanted = made(am.tensor(SIZES[:rows])).numpy()
            np.testing.assert_allclose(each.predict(SIZES[:rows]), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda x: am.Input((0, 3)), "the sizes of one example"),
        (lambda x: print(x), "an am.Input and has no value"),
        (lambda x: am.Model(x, x @ nn.Parameter(am.ones(3, 2))), "used outside of a module"),
        (lambda x: am.Model(x, F.dropout(x)), "the same numbers in every call"),
        (lambda x: am.Model(x, x * am.tensor(x.shape[0])), "needs a number, and N"),
        (lambda x: am.Model(x, x / am.tensor(1.0 * x.shape[0])), "needs a number, and N"),
        (lambda x: am.Model(inputs=x), "only one of inputs and outputs"),
        (lambda x: am.Model(am.ones(2, 3), x * 2), "an input is not an am.Input"),
        (lambda x: am.Model(am.Input((2,)), x * 2), "the outputs need 'another am.Input'"),
        (lambda x: am.Model(x, x * 2)(am.ones(2, 4)), r"is \(2, 4\); need \(N, 3\)"),
        (lambda x: am.Model(x, x * 2)({"input": 1}), "Did you mean 'input_1'"),
        (lambda x: nn.Linear(4, 2)(x), r"got 3 features"),
        (lambda x: am.Model(x, nn.Linear(3, 2)(x)).get_layer("liner"), "Did you mean 'linear'"),
    ],
)
def test_mistakes_are_named(do, message):
    with pytest.raises((ValueError, RuntimeError, TypeError), match=message) as caught:
        do(am.Input((3,)))
    assert str(BATCH) not in str(caught.value)


def several():
    """Shared layers, models inside, operations and data between, several inputs and outputs."""
    am.manual_seed(3)
    a, b = am.Input((4,), name="a"), am.Input((2, 3), name="b")
    shared, inner = nn.LazyLinear(5), am.Input((5,))
    block = am.Model(inner, nn.Sequential(nn.Linear(5, 5), nn.Tanh())(inner), name="block")
    first, second = shared(a), shared(a * 2.5 + 1)
    joined = am.concatenate([block(first), block(second).relu(), b.reshape(b.shape[0], -1)], 1)
    joined = joined * am.tensor(np.linspace(-1, 1, 16, dtype=np.float32))
    weights = am.einsum("nij,nkj->nik", b, b).softmax(-1)
    narrow = nn.Linear(16, 2)
    narrow.__dict__["name"] = "head"
    outputs = {"kind": narrow(joined), "size": weights.mean((1, 2)).clamp(max=float("inf"))}
    return am.Model({"a": a, "b": b}, outputs)


WAYS = {
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "copy": lambda model, folder: copy.deepcopy(model),
    "file": lambda model, folder: am.Model.load(model.save(folder / "model")),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_architecture_comes_back(way, tmp_path):
    model = several()
    model.compile(optim.Adam(lr=0.01), {"kind": "cross_entropy", "size": "mse"})
    stream = np.random.RandomState(1)
    x = {"a": stream.randn(6, 4).astype("f"), "b": stream.randn(6, 2, 3).astype("f")}
    y = {"kind": np.arange(6) % 2, "size": stream.randn(6).astype("f")}
    model.fit(x, y, verbose=0)
    again = WAYS[way](model, tmp_path)
    assert [name for name, _ in again.named_parameters()] == [
        n for n, _ in model.named_parameters()
    ]
    assert again.get_layer("head") is not model.get_layer("head")
    for one in (model, again):
        am.manual_seed(0)
        one.fit(x, y, batch_size=4, seed=0, verbose=0)
    for name, values in model.predict(x).items():
        np.testing.assert_array_equal(again.predict(x)[name], values)
    part = am.Model(again.inputs, again.output_of("block", 1))
    assert part.predict(x).shape == (6, 5)


class OwnStep(am.Model):
    def train_step(self, data):
        return {**super().train_step(data), "mine": am.tensor(7.0)}


def test_a_class_of_ones_own_from_inputs_comes_back_with_its_class(tmp_path):
    x = am.Input((3,))
    path = OwnStep(x, nn.Linear(3, 2)(x)).save(tmp_path / "own")
    with pytest.raises(FormatError, match=r"holds a 'OwnStep'.*classes=\[OwnStep\]"):
        am.Model.load(path)
    assert type(OwnStep.load(path)) is OwnStep


def forged(path, change):
    tensors, config = files.read(path)
    change(config["architecture"]["graph"]["steps"])
    files.write(path, tensors, config)


FORGERIES = {
    "op": lambda steps: steps[1].update(op="system"),
    "layer": lambda steps: steps[-1].update(call="os"),
    "place": lambda steps: steps[1].update(of=[99]),
    "attrs": lambda steps: steps[1].update(attrs=[{"eval": "1"}]),
    "record": lambda steps: steps[1].update(attrs=[{"record": "Popen", "parts": {}}]),
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_forged_graphs_are_refused(kind, tmp_path):
    x = am.Input((3,))
    path = tmp_path / "forged.safetensors"
    am.Model(x, nn.Linear(3, 2)(x.relu())).save(path)
    forged(path, FORGERIES[kind])
    with pytest.raises(FormatError, match="load: "):
        am.Model.load(path)


# Dtypes


class Behind(am.Model):
    """Layers with a function between them, as a class."""

    def __init__(self, model, between):
        super().__init__()
        self.first, self.last = copy.deepcopy([*model.children()])
        self.between = between

    def forward(self, x):
        return self.last(self.between(self.first(x), x))


def around(between):
    am.manual_seed(0)
    x = am.Input((4,))
    return am.Model(x, nn.Linear(4, 2)(between(nn.Linear(4, 4)(x), x)))


BETWEEN = {
    "add": lambda h, x: h + x,
    "divide": lambda h, x: h / x.shape[0],
    "concatenate": lambda h, x: am.concatenate([h, x], 1)[:, 2:6],
    "stack": lambda h, x: am.stack([h, x]).sum(0),
    "where": lambda h, x: am.where(h > 0, h, x),
    "clamp": lambda h, x: h.clamp(-1, 1),
    "layer_norm": lambda h, x: F.layer_norm(h, (4,)),
    "mean": lambda h, x: h - h.mean(0),
    "log_softmax": lambda h, x: F.log_softmax(h, 1),
    "exp": lambda h, x: h.exp(),
    "cumsum": lambda h, x: h.cumsum(1),
}
ROWS = STREAM.randn(12, 4).astype(np.float32)


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN)
def test_in_mixed_precision_a_graph_computes_as_the_class_does(between):
    model = around(between)
    behind = Behind(model, between)
    for each in (model, behind):
        each.compile(optim.SGD(lr=0.01), "mse")
    loss, wanted = (
        each.fit(ROWS, ROWS[:, :2], batch_size=6, shuffle=False, verbose=0, precision="bfloat16")
        for each in (model, behind)
    )
    assert loss.history == wanted.history
    for ours, theirs in zip(model.parameters(), behind.parameters(), strict=True):
        np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())


@pytest.mark.parametrize("dtype", [am.bfloat16, am.float16])
def test_between_layers_autocast_leaves_dtypes_as_they_were_drawn(dtype):
    x = am.Input((4,))
    layer = nn.Linear(4, 4)
    between = am.Model(x, {"layer": layer(x), "after": F.log_softmax(layer(x), 1) + x})
    with am.autocast(dtype):
        found = between(am.tensor(ROWS))
        wanted = F.log_softmax(layer(am.tensor(ROWS)), 1) + am.tensor(ROWS)
    assert {each.dtype for each in found.values()} == {am.float32} == {wanted.dtype}
    np.testing.assert_array_equal(found["after"].detach().numpy(), wanted.detach().numpy())


def constants(h, x):
    return (h * 2.5 + x + am.tensor(ROWS[0]).to(x.dtype)).exp() / x.shape[0]


@pytest.mark.parametrize("dtype", [am.float64, am.float16, am.bfloat16])
def test_to_converts_what_lies_between_layers_too(dtype, tmp_path):
    model = around(constants)
    x = am.tensor(ROWS).to(dtype)
    before = model(am.tensor(ROWS)).detach().numpy()
    outer = nn.Sequential(am.Model(model.inputs, model.outputs)).to(dtype)  # shares the layers
    with pytest.raises(am.errors.DTypeError):
        model(x)
    assert model.to(dtype) is model
    wanted = Behind(model, constants)(x)
    loaded = am.Model.load(model.save(tmp_path / "model"))
    copies = (outer, copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded)
    for each in (model, *copies):
        found = each(x)
        assert found.dtype is dtype
        np.testing.assert_array_equal(found.tolist(), wanted.tolist())
    assert model.to("cpu")(x).dtype is dtype
    again = model.float()(am.tensor(ROWS)).detach().numpy()
    np.testing.assert_allclose(again, before, atol={am.bfloat16: 0.1}.get(dtype, 1e-2))


def test_a_graph_without_parameters_is_converted_by_its_inputs():
    x = am.Input((2,))
    model = am.Model(x, x * 2).double()
    assert model(am.full((1, 2), 1e300, dtype="float64")).tolist() == [[2e300, 2e300]]


def test_inputs_are_not_cast_where_numbers_would_be_lost():
    x, words = am.Input((2,)), am.Input((2,), dtype="int64")
    model = am.Model([x, words], x + words)
    ones = am.ones(1, 2)
    assert model(ones.to("float16"), ones.to("int32")).tolist() == [[2.0, 2.0]]
    assert model(np.ones((1, 2)), ones.to("bool")).tolist() == [[2.0, 2.0]]
    mask = am.Input((2,), dtype="bool")
    assert am.Model([x, mask], x * mask)(ones, ones * 2).tolist() == [[1.0, 1.0]]
    for given in [(am.full((1, 2), 1e300, dtype="float64"), ones.to("int64")), (ones, ones)]:
        with pytest.raises(am.errors.DTypeError, match=r"it was drawn as .*need x\.to\("):
            model(*given)


def test_a_layer_that_is_converted_alone_is_refused():
    words = am.Input((2,), dtype="int64")
    model = am.Model(words, nn.Embedding(5, 4)(words) + 1)
    model.get_layer("embedding").double()
    with pytest.raises(am.errors.DTypeError, match=r"need the whole model converted: model\.to"):
        model(am.ones(1, 2, dtype="int64"))


@pytest.mark.parametrize("length", [1, 3, 4])
def test_what_is_shorter_than_a_kernel_is_refused_between_layers(length):
    x = am.Input((2, None))
    kernel = am.ones(3, 2, 5)
    model = am.Model(x, F.conv1d(x, kernel).mean(2))
    assert model(am.ones(1, 2, 5)).shape == (1, 3)
    assert model(am.ones(0, 2, 5)).shape == (0, 3)
    with pytest.raises(am.errors.ShapeError, match="shorter than the kernel"):
        F.conv1d(am.ones(1, 2, length), kernel)
    with pytest.raises(am.errors.ShapeError, match="shorter than the kernel"):
        model(am.ones(1, 2, length))


@pytest.mark.parametrize("norm", [
    lambda x: F.instance_norm(x), lambda x: F.batch_norm(x, None, None, training=True),
], ids=["instance_norm", "batch_norm"])  # fmt: skip
def test_statistics_of_one_value_are_refused_between_layers(norm):
    x = am.Input((2, None))
    model = am.Model(x, norm(x) + 1)
    several, one = am.tensor(STREAM.randn(1, 2, 3).astype(np.float32)), am.ones(1, 2, 1)
    np.testing.assert_array_equal(model(several).numpy(), (norm(several) + 1).numpy())
    with pytest.raises(am.errors.ShapeError, match="more than one"):
        norm(one)
    for each in (model, copy.deepcopy(model)):
        with pytest.raises(am.errors.ShapeError, match="more than one"):
            each(one)


def test_a_covariance_has_a_shape_that_depends_on_how_many_variables():
    x = am.Input((None,))
    with pytest.raises(ArgumentError, match="cov: variables"):
        am.cov(x.T)
