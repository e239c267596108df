"""The cases that there are, and how they are found."""

import pytest

from bench import workload
from bench.workload import Case

EVERY = workload.select([])


@pytest.mark.parametrize("family", workload.families())
def test_names_are_unique_in_a_family(family):
    names = [case.name for case in workload.load(family)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("family", "case"), EVERY, ids=[f"{f}/{c.name}" for f, c in EVERY])
def test_every_case_has_ours_and_torch(family, case):
    frameworks = {workload.framework(twin) for twin in workload.twins(case)}
    loop = "lightning" if family == "fit" else "torch"  # PyTorch's loop, where one is raced
    assert {"ambos", loop} <= frameworks
    assert case.title
    assert case.flops >= 0
    assert case.bytes >= 0
    assert workload.find(family, case.name) is case


def test_twins_come_in_the_order_of_the_class_and_may_be_left_out():
    class Toy(Case):
        def with_torch_compile(self, data):
            return None

        def with_ambos(self, data):
            return None

        without = {"ambos": "for the test"}

    assert list(workload.twins(Toy())) == ["torch compile"]


def test_select_takes_families_cases_and_beginnings():
    assert {family for family, _ in workload.select(["gemm"])} == {"gemm"}
    assert [case.name for _, case in workload.select(["256-nt"])] == ["256-nt"]
    assert len(workload.select(["gemm/512"])) == 4
    with pytest.raises(LookupError, match="nothing"):
        workload.select(["nothing"])
