"""Recurrent layers and cells against PyTorch: outputs, states and every gradient."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError, ArgumentTypeError, ShapeError, TracingError
from ambos.nn.utils import rnn
from ambos.runtime.loader import statistics

LENGTH, BATCH, INPUTS, WIDTH = 5, 3, 4, 6

LAYERS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "bias": False, "bidirectional": True}),
    ("GRU", {"num_layers": 2, "batch_first": True, "bidirectional": True}),
    ("GRU", {"bias": False}),
    ("LSTM", {}),
    ("LSTM", {"num_layers": 2, "proj_size": 2, "bidirectional": True}),
]


def twins(name, *sizes, **settings):
    """A layer of ours and PyTorch's with the same weights."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*sizes, **settings)
    ours = getattr(nn, name)(*sizes, **settings)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def close(ours, theirs, atol=2e-6):
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-5, atol=atol)


def numbers(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def flat(states):
    return list(states) if isinstance(states, tuple) else [states]


def loss(y, states):
    """All results, no two of their numbers with one weight."""
    return sum((part * part * (number + 1)).sum() for number, part in enumerate([y, *states]))


def compare_training(ours, theirs, results, others, inputs):
    """Outputs, then gradients of parameters and `inputs` (pairs)."""
    for part, other in zip(results, others, strict=True):
        assert part.shape == tuple(other.shape)
        close(part, other)
    loss(results[0], results[1:]).backward()
    loss(others[0], others[1:]).backward()
    for (name, parameter), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert parameter.grad is not None, name
        close(parameter.grad, other.grad, atol=2e-5)
    for mine, other in inputs:
        close(mine.grad, other.grad, atol=2e-5)


def leaves(*arrays):
    pairs = [
        (am.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)) for a in arrays
    ]
    return pairs, *zip(*pairs, strict=True)


def first_states(layer, batch, lone=False):
    count = layer.num_layers * (1 + layer.bidirectional)
    sizes = [layer.proj_size or WIDTH, WIDTH][: layer.unit.num_states]
    return [numbers(count, *([] if lone else [batch]), n, seed=k) for k, n in enumerate(sizes)]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(("name", "settings"), LAYERS)
def test_layer(name, settings):
    ours, theirs = twins(name, INPUTS, WIDTH, **settings)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours) == repr(theirs)
    shape = (BATCH, LENGTH) if settings.get("batch_first") else (LENGTH, BATCH)
    pairs, mine, other = leaves(numbers(*shape, INPUTS), *first_states(ours, BATCH))
    several = ours.unit.num_states > 1
    y, state = ours(mine[0], mine[1:] if several else mine[1])
    t, last = theirs(other[0], other[1:] if several else other[1])
    compare_training(ours, theirs, [y, *flat(state)], [t, *flat(last)], pairs)


@pytest.mark.parametrize("name", ["GRU", "LSTM"])
def test_packed_sequences_in_any_order(name):
    ours, theirs = twins(name, INPUTS, WIDTH, num_layers=2, bidirectional=True)
    lengths = [2, 5, 3]
    pairs, mine, other = leaves(numbers(LENGTH, BATCH, INPUTS), *first_states(ours, BATCH))
    several = ours.unit.num_states > 1
    packed = rnn.pack_padded_sequence(mine[0], lengths, enforce_sorted=False)
    expected = torch.nn.utils.rnn.pack_padded_sequence(other[0], lengths, enforce_sorted=False)
    for part, wanted in zip(packed, expected, strict=True):
        assert part.tolist() == wanted.tolist()
    y, state = ours(packed, mine[1:] if several else mine[1])
    t, last = theirs(expected, other[1:] if several else other[1])
    padded, sizes = rnn.pad_packed_sequence(y, padding_value=-1.0, total_length=7)
    wide, counts = torch.nn.utils.rnn.pad_packed_sequence(t, padding_value=-1.0, total_length=7)
    assert sizes.tolist() == counts.tolist() == lengths
    compare_training(ours, theirs, [padded, *flat(state)], [wide, *flat(last)], pairs)


