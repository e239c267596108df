"""Loops in the graph: `scan`, `while_loop`, `fori_loop`.

The body runs once, on tensors without values, and is recorded; the loop is one node, whatever the
number of steps.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ambos.core.dtype import bool_, int64, promote
from ambos.core.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError
from ambos.graph.node import Node
from ambos.graph.rewrite import substitute
from ambos.ops.arithmetic import add, bitwise_or, less
from ambos.ops.bodies import argument_like
from ambos.ops.kinds import constant
from ambos.ops.sources import argument, iota
from ambos.ops.steps import Carried, scanned
from ambos.ops.while_rules import looped
from ambos.tensor.carrying import (
    Packed,
    Step,
    described,
    drawn_anew,
    facts,
    flags,
    has_keys,
    packed,
    refuse_extra,
    require_all_false,
    require_function,
    traced_step,
)
from ambos.tensor.closure import Closure, close
from ambos.tensor.creation import arange
from ambos.tensor.handle import Tensor, node_of
from ambos.tensor.names import public
from ambos.tensor.operands import convert

# --- a known number of steps ---------------------------------------------------------------------


@public
def scan(
    f: Callable[[Any, Any], Any], init: Any, xs: Any = None, length: int | None = None,
    reverse: bool = False, unroll: int | bool = 1,
) -> Any:  # fmt: skip
    """(last carry, ys): a loop over the first axis of `xs` in which `f(carry, x)` gives the next
    carry and what to collect, a pair.

    `init`, `xs` and both results are trees; `xs` may be None where `length` says how many steps
    there are. `reverse` starts at the end of `xs`; ys lie where their xs do. The loop is one node:
    ten thousand steps compile like ten. Gradients flow to `init`, `xs`, and to tensors that `f`
    takes from outside, such as the parameters of a module. Python numbers in `init` have the dtype
    that `f` returns for them. What `f` draws from the global random stream is drawn anew at each
    step: from `am.random.fold_in(key, step)`. `unroll` is a hint that changes no number; kernels
    are the same for every value.

    Errors: ArgumentError where the next carry has another structure than the carry, or lengths
        differ; ShapeError and DTypeError where a tensor of it changes; ArgumentTypeError where `f`
        returns no pair; TracingError where `f` looks at a value that depends on its arguments,
        keeps a tensor, or changes one from outside.

    Example:
        >>> import ambos as am
        >>> am.scan(lambda total, x: (total + x, total), 0.0, am.tensor([1.0, 2.0, 3.0]))
        (tensor(6.), tensor([0., 1., 3.]))
    """
    require_function("scan", "f", f)
    _require_unroll("scan", unroll)
    carry, rows = packed("scan", "carry", init), packed("scan", "xs", xs)

    def call(tensors: list[Tensor]) -> Any:
        count = len(carry.nodes)
        with rows.lent("scan", tensors[count:]) as row:
            result = f(carry.own(tensors[:count]), row)
        if not isinstance(result, tuple | list) or len(result) != 2:
            refuse_extra("scan", "f", result)
        return tuple(result)

    return run_scan("scan", call, carry, rows, agreed_length("scan", rows, length), reverse)


def run_scan(
    op: str, call: Callable[[list[Tensor]], Any], carry: Packed, rows: Packed, length: int,
    reverse: bool, returned: str = "the carry that f returns",
) -> Any:  # fmt: skip
    """(last carry, ys) as trees. `call` takes the tensors of the carry and of a row of each of
    `rows`, and gives a pair of trees."""
    slices = [argument_like(node, node.shape[1:]) for node in rows.nodes]
    step = traced_step(op, carry, slices, call, returned, has_rest=True)
    rest, checks = step.rest, step.closure.checks
    assert rest is not None
    results = [*step.ends, *rest.nodes, *(check[0] for check in checks)]
    xs = dict(zip(slices, rows.nodes, strict=True))
    keys = has_keys(step.closure, results)
    if keys:
        number = argument.leaf((), int64)
        xs[number] = iota(attrs=(length,))
        results = drawn_anew(results, keys, number)
    count, stop = len(step.ends), len(step.ends) + len(rest.nodes)
    if not length:
        empty = [constant(0, node.dtype, (0, *node.shape)) for node in rest.nodes]
        return step.carry.build(step.carry.nodes), rest.build(empty)
    carried = [*map(Carried, step.arguments, step.carry.nodes, results)]
    carried += flags(results[stop:])
    lasts, ys = scanned(carried, xs, results[count:stop], length, reverse)
    require_all_false(checks, lasts[count:])
    return step.carry.build(lasts[:count]), rest.build(ys)


def agreed_length(op: str, rows: Packed, length: Any) -> int:
    """How many steps there are, on which all agree."""
    found, source = None, ""
    if length is not None:
        found, source = whole_number(length), "length"
        if found is None or found < 0:
            raise ArgumentError(f"{op}: length is {length!r}; need an integer >= 0")
    for name, node in zip(rows.names, rows.nodes, strict=True):
        if not node.rank:
            raise ShapeError(f"{op}: {name} is a {node.dtype.name} scalar; need a first axis with "
                             "a row for each step: what is the same at each belongs outside of "
                             "f or into the carry")  # fmt: skip
        if found is None:
            found, source = node.shape[0], name
        elif node.shape[0] != found:
            has = f"is {found}" if source == "length" else f"has {found} rows"
            raise ArgumentError(f"{op}: {source} {has}, {name} of shape {node.shape} has "
                                f"{node.shape[0]}; need one number of steps")  # fmt: skip
    if found is None:
        raise ArgumentError(f"{op}: got neither xs nor length; need one of them to say how "
                            "many steps there are")  # fmt: skip
    return found


def whole_number(value: Any) -> int | None:
    """A Python integer, if `value` is one."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return operator.index(value)
    return None


