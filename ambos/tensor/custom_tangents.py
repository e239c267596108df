"""`custom_jvp`: a function whose derivative, in either mode, is somebody's own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ambos.autodiff.reverse import gradients
from ambos.core import tree
from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError, ArgumentTypeError, GradientError
from ambos.graph.node import Node, toposort
from ambos.ops.custom import Rule
from ambos.ops.kinds import Grads
from ambos.ops.sources import argument
from ambos.tensor.custom_gradients import tensors_only
from ambos.tensor.handle import node_of, wrap
from ambos.tensor.modes import enable_grad
from ambos.tensor.own_rules import ForExamples, Layout, attach, bound, is_tracked, taken_apart
from ambos.tensor.variables import matched, require_function, zeros_like


class custom_jvp(metaclass=Checked):
    """A function with a derivative of its own, given by `defjvp(rule)` or `defjvps(*rules)`. A
    decorator.

    `rule` takes the arguments and their tangents, a tuple each, and returns (the function's value,
    its tangent), which has to be linear in the tangents: so the rule serves forward and reverse
    mode. Arguments named by `nondiff_argnums` are not differentiated by; `rule` takes them first.
    `defjvps` takes a rule for each argument, `rule(tangent, value, *arguments)`, or None.

    Errors: GradientError without a rule, and where the tangent has another structure, shape or
        dtype than the value, or is not linear.

    Example:
        >>> import ambos as am
        >>> @am.custom_jvp
        ... def log1pexp(x):
        ...     return am.log(1.0 + am.exp(x))
        >>> log1pexp.defjvps(lambda t, value, x: t * am.sigmoid(x))
        >>> am.grad(log1pexp)(am.tensor(100.0))
        tensor(1.)
    """

    def __init__(self, fn: Callable[..., Any], nondiff_argnums: int | Sequence[int] = ()) -> None:
        require_function("custom_jvp", fn, "@am.custom_jvp above def f(x)")
        functools.update_wrapper(self, fn)
        self.fn, self.signature = fn, inspect.signature(fn)
        numbers = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else nondiff_argnums
        self.nondiff_argnums = frozenset(numbers)
        self.rule: Callable[..., Any] | None = None

    @property
    def name(self) -> str:
        """What messages call the function."""
        return getattr(self.fn, "__name__", type(self.fn).__name__)

    def defjvp(self, jvp: Callable[..., Any]) -> Callable[..., Any]:
        """Say what the derivative is; returns the rule, so that it decorates."""
        if not callable(jvp):
            raise ArgumentTypeError(f"defjvp: got {type(jvp).__name__}; need a function "
                                    "rule(primals, tangents)")  # fmt: skip
        self.rule = jvp
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Say what the derivative is, one argument at a time."""
        if self.nondiff_argnums:
            raise ArgumentError("defjvps: the function has nondiff_argnums; need defjvp there")

        def rule(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
            if len(jvps) != len(primals):
                raise GradientError(f"custom_jvp: defjvps gave {len(jvps)} rules for the "
                                    f"{len(primals)} arguments of {self.name}; need one each, or "
                                    "None")  # fmt: skip
            value = self(*primals)
            terms = [
                own(tangent, value, *primals)
                for own, tangent in zip(jvps, tangents, strict=True) if own is not None
            ]  # fmt: skip
            return value, functools.reduce(_added, terms) if terms else tree.map(_zeros, value)

        self.rule = rule

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.rule is None:
            raise GradientError(f"custom_jvp: {self.name} has no rule; need "
                                f"{self.name}.defjvp(rule)")  # fmt: skip
        given = bound(self.signature, args, kwargs)
        moving = [x for n, x in enumerate(given) if n not in self.nondiff_argnums]
        operands, arguments = taken_apart(tuple(moving))
        value = self.fn(*given)
        if not is_tracked(operands):
            return value
        still = [given[n] for n in sorted(self.nondiff_argnums) if n < len(given)]
        results, layout = tensors_only("custom_jvp", self.name, value)
        rule = Pushing(self.name, functools.partial(self.rule, *still), arguments, layout)
        return attach(results, layout, operands, rule)


def _added(one: Any, other: Any) -> Any:
    return tree.map(lambda x, y: x + y, one, other)


def _zeros(x: Any) -> Any:
    return wrap(zeros_like(node_of(x)))


@dataclass(frozen=True, eq=False, slots=True)
class Pushing:
    """The rule of one call of a `custom_jvp` function."""

    name: str
    rule: Callable[..., Any]
    arguments: Layout
    value: Layout
    is_spent: bool = False

    def push_forward(
        self, operands: Sequence[Node], given: Sequence[Node | None], results: Sequence[Node]
    ) -> list[Node]:  # fmt: skip
        whole = [zeros_like(x) if t is None else t for t, x in zip(given, operands, strict=True)]
        primals, tangents = self.arguments.on(operands), self._tangents(whole)
        pair = self.rule(primals, tangents)
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise GradientError(
                f"custom_jvp: the rule of {self.name} returned {type(pair).__name__}; need a pair: "
                "(value, tangent)"
            )
        names = ("the tangent", "the value")
        what = f"custom_jvp: the rule of {self.name}"
        return matched(what, pair[1], self.value.structure, results, names)

    def _tangents(self, nodes: Sequence[Node]) -> Any:
        """The tangents in the structure of the arguments (None for what is no tensor)."""
        leaves: list[Any] = [None] * len(self.arguments.leaves)
        for place, node in zip(self.arguments.places, nodes, strict=True):
            leaves[place] = wrap(node)
        return self.arguments.structure.build(iter(leaves))

    def pull_back(
        self, operands: Sequence[Node], given: Sequence[Node | None], needed: Sequence[bool],
        results: Sequence[Node],
    ) -> Grads:  # fmt: skip
        """The transpose of the rule, which is linear in the tangents."""
        moving = [
            argument.leaf(x.shape, x.dtype, True) if wanted and x.dtype.is_inexact else None
            for x, wanted in zip(operands, needed, strict=True)
        ]
        own = [node for node in moving if node is not None]
        with enable_grad():
            found = self.push_forward(operands, moving, results)
        pairs = [(x, g) for x, g in zip(found, given, strict=True) if g is not None and x.tracked]
        grads = gradients([x for x, _ in pairs], [g for _, g in pairs], own)
        self._refuse_curved([g for g in grads if g is not None], own)
        each = iter(grads)
        return tuple(None if node is None else next(each) for node in moving)

    def _refuse_curved(self, grads: Sequence[Node], tangents: Sequence[Node]) -> None:
        if not set(tangents).isdisjoint(toposort(grads)):
            raise GradientError(f"custom_jvp: the rule of {self.name} is not linear in the "
                                "tangents; need sums of their multiples only")  # fmt: skip

    def for_examples(self, which: Sequence[bool], operands: Sequence[Node], size: int) -> Rule:
        return ForExamples(self, which, size, self.is_spent)


__all__ = ["custom_jvp"]
