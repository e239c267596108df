"""One program for both: a namespace of the functions and transforms that ambos and JAX share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ambos as am

Program = Callable[[Any], Any]  # from a namespace to results

SHARED = (
    "sin", "cos", "tanh", "exp", "log", "sqrt", "where", "stack", "concatenate", "maximum", "abs",
    "einsum", "cumsum", "ones_like", "zeros_like", "arange", "sort", "clip", "sum", "prod",
    "ones", "real", "log1p", "eye", "outer", "max",
)  # fmt: skip
TRANSFORMS = (
    "grad", "value_and_grad", "jvp", "vjp", "linearize", "jacfwd", "jacrev", "hessian", "vmap",
    "jit", "checkpoint", "custom_jvp", "custom_vjp",
)  # fmt: skip


def namespace(name: str) -> SimpleNamespace:
    ours = name == "ambos"
    found = SimpleNamespace(name=name)
    for shared in SHARED:
        setattr(found, shared, getattr(am if ours else jnp, shared))
    for shared in TRANSFORMS:
        setattr(found, shared, getattr(am if ours else jax, shared))
    found.tree = am.tree if ours else jax.tree
    found.array = (lambda x: am.tensor(np.asarray(x))) if ours else jnp.asarray
    found.scan = am.scan if ours else jax.lax.scan
    found.stop_gradient = am.stop_gradient if ours else jax.lax.stop_gradient
    found.sigmoid = am.sigmoid if ours else jax.nn.sigmoid
    found.softmax = functools.partial(am.softmax if ours else jax.nn.softmax, axis=-1)
    found.hvp = am.hvp if ours else _hvp
    found.inv = am.linalg.inv if ours else jnp.linalg.inv
    found.cholesky = am.linalg.cholesky if ours else jnp.linalg.cholesky
    found.solve = am.linalg.solve if ours else jnp.linalg.solve
    found.det = am.linalg.det if ours else jnp.linalg.det
    return found


def _hvp(fn: Any, primals: Any, vectors: Any) -> Any:
    """As JAX's documentation writes it."""
    return jax.jvp(jax.grad(fn), (primals,), (vectors,))[1]


def leaves(tree: Any) -> list[np.ndarray]:
    """Results as arrays."""
    return [x.numpy() for x in am.tree.leaves(tree)]


TOGETHER = 12  # programs that JAX compiles as one: op by op it takes ten times as long
_expected: dict[tuple[str, ...], list[list[np.ndarray]]] = {}


def by_jax(name: str, cases: Mapping[str, Program]) -> list[np.ndarray]:
    """JAX's results, and with them those of the neighbours."""
    names = list(cases)
    place, first = names.index(name) % TOGETHER, names.index(name) // TOGETHER * TOGETHER
    group = tuple(names[first : first + TOGETHER])
    if group not in _expected:
        with jax.enable_x64(True):
            whole = jax.jit(lambda: [jax.tree.leaves(cases[k](namespace("jax"))) for k in group])
            results = whole.lower().compile({"xla_backend_optimization_level": 0})()
            _expected[group] = [[np.asarray(x) for x in found] for found in results]
    return _expected[group][place]


def check(name: str, cases: Mapping[str, Program], rtol: float = 1e-9) -> None:
    """The same leaves, in shape, dtype and value."""
    ours, theirs = leaves(cases[name](namespace("ambos"))), by_jax(name, cases)
    assert len(ours) == len(theirs)
    assert ours
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol, 1e-12)
