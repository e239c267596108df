"""Single numbers of handles at rest: a look at them, and zeros over them, wake nobody."""

import numpy as np

import ambos as am
from ambos.tensor.resting import attention, zeroed


def test_a_number_is_read_and_a_total_begins_again_without_waking() -> None:
    total, vector = am.tensor(0.0), am.zeros(2)

    @am.jit
    def add(x: am.Tensor) -> None:
        total.add_(x.sum())
        vector.add_(x)

    x = am.tensor([1.0, 2.0])
    for _ in range(3):
        add(x)
    version = attention.version
    assert (total.item(), total.numpy(), bool(total)) == (9.0, np.float32(9), True)
    assert zeroed(total)
    assert zeroed(vector)
    assert total.item() == 0.0
    add(x)
    assert attention.version is version
    assert (total.item(), vector.tolist()) == (3.0, [1.0, 2.0])  # a list is another look
    assert attention.version is not version
    held, add_up = total.detach(), total + 1
    assert not zeroed(total)
    assert not zeroed(am.tensor(1.0))
    assert (held.item(), add_up.item()) == (3.0, 4.0)
