"""The UCI handwritten digits: 1,797 real 8 x 8 images that ship inside the package.

Source: E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, test set, UCI
Machine Learning Repository, https://doi.org/10.24432/C50P49. Licence: CC BY 4.0 (see DIGITS.md).
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import checked
from ambos.core.errors import FormatError
from ambos.data.splitting import held_out

FILE = Path(__file__).with_name("digits.npz")
SHA256 = "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e"
DARKEST = 16  # a pixel counts the inked dots of a 4 x 4 block

Images = NDArray[np.float32]
Labels = NDArray[np.int64]
Examples = tuple[Images, Labels]


@overload
def digits(test_fraction: None = None, seed: int = 0) -> Examples: ...
@overload
def digits(test_fraction: float, seed: int = 0) -> tuple[Examples, Examples]: ...
@checked
def digits(
    test_fraction: float | None = None, seed: int = 0
) -> Examples | tuple[Examples, Examples]:
    """Real handwritten digits as NumPy arrays, `(images, labels)`.

    With `test_fraction` the examples are shuffled by `seed` and split into
    `(x_train, y_train), (x_test, y_test)`; the same seed gives the same split everywhere.

    Shapes: images (1797, 1, 8, 8), labels (1797,).
    Dtypes: images float32 between 0 (paper) and 1 (ink), labels int64 between 0 and 9.
    Errors: ArgumentError when `test_fraction` or `seed` is out of range, FormatError when the file
        is missing or damaged.
    Source: Alpaydin and Kaynak (1998), https://doi.org/10.24432/C50P49, CC BY 4.0.

    Example:
        >>> images, labels = digits()
        >>> images.shape, labels[:5]
        ((1797, 1, 8, 8), array([0, 1, 2, 3, 4]))
        >>> (x_train, y_train), (x_test, y_test) = digits(test_fraction=0.2)
        >>> len(x_train), len(x_test)
        (1438, 359)
    """
    images, labels = _load(FILE)
    if test_fraction is None:
        return images, labels
    return held_out("digits", images, labels, test_fraction, seed)


def _load(path: Path) -> Examples:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FormatError(f"digits: cannot read {path}: {error}; reinstall ambos") from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise FormatError(
            f"digits: {path} is damaged: its SHA-256 is {found}; need {SHA256}; reinstall ambos"
        )
    arrays: Any = np.load(io.BytesIO(content), allow_pickle=False)
    images = arrays["images"][:, None].astype(np.float32) / np.float32(DARKEST)
    return images, arrays["labels"].astype(np.int64)