def _require_unroll(op: str, unroll: Any) -> None:
    count = whole_number(unroll)
    if not isinstance(unroll, bool) and (count is None or count < 1):
        raise ArgumentError(f"{op}: unroll is {unroll!r}; need a bool or an integer >= 1")


# --- a number of steps that turns out ------------------------------------------------------------


@public
def while_loop(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any
) -> Any:  # fmt: skip
    """The last of init_val, body_fun(init_val), ...: the first for which `cond_fun`, which gives a
    bool scalar, does not hold.

    Values are trees. Forward mode works (`am.jvp`), and `am.vmap`, where each example stops by
    itself; reverse mode does not, for the number of steps is not known before: see `am.scan` and
    `am.fori_loop`.

    Errors: as those of `am.scan`; DTypeError and ShapeError for a condition that is no bool scalar;
        GradientError for a gradient through the loop.

    Example:
        >>> import ambos as am
        >>> am.while_loop(lambda x: x < 100, lambda x: x * 2, 3).item()
        192
    """
    require_function("while_loop", "cond_fun", cond_fun)
    require_function("while_loop", "body_fun", body_fun)
    carry = packed("while_loop", "carry", init_val)

    def condition(tensors: list[Tensor]) -> Any:
        with carry.lent("while_loop", tensors) as before:
            return cond_fun(before)

    step = traced_step("while_loop", carry, [], lambda tensors: body_fun(carry.own(tensors)),
                       "what body_fun returns")  # fmt: skip
    try:
        test = close("while_loop", condition, step.arguments)
    except BaseException:
        step.closure.forget()
        raise
    try:
        goes_on = _condition(test)
    except BaseException:
        test.forget()
        step.closure.forget()
        raise
    if goes_on is None:
        return step.carry.build(step.carry.nodes)
    return _run_while(step, goes_on, test, [])


def _condition(test: Closure) -> Node | None:
    """What says whether the loop goes on; None for a Python False."""
    if len(test.leaves) != 1 or not isinstance(test.leaves[0], Tensor | bool | np.bool_):
        what = described(test.leaves[0] if test.structure.kind is None else test.leaves)
        raise ArgumentTypeError(f"while_loop: cond_fun returned {what}; need a bool scalar")
    (leaf,) = test.leaves
    if not isinstance(leaf, Tensor):
        if leaf:
            raise ArgumentError("while_loop: cond_fun returned True, which no step changes; need "
                                "a condition on its argument")  # fmt: skip
        return None
    return require_predicate("while_loop", "cond_fun returned", leaf._node)


