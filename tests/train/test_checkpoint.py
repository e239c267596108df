"""A crash costs what came after the last checkpoint: resumed runs end in the same bits."""

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import ambos as am
from ambos import nn, optim
from ambos.core.errors import ArgumentError, FormatError
from ambos.tensor.files import safe
from ambos.train.callbacks.checkpoints import Checkpoints
from tests.train import crash
from tests.train.crash import everything

VAULT = Path(__file__).parent / "vault"


class Stop(am.callbacks.Callback):
    """Raises after so many batches, as a crash does."""

    def __init__(self, after):
        self.left = after

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise ConnectionError("gone")


def resumed(folder, case, after, **more):
    """A run that stops after so many batches, and is begun again."""
    first, arguments = crash.prepared(case)
    backup = am.callbacks.BackupAndRestore(folder, save_freq=1, **more)
    arguments["callbacks"] = [backup, *arguments.pop("callbacks", []), Stop(after)]
    with pytest.raises(ConnectionError):
        first.fit(**arguments)
    second, arguments = crash.prepared(case)
    backup = am.callbacks.BackupAndRestore(folder, save_freq=1, delete_checkpoint=False)
    arguments["callbacks"] = [*arguments.pop("callbacks", []), backup]
    return second, second.fit(**arguments)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.fixture(scope="module")
def whole():
    """Of each case the run that nothing interrupts."""
    known = {}

    def run(case):
        if case not in known:
            model, arguments = crash.prepared(case)
            history = model.fit(**arguments)
            known[case] = everything(model), history.history
        return known[case]

    return run


@pytest.mark.parametrize("after", [3, 4, 6])
@pytest.mark.parametrize("case", list(crash.CASES))
def test_a_resumed_run_ends_in_the_same_bits(case, after, whole, tmp_path):
    model, history = resumed(tmp_path, case, after)
    weights, numbers = whole(case)
    assert_same(everything(model), weights)
    assert history.history == numbers
    assert history.epoch == list(range(len(numbers["loss"])))


def test_kill_9_at_any_step(tmp_path, whole):
    assert crash.kill_and_resume("arrays", tmp_path, seed=1)
    assert_same(dict(np.load(tmp_path / "weights.npz")), whole("arrays")[0])


def test_fit_resume_names_a_folder(tmp_path):
    model, arguments = crash.prepared("arrays")
    begun = model.fit(**arguments | {"epochs": 2, "resume": tmp_path})
    again, arguments = crash.prepared("arrays")
    history = again.fit(**arguments | {"epochs": 3, "resume": str(tmp_path)})
    assert history.history["loss"][:2] == begun.history["loss"]
    weights = everything(again)
    done, arguments = crash.prepared("arrays")
    assert len(done.fit(**arguments | {"epochs": 3, "resume": tmp_path}).epoch) == 3
    assert_same(everything(done), weights)


def test_another_training_is_refused_and_nothing_changed(tmp_path):
    model, arguments = crash.prepared("arrays")
    model.fit(**arguments | {"epochs": 1, "resume": tmp_path})
    other, arguments = crash.prepared("arrays")
    before = everything(other)
    with pytest.raises(ArgumentError, match="batch_size was 4, is 5"):
        other.fit(**arguments | {"batch_size": 5, "resume": tmp_path})
    assert_same(everything(other), before)
    wide = am.Sequential([nn.Linear(3, 7), nn.Linear(7, 1)])
    wide.compile("adam", "mse")
    with pytest.raises(ArgumentError, match="optimizer was 'SGD', is 'Adam'"):
        wide.fit(**arguments | {"resume": tmp_path})
    wide.compile(optim.SGD(lr=0.1), "mse")
    kept = wide[0].weight.numpy().copy()
    with pytest.raises(am.errors.AmbosError, match=r"size|shape|missing|unexpected"):
        wide.fit(**arguments | {"resume": tmp_path})
    np.testing.assert_array_equal(wide[0].weight.numpy(), kept)
    with pytest.raises(ArgumentError, match="resume is int"):
        wide.fit(**arguments | {"resume": 3})


def test_a_damaged_file_is_passed_over(tmp_path):
    model, arguments = crash.prepared("arrays")
    model.fit(**arguments | {"epochs": 3, "resume": tmp_path})
    kept = Checkpoints(tmp_path)
    newest, older = kept.files()
    newest.write_bytes(newest.read_bytes()[:-5])
    with pytest.warns(UserWarning, match=f"{newest.name} is damaged.*going on from {older.name}"):
        assert kept.newest()["epoch"] == 2
    older.write_bytes(b"")
    with pytest.raises(FormatError, match="damaged"):
        kept.newest()


def test_later_formats_are_not_taken_for_none(tmp_path):
    safe.write(tmp_path / "epoch-1-batch-0.safetensors", {}, {"format": "ambos-checkpoint-99"})
    with pytest.raises(FormatError, match="need a newer ambos"):
        Checkpoints(tmp_path).newest()


@pytest.mark.parametrize("limit", [0, 100, 3000])
def test_a_full_disk_is_said_once_and_training_goes_on(limit, tmp_path, monkeypatch, whole):
    written = safe.write

    def full(path, tensors, metadata):
        if "epoch-000002" in path.name or "epoch-000003" in path.name:
            with open(path.parent / f".{path.name}.part", "wb") as file:
                file.write(b"x" * limit)
            os.unlink(file.name)
            raise OSError(28, "No space left on device", str(path))
        written(path, tensors, metadata)

    monkeypatch.setattr(safe, "write", full)
    model, arguments = crash.prepared("arrays")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(**arguments | {"resume": tmp_path})
    (warning,) = said
    assert "No space left on device; training goes on" in str(warning.message)
    assert_same(everything(model), whole("arrays")[0])
    assert [path.name[:12] for path in Checkpoints(tmp_path).files()] == ["epoch-000001"]


