"""eval_shape and make_graph: nothing is computed, and everything stays as it was."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from ambos.core.errors import ArgumentError, ShapeError, TracingError
from ambos.runtime.memory import statistics
from ambos.tensor.ledger import ledger


@am.tree.register_dataclass
@dataclasses.dataclass
class Pair:
    a: object
    b: object


def training():
    net = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3))
    optimizer = optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)

    def step(x, y):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss, "n": 3}

    return net, optimizer, step


@pytest.mark.parametrize(
    "function",
    [
        lambda np, x, y: x @ y,
        lambda np, x, y: {"sum": x.sum(), "max": (y.max(axis=0), None)},
        lambda np, x, y: np.where(x > 0, x, 0)[None, :, ::2],
        lambda np, x, y: [np.argmax(x, axis=1), np.concatenate([x, x], axis=0)],
    ],
)
def test_shapes_are_jax_s(function):
    found = am.eval_shape(lambda x, y: function(am, x, y), am.ShapeDtype((4, 6)),
                          am.ShapeDtypeStruct((6, 5), "float32"))  # fmt: skip
    expected = jax.eval_shape(
        lambda x, y: function(jnp, x, y),
        jax.ShapeDtypeStruct((4, 6), np.float32), jax.ShapeDtypeStruct((6, 5), np.float32),
    )  # fmt: skip
    ours, theirs = am.tree.leaves(found), jax.tree.leaves(expected)
    assert [spec.shape for spec in ours] == [spec.shape for spec in theirs]
    assert str(am.tree.structure(found)) == str(am.tree.structure(expected))


def test_nothing_is_computed_or_allocated():
    before, live = ledger.count, statistics.live_bytes
    huge = am.ShapeDtype((1 << 20, 1 << 18))
    found = am.eval_shape(lambda p: Pair((p.a @ p.a.T).exp(), p.b + 1), Pair(huge, 2))
    assert found == Pair(am.ShapeDtype((1 << 20, 1 << 20)), 3)
    text = am.make_graph(lambda p: p.a.sum(axis=1))(Pair(huge, 2))
    assert "(p.a: float32[1048576, 262144])" in text
    assert ledger.count == before
    assert statistics.live_bytes <= live + 1000


def test_a_training_step_leaves_everything_as_it_was():
    net, optimizer, step = training()
    x, y = am.ShapeDtype((16, 8)), am.ShapeDtype((16,), "int64")
    before = {k: v.numpy().tobytes() for k, v in net.state_dict().items()}
    spec = am.eval_shape(step, x, y)
    assert spec == {"loss": am.ShapeDtype(()), "n": 3}
    text = am.make_graph(step)(x, y)
    assert {k: v.numpy().tobytes() for k, v in net.state_dict().items()} == before
    assert not optimizer.state
    assert all(p.grad is None for p in net.parameters())
    assert "net.0.weight: float32[32, 8]  from outside" in text
    assert "net.1.running_mean <- %" in text
    assert "net.0.weight.grad <- %" in text
    assert text.endswith("}")
    assert am.eval_shape(am.jit(step), x, y) == spec
    data = am.rand(16, 8), am.tensor([n % 3 for n in range(16)])
    step(*data)
    warm = am.make_graph(step)(*data)
    assert "optimizer.state[net.0.weight]['momentum_buffer'] <- %" in warm
    assert "python 1: float64[]" in warm  # the learning rate
    assert "test_dry.py:" in warm
    assert "contract(x, net.0.weight) (m0 k, n k -> m0 n)" in warm


def test_random_streams_go_on_as_if_nothing_had_run():
    am.manual_seed(3)
    expected = am.rand(3).tolist()
    am.manual_seed(3)
    am.eval_shape(lambda: am.rand(7))
    assert am.rand(3).tolist() == expected


def test_graphs_of_control_flow():
    def rnn(w, xs):
        def cell(h, x):
            h = (h @ w + x).tanh()
            return h, am.cond(h.sum() > 0, lambda: h * 2, lambda: h)

        return am.scan(cell, am.zeros(3), xs)

    text = am.make_graph(rnn)(am.ones(3, 3), am.ShapeDtype((10, 3)))
    lines = [line.partition("  test_dry.py:")[0].rstrip() for line in text.splitlines()]
    assert lines[0] == "rnn(w: float32[3, 3], xs: float32[10, 3])"
    assert "length=10" in lines[1]
    body = next(n for n, line in enumerate(lines) if line.startswith("  body("))
    inside = [line for line in lines[body + 1 :] if line.startswith("    ")]
    assert any("= tanh(" in line for line in inside)
    assert any(line.startswith("    branches[0](") for line in inside)
    assert any(line.startswith("      ") and "multiply" in line for line in inside)
    assert lines[-1].startswith("  return (")
    assert text.count("= scan(") == 1  # one statement for both results
    assert repr(text) == str(text)


def test_the_names_are_those_of_explain(capsys):
    def f(x):
        return (x.exp() + 1).sum()

    x = am.evaluate(am.rand(8))
    am.explain(f, x)
    explained = capsys.readouterr().out
    text = am.make_graph(f)(x)
    for name in ("exp", "add", "sum"):
        assert name in explained
        assert f"= {name}(" in text
    lines = {part for part in explained.split() if part.startswith("test_dry.py:")}
    assert lines
    assert all(line.rstrip(",") in text for line in lines)


def test_misuse_is_answered_and_leaves_no_trace():
    kept = []
    with pytest.raises(ShapeError):
        am.eval_shape(lambda x: x @ x, am.ShapeDtype((2, 3)))
    with pytest.raises(TracingError, match=r"^eval_shape: .*is looked at"):
        am.eval_shape(lambda x: 1 if x.sum() > 0 else 2, am.ShapeDtype((2, 3)))
    with pytest.raises(TracingError, match=r"^make_graph: .*keeps a tensor that it made"):
        am.make_graph(lambda x: kept.append(x * 2))(am.ones(2))
    with pytest.raises(TracingError, match=r"changes argument xs in place, now a list of 2, and w"):
        am.eval_shape(lambda xs: xs.append(1), [am.ShapeDtype((2,))])
    with pytest.raises(ArgumentError, match="eval_shape: got Tensor; need a function"):
        am.eval_shape(am.ones(2), am.ones(2))
    with pytest.raises(ArgumentError, match="make_graph: got int; need a function"):
        am.make_graph(3)
    assert (am.ones(3) + 1).tolist() == [2, 2, 2]
    assert am.jit(lambda x: x + 1)(am.ones(2)).tolist() == [2, 2]
