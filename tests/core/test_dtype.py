"""Promotion against the Array API's table and torch."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import torch

import ambos.core.dtype as dt
from ambos.core.dtype import ALL, COMPLEX, DType, as_dtype, complex_of, promote, weak_result
from ambos.core.errors import DTypeError

# Array API 2024.12, "Type promotion rules": signed, unsigned and mixed integers, floats.
TABLE = """
     i1 i2 i4 i8 u1 u2 u4 u8
i1   i1 i2 i4 i8 i2 i4 i8 -
i2   i2 i2 i4 i8 i2 i4 i8 -
i4   i4 i4 i4 i8 i4 i4 i8 -
i8   i8 i8 i8 i8 i8 i8 i8 -
u1   i2 i2 i4 i8 u1 u2 u4 u8
u2   i4 i4 i4 i8 u2 u2 u4 u8
u4   i8 i8 i8 i8 u4 u4 u4 u8
u8   -  -  -  -  u8 u8 u8 u8
"""


def _short(name: str) -> DType:
    return as_dtype(np.dtype(name))


def table() -> list[tuple[DType, DType, DType | None]]:
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    return [
        (_short(left), _short(top), None if cell == "-" else _short(cell))
        for left, *cells in rows
        for top, cell in zip(head, cells, strict=True)
    ]


@pytest.mark.parametrize(("a", "b", "expected"), table(), ids=str)
def test_integers_promote_as_the_array_api_says(a: DType, b: DType, expected: DType | None) -> None:
    # The standard leaves uint64 with a signed type open; like NumPy we give float64.
    assert promote(a, b) is (expected or dt.float64)


TORCH = {dtype: getattr(torch, dtype.name) for dtype in ALL}
TORCH_LACKS = {dt.uint16, dt.uint32, dt.uint64}  # torch raises for most pairs with these


@pytest.mark.parametrize(("a", "b"), list(itertools.product(ALL, ALL)), ids=lambda d: d.name)
def test_promotion_is_torchs(a: DType, b: DType) -> None:
    found = promote(a, b)
    assert found is promote(b, a)
    if not {a, b} & TORCH_LACKS:
        assert TORCH[found] is torch.promote_types(TORCH[a], TORCH[b])
    if a.kind == b.kind and dt.bfloat16 not in (a, b):
        assert np.dtype(found.name) == np.promote_types(a.name, b.name)


@pytest.mark.parametrize("a", ALL + COMPLEX, ids=lambda d: d.name)
@pytest.mark.parametrize("b", COMPLEX, ids=lambda d: d.name)
def test_a_complex_type_holds_every_other(a: DType, b: DType) -> None:
    found = promote(a, b)
    assert found is promote(b, a)
    if a not in TORCH_LACKS:
        theirs = torch.promote_types(getattr(torch, a.name), getattr(torch, b.name))
        assert getattr(torch, found.name) is theirs
    assert found.part is promote(a.part, b.part)
    assert weak_result(b, 1.0) is weak_result(b, 2) is weak_result(b, 1j) is b


def test_parts_of_complex_types() -> None:
    assert [d.part for d in (dt.complex64, dt.complex128)] == [dt.float32, dt.float64]
    assert [complex_of(d) for d in (dt.int8, dt.float16, dt.float32, dt.float64)] == [
        dt.complex64, dt.complex64, dt.complex64, dt.complex128,
    ]  # fmt: skip
    assert weak_result(dt.float64, 1j) is dt.complex128
    assert weak_result(dt.int64, 1j) is weak_result(dt.float16, 1j) is dt.complex64
    for dtype in COMPLEX:
        assert dtype.is_inexact
        assert not dtype.is_floating
        assert (dtype.kind, dtype.itemsize) == ("c", np.dtype(dtype.name).itemsize)


@pytest.mark.parametrize("a", ALL, ids=lambda d: d.name)
def test_an_integer_never_widens_a_float(a: DType) -> None:
    """Documented difference from NumPy, where float32 with int32 gives float64."""
    for floating in (dt.float16, dt.bfloat16, dt.float32, dt.float64):
        if not a.is_floating:
            assert promote(a, floating) is floating


def test_promotion_associates_but_for_uint64_with_signed_integers_and_a_float() -> None:
    """Elsewhere what many give does not depend on their order."""
    for triple in itertools.combinations_with_replacement(ALL, 3):
        results = {promote(promote(x, y), z) for x, y, z in itertools.permutations(triple)}
        kinds = {dtype.kind for dtype in triple}
        assert len(results) == 1 or (dt.uint64 in triple and kinds == {"i", "u", "f"})


@pytest.mark.parametrize("dtype", ALL, ids=lambda d: d.name)
def test_python_numbers_are_weak(dtype: DType) -> None:
    assert weak_result(dtype, True) is dtype
    assert weak_result(dtype, 2) is (dt.int64 if dtype is dt.bool_ else dtype)
    assert weak_result(dtype, 2.0) is (dtype if dtype.is_floating else dt.float32)
    if dtype not in TORCH_LACKS and dtype is not dt.bool_:
        x = torch.ones(2, dtype=TORCH[dtype])
        assert TORCH[weak_result(dtype, 2)] is (x + 2).dtype
        assert TORCH[weak_result(dtype, 2.0)] is (x + 2.0).dtype


@pytest.mark.parametrize("dtype", ALL, ids=lambda d: d.name)
def test_facts_are_numpys(dtype: DType) -> None:
    if dtype is dt.bfloat16:
        theirs = torch.finfo(torch.bfloat16)
        assert dtype.bits == theirs.bits
        return
    theirs = np.dtype(dtype.name)
    assert dtype.itemsize == theirs.itemsize
    assert dtype.kind == theirs.kind
    if dtype.is_integer:
        assert (dtype.min, dtype.max) == (np.iinfo(theirs).min, np.iinfo(theirs).max)
    if dtype.is_floating:
        assert (dtype.min, dtype.max) == (-np.inf, np.inf)


@pytest.mark.parametrize("dtype", ALL + COMPLEX, ids=lambda d: d.name)
def test_every_spelling_leads_to_the_one_object(dtype: DType) -> None:
    spellings = [dtype, dtype.name, f"ambos.{dtype.name}", repr(dtype)]
    if dtype is not dt.bfloat16:
        spellings += [np.dtype(dtype.name), getattr(np, np.dtype(dtype.name).name.rstrip("_"))]
    for spelling in spellings:
        assert as_dtype(spelling) is dtype
    assert pickle.loads(pickle.dumps(dtype)) is dtype


def test_python_types_and_nicknames() -> None:
    assert [as_dtype(t) for t in (bool, int, float, complex)] == [
        dt.bool_, dt.int64, dt.float32, dt.complex64,
    ]  # fmt: skip
    assert [as_dtype(n) for n in ("half", "float", "double", "long", "cfloat", "cdouble")] == [
        dt.float16, dt.float32, dt.float64, dt.int64, dt.complex64, dt.complex128,
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", ["flaot32", "complex256", None, 3, str, object()])
def test_an_unknown_dtype_is_refused(wrong: object) -> None:
    with pytest.raises(DTypeError, match="need one of bool, int8"):
        as_dtype(wrong)


def test_a_misspelt_dtype_is_guessed() -> None:
    with pytest.raises(DTypeError, match="Did you mean 'float32'"):
        as_dtype("flaot32")
