"""Every public name of this room: what `ambos` offers as `am.<name>`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ambos.core import tree
from ambos.core.arguments import checked
from ambos.core.elsewhere import needed
from ambos.core.errors import UnknownNameError, suggest
from ambos.tensor import (
    branches,
    calculus,
    choosing,
    composite,
    covariance,
    creation,
    custom_gradients,
    custom_tangents,
    denormal,
    diagonals,
    distances,
    dynamic,
    floats,
    gather,
    histograms,
    jacobians,
    jit,
    joining,
    limits,
    linear,
    linearization,
    live,
    loops,
    mapping,
    methods,
    missing,
    modes,
    movement,
    namespace,
    norms,
    numbers,
    padding,
    parts,
    pointwise,
    predicates,
    products,
    quantiles,
    recompute,
    reductions,
    repeating,
    running,
    scattering,
    searching,
    segments,
    sets,
    show,
    soft,
    sorting,
    splitting,
    transforms,
    vmap,
    windows,
)
from ambos.tensor.handle import Tensor
from ambos.tensor.random import basic, generator, torch_names
from ambos.tensor.special import common

MODULES = (pointwise, composite, numbers, common, movement, padding, joining, reductions, running,
           soft, norms, missing, quantiles, predicates, histograms, gather, sorting, searching,
           segments, sets, linear, distances, dynamic, windows, creation, limits, namespace, parts,
           basic, generator, torch_names, transforms, linearization, jacobians, custom_gradients,
           custom_tangents, recompute, vmap, loops, branches, mapping, jit,
           products, diagonals, splitting, scattering, choosing, calculus, covariance,
           floats, repeating)  # fmt: skip


@checked
def evaluate(*tensors: Any) -> Any:
    """Compute tensors (and trees of them) now, in one Program; returns what it was given.

    Example:
        >>> import ambos as am
        >>> x = am.ones(2) + 1
        >>> am.evaluate(x) is x
        True
    """
    found = [leaf for tensor in tensors for leaf in tree.leaves(tensor)]
    live.evaluate([leaf for leaf in found if isinstance(leaf, Tensor)])
    return tensors[0] if len(tensors) == 1 else tensors


def names() -> dict[str, Any]:
    """The public functions, classes and numbers by name."""
    found: dict[str, Any] = methods.functions(*MODULES)
    found |= {
        name: getattr(modes, name)
        for name in (
            "enable_grad",
            "inference_mode",
            "is_grad_enabled",
            "no_grad",
            "set_grad_enabled",
        )
    }
    found |= {
        name: getattr(denormal, name) for name in ("get_flush_denormal", "set_flush_denormal")
    }
    found |= {name: getattr(limits, name) for name in ("pi", "e", "inf", "nan", "newaxis")}
    found["__array_api_version__"] = namespace.VERSIONS[-1]
    found |= {"Tensor": Tensor, "evaluate": evaluate, "set_printoptions": show.set_printoptions}
    return found


def unknown(name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that this package does not have."""
    fix = needed("ambos", name)
    if fix is not None:
        return UnknownNameError(f"ambos: has no attribute {name!r}; need {fix}")
    return UnknownNameError(
        f"ambos: has no attribute {name!r}; need an existing name",
        hint=lambda: suggest(name, known),
    )
