"""`model.loop_source()` prints a plain loop whose weights are those of `fit`, bit by bit, whatever
`fit` was given."""

import numpy as np
import pytest

import ambos as am
from ambos import nn, optim
from ambos.core.errors import ArgumentError

ROWS = 14
DRAWS = np.random.RandomState(5)
FEATURES = DRAWS.randn(ROWS, 4)
CLASSES = DRAWS.randint(0, 3, ROWS)
WEIGHTS = DRAWS.uniform(0.2, 2.0, ROWS)
NUMBERS = (0, 7, 11, 21, 24, 25, 28, 31, 32, 36)  # which meet nearly all values
KINDS = [
    "layers",
    "layers",
    "named",
    "placed",
    "two outputs",
    "priced",
    "summed",
    "stepped",
    "steps",
]
LABELS = ["int64", "int32", "uint8", "uint16", "float32", "float64", "codes", "float codes"]


def labels(kind, count):
    found = CLASSES if count == 3 else CLASSES % 2
    if not kind.endswith("codes"):
        return found.astype(kind)
    return np.eye(3)[found].astype(float if kind == "float codes" else int)


class Pair(am.Model):
    """Two inputs, by name or by position."""

    def __init__(self, width):
        super().__init__()
        self.words, self.body = nn.Embedding(9, 2), nn.Linear(6, width)

    def forward(self, numbers, words):
        return self.body(am.concatenate([numbers, self.words(words)], 1))


class Twice(am.Model):
    """Two outputs by name."""

    def __init__(self, width):
        super().__init__()
        self.left, self.right = nn.Linear(4, width), nn.Linear(4, 1)

    def forward(self, x):
        return {"kind": self.left(x), "score": self.right(x)}


