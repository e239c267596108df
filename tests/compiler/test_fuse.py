"""Which nodes one kernel computes: what the order of decisions must not spoil."""

from __future__ import annotations

from unittest import mock

import numpy as np

import ambos as am
import ambos.nn.functional as F
from ambos.compiler.fuse import Fusion
from tests.compiler.test_work import compiled


def test_gradients_of_a_loss_do_not_wait_for_the_losses() -> None:
    """They need the number of targets that count. Its kernel, were it the one that adds up the
    losses, would lie between the rows of the loss and those of the gradient."""
    x = am.tensor(np.zeros((40, 30), np.float32), requires_grad=True)
    labels = am.tensor(np.zeros(40, np.int64))
    loss = F.cross_entropy(x, labels)
    gradients = am.autograd.grad(loss, [x])
    program, _ = compiled([loss._node, gradients[0]._node])
    spaces = [launch.kernel.label.partition(" ")[2] for launch in program.launches]
    assert spaces == ["[40]", "[40, 30]", "[40]"]


def test_a_loss_alone_is_rows_and_one_kernel_that_adds_up() -> None:
    x = am.tensor(np.zeros((40, 30), np.float32))
    program, _ = compiled([F.cross_entropy(x, am.tensor(np.zeros(40, np.int64)))._node])
    spaces = [launch.kernel.label.partition(" ")[2] for launch in program.launches]
    assert spaces == ["[40, 30]", "[40]"]


def test_pieces_that_share_nothing_are_not_compared_with_each_other() -> None:
    """What a loop collects and stacks would otherwise take the square of its length to fuse."""
    pieces = [am.cos(am.tensor([1.0, 2.0]) * i) for i in range(50)]
    with mock.patch.object(Fusion, "are_siblings", wraps=Fusion.are_siblings) as compared:
        found = am.stack(pieces).numpy()
    assert compared.call_count == 0
    np.testing.assert_allclose(found, np.cos(np.outer(np.arange(50), [1.0, 2.0])), rtol=1e-5)
