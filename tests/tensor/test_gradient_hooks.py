"""Hooks on tensors, beside PyTorch's."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
from ambos import nn, optim
from ambos.core.errors import GradientError
from ambos.tensor import gradient_hooks


def test_gradients_are_those_that_hooks_make_of_them() -> None:
    def play(lib: Any) -> list[Any]:
        x = lib.tensor([1.0, 2.0], requires_grad=True)
        w = lib.tensor([3.0, -1.0], requires_grad=True)
        y = x * w
        z = y.exp() + y  # y is used before it is hooked
        seen: list[Any] = []
        handles = [
            y.register_hook(lambda g: seen.append(("y", g.tolist()))),
            y.register_hook(lambda g: g.clamp(max=2.0)),
            x.register_hook(lambda g: g * 10),
            x.register_hook(lambda g: seen.append(("x", g.tolist()))),
            w.register_post_accumulate_grad_hook(lambda p: seen.append(("w", p.grad.tolist()))),
        ]
        z.sum().backward(retain_graph=True)
        found = [x.grad.tolist(), w.grad.tolist()]
        found += [g.tolist() for g in lib.autograd.grad(z.sum(), [x, w], retain_graph=True)]
        for handle in handles[1:]:
            handle.remove()
        z.sum().backward()
        return [found, x.grad.tolist(), w.grad.tolist(), seen]

    ours, theirs = play(am), play(torch)
    for mine, its in zip(_numbers(ours), _numbers(theirs), strict=True):
        assert mine == pytest.approx(its, rel=1e-6)


def _numbers(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in _numbers(item)]
    return [] if isinstance(value, str) else [value]


def test_a_parameter_keeps_its_hooks_from_step_to_step() -> None:
    def play(lib: Any, rules: Any) -> list[float]:
        w = lib.tensor([1.0, 1.0], requires_grad=True)
        w.register_hook(lambda g: g * lib.tensor([1.0, 0.0]))  # the second is frozen
        optimizer = rules.SGD([w], lr=0.1, momentum=0.9)
        for _ in range(4):
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()
        return w.tolist()

    assert play(am, optim) == pytest.approx(play(torch, torch.optim))


def test_a_jitted_step_sees_hooks_come_and_go() -> None:
    layer = nn.Linear(2, 1, bias=False)

    @am.jit
    def gradient() -> am.Tensor:
        layer.zero_grad()
        layer(am.ones(1, 2)).sum().backward()
        return layer.weight.grad * 1

    assert gradient().tolist() == [[1.0, 1.0]]
    with layer.weight.register_hook(lambda g: g * 3):
        assert gradient().tolist() == [[3.0, 3.0]]
    assert gradient().tolist() == [[1.0, 1.0]]


def test_a_step_may_be_taken_as_soon_as_a_gradient_is_there() -> None:
    layer = nn.Linear(2, 2)
    rules = {p: optim.SGD([p], lr=0.5) for p in layer.parameters()}

    def step(p: am.Tensor) -> None:
        rules[p].step()
        rules[p].zero_grad()

    for p in layer.parameters():
        p.register_post_accumulate_grad_hook(step)
    before = layer.bias.numpy().copy()
    layer(am.ones(1, 2)).sum().backward()
    assert (layer.bias.numpy() == before - np.float32(0.5)).all()
    assert layer.weight.grad is None


def test_what_is_refused_and_let_go() -> None:
    with pytest.raises(GradientError, match="does not require grad; need one that does"):
        am.ones(2).register_hook(print)
    x = am.ones(2, requires_grad=True)
    with pytest.raises(GradientError, match="result of an operation; need a leaf"):
        (x * 2).register_post_accumulate_grad_hook(print)
    handle = x.register_hook(lambda g: g.sum())
    with pytest.raises(GradientError, match=r"returned \(\) for the gradient float32\[2\]"):
        (x * 2).sum().backward()
    assert x.grad is None
    number = id(x)
    assert number in gradient_hooks._of_leaves
    del x
    gc.collect()
    assert number not in gradient_hooks._of_leaves
    handle.remove()


def test_a_hook_is_for_one_tensor_and_not_for_equal_ones() -> None:
    def play(lib: Any) -> list[Any]:
        x = lib.tensor([1.0, 2.0], requires_grad=True)
        found: list[Any] = []

        def look(*results: Any) -> None:
            sum(y.sum() * n for n, y in enumerate(results, 1)).backward(retain_graph=True)
            found.append(x.grad.tolist())
            x.grad = None

        for _ in range(3):  # hooks of earlier rounds are those of earlier tensors
            y = x * 2
            y.register_hook(lambda g: g * 3)
            look(y)
        y = x * 2
        look(y)
        y, z = x * 2, x * 2
        y.register_hook(lambda g: g * 3)
        look(y, z, x * 2)
        z.register_hook(lambda g: g * 5)
        y.register_hook(lambda g: g * 7)
        look(y, z, x * 2)
        y = x * 4
        z = y.reshape(2)  # a view that changes nothing
        y.register_hook(lambda g: g * 11)
        look(y, z)
        z.register_hook(lambda g: g * 13)
        look(y, z)
        z = x.reshape(2)
        z.register_hook(lambda g: g * 17)
        look(x, z)
        y, z = x * 2, x * 2
        y.retain_grad()
        look(y, z)
        found.append(y.grad.tolist())
        z = x.reshape(2)
        z.retain_grad()
        look(x, z)
        found.append(z.grad.tolist())
        y = x * 6
        y.tolist()  # computed before it is hooked
        z = x * 6
        z.register_hook(lambda g: g * 19)
        look(y, z)
        return found

    assert play(am) == play(torch)


def test_transforms_and_recorded_functions_see_hooks_on_results() -> None:
    def f(x: Any) -> Any:
        y, z = x * 2, x * 2
        y.register_hook(lambda g: g * 3)
        return (y * y + z).sum()

    x = np.array([1.0, -2.0], np.float32)
    expected = torch.func.grad(f)(torch.tensor(x)).tolist()
    ours = am.tensor(x)
    assert am.grad(f)(ours).tolist() == expected
    assert am.jit(am.grad(f))(ours).tolist() == expected
    value, pull = am.vjp(f, ours)
    assert [pull(value * 0 + 1)[0].tolist() for _ in range(2)] == [expected] * 2

    @am.jit
    def step(x: am.Tensor) -> am.Tensor:
        x = x.detach().requires_grad_()
        f(x).backward()
        return x.grad * 1

    assert [step(ours).tolist() for _ in range(2)] == [expected] * 2


def hooked(lib: Any, kind: str, depth: int) -> list[Any]:
    """What hooks inside of a function see, and the gradients; `depth` checkpoints around it."""
    seen: list[Any] = []
    x = lib.tensor([1.0, 2.0, 3.0], requires_grad=True)
    w = lib.tensor([2.0, 0.5, -1.0], requires_grad=True)
    module = lib.nn.Identity()
    if kind == "module":
        module.register_full_backward_hook(lambda m, of_in, of_out: (of_in[0] * of_out[0],))

    def f(x: Any) -> Any:
        if kind == "argument":
            x.register_hook(lambda g: seen.append(g.tolist()))
        y = module(x * w)
        if kind == "retained":
            y.retain_grad()
            seen.append(y)
        if kind == "removed":
            y.register_hook(lambda g: g * 3).remove()
        if kind == "changed":
            y.register_hook(lambda g: g * 7)
            y.register_hook(lambda g: seen.append(g.tolist()))
        z = y * y
        if kind == "result":
            z.register_hook(lambda g: g + 1)
        return z

    g = f
    for _ in range(depth):
        g = am.checkpoint(g)
    (g(x) * 2).sum().backward()
    if kind == "retained":
        seen = [y.grad.tolist() for y in seen]
    return [*seen, x.grad.tolist(), w.grad.tolist()]


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize(
    "kind", ["argument", "retained", "removed", "changed", "result", "module"]
)  # fmt: skip
def test_hooks_inside_a_checkpoint(kind: str, depth: int) -> None:
    """As PyTorch's without one: those are called once."""
    assert hooked(am, kind, depth) == hooked(torch, kind, 0)


def test_a_checkpoint_keeps_no_tensor_for_its_hooks() -> None:
    x = am.ones(3, requires_grad=True)
    kept = []

    def f(x: Any) -> Any:
        y = x * 2
        y.register_hook(lambda g: g * 7)
        kept.append(weakref.ref(y._node))
        return y * y

    z = am.checkpoint(f)(x)
    am.evaluate(z)
    gc.collect()
    node = kept[0]()
    assert node is None or node.value is None
    z.sum().backward()
    assert x.grad.tolist() == [56.0] * 3
