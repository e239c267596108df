"""`model.loop_source()` after a `fit` on an iterable of batches: a loop over the user's own, in
which `x` is that iterable, with the weights of `fit`, bit by bit."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError
from ambos.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

DRAWS = np.random.RandomState(3)
X = DRAWS.randn(22, 4).astype(np.float32)
Y = DRAWS.randint(0, 3, 22)
W = DRAWS.uniform(0.2, 2.0, 22).astype(np.float32)


def sizes(rows=22, size=5):
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def listed(*arrays):
    return [tuple(array[rows] for array in arrays) for rows in sizes()]


class Examples:
    """What has an index and no `__iter__`: of batches, as Keras's PyDataset."""

    def __len__(self):
        return 5

    def __getitem__(self, number):
        return X[sizes()[number]], Y[sizes()[number]]


class OfTorch(torch.utils.data.Dataset):
    """A dataset of examples, which `fit` makes batches of."""

    def __len__(self):
        return 22

    def __getitem__(self, number):
        return X[number], Y[number]


def stacked(rows):
    return [np.stack(part) for part in zip(*rows, strict=True)]


def generated():
    for _ in range(3):
        yield from listed(X, Y, W)


def weighted_torch():
    data = torch.utils.data.TensorDataset(*map(torch.from_numpy, (X, Y)))
    return torch.utils.data.DataLoader(data, 6)


class Drawn(RandomSampler):
    """An order of one's own."""

    def order(self, epoch):
        return np.arange(21, -1, -1)


SOURCES = {
    "loader": lambda: DataLoader((X, Y), 5),
    "shuffled": lambda: DataLoader((X, Y), 5, shuffle=True, seed=3),
    "unseeded": lambda: DataLoader((X, Y), 5, shuffle=True),
    "weights": lambda: DataLoader((X, Y, W), 5, shuffle=True, seed=1, drop_last=True),
    "double": lambda: DataLoader((X.astype(float), Y), 5),
    "fractions": lambda: DataLoader((X, Y.astype(float)[:, None]), 5, shuffle=True, seed=3),
    "own order": lambda: DataLoader(data := TensorDataset(X, Y), 5, sampler=Drawn(data)),
    "drawn": lambda: DataLoader((X, Y), 5, sampler=WeightedRandomSampler(W, 15, seed=2)),
    "batch sampler": lambda: DataLoader(
        (X, Y), batch_sampler=BatchSampler(RandomSampler(range(22), seed=5), 7, False)),
    "collated": lambda: DataLoader(TensorDataset(X, Y), 5, collate_fn=stacked),
    "dataset": lambda: Dataset.from_tensor_slices((X, Y)).shuffle(9, seed=4).batch(5),
    "examples": lambda: Dataset.from_tensor_slices((X, Y)),
    "stream": lambda: Dataset.from_generator(lambda: zip(X, Y, strict=True)).batch(5),
    "of torch": OfTorch,
    "torch": weighted_torch,
    "counted": Examples,
    "list": lambda: listed(X, Y),
    "wide": lambda: listed(X.astype(float), Y.astype(np.int32), W.astype(float)[:, None]),
    "without": lambda: [(x, y, None) for x, y in listed(X, Y)],
    "ragged": lambda: [(x, y) for x, y in [(X[:3], Y[:3]), (X[3:11], Y[3:11]), (X[11:12], Y[:1])]],
}  # fmt: skip
ARGUMENTS = [
    {},
    {"accumulate": 2, "clip_norm": 0.1},
    {"steps_per_epoch": 3, "epochs": 4},
    {"steps_per_epoch": 2, "epochs": 3, "accumulate": 2, "class_weight": {0: 2.0, 2: 0.5}},
]


class Stepped(am.Sequential):
    """The usual step, called by its own."""

    def train_step(self, data):
        return super().train_step(data)


def made(base=am.Sequential, dtype="float32"):
    am.manual_seed(1)
    model = base([nn.Dropout(0.2), nn.Linear(4, 3)])
    model.to(getattr(am, dtype))
    model.compile(am.optim.SGD(lr=0.1, momentum=0.9), "cross_entropy")
    return model


def check(source, arguments, held_out=None, base=am.Sequential, dtype="float32"):
    """The printed text, which is executed on a fresh source."""
    fitted, written = (made(base, dtype) for _ in range(2))
    given = {"epochs": 2, **arguments}
    am.manual_seed(7)
    validation = {} if held_out is None else {"validation_data": held_out()}
    history = fitted.fit(source(), verbose=0, **given, **validation).history
    text = fitted.loop_source()
    am.manual_seed(7)
    held = {} if held_out is None else {"x_val": held_out()}
    if held and isinstance(held["x_val"], tuple):
        held = dict(zip(("x_val", "y_val"), held["x_val"], strict=True))
    exec(text, {"model": written, "x": source(), **held})
    for name, value in fitted.state_dict().items():
        np.testing.assert_array_equal(written.state_dict()[name].numpy(), value.numpy(), name)
    return text, history


