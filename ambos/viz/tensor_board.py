"""TensorBoard as a callback of `fit`, with Keras's arguments and the names of its charts."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ambos.core import tree
from ambos.core.errors import AmbosError, ArgumentError, suggest
from ambos.nn.embedding import Embedding
from ambos.nn.modes import in_mode
from ambos.nn.parameter import UninitializedParameter
from ambos.tensor.dry import ShapeDtype
from ambos.tensor.handle import Tensor
from ambos.tensor.profile import Profile, profile
from ambos.train.callbacks.base import Callback, Logs
from ambos.train.summary import known_inputs
from ambos.viz.values import as_array, side_by_side
from ambos.viz.writer import SummaryWriter

Labels = tuple[Sequence[str] | None, Sequence[Any] | None]
MOST_FILTERS = 64  # of a convolution that its picture shows


class TensorBoard(Callback):
    """Logs of training for `tensorboard --logdir logs`, in the folders "train" and "validation".

    Loss and metrics every epoch (`update_freq="epoch"`), or every so many batches as well, the
    learning rate, the graph of the model (`write_graph`); every `histogram_freq` epochs histograms
    of the weights and, with `write_images`, pictures of them; every `embeddings_freq` epochs the
    rows of embeddings for the projector, with labels from `embeddings_metadata` (a list, or the
    path of a file that has one on each line, or a dict of these by the names of layers).
    `profile_batch`: the number of a batch, counted from 1, or the first
    and the last of several, of which a profile is taken. What cannot be written (a full disk) stops
    the logging with a warning; training goes on.

    Errors: ArgumentError for frequencies below 0 and batches out of order, or where
        `embeddings_metadata` names no embedding, or no file.
    Source: Keras's `keras.callbacks.TensorBoard`.

    Example:
        >>> TensorBoard("logs", histogram_freq=1).histogram_freq
        1
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: int | str | Sequence[int] = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        self.log_dir = Path(log_dir)
        self.histogram_freq = _frequency("histogram_freq", histogram_freq)
        self.embeddings_freq = _frequency("embeddings_freq", embeddings_freq)
        words: dict[Any, int] = {"epoch": 0, "batch": 1}
        self.update_freq = (
            words[update_freq] if update_freq in words else _frequency("update_freq", update_freq)
        )
        self.write_graph, self.write_images = write_graph, write_images
        self.write_steps_per_second = write_steps_per_second
        self.profiled = _batches(profile_batch)
        self.embeddings_metadata = embeddings_metadata
        self.step = 0  # batches trained so far
        self._resumed = False
        self._purge_step: int | None = None
        self._writers: dict[str, SummaryWriter] = {}
        self._broken = False
        self._profile: Profile | None = None
        self._wants_graph = write_graph
        self._epoch_start = self._batch_start = (0.0, 0)

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.step = int(state["step"])
        self._resumed = True

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if not self._resumed:
            self.step = 0
        self._broken, self._wants_graph = False, self.write_graph
        if self.embeddings_freq:
            self._labels()  # whose mistakes are answered before anything is trained

    def close(self) -> None:
        self._end_profile()
        self._close()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.close()
        self._resumed, self._purge_step = False, None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self._resumed and self._purge_step is None:  # what is trained again is shown once
            self._purge_step = self.step + 1 if self.update_freq else epoch
        self._epoch_start = time.perf_counter(), self.step

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._batch_start = time.perf_counter(), self.step
        if self.step + 1 == self.profiled[0] and self._profile is None:
            self._profile = profile()
            self._profile.__enter__()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.step += 1
        if self._profile is not None and self.step >= self.profiled[1]:
            self._end_profile()
        if self._wants_graph:
            self._wants_graph = False
            self._safely(self._add_graph)
        if self.update_freq and self.step % self.update_freq == 0:
            numbers = {f"batch_{name}": value for name, value in (logs or {}).items()}
            if self.write_steps_per_second:
                numbers["batch_steps_per_second"] = self._rate(self._batch_start)
            self._safely(partial(self._add_numbers, "train", numbers, self.step))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        train = {name: value for name, value in (logs or {}).items() if name[:4] != "val_"}
        held_out = {name[4:]: value for name, value in (logs or {}).items() if name[:4] == "val_"}
        rate = getattr(getattr(self.model, "optimizer", None), "lr", None)
        if rate is not None:
            train.setdefault("learning_rate", rate)
        if self.write_steps_per_second:
            train["steps_per_second"] = self._rate(self._epoch_start)
        for folder, found in (("train", train), ("validation", held_out)):
            numbers = {f"epoch_{name}": value for name, value in found.items()}
            self._safely(partial(self._add_numbers, folder, numbers, epoch))
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._safely(partial(self._add_weights, epoch))
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._safely(partial(self._add_embeddings, epoch))

    def on_test_end(self, logs: Logs | None = None) -> None:
        numbers = {f"evaluation_{n}_vs_iterations": value for n, value in (logs or {}).items()}
        self._safely(partial(self._add_numbers, "validation", numbers, self.step))

    # What is written

    def _writer(self, folder: str) -> SummaryWriter:
        if folder not in self._writers:
            purge_step = self._purge_step if folder == "train" else None
            self._writers[folder] = SummaryWriter(self.log_dir / folder, purge_step=purge_step)
        return self._writers[folder]

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _safely(self, write: Callable[[], Any]) -> None:
        """Write, unless that failed before."""
        if self._broken:
            return
        try:
            write()
        except OSError as error:
            self._broken = True
            warnings.warn(f"TensorBoard: {self.log_dir} cannot be written ({error}); training goes "
                          "on without its logs", RuntimeWarning, stacklevel=2)  # fmt: skip

    def _add_numbers(self, folder: str, numbers: Mapping[str, Any], step: int) -> None:
        for name, value in numbers.items():
            if as_array(value).ndim == 0:  # a confusion matrix is no number for a chart
                self._writer(folder).add_scalar(name, value, step)

    def _rate(self, start: tuple[float, int]) -> float:
        moment, step = start
        return (self.step - step) / max(time.perf_counter() - moment, 1e-9)

    def _add_graph(self) -> None:
        example = known_inputs(self.model)
        if example is None:
            return
        args = example if isinstance(example, tuple) else (example,)
        shapes = tree.map(_outline, args)
        try:
            with in_mode(self.model, False):  # as it will be used
                self._writer("train").add_graph(self.model, shapes)
        except AmbosError as error:  # a model that looks at values has no graph of its own
            warnings.warn(f"TensorBoard: no graph of the model: {error}", RuntimeWarning,
                          stacklevel=2)  # fmt: skip

    def _add_weights(self, epoch: int) -> None:
        writer = self._writer("train")
        for name, parameter in self.model.named_parameters():
            if isinstance(parameter, UninitializedParameter):
                continue
            tag, values = name.replace(".", "/"), as_array(parameter)
            writer.add_histogram(f"{tag}/histogram", values, epoch)
            pixels = _picture(values) if self.write_images else None
            if pixels is not None:
                writer.add_image(f"{tag}/image", pixels, epoch, dataformats="HWC")

    def _add_embeddings(self, epoch: int) -> None:
        labels = self._labels()
        for name, layer in self._embeddings().items():
            header, rows = labels.get(name, (None, None))
            self._writer("train").add_embedding(layer.weight, rows, None, epoch, name, header)

    def _embeddings(self) -> dict[str, Embedding]:
        return {name: layer for name, layer in self.model.named_modules()
                if isinstance(layer, Embedding)}  # fmt: skip

    def _labels(self) -> dict[str, Labels]:
        """Of each embedding the names of the columns of its labels, and the labels."""
        known, given = self._embeddings(), self.embeddings_metadata
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            return dict.fromkeys(known, self._read(given))
        for name in given:
            if name not in known:
                raise ArgumentError(f"TensorBoard: embeddings_metadata names {name!r}; embeddings "
                                    f"of this model: {', '.join(known) or 'none'}"
                                    f"{suggest(name, known)}")  # fmt: skip
        return {name: self._read(one) for name, one in given.items()}

    def _read(self, given: Sequence[Any] | str | os.PathLike[str]) -> Labels:
        """Labels, or those in a file, whose path may begin in the folder of the logs; where they
        have several columns, the first line has their names, as TensorBoard reads it."""
        if not isinstance(given, (str, os.PathLike)):
            return None, given
        places = [Path(given), self.log_dir / "train" / given]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise ArgumentError(f"TensorBoard: embeddings_metadata is {os.fspath(given)!r}, and "
                                "there is no such file; need labels, or a file of "
                                "them")  # fmt: skip
        rows = [line.split("\t") for line in found.read_text(encoding="utf-8").splitlines()]
        return (rows[0], rows[1:]) if rows and len(rows[0]) > 1 else (None, rows)

    def _end_profile(self) -> None:
        found, self._profile = self._profile, None
        if found is not None:
            found.__exit__(None, None, None)
            self._safely(lambda: self._writer("train").add_profile(found))


