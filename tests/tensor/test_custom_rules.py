"""custom_vjp, custom_jvp, autograd.Function: misuse, cost, loops. Values are in
tests/parity/test_transforms_jax.py."""

from __future__ import annotations

import gc
import weakref
from functools import partial

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import GradientError, TracingError
from ambos.tensor import realize

X = am.tensor([1.0, 2.0])


def ruled(bwd, fn=lambda x: x * 2, fwd=None):
    f = am.custom_vjp(fn)
    f.defvjp(fwd or (lambda x: (f(x), x)), bwd)
    return f


def pushed(rule, fn=lambda x: x * 2):
    f = am.custom_jvp(fn)
    f.defjvp(rule)
    return f


def total(f):
    return am.grad(lambda x: am.tree.leaves(f(x))[0].sum())(X)


MISUSE = {
    "no rule": (lambda: am.custom_vjp(lambda x: x)(X), "<lambda> has no rule; need .*defvjp"),
    "no tangent rule": (lambda: am.custom_jvp(lambda x: x)(X), "has no rule; need .*defjvp"),
    "fwd without residuals": (
        lambda: total(ruled(lambda r, g: (g,), fwd=lambda x: x)), "fwd of .* returned Tensor"),
    "fwd of another shape": (
        lambda: total(ruled(lambda r, g: (g,), fwd=lambda x: (am.ones(3), x))),
        r"fwd of <lambda> returned float32\[3\] as result, where .* itself returns float32\[2\]"),
    "fwd of another structure": (
        lambda: total(ruled(lambda r, g: (g["a"],), fwd=lambda x: ({"a": x * 2}, x))),
        "what fwd returns first has a dict .*, what <lambda> returns a leaf; need"),
    "too many": (
        lambda: total(ruled(lambda r, g: (g, g))), "returned tuple of 2; need a tuple of 1"),
    "no tuple": (lambda: total(ruled(lambda r, g: g)), "returned Tensor; need a tuple of 1"),
    "a shape": (
        lambda: total(ruled(lambda r, g: (g.sum(),))),
        r"returned float32\[\] for argument\[0\], which is float32\[2\]; need equal shapes"),
    "a dtype": (lambda: total(ruled(lambda r, g: (g.double(),))), r"returned float64\[2\]"),
    "a structure": (
        lambda: am.grad(lambda x: ruled(lambda r, g: (g,), lambda d: d["a"] + d["b"])(
            {"a": x, "b": x}).sum())(X),
        "bwd of <lambda> returned .* for argument 0, which is .*; need one structure"),
    "no tensor": (lambda: total(ruled(lambda r, g: ("x",))), "returned a str for argument 0"),
    "no result": (lambda: total(ruled(lambda r, g: (g,), lambda x: None)), "is a return missing"),
    "forward mode": (
        lambda: am.jvp(ruled(lambda r, g: (g,)), (X,), (X,)),
        "a rule for reverse mode only, .*need am.custom_jvp"),
    "no pair": (lambda: total(pushed(lambda p, t: t[0])), "returned Tensor; need a pair"),
    "a tangent's shape": (
        lambda: total(pushed(lambda p, t: (p[0] * 2, t[0].sum()))),
        r"the tangent is float32\[\], the value is float32\[2\]"),
    "not linear": (
        lambda: total(pushed(lambda p, t: (p[0] * 2, t[0] ** 2))), "not linear in the tangents"),
    "as many rules": (
        lambda: total(_several()), "defjvps gave 2 rules for the 1 arguments"),
}  # fmt: skip


def _several():
    f = am.custom_jvp(lambda x: x * 2)
    f.defjvps(None, None)
    return f


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_explained_and_leaves_nothing_behind(name):
    call, message = MISUSE[name]
    with pytest.raises((GradientError, ValueError), match=message):
        call()
    assert am.is_grad_enabled()
    assert total(ruled(lambda x, g: (g * 3,))).tolist() == [3, 3]


def test_the_rule_runs_only_where_something_is_differentiated():
    asked = []
    f = ruled(lambda r, g: (g,), fwd=lambda x: asked.append(1) or (x * 2, None))
    f(X)
    am.jit(f)(X)
    am.vmap(f)(X)
    assert asked == []
    total(f)
    assert asked == [1]


def test_keywords_and_defaults():
    @am.custom_vjp
    def f(x, scale=2.0, *, shift=0.0):
        return x * scale + shift

    f.defvjp(lambda x, scale=2.0: (f(x, scale), scale), lambda scale, g: (g * 10, None))
    assert am.grad(lambda x: f(x=x, scale=3.0).sum())(X).tolist() == [10, 10]
    assert f(X, scale=am.tensor(3.0)).tolist() == [3, 6]
    assert f.__name__ == "f"


def test_methods_and_partials():
    @partial(am.custom_vjp, nondiff_argnums=0)
    def f(power, x):
        return x**power

    f.defvjp(lambda power, x: (f(power, x), x), lambda power, x, g: (g * power,))
    assert am.grad(lambda x: f(3, x).sum())(X).tolist() == [3, 3]


def test_backward_asks_the_rule():
    x = am.tensor([1.0, 2.0], requires_grad=True)
    ruled(lambda r, g: (g * 5,))(x).sum().backward()
    assert x.grad.tolist() == [5, 5]


