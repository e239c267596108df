"""The NumPy oracle of scalar code against Python's exact integers and fractions, and torch."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import numpy as np
import pytest
import torch

from ambos.core import dtype as dt
from ambos.core.dtype import DType, bfloat16, bool_, float16, float32, float64, uint32
from ambos.core.errors import DTypeError
from ambos.testing.scalar import NumpyBuilder, NumpyValue, storage

B = NumpyBuilder()
INTEGERS = [d for d in dt.ALL if d.is_integer]


def values(dtype: DType, *numbers: float) -> NumpyValue:
    return B.value(np.array(numbers, storage(dtype)), dtype)


def wrap(number: int, dtype: DType) -> int:
    number &= (1 << dtype.bits) - 1
    return number - (1 << dtype.bits) if dtype.kind == "i" and number > dtype.max else number


def corners(dtype: DType) -> list[int]:
    near = [0, 1, 2, 3, 7, 100]
    return sorted({wrap(v, dtype) for v in [*near, *[-v for v in near], int(dtype.max), 1 << 62]})


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_wrap_and_divide_as_in_c(dtype: DType) -> None:
    pairs = [(a, b) for a in corners(dtype) for b in corners(dtype)]
    a, b = values(dtype, *[p[0] for p in pairs]), values(dtype, *[p[1] for p in pairs])
    quotients, remainders = (a / b).data.tolist(), (a % b).data.tolist()
    for got, (x, y) in zip((a * b + a - b).data.tolist(), pairs, strict=True):
        assert got == wrap(x * y + x - y, dtype)
    for quotient, remainder, (x, y) in zip(quotients, remainders, pairs, strict=True):
        whole = math.trunc(Fraction(x, y)) if y else 0
        assert quotient == wrap(whole, dtype)
        assert remainder == (wrap(x - whole * y, dtype) if y else 0)


def test_shifts_follow_the_sign_of_the_type() -> None:
    assert (values(dt.int32, -8) >> 1).data.tolist() == [-4]
    assert (values(uint32, 0x80000000) >> 31).data.tolist() == [1]
    assert (values(uint32, 3) << 31).data.tolist() == [0x80000000]


def test_python_numbers_take_the_dtype_and_round_to_it() -> None:
    x = values(float32, 1.0)
    total = 0.1 + x * 1e-300
    assert total.dtype is float32
    assert total.data.tolist() == [float(np.float32(0.1))]
    assert B.const(-1, uint32).data == 0xFFFFFFFF


def test_floating_operations_round_once_without_warnings() -> None:
    x = values(float32, 3.4e38, 1e-45, math.nan, -0.0)
    assert (x * 2.0).data.tolist()[:2] == [math.inf, float(np.float32(3e-45))]
    assert (x / 0.0).data.tolist()[:2] == [math.inf, math.inf]
    assert (x.eq(x) | x.ne(x)).data.all()
    assert (x < 1.0).data.tolist() == [False, True, False, True]
    assert B.sqrt(values(float32, -1.0)).data != 0  # nan


def test_rounding_functions() -> None:
    x = values(float32, -2.5, -0.5, 0.5, 1.5)
    assert B.round_even(x).data.tolist() == [-2, 0, 0, 2]
    assert B.floor(x).data.tolist() == [-3, -1, 0, 1]
    assert B.ceil(x).data.tolist() == [-2, 0, 1, 2]
    assert B.trunc(x).data.tolist() == [-2, 0, 0, 1]
    assert np.signbit(B.copysign(x, -x).data).tolist() == [False, False, True, True]
    assert (values(float32, -7.5) % 2.0).data.tolist() == [-1.5]
    assert B.abs(values(dt.int8, -128)).data.tolist() == [-128]


@pytest.mark.parametrize("source", [float16, float32, float64])
@pytest.mark.parametrize("target", INTEGERS)
def test_float_to_integer_truncates_and_saturates(source: DType, target: DType) -> None:
    numbers = [0.0, -0.9, 1.9, -1.9, 127.5, 255.9, -128.9, 3e4, -3e4, 65504.0]
    numbers += [2.0**31, 2.0**63, 2.0**64, -(2.0**63), 1e30, -1e30, math.inf, -math.inf]
    with np.errstate(over="ignore"):
        x = B.value(np.array([*numbers, math.nan]).astype(source.name))
    for got, number in zip(B.convert(x, target).data.tolist(), x.data.tolist(), strict=True):
        if math.isnan(number):
            wanted = 0
        elif math.isinf(number):
            wanted = target.max if number > 0 else target.min
        else:
            wanted = min(max(math.trunc(number), target.min), target.max)
        assert got == wanted, number


def test_integers_wrap_into_narrower_ones_and_bool_is_not_zero() -> None:
    assert B.convert(values(dt.int64, 300, -1, 1 << 40), dt.uint8).data.tolist() == [44, 255, 0]
    x = values(float32, 0.0, -0.0, 0.1, math.nan)
    assert B.convert(x, bool_).data.tolist() == [False, False, True, True]


def test_bfloat16_rounds_as_torch_does() -> None:
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**32, 100_000, dtype=np.uint32)
    ties = (random.integers(0, 2**16, 5000, dtype=np.uint32) << np.uint32(16)) | np.uint32(0x8000)
    x = np.concatenate([bits, ties]).view(np.float32)
    got = B.convert(B.value(x), bfloat16)
    wanted = torch.from_numpy(x).to(torch.bfloat16)
    number = ~np.isnan(x)
    np.testing.assert_array_equal(got.data[number], wanted.view(torch.uint16).numpy()[number])
    back = B.convert(got, float32).data
    np.testing.assert_array_equal(back, wanted.float().numpy())
    assert np.isnan(back[~number]).all()


def exact(bits: int) -> Fraction:
    return Fraction(struct.unpack("<f", struct.pack("<I", bits << 16))[0])


@pytest.mark.parametrize("source", [float64, dt.int64, dt.uint64])
def test_bfloat16_from_wide_types_rounds_only_once(source: DType) -> None:
    random = np.random.default_rng(1)
    if source is float64:  # just above and below ties, by less than float32 can hold
        tie = 1 + 2.0**-8 * (2 * random.integers(0, 128, 500) + 1)
        x = tie * (1 + random.choice([-1, 0, 1], 500) * 2.0**-50) * 2.0 ** random.integers(-20, 20)
    else:
        tie = (2 * random.integers(64, 128, 500) + 1) << 54
        x = (tie + random.choice([-1, 0, 1], 500)).astype(source.name)
    for got, number in zip(B.convert(B.value(x), bfloat16).data.tolist(), x.tolist(), strict=True):
        candidates = sorted(
            (abs(exact(near) - Fraction(number)), near & 1, near)
            for near in (got - 1, got, got + 1)
        )
        assert candidates[0][2] == got, number


def test_float16_rounds_as_struct_does() -> None:
    x = (
        np.random.default_rng(2).standard_normal(20_000)
        * 10.0 ** np.arange(-10, 5).repeat(2000)[:20000]
    )
    x = x[np.abs(x) < 65504]
    wanted = np.frombuffer(struct.pack(f"<{x.size}e", *x), np.float16)
    np.testing.assert_array_equal(B.convert(B.value(x), float16).data, wanted)


def test_halves_round_after_each_operation() -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    y = B.value(x.view(torch.uint16).numpy(), bfloat16)
    got = y * y + y
    assert got.dtype is bfloat16
    np.testing.assert_array_equal(got.data, (x * x + x).view(torch.uint16).numpy())
    assert (y < 0.0).data.tolist() == (x < 0).tolist()


def test_mul_high_is_the_upper_half_of_the_product() -> None:
    random = np.random.default_rng(3)
    a, b = random.integers(0, 2**32, (2, 1000), dtype=np.uint32)
    got = B.mul_high(B.value(a), B.value(b)).data.tolist()
    assert got == [int(x) * int(y) >> 32 for x, y in zip(a, b, strict=True)]


def test_bool_arithmetic() -> None:
    a, b = values(bool_, 0, 0, 1, 1), values(bool_, 0, 1, 0, 1)
    assert (a + b).data.tolist() == [False, True, True, True]
    assert (a * b).data.tolist() == [False, False, False, True]
    assert (a - b).data.tolist() == [False, True, True, False]
    assert (~a).data.tolist() == [True, True, False, False]


def test_mixed_dtypes_and_widths_are_refused() -> None:
    with pytest.raises(DTypeError, match="need one dtype"):
        values(float32, 1) + values(float64, 1)
    with pytest.raises(DTypeError, match="need the same width"):
        B.bitcast(values(float32, 1), dt.uint64)
    with pytest.raises(DTypeError, match="need bool"):
        B.select(values(float32, 1), 1.0, values(float32, 2))
    with pytest.raises(DTypeError, match="need uint32"):
        B.mul_high(values(dt.int32, 1), values(dt.int32, 1))


def test_select_takes_numbers_on_either_side() -> None:
    condition = values(bool_, 0, 1)
    assert B.select(condition, 2.0, values(float32, 5, 5)).data.tolist() == [5, 2]
    assert B.select(condition, values(float32, 5, 5), 2.0).data.tolist() == [2, 5]
