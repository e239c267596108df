"""The TensorBoard callback, its logs read by TensorBoard."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError, UnknownNameError
from ambos.viz.event_file import EventFile
from tests.viz.test_writer import read

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Words(am.Model):
    """Tokens to two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(7, 4), nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.table(x).mean(1))


def fit(callbacks: Any, epochs: int = 2) -> tuple[Words, Any]:
    random = np.random.default_rng(0)
    x, y = random.integers(0, 7, (20, 3)), random.integers(0, 2, 20)
    am.manual_seed(0)
    model = Words()
    model.compile("adam", "cross_entropy", metrics=["accuracy"])
    return model, model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, seed=0,
                            validation_split=0.2, callbacks=callbacks)  # fmt: skip


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("logs")
    callback = am.callbacks.TensorBoard(
        folder, histogram_freq=1, write_images=True, update_freq="batch", profile_batch=(2, 3),
        embeddings_freq=2, embeddings_metadata={"table": list("abcdefg")},
        write_steps_per_second=True,
    )  # fmt: skip
    return folder, fit([callback])[1]


def test_epochs_and_batches(logged: tuple[Path, Any]) -> None:
    folder, history = logged
    train, held_out = read(folder / "train"), read(folder / "validation")
    for found, prefix in ((train, ""), (held_out, "val_")):
        for name in ("loss", "accuracy"):
            events = found.Scalars(f"epoch_{name}")
            assert [e.step for e in events] == [0, 1]
            expected = history.history[prefix + name]
            np.testing.assert_allclose([e.value for e in events], expected, 1e-6)
    assert [e.step for e in train.Scalars("batch_loss")] == [1, 2, 3, 4]
    assert [e.value for e in train.Scalars("epoch_learning_rate")] == [np.float32(1e-3)] * 2
    assert all(e.value > 0 for e in train.Scalars("epoch_steps_per_second"))
    assert len(train.Scalars("batch_steps_per_second")) == 4


def test_weights_graph_profile_and_embeddings(logged: tuple[Path, Any]) -> None:
    folder, _ = logged
    train = read(folder / "train")
    assert {"table/weight/histogram", "head/weight/histogram", "head/bias/histogram"} == set(
        train.Tags()["histograms"]
    )
    assert train.Images("head/weight/image")[0].height == 2
    names = {node.name for node in train.Graph().node}
    assert {"Words/head/weight", "Words/table/weight", "outputs/result"} <= names
    assert len(list((folder / "train").glob("plugins/profile/*/*.xplane.pb"))) == 1
    assert (folder / "train/00000/table/metadata.tsv").read_text().split() == list("abcdefg")
    assert not (folder / "train/00001").exists()


@pytest.mark.parametrize("by_name", [False, True])
def test_labels_of_embeddings_from_a_file(tmp_path: Path, by_name: bool) -> None:
    """As Keras's argument has them, which is a path or a dict of paths."""
    folder, labels = tmp_path / "logs", tmp_path / "labels.tsv"
    for text in ("\n".join("abcdefg"), "word\tkind\n" + "\n".join(f"{c}\t1" for c in "abcdefg")):
        labels.write_text(text + "\n")
        given = {"table": str(labels)} if by_name else labels
        board = am.callbacks.TensorBoard(folder, embeddings_freq=1, embeddings_metadata=given)
        fit(board, epochs=1)
        assert (folder / "train/00000/table/metadata.tsv").read_text().strip() == text
    board = am.callbacks.TensorBoard(folder, embeddings_freq=1, embeddings_metadata="none.tsv")
    with pytest.raises(
        ValueError, match=r"embeddings_metadata is 'none.tsv', and there is no such"
    ):
        fit(board, epochs=1)


