"""Contractions that are products and sums: which ones, what they give, and what computes them."""

from __future__ import annotations

import numpy as np
import pytest

import ambos as am
from ambos.compiler.launches import AnyKernel
from ambos.compiler.loops import ContractKernel, LoopKernel
from ambos.compiler.pipeline import lower_graph
from ambos.core.dtype import float32
from ambos.core.features import Features
from ambos.graph.node import Node
from ambos.ops.contraction import contract, make_spec, plain
from ambos.ops.inner import inner_product
from ambos.ops.sources import input_
from ambos.runtime.machine import host_features


def contraction(labels: str, sizes: dict[str, int]) -> Node:
    a, b, out = labels.replace("->", ",").split(",")
    summed = [n for n in dict.fromkeys(a + b) if n not in out]
    leaves = []
    for number, names in enumerate((a, b)):
        shape = tuple(sizes[n] for n in names)
        strides = tuple(int(np.prod(shape[i + 1 :], dtype=int)) for i in range(len(shape)))
        leaves.append(input_.leaf(number, strides, shape, float32))
    return contract(*leaves, attrs=(make_spec(plain(a), b, out, summed, sizes),))


def steps(node: Node, threads: int = 2) -> list[tuple[AnyKernel, int]]:
    features: Features = host_features()
    return [(s.kernel, s.items) for s in lower_graph([node], features, threads)[1]]


@pytest.mark.parametrize("labels", ["i,i->", "bi,bi->b", "ij,ji->", "i,j->ij", "bi,b->bi"])
def test_nothing_is_read_twice_so_no_contraction_kernel_runs(labels: str) -> None:
    """The kernels of a contraction give an inner product one lane and one thread."""
    node = contraction(labels, dict.fromkeys(labels, 600))
    assert all(isinstance(kernel, LoopKernel) for kernel, _ in steps(node))


def test_an_inner_product_of_vectors_is_shared_out() -> None:
    assert max(items for _, items in steps(contraction("i,i->", {"i": 10_000_000}))) > 16


@pytest.mark.parametrize("labels", ["ik,k->i", "k,kj->j", "ik,kj->ij", "bik,bk->bi", "bi,b->i"])
@pytest.mark.parametrize("extent", [1, 30])
def test_products_with_rows_or_columns_stay_contractions_whatever_their_sizes(
    labels: str, extent: int
) -> None:
    node = contraction(labels, {**dict.fromkeys(labels, extent), "k": 9})
    assert inner_product(node) is None
    (kernel, _), *_ = steps(node)[::-1]
    assert isinstance(kernel, ContractKernel)


@pytest.mark.parametrize("labels", ["i,i->", "bi,bi->b", "ib,ib->b", "bij,bji->b", "i,j->ij"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64"])
def test_the_numbers_are_numpys(labels: str, dtype: str) -> None:
    rng = np.random.default_rng(3)
    a, b, _ = labels.replace("->", ",").split(",")
    x, y = ((9 * rng.standard_normal([17] * len(part))).astype(dtype) for part in (a, b))
    expected = np.einsum(labels, x, y)
    found = am.einsum(labels, am.tensor(x), am.tensor(y))
    assert found.dtype.name == dtype
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-3)


def test_halves_are_rounded_once() -> None:
    rng = np.random.default_rng(4)
    x, y = (rng.standard_normal(4000).astype(np.float16) for _ in range(2))
    exact = np.float64(x) @ np.float64(y)
    assert am.dot(am.tensor(x), am.tensor(y)).numpy() == np.float16(exact)
    wide = am.tensor(np.array([300, 300], np.float16))  # each product overflows float16
    assert am.dot(wide, am.tensor(np.array([300, -300], np.float16))).item() == 0


def test_one_of_a_batch_is_the_inner_product_alone() -> None:
    rng = np.random.default_rng(5)
    x, y = (rng.standard_normal((6, 5000)).astype(np.float32) for _ in range(2))
    together = am.einsum("bi,bi->b", am.tensor(x), am.tensor(y)).numpy()
    for i in range(6):
        assert am.dot(am.tensor(x[i]), am.tensor(y[i])).numpy().tobytes() == together[i].tobytes()
    assert am.vecdot(am.tensor(x), am.tensor(y)).numpy().tobytes() == together.tobytes()