def test_what_is_packed_may_be_jitted():
    layer = nn.GRU(INPUTS, WIDTH)
    x = am.tensor(numbers(LENGTH, BATCH, INPUTS))
    run = am.jit(lambda packed: layer(packed)[0].data)
    for lengths in ([2, 5, 3], [4, 4, 1]):
        packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        assert am.array_equal(run(packed), layer(packed)[0].data)


@pytest.mark.parametrize("sizes", [[5, 3, 2], (5, 3, 2)])
def test_packing_under_jit_names_what_it_needs(sizes):
    layer, x = nn.GRU(INPUTS, WIDTH), am.tensor(numbers(LENGTH, BATCH, INPUTS))
    pack = rnn.pack_padded_sequence
    expected = layer(pack(x, sizes))[1]
    run = am.jit(lambda x: layer(pack(x, sizes, enforce_sorted=False))[1])
    assert am.array_equal(run(x), expected)
    with pytest.raises(TracingError, match=r"PackedSequence: .*enforce_sorted=False"):
        am.jit(lambda packed: layer(packed)[1])(pack(x, sizes))
    with pytest.raises(TracingError, match=r"pack_padded_sequence: lengths.*enforce_sorted=False"):
        am.jit(lambda x, lengths: layer(pack(x, lengths))[1])(x, am.tensor(sizes))


def test_a_sequence_alone_is_a_batch_of_one():
    layer, x = nn.LSTM(INPUTS, WIDTH, batch_first=True), am.tensor(numbers(LENGTH, INPUTS))
    h, c = (am.tensor(numbers(1, WIDTH, seed=k)) for k in range(2))
    y, (last, cell) = layer(x, (h, c))
    batch, (lasts, cells) = layer(x[None], (h[:, None], c[:, None]))
    assert y.shape == (LENGTH, WIDTH)
    for alone, among in ((y, batch[0]), (last, lasts[:, 0]), (cell, cells[:, 0])):
        assert am.array_equal(alone, among)


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cell(name):
    ours, theirs = twins(name, INPUTS, WIDTH)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    count = ours.unit.num_states
    pairs, mine, other = leaves(
        numbers(BATCH, INPUTS), *(numbers(BATCH, WIDTH, seed=k) for k in range(count))
    )
    new = flat(ours(mine[0], mine[1:] if count > 1 else mine[1]))
    wanted = flat(theirs(other[0], other[1:] if count > 1 else other[1]))
    compare_training(ours, theirs, new, wanted, pairs)
    close(flat(ours(mine[0]))[0], flat(theirs(other[0]))[0])


def test_dropout_acts_between_layers_in_training_only():
    x = am.tensor(numbers(LENGTH, BATCH, INPUTS))
    layer = nn.RNN(INPUTS, WIDTH, num_layers=2, dropout=0.5)
    am.manual_seed(0)
    first, second = layer(x)[0], layer(x)[0]
    assert not am.array_equal(first, second)
    layer.eval()
    assert am.array_equal(layer(x)[0], layer(x)[0])
    with pytest.warns(UserWarning, match="acts between layers"):
        nn.RNN(INPUTS, WIDTH, dropout=0.5)


def test_a_new_length_compiles_nothing():
    layer = nn.LSTM(INPUTS, WIDTH)
    run = am.jit(lambda x: layer(x)[0])
    for length in (6, 7):
        run(am.zeros(length, 2, INPUTS)).numpy()
    compiled = statistics.compiled
    assert run(am.zeros(50, 2, INPUTS)).shape == (50, 2, WIDTH)
    assert statistics.compiled == compiled


def test_examples_by_vmap_are_a_batch():
    layer = nn.GRU(INPUTS, WIDTH)
    x = am.tensor(numbers(LENGTH, BATCH, INPUTS))
    each = am.vmap(lambda one: layer(one)[0], in_axes=1, out_axes=1)(x)
    np.testing.assert_allclose(each.numpy(), layer(x)[0].numpy(), rtol=1e-5, atol=1e-6)