@pytest.mark.filterwarnings("ignore:fit. x ran out of batches")
@pytest.mark.parametrize("kind", SOURCES)
def test_a_loop_over_batches_gives_the_weights_of_fit(kind, capsys):
    number = [*SOURCES].index(kind)
    text, history = check(SOURCES[kind], ARGUMENTS[number % len(ARGUMENTS)])
    assert f"loss {history['loss'][-1]:.4f}" in capsys.readouterr().out
    assert "asarray(x" not in text


@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.filterwarnings("ignore:fit. x ran out of batches")
def test_a_model_with_a_step_of_its_own_is_given_the_batches(arguments):
    check(SOURCES["weights"], arguments, SOURCES["list"], Stepped)


@pytest.mark.parametrize(("dtype", "kind"), [("float16", "double"), ("float64", "list"),
                                                 ("bfloat16", "weights")])  # fmt: skip
def test_batches_are_made_ready_for_a_narrow_and_for_a_wide_model(dtype, kind):
    check(SOURCES[kind], {"epochs": 1}, dtype=dtype)


@pytest.mark.filterwarnings("ignore:fit. validation_data ran out of batches")
@pytest.mark.parametrize("steps", [None, 2])
def test_held_out_batches_are_read_as_fit_reads_them(steps, capsys):
    for held_out in (SOURCES["loader"], SOURCES["wide"], SOURCES["examples"], lambda: (X, Y)):
        text, history = check(SOURCES["shuffled"], {"validation_steps": steps}, held_out)
        assert "x_val" in text
        assert f"loss {history['val_loss'][-1]:.4f}" in capsys.readouterr().out


def test_arrays_with_held_out_batches(capsys):
    written, fitted = made(), made()
    history = fitted.fit(X, Y, validation_data=SOURCES["weights"](), verbose=0, seed=2).history
    made()  # which leaves the stream of random numbers where `fit` found it
    exec(fitted.loop_source(), {"model": written, "x": X, "y": Y, "x_val": SOURCES["weights"]()})
    np.testing.assert_array_equal(written[1].weight.numpy(), fitted[1].weight.numpy())
    assert f"held out: loss {history['val_loss'][-1]:.4f}" in capsys.readouterr().out


def test_workers_give_a_printed_loop_the_same_batches():
    check(lambda: DataLoader((X, Y), 5, shuffle=True, seed=3, num_workers=1), {})


@pytest.mark.parametrize("arguments", [{"epochs": 1}, {"epochs": 3, "steps_per_epoch": 5},
                                       ARGUMENTS[3]])  # fmt: skip
def test_a_generator_is_read_once(arguments):
    check(generated, arguments)


def test_several_inputs_come_as_they_came():
    class Pair(am.Model):
        def __init__(self):
            super().__init__()
            self.words, self.body = nn.Embedding(9, 2), nn.Linear(6, 3)

        def forward(self, numbers, words):
            return self.body(am.concatenate([numbers, self.words(words)], 1))

    words = np.arange(22) % 9
    for inputs in ((X.astype(float), words), {"words": words, "numbers": X}):
        batches = [(am.tree.map(lambda rows, cut=cut: rows[cut], inputs), Y[cut])
                   for cut in sizes()]  # fmt: skip
        models = []
        for _ in range(2):
            am.manual_seed(1)
            models.append(Pair())
            models[-1].compile("sgd", "cross_entropy")
        models[0].fit(batches, verbose=0)
        exec(models[0].loop_source(), {"model": models[1], "x": batches})
        np.testing.assert_array_equal(*(model.body.weight.numpy() for model in models))


def test_fractions_of_labels_in_a_batch_are_refused_as_fit_does():
    model = made()
    model.fit(SOURCES["fractions"](), verbose=0)
    with pytest.raises(ValueError, match="a label is a fraction"):
        exec(model.loop_source(), {"model": made(), "x": [(X, Y + 0.5)]})


def test_what_the_batches_are_is_known_only_from_those_that_came():
    model = made()
    with pytest.raises(ArgumentError, match="batch"):
        model.fit([], verbose=0)
    columns = [(X[:5], Y[:5]), (X[:5], Y[:5, None].astype(np.float32))]
    model.fit(columns, verbose=0)
    with pytest.raises(ArgumentError, match=r"loop_source: the batches .* differ.* am\.loop"):
        model.loop_source()
    model.fit(columns[:1], verbose=0)
    model.loop_source()


def test_arguments_that_are_given_are_for_the_same_batches():
    fitted = made()
    fitted.fit(SOURCES["shuffled"](), verbose=0)
    text = fitted.loop_source(epochs=2, clip_norm=0.5)
    other = made()
    other.fit(SOURCES["shuffled"](), epochs=2, clip_norm=0.5, verbose=0)
    written = made()
    exec(text, {"model": written, "x": SOURCES["shuffled"]()})
    np.testing.assert_array_equal(written[1].weight.numpy(), other[1].weight.numpy())


def test_a_model_that_was_fitted_with_a_generator_can_be_copied():
    import copy

    model = made()
    model.fit(generated(), verbose=0)
    assert copy.deepcopy(model).loop_source() == model.loop_source()
