"""Functions near a point: `jvp`, `vjp`, `linearize`, `hvp`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ambos.autodiff.forward import tangents as push
from ambos.autodiff.reverse import gradients
from ambos.core.errors import ArgumentTypeError, GradientError
from ambos.graph.node import Node
from ambos.graph.rewrite import substitute
from ambos.ops.sources import argument
from ambos.tensor.gradient_hooks import turned
from ambos.tensor.handle import wrap
from ambos.tensor.live import leaf_node
from ambos.tensor.modes import enable_grad, set_grad_enabled
from ambos.tensor.names import public
from ambos.tensor.transforms import grad
from ambos.tensor.variables import (
    Results,
    Variables,
    constants_of,
    finished,
    keeps,
    matched,
    require_function,
    run,
    zeros_like,
)


@public
def jvp(
    fn: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> Any:  # fmt: skip
    """(The value of fn(*primals), how it moves when the primals move by `tangents`); with `has_aux`
    a third: the rest of what `fn` returns.

    Forward mode: one pass with the function, whatever the number of results. Of a function of
    complex numbers with a derivative f' the tangent is f' times the one given, as in JAX.

    Errors: ArgumentError where tangents differ from primals in structure, shape or dtype.

    Example:
        >>> import ambos as am
        >>> am.jvp(lambda x, y: x * y, (am.tensor(2.0), am.tensor(3.0)), (1.0, 10.0))
        (tensor(6.), tensor(23.))
    """
    variables, moved = _point("jvp", fn, primals, tangents)
    results = run("jvp", fn, variables, has_aux)
    with enable_grad():
        found = _pushed(results, variables, moved)
    keep = keeps([*results.nodes, *found], variables)
    parts = [results.tree(results.nodes), results.tree(found), results.aux]
    return tuple(finished(parts[: 2 + has_aux], variables, keep))


@public
def vjp(fn: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(The value of fn(*primals), a function of cotangents like that value that returns a tuple of
    cotangents, one like each primal); with `has_aux` a third: the rest of what `fn` returns.

    Reverse mode: what the cotangents are multiplied with is computed once, for any number of calls.

    Errors: ArgumentError where a cotangent differs from the value in structure, shape or dtype.

    Example:
        >>> import ambos as am
        >>> value, pull = am.vjp(lambda x, y: x * y, am.tensor(2.0), am.tensor(3.0))
        >>> pull(am.tensor(1.0))
        (tensor(3.), tensor(2.))
    """
    require_function("vjp", fn, "am.vjp(f, x)")
    return pulled("vjp", fn, {f"argument {n}": x for n, x in enumerate(primals)}, has_aux)


def pulled(op: str, fn: Callable[..., Any], primals: Mapping[str, Any], has_aux: bool) -> Any:
    """`vjp` of arguments given by their names."""
    variables = Variables(op, primals)
    results = run(op, fn, variables, has_aux)
    keep = keeps(results.nodes, variables)
    ends = [node for node in results.nodes if node.tracked]

    def linear(keep: bool, cut: bool) -> Linear:
        def build(cotangents: Sequence[Node]) -> list[Node | None]:
            seeds = [c for c, node in zip(cotangents, results.nodes, strict=True) if node.tracked]
            with set_grad_enabled(keep):
                return gradients(ends, seeds, variables.nodes, turned())

        return Linear(results.nodes, build, cut)

    plain = linear(keep, False)

    def pull(cotangents: Any) -> tuple[Any, ...]:
        seeds = matched(op, cotangents, results.structure, results.nodes,
                        ("the cotangent", "the value"))  # fmt: skip
        again = not keep and any(seed.tracked for seed in seeds)
        return tuple(variables.trees((linear(True, True) if again else plain)(seeds)))

    value, aux = finished([results.tree(results.nodes), results.aux], variables, keep)
    return (value, pull, aux) if has_aux else (value, pull)


