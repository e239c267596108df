"""backward(), autograd.grad and the grad modes against torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, GradientError, UnknownNameError


def test_gradients_accumulate():
    x = am.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(3):
        (x * x).sum().backward()
    assert x.grad.tolist() == [6.0, 12.0]
    assert not x.grad.requires_grad
    x.grad = None
    x.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_a_second_backward_needs_no_flag():
    x = am.tensor(3.0, requires_grad=True)
    y = x**3
    y.backward()
    y.backward()
    assert x.grad.item() == 54


def test_reading_the_loss_does_not_run_forward_twice(monkeypatch):
    from ambos.tensor import realize

    x = am.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    loss = (y * y).sum()
    loss.item()
    node = loss._node
    assert node.value is not None
    loss.backward()
    assert loss._node is node
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp([2.0, 4.0]), rtol=1e-6)
    assert realize


def test_weighted_backward_matches_torch():
    a, g = np.arange(4.0, dtype=np.float32), np.array([1, -1, 2, 0.5], np.float32)
    ours, theirs = am.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    (ours**3).backward(am.tensor(g))
    (theirs**3).backward(torch.tensor(g))
    np.testing.assert_array_equal(ours.grad.numpy(), theirs.grad)


def test_only_inputs_asked_for():
    x, y = (am.tensor(2.0, requires_grad=True) for _ in range(2))
    (x * y).backward(inputs=[x])
    assert x.grad.item() == 2
    assert y.grad is None


def test_retained_gradients():
    x = am.tensor(2.0, requires_grad=True)
    y = x * x
    y.retain_grad()
    assert y.retains_grad
    assert not y.is_leaf
    (y * 3).backward()
    assert y.grad.item() == 3
    assert x.grad.item() == 12


def test_leaves():
    x = am.ones(2, requires_grad=True)
    assert x.is_leaf
    assert x.grad_fn is None
    y = x * 2
    assert not y.is_leaf
    assert y.grad_fn == "multiply"
    assert y.detach().is_leaf
    assert not y.detach().requires_grad
    assert not x.clone().is_leaf
    assert am.ones(2).is_leaf


def test_equal_parameters_do_not_share_gradients():
    a, b = am.zeros(2, requires_grad=True), am.zeros(2, requires_grad=True)
    (a * 2 + b * 3).sum().backward()
    assert a.grad.tolist() == [2, 2]
    assert b.grad.tolist() == [3, 3]


def test_leaves_made_of_pending_work():
    x = am.tensor([1.0, 2.0]) * 2
    x.requires_grad_()
    y = (x * x).sum()
    x.numpy()  # the handle lets go of the work behind it, the graph of y does not
    y.backward()
    assert x.grad.tolist() == [4, 8]


def test_requires_grad_can_be_switched():
    x = am.ones(2, requires_grad=True)
    x.requires_grad = False
    assert not (x * 2).requires_grad
    with pytest.raises(GradientError, match="need a floating dtype"):
        am.tensor([1, 2]).requires_grad_()
    y = am.ones(2, requires_grad=True) * 2
    with pytest.raises(GradientError, match="only a leaf can stop"):
        y.requires_grad_(False)


def test_modes():
    w = am.ones(2, requires_grad=True)
    with am.no_grad():
        assert not (w * 2).requires_grad
        with am.enable_grad():
            assert (w * 2).requires_grad
        assert not am.is_grad_enabled()
    assert am.is_grad_enabled()

    @am.no_grad()
    def f(x):
        return x * 2

    @am.no_grad
    def g(x):
        return x * 2

    assert not f(w).requires_grad
    assert not g(w).requires_grad
    with am.set_grad_enabled(False):
        assert not (w * 2).requires_grad
    with am.inference_mode():
        assert not (w * 2).requires_grad
    with pytest.raises(ZeroDivisionError), am.no_grad():
        1 / 0
    assert am.is_grad_enabled()


def test_modes_belong_to_threads():
    import threading

    seen = []
    with am.no_grad():
        thread = threading.Thread(target=lambda: seen.append(am.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_integers_carry_no_gradient():
    x = am.tensor([1.5, 2.5], requires_grad=True)
    assert not x.long().requires_grad
    assert not (x > 2).requires_grad
    (x * x.long().float()).sum().backward()
    assert x.grad.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: am.ones(2).sum().backward(), "backward: the tensor does not require grad"),
        (
            lambda: am.jit(am.nn.Linear(1, 1))(am.ones(1, 1)).sum().backward(),
            r"Results of a function under am\.jit carry no gradient: there, need the loss",
        ),
        (lambda: am.ones(2, requires_grad=True).backward(), r"has shape \(2,\); need a scalar"),
        (
            lambda: am.ones(2, requires_grad=True).backward(am.ones(3)),
            r"the gradient is \(3,\) but the tensor is \(2,\)",
        ),
        (
            lambda: am.autograd.grad(am.ones(1, requires_grad=True).sum(), am.ones(1)),
            "the outputs do not depend on input 0",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(GradientError, match=message):
        call()


def test_grad_of_grad_matches_torch():
    a = np.array([0.5, 1.0, 2.0], np.float32)

    def second(module, tensor):
        x = tensor(a, requires_grad=True)
        y = (x.sin() * x**3).sum()
        (first,) = module.autograd.grad(y, x, create_graph=True)
        assert first.requires_grad
        (found,) = module.autograd.grad((first * first).sum(), x)
        assert not found.requires_grad
        return np.asarray(found)

    np.testing.assert_allclose(second(am, am.tensor), second(torch, torch.tensor), rtol=1e-5)


def test_unused_inputs():
    x, y = am.ones(1, requires_grad=True), am.ones(1, requires_grad=True)
    found = am.autograd.grad((x * 2).sum(), [x, y], allow_unused=True)
    assert found[0].tolist() == [2]
    assert found[1] is None


def test_a_training_loop_matches_torch():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 5)).astype("f4"), rng.normal(size=(16, 1)).astype("f4")
    w0, b0 = rng.normal(size=(5, 1)).astype("f4"), np.zeros(1, "f4")

    def train(tensor, no_grad):
        w, b = tensor(w0, requires_grad=True), tensor(b0, requires_grad=True)
        for _ in range(5):
            loss = ((tensor(x) @ w + b - tensor(y)) ** 2).mean()
            loss.backward()
            with no_grad():
                for p in (w, b):
                    p -= 0.1 * p.grad
                    p.grad = None
        return np.asarray(w.detach()), loss.item()

    ours, theirs = train(am.tensor, am.no_grad), train(torch.tensor, torch.no_grad)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5, atol=1e-7)
    assert ours[1] == pytest.approx(theirs[1], rel=1e-5)


def test_graphs_are_let_go():
    import gc
    import weakref

    w = am.ones(3, requires_grad=True)
    loss = (w * 2).sum()
    loss.backward()
    old = weakref.ref(loss._node.inputs[0])
    with am.no_grad():
        w -= w.grad
    am.evaluate(w)
    w.grad = None
    del loss
    gc.collect()
    assert old() is None


def test_what_gradient_penalties_say_to_grad() -> None:
    def play(lib):
        x = lib.tensor([1.0, 2.0], requires_grad=True)
        y = lib.tensor([[3.0]], requires_grad=True)
        (g,) = lib.autograd.grad(
            outputs=(x**3).sum(), inputs=x, create_graph=True, retain_graph=True, only_inputs=True
        )
        found = lib.autograd.grad((g**2).sum(), [x, y], materialize_grads=True)
        return [tensor.tolist() for tensor in found]

    assert play(am) == play(torch)
    x = am.ones(2, requires_grad=True)
    with pytest.raises(ArgumentError, match="only_inputs=False; need backward"):
        am.autograd.grad(x.sum(), x, only_inputs=False)
    with pytest.raises(UnknownNameError, match="Did you mean 'retain_graph'"):
        am.autograd.grad(x.sum(), x, retain=True)


def test_batched_gradients_are_rows_of_jacobians_as_in_torch():
    found = {}
    for lib in (torch, am):
        x, w = (lib.tensor(v, requires_grad=True) for v in ([1.0, 2.0, 3.0], [1.0, 2.0]))
        y, z, eye = x**2, (x * x * x).sum(), lib.eye(3)
        both = [eye, lib.ones(3)]
        grad = lib.autograd.grad
        rows, none = grad(y, [x, w], eye, True, allow_unused=True, is_grads_batched=True)
        (sums,) = grad([y, z], [x], both, is_grads_batched=True, create_graph=True)
        (again,) = grad(sums.sum(), x)
        found[lib] = [rows.tolist(), none, sums.tolist(), again.tolist()]
    assert found[am] == found[torch]
    with pytest.raises(ArgumentError, match="is_grads_batched without grad_outputs"):
        am.autograd.grad(y, x, is_grads_batched=True)
