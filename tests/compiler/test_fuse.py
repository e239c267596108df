"""Which nodes one kernel computes: what the order of decisions must not spoil."""

from __future__ import annotations

import numpy as np

import ambos as am
import ambos.nn.functional as F
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