def _outline(leaf: Any) -> Any:
    return ShapeDtype(leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else leaf


def _frequency(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        words = ", 'batch' or 'epoch'" if name == "update_freq" else ""
        raise ArgumentError(f"TensorBoard: {name} is {value!r}; need a number, 0 for never{words}")
    return int(value)


def _batches(given: Any) -> tuple[int, int]:
    """The first and the last batch to profile, counted from 1; (0, 0) is none."""
    try:
        parts = given.split(",") if isinstance(given, str) else given
        numbers = [int(n) for n in parts] if isinstance(parts, (list, tuple)) else [int(parts)]
    except (TypeError, ValueError):
        numbers = []
    if numbers == [0]:
        return 0, 0
    if len(numbers) not in (1, 2) or not 1 <= numbers[0] <= numbers[-1]:
        raise ArgumentError(f"TensorBoard: profile_batch is {given!r}; need the number of a batch, "
                            "or the first and the last: (10, 20)")  # fmt: skip
    return numbers[0], numbers[-1]


def _picture(values: Any) -> Any:
    """Weights as an image between black and white: a matrix as it is, filters side by side (their
    three colours, or the first of their channels)."""
    if not 1 <= values.ndim <= 4 or not values.size:
        return None
    low, high = values.min(), values.max()
    values = (values - low) / (high - low if high > low else 1)
    if values.ndim == 4:
        filters = values[:MOST_FILTERS]
        colours = filters if values.shape[1] == 3 else filters[:, :1]
        return side_by_side((colours.transpose(0, 2, 3, 1) * 255).astype(np.uint8))
    matrix = values.reshape(len(values), -1)
    return (matrix.T if matrix.shape[0] > matrix.shape[1] else matrix)[..., None]
