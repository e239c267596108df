"""Which nodes one kernel computes: what the order of decisions must not spoil."""

from __future__ import annotations

from unittest import mock

import numpy as np

import ambos as am
import ambos.nn.functional as F
from ambos.compiler import pipeline
from ambos.compiler.fuse import Fusion
from ambos.ops.movement import afresh
from ambos.tensor.handle import wrap
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


def test_what_is_computed_afresh_waits_until_it_is_needed() -> None:
    x, w = am.rand(64, 64), am.rand(64, 64)
    am.evaluate(x, w)

    def layers(h: am.Tensor, count: int) -> am.Tensor:
        for _ in range(count):
            h = (h @ w).tanh()
        return h

    long = layers(x, 5)
    again = layers(wrap(afresh(x._node)), 2)
    program, _ = compiled([(long + again)._node])
    labels = [launch.kernel.label for launch in program.launches]
    contractions = [label for label in labels if label.startswith("contract")]
    assert len(contractions) == 7  # the first two layers are computed twice
    plain = layers(x, 5) + layers(x, 2)
    np.testing.assert_array_equal((long + again).numpy(), plain.numpy())
    # Three blocks at a time: what the long chain hands on, and what is computed again at its end.
    assert program.arena_bytes <= 3 * 64 * 64 * 4 + 64 * 64 * 4


def test_taps_are_read_by_a_kernel_that_does_not_reduce() -> None:
    """Sums over the pixels of a depthwise convolution would walk these in another order."""
    x, w = am.rand(2, 16, 6, 6), am.rand(16, 1, 3, 3)
    am.evaluate(x, w)
    y = F.conv2d(x, w, padding=1, groups=16)
    program, _ = compiled([F.batch_norm(y, None, None, training=True)._node])
    labels = [launch.kernel.label for launch in program.launches]
    assert [label for label in labels if "fma" in label] == ["fma [2, 16, 6, 6]"]
    masked = am.where(x > 0.5, y, 0)
    program, _ = compiled([masked.sum((0, 2, 3))._node])
    assert not any("sum" in x.kernel.label for x in program.launches if "where" in x.kernel.label)


def test_attention_asks_for_all_its_operands_at_once() -> None:
    """Each time that something is missing the graph is planned again: once for Q, for K, for V and
    for the mask, a first step of windowed attention was planned five times."""
    x, mask = am.rand(2, 3, 8, 40), am.rand(40, 40)
    am.evaluate(x, mask)
    out = F.scaled_dot_product_attention(x.mT, x.mT, x.mT, mask.T)
    with mock.patch.object(pipeline, "schedule", wraps=pipeline.schedule) as planned:
        compiled([out._node])
    assert planned.call_count == 2
