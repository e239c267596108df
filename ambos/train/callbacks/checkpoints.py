"""Checkpoints: states of a run in files, so that no crash costs more than what came after the last.

A file is written whole or not at all, beside the ones before; those go when it is there. It is
safetensors with its structure as JSON: nothing in it can run. The format has a number, and files of
every number that ever was are read for ever (tests/train/vault).
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError, FormatError, depth_of_user
from ambos.tensor.files import load, safe, save
from ambos.tensor.handle import Tensor
from ambos.tensor.live import evaluate
from ambos.train.callbacks.places import Outlasting, as_path

FORMAT = "ambos-checkpoint-1"
KNOWN = (FORMAT,)
NAME = "epoch-{:06d}-batch-{:09d}.safetensors"  # so many of both are done
ARRAY = "numpy array"  # an entry of this name alone: what was an array, and no tensor


class Checkpoints:
    """The folder in which the newest `keep` states of a run lie.

    Writing happens beside the training, in a thread: tensors never change, so nothing is copied.
    Where a file cannot be written, as on a full disk, a warning says so once, and what was written
    before stays.

    Errors: ArgumentError for what is no folder's name, or for a state that is not plain data;
        FormatError where files are there but none of them can be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kept = Checkpoints(folder)
        ...     for epoch in range(1, 4):
        ...         kept.write({"epoch": epoch, "batch": 0, "weight": Tensor(np.ones(2))})
        ...     kept.wait()
        ...     [path.name[:12] for path in kept.files()], kept.newest()["epoch"]
        (['epoch-000003', 'epoch-000002'], 3)
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 2) -> None:
        self.folder = as_path("checkpoints: the folder", folder)
        self.keep = positive("checkpoints: keep", keep)
        if self.folder.exists() and not self.folder.is_dir():
            raise ArgumentError(f"checkpoints: {self.folder} is a file; need a folder's name")
        self._thread: Thread | None = None
        self._problem: Exception | None = None
        self.written = Outlasting("checkpoints")

    def files(self) -> list[Path]:
        """The files of states, the newest first."""
        return sorted(self.folder.glob("epoch-*-batch-*.safetensors"), reverse=True)

    def write(self, state: Mapping[str, Any]) -> None:
        """Begin to write a state, whose "epoch" and "batch" name its file."""
        frozen = _frozen(state)
        evaluate(_tensors(frozen))  # here: the thread only reads
        self.wait()
        self._thread = Thread(target=self._write, args=(frozen,), name="ambos-checkpoint")
        self._thread.start()

    def _write(self, state: Any) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for begun in self.folder.glob(".epoch-*"):  # a run that was killed while it wrote
                shutil.rmtree(begun, ignore_errors=True)
            name = NAME.format(state["epoch"], state["batch"])
            save(state, self.folder / name, {"format": FORMAT})
            for old in self.files()[self.keep :]:
                old.unlink(missing_ok=True)
        except Exception as error:
            self._problem = error

    def wait(self) -> None:
        """Until what was begun is written.

        Errors: ArgumentError for a state that cannot be written anywhere.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        problem, self._problem = self._problem, None
        if problem is None:
            return
        with self.written.trying(self.folder):
            raise problem

    def newest(self) -> dict[str, Any] | None:
        """The newest state that can be read, None where there is none at all; a damaged file is
        passed over with a warning."""
        found, problems = self.files(), []
        for path in found:
            try:
                state = read(path)
            except FormatError as error:
                problems.append(error)
                continue
            for problem in problems:
                warnings.warn(f"checkpoints: {problem}; going on from {path.name}",
                              stacklevel=depth_of_user())  # fmt: skip
            return state
        if problems:
            raise problems[0]
        return None

    def delete(self) -> None:
        """Remove all states."""
        self.wait()
        for path in self.files():
            path.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """The state in a file.

    Errors: FormatError where it is damaged, of something else, or of a later ambos.
    """
    _, metadata = safe.read(path)
    said = metadata.get("format")
    if said not in KNOWN:
        later = isinstance(said, str) and said.startswith(FORMAT.rpartition("-")[0])
        hint = "need a newer ambos" if later else "need a file that fit wrote"
        raise FormatError(f"load: {path} is of format {said!r}, known is {FORMAT!r}; {hint}")
    state = _thawed(load(path))
    if not isinstance(state, dict):
        raise FormatError(f"load: {path} holds no state of a run; nothing was changed")
    return state


def _frozen(value: Any) -> Any:
    """The same containers, with tensors that nothing changes any more."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.ndarray):
        return {ARRAY: Tensor(value.copy())}
    if isinstance(value, Mapping):
        return {key: _frozen(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return (tuple if isinstance(value, tuple) else list)(map(_frozen, value))
    return value


def _thawed(value: Any) -> Any:
    if isinstance(value, dict):
        if list(value) == [ARRAY]:
            return value[ARRAY].numpy()
        return {key: _thawed(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_thawed, value))
    return value


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (dict, list, tuple)):
        entries = value.values() if isinstance(value, dict) else value
        return [tensor for entry in entries for tensor in _tensors(entry)]
    return []
