"""Products against NumPy and torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(2)


def array(*shape):
    return RNG.integers(-4, 5, shape).astype(np.float32)  # small integers: sums are exact


def same(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
        ((5, 2, 3), (5, 3, 4)), ((2, 3), (5, 3, 4)), ((6, 1, 2, 3), (5, 3, 4)),
        ((1, 2, 3), (5, 3, 4)), ((5, 2, 3), (1, 3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 4)),
        ((1, 1, 2, 3), (1, 3, 4)), ((2, 0), (0, 3)), ((0, 3), (3, 2)),
    ],
)  # fmt: skip
def test_matmul_matches_numpy_with_gradients(a, b):
    x, y = array(*a), array(*b)
    same(am.tensor(x) @ am.tensor(y), x @ y)
    ours = [am.tensor(v, requires_grad=True) for v in (x, y)]
    theirs = [torch.tensor(v, requires_grad=True) for v in (x, y)]
    (ours[0] @ ours[1]).square().sum().backward()
    torch.matmul(*theirs).square().sum().backward()
    for p, q in zip(ours, theirs, strict=True):
        same(p.grad, q.grad)


@pytest.mark.parametrize("kind", ["int64", "int32", "float64", "float16"])
def test_matmul_of_other_dtypes(kind):
    x, y = array(3, 4).astype(kind), array(4, 2).astype(kind)
    found = am.matmul(x, y)
    assert found.dtype.name == kind
    same(found, x @ y)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ((2, 3), (4, 5), r"inner sizes differ: a \(2, 3\), b \(4, 5\); need a.shape\[-1\] =="),
        ((2, 3), (4, 3), r"Did you mean b.T\?"),
        ((5, 2, 3), (5, 4, 3), r"Did you mean b.mT\?"),
        ((3, 2), (3, 4), r"Did you mean a.T\?"),
        ((2, 3), (4,), r"need a.shape\[-1\] == b.shape\[0\]"),
        ((), (3,), "need at least one dimension each"),
        ((2, 2, 3), (3, 3, 4), "do not broadcast"),
    ],
)
def test_errors_of_matmul(a, b, message):
    with pytest.raises(ShapeError, match=message):
        am.ones(*a) @ am.ones(*b) if a else am.matmul(am.tensor(1.0), am.ones(*b))


def test_named_products():
    m, n, v, batch = array(3, 4), array(4, 5), array(4), array(2, 3, 4)
    same(am.mm(m, n), m @ n)
    same(am.mv(m, v), m @ v)
    same(am.bmm(batch, array(2, 4, 3) * 0 + 1), batch @ np.ones((2, 4, 3), np.float32))
    same(am.dot(v, v), v @ v)
    same(am.dot(batch, array(3, 4, 2) * 0 + 1), np.dot(batch, np.ones((3, 4, 2), np.float32)))
    same(am.outer(v, v), np.outer(v, v))
    same(am.vdot(m, m), np.vdot(m, m))
    same(am.vecdot(m, v), (m * v).sum(-1))
    same(am.trace(m[:3, :3]), np.trace(m[:3, :3]))
    same(am.addmm(m[:, :1], m, n[:, :3], beta=2, alpha=3), 2 * m[:, :1] + 3 * (m @ n[:, :3]))
    with pytest.raises(ShapeError, match=r"mm: got .* need a matrix"):
        am.mm(v, m)


@pytest.mark.parametrize("axes", [0, 1, 2, ([1, 2], [1, 0]), ([-1], [0]), (2, 0)])
def test_tensordot_matches_numpy(axes):
    a, b = array(2, 3, 4), array(4, 3, 5)
    if axes == 2:
        b = array(3, 4, 5)
    same(am.tensordot(a, b, axes), np.tensordot(a, b, axes))


EQUATIONS = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)),
    ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)),
    ("ii->i", (3, 3)), ("ii->", (3, 3)), ("iij->ij", (3, 3, 2)), ("ij->ji", (2, 3)),
    ("ij->", (2, 3)), ("ij->j", (2, 3)), ("i,j->ij", (2,), (3,)), ("ij,ij->", (2, 3), (2, 3)),
    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)), ("...i->...", (2, 3)), ("ij,j->i", (2, 3), (3,)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)), ("abc,cd,bd->a", (2, 3, 4), (4, 5), (3, 5)),
    ("ba", (2, 3)), ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)), ("ij,kj->ik", (2, 3), (4, 3)),
    ("a...,b...->ab...", (2, 4), (3, 4)), ("ii,ij->j", (3, 3), (3, 2)),
]  # fmt: skip


@pytest.mark.parametrize("case", EQUATIONS, ids=lambda case: case[0])
def test_einsum_matches_numpy(case):
    equation, *shapes = case
    arrays = [array(*shape) for shape in shapes]
    same(am.einsum(equation, *arrays), np.einsum(equation, *arrays))


@pytest.mark.parametrize(
    ("equation", "shapes", "error", "message"),
    [
        ("ij,jk->ik", [(2, 3)], ArgumentError, "names 2 operands but 1 came"),
        ("ij,jk->ik", [(2, 3), (4, 5)], ShapeError, "label 'j' has sizes 3 and 4"),
        ("ij->iz", [(2, 3)], ArgumentError, "need labels of the operands"),
        ("ijk->i", [(2, 3)], ShapeError, "names 3 axes of an operand with 2"),
        ("i1->i", [(2, 3)], ArgumentError, "need letters"),
    ],
)
def test_errors_of_einsum(equation, shapes, error, message):
    with pytest.raises(error, match=message):
        am.einsum(equation, *[am.ones(*shape) for shape in shapes])
