"""Branches: which side is computed, what they refuse, and what they leave behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.core.errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    LinAlgError,
    ShapeError,
    TracingError,
)

YES, NO = am.tensor(True), am.tensor(False)


def test_one_side_with_and_without_operands() -> None:
    x = am.tensor([1.0, -2.0])
    for pred, expected in ((YES, [2, -4]), (NO, [1, 4])):
        assert am.cond(pred, lambda a: a * 2, lambda a: a * a, x).tolist() == expected
        assert am.cond(pred, lambda: x * 2, lambda: x * x).tolist() == expected


def test_trees_and_python_numbers() -> None:
    def sides(pred: am.Tensor) -> dict[str, object]:
        return am.cond(
            pred,
            lambda p, n: {"a": (p["x"] * n, 1), "b": None},
            lambda p, n: {"a": (p["x"] - n, 2.5), "b": None},
            {"x": am.tensor(3.0, dtype=am.float64)}, 4,
        )  # fmt: skip

    for pred, expected in ((YES, (12, 1)), (NO, (-1, 2.5))):
        found = sides(pred)
        assert found["b"] is None
        assert tuple(part.item() for part in found["a"]) == expected
        assert [part.dtype for part in found["a"]] == [am.float64, am.float32]
    mixed = am.cond(NO, lambda: 0.1, lambda: am.tensor(0.5, dtype=am.float64) * 1)
    assert mixed.dtype is am.float64


def test_a_python_bool_calls_one_function() -> None:
    calls = []
    assert am.cond(True, lambda x: x + 1, lambda x: calls.append(x), 2) == 3
    assert am.switch(9, [lambda x: x, lambda x: x * 5], 2) == 10
    assert calls == []


def test_the_index_of_a_switch_is_clamped() -> None:
    sides = [lambda x: x, lambda x: x * 10, lambda x: x * 100]
    found = [am.switch(am.tensor(i), sides, am.tensor(1)).item() for i in (-(2**40), 0, 1, 2, 7)]
    assert found == [1, 1, 10, 100, 100]
    many = [lambda x, n=n: x + n for n in range(130)]
    assert am.switch(am.tensor(127, dtype=am.int8), many, am.tensor(0)).item() == 127
    assert am.switch(am.tensor(200, dtype=am.uint8), many, am.tensor(0)).item() == 129


def test_the_other_side_neither_runs_nor_complains() -> None:
    singular = am.zeros(2, 2)
    assert am.cond(NO, lambda: am.linalg.inv(singular), lambda: singular + 1).sum().item() == 4
    with pytest.raises(LinAlgError):
        am.cond(YES, lambda: am.linalg.inv(singular), lambda: singular + 1).sum().item()
    probabilities = am.tensor([0.5, 2.0])
    pred = (probabilities <= 1).all()

    def draw() -> am.Tensor:
        return am.bernoulli(probabilities * 1).sum() * 0

    assert am.cond(pred, draw, lambda: am.tensor(-1.0)).item() == -1


def test_what_was_pending_outside_is_computed_once_outside() -> None:
    x = am.ones(3) * 2
    y = am.exp(x)
    found = am.cond(YES, lambda: y + 1, lambda: y - 1)
    operands = [node.op.name for node in found._node.inputs]
    assert operands.count("exp") == 1
    np.testing.assert_allclose(found.numpy(), np.exp(2) + 1, rtol=1e-6)


def test_gradients_reach_operands_parameters_and_tensors_from_outside() -> None:
    am.manual_seed(0)
    layer, x = nn.Linear(3, 1), am.tensor([1.0, 2.0, 3.0], requires_grad=True)
    for pred in (YES, NO):
        for tensor in (x, *layer.parameters()):
            tensor.grad = None
        am.cond(pred, lambda a: layer(a).sum(), lambda a: (a * a).sum(), x).backward()
        if pred.item():
            assert am.array_equal(x.grad, layer.weight[0].detach())
            assert am.array_equal(layer.weight.grad[0], x.detach())
        else:
            assert x.grad.tolist() == [2, 4, 6]
            assert layer.weight.grad.tolist() == [[0, 0, 0]]


def test_jit_looks_at_the_predicate_every_time() -> None:
    step = am.jit(lambda x: am.cond(x.sum() > 0, lambda: am.sqrt(x), lambda: -x))
    for values in ([1.0, 4.0], [-1.0, -4.0], [9.0, 0.0]):
        x = am.tensor(values)
        eager = am.cond(x.sum() > 0, lambda x=x: am.sqrt(x), lambda x=x: -x)
        assert am.array_equal(step(x), eager)


def test_bits_of_examples_are_those_of_a_loop() -> None:
    random = np.random.default_rng(0)
    xs = am.tensor(random.standard_normal((7, 5)).astype(np.float32))
    w = am.tensor(random.standard_normal((5, 5)).astype(np.float32))

    def one(x: am.Tensor) -> am.Tensor:
        return am.cond(x[0] > 0, lambda: am.tanh(w @ x), lambda: am.exp(x) / x.sum())

    def slope(x: am.Tensor) -> am.Tensor:
        return am.grad(lambda x: (one(x) ** 2).sum())(x)

    for function in (one, slope):
        looped = am.stack([function(x) for x in xs])
        assert am.array_equal(am.vmap(function)(xs), looped)
        assert am.array_equal(am.jit(am.vmap(function))(xs), looped)


X = am.ones(3)
WRONG = {
    "a number": (
        lambda: am.cond(am.tensor(1), lambda: 0, lambda: 1), DTypeError,
        r"cond: pred is int64\[\]; need a bool",
    ),
    "several": (
        lambda: am.cond(X > 0, lambda: 0, lambda: 1), ShapeError,
        r"cond: pred is bool\[3\]; need a scalar",
    ),
    "text": (lambda: am.cond("x", lambda: 0, lambda: 1), ArgumentTypeError, "pred is a str"),
    "shapes": (
        lambda: am.cond(YES, lambda: {"w": X}, lambda: {"w": X[:2]}), ShapeError,
        r"cond: the result of true_fun\['w'\] is float32\[3\], the result of false_fun\['w'\] "
        r"float32\[2\]",
    ),
    "dtypes": (
        lambda: am.cond(YES, lambda: X, lambda: X.to("int32")), DTypeError,
        r"cond: the result of true_fun is float32\[3\], the result of false_fun int32\[3\]",
    ),
    "structures": (
        lambda: am.cond(YES, lambda: {"w": X}, lambda: {"w": (X, X)}), ArgumentError,
        r"cond: the structures of the result of .* differ: at \['w'\]",
    ),
    "a result that is no tensor": (
        lambda: am.cond(YES, lambda: "a", lambda: "b"), ArgumentTypeError,
        "cond: the result of false_fun is a str",
    ),
    "an operand that is no tensor": (
        lambda: am.cond(YES, lambda a: a, lambda a: a, "text"), ArgumentTypeError,
        r"cond: operands\[0\] is a str",
    ),
    "a look": (
        lambda: am.cond(YES, lambda a: a if a.sum() > 0 else -a, lambda a: a, X), TracingError,
        "cond: the value of bool.* is looked at",
    ),
    "no function": (lambda: am.cond(YES, X, lambda: X), ArgumentTypeError, "true_fun is a Tensor"),
    "no branches": (lambda: am.switch(am.tensor(0), []), ArgumentError, r"branches is \[\]"),
    "a fraction": (
        lambda: am.switch(am.tensor(0.5), [lambda: X]), DTypeError, r"index is float32\[\]",
    ),
    "indices": (
        lambda: am.switch(am.tensor([0, 1]), [lambda: X]), ShapeError, r"index is int64\[2\]",
    ),
    "branches that differ": (
        lambda: am.switch(am.tensor(0), [lambda: X, lambda: X, lambda: X[None]]), ShapeError,
        r"switch: the result of branches\[2\] is float32\[1, 3\], the result of branches\[0\]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_misuse_is_answered_and_leaves_nothing_behind(what: str) -> None:
    call, error, message = WRONG[what]
    am.manual_seed(3)
    before = am.random.default_generator.get_state()
    with pytest.raises(error, match=message) as caught:
        call()
    assert "test_branches.py" in str(caught.value)
    assert am.random.default_generator.get_state() == before
    assert am.cond(YES, lambda: X + 1, lambda: X).tolist() == [2, 2, 2]


def test_a_refused_branch_gives_back_the_keys_that_it_took() -> None:
    am.manual_seed(5)
    with pytest.raises(ShapeError):
        am.cond(YES, lambda: am.rand(3), lambda: am.rand(4))
    one = am.rand(2)
    am.manual_seed(5)
    assert am.array_equal(one, am.rand(2))


def test_branches_draw_as_they_would_alone() -> None:
    am.manual_seed(5)
    alone = am.rand(3)
    am.manual_seed(5)
    assert am.array_equal(am.cond(YES, lambda: am.rand(3), lambda: am.zeros(3)), alone)


def test_what_is_kept_inside_is_refused() -> None:
    kept: list[am.Tensor] = []

    def keeps(a: am.Tensor) -> am.Tensor:
        kept.append(a * 2)
        return a

    with pytest.raises(TracingError, match="cond: the function keeps a tensor"):
        am.cond(YES, keeps, lambda a: a, X)


def test_each_side_draws_what_it_would_draw_alone() -> None:
    def little(x: am.Tensor) -> am.Tensor:
        return x + am.rand(3)

    def much(x: am.Tensor) -> am.Tensor:
        steps = am.scan(lambda c, _: (c + am.rand(3), None), x, length=2)[0]
        return steps * am.cond(am.tensor(True), lambda: am.rand(3) - am.rand(3), lambda: am.ones(3))

    def after(function: Callable[..., Any], *args: Any) -> list[Any]:
        am.manual_seed(4)
        return [function(*args).tolist(), am.rand(2).tolist()]

    def chosen(pred: Any, x: am.Tensor) -> am.Tensor:
        return am.cond(pred, little, am.checkpoint(much), x)

    jitted, x = am.jit(chosen), am.zeros(3)
    for pred, function in ((True, little), (False, much)):
        for call in (chosen, jitted, jitted):
            found = after(call, am.tensor(pred), x)
            assert found[0] == after(function, x)[0]
            assert found[1] == after(much, x)[1]  # as far as the side that draws more


@pytest.mark.parametrize(
    "transform",
    [
        am.checkpoint,
        lambda f: am.grad(lambda x: f(x).sum()),
        lambda f: lambda x: am.jvp(f, (x,), (x,))[1],
        lambda f: lambda x: am.vjp(f, x)[1](x)[0],
    ],
)
def test_a_transformed_function_is_a_branch_like_any_other(transform: Any) -> None:
    function, x = transform(lambda x: x * x * am.exp(x)), am.tensor([0.5, 2.0])
    found = am.cond(YES, function, lambda x: x, x)
    assert found.tolist() == function(x).tolist()