def test_padding_of_sequences():
    mine = [am.tensor(numbers(n, 2, seed=n)) for n in (2, 4, 1)]
    theirs = [torch.tensor(part.numpy()) for part in mine]
    for side in ("right", "left"):
        for batch_first in (False, True):
            found = rnn.pad_sequence(mine, batch_first, -1.0, side)
            wanted = torch.nn.utils.rnn.pad_sequence(theirs, batch_first, -1.0, side)
            assert found.tolist() == wanted.tolist()
    back = rnn.unpack_sequence(rnn.pack_sequence(mine, enforce_sorted=False))
    assert [part.tolist() for part in back] == [part.tolist() for part in mine]


def test_what_does_not_fit_is_told():
    layer = nn.LSTM(INPUTS, WIDTH, num_layers=2)
    x, h = am.zeros(LENGTH, BATCH, INPUTS), am.zeros(2, BATCH, WIDTH)
    with pytest.raises(ShapeError, match=r"input_size=4; use nn.LSTM\(7, 6, ...\)"):
        layer(am.zeros(LENGTH, BATCH, 7))
    with pytest.raises(ShapeError, match=r"c_0 is \(1, 3, 6\); need \(2, 3, 6\)"):
        layer(x, (h, am.zeros(1, BATCH, WIDTH)))
    with pytest.raises(ArgumentTypeError, match="need a pair"):
        layer(x, h)
    with pytest.raises(ShapeError, match="no step"):
        layer(x[:0])
    with pytest.raises(ArgumentError, match="less than hidden_size"):
        nn.LSTM(INPUTS, WIDTH, proj_size=WIDTH)
    with pytest.raises(ArgumentError, match="'tanh' or 'relu'"):
        nn.RNN(INPUTS, WIDTH, nonlinearity="gelu")
    with pytest.raises(ShapeError, match=r"\(3, 5\); need \(3, 6\)"):
        nn.GRUCell(INPUTS, WIDTH)(x[0], am.zeros(BATCH, 5))
    with pytest.raises(ArgumentError, match="enforce_sorted=False"):
        rnn.pack_padded_sequence(x, [1, 2, 3])
    with pytest.raises(ArgumentError, match="integers from 1 to 5"):
        rnn.pack_padded_sequence(x, [6, 2, 0])
    with pytest.raises(ShapeError, match="sequence 1 is"):
        rnn.pad_sequence([x[0], am.zeros(2, 9)])
    assert layer(x)[0].shape == (LENGTH, BATCH, WIDTH)  # and all goes on


RESULTS = {
    "LSTM": lambda x: nn.LSTM(6, 4, batch_first=True)(x),
    "GRU": lambda x: nn.GRU(6, 4, batch_first=True)(x),
    "attention": lambda x: nn.MultiheadAttention(6, 2, batch_first=True)(x, x, x),
    "alone": lambda x: nn.MultiheadAttention(6, 2)(x, x, x, need_weights=False),
}


@pytest.mark.parametrize("made", RESULTS.values(), ids=RESULTS)
def test_output_and_state_in_place_of_the_output(made):
    result = made(am.ones(2, 3, 6))
    for taken in (
        nn.Linear(4, 1), nn.LazyLinear(1), nn.Conv1d(3, 1, 1), nn.Flatten(), nn.LSTM(4, 2),
        am.relu, am.sum, am.tensor, lambda x: am.matmul(x, x), lambda x: nn.MSELoss()(x, result[0]),
        lambda x: result[0] + x,
    ):  # fmt: skip
        with pytest.raises(ShapeError, match=r"got a tuple of 2: \(2, 3, .*self\.lstm\(x\)\[0\]"):
            taken(result)
    with pytest.raises(ShapeError, match="got a tuple of 2"):
        nn.Linear(4, 1)(made(am.Input((3, 6))))


@pytest.mark.filterwarnings("error")
def test_a_recurrent_layer_before_others_in_a_sequence():
    model = am.Sequential([nn.Embedding(9, 6), nn.LSTM(6, 4, batch_first=True), nn.Linear(4, 1)])
    model.compile("adam", "mse")
    with pytest.raises(ShapeError, match=r"got a tuple of 2: \(2, 3, 4\), tuple; .*'2', Linear"):
        model.fit(np.ones((2, 3), np.int64), np.ones((2, 3, 1), np.float32), verbose=0)
