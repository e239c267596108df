"""What launches say of themselves: work that is plausible for every graph, exact where known."""

from typing import get_args

import pytest

from ambos.compiler.launches import AnyKernel
from ambos.compiler.pipeline import compile_graph
from ambos.compiler.work import COUNTERS
from ambos.core.features import AVX2, AVX512
from ambos.graph import Node, substitute
from ambos.graph.node import pending
from ambos.ops.functions import exp
from ambos.ops.movement import permute
from ambos.ops.reductions import sum_
from ambos.ops.sources import input_
from tests.workloads import WORKLOADS, Maker, linear


def compiled(roots: list[Node], features=AVX2):
    """The program of `roots`, and how many nodes its launches may name."""
    order = pending(roots)
    leaves = [node for node in order if node.value is not None]
    trail = {node: i for i, node in enumerate(order)}
    inputs = {n: input_.leaf(i, n.value.strides, n.shape, n.dtype) for i, n in enumerate(leaves)}
    graph = substitute(roots, inputs, trail)
    return compile_graph(graph, features, 2, trail).program, len(order)


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_launch_knows_what_it_is_for(name):
    program, count = compiled(WORKLOADS[name]())
    for launch in program.launches:
        work = launch.work
        assert work.sources, launch.kernel.label
        assert all(0 <= place < count for place in work.sources)
        assert launch.items == 0 or work.written > 0
        assert work.flops >= 0


@pytest.mark.parametrize("features", [AVX2, AVX512])
@pytest.mark.parametrize(("m", "k", "n"), [(5, 7, 11), (300, 1000, 130), (1, 64, 64), (64, 64, 1)])
def test_work_of_a_product_does_not_depend_on_its_tiles(features, m, k, n):
    make = Maker()
    program, _ = compiled([linear(make(m, k), make(n, k))], features)
    product = program.launches[-1].work
    assert product.flops == 2 * m * k * n
    assert product.written == 4 * m * n
    assert product.read >= 4 * (m * k + n * k)


def test_a_transposing_copy_counts_both_its_axes():
    x = Maker()(200, 300)
    program, _ = compiled([exp(permute(x, attrs=((1, 0),))), exp(x)])
    assert sum(launch.work.written for launch in program.launches) == 2 * 4 * 200 * 300


def test_every_form_of_kernel_is_counted():
    assert set(COUNTERS) == set(get_args(AnyKernel))


def test_the_runs_of_a_split_sum_are_its_elements():
    program, _ = compiled([sum_(Maker()(300_000), attrs=((0,),))])
    runs, combined = (launch.work.flops for launch in program.launches)
    assert (runs, combined) == (300_000, 74)


def test_a_reduction_is_split_only_where_that_leaves_little():
    """Runs of two elements would make a first kernel write half of what it reads."""
    long, short = Maker()(400, 8, 9000), Maker()(40_000, 8, 2)
    assert len(compiled([sum_(long, attrs=((0, 2),))])[0].launches) == 2
    assert len(compiled([sum_(short, attrs=((0, 2),))])[0].launches) == 1
