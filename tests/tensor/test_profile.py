"""Profiles and explanations of known graphs."""

import json
import os
import threading

import pytest

import ambos as am
from ambos.core.errors import ArgumentError
from ambos.graph.lines import noting
from ambos.runtime.roofline import Roofline, Speed, roofline
from ambos.tensor.explain import explanation

HERE = os.path.basename(__file__)


def row_of(profile, name):
    (row,) = [row for row in profile.rows if name in row.kernel]
    return row


def test_a_product_counts_its_flops_and_bytes_exactly():
    a, b = am.evaluate(am.rand(48, 80), am.rand(80, 112))
    with am.profile() as p:
        c = a @ b
    row = row_of(p, "contract")
    assert row.flops == 2 * 48 * 80 * 112
    assert row.nbytes == 4 * (48 * 80 + 80 * 112 + 48 * 112)
    assert row.calls == 1
    assert c._node.value is not None  # leaving the region computed it


def test_a_chain_counts_additions_and_each_byte_once():
    x = am.evaluate(am.rand(1000))
    with am.profile() as p:
        am.evaluate(x * x + x - 0.546875)  # a number nobody else may have computed
    (row,) = p.rows
    assert row.flops == 3 * 1000
    assert row.nbytes == 2 * 4 * 1000


def test_a_reduction_counts_what_it_adds():
    x = am.evaluate(am.rand(30, 500))
    with am.profile() as p:
        am.evaluate(x.sum(1))
    (row,) = p.rows
    assert row.flops == 30 * 500
    assert row.nbytes == 4 * (30 * 500 + 30)


def test_broadcast_and_sliced_operands_count_what_is_touched():
    x, bias = am.evaluate(am.rand(64, 100), am.rand(100))
    with am.profile() as p:
        am.evaluate(x[:32] + bias)
    (row,) = p.rows
    assert row.nbytes == 4 * (32 * 100 + 100 + 32 * 100)


def test_lines_lead_here_also_for_gradients_and_cached_programs():
    x = am.evaluate(am.rand(16, 16)).requires_grad_()

    def step():
        y = (x @ x).tanh()
        y.sum().backward()
        am.evaluate(y, x.grad)
        x.grad = None

    step()  # the program is known before anybody asks for lines
    with am.profile() as p:
        step()
    first = step.__code__.co_firstlineno
    lines = {line for row in p.rows for line in row.lines}
    assert {os.path.basename(line.path) for line in lines} == {HERE}
    assert {(line.number - first, line.backward) for line in lines} >= {(1, False), (1, True)}
    assert f"{HERE}:{first + 1}"[:12] in str(p)


def test_the_table_adds_up_and_fits():
    x = am.evaluate(am.rand(64, 64))
    with am.profile() as p:
        for _ in range(3):
            am.evaluate((x @ x).relu().sum(0))
    text = str(p)
    assert max(map(len, text.splitlines())) <= 100
    assert "3 programs" in text
    assert "GFLOP/s" in text
    assert sum(row.seconds for row in p.rows) == pytest.approx(p.kernel_seconds)
    assert all(row.calls == 3 for row in p.rows)
    assert p.kernel_seconds + p.plan_seconds <= p.seconds
    assert "more: p.table(None) shows all" in p.table(1)
    assert "more" not in p.table(None)


