"""Folders of images, a folder for each class."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError, FormatError
from ambos.data.dataset import Dataset
from ambos.data.opened import library

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def picture(source: Any, name: str = "", mode: str = "RGB") -> Any:
    """A Pillow image in RGB or another `mode`, from a path or an open file.

    Errors: FormatError, with the name of the file, for what is no image or is cut off.
    """
    pillow = library("ImageFolder", "PIL.Image", "pillow")
    try:
        with pillow.open(source) as image:
            return _of_bytes(image, pillow).convert(mode)
    # What Pillow raises for damaged files, and for images of more pixels than it trusts.
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        said = re.sub(rf":? {re.escape(repr(source))}", "", str(error))
        raise FormatError(f"image: {name or source} cannot be read: {said}; need an image that "
                          "Pillow opens") from error  # fmt: skip


def _of_bytes(image: Any, pillow: Any) -> Any:
    """An image of 16 bits as the higher 8 of them, which Pillow would clip; of others that are no
    bytes only the numbers that bytes can hold."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    rows = np.asarray(image)
    if image.mode != "F" and (image.mode != "I" or image.format in ("PNG", "PPM")):
        return pillow.fromarray((rows >> 8).astype(np.uint8))
    kept = rows.clip(0, 255).astype(np.uint8)
    if (kept != rows).any():
        raise ValueError(f"its pixels are {rows.dtype} from {rows.min()} to {rows.max()}, which "
                         "8 bits cannot hold")  # fmt: skip
    return pillow.fromarray(kept)


def pixels(image: Any) -> NDArray[np.uint8]:
    """An image as bytes with the channels first, as layers take them."""
    return np.ascontiguousarray(np.asarray(image, np.uint8).transpose(2, 0, 1))


class ImageFolder(Dataset, metaclass=Checked):
    """Images below `root`, in a folder for each class, as pairs of image and class number.

    Classes are the sorted names of the folders and samples are sorted by path, as torchvision's
    class of this name has them. `transform` gets a Pillow image in RGB; without one an image is an
    array of bytes (3, height, width).

    Errors: ArgumentError for a folder without classes or a class without images; FormatError, with
        the path, for an image that cannot be read.
    """

    def __init__(
        self, root: Any, transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        loader: Callable[[str], Any] = picture, extensions: Sequence[str] = EXTENSIONS,
        allow_empty: bool = False,
    ) -> None:  # fmt: skip
        self.root = os.fspath(root)
        self.transform, self.target_transform, self.loader = transform, target_transform, loader
        if not os.path.isdir(self.root):
            raise ArgumentError(f"ImageFolder: there is no folder {self.root!r}; need one with a "
                                "folder of images for each class")  # fmt: skip
        self.classes = sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
        if not self.classes:
            raise ArgumentError(f"ImageFolder: {self.root!r} has no folders; need one a class")
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        endings = tuple(ending.lower() for ending in extensions)
        self.samples = [
            (path, number)
            for name, number in self.class_to_idx.items()
            for path in files_below(os.path.join(self.root, name), endings)
        ]
        self.targets = [number for _, number in self.samples]
        empty = [self.classes[n] for n in sorted(set(range(len(self.classes))) - set(self.targets))]
        if empty and not allow_empty:
            raise ArgumentError(
                f"ImageFolder: no images in {', '.join(empty[:5])}; need files that end with "
                f"{', '.join(endings)}, or allow_empty=True"
            )

    @property
    def imgs(self) -> list[tuple[str, int]]:
        """torchvision's other name for `samples`."""
        return self.samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        image = self.loader(path)
        found = self.transform(image) if self.transform is not None else (
            pixels(image) if self.loader is picture else image)  # fmt: skip
        return found, target if self.target_transform is None else self.target_transform(target)


def files_below(folder: str, endings: tuple[str, ...], follow_links: bool = True) -> list[str]:
    """The paths of all files with these endings, sorted folder by folder."""
    found = []
    for place, _, names in sorted(os.walk(folder, followlinks=follow_links)):
        found += [os.path.join(place, name) for name in sorted(names)
                  if name.lower().endswith(endings)]  # fmt: skip
    return found
