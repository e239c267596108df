"""The bits contract: the same graph on the same inputs gives the same bits, however it runs.

These tests never loosen: they compare bytes, not values within a tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambos.core.config import config
from ambos.core.features import Features
from ambos.graph import Node, toposort
from ambos.ops.arithmetic import add, maximum, multiply, subtract
from ambos.ops.contraction import conv
from ambos.ops.functions import cos, exp, sin, tanh
from ambos.ops.movement import concat, expand, flip, pad, permute, reshape, slice_
from ambos.ops.reductions import kept, max_, sum_
from ambos.runtime.machine import host_features
from ambos.tensor.realize import realize
from tests import workloads
from tests.workloads import WORKLOADS, Maker, along, leaf, linear, normalized, relu, softmax


@pytest.fixture(autouse=True)
def _restore_config() -> Iterator[None]:
    fuse, threads, cpu = config.fuse, config.threads, config.cpu
    flush = config.flush_denormal
    yield
    config.fuse, config.threads, config.cpu = fuse, threads, cpu
    config.flush_denormal = flush


def run(roots: list[Node]) -> list[bytes]:
    """Compute `roots` afresh; their bytes."""
    for node in toposort(roots):
        if node.inputs:
            node.value = None
    realize(roots)
    return [np.ascontiguousarray(node.value.numpy()).tobytes() for node in roots]


@pytest.mark.parametrize("name", WORKLOADS)
def test_fused_equals_op_by_op(name: str) -> None:
    roots = WORKLOADS[name]()
    config.fuse = True
    fused = run(roots)
    config.fuse = False
    assert run(roots) == fused


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name", WORKLOADS)
def test_threads_do_not_matter(name: str, threads: int) -> None:
    roots = WORKLOADS[name]()
    config.threads = 1
    one = run(roots)
    config.threads = threads
    assert run(roots) == one


def levels() -> list[str]:
    """Code generation targets that this machine can run besides its own."""
    native: Features = host_features()
    if not native.triple.startswith("x86_64"):
        return []
    return ["x86-64-v3"] if native.vector_bytes >= 32 else []


@pytest.mark.parametrize("name", WORKLOADS)
@pytest.mark.parametrize("level", levels())
def test_vector_width_does_not_matter(name: str, level: str) -> None:
    roots = WORKLOADS[name]()
    native = run(roots)
    config.cpu = level
    assert run(roots) == native


class Small(Maker):
    """Numbers of every size down to the subnormal ones."""

    def __call__(self, *shape: int, dtype: str = "float32", tracked: bool = True) -> Node:
        powers = self.random.integers(-24 if dtype == "float16" else -149, 1, shape)
        values = np.ldexp(self.random.standard_normal(shape), powers).astype(dtype)
        return leaf(values, tracked)


@pytest.mark.parametrize("name", WORKLOADS)
def test_flushing_is_the_same_everywhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With subnormal numbers taken for zeros: fused or not, threads, vector width."""
    monkeypatch.setattr(workloads, "Maker", Small)
    roots = WORKLOADS[name]()
    config.flush_denormal = True
    config.threads = 1
    expected = run(roots)
    config.threads = 2
    assert run(roots) == expected
    config.fuse = False
    assert run(roots) == expected
    config.fuse = True
    for config.cpu in levels():
        assert run(roots) == expected


def classifier(images: Node, k: Node, w: Node) -> Node:
    h = relu(conv(images, k, (1, 1), (1, 1), (1, 1), 1))
    h = sum_(h, attrs=((2, 3),))
    return softmax(normalized(linear(h, w), (1,)))


@pytest.mark.parametrize("batch", [2, 7, 33])
def test_an_example_alone_equals_itself_in_a_batch(batch: int) -> None:
    make = Maker(5)
    images = make.random.standard_normal((batch, 3, 10, 9)).astype(np.float32)
    k, w = make(8, 3, 3, 3), make(10, 8)
    together = classifier(leaf(images), k, w)
    realize([together])
    for i in (0, batch // 2, batch - 1):
        alone = classifier(leaf(images[i : i + 1]), k, w)
        realize([alone])
        assert alone.value.numpy()[0].tobytes() == together.value.numpy()[i].tobytes()


@pytest.mark.parametrize("rows", [1, 2, 5, 31, 100, 200])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_row_of_a_product_equals_the_row_alone(rows: int, transposed: bool) -> None:
    make = Maker(6)
    x = make.random.standard_normal((rows, 300)).astype(np.float32)
    w = make(300, 70) if transposed else make(70, 300)
    weight = permute(w, attrs=((1, 0),)) if transposed else w
    together = linear(leaf(x), weight)
    realize([together])
    for i in {0, rows // 2, rows - 1}:
        alone = linear(leaf(x[i : i + 1]), weight)
        realize([alone])
        assert alone.value.numpy()[0].tobytes() == together.value.numpy()[i].tobytes()


UNARY = [sin, cos, tanh, exp]
BINARY = [add, subtract, multiply, maximum]


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    """Random chains of pointwise, movement and reduction nodes with shared parts."""
    make = Maker(draw(st.integers(0, 1000)))
    a, b = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    nodes = [make(a, b), make(a, b)]
    for _ in range(draw(st.integers(2, 12))):
        node = nodes[draw(st.integers(0, len(nodes) - 1))]
        match draw(st.integers(0, 8)):
            case 0:
                new = UNARY[draw(st.integers(0, 3))](tanh(node))
            case 1:
                same = [n for n in nodes if n.shape == node.shape]
                other = same[draw(st.integers(0, len(same) - 1))]
                new = BINARY[draw(st.integers(0, 3))](node, other)
            case 2:
                new = permute(node, attrs=((1, 0),))
            case 3:
                axis = draw(st.integers(0, 1))
                total = (sum_ if draw(st.booleans()) else max_)(node, attrs=((axis,),))
                new = subtract(node, kept(total, total))
            case 4:
                before = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
                padded = pad(node, attrs=(before, (1, 0)))
                new = slice_(padded, attrs=((0, 0), node.shape, (1, 1)))
            case 5:
                new = flip(node, attrs=((draw(st.integers(0, 1)),),))
            case 6:
                axis = draw(st.integers(0, 1))
                both = concat(node, flip(node, attrs=((0,),)), attrs=(axis,))
                start = draw(st.integers(0, node.shape[axis]))
                begin = tuple(start if i == axis else 0 for i in range(2))
                stop = tuple(s + n for s, n in zip(begin, node.shape, strict=True))
                new = slice_(both, attrs=(begin, stop, (1, 1)))
            case 7:
                flat = reshape(node, attrs=((node.size,),))
                new = reshape(flip(flat, attrs=((0,),)), attrs=(node.shape,))
            case _:
                row = sum_(node, attrs=((0,),))
                new = add(node, along(row, node.shape, 1))
        nodes.append(new)
    return nodes[-3:]


@settings(max_examples=60)
@given(graphs())
def test_random_graphs_fused_and_op_by_op(roots: list[Node]) -> None:
    config.fuse = True
    fused = run(roots)
    config.fuse = False
    assert run(roots) == fused


def test_the_contract_can_fail() -> None:
    """Another order of summation does change bits: the comparison above is not vacuous."""
    make = Maker(0)
    x = make(1000)
    ahead = sum_(x, attrs=((0,),))
    back = sum_(add(flip(x, attrs=((0,),)), expand(reshape(leaf(np.zeros(1, "f4")), attrs=((1,),)),
                                                   attrs=((1000,),))), attrs=((0,),))  # fmt: skip
    assert run([ahead]) != run([back])
