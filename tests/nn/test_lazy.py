"""Layers whose sizes are learnt at the first call; what they become is in test_layers.py."""

import sys
import threading

import numpy as np
import pytest

import ambos as am
from ambos import nn

X = np.random.RandomState(0).rand(4, 4, 4).astype(np.float32)


@pytest.mark.parametrize("how", ["as it is", "recorded"])
def test_a_lazy_layer_that_several_threads_call_first(how):
    """One of them gives it its sizes and numbers, and nobody computes before it has them."""
    x, switch = am.tensor(X), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            am.manual_seed(0)
            alone = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Linear(8, 3))
            am.manual_seed(0)
            net = nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.LazyLinear(3))
            call, found = am.jit(net) if how == "recorded" else net, []
            threads = [threading.Thread(target=lambda call=call, found=found: found.append(call(x)))
                       for _ in range(4)]  # fmt: skip
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            wanted = alone(x).numpy()
            assert [np.array_equal(each.numpy(), wanted) for each in found] == [True] * 4
    finally:
        sys.setswitchinterval(switch)
