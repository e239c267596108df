"""The race: plans, agreement, workers that fail, and a whole race of two twins."""

import json

import numpy as np
import pytest

from bench import __main__ as command
from bench import race, workload
from bench.crew import STRIKES, Crew
from bench.process import Worker, WorkerError
from bench.workload import Case
from bench.workloads.gemm import Product


def small() -> Case:
    return workload.find("gemm", "256-nn")


def test_a_plan_gives_short_calls_many_rounds_and_long_ones_few():
    short = race.make_plan({"ambos": 1e-4, "torch": 1e-4}, Case())
    assert short.rounds == race.MOST_ROUNDS
    assert short.calls["ambos"] > 100
    long = race.make_plan({"ambos": 0.4, "torch": 0.4}, Case())
    assert long.rounds == race.LEAST_ROUNDS
    assert long.calls == {"ambos": 1, "torch": 1}
    assert race.make_plan({"ambos": 9.0}, Case()).rounds == 3


def test_a_twin_far_behind_costs_little():
    plan = race.make_plan({"ambos": 1e-3, "torch": 1e-3, "mlx": 0.05, "numpy": 2.0}, Case())
    assert plan.brief == {"mlx": 2, "numpy": 0}
    assert plan.calls["mlx"] == plan.calls["numpy"] == 1


def test_a_case_may_fix_its_rounds_and_calls():
    case = Case()
    case.rounds, case.calls = 2, 1
    plan = race.make_plan({"ambos": 1e-6}, case)
    assert (plan.rounds, plan.calls) == (2, {"ambos": 1})


def test_a_race_times_twins_that_agree_and_no_others(monkeypatch):
    case = small()
    with Crew() as crew:
        outcome = race.run("gemm", case, 1, ["numpy", "ambos"], crew, 0.05)
        assert [lane.twin for lane in outcome.timed] == ["numpy", "ambos"]
        assert len(outcome.peaks) == len(outcome.timed[0].seconds)
        assert 0 < outcome.share(outcome.timed[0]) < 1.5
        case = Product(256, 256, 256, "nn")
        case.tolerance = -1.0
        disputed = race.run("gemm", case, 1, ["numpy", "ambos"], crew, 0.05)
        assert all("differs" in lane.trouble for lane in disputed.lanes)


def test_worker_builds_runs_and_reports_failure(tmp_path):
    with Worker("gemm", "numpy", 1, str(tmp_path)) as worker:
        with pytest.raises(WorkerError, match="build comes before run"):
            worker.ask("run", twin="numpy", calls=1)
        seconds, (output,) = worker.build("256-nn", "numpy")
        data = small().data()
        np.testing.assert_allclose(output, data["a"] @ data["b"], rtol=1e-4, atol=1e-3)
        assert seconds["first"] > 0
        assert worker.ask("run", twin="numpy", calls=2)["seconds"] > 0
        assert worker.ask("memory")["bytes"] >= 0
        worker.ask("drop")
        with pytest.raises(WorkerError, match="build comes before run"):
            worker.ask("run", twin="numpy", calls=1)


def test_a_framework_that_is_not_installed_is_told_apart(tmp_path):
    with Worker("gemm", "mxnet", 1, str(tmp_path)) as worker:
        with pytest.raises(WorkerError) as caught:
            worker.build("256-nn", "mxnet")
        assert caught.value.missing


def test_a_worker_that_dies_says_why(tmp_path):
    with Worker("gemm", "numpy", 1, str(tmp_path)) as worker:
        worker.process.kill()
        worker.process.wait()
        with pytest.raises(WorkerError, match="ended with -9"):
            worker.ask("run", twin="numpy", calls=1)


def test_a_worker_that_does_not_answer_is_ended(tmp_path):
    with Worker("gemm", "numpy", 1, str(tmp_path)) as worker:
        with pytest.raises(WorkerError, match="no answer to 'build'"):
            worker.build("256-nn", "numpy", patience=0.0)
        assert not worker.alive


def test_a_crew_replaces_what_died_but_not_for_ever():
    with Crew() as crew:
        first = crew.worker("gemm", "numpy", 1)
        assert crew.worker("gemm", "numpy", 1) is first
        for _ in range(STRIKES):
            worker = crew.worker("gemm", "numpy", 1)
            worker.process.kill()
            worker.process.wait()
        with pytest.raises(WorkerError, match="left alone"):
            crew.worker("gemm", "numpy", 1)


def test_the_command_runs_a_case_and_reports(tmp_path, capsys):
    arguments = ["--only", "gemm/256-nn", "--peers", "numpy", "--threads", "1"]
    assert command.main([*arguments, "--budget", "0.05", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "results.json").read_text())["workloads"]
    assert [entry["case"] for entry in found] == ["256-nn"]
    assert "1/1" in capsys.readouterr().out or found[0]["lanes"][0]["ratio"] > 1


def test_the_command_lists_and_refuses():
    assert command.main(["--list", "--only", "gemm"]) == 0
    with pytest.raises(SystemExit):
        command.parse(["--only", "nothing_of_the_kind"])