def test_a_trace_is_what_viewers_read(tmp_path):
    x = am.evaluate(am.rand(32, 32))
    with am.profile() as p:
        am.evaluate(am.exp(x @ x))
    path = tmp_path / "trace.json"
    p.save(path)
    events = json.loads(path.read_text())["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    names = {event["args"]["name"] for event in events if event["ph"] == "M"}
    assert "ambos" in names
    for event in spans:
        assert event.keys() >= {"name", "cat", "ts", "dur", "pid", "tid", "args"}
        assert event["ts"] >= 0
        assert event["dur"] > 0
    kernels = [event for event in spans if event["cat"] == "kernel"]
    assert sum(event["args"]["flops"] for event in kernels) >= 2 * 32**3
    assert any(HERE in event["args"]["lines"] for event in kernels)
    (program,) = [event for event in spans if event["cat"] == "program"]
    for event in kernels:  # launches lie within their program
        assert program["ts"] <= event["ts"]
        assert event["ts"] + event["dur"] <= program["ts"] + program["dur"] + 1


def test_profiles_nest_and_hear_all_threads():
    x = am.evaluate(am.rand(8))
    with am.profile() as outer:
        am.evaluate(x + 1)
        with am.profile() as inner:
            thread = threading.Thread(target=lambda: am.evaluate(x + 2))
            thread.start()
            thread.join()
        am.evaluate(x + 3)
    assert len(inner.runs) == 1
    assert len(outer.runs) == 3
    assert noting.wanted == 0


def test_nothing_is_left_behind_after_an_error():
    with pytest.raises(ZeroDivisionError), am.profile() as p:
        _ = 1 / 0
    assert noting.wanted == 0
    assert p.rows == []
    with pytest.raises(ArgumentError, match="used before"), p:
        pass


def test_values_are_those_without_a_profile():
    x = am.evaluate(am.rand(20, 30))
    expected = (x * 3).softmax(-1).numpy().tobytes()
    with am.profile():
        found = (x * 3).softmax(-1).numpy().tobytes()
    assert found == expected


def test_the_slower_of_arithmetic_and_memory_is_the_limit():
    limits = Roofline(2, 100.0, (Speed(1 << 10, 50.0, 50.0), Speed(1 << 20, 10.0, 10.0)))
    assert limits.seconds(10**9, 0, 0) == pytest.approx(0.01)
    assert limits.seconds(0, 10**9, 0) == pytest.approx(0.1)
    middle = limits.speed(1 << 15)
    assert 10 < middle.read < 50
    assert limits.speed(1).read == 50
    assert limits.better(Roofline(2, 200.0, limits.speeds)).peak == 200


def test_limits_are_measured_once():
    assert roofline(1) is roofline(1)
    assert roofline(1).peak > 0


def test_an_explanation_names_operations_lines_and_reasons():
    x, w = am.evaluate(am.rand(40, 60), am.rand(60, 20))

    def layer(x, w):
        h = (x @ w).relu()
        return h.sum(0), h @ h.T

    text = explanation(layer, x, w)
    first = layer.__code__.co_firstlineno
    assert max(map(len, text.splitlines())) <= 100
    assert "fuses  contract, relu" in text
    assert "operand of a contract" in text
    assert "result asked for" in text
    assert "a reduction does not run inside a contraction's tiles" in text
    assert f"{HERE}:{first + 1}" in text
    assert "of arena" in text


def test_an_explanation_computes_only_what_is_looked_at():
    x = am.evaluate(am.rand(4))
    kept = []

    def peek(x):
        y = x + 1
        kept.append(x * 7)
        if y.sum().item() > 0:
            return y * 3
        return y

    text = explanation(peek, x)
    assert text.startswith("program 1")
    assert "program 2" in text
    assert "needed by" not in text
    assert noting.wanted == 0
    assert (
        explanation(lambda: x)
        == "nothing to compute: every result is data already, or a view of it"
    )


def test_reasons_tell_why_kernels_end():
    x = am.evaluate(am.rand(40, 30))
    text = explanation(lambda: am.exp(x).sum(0) + am.exp(x).sum(1).sum())
    assert "dear" in text or "reduction" in text
    assert "apart  from" in text


def test_explain_prints(capsys):
    am.explain(lambda x: x + 1, am.ones(3))
    assert capsys.readouterr().out.startswith("program 1: 1 launch")
    jitted, x = am.jit(lambda x: x + 1), am.ones(3)
    jitted(x)
    am.explain(jitted, x)  # recorded before or not
    assert capsys.readouterr().out.startswith("program 1: 1 launch")
    with pytest.raises(ArgumentError, match="need a function"):
        am.explain(am.ones(3))