def test_a_rule_costs_no_kernel_and_no_program():
    """A new rule at every step finds the plan of the step before."""

    def step(value, scale):
        x = am.tensor([value, 2.0])
        f = ruled(lambda x, g: (g * am.cos(x),), am.sin)
        loop = am.scan(lambda c, z: (f(c) * z, None), x, am.tensor([1.0, scale]))[0]
        return am.grad(lambda x: (f(x) * loop).sum())(x).tolist()

    step(1.0, 2.0)
    before = realize.planning.programs
    step(2.0, 3.0)
    assert realize.planning.programs == before


@pytest.mark.parametrize("jit", [False, True])
def test_in_a_scan(jit):
    f = ruled(lambda x, g: (2 * g * am.cos(x),), am.sin)

    def looped(x):
        return am.scan(lambda c, _: (f(c), None), x, None, length=3)[0].sum()

    def written_out(x):
        return f(f(f(x))).sum()

    transform = am.jit if jit else lambda g: g
    found, expected = (transform(am.grad(g))(X) for g in (looped, written_out))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), 1e-6)


def test_a_rule_that_looks_at_values_under_vmap_says_so():
    f = ruled(lambda r, g: (g if g.sum() > 0 else -g,))
    with pytest.raises(TracingError, match="looked at inside"):
        am.grad(lambda x: am.vmap(f)(x).sum())(X)
    assert total(f).tolist() == [1, 1]


def test_nothing_keeps_a_rule_alive():
    """What a user's rule holds (a model, a data set) goes when he lets go of it."""

    class Held:
        pass

    def step():
        held = Held()
        f = ruled(lambda x, g, held=held: (g * am.cos(x),), am.sin)
        looped = am.scan(lambda c, _: (f(c), None), X, None, length=3)
        am.evaluate(looped[0], am.grad(lambda x: f(x).sum())(X))
        am.grad(lambda x: am.scan(lambda c, _: (f(c), None), x, None, length=3)[0].sum())(X).numpy()
        return weakref.ref(held)

    reference = step()
    gc.collect()
    assert reference() is None


# --- autograd.Function ---------------------------------------------------------------------------


def scaled(m):
    class Scaled(m.autograd.Function):
        @staticmethod
        def forward(ctx, x, y, k):
            ctx.k = k
            out = m.exp(x) * y
            ctx.save_for_backward(x, y, out)
            return out, x * k

        @staticmethod
        def backward(ctx, g, h):
            x, _, out = ctx.saved_tensors
            assert ctx.needs_input_grad[0]
            assert not ctx.needs_input_grad[2]
            return g * out * 3 + h * ctx.k, g * m.exp(x), None

    return Scaled


def results(m, tensor):
    x, y = tensor([0.1, 0.2]), tensor([0.3, -0.5])
    a, b = scaled(m).apply(x, y, 3.0)
    first = m.autograd.grad((a**2 + a * b).sum(), [x, y], create_graph=True)
    second = m.autograd.grad((first[0] * first[1]).sum(), [x, y])
    return [v.tolist() for v in (a, b, *first, *second)]


def test_function_as_torch():
    ours = results(am, lambda v: am.tensor(v, dtype="float64", requires_grad=True))
    theirs = results(torch, lambda v: torch.tensor(v, dtype=torch.float64, requires_grad=True))
    np.testing.assert_allclose(ours, theirs, 1e-12)


def test_function_under_transforms():
    f = scaled(am)
    slopes = am.vmap(am.grad(lambda x: f.apply(x, am.tensor(1.0, requires_grad=True), 2.0)[0]))(X)
    np.testing.assert_allclose(slopes.numpy(), 3 * np.exp(X.numpy()), 1e-6)
    with pytest.raises(GradientError, match="need a static method jvp"):
        am.jvp(lambda x: f.apply(x, x, 2.0)[0], (X,), (X,))


class Both(am.autograd.Function):
    """With a context set up behind, a result without gradient, and a rule for forward mode."""

    @staticmethod
    def forward(x):
        return x * 2, x.floor()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, g, h):
        assert h is None
        return g * 7

    @staticmethod
    def jvp(ctx, t):
        return t * 5, None


def test_function_with_a_context_behind_and_forward_mode():
    x = am.tensor([1.5, 2.5], requires_grad=True)
    a, b = Both.apply(x)
    assert a.requires_grad
    assert not b.requires_grad
    a.sum().backward()
    assert x.grad.tolist() == [7, 7]
    assert am.jvp(lambda x: Both.apply(x)[0], (X,), (X,))[1].tolist() == [5, 10]


BROKEN = {
    "too few": (lambda ctx, g: (g,), "backward returned 1 gradients; need 2"),
    "a shape": (lambda ctx, g: (g.sum(), None), r"returned float32\[\] for argument 0"),
    "no tensor": (lambda ctx, g: ("x", None), "returned str for argument 0"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_function_misuse(name):
    backward, message = BROKEN[name]
    facts = {"forward": lambda ctx, x, k: x * k, "backward": backward}
    broken = type("Broken", (am.autograd.Function,), {k: staticmethod(v) for k, v in facts.items()})
    with pytest.raises(GradientError, match=message):
        am.grad(lambda x: broken.apply(x, 2).sum())(X)
    assert broken.apply(X, 2).tolist() == [2, 4]
