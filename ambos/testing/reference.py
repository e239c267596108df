"""The first oracle: a graph computed node by node with the ops' declared NumPy rules.

No fusion, no scheduling, no code generation: what a node means, and nothing else. Half precisions
are computed in float32 and rounded once per op. NumPy has no bfloat16, so bfloat16 values are
float32 arrays that hold only numbers bfloat16 has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ambos.core.dtype import DType, bfloat16
from ambos.core.errors import CompilerError
from ambos.graph.body import Body
from ambos.graph.node import Node, toposort
from ambos.ops.control import BranchSpec, LoopSpec, ScanSpec
from ambos.ops.kinds import BY_RULE, Op, Source
from ambos.testing.scalar import NumpyBuilder

Values = npt.NDArray[Any]


def storage(dtype: DType) -> np.dtype[Any]:
    """The NumPy type that arrays of `dtype` have here."""
    return np.dtype("float32" if dtype is bfloat16 else dtype.name)


def evaluate(nodes: Sequence[Node], memo: dict[Node, Values] | None = None) -> list[Values]:
    """The values of `nodes`.

    `memo` gives values for some nodes (a `Data` leaf under test, say), whatever they would
    compute to, and receives all that are computed.

    Errors:
        CompilerError: a rule returned another shape or dtype than its op infers.
    """
    known = {} if memo is None else memo
    for node in toposort(nodes, stop=known.__contains__):
        if node not in known:
            known[node] = compute(node, [known[source] for source in node.inputs])
    return [known[node] for node in nodes]


def compute(node: Node, inputs: Sequence[Values]) -> Values:
    """The value of `node`, given the values of its inputs."""
    with np.errstate(all="ignore"):
        if node.op.name == "data":
            found = stored(node.value, node.dtype)
        else:
            found = _KINDS.get(_op(node).kind, _arithmetic)(node, inputs)
    if found.shape != node.shape or found.dtype != storage(node.dtype):
        raise CompilerError(
            f"{node.op.name}: the reference gives {found.dtype.name}{list(found.shape)} where "
            f"{node.dtype.name}{list(node.shape)} is inferred"
        )
    return found


def round_to(values: Values, dtype: DType) -> Values:
    """`values` of a compute type in the storage of `dtype`, rounded to nearest even."""
    if dtype is bfloat16:
        return _round_to_bfloat16(values)
    return np.asarray(values).astype(storage(dtype), copy=False)


# --- kinds ---------------------------------------------------------------------------------------


def _op(node: Node) -> Op:
    assert isinstance(node.op, Op)
    return node.op


def _reference(node: Node) -> Callable[..., Any]:
    rule: Any = node.op.ref  # type: ignore[attr-defined]
    if rule == BY_RULE:
        lower = node.op.lower  # type: ignore[attr-defined]
        return lambda np, *arrays: NumpyBuilder().run(lower, *arrays)
    return cast(Callable[..., Any], rule)


def _arithmetic(node: Node, inputs: Sequence[Values]) -> Values:
    """Rules that compute: on the operands' compute type, one rounding to the result's type."""
    if node.op.name == "cast":
        return _cast(node, inputs[0])
    wide = [
        values.astype(storage(source.dtype.compute), copy=False)
        for values, source in zip(inputs, node.inputs, strict=True)
    ]
    result = np.asarray(_reference(node)(np, *wide, *node.attrs))
    if result.dtype != storage(node.dtype.compute):
        return result  # the caller complains
    return round_to(result, node.dtype)


def _movement(node: Node, inputs: Sequence[Values]) -> Values:
    return np.asarray(_reference(node)(np, *inputs, *node.attrs))


def _source(node: Node, inputs: Sequence[Values]) -> Values:
    if node.op.name == "constant":
        value, dtype = node.attrs
        return round_to(np.asarray(_wrapped(value, dtype), storage(dtype.compute)), dtype)
    assert isinstance(node.op, Source)
    return np.asarray(_reference(node)(np, *(node.attrs or (node,))))


def _control(node: Node, inputs: Sequence[Values]) -> Values:
    part, spec = node.attrs
    return _CONTROL[node.op.name](spec, list(inputs))[part]


_KINDS: dict[str, Callable[[Node, Sequence[Values]], Values]] = {
    "move": _movement,
    "source": _source,
    "control": _control,
}


# --- loops and branches: Python's own ------------------------------------------------------------


def _run(body: Body, values: Sequence[Values]) -> list[Values]:
    return evaluate(body.results, dict(zip(body.arguments, values, strict=True)))


def _scan(spec: ScanSpec, inputs: list[Values]) -> list[Values]:
    first = spec.num_constants + spec.num_carry
    constants, carry, xs = inputs[: spec.num_constants], inputs[spec.num_constants : first], inputs
    ys = [np.zeros((spec.length, *shape), storage(dtype))
          for shape, dtype in spec.body.gives[spec.num_carry :]]  # fmt: skip
    steps = range(spec.length)
    for step in reversed(steps) if spec.reverse else steps:
        found = _run(spec.body, [*constants, *carry, *(x[step] for x in xs[first:])])
        carry = found[: spec.num_carry]
        for y, value in zip(ys, found[spec.num_carry :], strict=True):
            y[step] = value
    return [*carry, *ys]


def _while(spec: LoopSpec, inputs: list[Values]) -> list[Values]:
    first = spec.num_condition + spec.num_body
    of_condition, of_body = inputs[: spec.num_condition], inputs[spec.num_condition : first]
    carry = inputs[first:]
    while _run(spec.condition, [*of_condition, *carry])[0]:
        carry = _run(spec.body, [*of_body, *carry])
    return carry


def _branch(spec: BranchSpec, inputs: list[Values]) -> list[Values]:
    return _run(spec.branches[int(inputs[0])], inputs[1:])


_CONTROL: dict[str, Callable[..., list[Values]]] = {
    "scan": _scan,
    "while_loop": _while,
    "branch": _branch,
}


# --- numbers -------------------------------------------------------------------------------------


def stored(value: Any, dtype: DType) -> Values:
    """Data as it lies: an Array of the runtime, or in tests a NumPy array."""
    array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    if dtype is not bfloat16 or array.dtype == np.float32:
        return array
    bits = array if array.dtype == np.uint16 else array.view(np.uint16)
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _wrapped(value: bool | int | float, dtype: DType) -> bool | int | float:
    """An integer as the machine would hold it."""
    if not dtype.is_integer:
        return value
    bits = int(value) & ((1 << dtype.bits) - 1)
    return bits - (1 << dtype.bits) if dtype.kind == "i" and bits > dtype.max else bits


def _cast(node: Node, x: Values) -> Values:
    source, target = node.inputs[0].dtype, node.dtype
    if target is not bfloat16:
        return np.asarray(_reference(node)(np, x, storage(target)))
    if source.is_integer and source.itemsize == 8:  # more digits than float64 holds
        return _round_to_bfloat16(x.astype(np.longdouble))
    return _round_to_bfloat16(x)


def _round_to_bfloat16(x: Values) -> Values:
    """One rounding, from any type, to a multiple of the last of 8 significant bits."""
    wide = x if x.dtype == np.longdouble else np.asarray(x).astype(np.float64)
    _, exponent = np.frexp(wide)
    unit = np.maximum(exponent - 8, -133)  # below the normal range the last bit stays 2**-133
    rounded = np.ldexp(np.rint(np.ldexp(wide, -unit)), unit)
    return np.where(np.isfinite(wide), rounded, wide).astype(np.float32)
