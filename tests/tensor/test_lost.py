"""Statements that change a view which nobody holds: PyTorch would change what it was taken from."""

import pytest

import ambos as am
from ambos.core.errors import ArgumentError
from ambos.tensor import lost

pytestmark = pytest.mark.skipif(not lost.LOST, reason="this interpreter does not count them all")


def x():
    return am.arange(12.0).reshape(3, 4)


LOST = {
    "add_": "t[0].add_(1)",
    "mul_": "t.T.mul_(2)",
    "zero_": "t.view(-1).zero_()",
    "fill_": "t[:, 1].fill_(3)",
    "copy_": "t[1].copy_(am.ones(4))",
    "clamp_": "t.unsqueeze(0).clamp_(min=1)",
    "relu_": "t.flatten().relu_()",
    "normal_": "t[:2].normal_(0, 0.02)",
    "uniform_": "t.T.uniform_(-1, 1)",
    "bernoulli_": "t[0].bernoulli_()",
    "exponential_": "t[0].exponential_()",
    "cauchy_": "t[0].cauchy_()",
    "log_normal_": "t[0].log_normal_()",
    "geometric_": "t[0].geometric_(0.5)",
    "random_": "t[0].random_(3)",
}


@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("name", LOST)
def test_a_change_that_nobody_gets(name, computed):
    t = x()
    if computed:
        am.evaluate(t)
    with pytest.raises(ArgumentError, match=rf"{name}: changes a view .* that nobody holds.*\+= 1"):
        exec(LOST[name])
    assert t.tolist() == x().tolist()


@pytest.mark.parametrize(
    "statement", ["t[0][1] = 5", "t.view(-1)[0] = 1", "t.T[0] = 1", "t[0][1:3] *= 2"]
)
def test_an_item_of_what_nobody_holds(statement):
    t = x()
    with pytest.raises(ArgumentError, match=r"changes a view .*: x\[0, 1\] = 5 for"):
        exec(statement)
    assert t.tolist() == x().tolist()


class Holder:
    def __init__(self):
        self.row = x()[0]
        self.rows = [x()[0], x()[1]]

    def get(self):
        return self.rows[1]

    @property
    def first(self):
        return self.rows[0]


def test_what_somebody_holds_or_gets_is_changed():
    t = x()
    row = t[0]
    row.add_(1)
    row[1] = 5
    assert row.tolist() == [1, 5, 3, 4]
    assert t[0].add_(1).tolist() == [1, 2, 3, 4]
    assert [part.mul_(2).tolist()[0] for part in (t[0], t[1])] == [0, 8]
    held = Holder()
    held.row.add_(1)
    held.row[0] = 7
    held.rows[0].mul_(2)
    held.rows[0][3] = 9
    held.first.add_(1)
    held.get().zero_()
    held.get()[2] = 1
    assert held.row.tolist() == [7, 2, 3, 4]
    assert [part.tolist() for part in held.rows] == [[1, 3, 5, 10], [0, 0, 1, 0]]
    cell = t[2]

    def inner():
        cell.add_(1)
        cell[0] = 0

    inner()
    assert cell.tolist() == [0, 10, 11, 12]
    for part in t.unbind():
        part.zero_()
        part[0] = 1
    (named := t[1]).mul_(2)
    assert named.tolist() == [8, 10, 12, 14]


def test_an_assignment_that_asks_for_the_views():
    rows = []
    rows[:] = map(am.Tensor.exp_, am.zeros(2, 3))
    rows[len(rows) :] = map(am.Tensor.normal_, (part for part in x()))
    rows.extend(map(am.Tensor.uniform_, x()))
    assert [row.shape for row in rows] == [(3,), (3,), *6 * [(4,)]]
    assert rows[0].tolist() == [1, 1, 1]


def test_what_reaches_the_tensor_is_left_alone():
    t = x()
    t[0] += 1
    t.data[1] = 0
    t.data.mul_(2)
    (t + 1).add_(1)
    t.clone()[0] = 1
    t[am.tensor([0, 1])].add_(1)  # a copy in PyTorch too
    assert t.tolist() == [[2, 4, 6, 8], [0, 0, 0, 0], [16, 18, 20, 22]]


def test_inside_a_recorded_function():
    @am.jit
    def step(t):
        row = t[0]
        row.add_(1)
        t[1] = row
        return t

    for _ in range(3):
        assert step(x())[1].tolist() == [1, 2, 3, 4]

    @am.jit
    def wrong(t):
        t[0].add_(1)
        return t

    with pytest.raises(ArgumentError, match="nobody holds"):
        wrong(x())
