"""Attention's machine code against the loop interpreter: the same bits, whatever the processor."""

from __future__ import annotations

import numpy as np
import pytest

from ambos.core.config import config
from ambos.graph import Node, toposort
from ambos.ops.attention import attention, attention_statistics
from ambos.ops.movement import expand
from ambos.tensor.realize import realize
from tests.tensor.test_bits import levels
from tests.tensor.test_realize import interpreted
from tests.workloads import Maker, kernel_gradients, leaf

# batch, heads, key heads, queries, keys, width, width of values, causal, masked
CASES = {
    "blocks": (1, 2, 2, 70, 150, 20, 35, False, False),
    "causal": (2, 1, 1, 97, 131, 8, 16, True, False),
    "groups": (1, 4, 2, 33, 40, 3, 5, True, False),
    "one more": (2, 2, 2, 65, 65, 36, 8, False, False),  # than a block of the backward pass has
    "half a panel": (1, 1, 1, 80, 17, 5, 33, True, False),
    "masked": (1, 2, 1, 20, 133, 16, 4, False, True),
    "masked and causal": (1, 1, 1, 66, 66, 4, 4, True, True),
    "single": (2, 2, 1, 1, 141, 37, 70, False, False),
    "single, masked": (1, 2, 2, 1, 20, 16, 8, False, True),
}


def graph(name: str, dtype: str) -> list[Node]:
    batch, heads, shared, queries, keys, width, wide, causal, masked = CASES[name]
    make = Maker(3)
    q = make(batch, heads, queries, width, dtype=dtype)
    k, v = (make(batch, shared, keys, n, dtype=dtype) for n in (width, wide))
    attrs = (0.4, causal)
    masks = []
    if masked:
        values = make.random.standard_normal((1, 1, queries, keys)).astype(dtype)
        values[..., 1::3] = -np.inf  # the first key takes part everywhere
        masks = [expand(leaf(values), attrs=((batch, heads, queries, keys),))]
    output = attention(q, k, v, *masks, attrs=attrs)
    return [
        *kernel_gradients(output, q, k, v),
        attention_statistics(q, k, *masks, attrs=attrs),
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("level", ["native", *levels()])
def test_machine_equals_interpreter(name: str, level: str, dtype: str) -> None:
    before = config.cpu
    config.cpu = level
    try:
        roots = graph(name, dtype)
        realize(roots)
        machine = [np.ascontiguousarray(node.value.numpy()).tobytes() for node in roots]
        for node in toposort(roots):
            if node.inputs:
                node.value = None
        assert interpreted(roots) == machine
    finally:
        config.cpu = before
