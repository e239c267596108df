"""What must hold for every op of the registry: complete facts, and a scalar rule and a reference
that agree, for every dtype and special value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import pytest

from ambos.core.dtype import ALL, DType, bfloat16, bool_, float16, float32, float64
from ambos.graph.node import Node
from ambos.ops import registry
from ambos.ops.arithmetic import cast
from ambos.ops.kinds import Op, Pointwise, Predicate
from ambos.ops.sources import data
from ambos.testing import reference
from ambos.testing.samples import accepted, samples
from ambos.testing.scalar import NumpyBuilder, NumpyValue
from tests.ops.facts import missing_facts

BUILDER = NumpyBuilder()
POINTWISE = [op for op in registry.values() if op.kind == "pointwise" and op is not cast]
CASES = [(op, dtype) for op in POINTWISE for dtype in accepted(op)]


def approximate(op: Op) -> bool:
    """Does the rule rest on our own elementary functions? NumPy's differ in the last places."""
    module = getattr(getattr(op, "lower", None), "__module__", "")
    return module.startswith("ambos.ops.elementary") or op.name == "power"


# --- completeness --------------------------------------------------------------------------------


@pytest.mark.parametrize("op", registry.values(), ids=lambda op: op.name)
def test_every_fact_is_stated(op: Op) -> None:
    assert missing_facts(op) == []


@contextmanager
def declared(base: type[Op], **facts: Any) -> Iterator[Op]:
    """An op of the registry, for a moment."""
    cls = type("Incomplete", (base,), facts)
    try:
        yield registry[cls.name]  # type: ignore[attr-defined]
    finally:
        del registry[cls.name]  # type: ignore[attr-defined]


COMPLETE = {
    "__doc__": "Twice x.",
    "lower": lambda b, x: x + x,
    "ref": lambda np, x: x + x,
    "partials": lambda op, out, x: (2,),
}
LEFT_OUT = {
    "__doc__": "docstring",
    "lower": "lower",
    "ref": "ref",
    "partials": "vjp, partials or differentiable=False",
}


def test_a_complete_op_passes() -> None:
    with declared(Pointwise, **COMPLETE) as op:
        assert missing_facts(op) == []


@pytest.mark.parametrize("fact", COMPLETE)
def test_an_incomplete_op_is_caught(fact: str) -> None:
    facts = {name: value for name, value in COMPLETE.items() if name != fact}
    with declared(Pointwise, **facts) as op:
        assert missing_facts(op) == [LEFT_OUT[fact]]


@pytest.mark.parametrize("kind", ["Move", "Reduce", "Index", "Source"])
def test_an_empty_op_of_any_kind_is_caught(kind: str) -> None:
    bases = {type(op).__mro__[1].__name__: type(op).__mro__[1] for op in registry.values()}
    with declared(bases[kind]) as op:
        found = missing_facts(op)
        assert "ref" in found
        assert "samples" in found
        assert "docstring" in found
        assert kind == "Source" or "vjp, partials or differentiable=False" in found


def test_a_predicate_needs_no_gradient() -> None:
    facts = {name: value for name, value in COMPLETE.items() if name != "partials"}
    with declared(Predicate, **facts) as op:
        assert missing_facts(op) == []


# --- the scalar rule against the reference -------------------------------------------------------

FLOATS = [
    0.0, -0.0, 1.0, -1.0, 2.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, -7.0, 0.1, 1e-3, 100.0, 5e-324,
    float("inf"), float("-inf"), float("nan"),
]  # fmt: skip


def special_values(dtype: DType) -> np.ndarray:
    """Numbers that rules get wrong: zeros of both signs, ties, limits, subnormals, NaN."""
    if dtype is bool_:
        return np.array([False, True])
    if dtype.is_floating:
        limits = np.finfo("float32" if dtype is bfloat16 else dtype.name)
        more = [float(limits.max), -float(limits.max), float(limits.tiny), float(limits.tiny) / 4]
        with np.errstate(over="ignore"):
            wide = np.array(FLOATS + more).astype(reference.storage(dtype.compute))
            return reference.round_to(wide, dtype)
    whole = {0, 1, 2, 3, 7, int(dtype.max), int(dtype.max) - 1, dtype.bits, dtype.bits - 1}
    if dtype.kind == "i":
        whole |= {-1, -2, -3, -7, int(dtype.min), int(dtype.min) + 1}
    return np.array(sorted(v for v in whole if v <= dtype.max), reference.storage(dtype))


TRIGONOMETRIC_RANGE = {float32: 2.0**31, float64: 1e8}  # stated by elementary: beyond is noise


def to_lanes(values: np.ndarray, dtype: DType) -> NumpyValue:
    """Reference values as the compiled code gets them: halves widened to float32."""
    return BUILDER.value(values.astype(reference.storage(dtype.compute)), dtype.compute)


