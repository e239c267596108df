"""What drawing a functional model takes for granted, and what it leaves behind: nothing."""

import copy
import pickle
import threading
from collections import deque

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn
from ambos.core.errors import ArgumentError, ShapeError
from ambos.tensor import live

STREAM = np.random.RandomState(0)


def test_comparisons_that_only_stand_ins_decide_are_refused():
    n = am.Input((5,)).shape[0]
    lengths = [am.Input((None,)).shape[1] for _ in range(4)]
    for answer in (
        lambda: (n + 3) // 16 == n // 16,
        lambda: (n + 1) // 11 == n // 11,
        *(lambda length=length: (length + 2) // 4 == length // 4 for length in lengths),
    ):
        with pytest.raises(ArgumentError, match="needs a number"):
            answer()


def test_chains_of_functions_on_unknown_sizes_may_be_deep():
    x = am.Input((None,))
    y = x
    for _ in range(80):
        y = y[:, 1:]
    assert str(y.shape) == "(N, L - 80)"
    data = STREAM.rand(2, 90).astype(np.float32)
    np.testing.assert_array_equal(am.Model(x, y)(am.tensor(data)).numpy(), data[:, 80:])
    images, kernel = am.Input((1, None)), am.zeros(1, 1, 3)
    z = images
    for _ in range(100):
        z = F.conv1d(F.pad(z, (1, 1)), kernel) + z
    assert str(z.shape) == "(N, 1, L)"
    n = x.shape[1]
    for _ in range(6):
        n = n - n // 2 + n % 3
    with pytest.raises(ArgumentError) as caught:
        range(n)
    assert len(str(caught.value)) < 1000


class Count(nn.Module):
    """All that a forward may leave in its module."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", am.zeros(()))
        self.rate, self.state, self.layer, self.calls = am.ones(2), None, None, 0

    def forward(self, x):
        self.seen.add_(x.shape[0])
        self.rate = self.rate * 2
        self.calls += 1
        if self.state is None:
            self.state = am.zeros(x.shape[0], 4)
        return x / self.seen + self.state


def test_drawing_leaves_a_module_as_it_was():
    x, module = am.Input((4,)), Count()
    model = am.Model(x, module(x))
    assert (module.seen.item(), module.calls, module.state) == (0, 0, None)
    assert module.rate.tolist() == [1, 1]
    assert model(am.ones(2, 4)).tolist() == [[0.5] * 4] * 2
    assert (module.seen.item(), module.calls, module.state.shape) == (2, 1, (2, 4))


class Notes(nn.Module):
    """Keeps what it saw, in all that Python has for that."""

    def __init__(self):
        super().__init__()
        self.seen, self.kept, self.kinds = [1], {"of": {"all": [am.zeros(2)]}}, {2}
        self.last, self.pair, self.me = deque([3], maxlen=2), ([], 4), None

    def forward(self, x):
        self.seen.append(x)
        self.kept["of"]["all"][0].add_(1)
        self.kept["of"]["all"] += [x.shape[0]]
        self.kept["new"] = self.kinds.pop()
        self.last.append(x)
        self.pair[0].insert(0, len(self.seen))
        self.me = self.kept["me"] = self.kept
        return x * len(self.seen)


def test_drawing_leaves_lists_and_dicts_as_they_were():
    x, module = am.Input((None,)), Notes()
    first = module.kept["of"]["all"]
    y = module(x)
    assert (module.seen, module.kinds, [*module.last], module.pair) == ([1], {2}, [3], ([], 4))
    assert module.kept["of"]["all"] is first
    assert [*module.kept] == ["of"]
    assert len(first) == 1
    assert first[0].tolist() == [0, 0]
    assert module.me is None
    assert am.Model(x, y)(am.ones(1, 3)).tolist() == [[2.0] * 3]
    assert (module.pair, first[0].tolist(), first[1:]) == (([2], 4), [1, 1], [1])


class Built(nn.Module):
    """Makes its layer when it is called first."""

    def __init__(self):
        super().__init__()
        self.layer, self.is_built = None, False

    def forward(self, x):
        if not self.is_built:
            self.layer, self.is_built = nn.Linear(x.shape[1], 2), True
        return self.layer(x)


def test_layers_that_drawing_makes_stay():
    x, built = am.Input((4,)), Built()
    model = am.Model(x, nn.LazyBatchNorm1d()(nn.LazyLinear(4)(x)) + built(x).sum(1, keepdim=True))
    assert len([*model.parameters()]) == 6
    assert built.is_built
    assert model(am.ones(3, 4)).shape == (3, 4)


class Rows(nn.Module):
    def forward(self, x):
        noise = am.tensor(np.zeros(x.shape, np.float32))
        each = am.stack([x[i] * 2 for i in range(x.shape[0])])
        return am.stack([*each]) + noise, x[: x.shape[0] // 2]


def test_a_forward_may_go_over_its_rows():
    x = am.Input((4,))
    rows, half = Rows()(x)
    assert str(rows.shape) == "(N, 4)"
    assert str(half.shape) == "(M, 4)"
    for count in (1, 4, 7):
        found = am.Model(x, [rows, half])(am.ones(count, 4))
        assert [part.shape[0] for part in found] == [count, count // 2]


def test_inputs_of_one_length_are_saved_copied_and_checked(tmp_path):
    a = am.Input((None, 3), name="a")
    mask = am.Input((a.shape[1],), name="mask")
    square = am.Input((a.shape[0], a.shape[1] - 1), name="square")
    out = (a * mask[:, :, None]).sum(1) + square.sum((1, 2))[:, None]
    path = tmp_path / "model.ambos"
    for inputs in ([a, mask, square], [mask, square, a]):
        model = am.Model(inputs, out)
        given = {
            "a": am.ones(2, 5, 3), "mask": am.ones(2, 5), "square": am.ones(2, 2, 4)
        }  # fmt: skip
        model.save(path)
        for again in (model, am.Model.load(path), copy.deepcopy(model),
                      pickle.loads(pickle.dumps(model))):  # fmt: skip
            assert again(**given).tolist() == [[13.0] * 3] * 2
            with pytest.raises(ShapeError, match=r"input .*; need"):
                again(**(given | {"mask": am.ones(2, 4)}))


def test_inputs_that_differ_in_length_say_how_they_would_not():
    a, b = am.Input((None,)), am.Input((None,))
    with pytest.raises(ArgumentError, match=r"am.Input\(\(a.shape\[1\],\)\)"):
        a + b


class Steps(nn.Module):
    """A cell of one's own, called in a loop."""

    def forward(self, x):
        state = x[:, 0]
        for step in range(x.shape[1]):
            state = (state * 0.5 + x[:, step]).tanh()
        return state


def test_drawing_a_long_loop_looks_for_work_now_and_then(monkeypatch):
    """What was drawn cannot be computed; when there is much of it, it was tried for each step."""
    looked = []
    flush = live.flush
    monkeypatch.setattr(live, "flush", lambda: (looked.append(1), flush()))
    monkeypatch.setattr(live.settings, "limit", 200)
    shapes = []
    drawing = threading.Thread(  # in which nothing waits yet
        target=lambda: shapes.append(str(Steps()(am.Input((None, 4))).shape))
    )
    drawing.start()
    drawing.join()
    assert shapes == ["(N, 4)"]
    assert 0 < len(looked) < 100
