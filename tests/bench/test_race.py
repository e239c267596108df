"""The harness itself: agreement, ratios within a round, floors, and workers that fail."""

import json

import numpy as np
import pytest

from bench import race, report, workload
from bench.process import Worker, WorkerError


def outcome() -> race.Outcome:
    ours = race.Lane("ambos", [1.0, 4.0, 1.0])
    slow = race.Lane("torch", [4.0, 8.0, 8.0])
    best = race.Lane("jax", [2.0, 2.0, 4.0])
    gone = race.Lane("mxnet", trouble="ModuleNotFoundError: mxnet", missing=True)
    facts = workload.Workload("a sum", flops=10.0, bytes=40.0)
    peaks, bandwidths = [20.0, 5.0, 100.0], [40.0, 400.0, 80.0]
    return race.Outcome("toy", facts, 2, [ours, slow, best, gone], peaks, bandwidths)


def test_ratio_is_formed_within_each_round_against_the_best_peer():
    result = outcome()
    assert result.best_peer is result.lanes[2]
    assert result.ratio(result.lanes[0]) == 0.5  # of 0.5, 2.0 and 0.25


def test_floor_is_the_tighter_of_compute_and_traffic():
    result = outcome()
    assert result.floors() == [1.0, 2.0, 0.5]
    assert result.share(result.lanes[0]) == 0.5  # of 1.0, 0.5 and 0.5


def test_no_peer_means_no_ratio():
    result = outcome()
    result.lanes = result.lanes[:1]
    assert result.ratio(result.lanes[0]) is None


@pytest.mark.parametrize(
    ("found", "expected", "difference"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.5], [1.0, 2.0], 0.25),
        ([1.0, float("nan")], [1.0, 2.0], float("inf")),
        ([[1.0, 2.0]], [1.0, 2.0], float("inf")),
        ([0.0], [0.0], 0.0),
        ([], [], 0.0),
    ],
)
def test_disagreement(found, expected, difference):
    assert race.disagreement(np.array(found), np.array(expected)) == difference


def test_reports_hold_every_lane(tmp_path):
    paths = report.write([outcome()], tmp_path)
    data = json.loads(paths[0].read_text())
    lanes = {lane["twin"]: lane for lane in data["workloads"][0]["lanes"]}
    assert lanes["ambos"]["ratio"] == 0.5
    assert "median" not in lanes["mxnet"]
    text = paths[1].read_text()
    assert all(f"| {twin} |" in text for twin in lanes)
    assert "not installed" in text
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    assert "not installed" in report.table(outcome())


@pytest.mark.parametrize("name", workload.names())
def test_every_workload_has_ours_and_torch(name):
    module = workload.load(name)
    frameworks = [workload.framework(twin) for twin in workload.twins(module)]
    assert {"ambos", "torch"} <= set(frameworks)
    assert module.WORKLOAD.title


def test_worker_builds_runs_and_reports_failure(tmp_path):
    with Worker("gemm_512", "numpy", 1, str(tmp_path)) as worker:
        with pytest.raises(WorkerError, match="build comes before run"):
            worker.ask("run", calls=1)
        seconds, output = worker.build()
        data = workload.load("gemm_512").data()
        np.testing.assert_allclose(output, data["a"] @ data["b"], rtol=1e-4, atol=1e-3)
        assert seconds["first"] > 0
        assert worker.ask("run", calls=2)["seconds"] > 0


def test_a_framework_that_is_not_installed_is_told_apart(tmp_path):
    with Worker("gemm_512", "mxnet", 1, str(tmp_path)) as worker:
        with pytest.raises(WorkerError) as caught:
            worker.build()
        assert caught.value.missing


def test_a_worker_that_dies_says_why(tmp_path):
    with Worker("gemm_512", "numpy", 1, str(tmp_path)) as worker:
        worker.process.kill()
        worker.process.wait()
        with pytest.raises(WorkerError, match="ended with -9"):
            worker.ask("run", calls=1)
