"""Plans fitted to other sizes are the plans that these sizes get by themselves."""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from ambos.compiler.compiled import NOTHING_RENEWED, Compiled
from ambos.compiler.pipeline import compile_graph
from ambos.core.config import config
from ambos.core.open import Shut
from ambos.graph.node import Node, pending
from ambos.ops.control import with_insides
from ambos.runtime.executor import Executable
from ambos.runtime.machine import host_features
from ambos.tensor import fitting
from ambos.tensor.fitting import Opening, fit
from ambos.tensor.ledger import ledger
from tests.fuzz.graphs import graph
from tests.fuzz.operands import Draw

realizing = importlib.import_module("ambos.tensor.realize")


@pytest.fixture(autouse=True)
def forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_forms", OrderedDict())


def described(roots: Sequence[Node]):
    order = pending(roots)
    leaves, signature = realizing.sign(order)
    trail = {node: place for place, node in enumerate(with_insides(order))}
    return order, leaves, signature, trail


def fitted(roots: Sequence[Node]) -> fitting.Fitted | None:
    order, _, signature, trail = described(roots)
    return fit((signature, len(roots)), order, roots, trail, NOTHING_RENEWED)


def made(roots: Sequence[Node]) -> Compiled:
    _, leaves, _, trail = described(roots)
    inputs = realizing.as_inputs(roots, leaves, trail)
    return compile_graph(inputs, host_features(), config.threads, trail)


def everything(compiled: Compiled) -> list:
    """What equality of programs leaves out as well."""
    launches = compiled.program.launches
    return [compiled, [launch.work for launch in launches],
            [launch.kernel.label for launch in launches]]  # fmt: skip


def data(*shape: int) -> am.Tensor:
    return am.tensor(np.ones(shape, np.float32), requires_grad=True)


def gradients_of(loss: am.Tensor, *wanted: am.Tensor) -> list[am.Tensor]:
    return [loss, *am.autograd.grad(loss, wanted)]


def perceptron(n: int, m: int) -> list[am.Tensor]:
    x, w, b, v = data(n, 20), data(8, 20), data(8), data(m, 8)
    return gradients_of(F.softmax(F.relu(x @ w.T + b) @ v.T, -1).log().mean(), x, w, b, v)


def images(n: int, m: int) -> list[am.Tensor]:
    x, k, w = data(n, 3, 8, 8), data(m, 3, 3, 3), data(5, m * 16)
    y = F.max_pool2d(F.relu(F.batch_norm(F.conv2d(x, k, padding=1), None, None, training=True)), 2)
    return gradients_of(F.cross_entropy(y.flatten(1) @ w.T, am.zeros(n, dtype="int64")), x, k, w)


def tokens(n: int, m: int) -> list[am.Tensor]:
    table, w = data(11, 8), data(8, 24)
    x = F.layer_norm(table[am.zeros((2, n), dtype="int64")], (8,))
    q, k, v = (p.reshape(2, n, 2, 4).transpose(1, 2) for p in (x @ w).chunk(3, -1))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(2 * n, 8)
    return gradients_of(F.gelu(y).sum() / m, table, w)


def steps(n: int, m: int) -> list[am.Tensor]:
    cell = nn.LSTM(4, 6, batch_first=True)
    for place, weight in enumerate(cell.parameters()):
        weight.data = am.full(weight.shape, 0.01 * place)
    last = cell(data(m, n, 4))[0][:, -1]
    return gradients_of((last * last).mean(), *cell.parameters())


def movements(n: int, m: int) -> list[am.Tensor]:
    x, y = data(n, m, 3), data(n, 2 * m, 3)
    both = am.concat([x.flip(0), F.pad(y, (0, 0, 1, 1)), y[:, ::2] * n], 1)
    turned = both.transpose(0, 2).reshape(-1, n)
    return [turned.cumsum(0), turned.sort(dim=0)[0], turned.mean(1), turned.var(0), turned.max(),
            am.arange(n) / m, (turned > 0).sum(), both.repeat(2, 1, 1)]  # fmt: skip


GRAPHS: list[Callable[[int, int], list[am.Tensor]]] = [perceptron, images, tokens, steps, movements]
SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 24, 33, 64, 70]


@pytest.mark.parametrize("form", GRAPHS)
def test_later_sizes_are_fitted(form: Callable[[int, int], list[am.Tensor]]) -> None:
    known = []
    for n in (9, 11, 13, 15):
        roots = [tensor._node for tensor in form(n, 6)]
        found = fitted(roots)
        known.append(found is not None and found.was_known)
        if found is not None:
            assert everything(found.compiled) == everything(made(roots))
    assert known == [False, False, False, True]


def bits(roots: Sequence[Node], compiled: Compiled) -> list[bytes]:
    order, leaves, _, _ = described(roots)
    plan = realizing.Plan(compiled, Executable(compiled.program))
    found = realizing.execute(plan, [(leaf, leaf.value) for leaf in leaves], order)
    return [array.numpy().tobytes() for array in found]


