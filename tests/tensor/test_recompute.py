"""checkpoint: the same bits from less memory."""

from __future__ import annotations

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import ArgumentTypeError
from ambos.tensor import realize

LAYERS, BATCH, WIDTH = 8, 64, 32


def block(w, x):
    return x + am.tanh(am.tanh(x @ w[0]) @ w[1])


def loss(block):
    def whole(params, x):
        for w in params:
            x = block(w, x)
        return (x**2).mean()

    return whole


def params():
    am.manual_seed(0)
    found = [
        [am.randn(WIDTH, 4 * WIDTH) * 0.1, am.randn(4 * WIDTH, WIDTH) * 0.1] for _ in range(LAYERS)
    ]
    x = am.randn(BATCH, WIDTH)
    am.evaluate(found, x)
    return found, x


def measured(call):
    """What `call` returns, as bytes, and the most temporary memory of the programs it needs."""
    before = set(realize._plans)
    found = am.tree.leaves(call())
    am.evaluate(*found)
    new = [plan for key, plan in realize._plans.items() if key not in before]
    assert new
    arena = max(plan.compiled.program.arena_bytes for plan in new)
    return [x.numpy().tobytes() for x in found], arena


@pytest.mark.parametrize("jit", [False, True], ids=["lazy", "jit"])
def test_same_bits_from_less_memory(jit):
    given = params()
    transform = am.jit if jit else lambda f: f
    plain, much = measured(lambda: transform(am.value_and_grad(loss(block)))(*given))
    again, little = measured(
        lambda: transform(am.value_and_grad(loss(am.checkpoint(block))))(*given)
    )
    assert plain == again
    # Kept are the inputs of the blocks, and of one block everything: four times as wide.
    row = BATCH * WIDTH * 4
    assert much > (LAYERS * 4 + LAYERS) * row
    assert little < (LAYERS + 14) * row


def test_parameters_of_modules_are_found():
    am.manual_seed(0)
    net = am.nn.Sequential(am.nn.Linear(3, 5), am.nn.Tanh(), am.nn.Dropout(0.5), am.nn.Linear(5, 2))
    x = am.rand(4, 3)
    grads = []
    for call in (net, am.checkpoint(net)):
        am.manual_seed(1)  # the same numbers are dropped, in the backward pass as well
        net.zero_grad()
        call(x).sum().backward()
        grads.append([p.grad.numpy().tobytes() for p in net.parameters()])
    assert grads[0] == grads[1]


def test_nested_and_of_trees():
    inner = am.checkpoint(lambda d, k: {"y": am.sin(d["x"]) * k})
    outer = am.checkpoint(lambda d: inner(inner(d, 2.0) | {"x": d["x"]}, k=3.0)["y"].sum())
    x = am.tensor([0.3, 0.7])
    expected = am.grad(lambda x: (am.sin(x) * 3.0).sum())(x)
    assert am.grad(lambda x: outer({"x": x}))(x).tolist() == expected.tolist()


def test_what_needs_no_gradient_is_left_alone():
    x = am.tensor([1.0, 2.0])
    assert not am.checkpoint(am.sin)(x).requires_grad
    with am.no_grad():
        assert am.checkpoint(am.sin)(x).tolist() == am.sin(x).tolist()
    result = am.checkpoint(lambda x: (x * 2, "text"))(am.tensor([1.0], requires_grad=True))
    assert result[1] == "text"
    with pytest.raises(ArgumentTypeError, match="checkpoint: got Tensor; need a function"):
        am.checkpoint(x)


def test_half_precision_recomputes_the_same_bits():
    x = am.tensor(np.linspace(-1, 1, 64), dtype="float16")
    plain = am.grad(lambda x: am.exp(am.sin(x * 3)).sum())(x)
    again = am.grad(lambda x: am.checkpoint(lambda x: am.exp(am.sin(x * 3)))(x).sum())(x)
    assert plain.numpy().tobytes() == again.numpy().tobytes()
