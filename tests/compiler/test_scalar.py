"""Scalar rules as machine code, lane by lane, against NumPy and the NumPy builder."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from ambos.compiler.emit import emit_loop
from ambos.compiler.loops import UNIT, Apply, Buffer, Index, Load, LoopKernel, Map, Store
from ambos.compiler.scalar import LLVMBuilder
from ambos.core import dtype as dt
from ambos.core.dtype import DType, bfloat16, bool_, float16, float32, float64, int64, uint32
from ambos.core.errors import CompilerError
from tests.compiler.harness import check

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")  # NumPy's, of NaN

FLOATS = [
    0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e-40, 3e38, -1e30, 7.25, 1e6, 65504.0, 65520.0, 2.0**31,
    -(2.0**31), 2.0**63, 2.0**64, math.inf, -math.inf, math.nan, 127.5, 255.9, -129.0, 1 + 2.0**-8,
    1 + 2.0**-8 + 2.0**-30, 1 + 2.0**-11 + 2.0**-40, 5.9e-8, 2.9e-8,
]  # fmt: skip
HALVES = (float16, bfloat16)


def run(rule: Any, inputs: list[np.ndarray], dtypes: list[DType], result: DType) -> np.ndarray:
    """`rule(b, *values)` on arrays, compiled for every CPU and interpreted, with equal bits."""
    size, last = len(inputs[0]), len(inputs) + 1
    along = Index(None, ((0, UNIT),))
    loads = tuple(Load(Buffer(n + 1, d), along) for n, d in enumerate(dtypes))
    apply = Apply("rule", tuple(range(len(inputs))), result)
    store = Store(Buffer(last, result), along, len(inputs))
    kernel = LoopKernel((0,), (0,), (), 0, 16, (*loads, apply), (Map((), (store,)),), last + 1)
    out = np.zeros(size, "uint16" if result is bfloat16 else result.name)
    return check(kernel, [size, *inputs, out], lambda _: rule, -(-size // 16))[last]


def floats(dtype: DType, size: int = 100) -> np.ndarray:
    spread = np.random.default_rng(5).standard_normal(size) * 10.0 ** np.arange(size).clip(0, 30)
    return np.array([*FLOATS, *spread]).astype(dtype.name)


@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda d: d.name)
@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("sqrt", np.sqrt),
        ("abs", np.abs),
        ("floor", np.floor),
        ("ceil", np.ceil),
        ("trunc", np.trunc),
        ("round_even", np.rint),
    ],
)
def test_functions_of_one_number(name: str, oracle: Any, dtype: DType) -> None:
    x = floats(dtype)
    out = run(lambda b, v: getattr(b, name)(v), [x], [dtype], dtype)
    np.testing.assert_array_equal(out, oracle(x))


@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda d: d.name)
def test_the_remainder_is_exact(dtype: DType) -> None:
    """Quotients up to 2**2000 and subnormal divisors: every bit as fmod has it."""
    tiny = np.finfo(dtype.name).smallest_subnormal
    x = np.array([*floats(dtype), 1e308, 3e38, tiny * 7, 1.0], dtype.name)
    for other in (0.1, 3.0, -7.5, tiny * 3, 1e-30, math.inf, 0.0, math.nan, 1e30):
        y = np.full_like(x, other)
        out = run(lambda b, u, v: u % v, [x, y], [dtype, dtype], dtype)
        np.testing.assert_array_equal(out, np.fmod(x, y))
        signs = np.signbit(out[~np.isnan(out)])
        np.testing.assert_array_equal(signs, np.signbit(np.fmod(x, y))[~np.isnan(out)])


@pytest.mark.parametrize("dtype", [d for d in dt.ALL if d.is_integer], ids=lambda d: d.name)
def test_shifts_of_any_amount(dtype: DType) -> None:
    x = np.array([1, 2, 85, dtype.max, dtype.min] * 4, dtype.name)
    for amount in (0, 1, dtype.bits - 1, dtype.bits, dtype.bits + 3):
        y = np.full_like(x, amount)
        left = run(lambda b, u, v: u << v, [x, y], [dtype, dtype], dtype)
        right = run(lambda b, u, v: u >> v, [x, y], [dtype, dtype], dtype)
        fixed = run(lambda b, u, a=amount: u >> a, [x], [dtype], dtype)
        wide = [int(v) << amount for v in x]
        mask = (1 << dtype.bits) - 1
        assert [v & mask for v in left.tolist()] == [w & mask for w in wide]
        assert right.tolist() == [int(v) >> amount for v in x]
        np.testing.assert_array_equal(fixed, right)


@pytest.mark.parametrize("target", [d for d in dt.ALL if d.is_integer], ids=lambda d: d.name)
def test_floats_to_integers_saturate(target: DType) -> None:
    x = np.array(FLOATS)
    out = run(lambda b, v: b.convert(v, target), [x], [float64], target)
    low, high = int(target.min), int(target.max)
    for number, got in zip(FLOATS, out.tolist(), strict=True):
        if math.isfinite(number):
            assert got == min(max(int(number), low), high)
        else:
            assert got == (0 if math.isnan(number) else high if number > 0 else low)


@pytest.mark.parametrize("source", [float32, float64, int64, dt.uint64], ids=lambda d: d.name)
def test_conversions_to_half_precision_round_once(source: DType) -> None:
    """float16 against NumPy, bfloat16 against an exact search among its neighbours."""
    if source.is_floating:
        x = floats(source, 300)
    else:
        random = np.random.default_rng(0)
        x = random.integers(0, 2**62, 400) >> random.integers(0, 62, 400)
        x[:4] = [2**53 + 1, (257 << 40) + 1, (257 << 40), 2**62]
        x = x.astype(source.name)
    half = run(lambda b, v: b.convert(v, float16), [x], [source], float16)
    np.testing.assert_array_equal(half, x.astype(np.float16))
    bits = run(lambda b, v: b.convert(v, bfloat16), [x], [source], bfloat16)
    wide = (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    for given, got, code in zip(x, wide, bits, strict=True):
        if not math.isfinite(float(given)) or not math.isfinite(got):
            assert math.isnan(got) == math.isnan(float(given))
            continue
        for step in (-1, 1):
            other = (np.array([(int(code) + step) & 0xFFFF], np.uint32) << 16).view(np.float32)[0]
            if math.isfinite(other):
                here, there = (abs(_fraction(given) - _fraction(v)) for v in (got, other))
                assert here < there or (here == there and code % 2 == 0), (given, got)


def _fraction(number: Any) -> Any:
    from fractions import Fraction

    return Fraction(int(number)) if isinstance(number, np.integer) else Fraction(float(number))


@pytest.mark.parametrize("dtype", HALVES, ids=lambda d: d.name)
def test_half_precision_rounds_every_operation(dtype: DType) -> None:
    kind = torch.float16 if dtype is float16 else torch.bfloat16
    x = torch.tensor(FLOATS, dtype=torch.float32).to(kind)
    y = x.flip(0)
    raw = [t.view(torch.uint16).numpy() for t in (x, y)]
    inputs = [r.view(np.float16) if dtype is float16 else r for r in raw]
    for rule in (lambda u, v: u + v, lambda u, v: u * v, lambda u, v: u / v):
        out = run(lambda b, u, v, rule=rule: rule(u, v), inputs, [dtype] * 2, dtype)
        found = torch.from_numpy(out.view(np.int16).copy()).view(kind)
        torch.testing.assert_close(found, rule(x, y), rtol=0, atol=0, equal_nan=True)


def test_select_bits_and_high_products() -> None:
    x = np.arange(0, 2**32, 123456789, np.uint32)
    high = run(lambda b, v: b.mul_high(v, v), [x], [uint32], uint32)
    np.testing.assert_array_equal(high, (x.astype(np.uint64) ** 2 >> 32).astype(np.uint32))
    f = floats(float32)
    sign = run(
        lambda b, v: b.bitcast(b.bitcast(v, uint32) >> 31, dt.int32), [f], [float32], dt.int32
    )
    np.testing.assert_array_equal(sign, np.signbit(f))
    copied = run(lambda b, v: b.copysign(b.abs(v) + 1, v), [f], [float32], float32)
    np.testing.assert_array_equal(copied, np.copysign(np.abs(f) + np.float32(1), f))
    chosen = run(lambda b, v: b.select((v > 0) & (v < 100), v, -v), [f], [float32], float32)
    np.testing.assert_array_equal(chosen, np.where((f > 0) & (f < 100), f, -f))


def test_comparisons_with_nan() -> None:
    f = floats(float32)
    g = f[::-1].copy()
    for rule, oracle in [
        (lambda u, v: u < v, np.less), (lambda u, v: u <= v, np.less_equal),
        (lambda u, v: u > v, np.greater), (lambda u, v: u >= v, np.greater_equal),
        (lambda u, v: u.eq(v), np.equal), (lambda u, v: u.ne(v), np.not_equal),
    ]:  # fmt: skip
        out = run(lambda b, u, v, rule=rule: rule(u, v), [f, g], [float32] * 2, bool_)
        np.testing.assert_array_equal(out, oracle(f, g))


# --- the text ------------------------------------------------------------------------------------


def builder() -> tuple[LLVMBuilder, Any, Any]:
    b = LLVMBuilder()
    return b, b.value("%x", float32, True, 0), b.value("%y", float32, False, 0)


def test_the_same_instruction_is_written_once() -> None:
    b, x, y = builder()
    assert ((x * y) + (x * y)).text == ((x * y) + (x * y)).text
    assert b.body().count("fmul") == 1
    assert b.body().count("shufflevector") == 1  # y is broadcast once


def test_uniform_operands_give_uniform_results() -> None:
    b, x, y = builder()
    assert not (y * y + 1.0).vector
    assert (x + (y * y + 1.0)).vector
    assert b.select(y > 0, x, 0.0).vector
    assert b.body().count("fmul float") == 1


def test_invariant_code_is_written_before_the_loop() -> None:
    b, _, y = builder()
    with b.loop("0", "%n", 1) as loop:
        index = b.value(loop.index, int64, False, b.depth)
        b.effect(f"call void @use(i64 {(index + 1).text}, float {(y * 3.0).text})")
    text = b.body()
    assert text.index("fmul") < text.index("phi") < text.index("add i64")


def test_no_fast_math_flags() -> None:
    b, x, y = builder()
    b.sqrt(x * y + x / y - 2.0) % x
    text = b.body() + "".join(definition for _, _, definition in b.functions.values())
    assert not any(f" {flag} " in text for flag in ("fast", "contract", "nnan", "reassoc", "nsz"))


def test_constants_are_rounded_and_wrapped() -> None:
    b = LLVMBuilder()
    assert b.const(0.1, float32).constant == float(np.float32(0.1))
    assert b.const(1e39, float32).constant == math.inf
    assert b.const(300, dt.uint8).constant == 44
    assert b.const(2**63, int64).constant == -(2**63)
    assert b.const(65520.0, float16).constant == math.inf
    assert b.const(1 + 2.0**-8 + 2.0**-40, bfloat16).constant == 1 + 2.0**-7
    assert b.const(float64.max, float64).constant == math.inf


def test_broken_promises_are_named() -> None:
    b, x, _ = builder()
    with pytest.raises(CompilerError, match=r"got ambos.float32 and ambos.int64; need one dtype"):
        x + b.const(1, int64)
    with pytest.raises(CompilerError, match=r"and: got ambos\.float32; need integers or bool"):
        x & x
    with pytest.raises(CompilerError, match=r"bitcast: got ambos\.float32 to ambos\.float64"):
        b.bitcast(x, float64)


def test_long_rules_become_functions() -> None:
    """Written once for the loop and its rest, with the same bits as inline."""

    def long(b: Any, x: Any) -> Any:
        y = x
        for _ in range(40):
            y = y * y - x
        return y

    along = Index(None, ((0, UNIT),))
    tape = (Load(Buffer(1, float32), along), Apply("long", (0,), float32))
    stages = (Map((), (Store(Buffer(2, float32), along, 1),)),)
    text = emit_loop(LoopKernel((0,), (0,), (), 0, 3, tape, stages, 4), "k", lambda _: long)
    assert text.count("define internal") == 1
    assert text.count("fmul") == 40
    x = np.linspace(-1, 1, 37, dtype="f4")
    expected = x
    for _ in range(40):
        expected = expected * expected - x
    np.testing.assert_array_equal(run(long, [x], [float32], float32), expected)