@public
def linearize(fn: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(The value of fn(*primals), the linear function of tangents that is fn's derivative there);
    with `has_aux` a third: the rest of what `fn` returns.

    As `jvp`, but what does not depend on the tangents is computed once, for any number of calls.

    Example:
        >>> import ambos as am
        >>> value, push = am.linearize(am.sin, am.tensor(0.0))
        >>> push(am.tensor(2.0)), push(am.tensor(3.0))
        (tensor(2.), tensor(3.))
    """
    require_function("linearize", fn, "am.linearize(f, x)")
    return pushing("linearize", fn, {f"argument {n}": x for n, x in enumerate(primals)}, has_aux)


def pushing(op: str, fn: Callable[..., Any], primals: Mapping[str, Any], has_aux: bool) -> Any:
    """`linearize` at arguments given by their names."""
    variables = Variables(op, primals)
    results = run(op, fn, variables, has_aux)
    keep = keeps(results.nodes, variables)

    def moved(tangents: Sequence[Node]) -> list[Node | None]:
        with enable_grad():
            found: list[Node | None] = [*_pushed(results, variables, tangents)]
        return found

    linear = Linear(variables.given, moved, not keep)

    def pushed(*tangents: Any) -> Any:
        _same_number(op, len(primals), len(tangents), "tangents")
        found = linear(_dense(variables, variables.tangents(tangents, "tangents")))
        whole = [x or zeros_like(y) for x, y in zip(found, results.nodes, strict=True)]
        return results.tree(whole)

    value, aux = finished([results.tree(results.nodes), results.aux], variables, keep)
    return (value, pushed, aux) if has_aux else (value, pushed)


@public
def hvp(fn: Callable[..., Any], primals: Any, vectors: Any) -> Any:
    """The Hessian of fn's scalar value at `primals` times `vectors`, which are like the primals: a
    tuple of arguments, or one argument.

    Forward over reverse: about three times what the function takes, and no Hessian in memory.

    Example:
        >>> import ambos as am
        >>> am.hvp(lambda x: (x**3).sum(), am.tensor([1.0, 2.0]), am.tensor([1.0, 10.0]))
        tensor([  6., 120.])
    """
    if not isinstance(primals, (tuple, list)):
        return jvp(grad(fn), (primals,), (vectors,))[1]
    found = jvp(grad(fn, tuple(range(len(primals)))), primals, vectors)[1]
    return type(primals)(found) if type(primals) in (list, tuple) else found


class Linear:
    """A linear function of nodes like `like`, as a graph whose constants are computed once.

    `build` makes its results of nodes. With `cut` gradients stop at the constants.
    """

    def __init__(
        self, like: Sequence[Node], build: Callable[[Sequence[Node]], list[Node | None]], cut: bool
    ) -> None:
        self.arguments = [argument.leaf(node.shape, node.dtype, True) for node in like]
        self.results = build(self.arguments)
        present = [node for node in self.results if node is not None]
        self.constants = constants_of(present, self.arguments)
        self.held = [wrap(node) for node in self.constants]  # computed with whatever is looked at
        self.cut = cut

    def __call__(self, given: Sequence[Node]) -> list[Node | None]:
        new = dict(zip(self.arguments, given, strict=True))
        for node in self.constants:
            new[node] = leaf_node(node, False) if self.cut and node.tracked else node
        present = iter(substitute([node for node in self.results if node is not None], new))
        return [None if node is None else next(present) for node in self.results]


def _pushed(results: Results, variables: Variables, moved: Sequence[Node | None]) -> list[Node]:
    found = push(results.nodes, variables.nodes, moved)
    return [x or zeros_like(node) for x, node in zip(found, results.nodes, strict=True)]


def _dense(variables: Variables, moved: Sequence[Node | None]) -> list[Node]:
    return [x or zeros_like(node) for x, node in zip(moved, variables.given, strict=True)]


def _point(
    op: str, fn: Callable[..., Any], primals: Any, tangents: Any
) -> tuple[Variables, list[Node | None]]:
    require_function(op, fn, f"am.{op}(f, (x,), (t,))")
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, (tuple, list)):
            raise ArgumentTypeError(f"{op}: {name} is a {type(value).__name__}; need a tuple with "
                                    f"one for each argument: ({name[:-1]},)")  # fmt: skip
    _same_number(op, len(primals), len(tangents), "tangents")
    variables = Variables(op, {f"primals[{n}]": x for n, x in enumerate(primals)})
    return variables, variables.tangents(tangents, "tangents")


def _same_number(op: str, need: int, count: int, what: str) -> None:
    if need != count:
        raise GradientError(f"{op}: got {count} {what} for {need} primals; need one for each")


__all__ = ["hvp", "jvp", "linearize", "vjp"]
