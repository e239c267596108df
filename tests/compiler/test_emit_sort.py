"""SortKernels as machine code, against the interpreter and NumPy's stable argsort."""

from __future__ import annotations

import numpy as np
import pytest

from ambos.compiler.loops import Buffer, SortKernel
from ambos.core import dtype as dt
from tests.compiler.harness import check, numbers


@pytest.mark.parametrize("dtype", dt.ALL, ids=lambda d: d.name)
@pytest.mark.parametrize("size", [0, 1, 2, 3, 8, 61])
def test_stable_argsort(dtype: dt.DType, size: int) -> None:
    keys = np.resize(numbers(dtype, max(size // 2, 1)), (3, size)).copy()  # many ties
    kernel = SortKernel(Buffer(0, dtype), Buffer(1, dt.int64), 2)
    words = [keys, np.zeros((3, size), np.int64), size]
    out = check(kernel, words, items=3, scratch=16 * size)[1]
    if dtype is not dt.bfloat16:
        np.testing.assert_array_equal(out, np.argsort(keys, 1, kind="stable"))
