"""Four small tables that everybody knows, inside the package: iris, wine, breast cancer, diabetes.

Sources and licences are stated with each function and in TABLES.md.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import checked
from ambos.core.errors import ArgumentError, FormatError, suggest
from ambos.data.splitting import held_out

FOLDER = Path(__file__).with_name("embedded")
SHA256 = {
    "iris": "d02e322fc48cc526d88b0fb5e14e3d723c4a2e5bdceba5c57efa1ce39b6955bd",
    "wine": "a0a57cb1b76dbed0309f96c88053d92510078f0bc5a4bd45c1cd97c3a8ecbf0c",
    "breast_cancer": "842da69293db314aa06021509e38bb8663b796332e928b0f824aafdb3e098d17",
    "diabetes": "ff3309bf77cc131fe4f30b75e1a98a77dc16ab64353499cafd1461467b674902",
}


@checked
def iris(test_fraction: float | None = None, seed: int = 0) -> Any:
    """Fisher's irises as `(x, y)`: sepal and petal length and width in cm, and the species.

    With `test_fraction` the examples are shuffled by `seed` and split into
    `(x_train, y_train), (x_test, y_test)`; so with the other tables.

    Shapes: x (150, 4), y (150,).
    Dtypes: x float32, y int64: 0 setosa, 1 versicolor, 2 virginica.
    Errors: ArgumentError when `test_fraction` or `seed` is out of range, FormatError when the file
        is missing or damaged.
    Source: Fisher (1936), https://doi.org/10.24432/C56C76, CC BY 4.0.

    Example:
        >>> x, y = iris()
        >>> x.shape, x[0].tolist(), int(y[0])
        ((150, 4), [5.099999904632568, 3.5, 1.399999976158142, 0.20000000298023224], 0)
    """
    return _given("iris", test_fraction, seed)


@checked
def wine(test_fraction: float | None = None, seed: int = 0) -> Any:
    """Thirteen measurements of wines from three cultivars, as `(x, y)`.

    Shapes: x (178, 13), y (178,).
    Dtypes: x float32, y int64: the cultivar, 0 to 2.
    Source: Aeberhard and Forina (1991), https://doi.org/10.24432/C5PC7J, CC BY 4.0.

    Example:
        >>> [part.shape for part in wine()]
        [(178, 13), (178,)]
    """
    return _given("wine", test_fraction, seed)


@checked
def breast_cancer(test_fraction: float | None = None, seed: int = 0) -> Any:
    """Thirty measurements of cell nuclei and whether the tumour was benign, as `(x, y)`.

    Shapes: x (569, 30), y (569,).
    Dtypes: x float32, y int64: 0 malignant, 1 benign.
    Source: Wolberg, Mangasarian, Street and Street (1995), https://doi.org/10.24432/C5DW2B,
        CC BY 4.0.

    Example:
        >>> int(breast_cancer()[1].sum())
        357
    """
    return _given("breast_cancer", test_fraction, seed)


@checked
def diabetes(test_fraction: float | None = None, seed: int = 0) -> Any:
    """Ten baseline values of diabetes patients and their progression a year later, as `(x, y)`.

    The values are as measured, not scaled.

    Shapes: x (442, 10), y (442,).
    Dtypes: float32; y from 25 to 346.
    Units: age in years, body mass index in kg/m2, blood pressure in mmHg; six blood serum values.
    Source: Efron, Hastie, Johnstone and Tibshirani (2004), "Least angle regression", Annals of
        Statistics 32; taken from scikit-learn, BSD-3-Clause.

    Example:
        >>> [round(float(value), 1) for value in diabetes()[0][0]]
        [59.0, 2.0, 32.1, 101.0, 157.0, 93.2, 38.0, 4.0, 4.9, 87.0]
    """
    return _given("diabetes", test_fraction, seed)


@checked
def feature_names(name: str) -> list[str]:
    """What the columns of a table are called.

    Errors: ArgumentError for a table that is not there.

    Example:
        >>> feature_names("iris")
        ['sepal_length', 'sepal_width', 'petal_length', 'petal_width']
    """
    if name not in SHA256:
        raise ArgumentError(f"feature_names: got {name!r}; need one of {', '.join(SHA256)}"
                            f"{suggest(str(name), SHA256)}")  # fmt: skip
    return _text(name).partition("\n")[0].split(",")[:-1]


def _given(name: str, test_fraction: float | None, seed: int) -> Any:
    table: NDArray[np.float64] = np.loadtxt(io.StringIO(_text(name)), delimiter=",", skiprows=1)
    x = table[:, :-1].astype(np.float32)
    y = table[:, -1].astype(np.float32 if name == "diabetes" else np.int64)
    return (x, y) if test_fraction is None else held_out(name, x, y, test_fraction, seed)


def _text(name: str) -> str:
    path = FOLDER / f"{name}.csv.gz"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{name}: cannot read {path}: {error}; reinstall ambos") from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[name]:
        raise FormatError(f"{name}: {path} is damaged: its SHA-256 is {found}; need "
                          f"{SHA256[name]}; reinstall ambos")  # fmt: skip
    return gzip.decompress(content).decode()