class Priced(am.Sequential):
    """A loss of its own beside the usual one, which sees targets as they were given."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        usual = super().compute_loss(x, y, y_pred, sample_weight)
        return usual + 0.01 * y.float().mean() * y_pred.float().square().mean()


class Summed(am.Sequential):
    """Losses of its own, by name."""

    def losses_of(self, x, y, y_pred, sample_weight):
        found = super().losses_of(x, y, y_pred, sample_weight)
        return {"loss": found["loss"] + y_pred.float().abs().mean(), "usual": found["loss"]}


class Stepped(am.Sequential):
    """The usual step, called by its own."""

    def train_step(self, data):
        return super().train_step(data)


def drawn(number):
    """What `fit` gets in case `number`, and what makes the model."""
    draw = np.random.RandomState(number)
    pick = lambda *given: given[draw.randint(len(given))]
    task = pick("classes", "classes", "yes or no", "numbers")
    kind = pick(*KINDS)
    x = FEATURES.astype(pick("float32", "float64", "float16"))
    if kind in ("named", "placed"):
        x = {"numbers": x, "words": np.arange(ROWS) % 9}
        x = x if kind == "named" else tuple(x.values())
    elif pick(0, 0, 1):
        x = (FEATURES * 9).astype(pick("int64", "int8"))
    elif pick(0, 0, 1):
        x = FEATURES.tolist()
    if task == "numbers":
        y = FEATURES.sum(1).astype(pick("float32", "float64"))
    elif task == "yes or no":
        y = labels(pick("int64", "uint8", "bool", "float32"), 2)
    else:
        y = labels(pick(*LABELS), 3)
    if y.ndim == 1 and pick(0, 1):
        y = y[:, None]
    given = {
        "batch_size": pick(None, 4, 5, 8), "epochs": 2, "shuffle": pick(True, False),
        "seed": pick(None, 3), "accumulate": pick(1, 1, 2, 3), "clip_norm": pick(None, None, 0.1),
        "precision": pick(None, None, "float32", "bf16", "mixed_float16", am.bfloat16),
        "steps_per_epoch": pick(None, None, 2), "initial_epoch": pick(0, 0, 1),
    }  # fmt: skip
    weights = pick(None, WEIGHTS, WEIGHTS.astype("float32")[:, None], (WEIGHTS * 3).astype(int))
    if kind == "steps":  # three in a row, with targets of each
        x, task = np.stack([FEATURES, FEATURES + 1, FEATURES**2], 1), "numbers"
        y = x.sum(2)[:, :, None] if pick(0, 1) else x.sum(2)
        weights = (
            None if weights is None else pick(weights, weights.reshape(-1, 1) * np.ones((1, 3)))
        )
    if kind == "two outputs":
        y, task = {"kind": y, "score": FEATURES[:, :1]}, f"{task}, two"
        weights = None if weights is None else pick(weights, {"kind": weights, "score": weights})
    elif task != "numbers" and pick(0, 1):
        given["class_weight"] = pick({0: 0.5, 1: 3.0}, {1: 0.0})
    given["sample_weight"] = weights
    validation = pick(None, "split", "data")
    if validation == "split":
        given["validation_split"] = pick(0.2, 0.3)
    if validation == "data":
        data = (x, y) if weights is None else (x, y, weights)
        given["validation_data"] = data
    if validation is not None:
        given |= {"validation_batch_size": pick(None, 3), "validation_freq": pick(1, 2, [2])}
    narrow = given["precision"] in (None, "float32")
    dtype = pick("float32", "float32", "float64", *["float16", "bfloat16"] * narrow)
    return (kind, task, pick(0, 1, 2), dtype), x, y, given


def made(kind, task, rule, dtype="float32"):
    am.manual_seed(1)
    width = 3 if task.startswith("classes") else 1
    if kind in ("named", "placed"):
        model = Pair(width)
    elif kind == "two outputs":
        model = Twice(width)
    else:
        base = {"priced": Priced, "summed": Summed, "stepped": Stepped}.get(kind, am.Sequential)
        model = base([nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.2), nn.Linear(5, width)])
    losses = {"classes": "cross_entropy", "yes or no": "bce_with_logits", "numbers": "mse"}
    loss = losses[task.partition(",")[0]]
    if kind == "two outputs":
        loss = (
            {"kind": loss, "score": "mse"} if rule else ([loss, "mse"] if task[0] == "c" else loss)
        )
    rules = optim.SGD(lr=0.05, momentum=0.9), optim.Adam(lr=0.02, eps=1e-4), "adamw"
    optimizer = rules[min(rule, 1) if dtype == "float16" else rule]
    schedule = (lambda update: 0.1 * 0.9**update) if rule == 1 else None
    model.to(getattr(am, dtype))
    model.compile(optimizer, loss, schedule=schedule)
    return model


def same(model, other):
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].numpy(), value.numpy(), name)


def executed(text, model, x, y, given):
    """`text` on the data of `fit`."""
    held_out = dict(zip(("x_val", "y_val", "sample_weight_val"),
                        given.get("validation_data", ()), strict=False))  # fmt: skip
    exec(text, {"model": model, "x": x, "y": y,
                "sample_weight": given.get("sample_weight"), **held_out})  # fmt: skip


@pytest.mark.filterwarnings("ignore:fit. x ran out of batches")  # a pass has fewer than asked
@pytest.mark.parametrize("number", NUMBERS)
def test_a_printed_loop_gives_the_weights_of_fit(number, capsys):
    asked, x, y, given = drawn(number)
    fitted = made(*asked)
    history = fitted.fit(x, y, verbose=0, **given).history
    written = made(*asked)
    executed(fitted.loop_source(), written, x, y, given)
    same(fitted, written)
    shown = capsys.readouterr().out
    assert f"loss {history['loss'][-1]:.4f}" in shown
    if "val_loss" in history:
        assert f"loss {history['val_loss'][-1]:.4f}" in shown


@pytest.mark.parametrize("task", ["numbers", "classes"])
def test_each_fit_of_one_compiled_model_is_printed_as_it_was(task):
    """The second time a step is there already, and nobody looks at its targets again."""
    flat = FEATURES[:, 0] if task == "numbers" else labels("float32", 3)
    kinds = [flat, flat[:, None]] + [labels("codes", 3)] * (task == "classes")
    fitted = made("layers", task, 0)
    for y in (*kinds, *kinds):
        fitted.fit(FEATURES, y, verbose=0)
        alone = made("layers", task, 0)
        alone.fit(FEATURES, y, verbose=0)
        assert fitted.loop_source() == alone.loop_source()


@pytest.mark.parametrize("arguments", [{}, {"class_weight": {0: 2.0}}])
def test_a_printed_loop_refuses_fractions_of_labels_as_fit_does(arguments):
    loss = "bce_with_logits" if arguments else "cross_entropy"
    models = [am.Sequential([nn.Linear(4, 1 if arguments else 3)]) for _ in range(2)]
    for model in models:
        model.compile("sgd", loss)
    y = (CLASSES % 2).astype(float)
    models[0].fit(FEATURES, y, verbose=0, **arguments)
    text = models[0].loop_source()
    y[5] = 0.5
    with pytest.raises(ArgumentError, match="a label is"):
        models[0].fit(FEATURES, y, verbose=0, **arguments)
    before = models[1][0].weight.numpy()
    with pytest.raises(ValueError, match="y: a label is a fraction"):
        exec(text, {"model": models[1], "x": FEATURES, "y": y})
    np.testing.assert_array_equal(models[1][0].weight.numpy(), before)


def test_arguments_that_are_given_are_read_as_fit_reads_them():
    model = made("layers", "classes", 0)
    text = model.loop_source(precision="mixed_bfloat16", class_weight=[1.0, 2.0, 3.0])
    assert "am.autocast(am.bfloat16)" in text
    assert "am.tensor([1.0, 2.0, 3.0, 1.0])" in text
    with pytest.raises(ArgumentError, match="precision is 'int8'"):
        model.loop_source(precision="int8")
