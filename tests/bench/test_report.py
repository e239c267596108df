"""What follows from times: ratios within a round, floors, agreement, and the reports."""

import json

import numpy as np
import pytest

from bench import report
from bench.outcome import Lane, Outcome, disagreement


def outcome() -> Outcome:
    ours = Lane("ambos", [1.0, 4.0, 1.0], first_cold=0.5, first_warm=0.25, memory=2.0**20)
    slow = Lane("torch", [4.0, 8.0, 8.0])
    best = Lane("jax", [2.0, 2.0, 4.0])
    gone = Lane("mxnet", trouble="ModuleNotFoundError: mxnet", missing=True)
    wrong = Lane("numpy", trouble="its output differs")
    peaks, bandwidths = [20.0, 5.0, 100.0], [40.0, 400.0, 80.0]
    lanes = [ours, slow, best, gone, wrong]
    return Outcome("toy", "sum", "a sum", 2, 10.0, 40.0, lanes, peaks, bandwidths)


def test_ratio_is_formed_within_each_round_against_the_best_peer():
    result = outcome()
    assert result.best_peer is result.lanes[2]
    assert result.ratio(result.ours) == 0.5  # of 0.5, 2.0 and 0.25
    result.lanes[0].seconds[0] = 0.5
    result.fastest = True
    assert result.ratio(result.ours) == 0.25  # 0.5 over 2.0


def test_a_twin_that_ran_fewer_rounds_is_compared_in_those():
    result = outcome()
    result.lanes[1].seconds = [4.0]
    assert result.ratio(result.lanes[1]) == 2.0


def test_floor_is_the_tighter_of_compute_and_traffic():
    result = outcome()
    assert result.floors() == [1.0, 2.0, 0.5]
    assert result.share(result.ours) == 0.5  # of 1.0, 0.5 and 0.5


def test_no_peer_means_no_ratio():
    result = outcome()
    result.lanes = result.lanes[:1]
    assert result.ratio(result.ours) is None


def test_the_twin_called_ambos_stands_for_us():
    result = outcome()
    result.lanes.insert(0, Lane("ambos eager", [9.0, 9.0, 9.0]))
    assert result.ours.twin == "ambos"
    assert "ambos eager: 9.00 s, ratio 4.50" in report.lines(result)


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
    assert disagreement([np.array(found)], [np.array(expected)]) == difference


def test_every_array_of_an_output_counts():
    right, wrong = np.array([1.0]), np.array([1.5])
    assert disagreement([right, wrong], [right, right]) == 0.5
    assert disagreement([right], [right, right]) == float("inf")


def test_reports_hold_every_lane(tmp_path):
    paths = report.write([outcome()], tmp_path)
    (entry,) = json.loads(paths[0].read_text())["workloads"]
    lanes = {lane["twin"]: lane for lane in entry["lanes"]}
    assert lanes["ambos"]["ratio"] == 0.5
    assert "median" not in lanes["mxnet"]
    text = paths[1].read_text()
    assert "Not installed: mxnet." in text
    assert "**2.00 s**" in text
    assert "| sum | 2 | ambos | 500 ms | 250 ms | 1 MiB |" in text
    assert "numpy: its output differs" in text
    assert paths[2].read_bytes().startswith(b"\x89PNG")


def test_the_summary_counts_and_names_the_worst():
    slower = outcome()
    slower.case = "product"
    slower.lanes[0].seconds = [4.0, 4.0, 8.0]
    text = report.summary([outcome(), slower])
    assert "1/2" in text
    assert "product (2t) 2.00" in text
    assert "1.00" in text  # the geometric mean of 0.5 and 2


def test_ours_that_failed_are_named():
    broken = outcome()
    broken.lanes[0] = Lane("ambos", trouble="no such operation")
    assert "no such operation" in report.summary([broken])
