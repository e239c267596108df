"""Random tensors: streams, keys, distributions, against SciPy's tests."""

import sys
import threading

import numpy as np
import pytest
from scipy import stats

import ambos as am
from ambos.core.errors import ArgumentError, DTypeError

KEY = am.random.key(1234)


def test_the_global_stream_starts_again():
    am.manual_seed(3)
    first = [am.rand(4).tolist(), am.randn(4).tolist(), am.randint(0, 9, (4,)).tolist()]
    am.manual_seed(3)
    assert first == [am.rand(4).tolist(), am.randn(4).tolist(), am.randint(0, 9, (4,)).tolist()]
    assert am.rand(4).tolist() != am.rand(4).tolist()


def test_state_can_be_kept():
    generator = am.Generator(5)
    am.rand(2, generator=generator)
    state = generator.get_state()
    a = am.rand(2, generator=generator).tolist()
    generator.set_state(state)
    assert am.rand(2, generator=generator).tolist() == a
    assert generator.initial_seed() == 5


@pytest.fixture
def switching():
    """Threads take over from each other as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching")
@pytest.mark.parametrize("how", ["as met", "recorded", "refused"])
def test_threads_share_the_stream_and_no_number_is_drawn_twice(how):
    """Together they draw what one thread draws alone; refused recordings lose numbers at most."""

    def draws():
        def twice():
            first = am.rand(3)
            if how == "refused":
                with pytest.raises(am.errors.TracingError):
                    first.numpy()
                raise KeyError
            return am.stack([first, am.rand(3)])

        if how == "as met":
            return lambda: [am.rand(3), am.rand(3)]
        call = am.jit(twice)
        if how == "recorded":
            return lambda: [*call()]

        def refused():
            with pytest.raises(KeyError):
                call()
            return [am.rand(3), am.rand(3)]

        return refused

    def drawn(draw, count, found):
        found.extend(row.numpy().tobytes() for _ in range(count) for row in draw())

    am.manual_seed(5)
    alone = []
    drawn(draws(), 40, alone)
    am.manual_seed(5)
    found, draw = [], [draws() for _ in range(4)]
    threads = [threading.Thread(target=drawn, args=(each, 10, found)) for each in draw]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == len(set(found)) == 80
    if how != "refused":
        assert set(found) == set(alone)


def test_keys_are_data():
    node = am.rand(3)._node
    names = set()
    while node.inputs:
        names.add(node.op.name)
        node = node.inputs[0]
    assert node.op.name == "data"
    assert node.dtype is am.uint32


def test_keys_split():
    keys = am.random.split(KEY, 3)
    assert keys.shape == (3, 2)
    assert len({tuple(k) for k in keys.tolist()}) == 3
    a = am.random.normal(keys[0], (3,)).tolist()
    assert a == am.random.normal(keys[0], (3,)).tolist()
    assert a != am.random.normal(keys[1], (3,)).tolist()
    folded = {tuple(am.random.fold_in(KEY, i).tolist()) for i in range(5)}
    assert len(folded) == 5


def test_uniform_is_uniform():
    x = am.random.uniform(KEY, (20000,)).numpy()
    assert 0 <= x.min() <= x.max() < 1
    assert stats.kstest(x, "uniform").pvalue > 0.01
    y = am.random.uniform(KEY, (2000,), -2, 3).numpy()
    assert stats.kstest((y + 2) / 5, "uniform").pvalue > 0.01
    assert am.rand(2, dtype=am.float64).dtype is am.float64
    assert am.rand(100, dtype=am.float16).dtype is am.float16


def test_normal_is_normal():
    x = am.random.normal(KEY, (20000,)).numpy()
    assert stats.kstest(x, "norm").pvalue > 0.01
    y = am.random.normal(KEY, (5000,), 3.0, 0.5, am.float64).numpy()
    assert stats.kstest((y - 3) / 0.5, "norm").pvalue > 0.01


def test_bernoulli():
    x = am.random.bernoulli(KEY, 0.3, (20000,))
    assert x.dtype is am.bool_
    assert abs(x.float().mean().item() - 0.3) < 0.02
    p = am.tensor([0.0, 1.0])
    assert am.random.bernoulli(KEY, p).tolist() == [False, True]


@pytest.mark.parametrize(("low", "high"), [(0, 6), (-3, 4), (0, 1), (5, 1 << 33), (-(1 << 62), 1)])
def test_integers_cover_their_range(low, high):
    x = am.random.integers(KEY, low, high, (6000,)).numpy()
    assert x.dtype == np.int64
    assert low <= x.min() <= x.max() < high
    if high - low <= 10:
        counts = np.bincount(x - low, minlength=high - low)
        assert high - low == 1 or stats.chisquare(counts).pvalue > 0.01
    else:
        scaled = (x.astype(float) - low) / (high - low)
        assert stats.kstest(scaled, "uniform").pvalue > 0.01


def test_multiply_high_is_exact():
    """floor(word * span / 2**64) in arbitrary precision."""
    from ambos.ops import random as draws
    from ambos.tensor.handle import wrap

    for span in (6, (1 << 32) + 12345, (1 << 63) - 25):
        found = am.random.integers(KEY, 0, span, (50,)).tolist()
        words = wrap(draws.bits(KEY._node, (2, 50))).tolist()
        expected = [((h << 32 | lo) * span) >> 64 for h, lo in zip(*words, strict=True)]
        assert found == expected


def test_permutations():
    x = am.randperm(100).tolist()
    assert sorted(x) == list(range(100))
    assert x != list(range(100))
    y = am.random.permutation(KEY, am.arange(10) * 2).tolist()
    assert sorted(y) == list(range(0, 20, 2))


def test_choice():
    x = am.random.choice(KEY, 5, (1000,), p=am.tensor([0.5, 0.0, 0.25, 0.25, 0.0])).numpy()
    counts = np.bincount(x, minlength=5)
    assert counts[1] == counts[4] == 0
    assert stats.chisquare(counts[[0, 2, 3]], [500, 250, 250]).pvalue > 0.01
    y = am.random.choice(KEY, 10, (10,), replace=False).tolist()
    assert sorted(y) == list(range(10))
    with pytest.raises(ArgumentError, match="11 of 10 without replacement"):
        am.random.choice(KEY, 10, (11,), replace=False)


def test_multinomial():
    w = am.tensor([[1.0, 0.0, 3.0], [0.0, 1.0, 1.0]])
    x = am.multinomial(w, 2000, replacement=True).numpy()
    assert x.shape == (2, 2000)
    assert stats.chisquare(np.bincount(x[0], minlength=3)[[0, 2]], [500, 1500]).pvalue > 0.01
    assert sorted(am.multinomial(w, 2)[0].tolist()) == [0, 2]


def test_weights_that_nothing_can_be_drawn_by_are_refused():
    def draw(weights, count=2, replacement=False):
        return am.multinomial(am.tensor(weights), count, replacement)

    for wrong in ([1.0, -1.0], [1.0, float("nan")], [1.0, float("inf")]):
        with pytest.raises(ArgumentError, match="negative, infinite or NaN"):
            draw(wrong, 1)
    with pytest.raises(ArgumentError, match="a row has fewer than 2 weights above 0"):
        draw([[1.0, 1.0], [0.0, 1.0]])
    with pytest.raises(ArgumentError, match="a row has fewer than 1 weights above 0"):
        draw([0.0, 0.0], replacement=True)
    with pytest.raises(ArgumentError, match="3 of 2 without replacement"):
        draw([1.0, 1.0], 3)
    with pytest.raises(DTypeError, match="got int64"):
        draw([1, 1])
    recorded = am.jit(lambda weights: am.multinomial(weights, 1))
    assert recorded(am.tensor([0.0, 2.0])).tolist() == [1]
    with pytest.raises(ArgumentError, match="as many as are drawn, and none negative"):
        recorded(am.tensor([0.0, -2.0]))


def test_weights_of_half_precision_are_drawn_by_as_exactly():
    w = am.ones(5000, dtype=am.bfloat16)
    assert len(set(am.multinomial(w, 2000, replacement=True).tolist())) > 1500


def test_in_place_draws():
    x = am.zeros(1000)
    x.normal_(2.0, 0.1)
    assert abs(x.mean().item() - 2) < 0.02
    x.uniform_(-1, 0)
    assert -1 <= x.min().item() <= x.max().item() < 0
    x.bernoulli_(0.5)
    assert set(x.tolist()) == {0.0, 1.0}


def test_randint_takes_torchs_forms():
    assert am.randint(5, (2, 3)).shape == (2, 3)
    assert am.randint(2, 5, (3,)).dtype is am.int64
    assert am.randint(0, 5, size=(2,)).shape == (2,)
    assert am.randint(7, 8, (2,), dtype=am.float32).tolist() == [7.0, 7.0]
    with pytest.raises(ArgumentError, match="as float16; need a dtype that holds them all"):
        am.randint(1 << 12, (2,), dtype=am.float16)
    assert am.rand_like(am.zeros(2, 3)).shape == (2, 3)
    assert am.randn_like(am.zeros(2, dtype=am.float64)).dtype is am.float64
    assert am.randn(2, 3, requires_grad=True).is_leaf


def test_errors():
    with pytest.raises(DTypeError, match=r"the key is int64\[2\]; need uint32\[2\]"):
        am.random.uniform(am.tensor([1, 2]), (3,))
    with pytest.raises(ArgumentError, match="holds no numbers"):
        am.randint(3, 3, (2,))
    with pytest.raises(ArgumentError, match="as uint8; need a dtype that holds them all"):
        am.randint(0, 300, (2,), dtype=am.uint8)
    with pytest.raises(DTypeError, match="need a floating dtype"):
        am.rand(2, dtype=am.int32)
