"""Folders of files, a folder for each class, as datasets of batches: texts and images."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ambos.core.arguments import checked, positive, share
from ambos.core.errors import ArgumentError, FormatError, IndexingError, suggest
from ambos.data.dataset import Dataset
from ambos.data.folders import EXTENSIONS, files_below, picture
from ambos.data.opened import library
from ambos.data.randomness import Late

LABEL_MODES = ("int", "binary", "categorical", None)
SUBSETS = ("training", "validation", "both")
COLOURS = {"rgb": "RGB", "rgba": "RGBA", "grayscale": "L"}


class Files(Dataset):
    """What `read` makes of each file, with its label."""

    def __init__(
        self, paths: list[str], labels: list[Any] | None, read: Callable[..., Any]
    ) -> None:
        self.paths, self.labels, self.read = paths, labels, read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexingError(f"{type(self).__name__}: index {index} of {len(self)} files")
        content = self.read(self.paths[index])
        return content if self.labels is None else (content, self.labels[index])


class Directory:
    """The files of a folder and which class each belongs to, in the words of Keras's functions.

    With the same `seed` the files are in Keras's order, so that the parts of `validation_split` are
    the same files.
    """

    def __init__(self, op: str, directory: Any, labels: Any, label_mode: str | None,
                 class_names: Sequence[str] | None, endings: tuple[str, ...],
                 follow_links: bool) -> None:  # fmt: skip
        self.op, self.root = op, os.fspath(directory)
        if not os.path.isdir(self.root):
            raise ArgumentError(f"{op}: there is no folder {self.root!r}; need one that exists")
        if label_mode not in LABEL_MODES:
            raise ArgumentError(
                f"{op}: label_mode is {label_mode!r}; need one of 'int', 'binary', 'categorical', "
                f"None{suggest(str(label_mode), LABEL_MODES[:3])}"
            )
        self.mode = None if labels is None else label_mode
        inferred = isinstance(labels, str) and labels == "inferred"
        if class_names is not None and not inferred:
            raise ArgumentError(f"{op}: class_names go with labels='inferred' only")
        folders = self._folders(class_names) if inferred else ["."]
        found = [
            (path, number)
            for number, name in enumerate(folders)
            for path in files_below(os.path.join(self.root, name), endings, follow_links)
        ]
        self.paths: list[str] = [path for path, _ in found]
        if not found:
            raise ArgumentError(f"{op}: no files in {self.root!r}; need some that end with "
                                f"{', '.join(endings)}")  # fmt: skip
        self.class_names: list[str] | None = None
        if inferred:
            self.numbers, self.class_names = [number for _, number in found], folders
        elif labels is not None:
            self._given(labels)
        if self.mode == "binary" and len(self.class_names or ()) != 2:
            raise ArgumentError(f"{op}: label_mode is 'binary' for {len(self.class_names or ())} "
                                "classes; need two")  # fmt: skip

    def _folders(self, wanted: Sequence[str] | None) -> list[str]:
        known = sorted(
            entry.name
            for entry in os.scandir(self.root)
            if entry.is_dir() and not entry.name.startswith(".")
        )
        for name in wanted or ():
            if name not in known:
                raise ArgumentError(f"{self.op}: class_names has {name!r}; the folders are "
                                    f"{', '.join(known)}{suggest(name, known)}")  # fmt: skip
        return list(known if wanted is None else wanted)

    def _given(self, labels: Any) -> None:
        self.numbers = [int(label) for label in labels]
        if len(self.numbers) != len(self.paths):
            raise ArgumentError(f"{self.op}: {len(self.numbers)} labels for {len(self.paths)} "
                                "files; need one for each, in the order of paths")  # fmt: skip
        self.class_names = [str(label) for label in sorted(set(self.numbers))]

    def parts(self, shuffle: bool, seed: int | None, validation_split: float | None,
              subset: str | None) -> list[tuple[list[int], bool]]:  # fmt: skip
        """The numbers of the files of each part that is asked for, and whether it is shuffled."""
        op, order = self.op, np.arange(len(self.paths))
        if (validation_split is None) != (subset is None):
            raise ArgumentError(f"{op}: validation_split and subset go together")
        if subset is not None and subset not in SUBSETS:
            raise ArgumentError(f"{op}: subset is {subset!r}; need one of {', '.join(SUBSETS)}"
                                f"{suggest(str(subset), SUBSETS)}")  # fmt: skip
        if shuffle:
            if seed is None and subset in ("training", "validation"):
                raise ArgumentError(f"{op}: subset is {subset!r} of files in random order; need a "
                                    "seed, the same for both, or shuffle=False")  # fmt: skip
            np.random.RandomState(Late(seed)() % 2**32).shuffle(order)
        if validation_split is None:
            return [(order.tolist(), shuffle)]
        held = int(share(f"{op}: validation_split", validation_split) * len(order))
        if not 0 < held < len(order):
            raise ArgumentError(f"{op}: validation_split={validation_split} of {len(order)} files "
                                "leaves a side empty; need files on both")  # fmt: skip
        parts = {"training": (order[:-held].tolist(), shuffle),
                 "validation": (order[-held:].tolist(), False)}  # fmt: skip
        return [*parts.values()] if subset == "both" else [parts[str(subset)]]

    def dataset(self, part: tuple[list[int], bool], read: Callable[..., Any],
                batch_size: int | None, seed: int | None) -> Any:  # fmt: skip
        """A part as a dataset, with the names of the classes."""
        numbers, shuffled = part
        labels = None if self.mode is None else [self._label(self.numbers[n]) for n in numbers]
        found: Any = Files([self.paths[n] for n in numbers], labels, read)
        if shuffled:
            found = found.shuffle(seed=seed)
        if batch_size is not None:
            found = found.batch(positive(f"{self.op}: batch_size", batch_size))
        found.class_names, found.file_paths = self.class_names, [self.paths[n] for n in numbers]
        return found

    def _label(self, number: int) -> Any:
        if self.mode == "binary":
            return np.array([number], np.float32)
        if self.mode == "categorical":
            return np.eye(len(self.class_names or ()), dtype=np.float32)[number]
        return np.int64(number)


@checked
def text_dataset_from_directory(
    directory: Any, labels: Any = "inferred", label_mode: str | None = "int",
    class_names: Sequence[str] | None = None, batch_size: int | None = 32,
    max_length: int | None = None, shuffle: bool = True, seed: int | None = None,
    validation_split: float | None = None, subset: str | None = None, follow_links: bool = False,
) -> Any:  # fmt: skip
    """Batches of texts, lists of strings, and their labels, from files `directory/class/name.txt`.

    Classes are numbered as `class_names` or, without, by name; the dataset has them as
    `class_names`. `label_mode` "int" gives numbers, "binary" 0.0 or 1.0 in a column, "categorical"
    one-hot rows, None (or `labels=None`) no labels; a list of `labels` serves files without folders
    for classes. The last `validation_split` of the files, shuffled by `seed`, is the "validation"
    `subset`, the same files as in Keras; subset="both" returns (training, validation). Texts are
    cut to `max_length` letters; they are read when they are asked for.

    Dtypes: labels int64, or float32 for "binary" and "categorical".
    Errors: ArgumentError for a folder, class or setting that does not fit; FormatError, with the
        path, for a file that is not UTF-8.
    Source: Keras's function of this name.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("ham", "spam"):
        ...         pathlib.Path(folder, name).mkdir()
        ...         pathlib.Path(folder, name, "1.txt").write_text(f"some {name}")
        ...     batches = text_dataset_from_directory(folder, shuffle=False)
        ...     texts, labels = next(iter(batches))
        8
        9
        >>> texts, labels.tolist(), batches.class_names
        (['some ham', 'some spam'], [0, 1], ['ham', 'spam'])
    """
    found = Directory("text_dataset_from_directory", directory, labels, label_mode, class_names,
                      (".txt",), follow_links)  # fmt: skip
    if max_length is not None:
        positive("text_dataset_from_directory: max_length", max_length)
    read = Reading(max_length)
    parts = [found.dataset(part, read, batch_size, seed)
             for part in found.parts(shuffle, seed, validation_split, subset)]  # fmt: skip
    return parts[0] if len(parts) == 1 else tuple(parts)


class Reading:
    """A text file, cut to `max_length`."""

    def __init__(self, max_length: int | None) -> None:
        self.max_length = max_length

    def __call__(self, path: str) -> str:
        try:
            with open(path, encoding="utf-8") as file:
                return file.read() if self.max_length is None else file.read(self.max_length)
        except UnicodeDecodeError as error:
            raise FormatError(f"text: {path} is not UTF-8: {error}") from error


@checked
def image_dataset_from_directory(
    directory: Any, labels: Any = "inferred", label_mode: str | None = "int",
    class_names: Sequence[str] | None = None, color_mode: str = "rgb",
    batch_size: int | None = 32, image_size: tuple[int, int] = (256, 256), shuffle: bool = True,
    seed: int | None = None, validation_split: float | None = None, subset: str | None = None,
    interpolation: str = "bilinear", follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
) -> Any:  # fmt: skip
    """Batches of images of one size and their labels, from files `directory/class/name.jpg`.

    `image_size` is (height, width). Images are resized as Pillow does, which averages where it
    shrinks; `crop_to_aspect_ratio` keeps the middle instead of stretching. Labels, subsets and the
    rest are those of `text_dataset_from_directory`. `ImageFolder` has single images, with a
    `transform` of your own.

    Shapes: images (batch, channels, height, width), channels first as layers take them.
    Dtypes: images float32 from 0 to 255; labels int64 or float32.
    Errors: ArgumentError for a folder, class or setting that does not fit; FormatError, with the
        path, for an image that cannot be read.
    Source: Keras's function of this name.
    """
    op = "image_dataset_from_directory"
    found = Directory(op, directory, labels, label_mode, class_names, EXTENSIONS, follow_links)
    read = Picturing(op, color_mode, image_size, interpolation, crop_to_aspect_ratio)
    parts = [found.dataset(part, read, batch_size, seed)
             for part in found.parts(shuffle, seed, validation_split, subset)]  # fmt: skip
    return parts[0] if len(parts) == 1 else tuple(parts)


class Picturing:
    """An image file as numbers, channels first."""

    def __init__(self, op: str, color_mode: str, size: tuple[int, int], interpolation: str,
                 crop: bool) -> None:  # fmt: skip
        if color_mode not in COLOURS:
            raise ArgumentError(f"{op}: color_mode is {color_mode!r}; need one of "
                                f"{', '.join(COLOURS)}{suggest(color_mode, COLOURS)}")  # fmt: skip
        known = library(op, "PIL.Image", "pillow").Resampling.__members__
        if interpolation.upper() not in known:
            names = [name.lower() for name in known]
            raise ArgumentError(f"{op}: interpolation is {interpolation!r}; need one of "
                                f"{', '.join(names)}{suggest(interpolation, names)}")  # fmt: skip
        if len(size) != 2:
            raise ArgumentError(f"{op}: image_size is {size!r}; need (height, width)")
        self.size = tuple(positive(f"{op}: image_size", each) for each in size)
        self.mode, self.crop, self.way = COLOURS[color_mode], crop, known[interpolation.upper()]

    def __call__(self, path: str) -> Any:
        image = picture(path, mode=self.mode)
        height, width = self.size
        box = _middle(image.size[0], image.size[1], width / height) if self.crop else None
        if image.size != (width, height):
            image = image.resize((width, height), self.way, box)
        pixels = np.asarray(image, np.float32)
        return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _middle(width: int, height: int, ratio: float) -> tuple[float, float, float, float]:
    """The largest box of this ratio around the middle: left, top, right, bottom."""
    wide, high = min(width, height * ratio), min(height, width / ratio)
    left, top = (width - wide) / 2, (height - high) / 2
    return left, top, left + wide, top + high
