"""Nodes: identity, sharing, life and depth."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from ambos.core.dtype import float32, float64, int32
from ambos.core.errors import ShapeError
from ambos.graph import consumers, make, show, toposort
from ambos.graph import node as nodes
from ambos.graph.body import Body
from ambos.graph.node import Node, forget_computed
from ambos.ops import registry
from ambos.ops.arithmetic import add, multiply, negative
from ambos.ops.control import BranchSpec, ScanSpec, branch, scan
from ambos.ops.kinds import constant
from ambos.ops.movement import permute, reshape
from ambos.ops.sources import argument, data
from ambos.testing.reference import evaluate


def leaf(values: list[float], tracked: bool = False) -> Node:
    array = np.array(values, np.float64)
    return data.leaf(array, array.shape, float64, tracked)


def test_equal_expressions_are_one_node() -> None:
    x, y = leaf([1, 2]), leaf([1, 2])
    assert x is not y  # data has an identity of its own, whatever it holds
    assert add(x, y) is add(x, y)
    assert add(x, y) is not add(y, x)
    assert add(x, y) is not multiply(x, y)
    assert negative(add(x, y)) is negative(add(x, y))
    assert reshape(x, attrs=((2, 1),)) is reshape(x, attrs=((2, 1),))
    assert reshape(x, attrs=((2, 1),)) is not reshape(x, attrs=((1, 2),))


def test_numbers_that_compare_equal_stay_apart() -> None:
    spelled = [constant(v, float32) for v in (1, 1.0, True, 0, 0.0, -0.0, False)]
    assert len(set(spelled)) == len(spelled)
    assert constant(0.0, float32) is constant(0.0, float32)
    assert constant(-0.0, float32) is constant(-0.0, float32)
    assert constant(1, float32) is not constant(1, int32)
    zeros = evaluate([constant(0.0, float32), constant(-0.0, float32)])
    assert [bool(np.signbit(z)) for z in zeros] == [False, True]


def test_nan_is_a_constant_like_any_other() -> None:
    nan = float("nan")
    assert constant(nan, float32) is constant(nan, float32)
    (value,) = evaluate([constant(float("nan"), float32)])
    assert np.isnan(value)


def test_tracking_is_part_of_the_identity() -> None:
    x, w = leaf([1.0]), leaf([2.0], tracked=True)
    assert not add(x, x).tracked
    assert add(x, w).tracked
    plain = make(add, (x, w), tracked=False)
    assert not plain.tracked
    assert plain is not add(x, w)


def test_only_floating_results_are_tracked() -> None:
    w = leaf([2.0], tracked=True)
    assert not registry["less"](w, w).tracked
    assert not registry["cast"](w, attrs=(int32,)).tracked


def test_a_failed_check_leaves_nothing_behind() -> None:
    x, y = leaf([1, 2]), leaf([1, 2, 3])
    for _ in range(2):
        with pytest.raises(ShapeError, match=r"add: shapes \(2,\) and \(3,\)"):
            add(x, y)


def test_nodes_die_when_dropped() -> None:
    x = leaf([1.0])
    y = add(x, x)
    z = negative(y)
    died = [weakref.ref(y), weakref.ref(z)]
    number = id(z)
    del y
    assert died[0]() is not None  # z still reads it
    del z
    assert [ref() for ref in died] == [None, None]
    again = negative(add(x, x))
    assert again.inputs[0].inputs == (x, x)
    assert number  # the address may be used again; the node is a new one all the same


def test_values_are_not_kept_by_the_table() -> None:
    x = leaf([1.0])
    y = add(x, x)
    y.value = np.ones(1)
    assert add(x, x).value is y.value
    del y
    assert add(x, x).value is None


def test_a_recycled_address_is_not_a_known_node() -> None:
    """Keys name inputs by address; an entry must go before the address can return."""
    for number in range(2000):
        x = leaf([float(number)])
        y = negative(x)
        assert y.inputs[0] is x
        assert evaluate([y])[0] == -number


def test_no_garbage_collector_is_needed() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf([1.0])
        y = negative(add(x, x))
        died = weakref.ref(y)
        del x, y
        assert died() is None
    finally:
        gc.enable()


DEPTH = 50_000


def test_deep_graphs_neither_recurse_nor_linger() -> None:
    x = leaf([0.5])
    node = x
    for _ in range(DEPTH):
        node = add(node, x)
    assert len(toposort([node])) == DEPTH + 1
    died = weakref.ref(node.inputs[0].inputs[0])
    del node
    assert died() is None


def test_toposort_lists_inputs_first_and_each_once() -> None:
    x, y = leaf([1.0]), leaf([2.0])
    shared = add(x, y)
    top = multiply(shared, negative(shared))
    order = toposort([top, shared, top])
    assert len(order) == len(set(order)) == 5
    place = {node: i for i, node in enumerate(order)}
    assert all(place[i] < place[node] for node in order for i in node.inputs)
    stopped = toposort([top], stop=lambda node: node is shared)
    assert x not in stopped
    assert shared in stopped


def test_consumers_count_uses() -> None:
    x = leaf([1.0])
    square = multiply(x, x)
    top = add(square, x)
    found = consumers([x, square, top])
    assert found[x] == [square, square, top]
    assert found[square] == [top]
    assert found[top] == []
    assert consumers([square, top])[square] == [top]  # x is not among them


def test_show() -> None:
    x = leaf([1.0, 2.0])
    node = permute(reshape(add(x, x), attrs=((1, 2),)), attrs=((1, 0),))
    lines = show([node]).splitlines()
    assert lines == [
        "%0 = data()  float64[2]",
        "%1 = add(%0, %0)  float64[2]",
        "%2 = reshape(%1) (1, 2)  float64[1, 2]",
        "%3* = permute(%2) (1, 0)  float64[2, 1]",
    ]
    assert repr(node) == "<permute float64[2, 1]>"


def test_nodes_are_not_data() -> None:
    with pytest.raises(TypeError, match="save tensors or a state_dict"):
        pickle.dumps(leaf([1.0]))
    with pytest.raises(TypeError, match="save tensors or a state_dict"):
        copy.deepcopy(leaf([1.0]))


def test_forgetting_bears_the_collector() -> None:
    """Nodes in cycles of garbage vanish while values are forgotten."""

    kept = [negative(leaf([float(number)])) for number in range(6000)]
    before = gc.get_threshold()
    try:
        for moment in range(100, 4000, 200):  # some are while nodes are looked through
            gc.disable()
            for number in range(50):
                cycle: list[object] = [negative(leaf([number + 0.5]))]
                cycle.append(cycle)
            gc.set_threshold(gc.get_count()[0] + moment)
            gc.enable()
            forget_computed()
            gc.set_threshold(*before)
    finally:
        gc.set_threshold(*before)
        gc.enable()
    assert negative(kept[0].inputs[0]) is kept[0]  # without a value: still known


def test_show_lists_what_is_inside() -> None:
    c, x = argument.leaf((), float32), argument.leaf((), float32)
    inside = Body([c], [registry["negative"](c)])
    calls = BranchSpec((inside, Body([c], [c])))
    (chosen,) = branch.parts(constant(1, int32), x, spec=calls)
    body = Body([c, x], [chosen, x])
    parts = scan.parts(constant(0.0, float32), constant(1.0, float32, (3,)),
                       spec=ScanSpec(body, 0, 1, 3))  # fmt: skip
    assert show(parts).splitlines()[4:] == [
        "%4* = scan(%0, %3) 0 ScanSpec(num_constants=0, num_carry=1, length=3, reverse=False)"
        "  float32[]",
        "    (%a0: float32[], %a1: float32[]) -> (%2, %a1)",
        "    %0 = constant() 1 ambos.int32  int32[]",
        "    %2* = branch(%0, %a1) 0 BranchSpec()  float32[]",
        "        (%a0: float32[]) -> (%1)",
        "        %1* = negative(%a0)  float32[]",
        "        (%a0: float32[]) -> (%a0)",
        "%5* = scan(%0, %3) 1 ScanSpec(num_constants=0, num_carry=1, length=3, reverse=False)"
        "  float32[3]",
    ]


@pytest.mark.parametrize("is_made_again", [False, True])
def test_another_thread_forgets_or_makes_a_node_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, is_made_again: bool
) -> None:
    class Racing(dict):
        def get(self, key, default=None):
            found = super().get(key, default)
            if is_made_again:
                self[key] = other
            else:
                self.pop(key, None)
            return found

    gone, other = nodes._Entry(Thing()), nodes._Entry(thing := Thing())
    gone.key = other.key = ("key",)
    monkeypatch.setattr(nodes, "_known", Racing({gone.key: gone}))
    nodes._forget(gone)
    assert dict(nodes._known) == ({gone.key: other} if is_made_again else {})
    assert other() is thing


class Thing:
    pass
