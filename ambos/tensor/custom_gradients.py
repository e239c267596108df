"""`custom_vjp`: a function whose gradient is somebody's own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ambos.core import tree
from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError, ArgumentTypeError, GradientError, TracingError
from ambos.graph.node import Node
from ambos.ops.custom import Rule
from ambos.ops.kinds import Grads
from ambos.tensor.dry import DryRun
from ambos.tensor.handle import node_of, wrap
from ambos.tensor.own_rules import (
    RESULTS,
    ForExamples,
    Layout,
    attach,
    bound,
    inside,
    is_inside,
    is_tracked,
    taken_apart,
)
from ambos.tensor.variables import facts, require_function, zeros_like


class custom_vjp(metaclass=Checked):
    """A function with a gradient of its own, given by `defvjp(fwd, bwd)`. A decorator.

    `fwd` takes what the function takes and returns (its value, residuals); `bwd` takes the
    residuals and the cotangent of the value, and returns a tuple with the cotangent of each
    argument: a tree like the argument, or None for zeros (also for arguments that are no floating
    tensors). Arguments named by `nondiff_argnums` are not differentiated by; `bwd` takes them
    first.

    Where nothing is differentiated, the function itself runs; in `am.grad` and `backward()` the
    rule, under `am.jit`, `am.vmap` and in loops as well. Forward mode has no rule here: see
    `custom_jvp`.

    Errors: GradientError in `am.jvp`, without `defvjp`, and where `bwd` returns another number,
        structure, shape or dtype than the arguments have.

    Example:
        >>> import ambos as am
        >>> @am.custom_vjp
        ... def clipped(x):
        ...     return x
        >>> clipped.defvjp(lambda x: (x, None), lambda _, g: (am.clip(g, -1.0, 1.0),))
        >>> am.grad(lambda x: 5 * clipped(x))(am.tensor(2.0))
        tensor(1.)
    """

    def __init__(self, fn: Callable[..., Any], nondiff_argnums: int | Sequence[int] = ()) -> None:
        require_function("custom_vjp", fn, "@am.custom_vjp above def f(x)")
        functools.update_wrapper(self, fn)
        self.fn, self.signature = fn, inspect.signature(fn)
        numbers = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else nondiff_argnums
        self.nondiff_argnums = frozenset(numbers)
        self._checked: set[Any] = set()
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None

    @property
    def name(self) -> str:
        """What messages call the function."""
        return getattr(self.fn, "__name__", type(self.fn).__name__)

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Say what the gradient is."""
        for name, function in (("fwd", fwd), ("bwd", bwd)):
            if not callable(function):
                raise ArgumentTypeError(f"defvjp: {name} is a {type(function).__name__}; need two "
                                        "functions: f.defvjp(fwd, bwd)")  # fmt: skip
        self.fwd, self.bwd = fwd, bwd
        self._checked.clear()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.fwd is None or self.bwd is None:
            raise GradientError(f"custom_vjp: {self.name} has no rule; need "
                                f"{self.name}.defvjp(fwd, bwd)")  # fmt: skip
        given = bound(self.signature, args, kwargs)
        moving = [x for n, x in enumerate(given) if n not in self.nondiff_argnums]
        operands, arguments = taken_apart(tuple(moving))
        if not is_tracked(operands) or is_inside(self):
            return self.fn(*given)
        with inside(self) as notes:
            pair = self.fwd(*given)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise GradientError(f"custom_vjp: fwd of {self.name} returned {_described(pair)}; need "
                                "a pair: (the value, residuals)")  # fmt: skip
        results, value = tensors_only("custom_vjp", self.name, pair[0])
        self._check_forward(given, operands, results, value)
        saved, residuals = taken_apart(pair[1])
        still = [given[n] for n in sorted(self.nondiff_argnums) if n < len(given)]
        bwd = functools.partial(self.bwd, *still)
        rule = Pulling(self.name, bwd, arguments, residuals, value, is_spent=len(notes) == 1)
        return attach(results, value, [*operands, *saved], rule)

    def _check_forward(
        self, given: Sequence[Any], operands: Sequence[Node], results: Sequence[Node],
        value: Layout,
    ) -> None:  # fmt: skip
        """What `fwd` makes must be like what the function makes, which is looked at once for
        arguments of the same kind."""
        kind = value.structure, *(facts(node) for node in (*operands, *results))
        if kind in self._checked:
            return
        self._checked.add(kind)
        try:
            run = DryRun("custom_vjp", self.fn, tuple(given), {})
        except TracingError:  # it looks at values, which are there when it runs: nothing to tell
            return
        own = tree.unflatten(run.structure, run.leaves)
        expected, layout = tensors_only("custom_vjp", self.name, own)
        if layout.structure != value.structure:
            names = (f"what {self.name} returns", "what fwd returns first")
            where = tree.difference(layout.structure, value.structure, names) or tree.difference(
                value.structure, layout.structure, names[::-1]
            )
            raise GradientError(f"custom_vjp: {where}; fwd returns the function's value first: "
                                "(value, residuals)")  # fmt: skip
        for path, node, like in zip(value.names(), results, expected, strict=True):
            if node.shape != like.shape or node.dtype is not like.dtype:
                raise GradientError(
                    f"custom_vjp: fwd of {self.name} returned {facts(node)} as result{path}, where "
                    f"{self.name} itself returns {facts(like)}; need the function's value first: "
                    "(value, residuals)"
                )


