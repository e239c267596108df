"""Sums down columns in the kernel that goes over rows: when, and what its items may do."""

from __future__ import annotations

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos.compiler.columns import are_crosswise
from ambos.compiler.group import Group
from tests.compiler.test_work import compiled


def gradients(x: am.Tensor, length: int) -> list[am.Tensor]:
    weight, bias = (am.ones(length).requires_grad_() for _ in range(2))
    am.evaluate(weight, bias)
    y = F.layer_norm(x, length, weight, bias)
    return [y, *am.autograd.grad(y, [x, weight, bias], am.tensor(np.ones(x.shape, np.float32)))]


def spaces(found: list[am.Tensor]) -> list[str]:
    """The iteration space of every launch."""
    program, _ = compiled([tensor._node for tensor in found])
    return [launch.kernel.label.partition(" ")[2] for launch in program.launches]


@pytest.mark.parametrize("rows", [2, 7, 64, 5000])
def test_one_pass_over_rows_then_little(rows: int) -> None:
    x = am.tensor(np.ones((rows, 24), np.float32), requires_grad=True)
    runs = -(-rows // 4096)
    assert spaces(gradients(x, 24)) == [f"[{rows}, 24]", f"[{runs}, 24, 16]"]


def test_rows_that_do_not_follow_each_other_are_walked_twice() -> None:
    whole = am.tensor(np.ones((6, 9, 24), np.float32))
    x = whole[:, 1:5].detach().requires_grad_()
    found = gradients(x, 24)
    assert [space for space in spaces(found) if space.endswith("16]")] == []
    again = gradients(am.tensor(x.numpy(), requires_grad=True), 24)
    for one, other in zip(found, again, strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes()


@pytest.mark.parametrize("threads", [1, 2, 64])
def test_items_are_many_where_threads_are(threads: int) -> None:
    from ambos.compiler.finish import Axes, Words
    from ambos.compiler.launches import outline_columns

    axes = Axes([1000, 64])
    axes.extend([0], [])
    axes.extend([1], [])
    shape = outline_columns(axes, Words(), 0, 512, threads)
    assert shape.items == min(16, max(1, 2 * threads))


def test_only_rows_and_columns_of_one_space_join() -> None:
    rows, columns = Group("loop", (4, 5), (1,), []), Group("loop", (4, 5), (0,), [])
    assert are_crosswise(rows, columns)
    assert not are_crosswise(columns, rows)
    assert not are_crosswise(rows, Group("loop", (4, 6), (0,), []))
    assert not are_crosswise(Group("loop", (4, 5, 6), (1,), []), columns)


def test_a_bias_below_a_loss() -> None:
    """Exponentials wait in scratch, which moves what is on the tape, a zero among others."""
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(s).astype(np.float32) for s in ((32, 20), (10, 20), (10,))]
    labels = random.integers(0, 10, 32)
    x, weight, bias = (am.tensor(a, requires_grad=True) for a in arrays)

    @am.jit
    def step(labels: am.Tensor) -> list[am.Tensor]:
        loss = F.cross_entropy(F.linear(x.relu(), weight, bias), labels)
        return [loss, *am.autograd.grad(loss, [x, weight, bias])]

    found = step(am.tensor(labels))
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    logits = torch.nn.functional.linear(theirs[0].relu(), *theirs[1:])
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    expected = [loss, *torch.autograd.grad(loss, theirs)]
    for ours, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), other.detach().numpy(), atol=1e-5)