@settings(max_examples=10)
@given(
    form=st.sampled_from(GRAPHS),
    sizes=st.lists(st.tuples(*2 * [st.sampled_from(SIZES)]), min_size=4, max_size=7),
)
def test_any_sizes(
    form: Callable[[int, int], list[am.Tensor]], sizes: list[tuple[int, int]]
) -> None:
    fitting._forms.clear()
    for n, m in sizes:
        roots = [tensor._node for tensor in form(n, m)]
        found = fitted(roots)
        if found is None or everything(found.compiled) == everything(alone := made(roots)):
            continue
        # Where sizes meet by chance, numbers are shared that are told apart in other sizes.
        assert bits(roots, found.compiled) == bits(roots, alone)


def test_numbers_that_meet_by_chance() -> None:
    """n - 1 is 1 here, which a plan for this size alone would make one word of."""
    for sizes in ((7, 24), (9, 24), (11, 24), (2, 5)):
        roots = [tensor._node for tensor in steps(*sizes)]
        found = fitted(roots)
        if found is not None:
            assert bits(roots, found.compiled) == bits(roots, made(roots))


def own_plans(start: int) -> list[str]:
    """Where the plans of this file came from, since the ledger had `start` entries."""
    entries = ledger.since(start)
    return [entry.plan for entry in entries if entry.line.startswith("test_fitting.py:")]


@pytest.mark.parametrize("jitted", [False, True])
def test_a_step_of_many_sizes(
    jitted: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def losses(most: int) -> list[bytes]:
        monkeypatch.setattr(fitting, "MAX_PATTERNS", most)
        monkeypatch.setattr(fitting, "_forms", OrderedDict())
        monkeypatch.setattr(realizing, "_plans", OrderedDict())
        monkeypatch.setattr(config, "cache_dir", str(tmp_path / str(most)))
        am.manual_seed(0)
        net = nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Dropout(0.2), nn.Linear(20, 3))
        rule = optim.Adam(net.parameters(), lr=0.1)

        def step(x: am.Tensor, y: am.Tensor) -> am.Tensor:
            loss = F.cross_entropy(net(x), y)
            rule.zero_grad()
            loss.backward()
            rule.step()
            return loss

        run = am.jit(step) if jitted else step
        found = []
        for n in (32, 32, 17, 17, 9, 9, 32, 21, 21, 30, 25):
            random = np.random.default_rng(n)
            x, y = random.normal(size=(n, 12)).astype("f4"), random.integers(0, 3, n)
            found.append(run(am.tensor(x), am.tensor(y)).numpy().tobytes())
        return found

    start = ledger.count
    alone = losses(0)
    assert "fitted" not in own_plans(start)
    start = ledger.count
    assert losses(6) == alone
    plans = own_plans(start)
    assert plans[-1] == "fitted"
    assert plans.count("fitted") >= 2


def test_what_nobody_foresaw_costs_time_and_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object) -> None:
        raise ZeroDivisionError("of a pass")

    monkeypatch.setattr(Opening, "plan", fails)
    double = am.jit(lambda x: (2 * x).sum())
    found = [double(am.ones(n)).item() for n in (5, 6)]
    with pytest.warns(UserWarning, match="could not be fitted to other sizes .ZeroDivisionError"):
        found.append(double(am.ones(7)).item())
    assert [*found, *(double(am.ones(n)).item() for n in (8, 9))] == [10, 12, 14, 16, 18]


def test_a_mean_of_nothing_has_the_sign_that_it_has_alone() -> None:
    for form in (lambda x: x.mean(0), lambda x: x.mean(1), lambda x: x.mean()):
        fitting._forms.clear()
        for n in (4, 5, 6, 7, 0, 8):
            roots = [form(am.tensor(np.ones((n, n or 3), np.float32)))._node]
            found = fitted(roots)
            assert (found is not None) == (n in (6, 7, 8))
            if found is not None:
                assert bits(roots, found.compiled) == bits(roots, made(roots))


@pytest.mark.parametrize("odd", [0, 2])
def test_an_odd_size_leaves_the_others_fitted(odd: int) -> None:
    """Of one row an LSTM's graph is no graph of several with other numbers."""
    sizes = [(2, 2), (9, 5), (5, 3), (7, 9), (11, 6), (13, 7), (15, 4)]
    known = []
    for n, m in [*sizes[:odd], (4, 1), *sizes[odd:]]:
        found = fitted([tensor._node for tensor in steps(n, m)])
        known.append(found is not None and found.was_known)
    assert any(known)


def opened(signature, sizes: set[int]):
    """What differs from `signature` in every number that is one of `sizes`."""
    if type(signature) is int and signature in sizes:
        return -signature
    if type(signature) is tuple:
        return tuple([opened(each, sizes) for each in signature])
    return signature


@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
def test_random_graphs_with_all_sizes_open(random: Random) -> None:
    roots = graph(Draw(random), most=6).roots
    order, _, signature, trail = described(roots)
    sizes = {n for node in order if node.value is not None for n in node.value.shape if n > 3}
    before = tuple([(name, *opened(rest, sizes)) for name, *rest in map(tuple, signature)])
    opening = Opening()
    try:
        pattern = opening.plan(opening.of(before, signature), order, roots, trail, NOTHING_RENEWED)
    except Shut:  # an op of so many axes, a table of so many entries
        return
    found = pattern.fit([pattern.sheet.values[slot] for slot in pattern.sheet.given], roots)
    assert found is not None
    assert everything(found) == everything(made(roots))
