"""Gradcheck and the reference must themselves be able to fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from ambos.core.dtype import float64
from ambos.core.errors import CompilerError
from ambos.graph.node import Node
from ambos.ops import registry
from ambos.ops.arithmetic import multiply
from ambos.ops.functions import exp
from ambos.ops.kinds import Pointwise
from ambos.ops.sources import data
from ambos.testing.gradcheck import GradcheckError, gradcheck, gradgradcheck
from ambos.testing.reference import evaluate


def leaf(values: list[float]) -> Node:
    return data.leaf(np.array(values), (len(values),), float64, tracked=True)


@contextmanager
def cubing(**facts: Any) -> Iterator[Any]:
    """An op that cubes, for a moment."""
    whole = {"__doc__": "x cubed.", "ref": lambda np, x: x * x * x, **facts}
    cls: Any = type("CubeForATest", (Pointwise,), whole)
    try:
        yield registry[cls.name]
    finally:
        del registry[cls.name]


def _three_squares(op: Any, out: Node, x: Node) -> tuple[Node]:
    return (multiply(data.leaf(np.full(x.shape, 3.0), x.shape, float64), multiply(x, x)),)


def test_a_right_gradient_passes_twice() -> None:
    with cubing(partials=_three_squares) as cube:
        gradcheck(cube, [leaf([1.0, -2.0])])
        gradgradcheck(cube, [leaf([1.0, -2.0])])


@pytest.mark.parametrize("elementwise", [False, True])
@pytest.mark.parametrize("wrong", [2.999, 3.01, -3.0, 0.0])
def test_a_wrong_gradient_is_caught(wrong: float, elementwise: bool) -> None:
    def partials(op: Any, out: Node, x: Node) -> tuple[Node]:
        return (multiply(data.leaf(np.full(x.shape, wrong), x.shape, float64), multiply(x, x)),)

    with cubing(partials=partials) as cube, pytest.raises(GradcheckError, match=r"element \(0,\)"):
        gradcheck(cube, [leaf([1.0, -2.0])], elementwise=elementwise)


def test_what_is_not_elementwise_does_not_pass_as_such() -> None:
    def turned(x: Node) -> Node:
        return multiply(x, registry["flip"](x, attrs=((0,),)))

    gradcheck(turned, [leaf([1.0, -2.0])])
    with pytest.raises(GradcheckError):
        gradcheck(turned, [leaf([1.0, -2.0])], elementwise=True)


def test_a_missing_gradient_is_caught() -> None:
    message = r"the gradient is 0, differences give 3\.\d"
    untouched = {"partials": lambda op, out, x: (None,)}
    with cubing(**untouched) as cube, pytest.raises(GradcheckError, match=message):
        gradcheck(cube, [leaf([1.0])])


def test_a_right_gradient_with_a_wrong_second_derivative_is_caught() -> None:
    def partials(op: Any, out: Node, x: Node) -> tuple[Node]:
        # The right numbers, cut off from x.
        values = 3 * np.asarray(x.value) ** 2 if x.value is not None else np.zeros(x.shape)
        return (data.leaf(values, x.shape, float64),)

    with cubing(partials=partials) as cube:
        gradcheck(cube, [leaf([1.0])])
        with pytest.raises(GradcheckError):
            gradgradcheck(cube, [leaf([1.0])])


def test_the_operand_at_fault_is_named() -> None:
    def mixed_up(x: Node, y: Node) -> Node:
        return multiply(exp(x), registry["detach"](y))

    with pytest.raises(GradcheckError, match="input 1, element"):
        gradcheck(mixed_up, [leaf([0.5]), leaf([0.25])])


def test_a_reference_that_breaks_its_word_is_caught() -> None:
    single = cubing(ref=lambda np, x: x.astype("float32"))
    message = r"gives float32\[1\] where float64\[1\]"
    with single as cube, pytest.raises(CompilerError, match=message):
        evaluate([cube(leaf([1.0]))])
    short = cubing(ref=lambda np, x: x[:0])
    message = r"gives float64\[0\] where float64\[1\]"
    with short as cube, pytest.raises(CompilerError, match=message):
        evaluate([cube(leaf([1.0]))])


def test_a_memo_overrides_and_collects() -> None:
    x = leaf([2.0])
    node = multiply(x, x)
    memo = {x: np.array([5.0])}
    assert evaluate([node], memo)[0].tolist() == [25.0]
    assert memo[node].tolist() == [25.0]