@pytest.mark.parametrize("freq", [1, 2, 3, "batch", "epoch"])
def test_batches_are_shown_as_often_as_keras_shows_them(tmp_path: Path, freq: Any) -> None:
    """Keras shows the batches, counted from 1 over all epochs, that `update_freq` divides."""
    fit(am.callbacks.TensorBoard(tmp_path, update_freq=freq, write_graph=False), epochs=3)
    found = read(tmp_path / "train")
    shown = [e.step for e in found.Scalars("batch_loss")] if freq != "epoch" else []
    every = {"batch": 1, "epoch": 99}.get(freq, freq)
    assert shown == [step for step in range(1, 7) if step % every == 0]
    assert freq != "epoch" or "batch_loss" not in found.Tags()["scalars"]


def test_an_error_in_training_leaves_no_profile_behind(tmp_path: Path) -> None:
    class Fails(am.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            raise KeyError("mine")

    board = am.callbacks.TensorBoard(tmp_path, profile_batch=(1, 9), write_graph=False)
    with pytest.raises(KeyError, match="mine"):
        fit([board, Fails()])
    assert board._profile is None
    fit([board], epochs=1)
    assert board._profile is None
    assert list(tmp_path.glob("train/plugins/profile/*/*.xplane.pb"))


def test_pictures_of_weights() -> None:
    from ambos.viz.tensor_board import _picture

    sizes = {(8,): (1, 8, 1), (3, 20): (3, 20, 1), (20, 3): (3, 20, 1), (9, 1, 3, 2): (6, 16, 1),
             (100, 3, 5, 5): (40, 40, 3), (4, 2, 3): (4, 6, 1)}  # fmt: skip
    for shape, pixels in sizes.items():
        assert _picture(np.arange(np.prod(shape)).reshape(shape)).shape == pixels
    assert _picture(np.zeros((2, 0))) is None
    assert _picture(np.float32(3.0)) is None


def test_only_epochs_by_default(tmp_path: Path) -> None:
    fit(am.callbacks.TensorBoard(tmp_path, write_graph=False), epochs=1)
    tags = read(tmp_path / "train").Tags()
    assert tags["scalars"] == ["epoch_loss", "epoch_accuracy", "epoch_learning_rate"]
    assert not tags["graph"]
    assert not tags["histograms"]


def test_what_is_trained_again_is_shown_once(tmp_path: Path) -> None:
    first = am.callbacks.TensorBoard(tmp_path, update_freq=1, write_graph=False)
    fit(first, epochs=2)
    again = am.callbacks.TensorBoard(tmp_path, update_freq=1, write_graph=False)
    again.load_state_dict({"step": 2})  # of a checkpoint after the first epoch
    fit(again, epochs=1)
    assert [e.step for e in read(tmp_path / "train").Scalars("batch_loss")] == [1, 2, 3, 4]
    assert first.state_dict() == {"step": 4}


def test_a_full_disk_ends_the_logs_and_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, data: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(EventFile, "write", full)
    with pytest.warns(RuntimeWarning, match="training goes on") as caught:
        _, history = fit(am.callbacks.TensorBoard(tmp_path))
    assert len(caught) == 1
    assert len(history.history["loss"]) == 2


def test_mistakes(tmp_path: Path) -> None:
    board = am.callbacks.TensorBoard
    with pytest.raises(UnknownNameError, match="histogram_freq"):
        board(tmp_path, histogram_frequency=1)
    for wrong in ({"histogram_freq": -1}, {"update_freq": "step"}, {"profile_batch": (5, 2)},
                  {"profile_batch": "x"}, {"embeddings_freq": True}):  # fmt: skip
        with pytest.raises(ArgumentError, match=next(iter(wrong))):
            board(tmp_path, **wrong)
    with pytest.raises(ArgumentError, match=r"names 'tabel'.*Did you mean 'table'"):
        fit(board(tmp_path, embeddings_freq=1, embeddings_metadata={"tabel": list("abcdefg")}))
    assert board(tmp_path, profile_batch="10,20").profiled == (10, 20)
    assert "TensorBoard" in dir(am.callbacks)
    assert am.callbacks.EarlyStopping is am.EarlyStopping
