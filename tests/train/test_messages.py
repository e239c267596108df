"""What a mistake of somebody who comes from another framework is answered with."""

import warnings

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.core.errors import AmbosError, ArgumentError, ShapeError

X = np.ones((6, 4), np.float32)


def compiled(*layers):
    model = am.Sequential(list(layers))
    model.compile("sgd", "mse")
    return model


def test_class_weights_of_two_outputs():
    given = am.Input((4,))
    model = am.Model(given, {"a": nn.Linear(4, 1)(given), "b": nn.Linear(4, 1)(given)})
    model.compile("sgd", "mse")
    targets = {"a": X[:, :1], "b": X[:, :1]}
    fix = r"class_weight is for .*need sample_weight=\{'a': weights, 'b': weights\}"
    with pytest.raises(ArgumentError, match=fix):
        model.fit(X, targets, class_weight={0: 1.0, 1: 2.0}, verbose=0)


def test_names_of_outputs_are_looked_at_by_compile():
    given = am.Input((4,))
    model = am.Model(given, {"surv": nn.Linear(4, 1)(given), "cost": nn.Linear(4, 1)(given)})
    for wrong in (
        {"loss": {"surv": "mse", "costs": "mse"}},
        {"loss": "mse", "loss_weights": {"costs": 2.0}},
        {"loss": "mse", "metrics": {"costs": ["mae"]}},
    ):
        with pytest.raises(ArgumentError, match=r"^compile: .* names 'costs'.*Did you mean 'cost'"):
            model.compile("sgd", **wrong)
    model.compile("sgd", {"surv": "mse"}, {"cost": ["mae"]}, {"cost": 2.0})


@pytest.mark.parametrize(
    ("layer", "shape", "order"),
    [
        (nn.Conv2d(3, 4, 3), (2, 28, 28, 3), (0, 3, 1, 2)),
        (nn.Conv2d(3, 4, 3), (28, 28, 3), (2, 0, 1)),
        (nn.Conv1d(3, 4, 3), (2, 28, 3), (0, 2, 1)),
        (nn.ConvTranspose2d(3, 4, 3), (2, 28, 28, 3), (0, 3, 1, 2)),
        (nn.BatchNorm2d(3), (2, 28, 28, 3), (0, 3, 1, 2)),
    ],
)
def test_channels_that_come_last(layer, shape, order):
    with pytest.raises(ShapeError) as told:
        layer(am.ones(shape))
    assert f"x.permute{order}" in str(told.value)
    layer(am.ones(shape).permute(order))
    with pytest.raises(ShapeError) as told:
        layer(am.ones(*shape[:-1], 5))
    assert "permute" not in str(told.value)


def test_rows_of_several_lengths_are_told_apart():
    ragged = [np.array([1, 2, 3]), np.array([1, 2])]
    with pytest.raises(ShapeError, match=r"x has 2 and 3 rows, y has 2 rows;.*pad_sequence"):
        compiled(nn.Linear(3, 1)).fit(ragged, np.ones(2), verbose=0)


def test_sentences_are_no_words():
    for text, tool in (("a b", "TextVectorization"), ("a", "StringLookup")):
        with pytest.raises(AmbosError, match=f"am.data.{tool} makes these"):
            compiled(nn.Linear(1, 1)).predict(np.array([text, "c"]))


def test_resuming_another_model(tmp_path):
    compiled(nn.Linear(4, 1)).fit(X, X[:, :1], verbose=0, resume=tmp_path)
    other = compiled(nn.Linear(4, 3), nn.Linear(3, 1))
    with pytest.raises(AmbosError, match=r"^fit: resume is of another training: .*another folder"):
        other.fit(X, X[:, :1], verbose=0, resume=tmp_path)


class Own(am.Sequential):
    def train_step(self, data):
        return {}


def test_what_a_file_has_not_is_told_at_the_users_line(tmp_path):
    model = am.Sequential([nn.Linear(4, 1)])
    model.compile("sgd", "mse", schedule=lambda update: 0.1)
    keep = am.callbacks.ModelCheckpoint(tmp_path / "m")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model.fit(X, X[:, :1], verbose=0, callbacks=[keep])
        own = Own([nn.Linear(4, 1)])
        own.compile()
        own.save(tmp_path / "own")
    told = [str(one.message) for one in seen if "save:" in str(one.message)]
    assert len(told) == 2
    assert "NoneType" not in told[1]
    assert {one.filename for one in seen if "save:" in str(one.message)} == {__file__}
