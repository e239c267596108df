"""Public sets of images, downloaded once and checked: MNIST and its kin, CIFAR.

Arrays of uint8 with the channels before the pixels, as layers take them:
`x.astype("float32") / 255`.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import checked
from ambos.core.config import config
from ambos.core.errors import FormatError
from ambos.data.downloads import fetched

Arrays = tuple[NDArray[Any], NDArray[Any]]
Sets = tuple[Arrays, Arrays]

MIRRORS = {
    "mnist": ("https://ossci-datasets.s3.amazonaws.com/mnist/",
              "http://yann.lecun.com/exdb/mnist/"),
    "fashion_mnist": ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    "kmnist": ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    "cifar10": ("https://www.cs.toronto.edu/~kriz/",),
    "cifar100": ("https://www.cs.toronto.edu/~kriz/",),
}  # fmt: skip
IDX = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz",
       "t10k-labels-idx1-ubyte.gz")  # fmt: skip
MD5 = {
    "mnist": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
              "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"),
    "fashion_mnist": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
                      "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"),
    "kmnist": ("bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344",
               "5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134"),
    "cifar10": ("c32a1d4ab5d03f1284b67883e8d87530",),
    "cifar100": ("03b5dce01913d631647c71ecec9e9cb8",),
}  # fmt: skip


def folder(name: str, root: Any) -> Path:
    """Where a set lies: below `root`, or beside what the compiler keeps."""
    base = config.cache_dir / "datasets" if root is None else Path(os.fspath(root))
    return base / name


@checked
def mnist(root: Any = None, download: bool = True) -> Sets:
    """Handwritten digits, `(x_train, y_train), (x_test, y_test)`.

    Files are looked for in `root/mnist` and downloaded where they are missing; so with the others.

    Shapes: x (60000, 1, 28, 28) and (10000, 1, 28, 28).
    Dtypes: x uint8, 0 paper to 255 ink; y int64, 0 to 9.
    Errors: DownloadError without a network, which says where to put which file.
    Source: LeCun, Cortes and Burges, CC BY-SA 3.0.
    """
    return _idx("mnist", root, download)


@checked
def fashion_mnist(root: Any = None, download: bool = True) -> Sets:
    """Articles of clothing in ten classes, in MNIST's format.

    Source: Xiao, Rasul and Vollgraf (2017), https://arxiv.org/abs/1708.07747, MIT.
    """
    return _idx("fashion_mnist", root, download)


@checked
def kmnist(root: Any = None, download: bool = True) -> Sets:
    """Cursive Japanese characters in ten classes, in MNIST's format.

    Source: Clanuwat et al. (2018), https://doi.org/10.20676/00000341, CC BY-SA 4.0.
    """
    return _idx("kmnist", root, download)


@checked
def cifar10(root: Any = None, download: bool = True) -> Sets:
    """Small colour photographs in ten classes, `(x_train, y_train), (x_test, y_test)`.

    Shapes: x (50000, 3, 32, 32) and (10000, 3, 32, 32).
    Dtypes: x uint8; y int64, 0 to 9.
    Source: Krizhevsky (2009), "Learning multiple layers of features from tiny images".
    """
    archive = _file("cifar10", "cifar-10-binary.tar.gz", 0, root, download)
    train = [f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)]
    test = ["cifar-10-batches-bin/test_batch.bin"]
    return _records(archive, train, 1), _records(archive, test, 1)


@checked
def cifar100(root: Any = None, download: bool = True) -> Sets:
    """Small colour photographs in a hundred classes (the fine labels).

    Shapes: x (50000, 3, 32, 32) and (10000, 3, 32, 32).
    Dtypes: x uint8; y int64, 0 to 99.
    Source: Krizhevsky (2009), "Learning multiple layers of features from tiny images".
    """
    archive = _file("cifar100", "cifar-100-binary.tar.gz", 0, root, download)
    parts = ("cifar-100-binary/train.bin",), ("cifar-100-binary/test.bin",)
    return _records(archive, parts[0], 2), _records(archive, parts[1], 2)


def _file(
    name: str, file: str, place: int, root: Any, download: bool, later: Sequence[str] = ()
) -> Path:
    addresses = [mirror + file for mirror in MIRRORS[name]]
    return fetched(name, folder(name, root) / file, addresses, MD5[name][place], download, later)


def _idx(name: str, root: Any, download: bool) -> Sets:
    files = [_file(name, file, place, root, download, IDX[place + 1 :])
             for place, file in enumerate(IDX)]  # fmt: skip
    arrays = [read_idx(file) for file in files]
    x, y, x_test, y_test = arrays
    labels, test_labels = y.astype(np.int64), y_test.astype(np.int64)
    return (x[:, None], labels), (x_test[:, None], test_labels)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of bytes in a file of MNIST's format.

    Errors: FormatError for any other file.
    """
    try:
        content = gzip.decompress(path.read_bytes())
        zero, kind, axes = int.from_bytes(content[:2], "big"), content[2], content[3]
        shape = np.frombuffer(content, ">u4", axes, 4).astype(int)
        array = np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise FormatError(f"read_idx: {path} is no file in MNIST's format: {error}") from error
    if zero or kind != 8:
        raise FormatError(f"read_idx: {path} holds elements of kind {kind}; need bytes (8)")
    return array


def _records(archive: Path, names: Sequence[str], num_labels: int) -> Arrays:
    """Images after their labels, of which the last is the fine one."""
    import tarfile

    parts = []
    try:
        with tarfile.open(archive) as tar:
            for name in names:
                member = tar.extractfile(name)
                if member is None:
                    raise KeyError(name)
                parts.append(np.frombuffer(member.read(), np.uint8))
        table = np.concatenate(parts).reshape(-1, num_labels + 3 * 32 * 32)
    except (tarfile.TarError, KeyError, OSError, EOFError, ValueError) as error:
        raise FormatError(f"cifar: {archive} is not the binary archive: {error}") from error
    images = table[:, num_labels:].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(images), table[:, num_labels - 1].astype(np.int64)
