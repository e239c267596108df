"""Rewriting: fixed points, fresh nodes, depth."""

from __future__ import annotations

import numpy as np
import pytest

from ambos.core.dtype import float64
from ambos.core.errors import CompilerError
from ambos.graph import rebuild, rewrite, substitute, toposort
from ambos.graph.node import Node
from ambos.ops.arithmetic import absolute, add, multiply, negative, subtract
from ambos.ops.sources import data


def leaf() -> Node:
    return data.leaf(np.ones(2), (2,), float64)


X, Y = leaf(), leaf()


def cancel(node: Node) -> Node | None:
    """- -x = x."""
    (x,) = node.inputs
    return x.inputs[0] if x.op is negative else None


def test_rules_apply_until_nothing_changes() -> None:
    node = X
    for _ in range(9):
        node = negative(node)
    assert rewrite([node], {"negative": [cancel]}) == [negative(X)]


def test_what_no_rule_touches_is_the_same_object() -> None:
    node = add(multiply(X, Y), negative(X))
    assert rewrite([node], {"negative": [cancel]})[0] is node
    assert rewrite([node, X], {}) == [node, X]


def test_nodes_that_a_rule_made_are_settled_too() -> None:
    def expand_subtract(node: Node) -> Node:
        return add(node.inputs[0], negative(node.inputs[1]))

    table = {"subtract": [expand_subtract], "negative": [cancel]}
    assert rewrite([subtract(X, negative(Y))], table) == [add(X, Y)]


def test_fresh_nodes_far_below_the_top_are_settled() -> None:
    def unfold(node: Node) -> Node:
        return multiply(X, absolute(negative(negative(node.inputs[0]))))

    table = {"add": [unfold], "negative": [cancel]}
    assert rewrite([add(Y, X)], table) == [multiply(X, absolute(Y))]


def test_a_shared_node_is_rewritten_once() -> None:
    calls = []

    def count(node: Node) -> None:
        calls.append(node)

    shared = add(X, Y)
    rewrite([multiply(shared, negative(shared)), absolute(shared)], {"add": [count]})
    assert calls == [shared]


def test_rules_that_disagree_are_a_bug_not_a_hang() -> None:
    def swap(node: Node) -> Node:
        return node.op(*node.inputs[::-1])  # type: ignore[operator]

    with pytest.raises(CompilerError, match="the rules for add never settle"):
        rewrite([add(X, Y)], {"add": [swap]})


def test_substitute() -> None:
    z = leaf()
    node = add(multiply(X, Y), X)
    assert substitute([node, Y], {X: z}) == [add(multiply(z, Y), z), Y]
    assert substitute([node], {node: z}) == [z]
    assert substitute([node], {}) == [node]
    # The replacement stands as it is: occurrences inside it are not replaced again.
    assert substitute([negative(X)], {X: absolute(X)}) == [negative(absolute(X))]


def test_rebuild_keeps_a_node_whose_inputs_stay() -> None:
    node = add(X, Y)
    assert rebuild(node, (X, Y)) is node
    assert rebuild(node, (Y, Y)) is add(Y, Y)


def test_depth_is_no_limit() -> None:
    node, z = X, leaf()
    for _ in range(50_000):
        node = add(node, Y)
    (moved,) = substitute([node], {X: z})
    assert z in toposort([moved])
    assert len(toposort([moved])) == 50_002
    assert rewrite([moved], {"negative": [cancel]})[0] is moved


def test_a_deep_chain_collapses() -> None:
    node = X
    for _ in range(50_001):
        node = negative(node)
    assert rewrite([node], {"negative": [cancel]}) == [negative(X)]
