"""Sums whose blocks of k are work items: which ones, their parts, and their bits."""

from __future__ import annotations

import numpy as np
import pytest

from ambos.compiler.k_parts import parts_of
from ambos.compiler.loops import ContractKernel, LoopKernel, block_length
from ambos.compiler.pipeline import lower_graph
from ambos.core.dtype import float32
from ambos.core.shape import row_major
from ambos.graph.node import Node
from ambos.ops.contraction import contract, make_spec, plain
from ambos.ops.sources import input_
from ambos.runtime.machine import host_features
from ambos.testing.interpret import interpret

from .test_emit_contract import CPUS, FORMS, RULES, Case, canonical, in_elements, matmul, numbers


def product(m: int, k: int, n: int) -> Node:
    sizes = {"m": m, "k": k, "n": n}
    shapes = ((m, k), (k, n))
    leaves = [input_.leaf(i, row_major(s), s, float32) for i, s in enumerate(shapes)]
    return contract(*leaves, attrs=(make_spec(plain("mk"), "kn", "mn", "k", sizes),))


def parts(a: np.ndarray, b: np.ndarray, tile: tuple[int, int], form: str, a_form: str) -> Case:
    """The chains of all blocks of k of a @ b."""
    case = matmul(a, b, tile, form, a_form=a_form, split=True, row_block=2 * tile[0])
    count = -(-a.shape[1] // block_length(a.shape[1]))
    case.batch, case.a.batch, case.b.batch = [count], [0], [0]
    case.out = np.full((count, a.shape[0], b.shape[1]), 77, np.float32)
    case.strides = in_elements(case.out)
    return case


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("tile", [(6, 1), (11, 2)])
@pytest.mark.parametrize("form", FORMS)
def test_blocks_added_in_order_are_the_product(cpu: str, tile: tuple[int, int], form: str) -> None:
    a, b = numbers(29, 700), numbers(700, 37, seed=1)
    for left, a_form in ((a, "place"), (np.asfortranarray(a), "rows"), (a, "k")):
        case = parts(left, b, tile, form, a_form)
        first, *others = case.run(cpu, chunk=1)
        for other in others:
            first = first + other
        np.testing.assert_array_equal(first, canonical(a, b))


def test_the_interpreter_computes_the_same_parts() -> None:
    a, b = numbers(7, 600), numbers(600, 19, seed=1)
    case = parts(a, b, (6, 1), "copy", "place")
    machine = case.run().copy()
    case.out[...] = 0
    kernel = case.kernel()
    used = case.arrays[-len(case.buffers) :]
    memory = {b.word: x.ravel() for x, b in zip(used, case.buffers.values(), strict=True)}
    memory |= dict(zip((kernel.a_runs, kernel.b_runs), case.tables, strict=True))
    interpret(kernel, case.words, memory, RULES.__getitem__)
    np.testing.assert_array_equal(machine, case.out)


@pytest.mark.parametrize(
    ("size", "threads", "expected"),
    [
        ((64, 4096, 64), 2, 16), ((64, 4096, 64), 1, 0), ((64, 1024, 64), 2, 0),
        ((1024, 4096, 64), 2, 0), ((64, 4000, 500), 3, 16),
    ],
)  # fmt: skip
def test_which_sums_are_cut(size: tuple[int, int, int], threads: int, expected: int) -> None:
    node = product(*size)
    assert parts_of(node.attrs[0], threads) == expected
    steps = lower_graph([node], host_features(), threads)[1]
    assert [type(step.kernel) for step in steps] == [ContractKernel, LoopKernel][
        : 1 + (expected > 0)
    ]
    assert steps[0].items >= expected
