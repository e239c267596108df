"""The table after a long run."""

import pytest

from tests.durations import KERNELS, MOST_FILES, lines


def reports(nodeid: str, seconds: float, kernels: int = 0) -> list[pytest.TestReport]:
    return [
        pytest.TestReport(
            nodeid, (nodeid, 1, nodeid), {}, "passed", None, phase,
            duration=seconds if phase == "call" else 0.5, user_properties=[(KERNELS, kernels)],
        )
        for phase in ("setup", "call", "teardown")
    ]  # fmt: skip


def test_files_and_tests_by_what_they_took():
    head, *rows = lines([
        *reports("a.py::one", 30.0, 3), *reports("a.py::two[x::y]", 49.0, 4),
        *reports("b.py::one", 100.0, 1),
    ])  # fmt: skip
    assert head.split() == ["seconds", "share", "tests", "kernels"]
    assert [row.split() for row in rows] == [
        ["101.0", "55.5%", "1", "1", "b.py"],
        ["81.0", "44.5%", "2", "7", "a.py"],
        ["101.0", "55.5%", "1", "1", "b.py::one"],
        ["50.0", "27.5%", "1", "4", "a.py::two[x::y]"],
        ["31.0", "17.0%", "1", "3", "a.py::one"],
    ]


def test_a_short_run_gets_none_and_a_long_one_a_short_table():
    assert [*lines(reports("a.py::one", 3.0))] == []
    many = [report for n in range(50) for report in reports(f"{n}.py::one", 9.0)]
    assert [row.split()[-1] for row in lines(many)].count("kernels") == 1
    assert sum(row.endswith(".py") for row in lines(many)) == MOST_FILES