def run_rule(node: Node, inputs: list[np.ndarray]) -> np.ndarray:
    """What the compiler makes of a pointwise node, on NumPy."""
    lanes = [to_lanes(v, source.dtype) for v, source in zip(inputs, node.inputs, strict=True)]
    with np.errstate(all="ignore"):
        result = node.op.lower(BUILDER, *lanes)  # type: ignore[attr-defined]
    assert result.dtype is node.dtype.compute
    wide = np.broadcast_to(result.data, node.shape)
    with np.errstate(over="ignore"):
        return reference.round_to(wide, node.dtype)


def same_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Equal, with the signs of zeros; any NaN is like any other."""
    if a.dtype.kind != "f":
        return a == b
    return (a == b) & (np.signbit(a) == np.signbit(b)) | (np.isnan(a) & np.isnan(b))


def check(op: Op, inputs: list[np.ndarray], dtypes: list[DType]) -> None:
    leaves = [data.leaf(v, v.shape, d) for v, d in zip(inputs, dtypes, strict=True)]
    node = op(*leaves)
    expected = reference.compute(node, inputs)
    found = run_rule(node, inputs)
    equal = same_bits(found, expected)
    if approximate(op) and node.dtype.is_floating:
        equal |= _within(found, expected, 4)
    if op.name in ("sin", "cos", "tan"):
        equal |= np.abs(inputs[0].astype(np.float64)) > TRIGONOMETRIC_RANGE[dtypes[0].compute]
    wrong = np.argwhere(~equal)[:3]
    detail = [(*[v[tuple(i)] for v in inputs], found[tuple(i)], expected[tuple(i)]) for i in wrong]
    assert equal.all(), f"{op.name}: (inputs, rule, reference): {detail}, {len(equal)} lanes"


def _within(a: np.ndarray, b: np.ndarray, ulps: int) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        return np.abs(a - b) <= ulps * np.abs(np.spacing(b))


def operand_dtypes(op: Op, dtype: DType) -> list[DType]:
    return [bool_, dtype, dtype] if op.name == "where" else [dtype] * op.arity  # type: ignore[attr-defined]


@pytest.mark.parametrize(("op", "dtype"), CASES, ids=lambda v: v.name)
def test_rule_and_reference_agree_on_special_values(op: Op, dtype: DType) -> None:
    dtypes = operand_dtypes(op, dtype)
    columns = zip(*product(*[special_values(d) for d in dtypes]), strict=True)
    inputs = [
        np.array(column, reference.storage(d)) for column, d in zip(columns, dtypes, strict=True)
    ]
    check(op, inputs, dtypes)


@pytest.mark.parametrize(("op", "dtype"), CASES, ids=lambda v: v.name)
def test_rule_and_reference_agree_on_samples(op: Op, dtype: DType) -> None:
    for seed, sample in enumerate(samples(op)):
        leaves = sample.leaves(dtype, seed)
        check(op, [leaf.value for leaf in leaves], [leaf.dtype for leaf in leaves])


@pytest.mark.parametrize("target", ALL, ids=lambda d: d.name)
@pytest.mark.parametrize("source", ALL, ids=lambda d: d.name)
def test_cast_is_the_builders_conversion(source: DType, target: DType) -> None:
    values = special_values(source)
    node = cast(data.leaf(values, values.shape, source), attrs=(target,))
    expected = reference.compute(node, [values])
    lanes = values if source is not bfloat16 else (values.view(np.uint32) >> 16).astype(np.uint16)
    found = BUILDER.convert(NumpyValue(lanes, source), target).data
    if target is bfloat16:
        found = (found.astype(np.uint32) << np.uint32(16)).view(np.float32)
    assert same_bits(found, expected).all(), (values, found, expected)


# --- dtypes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [o for o in registry.values() if samples(o)], ids=lambda o: o.name)
def test_reference_gives_what_is_inferred(op: Op) -> None:
    """`evaluate` itself checks shape and dtype; here it meets every dtype an op takes."""
    for dtype in accepted(op):
        for sample in samples(op):
            reference.evaluate([sample.build(sample.leaves(dtype))])


@pytest.mark.parametrize("dtype", [float16, bfloat16], ids=lambda d: d.name)
def test_half_precisions_round_once(dtype: DType) -> None:
    x = reference.round_to(np.float32([0.1, 0.3, 1.7]), dtype)
    leaf = data.leaf(x, (3,), dtype)
    (found,) = reference.evaluate([registry["multiply"](leaf, leaf)])
    exact = x.astype(np.float64) ** 2
    assert np.array_equal(found, reference.round_to(exact.astype(np.float32), dtype))
    assert float64.compute is float64
    assert dtype.compute is float32
