"""`am.autograd.Function`: forward and backward by hand, in PyTorch's manner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ambos.core.errors import ArgumentTypeError, GradientError
from ambos.graph.node import Node
from ambos.ops.custom import Rule
from ambos.ops.kinds import Grads
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.modes import no_grad
from ambos.tensor.own_rules import RESULTS, ForExamples, Layout, attach, is_tracked, taken_apart
from ambos.tensor.variables import facts, zeros_like


class FunctionContext:
    """What `forward` leaves for `backward`: tensors by `save_for_backward`, anything else as
    attributes. `needs_input_grad` has a bool for each argument of `forward`."""

    needs_input_grad: tuple[bool, ...] = ()
    saved_tensors: tuple[Tensor | None, ...] = ()
    materialize_grads = True
    non_differentiable: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep these for `saved_tensors`."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise ArgumentTypeError(f"save_for_backward: got {type(tensor).__name__}; need "
                                        "tensors: keep the rest as attributes of ctx")  # fmt: skip
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """These results have no gradient."""
        self.non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros, or None, for results without a gradient."""
        self.materialize_grads = value


class Function:
    """An operation with a gradient of its own: a subclass states `forward` and `backward`, both
    static methods, and is called by `apply`.

    `forward(ctx, *args)` returns a tensor or a tuple of them; `ctx.save_for_backward(...)` keeps
    tensors, which `backward(ctx, *grads)` finds in `ctx.saved_tensors`. It returns a gradient (or
    None) for each argument of `forward`. Alternatively `forward(*args)` without a context is
    followed by `setup_context(ctx, inputs, output)`. A static method `jvp(ctx, *tangents)` is the
    rule of forward mode.

    It works under `am.jit`, `am.vmap` and in loops without further methods.

    Errors: GradientError where `backward` returns another number of gradients, or another shape or
        dtype than an argument has.

    Example:
        >>> import ambos as am
        >>> class Cube(am.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x**3
        ...
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         (x,) = ctx.saved_tensors
        ...         return 3 * x**2 * g
        >>> x = am.tensor(2.0, requires_grad=True)
        >>> Cube.apply(x).backward()
        >>> x.grad
        tensor(12.)
    """

    @staticmethod
    def forward(*args: Any) -> Any:
        """What is computed."""
        raise NotImplementedError("autograd.Function: forward is missing; need a static method")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The gradients of forward's arguments, from those of its results."""
        raise NotImplementedError("autograd.Function: backward is missing; need a static method")

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """The tangents of forward's results, from those of its arguments."""
        raise GradientError("autograd.Function: forward mode (am.jvp, am.jacfwd) asks for a "
                            "tangent; need a static method jvp(ctx, *tangents)")  # fmt: skip

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call it."""
        ctx = FunctionContext()
        ctx.needs_input_grad = tuple(isinstance(x, Tensor) and x.requires_grad for x in args)
        operands, arguments = taken_apart(list(args))
        with no_grad():
            if hasattr(cls, "setup_context"):
                output = cls.forward(*args)
                cls.setup_context(ctx, args, output)
            else:
                output = cls.forward(ctx, *args)
        if not is_tracked(operands):
            return output
        results, value = taken_apart(output)
        if not results:
            raise GradientError(f"{cls.__name__}: forward returned {type(output).__name__}; need a "
                                "tensor or a tuple of tensors")  # fmt: skip
        leaves = output if isinstance(output, tuple) else (output,)
        number = {id(leaf): n for n, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
        kept = Kept(len(ctx.saved_tensors))
        saved = []
        for place, tensor in enumerate(ctx.saved_tensors):
            if id(tensor) in number:
                kept.results[place] = number[id(tensor)]
            elif tensor is not None:
                kept.operands.append(place)
                saved.append(tensor._node)
        constant = {id(tensor) for tensor in ctx.non_differentiable}
        is_constant = [id(leaf) in constant for leaf in leaves if isinstance(leaf, Tensor)]
        notes = {
            name: own for name, own in vars(ctx).items()
            if name not in ("saved_tensors", "non_differentiable")
        }  # fmt: skip
        rule = Method(cls, notes, arguments, kept, value)
        found = attach(results, value, [*operands, *saved], rule)
        if not any(is_constant):
            return found
        nodes, _ = taken_apart(found)
        return value.on([
            plain if own else node
            for plain, node, own in zip(results, nodes, is_constant, strict=True)
        ])  # fmt: skip


@dataclass(slots=True)
class Kept:
    """Where the tensors that `save_for_backward` was given are: among the operands, in order, or
    among the results."""

    count: int
    operands: list[int] = field(default_factory=list)
    results: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Method:
    """The rule of one call of a Function."""

    cls: type[Function]
    notes: dict[str, Any]  # attributes of the context
    arguments: Layout
    kept: Kept
    value: Layout
    is_spent: bool = False

    def context(
        self, operands: Sequence[Node], results: Sequence[Node], needed: Sequence[bool] | None
    ) -> FunctionContext:
        """The context that `forward` left, with the tensors as they are now."""
        ctx = FunctionContext()
        vars(ctx).update(self.notes)
        saved: list[Tensor | None] = [None] * self.kept.count
        for place, node in zip(self.kept.operands, operands[len(self.arguments) :], strict=True):
            saved[place] = wrap(node)
        for place, number in self.kept.results.items():
            saved[place] = wrap(results[self.value.places.index(number)])
        ctx.saved_tensors = tuple(saved)
        if needed is not None:
            each = dict(zip(self.arguments.places, needed, strict=False))
            count = len(self.arguments.leaves)
            ctx.needs_input_grad = tuple(each.get(place, False) for place in range(count))
        return ctx

    def pull_back(
        self, operands: Sequence[Node], given: Sequence[Node | None], needed: Sequence[bool],
        results: Sequence[Node],
    ) -> Grads:  # fmt: skip
        ctx, count = self.context(operands, results, needed), len(self.arguments)
        grads: list[Tensor | None] = [None] * len(self.value.leaves)
        for place, g, y in zip(self.value.places, given, results, strict=True):
            if g is not None or ctx.materialize_grads:
                grads[place] = wrap(zeros_like(y) if g is None else g)
        found = self.cls.backward(ctx, *grads)
        each = list(found) if isinstance(found, tuple) else [found]
        need = len(self.arguments.leaves)
        if len(each) < need or any(x is not None for x in each[need:]):
            raise GradientError(f"{self.cls.__name__}: backward returned {len(each)} gradients; "
                                f"need {need}, one for each argument of forward")  # fmt: skip
        own = [self._fitting(each[place], place, operands[number])
               for number, place in enumerate(self.arguments.places)]  # fmt: skip
        return (*own, *[None] * (len(operands) - count))

    def _fitting(self, found: Any, place: int, like: Node) -> Node | None:
        if found is None or not like.dtype.is_inexact:
            return None
        if not isinstance(found, RESULTS):
            raise GradientError(f"{self.cls.__name__}: backward returned {type(found).__name__} "
                                f"for argument {place}; need a tensor or None")  # fmt: skip
        node = node_of(found)
        if node.shape != like.shape or node.dtype is not like.dtype:
            raise GradientError(f"{self.cls.__name__}: backward returned {facts(node)} for "
                                f"argument {place}, which is {facts(like)}; need equal shapes and "
                                "dtypes")  # fmt: skip
        return node

    def push_forward(
        self, operands: Sequence[Node], given: Sequence[Node | None], results: Sequence[Node]
    ) -> list[Node | None]:  # fmt: skip
        tangents: list[Tensor | None] = [None] * len(self.arguments.leaves)
        for place, t in zip(self.arguments.places, given, strict=False):
            tangents[place] = None if t is None else wrap(t)
        found = self.cls.jvp(self.context(operands, results, None), *tangents)
        each = found if isinstance(found, tuple) else (found,)
        return [
            self._moved(each[place] if place < len(each) else None, place, y)
            for place, y in zip(self.value.places, results, strict=True)
        ]

    def _moved(self, found: Any, place: int, like: Node) -> Node | None:
        node = None if found is None else node_of(found)
        if node is not None and (node.shape != like.shape or node.dtype is not like.dtype):
            raise GradientError(
                f"{self.cls.__name__}: jvp returned {facts(node)} for result {place}, which is "
                f"{facts(like)}; need equal shapes and dtypes"
            )
        return node

    def for_examples(self, which: Sequence[bool], operands: Sequence[Node], size: int) -> Rule:
        return ForExamples(self, which, size, self.is_spent)


__all__ = ["Function", "FunctionContext"]
