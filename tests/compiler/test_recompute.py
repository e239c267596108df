"""Computing again what lies idle: the same bits in less memory."""

from __future__ import annotations

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn
from ambos.compiler.pipeline import compile_graph
from ambos.graph.node import Node, pending
from ambos.graph.rewrite import substitute
from ambos.ops.sources import input_
from ambos.runtime.executor import Executable
from ambos.runtime.machine import host_features
from ambos.runtime.memory import Storage


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.wide = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.mix, self.narrow = nn.Linear(width, 3 * width), nn.Linear(2 * width, width)

    def forward(self, x: am.Tensor) -> am.Tensor:
        q, k, v = (part[:, None] for part in self.mix(x).chunk(3, -1))
        x = x + F.scaled_dot_product_attention(q, k, v, is_causal=True)[:, 0]
        return x + F.dropout(self.narrow(F.gelu(self.wide(self.norm(x)))), 0.2)


def dense() -> tuple[nn.Module, tuple[int, ...]]:
    layers = [part for _ in range(9) for part in (nn.Linear(32, 32), nn.GELU())]
    return nn.Sequential(*layers), (128, 32)


def attention() -> tuple[nn.Module, tuple[int, ...]]:
    return nn.Sequential(*(Block(16) for _ in range(4))), (4, 32, 16)


def convolutions() -> tuple[nn.Module, tuple[int, ...]]:
    layers = [part for _ in range(5) for part in (
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()
    )]  # fmt: skip
    return nn.Sequential(*layers), (4, 8, 12, 12)


def gradients(model: nn.Module, shape: tuple[int, ...]) -> list[Node]:
    """The loss of a training step and all gradients, to be computed."""
    am.manual_seed(0)
    loss = (model(am.rand(*shape)) ** 2).mean()
    grads = am.autograd.grad(loss, list(model.parameters()))
    return [loss._node, *(grad._node for grad in grads)]


def run(roots: list[Node], budget: int | None) -> tuple[int, int, list[np.ndarray]]:
    """Bytes taken, arithmetic and results."""
    order = pending(roots)
    leaves = [node for node in order if node.value is not None]
    inputs = {n: input_.leaf(i, n.value.strides, n.shape, n.dtype) for i, n in enumerate(leaves)}
    graph = substitute(roots, inputs)
    compiled = compile_graph(graph, host_features(), 1, budget=budget)
    program = compiled.program
    outputs = [Storage(nbytes) for nbytes in program.output_bytes]
    addresses = [node.value.address for node in leaves][: program.num_inputs]
    Executable(program).run(addresses, [storage.address for storage in outputs])
    values = []
    for result in compiled.results:
        if result.output is not None:
            kind = result.dtype.name
            strides = tuple(step * result.dtype.itemsize for step in result.strides)
            values.append(outputs[result.output].numpy(kind, result.shape, strides))
    return compiled.own_bytes, sum(launch.work.flops for launch in program.launches), values


@pytest.mark.parametrize(("make", "least"), [(dense, 0.5), (attention, 0.45), (convolutions, 0.6)])
def test_less_memory_and_the_same_bits(make, least):
    model, shape = make()
    roots = gradients(model, shape)
    taken, work, wanted = run(roots, None)
    budget = int(least * taken)
    less, more_work, found = run(roots, budget)
    assert less <= budget
    assert more_work < 1.4 * work
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_is_computed_twice_within_the_budget():
    roots = gradients(*dense())
    taken, work, _ = run(roots, None)
    assert run(roots, taken)[:2] == (taken, work)


def test_a_little_less_memory_costs_a_little_work():
    roots = gradients(*dense())
    taken, work, _ = run(roots, None)
    some, some_work, _ = run(roots, int(0.8 * taken))
    much, much_work, _ = run(roots, int(0.4 * taken))
    assert much < some < taken
    assert work < some_work < much_work


def test_out_of_reach_is_the_smallest_that_was_found():
    roots = gradients(*dense())
    taken, _, wanted = run(roots, None)
    least, _, found = run(roots, 1)
    assert 1 < least < 0.5 * taken
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
