"""One path in small steps: `fit`, the open loop and the printed loop give the same bits."""

import numpy as np
import pytest

import ambos as am
from ambos import nn, optim
from ambos.core.errors import ArgumentError

STREAM = np.random.RandomState(0)
X = STREAM.randn(30, 4)
Y = (X[:, 0] > 0).astype(np.int64)
W = STREAM.rand(30)


def network(schedule=None, loss="cross_entropy", out=2):
    am.manual_seed(0)
    model = am.Sequential(
        [nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.25), nn.LazyLinear(out)]
    )
    rule = optim.AdamW(model.parameters(), lr=0.05)
    if schedule == "epoch":
        schedule = optim.StepLR(rule, 1, 0.5)
    model.compile(rule, loss, schedule=schedule)
    return model


def tensors(model):
    return {name: value.numpy() for name, value in model.state_dict().items()}


CASES = {
    "scheduled": ({"batch_size": 16}, {"schedule": lambda update: 0.1 * 0.9**update}),
    "accumulated": ({"accumulate": 3, "batch_size": 4, "shuffle": False, "clip_norm": 0.05}, {}),
    "half": (
        {"precision": "float16", "accumulate": 2, "seed": 3, "validation_split": 0.2,
         "sample_weight": W}, {},
    ),
    "weighted": (
        {"class_weight": {0: 2.5}, "sample_weight": W, "initial_epoch": 1}, {"schedule": "epoch"},
    ),
    "a part": ({"batch_size": 4, "steps_per_epoch": 3, "accumulate": 2, "seed": 3}, {}),
    "column": (
        {"class_weight": {0: 2.5}, "sample_weight": W},
        {"loss": "bce_with_logits", "out": 1},
    ),
    "validated": (
        {"validation_split": 0.2, "seed": 3}, {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_fit_the_open_loop_and_the_printed_loop_give_the_same_bits(case, capsys):
    arguments, options = CASES[case]
    arguments = {"batch_size": 8, "epochs": 2, **arguments}
    fitted = network(**options)
    fitted.fit(X, Y, verbose=0, **arguments)
    wanted = tensors(fitted)

    written = network(**options)
    names = {"model": written, "x": X, "y": Y, "sample_weight": W}
    exec(fitted.loop_source(), names)
    shown = capsys.readouterr().out
    assert f"loss {fitted.history.history['loss'][-1]:.4f}" in shown
    if "validation_split" in arguments:
        assert f"held out: loss {fitted.history.history['val_loss'][-1]:.4f}" in shown
    open_ended = network(**options)
    arguments.pop("validation_split", None)
    rows = slice(0, 24) if "val_loss" in fitted.history.history else slice(None)
    if "sample_weight" in arguments:
        arguments["sample_weight"] = W[rows]
    for step in am.loop(open_ended, X[rows], Y[rows], **arguments):
        step.backward()
        step.update()
    for model in (written, open_ended):
        for name, value in tensors(model).items():
            np.testing.assert_array_equal(value, wanted[name], err_msg=name)


def test_a_step_has_its_pieces_and_does_nothing_unasked():
    model = network()
    model.compile("sgd", "cross_entropy", ["accuracy"])
    before, seen = tensors(model)["0.weight"], []
    for step in am.loop(model, X, Y, epochs=2, batch_size=16, shuffle=False):
        seen.append((step.epoch, step.index, tuple(step.batch[0].shape)))
        assert step.loss.requires_grad
        assert set(step.logs) == {"loss", "accuracy"}
        right = (step.output.numpy().argmax(1) == step.batch[1].numpy()).mean()
        assert step.logs["accuracy"] == pytest.approx(right)
        assert step.logs["loss"] == step.loss.item()
    assert seen == [(0, 0, (16, 4)), (0, 1, (14, 4)), (1, 0, (16, 4)), (1, 1, (14, 4))]
    np.testing.assert_array_equal(tensors(model)["0.weight"], before)


def test_a_source_for_a_search_along_gradients_is_refused():
    model = network()
    model.compile(optim.LBFGS(lr=0.1), "cross_entropy")
    with pytest.raises(ArgumentError, match="LBFGS"):
        model.loop_source()


def test_a_source_for_arguments_that_are_given():
    model = network()
    text = model.loop_source(clip_norm=2.0, epochs=7)
    assert "clip_grad_norm_(optimizer.parameters(), 2.0)" in text
    assert "range(0, 7)" in text
    with pytest.raises(TypeError, match="Did you mean 'clip_norm'"):
        model.loop_source(clipnorm=1.0)
    with pytest.raises(ValueError, match=r"need a compiled model: am.Model\(module\)"):
        am.loop(nn.Linear(1, 1), X, Y)


class Noisy(am.Model):
    """A step of one's own: two losses, noise, and no targets."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 4))

    def forward(self, x):
        return self.body(x)

    def train_step(self, data):
        x = data
        self.optimizer.zero_grad()
        loss = ((self(x + 0.1 * am.randn_like(x)) - x) ** 2).mean() + self(x).abs().mean()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss, "twice": 2 * loss, "label": "text"}

    def test_step(self, data):
        return {"loss": (self(data) - data).abs().mean()}


class Extended(am.Model):
    """The usual step, and a number more."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 2)

    def forward(self, x):
        return self.body(x)

    def train_step(self, data):
        return {**super().train_step(data), "more": am.tensor(1.0)}


class Weighed(Extended):
    """A loss of one's own beside a known name."""

    train_step = am.Model.train_step

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        return super().compute_loss(x, y, y_pred, sample_weight) + y_pred.square().mean()


OWN = {
    "noisy": (Noisy, None, {"seed": 1, "validation_split": 0.2}),
    "extended": (Extended, Y, {"accumulate": 2, "clip_norm": 0.1, "class_weight": {1: 3.0}}),
    "half": (Extended, Y, {"precision": "float16", "sample_weight": W}),
    "loss": (Weighed, Y, {"validation_split": 0.2}),
}


@pytest.mark.parametrize("case", OWN)
def test_a_printed_loop_calls_steps_of_ones_own(case, capsys):
    kind, y, arguments = OWN[case]

    def made():
        am.manual_seed(2)
        model = kind()
        model.compile("adam", "cross_entropy")
        return model

    fitted = made()
    history = fitted.fit(X, y, batch_size=8, epochs=2, verbose=0, **arguments).history
    written = made()  # and the random numbers as they were before
    exec(fitted.loop_source(), {"model": written, "x": X, "y": y, "sample_weight": W})
    shown = capsys.readouterr().out
    assert f"loss {history['loss'][-1]:.4f}" in shown
    if "val_loss" in history:
        assert f"held out: loss {history['val_loss'][-1]:.4f}" in shown
    for name, value in tensors(written).items():
        np.testing.assert_array_equal(value, tensors(fitted)[name], err_msg=name)


def looked_at(model):
    """With gradients, as somebody may have looked at some."""
    for parameter in model.parameters():
        parameter.grad = am.ones_like(parameter)
    return model


@pytest.mark.parametrize("own", [False, True])
def test_gradients_of_before_have_no_part_in_a_training(own):
    """PyTorch's recipe forgets them before `backward`; Keras has none that stay."""

    def made():
        am.manual_seed(0)
        model = Extended() if own else am.Sequential([nn.Linear(4, 2)])
        model.compile("sgd", "cross_entropy")  # an optimizer that has no parameters yet
        return model

    batch = {"batch_size": len(X), "shuffle": False}
    models = [made(), *(looked_at(made()) for _ in range(4))]
    for model in models[:2]:
        model.fit(X, Y, verbose=0, **batch)
    models[2].train_on_batch(X, Y)
    for step in am.loop(models[3], X, Y, **batch):
        step.backward()
        step.update()
    exec(models[1].loop_source(), {"model": models[4], "x": X, "y": Y})
    for model in models[1:]:
        for name, value in tensors(model).items():
            np.testing.assert_array_equal(value, tensors(models[0])[name], err_msg=name)


SMALL = X[:16, :3].astype(np.float32)
LABELS = STREAM.randint(0, 3, 16)
CODES = np.eye(3)[LABELS]
COLUMN = SMALL[:, :1]
BY_CLASS = {"class_weight": {0: 1.0, 1: 2.0, 2: 0.3}}


def held_out(*data):
    return {"validation_data": data}


KINDS = {
    "unsigned": (SMALL, LABELS.astype(np.uint8), BY_CLASS),
    "column": (SMALL, LABELS.astype(np.uint16)[:, None], BY_CLASS),
    "floating": (SMALL, LABELS.astype(np.float32)[:, None], BY_CLASS),
    "codes": (SMALL, CODES.astype(int), BY_CLASS),
    "floating codes": (SMALL, CODES, {**BY_CLASS, "sample_weight": W[:16]}),
    "other labels": (SMALL, LABELS, held_out(SMALL, LABELS.astype(float)[:, None])),
    "labels of columns": (SMALL, LABELS.astype(float)[:, None], held_out(SMALL, LABELS)),
    "other codes": (SMALL, LABELS, held_out(SMALL, CODES.astype(int), None)),
    "wide": (SMALL, COLUMN, held_out(SMALL.astype(float), COLUMN.astype(float))),
    "whole": (SMALL, COLUMN, held_out((SMALL * 3).astype(int), COLUMN)),
    "flat": (SMALL, COLUMN[:, 0], held_out(SMALL, COLUMN)),
    "weights": (SMALL, COLUMN, held_out(SMALL, COLUMN, W[:16, None])),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_printed_loop_takes_the_data_that_fit_takes(kind, capsys):
    x, y, arguments = KINDS[kind]

    def made():
        am.manual_seed(0)
        classes = y is not COLUMN and kind != "flat"
        layer = nn.Linear(3, 3 if classes else 1)
        model = am.Sequential([layer])
        model.compile("sgd", "cross_entropy" if classes else "mse")
        return model

    fitted, written = made(), made()
    history = fitted.fit(x, y, batch_size=8, verbose=0, seed=1, **arguments).history
    names = dict(zip(("x_val", "y_val", "sample_weight_val"),
                     arguments.get("validation_data", ()), strict=False))  # fmt: skip
    names |= {"model": written, "x": x, "y": y, "sample_weight": W[:16]}
    exec(fitted.loop_source(), names)
    if names.get("x_val") is not None:
        assert f"held out: loss {history['val_loss'][-1]:.4f}" in capsys.readouterr().out
    for one, other in zip(written.parameters(), fitted.parameters(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("kind", ["unsigned", "column", "floating", "floating codes"])
def test_class_weights_of_a_step_of_ones_own(kind):
    x, y, arguments = KINDS[kind]

    class Own(am.Sequential):
        def train_step(self, data):
            return super().train_step(data)

    models = []
    for _ in range(2):
        am.manual_seed(0)
        models.append(Own([nn.Linear(3, 3)]))
        models[-1].compile("sgd", "cross_entropy")
    models[0].fit(x, y, verbose=0, seed=1, **arguments)
    exec(models[0].loop_source(), {"model": models[1], "x": x, "y": y, "sample_weight": W[:16]})
    np.testing.assert_array_equal(*(model[0].weight.numpy() for model in models))