def tensors_only(op: str, name: str, value: Any) -> tuple[list[Node], Layout]:
    """What a function returned, all of it tensors or numbers, taken apart."""
    leaves, structure = tree.flatten(value)
    for leaf, path in zip(leaves, structure.paths(), strict=True):
        if not isinstance(leaf, RESULTS):
            raise GradientError(f"{op}: result{path} of {name} is a {type(leaf).__name__}; need "
                                "tensors or numbers")  # fmt: skip
    if not leaves:
        raise GradientError(f"{op}: {name} returned {value!r}; need a tensor: is a return missing?")
    return taken_apart(tree.unflatten(structure, [wrap(node_of(leaf)) for leaf in leaves]))


def _described(value: Any) -> str:
    kind = type(value).__name__
    return f"{kind} of {len(value)}" if isinstance(value, (tuple, list)) else kind


@dataclass(frozen=True, eq=False, slots=True)
class Pulling:
    """The rule of one call of a `custom_vjp` function."""

    name: str
    bwd: Callable[..., Any]
    arguments: Layout
    residuals: Layout
    value: Layout
    is_spent: bool

    def pull_back(
        self, operands: Sequence[Node], given: Sequence[Node | None], needed: Sequence[bool],
        results: Sequence[Node],
    ) -> Grads:  # fmt: skip
        count = len(self.arguments)
        cotangents = [
            zeros_like(y) if g is None else g for g, y in zip(given, results, strict=True)
        ]
        found = self.bwd(self.residuals.on(operands[count:]), self.value.on(cotangents))
        trees = self.arguments.structure.children
        if not isinstance(found, (tuple, list)) or len(found) != len(trees):
            raise GradientError(
                f"custom_vjp: bwd of {self.name} returned {_described(found)}; need a tuple of "
                f"{len(trees)}, one for each argument that is differentiated by"
            )
        grads: list[Node | None] = []
        for number, (one, structure) in enumerate(zip(found, trees, strict=True)):
            grads += self._grads(number, one, structure)
        own = [grads[place] for place in self.arguments.places]
        checked = [
            None if g is None else self._fitting(g, x, path)
            for g, x, path in zip(own, operands, self.arguments.names(), strict=False)
        ]
        return (*checked, *[None] * (len(operands) - count))

    def push_forward(
        self, operands: Sequence[Node], given: Sequence[Node | None], results: Sequence[Node]
    ) -> list[Node | None]:  # fmt: skip
        raise GradientError(
            f"custom_vjp: {self.name} has a rule for reverse mode only, and forward mode (am.jvp, "
            "am.jacfwd, am.hessian) asks for its tangent; need am.custom_jvp, which serves both, "
            "or am.jacrev and am.vjp"
        )

    def for_examples(self, which: Sequence[bool], operands: Sequence[Node], size: int) -> Rule:
        return ForExamples(self, which, size, self.is_spent)

    def _grads(self, number: int, found: Any, structure: tree.Structure) -> list[Node | None]:
        """The leaves of what `bwd` returned for an argument; None stands for all below it."""
        try:
            leaves = tree.broadcast_prefix(
                found, structure, is_leaf=lambda x: x is None,
                names=(f"the cotangent {number}", f"argument {number}"),
            )  # fmt: skip
        except ArgumentError as error:
            raise GradientError(f"custom_vjp: bwd of {self.name}: "
                                f"{error.message.removeprefix('tree: ')}") from None  # fmt: skip
        own = [x for x in tree.leaves(found, lambda x: x is None) if x is not None]
        if len(own) != sum(x is not None for x in leaves):  # one stands for several
            raise GradientError(
                f"custom_vjp: bwd of {self.name} returned {tree.structure(found)} for argument "
                f"{number}, which is {structure}; need one structure, or None for zeros"
            )
        return [None if x is None else self._node(number, x) for x in leaves]

    def _node(self, number: int, value: Any) -> Node:
        if not isinstance(value, RESULTS):
            raise GradientError(f"custom_vjp: bwd of {self.name} returned a "
                                f"{type(value).__name__} for argument {number}; need tensors, or "
                                "None for zeros")  # fmt: skip
        return node_of(value)

    def _fitting(self, found: Node, like: Node, path: str) -> Node | None:
        """A cotangent that has the shape and dtype of its argument (None: that takes none)."""
        if not like.dtype.is_inexact:
            return None
        if found.shape != like.shape or found.dtype is not like.dtype:
            raise GradientError(f"custom_vjp: bwd of {self.name} returned {facts(found)} for "
                                f"argument{path}, which is {facts(like)}; need equal shapes and "
                                "dtypes")  # fmt: skip
        return found


__all__ = ["custom_vjp"]