def test_a_limit_on_the_size_of_files(tmp_path):
    """The real thing: the kernel refuses to write more than some bytes."""
    script = (
        "import resource, signal, sys, warnings\n"
        "from tests.train import crash\n"
        "model, arguments = crash.prepared('arrays')\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))\n"
        "warnings.simplefilter('always')\n"
        "print(len(model.fit(**arguments, resume=sys.argv[1]).epoch))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "x")],
        capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"AMBOS_CACHE": str(tmp_path / "none")},
    )  # fmt: skip
    assert done.stdout.strip() == str(crash.EPOCHS), done.stderr
    assert done.stderr.count("File too large") == 1, done.stderr
    assert "training goes on" in done.stderr
    assert list((tmp_path / "x").iterdir()) == []


def test_what_cannot_be_written_down_is_an_error(tmp_path):
    class Odd(am.callbacks.Callback):
        def state_dict(self):
            return {"socket": object()}

    model, arguments = crash.prepared("arrays")
    with pytest.raises(ArgumentError, match=r"socket.*is object"):
        model.fit(**arguments | {"callbacks": [Odd()], "resume": tmp_path})


def test_ctrl_c_leaves_a_checkpoint(tmp_path, whole):
    class CtrlC(am.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.run.epoch == 1 and batch == 1:
                os.kill(os.getpid(), signal.SIGINT)

    model, arguments = crash.prepared("arrays")
    history = model.fit(**arguments | {"callbacks": [CtrlC()], "resume": tmp_path})
    assert history.interrupted
    assert Checkpoints(tmp_path).files()[0].name == "epoch-000001-batch-000000002.safetensors"
    again, arguments = crash.prepared("arrays")
    again.fit(**arguments | {"resume": tmp_path})
    assert_same(everything(again), whole("arrays")[0])


def test_the_end_of_training_removes_its_checkpoints(tmp_path):
    model, arguments = crash.prepared("arrays")
    model.fit(**arguments | {"callbacks": [am.callbacks.BackupAndRestore(tmp_path)]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", sorted(VAULT.glob("*.safetensors")), ids=lambda path: path.stem)
def test_files_of_all_versions_load(path, tmp_path):
    expected = np.load(path.with_suffix(".npz"))
    if path.stem.startswith("model"):
        found = am.Model.load(path).predict(expected["x"])
        np.testing.assert_array_equal(found, expected["y"])
        return
    (tmp_path / "epoch-000001-batch-000000001.safetensors").write_bytes(path.read_bytes())
    model, arguments = crash.prepared("arrays")
    model.fit(**arguments | {"resume": tmp_path})
    assert_same(everything(model), dict(expected))


def test_the_vault_has_every_format():
    assert {path.stem for path in VAULT.glob("*.safetensors")} >= {
        "checkpoint-1", "model-1", "model-functional-1",
    }  # fmt: skip


def test_a_rate_of_the_last_one_is_set_once_an_epoch(tmp_path):
    """Also in the epoch that is begun a second time."""

    def run(*more):
        model, arguments = crash.prepared("arrays")
        halved = am.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
        arguments["callbacks"] = [halved, *more]
        return model, lambda: model.fit(**arguments).history

    model, fit = run()
    numbers = fit()
    for after in (4, 6):  # batches, of epochs of four
        backup = am.callbacks.BackupAndRestore(tmp_path, save_freq=1)
        with pytest.raises(ConnectionError):
            run(backup, Stop(after))[1]()
        again, fit = run(backup)
        assert fit() == numbers
        assert_same(everything(again), everything(model))
    assert fit()["learning_rate"][0] == numbers["learning_rate"][-1] / 2  # a new training


def test_what_was_stopped_is_not_gone_on_with(tmp_path):
    def run(patience=0, **more):
        model, arguments = crash.prepared("arrays")
        early = am.callbacks.EarlyStopping("loss", min_delta=9.0, patience=patience)
        arguments |= {"epochs": 6, "resume": tmp_path, "callbacks": [early], **more}
        return model, model.fit(**arguments).history

    model, numbers = run()
    for _ in range(2):
        again, same = run()
        assert same == numbers
        assert_same(everything(again), everything(model))
    held, _ = run(resume=again.run.state_dict())
    assert_same(everything(held), everything(model))
    assert len(run(patience=3)[1]["loss"]) == 4  # unless there is more patience now
    assert len(again.fit(**crash.prepared("arrays")[1]).history["loss"]) == crash.EPOCHS


def test_an_epoch_that_was_stopped_still_has_its_end(tmp_path):
    """Killed after the batch that ended training, before validation: that is done then."""

    class Ends(am.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 2

    def run(*more, **settings):
        model, arguments = crash.prepared("arrays")
        arguments |= {"validation_split": 0.25, "callbacks": [Ends(), *more], **settings}
        return model, lambda: model.fit(**arguments).history

    model, fit = run()
    numbers = fit()
    backup = am.callbacks.BackupAndRestore(tmp_path, save_freq=1)
    with pytest.raises(ConnectionError):
        run(backup, Stop(3))[1]()
    again, fit = run(backup)
    assert fit() == numbers
    assert_same(everything(again), everything(model))


def test_more_time_goes_on(tmp_path):
    def run(duration):
        model, arguments = crash.prepared("arrays")
        timer = am.callbacks.Timer(duration, verbose=0)
        return model.fit(**arguments | {"callbacks": [timer], "resume": tmp_path}).epoch

    assert run(1e-9) == run(1e-9) == [0]
    assert run(1e9) == [0, 1, 2]
