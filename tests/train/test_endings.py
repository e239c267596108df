"""A sigmoid or softmax before a loss that applies it again is said at `compile`."""

import warnings

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn

LOSSES = ["cross_entropy", F.cross_entropy, nn.CrossEntropyLoss(), nn.CrossEntropyLoss,
          "bce_with_logits", F.binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss]  # fmt: skip


def functional(*layers):
    x = am.Input((4,))
    return am.Model(x, nn.Sequential(*layers)(x) if len(layers) > 1 else layers[0](x))


ENDS = {
    "list": lambda last: am.Sequential([nn.Linear(4, 3), last]),
    "network": lambda last: am.Model(nn.Sequential(nn.Linear(4, 3), last)),
    "nested": lambda last: am.Sequential([nn.Linear(4, 3), nn.Sequential(nn.ReLU(), last)]),
    "functional": lambda last: functional(nn.Linear(4, 3), last),
    "inner": lambda last: am.Sequential([functional(nn.Linear(4, 3), last)]),
}


def said(model, loss, **more):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.compile("sgd", loss, **more)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: getattr(loss, "__name__", str(loss)))
@pytest.mark.parametrize("last", [nn.Sigmoid(), nn.Softmax(-1), nn.Softmax()], ids=str)
def test_probabilities_before_a_loss_of_logits(loss, last):
    (text,) = said(ENDS["list"](last), loss)
    assert f"ends in nn.{type(last).__name__}" in text
    assert "takes logits" in text
    assert "need the model without that layer" in text


@pytest.mark.parametrize("end", ENDS)
def test_wherever_the_layer_is_certain(end):
    (text,) = said(ENDS[end](nn.Sigmoid()), "bce_with_logits")
    assert text.startswith("compile: the model ends in nn.Sigmoid")
    assert "nn.BCELoss()" in text


def test_outputs_are_named():
    x = am.Input((4,))
    outputs = {"b": nn.Sigmoid()(nn.Linear(4, 1)(x)), "a": nn.Softmax(-1)(nn.Linear(4, 3)(x))}
    model = am.Model(inputs=x, outputs=outputs)
    losses = {"a": "cross_entropy", "b": nn.BCELoss()}
    (text,) = said(model, losses)
    assert "output 'a' ends in nn.Softmax" in text
    assert "nn.NLLLoss()" in text
    assert len(said(model, {"a": "mse", "b": "bce_with_logits"})) == 1
    model = am.Model(x, [nn.Linear(4, 1)(x), nn.Sigmoid()(nn.Linear(4, 1)(x))])
    assert len(said(model, ["mse", "bce_with_logits"])) == 1
    assert not said(model, ["bce_with_logits", "mse"])
    assert not said(model, ["bce_with_logits", None])


class Scaled(nn.Sequential):
    def forward(self, input):
        return 10 * super().forward(input)


class OwnForward(am.Sequential):
    def forward(self, x):
        return super().forward(x).logit()


class OwnLoss(am.Sequential):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        return F.binary_cross_entropy(y_pred, y)


class OwnStep(am.Sequential):
    def train_step(self, data):
        return {}


LAYERS = [nn.Linear(4, 1), nn.Sigmoid()]
X = am.Input((4,))
SILENT = {
    "no end": am.Sequential([*LAYERS, nn.Linear(1, 1)]),
    "own block": am.Sequential([Scaled(*LAYERS)]),
    "own forward": OwnForward(LAYERS),
    "own loss": OwnLoss(LAYERS),
    "own step": OwnStep(LAYERS),
    "log softmax": am.Sequential([nn.Linear(4, 3), nn.LogSoftmax(-1)]),
    "after": am.Model(X, 5 * nn.Sequential(*LAYERS)(X)),
    "nothing": am.Sequential([]),
}


@pytest.mark.parametrize("kind", SILENT)
def test_there_is_no_false_alarm(kind):
    for loss in ("cross_entropy", "bce_with_logits"):
        assert not said(SILENT[kind], loss)


def test_losses_of_probabilities_are_right_and_a_fit_says_nothing_more():
    model = am.Sequential(LAYERS)
    for loss in ("mse", nn.BCELoss(), F.binary_cross_entropy, lambda a, b: (a - b).abs()):
        assert not said(model, loss)
    assert len(said(model, "bce_with_logits")) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(np.ones((4, 4), np.float32), np.ones((4, 1), np.float32), verbose=0)
