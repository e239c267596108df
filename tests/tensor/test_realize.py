"""Programs against NumPy, and against the loop interpreter between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

import ambos as am
from ambos.compiler import pipeline
from ambos.compiler.kernels import rule_of
from ambos.compiler.layout import Memory, Ref, TableRef
from ambos.compiler.pipeline import lower_graph
from ambos.core.errors import IndexingError
from ambos.graph import Node, substitute, toposort
from ambos.graph.node import pending
from ambos.ops.arithmetic import add, multiply, subtract
from ambos.ops.attention import attention
from ambos.ops.indexing import take
from ambos.ops.movement import permute, reshape, slice_
from ambos.ops.reductions import sum_
from ambos.ops.sources import input_
from ambos.runtime.loader import statistics
from ambos.runtime.machine import host_features
from ambos.tensor.realize import realize, sign
from ambos.testing.interpret import interpret
from ambos.testing.reference import evaluate
from tests.workloads import (
    WORKLOADS,
    Maker,
    kernel_gradients,
    leaf,
    linear,
    mlp,
    normalized,
    relu,
    scalar,
    with_gradients,
)

INTERPRETED = (
    "fused_attention",
    "mlp",
    "conv_stride",
    "layer_norm",
    "few_rows_and_columns",
    "windows",
    "indexing",
    "movement",
    "reductions",
    "linear_algebra",
)


@pytest.mark.parametrize("name", WORKLOADS)
def test_matches_the_reference(name: str) -> None:
    roots = WORKLOADS[name]()
    realize(roots)
    for node, expected in zip(roots, evaluate(roots), strict=True):
        found = node.value.numpy()
        assert found.shape == expected.shape
        if node.dtype.is_inexact:
            scale = max(1.0, float(np.abs(expected).max(initial=0)))
            tolerance = 2e-2 if node.dtype.itemsize == 2 else 3e-5
            np.testing.assert_allclose(found / scale, expected / scale, atol=tolerance)
        else:
            np.testing.assert_array_equal(found, expected)


def interpreted(roots: Sequence[Node]) -> list[bytes]:
    """What the loop interpreter makes of the lowered graph."""
    leaves, _ = sign(pending(roots))
    numbered = {n: input_.leaf(i, n.value.strides, n.shape, n.dtype) for i, n in enumerate(leaves)}
    graph, steps, context = lower_graph(substitute(roots, numbered), host_features(), 1)
    held: dict[int, np.ndarray] = {
        id(memory): np.zeros(max(1, memory.nbytes // memory.dtype.itemsize), memory.dtype.name)
        for step in steps
        for memory in (w.memory for w in step.words if isinstance(w, Ref))
    }
    for memory in context.memories.values():
        if memory.input is not None:
            values = leaves[memory.input].value
            held[id(memory)] = values.storage.numpy(
                memory.dtype.name, (memory.nbytes // memory.dtype.itemsize,)
            )
    for step in steps:
        words, memory = [], {}
        for number, word in enumerate(step.words):
            if isinstance(word, Ref):
                memory[number] = held[id(word.memory)][word.offset // word.memory.dtype.itemsize :]
            elif isinstance(word, TableRef):
                memory[number] = np.array(word.values, np.int64)
            words.append(0 if number in memory else word)
        interpret(step.kernel, words, memory, rule_of)
    found = []
    for root in graph:
        memory_: Memory = context.memories[root]
        strides = tuple(s * memory_.dtype.itemsize for s in memory_.strides)
        flat = held[id(memory_)]
        view = np.lib.stride_tricks.as_strided(flat, root.shape, strides)
        found.append(np.ascontiguousarray(view).tobytes())
    return found


@pytest.mark.parametrize("name", INTERPRETED)
def test_machine_equals_interpreter(name: str) -> None:
    roots = WORKLOADS[name]()
    realize(roots)
    machine = [np.ascontiguousarray(n.value.numpy()) for n in roots]
    for node in toposort(roots):
        if node.inputs:
            node.value = None
    for node, ours, theirs in zip(roots, machine, interpreted(roots), strict=True):
        middle = np.frombuffer(theirs, ours.dtype).reshape(ours.shape)
        if node.dtype.is_floating:  # the interpreter's fused multiply-add rounds twice, rarely
            np.testing.assert_allclose(ours, middle, rtol=2e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(ours, middle)


def test_a_new_batch_size_compiles_nothing() -> None:
    realize(mlp(19))
    realize(mlp(200))
    before = statistics.compiled
    for batch in (2, 5, 18, 33, 128, 500):
        realize(mlp(batch))
    assert statistics.compiled == before


@pytest.mark.parametrize("axes", [(1,), (0, 2, 3)])
def test_a_new_batch_size_compiles_nothing_for_normalisation(axes: tuple[int, ...]) -> None:
    def graph(batch: int) -> list[Node]:
        x = Maker(1)(batch, 24, 6, 5)
        return with_gradients(relu(normalized(x, axes)), x)

    realize(graph(19))
    before = statistics.compiled
    for batch in (2, 3, 4, 7, 33, 64):
        realize(graph(batch))
    assert statistics.compiled == before


@pytest.mark.parametrize("causal", [False, True])
def test_a_new_length_compiles_nothing_for_attention(causal: bool) -> None:
    def graph(batch: int, heads: int, queries: int, keys: int, width: int) -> list[Node]:
        make = Maker(1)
        q, k, v = (make(batch, heads, n, width) for n in (queries, keys, keys))
        return kernel_gradients(attention(q, k, v, attrs=(0.5, causal)), q, k, v)

    realize(graph(2, 3, 19, 23, 16))
    realize(graph(2, 3, 1, 23, 16))
    before = statistics.compiled
    for sizes in (
        (2, 3, 20, 23, 16),
        (5, 2, 40, 300, 16),
        (2, 3, 300, 7, 40),
        (3, 1, 2, 2, 64),
        (1, 6, 1, 500, 24),
    ):
        realize(graph(*sizes))
    assert statistics.compiled == before


def test_a_value_is_computed_once() -> None:
    x = Maker()(4, 5)
    y = add(x, x)
    realize([y])
    first = y.value
    realize([y, add(y, x)])
    assert y.value is first


def test_views_of_data_copy_nothing() -> None:
    x = Maker()(4, 6)
    turned = permute(x, attrs=((1, 0),))
    part = slice_(turned, attrs=((1, 0), (6, 4), (2, 3)))
    flat = reshape(part, attrs=((3, 2, 1),))
    realize([turned, part, flat])
    assert turned.value.storage is part.value.storage is x.value.storage
    np.testing.assert_array_equal(part.value.numpy(), x.value.numpy().T[1::2, ::3])
    np.testing.assert_array_equal(flat.value.numpy(), x.value.numpy().T[1::2, ::3, None])


def test_an_index_outside_is_reported() -> None:
    table = Maker()(5, 3)
    picked = take(table, leaf(np.array([0, 4, 7])), attrs=(0,))
    with pytest.raises(IndexingError, match=r"take: index 7 is out of range for axis 0 of size 5"):
        realize([picked])
    assert picked.value is None


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0,)])
def test_empty_tensors(shape: tuple[int, ...]) -> None:
    x = Maker()(*shape)
    y = add(x, x)
    realize([y])
    assert y.value.numpy().shape == shape


def test_a_product_over_nothing_is_zero() -> None:
    make = Maker()
    z = linear(make(3, 0), make(4, 0))
    realize([z])
    np.testing.assert_array_equal(z.value.numpy(), np.zeros((3, 4), np.float32))


def test_deep_graphs() -> None:
    x = Maker()(8)
    y = x
    for _ in range(3000):
        y = add(y, x)
    realize([y])
    assert np.isfinite(y.value.numpy()).all()


@pytest.mark.parametrize("shape", [(17,), (17, 5), (17, 1, 5)])
def test_a_masked_read_may_start_outside_its_block(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x = am.tensor(values, requires_grad=True)
    loss = (am.cumsum(x, 0) ** 2).mean()
    loss.backward()
    loss.item()
    twin = torch.tensor(values, requires_grad=True)
    (twin.cumsum(0) ** 2).mean().backward()
    np.testing.assert_allclose(x.grad.numpy(), twin.grad.numpy(), atol=1e-6)


def test_planning_does_not_start_again_for_every_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers that lowering finds missing are collected over the whole graph, then forced."""
    passes = []
    original = pipeline.schedule
    monkeypatch.setattr(pipeline, "schedule", lambda *args: (passes.append(1), original(*args))[1])
    layers = [
        part
        for _ in range(6)
        for part in (am.nn.Conv2d(4, 4, 3, 2, padding=1), am.nn.BatchNorm2d(4), am.nn.ReLU())
    ]
    net = am.nn.Sequential(*layers, am.nn.Flatten())
    loss = net(am.tensor(np.ones((2, 4, 64, 64), np.float32))).sum()
    loss.backward()
    am.evaluate(loss, *[p.grad for p in net.parameters()])
    assert len(passes) <= 6


@pytest.mark.parametrize("shape", [(8_400_007,), (120_001, 80), (3000, 2831)])
def test_large_results_go_past_the_caches(shape: tuple[int, ...]) -> None:
    """Lines that vectors fill are streamed; tails and rows off the lines are not. The next kernel
    sees all of it, whoever wrote it."""
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) % 1021
    x = leaf(values)
    y = add(multiply(x, scalar(x, 2)), scalar(x, 1))
    total = sum_(y, attrs=((0,),))
    realize([y, total])
    np.testing.assert_array_equal(y.value.numpy(), values * 2 + 1)
    expected = (values * 2 + 1).astype(np.float64).sum(0)
    np.testing.assert_allclose(total.value.numpy(), expected, rtol=1e-5)
    z = subtract(y, x)
    realize([z])
    np.testing.assert_array_equal(z.value.numpy(), values + 1)
