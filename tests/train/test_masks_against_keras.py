"""Models behind `Embedding(mask_zero=True)`, written without masks, give Keras's numbers."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RANDOM = np.random.default_rng(0)
LENGTHS = np.array([7, 1, 4, 6, 2])
WORDS = np.where(np.arange(7) < LENGTHS[:, None], RANDOM.integers(1, 20, (5, 7)), 0)
KEPT = WORDS != 0


def masked(*layers):
    table = keras.layers.Embedding(20, 4, mask_zero=True)
    model = keras.Sequential([keras.Input((7,), dtype="int32"), table, *layers])
    return model, *map(np.array, model.get_weights())


class Texts(am.Model):
    """`how` makes one result of the words of each row."""

    def __init__(self, table, how, **layers):
        super().__init__()
        self.table, self.how = nn.Embedding(20, 4, padding_idx=0), how
        self.table.weight.data = am.tensor(table)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, words):
        return self.how(self, self.table(words), words)


def recurrent(weights, **more):
    """An LSTM with Keras's weights, of each direction."""
    layer = nn.LSTM(4, 3, batch_first=True, **more)
    for n, suffix in enumerate(["", "_reverse"][: len(weights) // 3]):
        inner, state, bias = weights[3 * n : 3 * n + 3]
        layer.get_parameter(f"weight_ih_l0{suffix}").data = am.tensor(inner.T.copy())
        layer.get_parameter(f"weight_hh_l0{suffix}").data = am.tensor(state.T.copy())
        layer.get_parameter(f"bias_ih_l0{suffix}").data = am.tensor(bias)
        layer.get_parameter(f"bias_hh_l0{suffix}").data = am.zeros(12)
    return layer


def agree(model, wanted):
    expected = wanted.predict(WORDS, verbose=0)
    np.testing.assert_allclose(model.predict(WORDS), expected, rtol=1e-5, atol=1e-6)


def test_the_state_at_the_end():
    wanted, table, *weights = masked(keras.layers.LSTM(3))

    def last(model, x, words):
        return model.lstm(x)[0][am.arange(len(words)), (words != 0).sum(1) - 1]

    agree(Texts(table, last, lstm=recurrent(weights)), wanted)


def test_the_mean_of_the_words():
    wanted, table = masked(keras.layers.GlobalAveragePooling1D())

    def mean(model, x, words):
        kept = words != 0
        return (x * kept[..., None]).sum(1) / kept.sum(1)[:, None]

    agree(Texts(table, mean), wanted)


def test_both_directions():
    layer = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))
    wanted, table, *weights = masked(layer)

    def both(model, x, words):
        lengths = (words != 0).sum(1)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(model.lstm(packed)[0], batch_first=True)[0]

    model = Texts(table, both, lstm=recurrent(weights, bidirectional=True))
    model.compile("sgd", "mse", jit=False)
    expected = wanted.predict(WORDS, verbose=0)
    found = model.predict(WORDS)
    np.testing.assert_allclose(found[KEPT], expected[KEPT], rtol=1e-5, atol=1e-6)
    assert not found[~KEPT].any()


def test_a_loss_at_every_step():
    wanted, table, *weights = masked(keras.layers.LSTM(3, return_sequences=True))
    goals = RANDOM.normal(size=(5, 7, 3)).astype(np.float32)
    wanted.compile("sgd", "mse")
    model = Texts(table, lambda model, x, words: model.lstm(x)[0], lstm=recurrent(weights))
    model.compile("sgd", "mse")
    found = model.evaluate(WORDS, goals, sample_weight=KEPT * (KEPT.size / KEPT.sum()))
    assert found["loss"] == pytest.approx(wanted.evaluate(WORDS, goals, verbose=0), rel=1e-5)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: nn.Embedding(9, 4, mask_zero=True), "padding_idx=0.*Rows of several lengths"),
        (lambda: nn.LSTM(4, 3)(am.ones(2, 3, 4), mask=am.ones(2, 3)), "pack_padded_sequence"),
        (lambda: nn.LSTM(4, 3, return_sequences=True), "gives both: outputs of every step"),
    ],
)
def test_errors_show_the_way(call, told):
    with pytest.raises(TypeError, match=told):
        call()
