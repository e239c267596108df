"""am.Input((None,)): functional models of sequences of any length and images of any size, against
PyTorch with the same weights."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch

import ambos as am
import ambos.nn.functional as F
from ambos import nn
from ambos.core.errors import ArgumentError, ShapeError

STREAM = np.random.RandomState(0)
LENGTHS = (9, 4, 30)


def words(length, rows=3):
    return STREAM.randint(0, 20, (rows, length))


def text():
    """A model of text of any length: layers, and operations between them on its length."""
    am.manual_seed(0)
    given = am.Input((None,), dtype="int64", name="words")
    states, (last, _) = nn.LSTM(8, 6, batch_first=True)(nn.Embedding(20, 8)(given))
    length = given.shape[1]
    known = (given != 0)[:, :, None]
    average = (states * known).sum(1) / length + states[:, -1] * (length // 2) ** -0.5
    features = nn.Conv1d(6, 5, 3)(states.transpose(1, 2))
    parts = [average, F.relu(features).amax(2), nn.AdaptiveAvgPool1d(2)(features).flatten(1)]
    place = (states * am.arange(length)[:, None] / (length - 1)).mean(1)
    return am.Model(given, nn.Linear(39, 2)(am.concatenate([*parts, place, last[0], last[0]], 1)))


class Text(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(20, 8)
        self.lstm = torch.nn.LSTM(8, 6, batch_first=True)
        self.conv1d, self.linear = torch.nn.Conv1d(6, 5, 3), torch.nn.Linear(39, 2)

    def forward(self, given):
        states, (last, _) = self.lstm(self.embedding(given))
        length = given.shape[1]
        known = (given != 0)[:, :, None]
        average = (states * known).sum(1) / length + states[:, -1] * (length // 2) ** -0.5
        features = self.conv1d(states.transpose(1, 2))
        pooled = torch.nn.functional.adaptive_avg_pool1d(features, 2).flatten(1)
        place = (states * torch.arange(length)[:, None] / (length - 1)).mean(1)
        parts = [average, features.relu().amax(2), pooled, place, last[0], last[0]]
        return self.linear(torch.cat(parts, 1))


def image():
    """A fully convolutional model with a way around, and what it says of the whole image."""
    am.manual_seed(1)
    given = am.Input((3, None, None))
    fine = F.relu(nn.Conv2d(3, 4, 3, padding=1)(given))
    deep = nn.BatchNorm2d(6)(nn.Conv2d(4, 6, 3, stride=2, padding=1)(fine))
    back = nn.ConvTranspose2d(6, 4, 2, stride=2)(deep) + fine
    mask = nn.Conv2d(4, 1, 1)(am.concatenate([back, fine], 1)[:, :4])
    whole = nn.AdaptiveAvgPool2d((1, 1))(deep).flatten(1) + deep.mean((2, 3)) + deep.amax((2, 3))
    return am.Model(given, [mask, nn.Linear(6, 2)(whole)])


class Image(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv2d = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.conv2d_1 = torch.nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.batch_norm2d = torch.nn.BatchNorm2d(6)
        self.conv_transpose2d = torch.nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.conv2d_2, self.linear = torch.nn.Conv2d(4, 1, 1), torch.nn.Linear(6, 2)

    def forward(self, given):
        fine = self.conv2d(given).relu()
        deep = self.batch_norm2d(self.conv2d_1(fine))
        back = self.conv_transpose2d(deep) + fine
        whole = 2 * deep.mean((2, 3)) + deep.amax((2, 3))
        return self.conv2d_2(back), self.linear(whole)


CASES = {
    "text": (text, Text, [words(length) for length in LENGTHS]),
    "image": (image, Image, [STREAM.rand(2, 3, *size).astype("f") for size in ((8, 8), (12, 6))]),
}


@pytest.mark.parametrize("case", CASES)
def test_it_computes_what_pytorch_does_for_any_size(case, tmp_path):
    made, twin, batches = CASES[case]
    model, oracle = made(), twin().eval()
    state = {name: torch.tensor(value.numpy()) for name, value in model.state_dict().items()}
    oracle.load_state_dict(state)
    others = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    others.append(am.Model.load(model.save(tmp_path / "model")))
    for batch in batches:
        with torch.no_grad():
            wanted = oracle(torch.tensor(batch))
        found = model.predict(batch)
        pairs = zip(found, wanted, strict=True) if case == "image" else [(found, wanted)]
        for mine, other in pairs:
            np.testing.assert_allclose(mine, other.numpy(), rtol=2e-5, atol=2e-6)
        for one in others:
            again = one.predict(batch)
            for a, b in zip(found, again, strict=True):
                np.testing.assert_array_equal(a, b)


def test_batches_of_different_lengths_train_as_in_pytorch():
    model, oracle = text(), Text()
    state = {name: torch.tensor(value.numpy()) for name, value in model.state_dict().items()}
    oracle.load_state_dict(state)
    batches = [(words(length), STREAM.randint(0, 2, 3)) for length in LENGTHS]
    model.compile(am.optim.SGD(lr=0.1), "cross_entropy", metrics=["accuracy"])
    model.fit(batches, epochs=2, shuffle=False, verbose=0)
    update = torch.optim.SGD(oracle.parameters(), 0.1)
    for x, y in batches * 2:
        update.zero_grad()
        torch.nn.functional.cross_entropy(oracle(torch.tensor(x)), torch.tensor(y)).backward()
        update.step()
    for name, value in oracle.state_dict().items():
        np.testing.assert_allclose(
            model.state_dict()[name].numpy(), value.numpy(), rtol=1e-4, atol=1e-5, err_msg=name
        )
    with torch.no_grad():
        losses = [torch.nn.functional.cross_entropy(oracle(torch.tensor(x)), torch.tensor(y)).item()
                  for x, y in batches]  # fmt: skip
    assert model.evaluate(batches)["loss"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_what_cannot_say_that_it_needs_a_number_names_the_size():
    with pytest.raises(TypeError, match="Size is not JSON serializable"):
        json.dumps({"length": am.Input((None,)).shape[1]})


def test_it_is_described_with_an_example_of_its_size(capsys):
    model = text()
    model.summary()
    model.summary((12,))
    shown = capsys.readouterr().out
    assert shown.count("(N, 12, 8)") == 1
    assert shown.count("(N, L, 8)") == 1
    assert "224" not in shown
    with pytest.raises(ArgumentError, match=r"such as plot_model\(model, \(32,\)\)"):
        am.plot_model(model, to_file=None)
    model.compile("sgd", "cross_entropy")
    model.fit(words(7), np.zeros(3, int), verbose=0)
    model.summary()
    assert "(N, L, 8)" in capsys.readouterr().out
    assert "(N, 12, 8)" in am.plot_model(model, (12,), to_file=None).svg


def test_two_inputs_have_lengths_of_their_own():
    am.manual_seed(0)
    queries, keys = am.Input((None, 8), name="queries"), am.Input((None, 8), name="keys")
    found, weights = nn.MultiheadAttention(8, 2, batch_first=True)(queries, keys, keys)
    assert found.shape == queries.shape
    model = am.Model([queries, keys], [found + queries, weights.sum(1) / keys.shape[1]])
    for copied in (model, pickle.loads(pickle.dumps(model))):
        for lengths in ((4, 6), (5, 5), (7, 2)):
            given = [STREAM.rand(2, length, 8).astype("f") for length in lengths]
            result, rates = copied(*map(am.tensor, given))
            assert result.shape == given[0].shape
            assert rates.shape == (2, lengths[1])
    with pytest.raises(ArgumentError, match=r"L == L needs a number"):
        queries + keys


def test_what_comes_out_alike_of_many_sizes_is_of_its_own():
    """Whatever the numbers are that stand for both lengths: their last bits are alike often."""
    for _ in range(8):
        first, second = am.Input((None,)), am.Input((None,))
        bits = first.sum(1) * (first.shape[1] & 3), second.sum(1) * (second.shape[1] & 3)
        found = am.Model([first, second], bits)(am.ones(1, 6), am.ones(1, 9))
        assert [part.item() for part in found] == [12, 9]


def test_what_is_not_known_is_said_in_shapes():
    x = am.Input((3, None, None))
    y = nn.Conv2d(3, 4, 3)(x)
    assert (str(x.shape), str(y.shape)) == ("(N, 3, L1, L2)", "(N, 4, M, M)")
    assert nn.Conv2d(3, 4, 3, padding=1)(x).shape == (x.shape[0], 4, *x.shape[2:])
    assert str(x.flatten(2).shape) == "(N, 3, L1 * L2)"
    assert str(x[:, :, 1:-1, ::2].shape) == "(N, 3, L1 - 2, L2 - (L2 // 2))"


MISTAKES = {
    "zero": (lambda x: am.Input((0, None)), "need the sizes of one example"),
    "text": (lambda x: am.Input(("n",)), "None for one that varies"),
    "weights": (lambda x: nn.LazyLinear(2)(x.flatten(1)), "L was taken for 192"),
    "rank": (lambda x: am.Model(x, x * 2)(am.ones(2, 3)), r"is \(2, 3\); need \(N, L, 3\)"),
    "others": (lambda x: am.Model(x, x * 2)(am.ones(2, 5, 4)), r"need \(N, L, 3\)"),
    "odd": (
        lambda x: am.Model(x, Doubled()(x) + x)(am.ones(2, 5, 3)),
        r"expand, drawn as \(N, L, 3\) of \(N, M, 3\), gets \(2, 4, 3\)",
    ),
    "loop": (lambda x: sum(x[:, i] for i in range(x.shape[1])), "sizes that are None"),
    "topk": (lambda x: am.ones(10).topk(x.shape[1]), "topk of L on an axis of 10 needs a number"),
    "row": (lambda x: am.ones(10, 2)[x.shape[1]], r"x\[L\] on an axis of 10 needs a number"),
    "digits": (lambda x: f"{x.shape[1]:d}", r"format\(L, 'd'\) needs a number"),
    "kernel": (lambda x: nn.Conv1d(3, 4, x.shape[1]), "needs a number"),
    "shift": (lambda x: 1 << x.shape[1], "1 << L needs a number"),
    "complex": (lambda x: x.shape[1] * 1j, "L with 1j needs a number"),
    "short": (
        lambda x: am.Model(x, x[:, -5:])(am.ones(2, 3, 3)),
        r"slice, drawn as \(N, 5, 3\) of \(N, L, 3\), gets \(2, 3, 3\): .* in a module's forward",
    ),
    "one example": (
        lambda x: am.Model(x, x * 2).predict(np.ones((4, 3))),
        r"is \(4, 3\); need \(N, L, 3\): a batch; one example is x\[None\]",
    ),
    "resized": (
        lambda x: F.interpolate(x, x.shape[1] + 1), r"here .*; layers do this: nn.Upsample"
    ),
    "no layer": (
        lambda x: am.Model(x, x * nn.Conv1d(3, 4, 3)(x.transpose(1, 2)).shape[2])(am.ones(2, 5, 3)),
        "of the result of a layer that it does not need",
    ),
    "evaluated": (
        lambda x: am.ones(10, 2)[: x.shape[1]].sum().item(), "the value of slice, made of .* needs"
    ),
    "another": (
        lambda x: am.Model(x, x * am.Input((None,)).shape[1])(am.ones(2, 5, 3)),
        "the size L of an am.Input that is not among the inputs",
    ),
}  # fmt: skip


class Doubled(nn.Module):
    def forward(self, x):
        return x[:, : x.shape[1] // 2].repeat(1, 2, 1)


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named(case):
    do, message = MISTAKES[case]
    with pytest.raises((ArgumentError, ShapeError), match=message):
        do(am.Input((None, 3)))