def require_predicate(op: str, came: str, node: Node) -> Node:
    """`node`, a bool scalar; else an error."""
    if node.dtype is not bool_:
        raise DTypeError(f"{op}: {came} {facts(node)}; need a bool: compare it, as in x > 0 or "
                         "x != 0")  # fmt: skip
    if node.shape:
        raise ShapeError(f"{op}: {came} {facts(node)}; need a scalar: .any() or .all() of it, "
                         "or am.where for a choice by element")  # fmt: skip
    return node


def _run_while(step: Step, goes_on: Node, test: Closure | None, more: Sequence[Carried]) -> Any:
    """The last carry as a tree. `more` is carried besides."""
    inner = step.closure.checks
    asked = test.checks if test is not None else []
    results = [*step.ends, *(check[0] for check in inner)]
    questions = [goes_on, *(check[0] for check in asked)]
    keys = has_keys(step.closure, results)
    other_keys = has_keys(test, questions) if test is not None else []
    extra = list(more)
    if keys or other_keys:
        number = argument.leaf((), int64)
        one = constant(1, int64)
        extra.append(Carried(number, constant(0, int64), add(number, one)))
        results = drawn_anew(results, keys, number)
        questions = drawn_anew(questions, other_keys, number)
    count = len(step.ends)
    wrong = [*results[count:], *questions[1:]]
    carried = [*map(Carried, step.arguments, step.carry.nodes, results), *extra]
    arguments = [carry.argument for carry in carried]
    carried += flags(wrong)
    lasts = looped(carried, [c.argument for c in carried], questions[0], {}, {})
    found = list(lasts[len(arguments) :])
    if asked:  # the condition is asked once more than there are steps
        last = substitute(questions[1:], dict(zip(arguments, lasts, strict=False)))
        start = len(inner)
        found[start:] = [bitwise_or(a, b) for a, b in zip(found[start:], last, strict=True)]
    require_all_false([*inner, *asked], found)
    return step.carry.build(lasts[:count])


@public
def fori_loop(
    lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any, *,
    unroll: int | bool | None = None,
) -> Any:  # fmt: skip
    """The last value of `value = body_fun(i, value)` for i = lower, ..., upper - 1.

    With Python integers as bounds it is a scan, and gradients flow through; with tensors a while
    loop, which has forward mode only. `unroll` is a hint, as in `am.scan`.

    Errors: as those of `am.scan`; DTypeError and ShapeError for bounds that are no integers.

    Example:
        >>> import ambos as am
        >>> am.fori_loop(0, 5, lambda i, x: x * 2 + i, 1).item()
        58
    """
    require_function("fori_loop", "body_fun", body_fun)
    if unroll is not None:
        _require_unroll("fori_loop", unroll)
    carry = packed("fori_loop", "carry", init_val)
    known = [whole_number(bound) for bound in (lower, upper)]
    returned = "what body_fun returns"

    def call(tensors: list[Tensor]) -> Any:
        *values, number = tensors
        return body_fun(number, carry.own(values))

    start, stop = known
    if start is not None and stop is not None:
        length = max(0, stop - start)
        numbers = packed("fori_loop", "i", arange(start, start + length))
        last, _ = run_scan("fori_loop", lambda tensors: (call(tensors), ()), carry, numbers,
                           length, False, returned)  # fmt: skip
        return last
    first, end = (_bound(name, bound) for name, bound in (("lower", lower), ("upper", upper)))
    dtype = promote(first.dtype, end.dtype) if start is stop else (
        end.dtype if start is not None else first.dtype
    )  # fmt: skip
    number = argument.leaf((), dtype)
    step = traced_step("fori_loop", carry, [number], call, returned)
    counter = Carried(number, convert(first, dtype), add(number, constant(1, dtype)))
    return _run_while(step, less(number, convert(end, dtype)), None, [counter])


def _bound(name: str, value: Any) -> Node:
    node = node_of(value)
    if not node.dtype.is_integer:
        raise DTypeError(f"fori_loop: {name} is {facts(node)}; need an integer")
    if node.shape:
        raise ShapeError(f"fori_loop: {name} is {facts(node)}; need a scalar")
    return node


__all__ = ["fori_loop", "scan", "while_loop"]
